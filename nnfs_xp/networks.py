"""The networks that the command line trains."""

from __future__ import annotations

from typing import TypeAlias

from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool,
    Layer,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
    Softmax,
)

Shape: TypeAlias = tuple[int, ...]


def build_mlp(
    shape: Shape, hidden: tuple[int, ...], n_classes: int, dropout: float, seed: int
) -> Sequential:
    """Dense layers with ReLU and dropout between them, and a softmax at the end."""
    (n_inputs,) = shape
    layers: list[Layer] = []
    for width in hidden:
        layers += [Dense(n_inputs, width), ReLU()]
        if dropout:
            layers.append(Dropout(dropout))
        n_inputs = width
    return Sequential(*layers, Dense(n_inputs, n_classes), Softmax(), seed=seed)


def build_cnn(
    shape: Shape, filters: tuple[int, ...], n_classes: int, dropout: float, seed: int
) -> Sequential:
    """Stages of two convolutions and a pool, and a dense layer on all that is left."""
    check_size(shape, filters)
    height, width, channels = shape
    layers: list[Layer] = []
    for n_filters in filters:
        layers += [*_convolution(channels, n_filters), *_convolution(n_filters, n_filters)]
        layers.append(MaxPool2D(2))
        height, width, channels = height // 2, width // 2, n_filters
    layers.append(Flatten())
    return _classifier(layers, height * width * channels, shape, n_classes, dropout, seed)


def build_residual_cnn(
    shape: Shape, filters: tuple[int, ...], n_classes: int, dropout: float, seed: int
) -> Sequential:
    """Stages of a convolution, a pool and two convolutions with a way around them.

    What each filter of the last stage finds, on average over the picture, decides.
    """
    check_size(shape, filters)
    channels = shape[2]
    layers: list[Layer] = []
    for n_filters in filters:
        around = (*_convolution(n_filters, n_filters), *_convolution(n_filters, n_filters))
        layers += [*_convolution(channels, n_filters), MaxPool2D(2), Residual(*around)]
        channels = n_filters
    layers.append(GlobalAveragePool())
    return _classifier(layers, channels, shape, n_classes, dropout, seed)


def check_size(shape: Shape, filters: tuple[int, ...]) -> None:
    """Refuse pictures that are too small for so many stages, of which each halves them.

    Raises
    ------
    ArgumentError
    """
    least = 2 ** len(filters)
    if min(shape[:2]) < least:
        raise ArgumentError(
            f"{len(filters)} stages need images of at least {least} x {least} pixels; these have "
            f"{shape[0]} x {shape[1]}. Give fewer numbers in --hidden, or larger images."
        )


def _convolution(channels: int, n_filters: int) -> list[Layer]:
    convolution = Conv2D(channels, n_filters, 3, padding="same", use_bias=False)
    return [convolution, BatchNorm(n_filters), ReLU()]


def _classifier(
    layers: list[Layer], n_inputs: int, shape: Shape, n_classes: int, dropout: float, seed: int
) -> Sequential:
    """The layers, and behind them a dense one for the classes."""
    if dropout:
        layers.append(Dropout(dropout))
    return Sequential(*layers, Dense(n_inputs, n_classes), Softmax(), seed=seed, input_shape=shape)
