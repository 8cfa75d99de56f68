"""The book's accuracies: the share of predictions that are right."""

from __future__ import annotations

from math import prod
from typing import Any

from nnfs_xp._checks import match_outputs
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of
from nnfs_xp.book._arrays import floating, home_of
from nnfs_xp.errors import NotReadyError


class Accuracy:
    """Base class of the book's accuracies; derive from it to write one of your own.

    It gives ``compare(predictions, y)``, and perhaps ``init(y)``; neither needs
    ``super().__init__()``.

    Attributes
    ----------
    accumulated_sum, accumulated_count : float, int
        How many were right since the last `new_pass`, and of how many.
    """

    accumulated_sum = 0.0
    accumulated_count = 0

    def init(self, y: Any, reinit: bool = False) -> None:
        """Read all targets before training."""

    def compare(self, predictions: Any, y: Any) -> Array:
        """Which predictions are right, as booleans."""
        raise NotImplementedError

    def calculate(self, predictions: Any, y: Any) -> float:
        """The share that is right."""
        right = self.compare(predictions, y)
        backend = home_of(right)
        right, xp = backend.asarray(right), backend.xp
        count = prod(right.shape)
        exact = right if backend.is_floating(right.dtype) else xp.astype(right, xp.int64)
        total = float(xp.sum(exact))
        self.accumulated_sum += total
        self.accumulated_count += count
        return total / count

    def calculate_accumulated(self) -> float:
        """The share that was right since the last `new_pass`."""
        if not self.accumulated_count:
            raise NotReadyError("nothing was calculated since the last new_pass.")
        return self.accumulated_sum / self.accumulated_count

    def new_pass(self) -> None:
        """Start adding up anew."""
        self.accumulated_sum = 0.0
        self.accumulated_count = 0


class Accuracy_Categorical(Accuracy):
    """Share of right classes; with `binary`, of right yes-or-no outputs."""

    def __init__(self, *, binary: bool = False) -> None:
        self.binary = binary

    def compare(self, predictions: Any, y: Any) -> Array:
        backend = home_of(predictions)
        predictions, y = backend.asarray(predictions), backend.asarray(y)
        if not self.binary and y.ndim == 2:
            y = backend.xp.argmax(y, axis=1)
        y = match_outputs(backend.asarray(y, predictions.dtype), tuple(predictions.shape))
        right: Array = predictions == y
        return right


class Accuracy_Regression(Accuracy):
    """Share of values closer to their target than the targets' standard deviation over 250."""

    def __init__(self, *, precision: float | None = None) -> None:
        self.precision = precision

    def init(self, y: Any, reinit: bool = False) -> None:
        if self.precision is None or reinit:
            y = floating(y)
            self.precision = float(backend_of(y).xp.std(y)) / 250

    def compare(self, predictions: Any, y: Any) -> Array:
        if self.precision is None:
            raise NotReadyError("call init(y) first: the precision is that of the targets.")
        predictions = floating(predictions)
        backend = backend_of(predictions)
        y = match_outputs(backend.asarray(y, predictions.dtype), tuple(predictions.shape))
        close: Array = backend.xp.abs(predictions - y) < self.precision
        return close
