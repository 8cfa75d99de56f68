"""Losses on values: the distance of predictions from targets."""

from __future__ import annotations

from math import prod

from nnfs_xp import _checks
from nnfs_xp._rows import as_rows
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.backend import backend_of
from nnfs_xp.kernels import standard
from nnfs_xp.losses.targets import RegressionLoss


def _rows_of(y_pred: Array, y_true: Array) -> tuple[Namespace, standard.Kernels, Array, Array]:
    """The namespace, the kernels, and predictions and targets, checked, as rows."""
    xp, y_true = _checks.match_targets(y_pred, y_true)
    return xp, backend_of(y_pred).kernels, as_rows(xp, y_pred), as_rows(xp, y_true)


class MeanSquaredError(RegressionLoss):
    """Mean of the squared differences over the outputs.

    `y_true` has the shape of `y_pred`, (batch, …, outputs), or (batch, …) for one output.

    Raises
    ------
    LabelError
        `y_true` has another shape.
    DTypeError
        `y_true` holds floats of another dtype than the predictions.

    Notes
    -----
    Forward: loss = mean((y_pred - y_true)**2) over the outputs, in squared units of y.

    Backward: dinputs = 2 (y_pred - y_true) / outputs / rows.

    Source: *Neural Networks from Scratch*, chapter 17.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        difference = y_pred - y_true
        losses: Array = xp.mean(difference * difference, axis=-1)
        return losses

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        _, y_true = _checks.match_targets(y_pred, y_true)
        dinputs = (y_pred - y_true) * (2 / prod(y_pred.shape))
        return self.weigh(dinputs, sample_weight)

    def calculate_and_backward(
        self, y_pred: Array, y_true: Array, sample_weight: Array | None = None
    ) -> tuple[Array, Array]:
        if type(self) is not MeanSquaredError:  # it may override both
            return super().calculate_and_backward(y_pred, y_true, sample_weight)
        xp, kernels, rows, targets = _rows_of(y_pred, y_true)
        losses, dinputs = kernels.squared_error(xp, rows, targets)
        return self._of_rows(xp, y_pred, losses, dinputs, sample_weight)


class MeanAbsoluteError(RegressionLoss):
    """Mean of the absolute differences over the outputs.

    `y_true` and the errors are those of `MeanSquaredError`.

    Notes
    -----
    Forward: loss = mean(abs(y_pred - y_true)) over the outputs, in units of y.

    Backward: dinputs = sign(y_pred - y_true) / outputs / rows. The book's code has the
    opposite sign, which climbs instead of descending.

    Source: *Neural Networks from Scratch*, chapter 17.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        losses: Array = xp.mean(xp.abs(y_pred - y_true), axis=-1)
        return losses

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        dinputs = standard.sign(xp, y_pred - y_true) / prod(y_pred.shape)
        return self.weigh(dinputs, sample_weight)

    def calculate_and_backward(
        self, y_pred: Array, y_true: Array, sample_weight: Array | None = None
    ) -> tuple[Array, Array]:
        if type(self) is not MeanAbsoluteError:  # it may override both
            return super().calculate_and_backward(y_pred, y_true, sample_weight)
        xp, kernels, rows, targets = _rows_of(y_pred, y_true)
        losses, dinputs = kernels.absolute_error(xp, rows, targets)
        return self._of_rows(xp, y_pred, losses, dinputs, sample_weight)


class Huber(RegressionLoss):
    """Squared near the target and absolute far from it, so that outliers pull no harder.

    `y_true` and the errors are those of `MeanSquaredError`.

    Parameters
    ----------
    delta : float
        The difference at which the two meet, in units of y.

    Notes
    -----
    With the difference d = y_pred - y_true and c = d clipped to [-delta, delta]:

    Forward: loss = mean(c (d - c / 2)) over the outputs, in squared units of y: d**2 / 2 within
    delta of the target, delta (abs(d) - delta / 2) beyond.

    Backward: dinputs = c / outputs / rows.

    Source: Huber 1964, *Robust Estimation of a Location Parameter*.
    """

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = _checks.check_range("delta", delta, 0, open_low=True)

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        d = y_pred - y_true
        c = xp.minimum(xp.maximum(d, -self.delta), self.delta)
        losses: Array = xp.mean(c * (d - c / 2), axis=-1)
        return losses

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        c = xp.minimum(xp.maximum(y_pred - y_true, -self.delta), self.delta)
        return self.weigh(c / prod(y_pred.shape), sample_weight)

    def calculate_and_backward(
        self, y_pred: Array, y_true: Array, sample_weight: Array | None = None
    ) -> tuple[Array, Array]:
        if type(self) is not Huber:  # it may override both
            return super().calculate_and_backward(y_pred, y_true, sample_weight)
        xp, kernels, rows, targets = _rows_of(y_pred, y_true)
        losses, dinputs = kernels.huber(xp, rows, targets, self.delta)
        return self._of_rows(xp, y_pred, losses, dinputs, sample_weight)
