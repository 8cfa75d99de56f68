"""
The chapter on backpropagation, in numbers
==========================================

From the single neuron to batches and classes, each gradient of the chapter in turn.

Usage: python examples/chapter09_backpropagation.py [BACKEND]

Prints the chapter's numbers, computed on BACKEND: numpy (the default), cupy, torch, …
"""

import sys

import numpy as np

import nnfs_xp as nn

backend = nn.get_backend(sys.argv[1] if len(sys.argv) > 1 else "numpy")


def array(values):
    """Put numbers on the backend."""
    return backend.asarray(np.asarray(values, dtype=np.float64))


def show(title, value):
    """Print an array under a title."""
    digits = np.array2string(np.round(nn.to_numpy(value), 7) + 0.0, separator=", ")
    print(f"{title}\n{digits}\n")


print(f"# On {backend.name}\n")

print("## A single neuron: multiply, add, ReLU\n")
x, w, b = [1.0, -2.0, 3.0], [-3.0, -1.0, 2.0], 1.0
neuron = nn.Sequential(nn.Dense(3, 1, dtype="float64"), nn.ReLU()).to(backend)
layer, relu = neuron.layers
layer.weights, layer.biases = array([[wi] for wi in w]), array([[b]])

show("Output", neuron.forward(array([x]), training=True))
dx = neuron.backward(array([[1.0]]))  # the derivative of the output by itself
show("Gradient of the inputs: relu'(z) * w", dx)
show("Gradient of the weights: relu'(z) * x", layer.dweights.T)
show("Gradient of the bias: relu'(z)", layer.dbiases)

nn.SGD(0.001).step(neuron)  # weights += -0.001 * dweights
show("Weights after a step", layer.weights.T)
show("Bias after a step", layer.biases)
show("Output after a step, a little lower", neuron.forward(array([x])))

print("## A layer of neurons: the sum over the neurons is a matrix product\n")
weights = np.array([[0.2, 0.8, -0.5, 1], [0.5, -0.91, 0.26, -0.5], [-0.26, -0.27, 0.17, 0.87]]).T
inputs = array([[1, 2, 3, 2.5], [2.0, 5.0, -1.0, 2], [-1.5, 2.7, 3.3, -0.8]])
dense = nn.Dense(4, 3, dtype="float64").to(backend)
dense.weights = weights

dense.forward(inputs[:1, :], training=True)
show("dinputs = dvalues @ weights.T", dense.backward(array([[1.0, 1.0, 1.0]])))

print("## A batch: weights gather the gradients of all samples\n")
dvalues = array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
dense.forward(inputs, training=True)
dense.backward(dvalues)
show("dweights = inputs.T @ dvalues", dense.dweights)
show("dbiases = the sum of dvalues over the batch", dense.dbiases)

print("## ReLU: the gradient passes where the input was above 0\n")
relu = nn.ReLU()
relu.forward(array([[1, 2, -3, -4], [2, -7, -1, 3], [-1, 2, 5, -1]]), training=True)
show("dinputs", relu.backward(array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])))

print("## Dense and ReLU together, and one step against the gradient\n")
dense.biases = array([[2.0, 3.0, 0.5]])
model = nn.Sequential(dense, nn.ReLU())
output = model.forward(inputs, training=True)
model.backward(output)  # the output serves as its own incoming gradient
nn.SGD(0.001).step(model)
show("Weights", dense.weights)
show("Biases", dense.biases)

print("## Softmax and categorical cross-entropy, one after the other and at once\n")
probabilities = array([[0.7, 0.1, 0.2], [0.1, 0.5, 0.4], [0.02, 0.9, 0.08]])
class_targets = backend.asarray(np.array([0, 1, 1]))
logits = backend.xp.log(probabilities)
softmax, loss = nn.Softmax(), nn.CategoricalCrossentropy()

y_pred = softmax.forward(logits, training=True)
show("Mean loss", loss.calculate(y_pred, class_targets))
dvalues = loss.backward(y_pred, class_targets)
show("Gradient of the loss: -y_true / y_pred / samples", dvalues)
show("Times each sample's Jacobian, diag(s) - s sT", softmax.backward(dvalues))
fused = nn.SoftmaxCategoricalCrossentropy()
show("At once: (y_pred - y_true) / samples", fused.backward(logits, class_targets))

print("## The classes: the chapter's network on the spiral\n")
X, y = nn.data.spiral_data(samples=100, classes=3, seed=0)
network = nn.Sequential(nn.Dense(2, 3), nn.ReLU(), nn.Dense(3, 3), nn.Softmax(), seed=0)
trainer = nn.Trainer(network, nn.CategoricalCrossentropy(), nn.SGD(), backend=backend)
figures = trainer.evaluate(X, y)
print(f"Before training: loss {figures['loss']:.4f}, accuracy {figures['accuracy']:.4f}")
trainer.train_step(backend.asarray(X), backend.asarray(y))
for name, gradient in network.gradients().items():
    show(f"Gradient of {name}", gradient)
