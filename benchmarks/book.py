"""Time of an epoch of the book's chapter 10, through `nnfs_xp.book` and in the book's own manner.

Usage: python -m benchmarks book [ROUNDS] [EPOCHS]

The network is 2-64-3 on 300 points of the spiral, with Adam, in float32; the loop calls each layer
by itself, and works out loss and accuracy, as the book's does. ``nn`` is the same loop with the
library's layers. The time from the start of a process to the end of the first epoch is measured,
too.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from benchmarks.machine import describe_run

RATE, DECAY = 0.02, 1e-5


def through_book() -> Callable[[], Any]:
    """The chapter's script, with the names that the book has."""
    from nnfs_xp import book as nnfs

    nnfs.init()
    X, y = nnfs.spiral_data(samples=100, classes=3)
    dense1, dense2 = nnfs.Layer_Dense(2, 64), nnfs.Layer_Dense(64, 3)
    activation1 = nnfs.Activation_ReLU()
    loss_activation = nnfs.Activation_Softmax_Loss_CategoricalCrossentropy()
    optimizer = nnfs.Optimizer_Adam(learning_rate=RATE, decay=DECAY)

    def epoch() -> Any:
        dense1.forward(X)
        activation1.forward(dense1.output)
        dense2.forward(activation1.output)
        loss = loss_activation.forward(dense2.output, y)
        accuracy = np.mean(np.argmax(loss_activation.output, axis=1) == y)
        loss_activation.backward(loss_activation.output, y)
        dense2.backward(loss_activation.dinputs)
        activation1.backward(dense2.dinputs)
        dense1.backward(activation1.dinputs)
        optimizer.pre_update_params()
        optimizer.update_params(dense1)
        optimizer.update_params(dense2)
        optimizer.post_update_params()
        return loss, accuracy

    return epoch


def by_hand() -> Callable[[], Any]:
    """The library's layers, called one by one."""
    import nnfs_xp as nn

    X, y = nn.data.spiral_data(samples=100, classes=3, seed=0)
    dense1, relu, dense2 = nn.Dense(2, 64, seed=0), nn.ReLU(), nn.Dense(64, 3, seed=1)
    model = nn.Sequential(dense1, relu, dense2)
    loss, optimizer = nn.SoftmaxCategoricalCrossentropy(), nn.Adam(RATE, DECAY)

    def epoch() -> Any:
        output = dense2.forward(relu.forward(dense1.forward(X, True), True), True)
        value = loss.calculate(output, y)
        accuracy = np.mean(np.argmax(output, axis=1) == y)
        dense1.backward(relu.backward(dense2.backward(loss.backward(output, y))))
        optimizer.step(model)
        return value, accuracy

    return epoch


def in_its_manner() -> Callable[[], Any]:
    """The book's own way: see `benchmarks.peers.book`."""
    from benchmarks.peers.book import Model
    from nnfs_xp.data import spiral_data

    X, y = spiral_data(samples=100, classes=3, seed=0)
    generator = np.random.default_rng(0)
    shapes = (2, 64), (64, 3)
    weights = [(0.01 * generator.standard_normal(shape)).astype(np.float32) for shape in shapes]
    model = Model(weights, classes=True, learning_rate=RATE)

    def epoch() -> Any:
        loss = model.step(X, y)
        return loss, np.mean(np.argmax(model.loss.output, axis=1) == y)

    return epoch


WAYS = {"book's manner": in_its_manner, "nnfs_xp.book": through_book, "nn by hand": by_hand}


def first_epoch(way: str) -> float:
    """Seconds from the start of a process to the end of its first epoch."""
    code = f"from benchmarks.book import WAYS; WAYS[{way!r}]()()"
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begin


def main() -> None:
    """Measure in turn and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    n_epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    print(f"{describe_run()}; {rounds} rounds\n")
    epochs = {name: way() for name, way in WAYS.items()}
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    starts: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(rounds + 1):
        for name, epoch in epochs.items():
            begin = time.perf_counter()
            for _ in range(n_epochs):
                epoch()
            times[name].append((time.perf_counter() - begin) / n_epochs)
            if number < 5:
                starts[name].append(first_epoch(name))
    print("| way | ms an epoch | of the book's | s to the first epoch |\n|---|---|---|---|")
    theirs = times["book's manner"][1:]
    for name in WAYS:
        mine = times[name][1:]
        ratio = median(a / b for a, b in zip(mine, theirs, strict=True))
        start = median(starts[name])
        print(f"| {name} | {1000 * median(mine):.3f} | {ratio:.2f} | {start:.2f} |")


if __name__ == "__main__":
    main()
