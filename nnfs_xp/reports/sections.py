"""Sections of the page: mistakes, certainty, importances, the worst rows, the columns."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from sklearn.calibration import calibration_curve

from nnfs_xp.backend.importing import first_line
from nnfs_xp.plots._figure import COLORS, new_figure
from nnfs_xp.reports.figures import Values
from nnfs_xp.reports.markup import cell, grid, paragraph, picture, plain, side_by_side

_LOG = logging.getLogger(__name__)

_MOST_CLASSES, _MOST_BARS, _MOST_COLUMNS = 30, 30, 20
_MOST_POINTS, _MOST_ROWS = 2000, 10_000
_WORST = 10
_BOTH_THEMES = '<meta name="color-scheme" content="light dark">'
_OUTWARD_LINK = re.compile(r'<a href="https?:[^"]*"[^>]*>(.*?)</a>', re.DOTALL)

Classes = Sequence[object]


def confusion(classes: Classes, y_true: Values, y_pred: Values) -> str:
    """How often each class was taken for each other; of more than 30 classes the worst pairs.

    Parameters
    ----------
    classes : sequence
        Their names.
    y_true, y_pred : ndarray of int, shape (rows,)
        Class indices.
    """
    names, k = [plain(name) for name in classes], len(classes)
    counts = np.bincount(y_true * k + y_pred, minlength=k * k).reshape(k, k)
    if k > _MOST_CLASSES:
        np.fill_diagonal(counts, 0)
        pairs = np.argsort(-counts, axis=None, kind="stable")[:_MOST_CLASSES]
        places = [divmod(int(pair), k) for pair in pairs if counts.flat[pair]]
        mistakes = [(names[i], cell(names[j]), cell(counts[i, j])) for i, j in places]
        caption = "The most frequent mistakes."
        return grid(caption, ("true class", "taken for", "rows"), mistakes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    lines = [
        (names[i], *(cell(counts[i, j], "shaded", shares[i, j]) for j in range(k)))
        for i in range(k)
    ]
    caption = "Rows by their true class (line) and the class that the model names (column)."
    return grid(caption, ("true class", *names), lines)


def residuals(y_true: Values, y_pred: Values) -> str:
    """Predicted against true values, and how far off they are, shape (rows,) each."""
    few = np.random.default_rng(0).permutation(len(y_true))[:_MOST_POINTS]
    ends = [min(y_true.min(), y_pred.min()), max(y_true.max(), y_pred.max())]
    against, axes = _axes("true value", "predicted value")
    axes.plot(ends, ends, color="black", linewidth=0.8)
    axes.scatter(y_true[few], y_pred[few], s=8, color=COLORS[0], alpha=0.5, linewidths=0)
    errors, axes = _axes("predicted minus true value", "rows")
    axes.hist(y_pred - y_true, bins=30, color=COLORS[0])
    some = f" {len(few):,} rows, drawn at random." if len(few) < len(y_true) else ""
    label = f"Predicted against true values: the closer to the line, the better.{some}"
    return side_by_side(
        picture(against, "predicted", label),
        picture(errors, "residuals", "How far off the predictions are, and how often."),
    )


def calibration(classes: Classes, y_true: Values, probabilities: Values) -> str:
    """How often the model is right when it says how sure it is.

    Parameters
    ----------
    classes : sequence
        Their names. Of two, the second is looked at; of more, that with the highest probability.
    y_true : ndarray of int, shape (rows,)
        Class indices.
    probabilities : ndarray, shape (rows, classes)
    """
    if len(classes) == 2:
        came_true, said = y_true == 1, probabilities[:, 1]
        what = f"of the class {plain(classes[1])}"
    else:
        came_true, said = y_true == probabilities.argmax(axis=1), probabilities.max(axis=1)
        what = "of the most probable class"
    said = np.clip(said, 0, 1)  # single precision may lead a little over 1
    shares, means = calibration_curve(came_true, said, n_bins=10, strategy="quantile")
    figure, axes = _axes("predicted probability", "share of rows where it came true")
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8)
    axes.plot(means, shares, "o-", color=COLORS[0])
    label = (
        f"The probability {what}, in tenths of the rows, against how often it came true. On the "
        f"line the model is as sure as it should be; the points are "
        f"{np.mean(np.abs(shares - means)):.3f} off it on average."
    )
    return picture(figure, "calibration", label)


def coverage(y_true: Values, y_pred: Values, intervals: Values, interval: float) -> str:
    """How many values lie in their intervals, for small and for large predictions.

    Parameters
    ----------
    y_true, y_pred : ndarray, shape (rows,)
    intervals : ndarray, shape (rows, 2)
        The lower and the upper end.
    interval : float
        The share of the values that should lie in them.
    """
    low, high = intervals.T
    within = (low <= y_true) & (y_true <= high)
    order = np.argsort(y_pred, kind="stable")
    lines = []
    for part in np.array_split(order, min(5, max(1, len(order) // 20))):
        share = within[part].mean()
        lines.append(
            (
                f"{plain(y_pred[part[0]])} to {plain(y_pred[part[-1]])}",
                cell(len(part)),
                cell(f"{share:.1%}", "bar", share),
                cell(np.median(high[part] - low[part])),
            )
        )
    said = f"{within.mean():.1%} of the true values lie in their intervals; {interval:.0%} should."
    names = ("predicted value", "rows", "values in their intervals", "median width")
    return paragraph(said) + grid("From small to large predictions.", names, lines)


def importances(drops: Sequence[tuple[str, float, float]]) -> str:
    """How much the score falls without each column, as `permuted_importances` gives it."""
    if not drops:
        return ""
    longest = max(drops[0][1], 0) or 1.0
    lines = [
        (name, cell(drop, "bar", max(drop, 0) / longest), cell(spread, nothing="unknown"))
        for name, drop, spread in drops[:_MOST_BARS]
    ]
    caption = "How much the score falls when the cells of one column change places at random."
    if len(drops) > _MOST_BARS:
        caption += f" {len(drops) - _MOST_BARS:,} more columns matter less."
    return grid(caption, ("column", "drop of the score", "standard deviation"), lines)


def worst_rows(
    frame: pd.DataFrame,
    y_true: Sequence[object] | Values,
    y_pred: Sequence[object] | Values,
    measure: str,
    values: Values,
    losses: Values,
) -> str:
    """The ten rows with the largest losses, and their first 20 columns.

    Parameters
    ----------
    frame : DataFrame
        The index names the rows.
    y_true, y_pred : sequence
        Names of classes, or values.
    measure : str
        What `values` are.
    values, losses : ndarray, shape (rows,)
    """
    n = frame.shape[1]
    frame = frame.iloc[:, :_MOST_COLUMNS]
    lines = [
        (
            frame.index[row],
            *map(cell, (y_true[row], y_pred[row], values[row], *frame.iloc[row].tolist())),
        )
        for row in np.argsort(-losses, kind="stable")[:_WORST]
    ]
    caption = "The worst first"
    caption += "." if n <= _MOST_COLUMNS else f", with {_MOST_COLUMNS} of {n:,} columns."
    return grid(caption, ("row", "true", "predicted", measure, *frame.columns), lines)


def columns_report(table: pd.DataFrame | None) -> str:
    """The report that skrub makes of a table's columns, closed off in a frame of its own."""
    if table is None:
        return ""
    table = table.iloc[:_MOST_ROWS]
    try:
        from skrub import TableReport  # slow to import

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of letters that Matplotlib's font lacks, say
            page = TableReport(table, verbose=0).html()
    except Exception as error:  # any table may come
        _LOG.warning("skrub's report of the columns failed: %s", first_line(error))
        return paragraph(f"skrub's report of them failed: {first_line(error)}")
    page = page.replace("<head>", f"<head>{_BOTH_THEMES}", 1)
    page = escape(_OUTWARD_LINK.sub(r"\1", page))
    return (
        f"<details><summary>What is in them, as skrub reports it: {len(table):,} rows</summary>"
        '<iframe title="Report of the columns" sandbox="allow-scripts" '
        f'srcdoc="{page}"></iframe></details>'
    )


def _axes(x: str, y: str) -> tuple[Any, Any]:
    figure = new_figure(4.2, 3.4)
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes
