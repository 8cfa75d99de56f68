"""Figures from the counts of true and predicted classes."""

from __future__ import annotations

from typing import Any

from nnfs_xp import _checks
from nnfs_xp._rows import as_rows, one_hot
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.backend import backend_of
from nnfs_xp.errors import ArgumentError, LabelError
from nnfs_xp.metrics.base import (
    ThresholdMetric,
    class_indices,
    ratio,
    weighted_sums,
    weights_of,
    yes,
)


class _ClassMetric(ThresholdMetric):
    """What the metrics on classes share: which class is true, and which is predicted.

    The predicted class is that of the highest output; of one output, class 1 above the
    threshold and else class 0. So it is of two outputs where the threshold is not 0.5.
    """

    @property
    def sees(self) -> str:  # type: ignore[override] # it follows from the threshold
        """``"classes"`` at the threshold 0.5, else ``"probabilities"``."""
        return "classes" if self.threshold == 0.5 else "probabilities"

    def prepare(self, y_true: Array) -> None:
        xp = backend_of(y_true).xp
        if y_true.ndim == 2 and y_true.shape[1] > 1:
            ones = xp.sum(xp.astype(y_true == 1, xp.int64), axis=-1)
            if bool(xp.any(ones > 1)) or not bool(xp.all(xp.any(y_true != 0, axis=-1))):
                raise LabelError(
                    f"{self.name} needs one class a sample; `y_true` has rows with none or several."
                )

    def _one_hot(self, y_pred: Array, y_true: Array) -> tuple[Namespace, Array, Array]:
        """The true and the predicted classes as one-hot rows (places, classes)."""
        xp = _checks.check_pair(y_pred, y_true).xp
        k = y_pred.shape[-1]
        if k > 2 and self.threshold != 0.5:
            raise ArgumentError(
                f"`threshold` of {self.name} is for one output, or for two classes; the model "
                f"tells {k} apart, and the highest output says which. Leave it out."
            )
        if k == 1:
            labels = xp.astype(yes(xp, y_pred, y_true)[..., 0], xp.int64)
        else:
            labels = class_indices(xp, y_pred, y_true)
        if k == 1 or self.threshold != 0.5:
            predicted = xp.astype(y_pred[..., -1] > self.threshold, xp.int64)
        else:
            predicted = xp.argmax(y_pred, axis=-1)
        rows = (one_hot(xp, classes, max(k, 2)) for classes in (labels, predicted))
        truths, guesses = (as_rows(xp, xp.astype(each, y_pred.dtype)) for each in rows)
        return xp, truths, guesses


class ConfusionMatrix(_ClassMetric):
    """How often each class was taken for each: a row for each true class, a column a predicted.

    `y_true` holds class indices (batch, …) or one-hot rows (batch, …, classes); for a model with
    one output, 0 and 1. `Trainer.evaluate` returns the matrix as a list of rows, each a list of
    floats; a history, which holds numbers, leaves it out.

    Parameters
    ----------
    n_classes : int
        2 for a model with one output.
    threshold : float
        For one output, or for class 1 of two: of probabilities, or of scores under a loss that
        has none. At 0.5 it is what `Trainer.predict` says, whatever the loss.

    Raises
    ------
    ArgumentError
        The model has not `n_classes` outputs, or they tell no single class; or there is another
        threshold for more than two classes.
    LabelError
        The labels have the wrong length, shape or type.
    """

    name = "confusion_matrix"

    def __init__(self, n_classes: int, threshold: float = 0.5) -> None:
        super().__init__(threshold)
        self.n_classes = _checks.check_count("n_classes", n_classes, least=2)

    def accumulate(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp, truths, guesses = self._one_hot(y_pred, y_true)
        if truths.shape[1] != self.n_classes:
            raise ArgumentError(
                f"`n_classes` is {self.n_classes}, but the model tells {truths.shape[1]} apart."
            )
        weighted = truths * xp.reshape(weights_of(y_pred, sample_weight), (-1, 1))
        k = self.n_classes
        counts: Array = xp.empty((k, k), dtype=weighted.dtype, device=weighted.device)
        backend_of(y_pred).kernels.matmul_into(xp, weighted.T, guesses, counts)
        flat: Array = xp.reshape(counts, (-1,))
        return flat

    def result(self, sums: Any) -> list[list[float]]:
        k = self.n_classes
        return [[float(count) for count in sums[start : start + k]] for start in range(0, k * k, k)]


class _ClassAverage(_ClassMetric):
    """A figure of each class, from its hits, predicted and true samples, and their average."""

    def __init__(self, average: str = "auto", threshold: float = 0.5) -> None:
        super().__init__(threshold)
        if average not in ("auto", "macro", "binary"):
            raise ArgumentError(
                f"`average` must be 'auto', 'macro' or 'binary'; got {_checks.quoted(average)}."
            )
        self.average = average

    def accumulate(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp, truths, guesses = self._one_hot(y_pred, y_true)
        if self.average == "binary" and truths.shape[1] != 2:
            raise ArgumentError(
                f"average='binary' is for two classes; the model tells {truths.shape[1]} apart."
            )
        if self.average == "binary" or (self.average == "auto" and y_pred.shape[-1] == 1):
            truths, guesses = truths[:, 1:], guesses[:, 1:]
        weights = xp.reshape(weights_of(y_pred, sample_weight), (-1,))
        sums: Array = xp.concat(
            [weighted_sums(weights, a) for a in (truths * guesses, guesses, truths)]
        )
        return sums

    def result(self, sums: Any) -> float:
        k = len(sums) // 3
        classes = zip(sums[:k], sums[k : 2 * k], sums[2 * k :], strict=True)
        figures = [self._of_class(*counts) for counts in classes if counts[1] or counts[2]]
        return ratio(sum(figures), len(figures))

    @staticmethod
    def _of_class(hits: float, predicted: float, true: float) -> float:
        raise NotImplementedError


class Precision(_ClassAverage):
    """Share of the samples predicted to be of a class that are of it.

    `y_true` holds class indices (batch, …) or one-hot rows (batch, …, classes); for a model with
    one output, 0 and 1.

    Parameters
    ----------
    average : {"auto", "macro", "binary"}
        ``"macro"`` is the mean over the classes that occur, as true or as predicted ones;
        ``"binary"`` is the figure of class 1 of two. By default binary for a model with one
        output, else macro.
    threshold : float
        For one output, or for class 1 of two: of probabilities, or of scores under a loss that
        has none. At 0.5 it is what `Trainer.predict` says, whatever the loss.

    Raises
    ------
    ArgumentError
        ``"binary"``, or another threshold, for more than two classes; or several outputs that
        tell no single class.
    LabelError
        The labels have the wrong length, shape or type.

    Notes
    -----
    precision = hits / predicted for each class, 0 where none is predicted; scikit-learn's
    `precision_score`.
    """

    name = "precision"
    direction = "max"

    @staticmethod
    def _of_class(hits: float, predicted: float, true: float) -> float:
        del true
        return ratio(hits, predicted)


class Recall(_ClassAverage):
    """Share of the samples of a class that are predicted to be of it.

    Labels, parameters and errors are those of `Precision`.

    Notes
    -----
    recall = hits / true for each class, 0 where none is true; scikit-learn's `recall_score`.
    """

    name = "recall"
    direction = "max"

    @staticmethod
    def _of_class(hits: float, predicted: float, true: float) -> float:
        del predicted
        return ratio(hits, true)


class F1(_ClassAverage):
    """Harmonic mean of precision and recall.

    Labels, parameters and errors are those of `Precision`.

    Notes
    -----
    F1 = 2 hits / (predicted + true) for each class; scikit-learn's `f1_score`.
    """

    name = "f1"
    direction = "max"

    @staticmethod
    def _of_class(hits: float, predicted: float, true: float) -> float:
        return ratio(2 * hits, predicted + true)
