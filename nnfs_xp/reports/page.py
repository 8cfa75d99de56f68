"""The report of a trained table: one HTML page that loads nothing from anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.interop.paths import path_of
from nnfs_xp.plots import plot_history
from nnfs_xp.reports.figures import NAMES, Figures, Values
from nnfs_xp.reports.markup import bullets, cell, grid, paragraph, picture, plain, side_by_side
from nnfs_xp.reports.rivals import Rival, boosting_rival, permuted_importances
from nnfs_xp.reports.sections import (
    calibration,
    columns_report,
    confusion,
    coverage,
    importances,
    residuals,
    worst_rows,
)
from nnfs_xp.training import History

__all__ = ["Findings", "Rival", "boosting_rival", "permuted_importances", "write_page"]

_MEANINGS = {
    "accuracy": "share of the rows whose class is right",
    "f1": "0 to 1: precision and recall of each class, their harmonic mean, averaged",
    "roc_auc": "0 to 1: how well the probabilities sort the rows; 0.5 is chance",
    "r2": "at most 1; 0 is as good as the mean",
    "mae": "mean absolute error, in units of the target",
    "rmse": "root of the mean squared error, in units of the target",
}
_BETTER_BELOW = {"mae", "rmse"}

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
"""Nothing may be loaded, whatever a table holds; the columns' own report is a script."""


@dataclass(frozen=True)
class Findings:
    """All that the page shows of a model and its test.

    Attributes
    ----------
    title : str
        "houses.csv: regression of 'price'", say.
    task : {"classification", "regression"}
    classes : tuple
        Their names; none for a regression.
    figures : dict of str to float or None
        Of the model, as `nnfs_xp.reports.figures` names them.
    rivals : tuple of Rival
    frame : DataFrame
        The columns of the test rows as the model reads them; the index names the rows.
    y_true, y_pred : ndarray, shape (rows,)
        Class indices, or values.
    probabilities : ndarray, shape (rows, classes), optional
    intervals : ndarray, shape (rows, 2), optional
        The ends of the interval that the value of a row is expected in.
    interval : float
        The share of the rows whose values should lie in their intervals.
    importances : tuple of (str, float, float)
        As `permuted_importances` gives them.
    dropped : dict of str to str
        Columns that were left out, and why.
    warnings : tuple of str
    settings : dict
        Of the training.
    history : History
    seconds : float
        That the training took.
    """

    title: str
    task: str
    classes: tuple[Any, ...]
    figures: Figures
    rivals: tuple[Rival, ...]
    frame: pd.DataFrame
    y_true: Values
    y_pred: Values
    probabilities: Values | None
    intervals: Values | None
    interval: float
    importances: tuple[tuple[str, float, float], ...]
    dropped: dict[str, str]
    warnings: tuple[str, ...]
    settings: dict[str, Any]
    history: History
    seconds: float


def write_page(path: Path, findings: Findings, table: pd.DataFrame | None) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    path : Path
        Of the HTML file.
    findings : Findings
    table : DataFrame, optional
        The table of the training, for a report of its columns; its first 10,000 rows are used.

    Raises
    ------
    ArgumentError
        The path is none.
    OSError
        The file cannot be written; an older one is as it was.
    """
    path = path_of(path)
    is_regression = findings.task == "regression"
    errors, trust, worst = _of_values(findings) if is_regression else _of_classes(findings)
    sections = {
        "How good it is": _figures(findings),
        "Where it errs": errors,
        "How sure it is": trust,
        "What it goes by": importances(findings.importances),
        "How it learnt": _curves(findings.history),
        "The rows that it predicts worst": worst,
        "Columns left out": bullets(f"{plain(k)}: {why}" for k, why in findings.dropped.items()),
        "Warnings": bullets(findings.warnings),
        "The columns": columns_report(table),
        "Settings": grid(
            "As the training had them.",
            ("setting", "value"),
            [(name, cell(value, nothing="none")) for name, value in findings.settings.items()],
        ),
    }
    parts = [f"<section><h2>{name}</h2>{text}</section>" for name, text in sections.items() if text]
    title = escape(findings.title)
    style = (files("nnfs_xp.reports") / "assets" / "page.css").read_text("utf-8")
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head>\n<body><main><h1>{title}</h1>"
        f"{_summary(findings)}{''.join(parts)}</main></body></html>\n"
    )
    # A name may hold halves of characters, which UTF-8 has no bytes for.
    write_atomically(path, page.encode("utf-8", "xmlcharrefreplace"))


def _summary(findings: Findings) -> str:
    n = len(findings.y_true)
    rows = "1 row" if n == 1 else f"{n:,} rows"
    if findings.task == "classification":
        right = np.mean(findings.y_true == findings.y_pred)
        said, name, form = f"is right for {right:.1%} of them", "accuracy", "{:.1%}"
    else:
        error = np.mean(np.abs(findings.y_true - findings.y_pred))
        said, name, form = f"is off by {plain(error)} on average", "mae", "{:.4g}"
    others = [
        f"{each.name}: {form.format(each.figures[name])}"
        for each in findings.rivals
        if each.figures.get(name) is not None
    ]
    compared = f" For comparison, {'; '.join(others)}." if others else ""
    return paragraph(
        f"On {rows} that training has not seen, the model {said}.{compared} "
        f"The training took {plain(float(findings.seconds))} seconds."
    )


def _of_classes(findings: Findings) -> tuple[str, str, str]:
    """The mistakes, how sure the model is, and the rows that it finds the least likely."""
    y_true, y_pred = findings.y_true.astype(np.int64), findings.y_pred.astype(np.int64)
    classes, probabilities = findings.classes, findings.probabilities
    if probabilities is None:
        trust, measure, values = "", "right", (y_true == y_pred).astype(float)
    else:
        trust = calibration(classes, y_true, probabilities)
        measure = "probability of the true class"
        values = probabilities[np.arange(len(y_true)), y_true]
    true, predicted = [classes[index] for index in y_true], [classes[index] for index in y_pred]
    worst = worst_rows(_ranked(findings), true, predicted, measure, values, -values)
    return confusion(classes, y_true, y_pred), trust, worst


def _of_values(findings: Findings) -> tuple[str, str, str]:
    """How far off the model is, its intervals, and the rows with the largest residuals."""
    y_true, y_pred, intervals = findings.y_true, findings.y_pred, findings.intervals
    trust = "" if intervals is None else coverage(y_true, y_pred, intervals, findings.interval)
    off = y_pred - y_true
    frame = _ranked(findings)
    worst = worst_rows(frame, y_true, y_pred, "predicted minus true", off, np.abs(off))
    return residuals(y_true, y_pred), trust, worst


def _ranked(findings: Findings) -> pd.DataFrame:
    """The columns, with those that matter most first."""
    known = [name for name, *_ in findings.importances if name in findings.frame]
    return findings.frame[list(dict.fromkeys([*known, *findings.frame.columns]))]


def _figures(findings: Findings) -> str:
    """The figures of the model beside those of its rivals, the best in bold."""
    columns = [findings.figures, *(each.figures for each in findings.rivals)]
    rows = []
    for name in findings.figures:
        values = [figures.get(name) for figures in columns]
        known = [value for value in values if value is not None]
        best = (min if name in _BETTER_BELOW else max)(known, default=None)
        kinds = ["best" if value is not None and value == best else "" for value in values]
        cells = [cell(*pair, nothing="undefined") for pair in zip(values, kinds, strict=True)]
        rows.append((NAMES.get(name, name), *cells, cell(_MEANINGS.get(name, ""), nothing="")))
    names = ("figure", "model", *(each.name for each in findings.rivals), "what it means")
    return grid("On the test rows; the best of each line is bold.", names, rows)


def _curves(history: History) -> str:
    figures = dict.fromkeys(name.removeprefix("val_") for name in history)
    pictures: list[str] = []
    for name in figures:
        curves = {key: history[key] for key in (name, f"val_{name}") if history.get(key)}
        if curves and (name != "learning_rate" or len(set(history[name])) > 1):
            label = f"The {name.replace('_', ' ')} after each epoch."
            pictures.append(picture(plot_history(curves), f"curve{len(pictures)}", label))
    return side_by_side(*pictures)
