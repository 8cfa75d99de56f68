"""Distances of predicted values from their targets."""

from __future__ import annotations

from math import sqrt
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of
from nnfs_xp.metrics.base import Metric, as_floats, ratio, weighted_sums, weights_of


class MAE(Metric):
    """Mean absolute error over samples and outputs, in units of y.

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


class RMSE(Metric):
    """Root of the mean squared error over samples and outputs, in units of y.

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
        return sqrt(super().result(sums))


class R2(Metric):
    """Coefficient of determination: 1 is perfect, 0 as good as the mean of the targets.

    `y_true` and the errors are those of `MAE`.

    Notes
    -----
    R2 = 1 - sum((y_true - y_pred)**2) / sum((y_true - mean(y_true))**2), averaged over the
    outputs; for targets that do not vary 1 if they are met and else 0: scikit-learn's `r2_score`.

    The second sum is computed from those of c and c**2, c = y_true - shift, with the mean of the
    training targets as the shift, or of the first batch without training: a shift changes
    nothing but the rounding, which would leave nothing of targets far from 0 in float32.
    """

    name = "r2"
    direction = "max"
    _shift: Array | None = None

    def prepare(self, y_true: Array) -> None:
        y_true = as_floats(y_true)
        rows = y_true if y_true.ndim == 2 else y_true[:, None]
        self._shift = backend_of(rows).xp.mean(rows, axis=0)

    def accumulate(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        weights = weights_of(y_pred, sample_weight)
        residuals, centred = y_true - y_pred, y_true - self._shift_of(y_true)
        squares = residuals * residuals, centred * centred
        parts = [weighted_sums(weights, each) for each in (*squares, centred)]
        sums: Array = xp.concat([*parts, xp.reshape(xp.sum(weights), (1,))])
        return sums

    def result(self, sums: Any) -> float:
        *parts, total = (float(value) for value in sums)
        if not total:
            return float("nan")
        k = len(parts) // 3
        outputs = zip(parts[:k], parts[k : 2 * k], parts[2 * k :], strict=True)
        return sum(_of_output(*each, total) for each in outputs) / k

    def _shift_of(self, y_true: Array) -> Array:
        shift, shape = self._shift, tuple(y_true.shape[-1:])
        backend = backend_of(y_true)
        axes = tuple(range(y_true.ndim - 1))
        if (
            shift is None
            or not backend.owns(shift)
            or shift.dtype != y_true.dtype
            or tuple(shift.shape) != shape
        ):
            shift = self._shift = backend.xp.mean(y_true, axis=axes)
        return shift


def _of_output(residual: float, squares: float, centred: float, total: float) -> float:
    variation = squares - centred * centred / total
    if variation <= 1e-6 * squares:  # what rounding in float32 leaves of targets that are equal
        return 0.0 if residual else 1.0
    return 1 - ratio(residual, variation)
