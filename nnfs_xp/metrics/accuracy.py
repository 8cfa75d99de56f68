"""Shares of samples or outputs that are right."""

from __future__ import annotations

from nnfs_xp import _checks
from nnfs_xp._rows import one_hot
from nnfs_xp._typing import Array, DType, Namespace
from nnfs_xp.backend import backend_of
from nnfs_xp.errors import ArgumentError
from nnfs_xp.metrics.base import Metric, ThresholdMetric, class_indices, widest, yes


class CategoricalAccuracy(Metric):
    """Share of samples whose highest output is that of the true class.

    `y_true` holds class indices (batch, …) or one-hot rows (batch, …, classes); for a model with
    one output, 0 and 1.

    Raises
    ------
    ArgumentError
        Several outputs tell no single class: that of a yes-or-no loss.
    LabelError
        The labels have the wrong length, shape or type.

    Notes
    -----
    Source: *Neural Networks from Scratch*, chapter 5.
    """

    name = "accuracy"
    sees = "classes"
    direction = "max"

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp = _checks.check_pair(y_pred, y_true).xp
        if y_pred.shape[-1] == 1:
            right = ((y_pred > 0.5) == yes(xp, y_pred, y_true))[..., 0]
        else:
            right = xp.argmax(y_pred, axis=-1) == class_indices(xp, y_pred, y_true)
        hits: Array = xp.astype(right, y_pred.dtype)
        return hits


class TopKAccuracy(Metric):
    """Share of samples with the true class among the k highest outputs.

    `y_true` holds class indices (batch, …) or one-hot rows (batch, …, classes). Of equal outputs
    the true class' counts as the highest.

    Parameters
    ----------
    k : int

    Raises
    ------
    ArgumentError
        There are fewer than k outputs, or one only, or they tell no single class.
    LabelError
        The labels have the wrong length, shape or type.

    Notes
    -----
    A sample is right if fewer than k outputs are above that of the true class: nothing is
    sorted. A sample with an output of NaN at the true class is wrong.
    """

    sees = "classes"
    direction = "max"

    def __init__(self, k: int = 5) -> None:
        self.k = _checks.check_count("k", k)
        self.name = f"top_{k}_accuracy"

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        backend = _checks.check_pair(y_pred, y_true)
        xp, outputs = backend.xp, y_pred.shape[-1]
        if outputs == 1:
            raise ArgumentError(
                "TopKAccuracy ranks the outputs of several classes, and the model has one output. "
                "Give BinaryAccuracy."
            )
        if self.k > outputs:
            raise ArgumentError(f"`k` must be at most {outputs}, the outputs; got {self.k}.")
        is_true = one_hot(xp, class_indices(xp, y_pred, y_true), outputs)
        of_true = xp.max(xp.where(is_true, y_pred, -float("inf")), axis=-1, keepdims=True)
        above = xp.sum(xp.astype(~(y_pred <= of_true), xp.int64), axis=-1)
        hits: Array = xp.astype(above < self.k, y_pred.dtype)
        return hits


class BinaryAccuracy(ThresholdMetric):
    """Share of the outputs that are on the right side of the threshold.

    Parameters
    ----------
    threshold : float
        Of probabilities, or of scores under a loss that has none. At 0.5 it is what
        `Trainer.predict` says, whatever the loss.

    Raises
    ------
    LabelError
        `y_true` has another shape than y_pred; (batch, …) will do for one output.

    Notes
    -----
    A target above 0.5 says yes: one of 0 and 1, or a share.

    Averaged over the outputs of each sample first, so it is at most 1 for several outputs too.

    Source: *Neural Networks from Scratch*, chapter 16.
    """

    name = "accuracy"
    direction = "max"

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp = _checks.check_pair(y_pred, y_true).xp
        right = (y_pred > self.threshold) == yes(xp, y_pred, y_true)
        return _share(xp, right, y_pred.dtype)


class RegressionAccuracy(Metric):
    """Share of the outputs that are closer to their target than a precision.

    Parameters
    ----------
    precision : float, optional
        In units of y. By default the standard deviation of the training targets over 250.

    Raises
    ------
    LabelError
        `y_true` has another shape than y_pred; (batch, …) will do for one output.
    DTypeError
        `y_true` holds floats of another dtype than the predictions.

    Notes
    -----
    Source: *Neural Networks from Scratch*, chapter 17.
    """

    name = "accuracy"
    sees = "predictions"
    direction = "max"

    def __init__(self, precision: float | None = None) -> None:
        if precision is not None:
            precision = _checks.check_range("precision", precision, 0, open_low=True)
        self.precision = precision
        self._deduced: Array | float | None = precision

    def prepare(self, y_true: Array) -> None:
        if self.precision is None:
            self._deduced = self._deduce(y_true)

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        precision = self._deduce(y_true) if self._deduced is None else self._deduced
        return _share(xp, xp.abs(y_pred - y_true) < precision, y_pred.dtype)

    @staticmethod
    def _deduce(y_true: Array) -> Array:
        xp = backend_of(y_true).xp
        deviation: Array = xp.std(widest(y_true)) / 250
        return deviation if y_true.dtype == deviation.dtype else xp.astype(deviation, xp.float32)


def _share(xp: Namespace, right: Array, dtype: DType) -> Array:
    """The share of each sample's outputs that are right."""
    hits = xp.astype(right, dtype)
    share: Array = hits[..., 0] if hits.shape[-1] == 1 else xp.mean(hits, axis=-1)
    return share
