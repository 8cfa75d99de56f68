"""Losses on values: the distance of predictions from targets."""

from __future__ import annotations

from math import prod

from nnfs_xp._typing import Array, DType
from nnfs_xp.backend import backend_of
from nnfs_xp.errors import DataError, DTypeError, LabelError
from nnfs_xp.losses.base import Loss, check_pair
from nnfs_xp.metrics import Metric, RegressionAccuracy


def match_outputs(y_true: Array, shape: tuple[int, ...]) -> Array:
    """The targets in the shape (batch, outputs) of the predictions; (batch,) will do for one.

    Nothing else is broadcast: (batch,) against (batch, 1) would silently make (batch, batch).
    """
    if y_true.shape == shape:
        return y_true
    if y_true.ndim == 1 and tuple(shape) == (y_true.shape[0], 1):
        return y_true[:, None]
    raise LabelError(
        f"`y_true` must have the shape of the predictions, {tuple(shape)}; "
        f"got {tuple(y_true.shape)}."
    )


class _Regression(Loss):
    """What the losses on values share: the targets."""

    def _difference(self, y_pred: Array, y_true: Array) -> Array:
        xp = check_pair(y_pred, y_true).xp
        if y_true.dtype != y_pred.dtype and xp.isdtype(y_true.dtype, "real floating"):
            raise DTypeError(
                f"`y_true` must have the dtype of the predictions, {y_pred.dtype}; "
                f"got {y_true.dtype}. Convert it first."
            )
        difference: Array = y_pred - xp.astype(
            match_outputs(y_true, y_pred.shape), y_pred.dtype, copy=False
        )
        return difference

    def prepare_targets(self, y_true: Array, n_outputs: int, dtype: DType) -> Array:
        xp = backend_of(y_true).xp
        y_true = xp.astype(match_outputs(y_true, (y_true.shape[0], n_outputs)), dtype, copy=False)
        if not bool(xp.all(xp.isfinite(y_true))):
            raise DataError("`y_true` holds NaN or infinity. Remove or fill those samples.")
        return y_true

    def accuracy(self) -> Metric:
        return RegressionAccuracy()


class MeanSquaredError(_Regression):
    """Mean of the squared differences over the outputs.

    `y_true` has the shape of `y_pred`, (batch, outputs), or (batch,) for one output.

    Raises
    ------
    LabelError
        `y_true` has another shape.

    Notes
    -----
    Forward: loss = mean((y_pred - y_true)**2) over the outputs, in squared units of y.

    Backward: dinputs = 2 (y_pred - y_true) / outputs / batch.

    Source: *Neural Networks from Scratch*, chapter 17.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        difference = self._difference(y_pred, y_true)
        losses: Array = backend_of(y_pred).xp.mean(difference * difference, axis=1)
        return losses

    def backward(self, y_pred: Array, y_true: Array) -> Array:
        return self._difference(y_pred, y_true) * (2 / prod(y_pred.shape))


class MeanAbsoluteError(_Regression):
    """Mean of the absolute differences over the outputs.

    `y_true` has the shape of `y_pred`, (batch, outputs), or (batch,) for one output.

    Raises
    ------
    LabelError
        `y_true` has another shape.

    Notes
    -----
    Forward: loss = mean(|y_pred - y_true|) over the outputs, in units of y.

    Backward: dinputs = sign(y_pred - y_true) / outputs / batch. The book's code has the
    opposite sign, which climbs instead of descending.

    Source: *Neural Networks from Scratch*, chapter 17.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp = backend_of(y_pred).xp
        losses: Array = xp.mean(xp.abs(self._difference(y_pred, y_true)), axis=1)
        return losses

    def backward(self, y_pred: Array, y_true: Array) -> Array:
        dinputs: Array = backend_of(y_pred).xp.sign(self._difference(y_pred, y_true))
        return dinputs / prod(y_pred.shape)
