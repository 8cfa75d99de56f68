"""Written anew in the manner of *Neural Networks from Scratch*'s last chapters.

Objects for layers, activations, loss and optimizer; each keeps what it computed; Adam goes
through the layers one by one. In float32, which the book's helper package sets.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks import mnist
from benchmarks.work import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Contestant, Work


class Dense:
    """A layer, with Adam's state on it."""

    def __init__(self, weights: Any) -> None:
        self.weights = weights.copy()
        self.biases = np.zeros((1, weights.shape[1]), np.float32)
        self.weight_momentums = np.zeros_like(self.weights)
        self.weight_cache = np.zeros_like(self.weights)
        self.bias_momentums = np.zeros_like(self.biases)
        self.bias_cache = np.zeros_like(self.biases)

    def forward(self, inputs: Any) -> Any:
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases
        return self.output

    def backward(self, dvalues: Any) -> Any:
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        self.dinputs = np.dot(dvalues, self.weights.T)
        return self.dinputs


class ReLU:
    """Passes what is above 0."""

    def forward(self, inputs: Any) -> Any:
        self.inputs = inputs
        self.output = np.maximum(0, inputs)
        return self.output

    def backward(self, dvalues: Any) -> Any:
        self.dinputs = dvalues.copy()
        self.dinputs[self.inputs <= 0] = 0
        return self.dinputs


class SoftmaxLoss:
    """Softmax and cross-entropy, their gradients taken together."""

    def forward(self, inputs: Any, y_true: Any) -> Any:
        exponentials = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = exponentials / np.sum(exponentials, axis=1, keepdims=True)
        clipped = np.clip(self.output, 1e-7, 1 - 1e-7)
        return np.mean(-np.log(clipped[range(len(inputs)), y_true]))

    def backward(self, y_true: Any) -> Any:
        self.dinputs = self.output.copy()
        self.dinputs[range(len(y_true)), y_true] -= 1
        self.dinputs = self.dinputs / len(y_true)
        return self.dinputs


class SquaredLoss:
    """The mean squared error."""

    def forward(self, inputs: Any, y_true: Any) -> Any:
        self.inputs = inputs
        return np.mean(np.mean((y_true - inputs) ** 2, axis=-1))

    def backward(self, y_true: Any) -> Any:
        outputs = self.inputs.shape[1]
        self.dinputs = -2 * (y_true - self.inputs) / outputs / len(y_true)
        return self.dinputs


class Adam:
    """Updates a layer at a time."""

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.iterations = 0

    def update(self, layer: Dense) -> None:
        """Step the weights and the biases of the layer."""
        for name, gradient in (("weight", layer.dweights), ("bias", layer.dbiases)):
            momentums = BETA_1 * getattr(layer, f"{name}_momentums") + (1 - BETA_1) * gradient
            cache = BETA_2 * getattr(layer, f"{name}_cache") + (1 - BETA_2) * gradient**2
            setattr(layer, f"{name}_momentums", momentums)
            setattr(layer, f"{name}_cache", cache)
            momentums_corrected = momentums / (1 - BETA_1 ** (self.iterations + 1))
            cache_corrected = cache / (1 - BETA_2 ** (self.iterations + 1))
            values = layer.weights if name == "weight" else layer.biases
            values += (
                -self.learning_rate * momentums_corrected / (np.sqrt(cache_corrected) + EPSILON)
            )


class Model:
    """Layers in a row, a loss and an optimizer."""

    def __init__(
        self, weights: list[Any], *, classes: bool, learning_rate: float = LEARNING_RATE
    ) -> None:
        self.layers: list[Any] = []
        for each in weights:
            self.layers += [Dense(each), ReLU()]
        self.layers.pop()
        self.loss: Any = SoftmaxLoss() if classes else SquaredLoss()
        self.optimizer = Adam(learning_rate)

    def forward(self, x: Any) -> Any:
        """The last layer's output."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def step(self, x: Any, y: Any) -> Any:
        """Train on a batch."""
        loss = self.loss.forward(self.forward(x), y)
        dvalues = self.loss.backward(y)
        for layer in reversed(self.layers):
            dvalues = layer.backward(dvalues)
        for layer in self.layers:
            if isinstance(layer, Dense):
                self.optimizer.update(layer)
        self.optimizer.iterations += 1
        return loss


def build(work: Work, batch: int) -> Contestant:
    """The work for one batch size."""
    model = Model(work.weights(), classes=work.classes)
    return Contestant(model.step, model.forward, work.data(batch))


class Training:
    """MNIST in the book's loop: loss and accuracy of each batch, shuffled before each epoch."""

    def __init__(self, seed: int) -> None:
        self.X, self.y, *self.test = mnist.read()
        self.generator = np.random.default_rng(seed)
        weights = [
            (self.generator.standard_normal((n, m)) * (2 / n) ** 0.5).astype(np.float32)
            for n, m in pairwise(mnist.SIZES)
        ]
        self.model = Model(weights, classes=True, learning_rate=mnist.LEARNING_RATE)

    def epoch(self) -> None:
        """Train on all images once."""
        keys = self.generator.permutation(len(self.X))
        self.X, self.y = self.X[keys], self.y[keys]
        total, right = 0.0, 0
        for start in range(0, len(self.X), mnist.BATCH):
            x, y = self.X[start : start + mnist.BATCH], self.y[start : start + mnist.BATCH]
            total += self.model.step(x, y) * len(x)
            right += np.sum(np.argmax(self.model.loss.output, axis=1) == y)

    def accuracy(self) -> float:
        """On the test images."""
        X, y = self.test
        return float(np.mean(np.argmax(self.model.forward(X), axis=1) == y))
