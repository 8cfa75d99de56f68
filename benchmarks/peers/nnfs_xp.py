"""This library, through `Trainer.train_step`."""

from __future__ import annotations

import nnfs_xp as nn
from benchmarks.work import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Contestant, Work


def build(work: Work, batch: int) -> Contestant:
    """The work for one batch size."""
    layers: list[nn.Layer] = []
    for weights in work.weights():
        dense = nn.Dense(*weights.shape, initializer=None)
        dense.weights = weights
        layers += [dense, nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    loss = nn.SoftmaxCategoricalCrossentropy() if work.classes else nn.MeanSquaredError()
    optimizer = nn.Adam(LEARNING_RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)
    trainer = nn.Trainer(model, loss, optimizer, metrics=(), backend="numpy")
    return Contestant(trainer.train_step, model.forward, work.data(batch))
