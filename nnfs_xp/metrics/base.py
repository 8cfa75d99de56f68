"""What every metric is: sums over batches on the device, and the figure they give in the end."""

from __future__ import annotations

from math import prod
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._rows import one_hot
from nnfs_xp._settings import repr_of
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.backend import backend_of
from nnfs_xp.errors import ArgumentError, ShapeError


class Metric:
    """Base class of the metrics; derive from it to write one of your own.

    Where the figure is a mean over the samples, give `forward`, a number for each sample, and
    nothing else. Where it is not, give `accumulate`, the sums over a batch that it can be
    computed from, and `result`, which computes it from the sums over all batches.

    A `Trainer` hands it what the model's output stands for under the loss, as `sees` says, in rows
    of shape (batch, outputs): where samples are no rows, all places of all samples one below the
    other.

    Attributes
    ----------
    name : str
        Its key in a history. Set another on the object to tell two of one class apart.
    sees : {"probabilities", "predictions", "classes", "outputs"}
        What it takes as `y_pred`. ``"probabilities"``: those of `Trainer.predict_proba`; where the
        loss has none, scores of classes, or the values of `Trainer.predict`. ``"predictions"``:
        what `Trainer.predict` says, 0 and 1 for each output, of classes a single 1, and values for
        a regression. ``"classes"``: scores, the highest of which is the class predicted, or 0 and
        1 of one output; refused where several outputs tell no single class. ``"outputs"``: what
        the model puts out, logits for example.
    direction : {"min", "max"} or None
        Whether less or more of it is better: what callbacks go by. None where neither is.
    collects : bool
        Whether `accumulate` gives a row for each sample, shape (batch, columns); rows are put
        one below the other, not added. For what needs all scores at once.
    """

    name: str
    direction: str | None = None
    sees: str = "probabilities"
    collects: bool = False

    __repr__ = repr_of

    def prepare(self, y_true: Array) -> None:
        """Read all targets before training, where the metric depends on them.

        A trainer calls it on a copy of the object, a new one for each `fit`: what is learnt here is
        the trainer's own.
        """

    def check_probabilities(self) -> None:
        """Refuse settings that make no sense where it sees probabilities: before training."""

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        """The metric of each sample, shape (batch, …): of each place. Their mean is reported."""
        raise NotImplementedError

    def accumulate(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        """The sums of a batch, on its device; no value is read.

        Parameters
        ----------
        y_pred : array, shape (batch, …, outputs)
        y_true : array
        sample_weight : array, shape (batch,) or (batch, …), optional
            On y_pred's device, of its dtype.

        Returns
        -------
        array, 1-D, always of one length
            Those of several batches are added. By default the sum of weight times `forward`
            and the sum of weights.
        """
        xp, places = backend_of(y_pred).xp, tuple(y_pred.shape[:-1])
        values = self.forward(y_pred, y_true)
        shape = getattr(values, "shape", None)
        if shape is None or tuple(shape) != places:
            got = type(values).__name__ if shape is None else tuple(shape)
            raise ShapeError(
                f"{type(self).__name__}.forward must give one number for each sample, shape "
                f"{places}; got {got}."
            )
        values = xp.astype(values, y_pred.dtype, copy=False)
        if sample_weight is None:
            n = float(prod(places))
            sums: Array = xp.full((2,), n, dtype=y_pred.dtype, device=y_pred.device)
            sums[0] = xp.sum(values)
            return sums
        weights = weights_of(y_pred, sample_weight)
        weighted: Array = xp.stack([xp.sum(weights * values), xp.sum(weights)])
        return weighted

    def result(self, sums: Any) -> Any:
        """The figure, given the sums over all batches.

        Parameters
        ----------
        sums : ndarray of float64
            On the host: 1-D, or 2-D with a row for each sample where the metric `collects`.

        Returns
        -------
        float
            Or something else that `Trainer.evaluate` hands on; a history keeps floats only.
        """
        return ratio(sums[0], sums[1], empty=float("nan"))


class ThresholdMetric(Metric):
    """What the metrics share that say yes above a threshold.

    At 0.5 they take what `Trainer.predict` says, whatever the loss; at any other, probabilities,
    or scores under a loss that has none.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = _checks.check_finite_number("threshold", threshold)

    @property
    def sees(self) -> str:  # type: ignore[override] # it follows from the threshold
        """``"predictions"`` at the threshold 0.5, else ``"probabilities"``."""
        return "predictions" if self.threshold == 0.5 else "probabilities"

    def check_probabilities(self) -> None:
        if not 0 < self.threshold < 1:
            raise ArgumentError(
                f"`threshold` of {self.name} must be between 0 and 1 under this loss, for it is "
                f"one of probabilities, not of logits; got {self.threshold:g}."
            )


def weights_of(y_pred: Array, sample_weight: Array | None) -> Array:
    """The weight of each place, shape (batch, …), checked; ones if there are none."""
    places = y_pred.shape[:-1]
    if sample_weight is None:
        ones: Array = backend_of(y_pred).xp.ones(places, dtype=y_pred.dtype, device=y_pred.device)
        return ones
    weights = _checks.check_weights(sample_weight, y_pred, places)
    if weights.shape == places:
        return weights
    spread: Array = backend_of(y_pred).xp.broadcast_to(weights, places)
    return spread


def widest(values: Array) -> Array:
    """The values in float64, or in float32 where the device has no other."""
    backend = backend_of(values)
    dtypes = backend.xp.__array_namespace_info__().dtypes(device=backend.device)
    return backend.asarray(values, "float64" if "float64" in dtypes else "float32")


def class_indices(xp: Namespace, y_pred: Array, y_true: Array) -> Array:
    """The labels, indices or rows, checked; as integers of shape (batch, …)."""
    _checks.check_labels(xp, y_true, y_pred.shape[-1], y_pred.shape[:-1])
    if y_true.ndim == y_pred.ndim:
        y_true = xp.argmax(xp.astype(y_true, y_pred.dtype, copy=False), axis=-1)
    indices: Array = xp.astype(y_true, xp.int64, copy=False)
    return indices


def true_outputs(xp: Namespace, y_pred: Array, y_true: Array) -> Array:
    """Which outputs the labels call true, booleans of y_pred's shape.

    Of class indices it is the one of that class; of rows those with the largest entry, which are
    all ones of a row of 0 and 1, and none of a row of 0.
    """
    k = y_pred.shape[-1]
    if k == 1:
        return yes(xp, y_pred, y_true)
    if y_true.ndim < y_pred.ndim:
        return one_hot(xp, class_indices(xp, y_pred, y_true), k)
    _checks.check_labels(xp, y_true, k, y_pred.shape[:-1])
    rows = xp.astype(y_true, y_pred.dtype, copy=False)
    true: Array = (rows == xp.max(rows, axis=-1, keepdims=True)) & (rows > 0)
    return true


def yes(xp: Namespace, y_pred: Array, y_true: Array) -> Array:
    """Which outputs the targets say yes to, booleans of y_pred's shape."""
    targets = _checks.match_outputs(y_true, y_pred.shape)
    said: Array = xp.astype(targets, y_pred.dtype, copy=False) > 0.5
    return said


def weighted_sums(weights: Array, values: Array) -> Array:
    """The sum over all places of weight times value, for each column of the values.

    It takes no matrix product, for not every device can record one as part of a step.
    """
    axes = tuple(range(values.ndim - 1))
    sums: Array = backend_of(values).xp.sum(weights[..., None] * values, axis=axes)
    return sums


def ratio(part: float, whole: float, empty: float = 0.0) -> float:
    """Divide the part by the whole; return `empty` where the whole is 0."""
    return float(part) / float(whole) if whole else empty
