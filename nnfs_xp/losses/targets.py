"""What the losses on one kind of target share: classes, yes-or-no answers, values."""

from __future__ import annotations

from nnfs_xp import _checks
from nnfs_xp._typing import Array, DType, Namespace
from nnfs_xp.backend import Backend, backend_of
from nnfs_xp.errors import DataError, LabelError
from nnfs_xp.kernels.standard.losses import shares
from nnfs_xp.losses.base import Loss
from nnfs_xp.metrics import BinaryAccuracy, CategoricalAccuracy, Metric, RegressionAccuracy


class CategoricalLoss(Loss):
    """Base of the losses on classes: indices (batch,) or one-hot rows (batch, classes)."""

    has_classes = True

    def prepare_targets(self, y_true: Array, n_outputs: int, dtype: DType) -> Array:
        xp = backend_of(y_true).xp
        _checks.check_labels(xp, y_true, n_outputs)
        if y_true.ndim == 2:
            rows: Array = xp.astype(y_true, dtype, copy=False)
            is_binary = xp.all((rows == 0) | (rows == 1), axis=1)
            if not bool(xp.all(is_binary & (xp.sum(rows, axis=1) == 1))):
                raise LabelError("each one-hot row of `y_true` must hold one 1 and otherwise 0.")
            return rows
        # Cast first: PyTorch has no minimum of its larger unsigned integers.
        labels: Array = xp.astype(y_true, xp.int64, copy=False)
        low, high = int(xp.min(labels)), int(xp.max(labels))
        if low < 0 or high >= n_outputs:
            raise LabelError(
                f"`y_true` must hold class indices from 0 to {n_outputs - 1}, one for each of the "
                f"model's outputs; got values from {low} to {high}."
            )
        return labels

    def accuracy(self) -> Metric:
        return CategoricalAccuracy()

    def predictions(self, y_pred: Array) -> Array:
        labels: Array = backend_of(y_pred).xp.argmax(y_pred, axis=1)
        return labels


def check_classes(backend: Backend, y_pred: Array, y_true: Array) -> None:
    """Refuse labels other than one for each row of y_pred, and rows of another dtype."""
    n, k = y_pred.shape
    _checks.check_labels(backend.xp, y_true, k, n)
    if y_true.ndim == 2:
        _checks.check_target_dtype(y_pred, y_true, backend)


def shares_of(
    backend: Backend, y_pred: Array, y_true: Array, label_smoothing: float = 0.0
) -> Array:
    """Check the labels; return them as rows like those of y_pred, one-hot unless smoothed."""
    check_classes(backend, y_pred, y_true)
    return shares(backend.xp, y_true, y_pred, label_smoothing)


def dot_rows(xp: Namespace, shares: Array, values: Array) -> Array:
    """The sum of shares * values over each row, where 0 times infinity is 0."""
    terms = xp.where(shares != 0, values, 0.0)
    terms *= shares
    total: Array = xp.sum(terms, axis=1)
    return total


class BinaryLoss(Loss):
    """Base of the losses on yes-or-no outputs: 0 and 1, (batch, outputs) or (batch,) for one."""

    has_classes = True
    threshold = 0.0
    """An output above this says yes."""

    def prepare_targets(self, y_true: Array, n_outputs: int, dtype: DType) -> Array:
        xp = backend_of(y_true).xp
        y_true = _checks.match_outputs(y_true, (*y_true.shape[:1], n_outputs))
        y_true = xp.astype(y_true, dtype, copy=False)
        if not bool(xp.all((y_true == 0) | (y_true == 1))):
            raise LabelError("`y_true` must hold 0 and 1 only, one column for each output.")
        return y_true

    def accuracy(self) -> Metric:
        return BinaryAccuracy(threshold=self.threshold)

    def predictions(self, y_pred: Array) -> Array:
        xp = backend_of(y_pred).xp
        labels: Array = xp.astype(y_pred > self.threshold, xp.int64)
        return labels


class RegressionLoss(Loss):
    """Base of the losses on values, (batch, outputs) or (batch,) for one output."""

    def prepare_targets(self, y_true: Array, n_outputs: int, dtype: DType) -> Array:
        xp = backend_of(y_true).xp
        y_true = _checks.match_outputs(y_true, (*y_true.shape[:1], n_outputs))
        y_true = xp.astype(y_true, dtype, copy=False)
        if not bool(xp.all(xp.isfinite(y_true))):
            raise DataError("`y_true` holds NaN or infinity. Remove or fill those samples.")
        return y_true

    def accuracy(self) -> Metric:
        return RegressionAccuracy()
