"""Time of an epoch on batches from anywhere, against one on arrays in memory, in turn.

The sources do next to nothing by themselves: a list, slices made by a generator function, a
sequence, and a memory map on the disk. So the ratio is what reading ahead and checking costs.

Usage: python -m benchmarks sources [ROUNDS] [BATCH ...]
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import nnfs_xp as nn
from benchmarks.machine import describe_run

_SAMPLES = 24_000
_EPOCHS = 4
"""Of each training: the first tells whether a thread is worth while."""
_WORKS = {"784-512-512-10": (784, 512, 512, 10), "784-128-10": (784, 128, 10)}


def new_trainer(widths: tuple[int, ...]) -> nn.Trainer:
    """A trainer of a network of these widths."""
    layers: list[nn.Layer] = []
    for n_inputs, n_neurons in pairwise(widths):
        layers += [nn.Dense(n_inputs, n_neurons), nn.ReLU()]
    model = nn.Sequential(*layers[:-1], seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    return nn.Trainer(model, loss, nn.Adam(1e-4), backend="numpy")


def sources(X: Any, y: Any, batch_size: int, folder: Path) -> dict[str, tuple[Any, ...]]:
    """What is trained on, by name: arrays, or a source and None."""
    parts = [slice(start, start + batch_size) for start in range(0, len(X), batch_size)]

    def generated() -> Iterator[tuple[Any, ...]]:
        for part in parts:
            yield X[part], y[part]

    class Sliced:
        def __len__(self) -> int:
            return len(parts)

        def __getitem__(self, number: int) -> tuple[Any, ...]:
            return X[parts[number]], y[parts[number]]

    return {
        "arrays": (X, y),
        "list": ([(X[part], y[part]) for part in parts],),
        "generator": (generated,),
        "sequence": (Sliced(),),
        "memory map": (nn.data.npy_batches(folder, batch_size),),
    }


def main() -> None:
    """Measure in turn and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    sizes = [int(each) for each in sys.argv[2:]] or [32, 128, 512]
    print(f"{describe_run()}; {rounds} rounds of an epoch of {_SAMPLES:,} samples")
    print("seconds of an epoch on arrays, and the medians of the ratios to it in the same round")
    generator = np.random.default_rng(0)
    for work, widths in _WORKS.items():
        X = generator.standard_normal((_SAMPLES, widths[0])).astype("float32")
        y = generator.integers(0, widths[-1], _SAMPLES)
        with tempfile.TemporaryDirectory() as name:
            np.save(Path(name) / "X.npy", X)
            np.save(Path(name) / "y.npy", y)
            for batch_size in sizes:
                line = measured(widths, X, y, batch_size, name, rounds)
                print(f"{work:15} batch {batch_size:4}: {line}")


def measured(
    widths: tuple[int, ...], X: Any, y: Any, batch_size: int, folder: str, rounds: int
) -> str:
    """The figures of one network and batch size, as a line."""
    data = sources(X, y, batch_size, Path(folder))
    trainers = {name: new_trainer(widths) for name in data}
    taken: dict[str, list[float]] = {name: [] for name in data}
    for number in range(rounds + 1):  # the first is not counted
        for name in random.sample(list(data), len(data)):
            begin = time.perf_counter()
            settings = {"batch_size": batch_size, "shuffle": False, "progress": False}
            trainers[name].fit(*data[name], epochs=_EPOCHS, **settings)
            if number:
                taken[name].append((time.perf_counter() - begin) / _EPOCHS)
    arrays = taken.pop("arrays")
    parts = [f"{statistics.median(arrays):.3f} s"]
    for name, times in taken.items():
        ratio = statistics.median(each / base for each, base in zip(times, arrays, strict=True))
        parts.append(f"{name} {ratio:.3f}")
    return ", ".join(parts)


if __name__ == "__main__":
    main()
