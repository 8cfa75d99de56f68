"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnfs_xp.errors import ArgumentError
from nnfs_xp.plots._figure import finish, new_figure, shorten
from nnfs_xp.plots._labels import class_names, label_pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CLASSES = 1000
_MOST_WITH_NUMBERS = 30
_MOST_CHARACTERS = 30


def plot_confusion_matrix(
    y_true: Any,
    y_pred: Any,
    path: str | Path | None = None,
    *,
    classes: Sequence[object] | None = None,
    normalize: bool = False,
) -> Figure:
    """Draw how often each class was taken for each other: rows are true, columns predicted.

    Parameters
    ----------
    y_true, y_pred : array of any backend, shape (n,) of integers, or (n, k)
        Class indices, or rows of which the largest column is the class: one-hot, or
        probabilities.
    path : str or Path, optional
        Where to save the picture; its ending chooses the format.
    classes : sequence, optional
        The names of the classes, in the order of the labels.
    normalize : bool
        Whether the cells hold shares of their row instead of counts. The row of a class that
        `y_true` does not hold stays empty.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    LabelError
        The labels are no classes, or their lengths differ.
    ArgumentError
        `classes` lacks names, or there are more than 1000 classes.
    BackendError
        Matplotlib is not installed.
    """
    true, predicted = label_pair(y_true, y_pred)
    k = max(int(max(true.max(), predicted.max())) + 1, 0 if classes is None else len(classes))
    if k > _MOST_CLASSES:
        raise ArgumentError(f"{k} classes are more than the {_MOST_CLASSES} that can be drawn.")
    names = [str(name) for name in class_names(classes, k)]
    counts = np.bincount(true * k + predicted, minlength=k * k).reshape(k, k)

    size = min(max(0.45 * k, 2.6), 11.0)
    accuracy = np.mean(true == predicted)
    n = "1 sample" if len(true) == 1 else f"{len(true):,} samples"
    room = 1.2 + 0.08 * min(max(map(len, names)), _MOST_CHARACTERS)
    figure = new_figure(size + room, size + room, f"{n}, accuracy {accuracy:.4f}")
    axes = figure.subplots()
    image = axes.imshow(_shares(counts), cmap="Blues", vmin=0, vmax=1)
    if k <= _MOST_WITH_NUMBERS:
        _write_numbers(axes, counts, normalize, points=72 * size / k)
    else:
        figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    _name_axes(axes, names)
    return finish(figure, path)


def _shares(counts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Each count as a share of its row; NaN in a row without samples."""
    totals = counts.sum(axis=1, keepdims=True)
    return np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)


def _write_numbers(
    axes: Axes, counts: np.ndarray[Any, Any], normalize: bool, points: float
) -> None:
    """Write a number into each cell, which is so many points wide."""
    shares = _shares(counts)
    texts = [
        [_number(*pair, normalize) for pair in zip(*rows, strict=True)]
        for rows in zip(counts, shares, strict=True)
    ]
    longest = max(len(text) for row in texts for text in row)
    size = max(min(11.0, points / max(longest, 2) / 0.7), 4.0)
    for row, column in np.ndindex(*counts.shape):
        dark = shares[row, column] > 0.5
        faint = counts[row, column] == 0
        color = "white" if dark else "#999999" if faint else "black"
        axes.text(
            column, row, texts[row][column], color=color, fontsize=size, ha="center", va="center"
        )


def _number(count: int, share: float, normalize: bool) -> str:
    if normalize:
        return "" if np.isnan(share) else "0" if count == 0 else f"{share:.2f}"
    return str(count)


def _name_axes(axes: Axes, names: list[str]) -> None:
    every = max(1, -(-len(names) // 40))
    ticks = range(0, len(names), every)
    labels = [shorten(names[tick], _MOST_CHARACTERS) for tick in ticks]
    tilted = max(map(len, labels)) > 3
    axes.set_xticks(ticks, labels, rotation=90 if tilted else 0)
    axes.set_yticks(ticks, labels)
    axes.set(xlabel="predicted class", ylabel="true class")
