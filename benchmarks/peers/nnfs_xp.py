"""The library itself, through `Trainer.train_step`."""

from __future__ import annotations

import os
from itertools import pairwise

import nnfs_xp as nn
from benchmarks import mnist
from benchmarks.terminal import terminal
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
    threads = int(os.environ.get("NNFS_XP_BENCHMARK_THREADS", "0")) or None
    trainer = nn.Trainer(model, loss, optimizer, metrics=(), backend="numpy", threads=threads)
    return Contestant(trainer.train_step, model.forward, work.data(batch), predict=trainer.predict)


class Training:
    """MNIST through `Trainer.fit`, its progress displayed."""

    def __init__(self, seed: int, average_decay: float | None = None) -> None:
        self.X, self.y, *self.test = nn.data.load_mnist(compact=True)
        layers: list[nn.Layer] = []
        for n, m in pairwise(mnist.SIZES):
            layers += [nn.Dense(n, m), nn.ReLU()]
        model = nn.Sequential(*layers[:-1], seed=seed)
        loss = nn.SoftmaxCategoricalCrossentropy()
        optimizer = nn.Adam(mnist.LEARNING_RATE, average_decay=average_decay)
        self.trainer = nn.Trainer(model, loss, optimizer, backend="numpy", seed=seed)

    def epoch(self) -> None:
        """Train on all images once."""
        with terminal():
            self.trainer.fit(self.X, self.y, batch_size=mnist.BATCH)

    def accuracy(self) -> float:
        """On the test images."""
        accuracy: float = self.trainer.evaluate(*self.test)["accuracy"]
        return accuracy
