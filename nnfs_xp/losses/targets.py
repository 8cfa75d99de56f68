"""What the losses on one kind of target share: classes, yes-or-no answers, values."""

from __future__ import annotations

from math import isnan
from operator import index

from nnfs_xp import _checks
from nnfs_xp._finite import check_finite
from nnfs_xp._typing import Array, DType, Namespace
from nnfs_xp.backend import Backend, backend_of, to_numpy
from nnfs_xp.errors import ArgumentError, LabelError
from nnfs_xp.kernels.standard.losses import shares
from nnfs_xp.losses.base import Loss
from nnfs_xp.metrics import BinaryAccuracy, CategoricalAccuracy, Metric, RegressionAccuracy

_MISSING = "Labels are missing there: drop those samples, or fill them in."


class CategoricalLoss(Loss):
    """Base of the losses on classes: indices (batch, …), or rows of shares (batch, …, classes).

    Parameters
    ----------
    ignore_index : int, optional
        A label that does not count, and is no class: the mean is over the other places.
    """

    has_classes = True
    takes_shares = True
    """Whether a target may be of several classes, each with a share."""

    def __init__(self, ignore_index: int | None = None) -> None:
        if ignore_index is not None:
            try:
                ignore_index = index(ignore_index)
            except TypeError:
                raise ArgumentError(
                    f"`ignore_index` must be a whole number; got {_checks.quoted(ignore_index)}."
                ) from None
        self.ignore_index = ignore_index

    @property
    def ignores_some(self) -> bool:
        return self.ignore_index is not None

    def counted(self, y_true: Array, places: tuple[int, ...]) -> Array | None:
        if self.ignore_index is None or y_true.ndim != len(places):
            return None
        xp = backend_of(y_true).xp
        labels: Array = xp.astype(y_true, xp.int64, copy=False)  # uint8 has no -100
        return labels != self.ignore_index

    def prepare_targets(self, y_true: Array, n_outputs: int, dtype: DType) -> Array:
        backend = backend_of(y_true)
        xp = backend.xp
        if (
            y_true.ndim == 1
            and backend.is_floating(y_true.dtype)
            and bool(xp.any(y_true != y_true))
        ):
            raise LabelError(
                f"`y_true` must hold class indices; it has NaN in places. {_MISSING} Or give them "
                "an integer that is no class, and the loss that as `ignore_index`."
            )
        _checks.check_labels(xp, y_true, n_outputs)
        self._check_ignored(n_outputs)
        if y_true.ndim == 2:
            rows: Array = xp.astype(y_true, dtype, copy=False)
            self._check_shares(xp, rows)
            return rows
        # Cast first: PyTorch has no minimum of its larger unsigned integers.
        labels: Array = xp.astype(y_true, xp.int64, copy=False)
        counted = self.counted(labels, tuple(labels.shape))
        classes = labels if counted is None else xp.where(counted, labels, xp.zeros_like(labels))
        low, high = int(xp.min(classes)), int(xp.max(classes))
        if low < 0 or high >= n_outputs:
            raise LabelError(
                f"`y_true` must hold class indices from 0 to {n_outputs - 1}, one for each of the "
                f"model's outputs; got values from {low} to {high}."
            )
        return labels

    def _check_shares(self, xp: Namespace, rows: Array) -> None:
        sums = xp.sum(rows, axis=1)
        if self.takes_shares:
            right = xp.all(rows >= 0, axis=1) & (xp.abs(sums - 1) <= 1e-3)
            wanted = "hold one 1 and otherwise 0, or shares of the classes, at least 0 and 1 in sum"
        else:
            right = xp.all((rows == 0) | (rows == 1), axis=1) & (sums == 1)
            wanted = "hold one 1 and otherwise 0"
        if not bool(xp.all(right)):
            bad = int(xp.argmin(xp.astype(right, xp.int64)))
            values = ", ".join(f"{value:g}" for value in to_numpy(rows[bad, :])[:8].tolist())
            more = ", …" if rows.shape[1] > 8 else ""
            raise LabelError(
                f"each one-hot row of `y_true` must {wanted}; row {bad} is ({values}{more})."
            )

    def _check_ignored(self, n_classes: int) -> None:
        if self.ignore_index is not None and 0 <= self.ignore_index < n_classes:
            raise ArgumentError(
                f"`ignore_index` {self.ignore_index} is one of the {n_classes} classes. Give what "
                "does not count another label, -100 for example."
            )

    def shares_of(
        self, backend: Backend, y_pred: Array, y_true: Array, label_smoothing: float = 0.0
    ) -> tuple[Array, Array | None]:
        """The labels as rows like those of y_pred, one-hot unless smoothed, and what counts.

        Raises
        ------
        LabelError, DTypeError, ArgumentError
            The labels do not fit y_pred.
        """
        y_true, counted = self.labels_of(backend, y_pred, y_true)
        return shares(backend.xp, y_true, y_pred, label_smoothing), counted

    def labels_of(
        self, backend: Backend, y_pred: Array, y_true: Array
    ) -> tuple[Array, Array | None]:
        """The labels, checked, with class 0 for what does not count; and what counts."""
        places = y_pred.shape[:-1]
        _checks.check_labels(backend.xp, y_true, y_pred.shape[-1], places)
        if y_true.ndim == y_pred.ndim:
            _checks.check_target_dtype(y_pred, y_true, backend)
        if self.ignore_index is None:
            return y_true, None
        self._check_ignored(y_pred.shape[-1])
        counted = self.counted(y_true, places)
        if counted is None:
            return y_true, None
        labels: Array = backend.xp.where(counted, y_true, backend.xp.zeros_like(y_true))
        return labels, counted

    def accuracy(self) -> Metric:
        return CategoricalAccuracy()

    def predictions(self, y_pred: Array) -> Array:
        labels: Array = backend_of(y_pred).xp.argmax(y_pred, axis=-1)
        return labels


def first_of(values: Array, wrong: Array) -> float | None:
    """The first of the values that are wrong, None where none is. It waits for the device."""
    xp = backend_of(values).xp
    if not bool(xp.any(wrong)):
        return None
    place = int(xp.argmax(xp.astype(xp.reshape(wrong, (-1,)), xp.int64)))
    return float(xp.reshape(values, (-1,))[place])


def where_counted(xp: Namespace, values: Array, counted: Array | None) -> Array:
    """The values, 0 where they do not count."""
    if counted is None:
        return values
    kept: Array = xp.where(
        counted if counted.ndim == values.ndim else counted[..., None], values, 0.0
    )
    return kept


def dot_rows(xp: Namespace, shares: Array, values: Array) -> Array:
    """The sum of shares * values over the last axis, where 0 times infinity is 0."""
    terms = xp.where(shares != 0, values, 0.0)
    terms *= shares
    total: Array = xp.sum(terms, axis=-1)
    return total


class BinaryLoss(Loss):
    """Base of the losses on yes-or-no outputs: 0 and 1, in the shape of the predictions."""

    has_classes = True
    threshold = 0.0
    """An output above this says yes."""

    def prepare_targets(self, y_true: Array, n_outputs: int, dtype: DType) -> Array:
        xp = backend_of(y_true).xp
        y_true = _checks.match_outputs(y_true, (*y_true.shape[:1], n_outputs))
        y_true = xp.astype(y_true, dtype, copy=False)
        found = first_of(y_true, (y_true != 0) & (y_true != 1))
        if found is not None:
            missing = f" {_MISSING}" if isnan(found) else ""
            raise LabelError(
                f"`y_true` must hold 0 and 1 only, one column for each output; got {found:g}."
                f"{missing}"
            )
        return y_true

    def accuracy(self) -> Metric:
        return BinaryAccuracy()

    def predictions(self, y_pred: Array) -> Array:
        xp = backend_of(y_pred).xp
        labels: Array = xp.astype(y_pred > self.threshold, xp.int64)
        return labels

    def decisions(self, y_pred: Array) -> Array:
        decided: Array = backend_of(y_pred).xp.astype(y_pred > self.threshold, y_pred.dtype)
        return decided

    def class_scores(self, y_pred: Array) -> Array:
        if y_pred.shape[-1] > 1:
            raise ArgumentError(
                f"under {type(self).__name__} each of the {y_pred.shape[-1]} outputs says yes or "
                "no by itself, and there is no single class to be right about. Give BinaryAccuracy "
                "or ROCAUC, or a loss for classes that exclude each other."
            )
        return self.decisions(y_pred)


class RegressionLoss(Loss):
    """Base of the losses on values, (batch, …, outputs) or (batch, …) for one output."""

    def prepare_targets(self, y_true: Array, n_outputs: int, dtype: DType) -> Array:
        xp = backend_of(y_true).xp
        given = _checks.match_outputs(y_true, (*y_true.shape[:1], n_outputs))
        targets: Array = xp.astype(given, dtype, copy=False)
        check_finite("y_true", targets, given)
        return targets

    def accuracy(self) -> Metric:
        return RegressionAccuracy()
