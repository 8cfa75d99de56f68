"""scikit-learn: `partial_fit` of its MLPs, a step for each call."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks import mnist
from benchmarks.work import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Contestant, Work


def build(work: Work, batch: int) -> Contestant:
    """The work for one batch size."""
    kind = MLPClassifier if work.classes else MLPRegressor
    model = kind(
        hidden_layer_sizes=work.sizes[1:-1],
        alpha=0.0,
        batch_size=batch,
        learning_rate_init=LEARNING_RATE,
        beta_1=BETA_1,
        beta_2=BETA_2,
        epsilon=EPSILON,
        shuffle=False,
    )
    data = [
        (x, y if work.classes else y[:, 0] if y.shape[1] == 1 else y) for x, y in work.data(batch)
    ]
    options = {"classes": np.arange(work.sizes[-1])} if work.classes else {}
    # It draws weights with the first step: then those that all have take their places.
    model.partial_fit(*data[0], **options)
    for own, first in zip(model.coefs_, work.weights(), strict=True):
        own[...] = first
    for each in model.intercepts_:
        each[...] = 0
    for each in (*model._optimizer.ms, *model._optimizer.vs):
        each[...] = 0
    model._optimizer.t = 0

    def step(x: Any, y: Any) -> float:
        model.partial_fit(x, y)
        # Of values it reports half the mean squared error.
        return float(model.loss_) * (1 if work.classes else 2)

    infer = model.predict_proba if work.classes else model.predict
    return Contestant(step, infer, data)


class Training:
    """MNIST with `partial_fit` over all images, which makes an epoch of batches."""

    def __init__(self, seed: int) -> None:
        self.X, self.y, *self.test = mnist.read()
        self.model = MLPClassifier(
            hidden_layer_sizes=mnist.SIZES[1:-1],
            alpha=0.0,
            batch_size=mnist.BATCH,
            learning_rate_init=mnist.LEARNING_RATE,
            random_state=seed,
        )

    def epoch(self) -> None:
        """Train on all images once."""
        self.model.partial_fit(self.X, self.y, classes=np.arange(10))

    def accuracy(self) -> float:
        """On the test images."""
        return float(self.model.score(*self.test))
