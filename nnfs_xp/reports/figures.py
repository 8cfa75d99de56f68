"""How good a model is, beside a constant prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import metrics

Figures = dict[str, float | None]
Values = np.ndarray[Any, Any]

NAMES = {
    "accuracy": "accuracy",
    "f1": "F1 (macro)",
    "roc_auc": "ROC AUC",
    "r2": "R²",
    "mae": "MAE",
    "rmse": "RMSE",
}


@dataclass(frozen=True)
class Report:
    """Figures on rows that training has not seen.

    Attributes
    ----------
    rows : int
    source : str
        Where they are from.
    figures : dict of str to float or None
        ``accuracy``, ``f1`` (mean over the classes), ``roc_auc`` (of each class against the
        rest, their mean); or ``r2``, ``mae``, ``rmse``, in units of the target. None where a
        figure is not defined: for a single class or row.
    baseline : dict of str to float or None
        The figures of the constant prediction: the training's most frequent class, or its mean.
    y_true, y_pred : ndarray, shape (rows,)
        Class indices, or values.
    probabilities : ndarray, shape (rows, classes), optional
    """

    rows: int
    source: str
    figures: Figures
    baseline: Figures
    y_true: Values
    y_pred: Values
    probabilities: Values | None = None

    def as_dict(self) -> dict[str, Any]:
        """The part of the report that JSON can hold."""
        return {
            "rows": self.rows,
            "source": self.source,
            "figures": self.figures,
            "baseline": self.baseline,
        }

    def __str__(self) -> str:
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        lines = [f"test on {rows} {self.source}", f"{'':10}  {'model':>10}  {'baseline':>10}"]
        for name, value in self.figures.items():
            cells = (NAMES[name], _text(value), _text(self.baseline[name]))
            lines.append("{:10}  {:>10}  {:>10}".format(*cells))
        return "\n".join(lines)


def _text(value: float | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.6g}"


def class_figures(y_true: Values, probabilities: Values) -> Figures:
    """The figures of a classification, from class indices and the probability of each class."""
    y_pred = probabilities.argmax(axis=1)
    return {
        "accuracy": float(np.mean(y_true == y_pred)),
        "f1": float(metrics.f1_score(y_true, y_pred, average="macro", zero_division=0)),
        "roc_auc": _roc_auc(y_true, probabilities),
    }


def _roc_auc(y_true: Values, probabilities: Values) -> float | None:
    """The mean ROC AUC over the classes that some rows have and some have not."""
    present = np.unique(y_true)
    if len(present) < 2:
        return None
    areas = [metrics.roc_auc_score(y_true == k, probabilities[:, k]) for k in present]
    return float(np.mean(areas))


def number_figures(y_true: Values, y_pred: Values) -> Figures:
    """The figures of a regression."""
    defined = len(y_true) > 1 and np.ptp(y_true) > 0
    return {
        "r2": float(metrics.r2_score(y_true, y_pred)) if defined else None,
        "mae": float(metrics.mean_absolute_error(y_true, y_pred)),
        "rmse": float(metrics.root_mean_squared_error(y_true, y_pred)),
    }


def figures_from(record: Mapping[str, Any]) -> Report:
    """The report that `Report.as_dict` gave, without the single predictions."""
    nothing = np.empty(0)
    return Report(
        int(record["rows"]),
        str(record["source"]),
        dict(record["figures"]),
        dict(record["baseline"]),
        nothing,
        nothing,
    )
