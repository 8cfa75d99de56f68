"""Distances of predicted values from their targets."""

from __future__ import annotations

from math import isfinite, nan, sqrt
from sys import float_info
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of
from nnfs_xp.metrics.base import Metric, weighted_sums, weights_of, widest


class MAE(Metric):
    """Mean absolute error over samples and outputs, in units of y; NaN where it is infinite.

    `y_true` has the shape of `y_pred`, (batch, …, outputs), or (batch, …) for one output.

    Raises
    ------
    LabelError
        `y_true` has another shape.
    DTypeError
        `y_true` holds floats of another dtype than the predictions.
    """

    name = "mae"
    direction = "min"

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        values: Array = xp.mean(xp.abs(y_pred - y_true), axis=-1)
        return values

    def result(self, sums: Any) -> float:
        return _finite(super().result(sums))


class RMSE(Metric):
    """Root of the mean squared error over samples and outputs, in units of y; or NaN, as `MAE`.

    `y_true` and the errors are those of `MAE`. For several outputs it is the root of one mean
    over all of them; scikit-learn averages the roots of each.
    """

    name = "rmse"
    direction = "min"

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        difference = y_pred - y_true
        values: Array = xp.mean(difference * difference, axis=-1)
        return values

    def result(self, sums: Any) -> float:
        return sqrt(_finite(super().result(sums)))


class R2(Metric):
    """Coefficient of determination: 1 is perfect, 0 as good as the mean of the targets.

    `y_true` and the errors are those of `MAE`.

    Notes
    -----
    R2 = 1 - sum((y_true - y_pred)**2) / sum((y_true - mean(y_true))**2), averaged over the
    outputs; for targets that do not vary 1 if they are met and else 0: scikit-learn's `r2_score`.

    The second sum is taken apart: within each batch, of the mean m and the weight W, it is
    sum((y_true - m)**2), and between the batches sum(W c**2) - sum(W c)**2 / sum(W), with
    c = m - shift. The shift is the mean of the training targets, or of the first batch without
    training: it changes nothing but the rounding. All is in float64 where the device has it. NaN
    where a sum is infinite.
    """

    name = "r2"
    direction = "max"
    _shift: Array | None = None

    def prepare(self, y_true: Array) -> None:
        wide = widest(y_true if y_true.ndim == 2 else y_true[:, None])
        self._shift = backend_of(wide).xp.mean(wide, axis=0)

    def accumulate(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        shift = self._shift_of(y_true)
        weights, y_pred, y_true = (
            xp.astype(each, shift.dtype, copy=False)
            for each in (weights_of(y_pred, sample_weight), y_pred, y_true)
        )
        residuals, centred = y_true - y_pred, y_true - shift
        total = xp.sum(weights)
        mean = weighted_sums(weights, centred) / xp.where(total > 0, total, 1.0)
        within = centred - mean
        squares = (weighted_sums(weights, each * each) for each in (residuals, within))
        parts = [*squares, total * mean * mean, total * mean]
        sums: Array = xp.concat([*parts, xp.reshape(total, (1,))])
        return sums

    def result(self, sums: Any) -> float:
        *parts, total = (float(value) for value in sums)
        if not total:
            return nan
        k = len(parts) // 4
        return sum(self._of_output(parts[n::k], total) for n in range(k)) / k

    def _of_output(self, sums: list[float], total: float) -> float:
        residual, within, squares, centred = sums
        between = squares - centred * centred / total
        if between <= 1024 * self._eps * squares:  # what rounding leaves of equal means
            between = 0.0
        variation = within + between
        if not isfinite(residual + variation):
            return nan
        if variation <= (64 * self._eps) ** 2 * squares:  # and of equal targets
            return 0.0 if residual else 1.0
        return 1 - residual / variation

    @property
    def _eps(self) -> float:
        """The rounding of the sums."""
        if self._shift is None:
            return float_info.epsilon
        return float(backend_of(self._shift).xp.finfo(self._shift.dtype).eps)

    def _shift_of(self, y_true: Array) -> Array:
        shift, shape = self._shift, tuple(y_true.shape[-1:])
        if shift is None or not backend_of(y_true).owns(shift) or tuple(shift.shape) != shape:
            wide = widest(y_true)
            axes = tuple(range(y_true.ndim - 1))
            shift = self._shift = backend_of(wide).xp.mean(wide, axis=axes)
        return shift


def _finite(figure: float) -> float:
    """The figure; NaN where it is infinite, for its sum did not fit the data type."""
    return figure if isfinite(figure) else nan
