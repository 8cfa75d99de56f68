"""What is reported beside the loss: a number for each sample, averaged over all of them."""

from __future__ import annotations

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of


class Metric:
    """Base class of the metrics: `forward` gives a number for each sample.

    Attributes
    ----------
    name : str
        Its key in a history.
    """

    name: str

    def prepare(self, y_true: Array) -> None:
        """Look at all targets before training, where the metric depends on them."""

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        """The metric of each sample, shape (batch,), in y_pred's dtype. Their mean is reported."""
        raise NotImplementedError


class CategoricalAccuracy(Metric):
    """Share of samples whose highest output is that of the true class.

    `y_true` holds class indices (batch,) or one-hot rows (batch, classes).

    Source: *Neural Networks from Scratch*, chapter 5.
    """

    name = "accuracy"

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp = backend_of(y_pred).xp
        if y_true.ndim == 2:
            y_true = xp.argmax(y_true, axis=1)
        hits: Array = xp.astype(xp.argmax(y_pred, axis=1) == y_true, y_pred.dtype)
        return hits


class BinaryAccuracy(Metric):
    """Share of the outputs that are on the right side of the threshold.

    Parameters
    ----------
    threshold : float
        0.5 for probabilities, 0 for logits.

    Notes
    -----
    Averaged over the outputs of each sample first, so it is at most 1 for several outputs too.

    Source: *Neural Networks from Scratch*, chapter 16.
    """

    name = "accuracy"

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp = backend_of(y_pred).xp
        if y_true.ndim == 1:
            y_true = y_true[:, None]
        truths = xp.astype(y_true, xp.bool, copy=False)
        hits: Array = xp.mean(xp.astype((y_pred > self.threshold) == truths, y_pred.dtype), axis=1)
        return hits


class RegressionAccuracy(Metric):
    """Share of the outputs that are closer to their target than a precision.

    Parameters
    ----------
    precision : float, optional
        In units of y. By default the standard deviation of the training targets over 250.

    Source: *Neural Networks from Scratch*, chapter 17.
    """

    name = "accuracy"

    def __init__(self, precision: float | None = None) -> None:
        self.precision = (
            None
            if precision is None
            else _checks.check_range("precision", precision, 0, open_low=True)
        )
        self._deduced: Array | float | None = self.precision

    def prepare(self, y_true: Array) -> None:
        if self.precision is None:
            self._deduced = self._deduce(y_true)

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp = backend_of(y_pred).xp
        if y_true.ndim == 1:
            y_true = y_true[:, None]
        precision = self._deduce(y_true) if self._deduced is None else self._deduced
        close = xp.abs(y_pred - xp.astype(y_true, y_pred.dtype, copy=False)) < precision
        hits: Array = xp.mean(xp.astype(close, y_pred.dtype), axis=1)
        return hits

    @staticmethod
    def _deduce(y_true: Array) -> Array:
        deviation: Array = backend_of(y_true).xp.std(y_true)
        return deviation / 250
