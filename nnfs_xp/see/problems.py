"""The data sets of the page: small, most of them with two features, to be drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnfs_xp.backend import host_generator
from nnfs_xp.data import load_digits, sine_data, spiral_data
from nnfs_xp.errors import DataError
from nnfs_xp.see import chapter_figures

Numbers = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Problem:
    """A data set, and a network to begin with.

    Attributes
    ----------
    load : callable (seed) -> (X, y)
        X of float64, shape (n, features); y labels, shape (n,), or values, shape (n, outputs).
    layers, optimizer : str
        As `nnfs_xp.see.words` reads them.
    image_shape : tuple of int, optional
        Where the features are the pixels of an image.
    first_weights : tuple, optional
        Weights and biases that the first of these layers begins with; else they are drawn.
    """

    load: Callable[[int], tuple[Numbers, Numbers]]
    layers: str
    optimizer: str = "Adam(0.05)"
    image_shape: tuple[int, int] | None = None
    first_weights: tuple[Any, Any] | None = None


def _circles(seed: int) -> tuple[Numbers, Numbers]:
    draw = host_generator(seed)
    y = np.arange(80) % 2
    radius = np.where(y == 0, 0.35, 0.85) + draw.normal(0, 0.06, 80)
    angle = draw.uniform(0, 2 * np.pi, 80)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), y


def _moons(seed: int) -> tuple[Numbers, Numbers]:
    draw = host_generator(seed)
    y = np.arange(80) % 2
    angle = draw.uniform(0, np.pi, 80)
    x = np.where(y == 0, np.cos(angle) - 0.5, 0.5 - np.cos(angle))
    height = np.where(y == 0, np.sin(angle) - 0.25, 0.25 - np.sin(angle))
    return 0.6 * np.stack([x, height], axis=1) + draw.normal(0, 0.05, (80, 2)), y


def _xor(seed: int) -> tuple[Numbers, Numbers]:
    X = host_generator(seed).uniform(-1, 1, (80, 2))
    X += 0.08 * np.sign(X)
    return X, (X[:, 0] * X[:, 1] > 0).astype(np.int64)


def _clusters(seed: int) -> tuple[Numbers, Numbers]:
    y = np.arange(81) % 3
    angle = 2 * np.pi * y / 3
    centers = 0.6 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return centers + host_generator(seed).normal(0, 0.18, (81, 2)), y


def _spiral(seed: int) -> tuple[Numbers, Numbers]:
    return spiral_data(40, 3, seed=seed, dtype="float64")


def _sine(seed: int) -> tuple[Numbers, Numbers]:
    del seed
    return sine_data(60, dtype="float64")


def _digits(seed: int) -> tuple[Numbers, Numbers]:
    del seed
    X, y, _, _ = load_digits()
    return X[:300].astype(np.float64), y[:300]


def _neuron(seed: int) -> tuple[Numbers, Numbers]:
    del seed
    return np.array(chapter_figures.INPUTS), np.array([[0.0]])


PROBLEMS = {
    "circles": Problem(_circles, "Dense(4), Tanh(), Dense(2)"),
    "moons": Problem(_moons, "Dense(4), ReLU(), Dense(2)"),
    "xor": Problem(_xor, "Dense(4), Tanh(), Dense(2)"),
    "clusters": Problem(_clusters, "Dense(3), ReLU(), Dense(3)"),
    "spiral": Problem(_spiral, "Dense(16), ReLU(), Dense(16), ReLU(), Dense(3)"),
    "sine": Problem(_sine, "Dense(8), Tanh(), Dense(1)"),
    "digits": Problem(_digits, "Dense(16), ReLU(), Dense(10)", "Adam(0.01)", (8, 8)),
    "neuron": Problem(
        _neuron,
        "Dense(1), ReLU()",
        "SGD(0.001)",
        first_weights=(chapter_figures.WEIGHTS, chapter_figures.BIAS),
    ),
}
"""By name. ``"neuron"`` is the chapter's: its three inputs, weights and bias."""


def find_problem(name: object) -> Problem:
    """The data set of that name.

    Raises
    ------
    DataError
        There is none.
    """
    if not isinstance(name, str) or name not in PROBLEMS:
        raise DataError(f"there is no data set {name!r} here; known are {', '.join(PROBLEMS)}.")
    return PROBLEMS[name]
