"""The networks that the command line trains."""

from __future__ import annotations

from typing import Any, TypeAlias

from nnfs_xp.backend import get_backend, to_numpy
from nnfs_xp.errors import ArgumentError
from nnfs_xp.initializers import identity_first, whitening
from nnfs_xp.layers import (
    GELU,
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
    Scale,
    Sequential,
    Softmax,
)

Shape: TypeAlias = tuple[int, ...]

_SOME = 5000
"""Pictures from which the first layer's weights follow."""


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


def build_whitened_cnn(
    shape: Shape, filters: tuple[int, ...], n_classes: int, dropout: float, seed: int
) -> Sequential:
    """Filters of 2 x 2 pixels that `whiten` sets, then groups of two convolutions with a pool.

    The largest number that each filter of the last group finds decides. Source: Jordan 2024, *94%
    on CIFAR-10 in 3.29 Seconds on a Single GPU*, section 3.
    """
    height, width, channels = shape
    check_size((height - 1, width - 1, channels), filters)
    n_first = 2 * 4 * channels  # each direction of 2 x 2 pixels, and its opposite
    first = Conv2D(channels, n_first, 2, trainable=("biases",))
    layers: list[Layer] = [first, GELU("tanh")]
    height, width, channels = height - 1, width - 1, n_first
    for n_filters in filters:
        layers += _group(channels, n_filters)
        height, width, channels = height // 2, width // 2, n_filters
    layers += [MaxPool2D((height, width)), Flatten()]
    if dropout:
        layers.append(Dropout(dropout))
    layers += [
        Dense(channels, n_classes),
        Scale(n_classes, initializer=_a_ninth, trainable=False),
        Softmax(),
    ]
    return Sequential(*layers, seed=seed, input_shape=shape)


def whiten(model: Sequential, pictures: Any) -> None:
    """Have the first layer tell apart what is independent in 2 x 2 pixels of these pictures."""
    first = model.layers[0]
    assert isinstance(first, Conv2D)
    some = to_numpy(pictures[:_SOME])
    mean = some.mean(axis=(0, 1, 2))
    draw = whitening(some - mean, first.kernel_size)
    weights = to_numpy(draw(None, first.weights.shape))
    first.weights = weights
    first.biases = -(weights.sum(axis=(0, 1)) * mean[:, None]).sum(axis=0, keepdims=True)


def _group(channels: int, n_filters: int) -> list[Layer]:
    """Two convolutions whose filters copy channels at first; a pool behind the first one."""

    def convolution(channels: int) -> Conv2D:
        draw = identity_first()
        return Conv2D(channels, n_filters, 3, padding="same", use_bias=False, initializer=draw)

    def norm() -> BatchNorm:  # a shift learns 64 times as fast as the weights
        return BatchNorm(
            n_filters, momentum=0.6, epsilon=1e-12, scale=False, learning_rate_scale=64.0
        )

    return [
        *(convolution(channels), MaxPool2D(2), norm(), GELU("tanh")),
        *(convolution(n_filters), norm(), GELU("tanh")),
    ]


def _a_ninth(generator: Any, shape: Shape) -> Any:
    """Factors of the logits, which keep them small at first."""
    del generator
    return get_backend("numpy").xp.full(shape, 1 / 9)


def check_size(shape: Shape, filters: tuple[int, ...]) -> None:
    """Refuse pictures that are too small for so many stages, of which each halves them.

    Raises
    ------
    ArgumentError
    """
    least = 2 ** len(filters)
    if min(shape[:2]) < least:
        stages = "1 stage needs" if len(filters) == 1 else f"{len(filters)} stages need"
        raise ArgumentError(
            f"{stages} images of at least {least} x {least} pixels; these have "
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
