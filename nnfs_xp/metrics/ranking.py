"""How well scores put the samples of a class before the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._rows import as_rows
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of
from nnfs_xp.errors import ArgumentError
from nnfs_xp.metrics.base import Metric, ratio, true_outputs, weights_of


class ROCAUC(Metric):
    """Area under the ROC curve, by scikit-learn, from the scores of all samples.

    `y_true` holds class indices (batch, …) or rows of 0 and 1 (batch, …, outputs), with several
    ones where an output is a label by itself; for a model with one output, 0 and 1. It keeps all
    scores and labels on the device until it is read.

    Raises
    ------
    ArgumentError
        scikit-learn is not installed.
    LabelError
        The labels have the wrong length, shape or type.

    Notes
    -----
    The share of pairs, one sample of the class and one of the rest, in which the former has the
    higher score; for several outputs the mean over those that can be told from a rest. NaN where
    there is none, or a score is NaN or infinite.

    Source: Fawcett 2006, *An Introduction to ROC Analysis*, sections 7 and 9.
    """

    name = "roc_auc"
    direction = "max"
    collects = True

    def prepare(self, y_true: Array) -> None:
        del y_true
        _roc_auc_score()

    def accumulate(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp = _checks.check_pair(y_pred, y_true).xp
        truths = xp.astype(true_outputs(xp, y_pred, y_true), y_pred.dtype)
        weights = weights_of(y_pred, sample_weight)[..., None]
        return as_rows(xp, xp.concat([y_pred, truths, weights], axis=-1))

    def result(self, sums: Any) -> float:
        rows = sums[sums[:, -1] > 0]
        k = rows.shape[1] // 2
        scores, truths, weights = rows[:, :k], rows[:, k:-1] > 0, rows[:, -1]
        xp = backend_of(rows).xp
        if not xp.all(xp.isfinite(scores)):
            return float("nan")
        area = _roc_auc_score()
        areas = [
            area(truths[:, output], scores[:, output], sample_weight=weights)
            for output in range(k)
            if xp.any(truths[:, output]) and not xp.all(truths[:, output])
        ]
        return ratio(sum(areas), len(areas), empty=float("nan"))


def _roc_auc_score() -> Callable[..., float]:
    try:
        from sklearn.metrics import roc_auc_score
    except ImportError:
        raise ArgumentError("ROCAUC needs scikit-learn; pip install scikit-learn") from None
    area: Callable[..., float] = roc_auc_score
    return area
