"""What is timed: networks, their data and their first weights, the same for every peer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-4, 0.9, 0.999, 1e-7
"""Of Adam, in all peers."""

BATCHES = (1, 32, 128, 512, 2048)

_DIFFERENT = 16
"""So many batches take turns, so that no peer can learn one by heart in the course of timing."""


@dataclass(frozen=True)
class Work:
    """A dense network with ReLU between its layers, trained with Adam in float32.

    Attributes
    ----------
    sizes : tuple of int
        Features of the inputs and of each layer's output.
    classes : bool
        Whether the outputs are logits of classes, trained with cross-entropy; else values,
        trained with the mean squared error.
    """

    name: str
    sizes: tuple[int, ...]
    classes: bool = True

    def weights(self) -> list[np.ndarray[Any, Any]]:
        """The first weights of each layer, (n_inputs, n_neurons), float32; biases are 0."""
        generator = np.random.default_rng(0)
        return [
            (generator.standard_normal((n, m)) * (2 / n) ** 0.5).astype(np.float32)
            for n, m in zip(self.sizes, self.sizes[1:], strict=False)
        ]

    def data(self, batch: int) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """Batches of inputs, float32, and labels (batch,), int64, or values (batch, outputs)."""
        generator = np.random.default_rng(1)
        pairs = []
        for _ in range(_DIFFERENT):
            x = generator.random((batch, self.sizes[0]), dtype=np.float32)
            y = (
                generator.integers(self.sizes[-1], size=batch)
                if self.classes
                else generator.standard_normal((batch, self.sizes[-1])).astype(np.float32)
            )
            pairs.append((x, y))
        return pairs


WORKS = {
    work.name: work
    for work in (
        Work("a", (784, 512, 512, 10)),
        Work("b", (64, 32, 10)),
        Work("c", (1024,) * 9),
        Work("d", (32, 64, 64, 1), classes=False),
    )
}


@dataclass(frozen=True)
class Contestant:
    """What a peer brings for a work and a batch size.

    Attributes
    ----------
    step : callable
        Takes inputs and targets, trains on them, gives the loss before the step.
    infer : callable
        Takes inputs, gives outputs.
    data : list of tuple
        The batches, as step takes them.
    wait : callable
        Takes what step or infer gave; returns when it is computed.
    predict : callable, optional
        Takes inputs, gives labels or values as a user is told them. By default `infer`.
    """

    step: Callable[[Any, Any], Any]
    infer: Callable[[Any], Any]
    data: list[tuple[Any, Any]]
    wait: Callable[[Any], Any] = id
    predict: Callable[[Any], Any] | None = None
