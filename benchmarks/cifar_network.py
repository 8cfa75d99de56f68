"""The network for CIFAR-10 of airbench94 (Jordan 2024, *94% on CIFAR-10 in 3.29 Seconds*)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.work import Work

if TYPE_CHECKING:
    import nnfs_xp as nn

WHITENING, SIDE = 24, 32
"""Filters of the first layer, and pixels from one side of a picture to the other."""

MOMENTUM, EPSILON = 0.6, 1e-12
"""Of the batch normalizations."""

FACTOR = 1 / 9
"""Of the logits."""

LEARNING_RATE, NESTEROV = 1e-2, 0.85
"""Of the optimizer where steps are timed: SGD with that momentum."""


def airbench(
    widths: tuple[int, int, int] = (64, 256, 256),
    *,
    whitening: nn.initializers.Initializer | None = None,
    seed: int | None = None,
) -> nn.Sequential:
    """A whitening layer, whose weights stay, three groups of two convolutions, and a dense layer.

    Parameters
    ----------
    widths : tuple of int
        Filters of each group.
    whitening : callable, optional
        Draws the weights of the first layer: `nnfs_xp.initializers.whitening`.
    seed : int, optional
        Of all weights; by default they differ from run to run.
    """
    import nnfs_xp as nn

    first: dict[str, Any] = {} if whitening is None else {"initializer": whitening}
    layers: list[nn.Layer] = [
        nn.Conv2D(3, WHITENING, 2, trainable=("biases",), **first),
        nn.GELU(),
    ]
    for n_channels, n_filters in pairwise((WHITENING, *widths)):
        layers += [
            *(_convolution(n_channels, n_filters), nn.MaxPool2D(2), *_normalized(n_filters)),
            *(_convolution(n_filters, n_filters), *_normalized(n_filters)),
        ]
    layers += [
        *(nn.MaxPool2D(3), nn.Flatten(), nn.Dense(widths[-1], 10)),
        nn.Scale(10, initializer=_factors, trainable=False),
    ]
    return nn.Sequential(*layers, seed=seed)


def _convolution(n_channels: int, n_filters: int) -> nn.Conv2D:
    import nnfs_xp as nn

    draw = nn.initializers.identity_first()
    return nn.Conv2D(n_channels, n_filters, 3, padding="same", use_bias=False, initializer=draw)


def _normalized(n_filters: int) -> Iterator[nn.Layer]:
    import nnfs_xp as nn

    yield nn.BatchNorm(n_filters, momentum=MOMENTUM, epsilon=EPSILON, scale=False)
    yield nn.GELU()


def _factors(generator: Any, shape: tuple[int, ...]) -> Any:
    del generator
    return np.full(shape, FACTOR)


class CifarWork(Work):
    """The network on pictures drawn at random; its sizes are channels, and the classes."""

    def weights(self) -> list[np.ndarray[Any, Any]]:
        """Of each convolution (height, width, channels, filters), and of the dense layer."""
        widths = self.sizes[1:-1]
        shapes = [(2, 2, 3, WHITENING)]
        for n_channels, n_filters in pairwise((WHITENING, *widths)):
            shapes += [(3, 3, n_channels, n_filters), (3, 3, n_filters, n_filters)]
        generator = np.random.default_rng(0)
        return [
            (generator.standard_normal(shape) * (2 / prod(shape[:-1])) ** 0.5).astype(np.float32)
            for shape in (*shapes, (widths[-1], self.sizes[-1]))
        ]

    def data(self, batch: int) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """Four batches of pictures, float32, and labels."""
        generator = np.random.default_rng(1)
        shape = (batch, SIDE, SIDE, self.sizes[0])
        return [
            (
                generator.standard_normal(shape, dtype=np.float32),
                generator.integers(self.sizes[-1], size=batch),
            )
            for _ in range(4)
        ]

    def model(self) -> nn.Sequential:
        """Our network, with these weights."""
        first, second, third = self.sizes[1:-1]
        model = airbench((first, second, third), seed=0)
        own = [layer for layer in model.layers if hasattr(layer, "weights")]
        for layer, weights in zip(own, self.weights(), strict=True):
            layer.weights = weights
        return model
