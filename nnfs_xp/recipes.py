"""What the command line trains: each data set with its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from nnfs_xp.data import (
    FASHION_CLASSES,
    Split,
    hold_out,
    load_digits,
    load_fashion_mnist,
    load_mnist,
    spiral_data,
)
from nnfs_xp.errors import DataError
from nnfs_xp.layers import Dense, Dropout, Layer, ReLU, Sequential, Softmax


@dataclass(frozen=True)
class Recipe:
    """A data set and how to train on it.

    Attributes
    ----------
    load : callable
        Gives the data, split for the final test.
    classes : tuple of str
        Their names in the order of the labels.
    n_features : int
    unit : float
        What a feature of 1 stands for in the data set's own units: 255 grey levels, say. The
        features of a file to predict from are divided by it.
    hidden : tuple of int
        The widths of the hidden layers.
    epochs, batch_size, learning_rate, decay, dropout
        See `Trainer.fit`, `Adam` and `Dropout`.
    image_shape : tuple of int, optional
        (height, width), where the features are the pixels of an image.
    """

    load: Callable[[], Split]
    classes: tuple[str, ...]
    n_features: int
    unit: float
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    decay: float
    dropout: float
    image_shape: tuple[int, int] | None = None


def _spiral() -> Split:
    return hold_out(*spiral_data(samples=1000, classes=3, seed=0), share=0.2, seed=0)


_DIGITS = tuple("0123456789")

_MNIST = Recipe(
    load=load_mnist,
    classes=_DIGITS,
    n_features=784,
    unit=255,
    hidden=(512, 256),
    epochs=5,
    batch_size=128,
    learning_rate=0.002,
    decay=0.002,
    dropout=0.2,
    image_shape=(28, 28),
)

RECIPES = {
    "digits": Recipe(
        load=load_digits,
        classes=_DIGITS,
        n_features=64,
        unit=16,
        hidden=(128, 64),
        epochs=60,
        batch_size=32,
        learning_rate=0.003,
        decay=0.003,
        dropout=0.3,
        image_shape=(8, 8),
    ),
    "spiral": Recipe(
        load=_spiral,
        classes=("0", "1", "2"),
        n_features=2,
        unit=1,
        hidden=(64, 64),
        epochs=60,
        batch_size=32,
        learning_rate=0.005,
        decay=0.001,
        dropout=0.0,
    ),
    "mnist": _MNIST,
    "fashion-mnist": replace(_MNIST, load=load_fashion_mnist, classes=FASHION_CLASSES, epochs=10),
}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises
    ------
    DataError
        There is no recipe of that name.
    """
    if name not in RECIPES:
        raise DataError(
            f"unknown data set {name!r}; known are {', '.join(RECIPES)}, and .csv and .parquet "
            "files."
        )
    return RECIPES[name]


def build_classifier(
    n_inputs: int, hidden: tuple[int, ...], n_classes: int, dropout: float, seed: int
) -> Sequential:
    """Dense layers with ReLU and dropout between them, and a softmax at the end."""
    layers: list[Layer] = []
    for width in hidden:
        layers += [Dense(n_inputs, width), ReLU()]
        if dropout:
            layers.append(Dropout(dropout))
        n_inputs = width
    return Sequential(*layers, Dense(n_inputs, n_classes), Softmax(), seed=seed)
