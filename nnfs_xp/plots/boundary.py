"""The regions that a classifier of two features makes of the plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnfs_xp._checks import check_count
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError, LabelError, ShapeError
from nnfs_xp.plots._figure import COLORS, finish, new_figure, shorten
from nnfs_xp.plots._labels import Labels, class_labels, class_names
from nnfs_xp.training import Trainer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Real = np.ndarray[Any, np.dtype[np.float64]]

_MARKERS = "os^DvPX"
_MOST_CHARACTERS = 24


def plot_decision_boundary(
    trainer: Trainer,
    X: Any,
    y: Any,
    path: str | Path | None = None,
    *,
    resolution: int = 200,
    classes: Sequence[object] | None = None,
) -> Figure:
    """Draw which class the model gives to each point of the plane, and the samples above.

    The stronger a region's colour, the surer the model; lines run where two classes tie.

    Parameters
    ----------
    trainer : Trainer
        Of a classifier, or of one yes-or-no output.
    X : array of any backend, shape (n, 2)
    y : array of any backend, shape (n,) of integers, or (n, k) one-hot
        The true classes.
    path : str or Path, optional
        Where to save the picture; its ending chooses the format.
    resolution : int
        Points of the grid along each axis.
    classes : sequence, optional
        The names of the classes, in the order of the labels.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        The samples do not have two features.
    LabelError
        The labels are no classes of the model, or not one for each sample.
    NnfsError
        The loss is a regression's.
    ArgumentError
        The model has several yes-or-no outputs, `classes` lacks names, or `resolution` is
        below 2.
    BackendError
        Matplotlib is not installed.
    """
    points = to_numpy(X)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ShapeError(
            "`X` must have shape (samples, 2): a boundary can be drawn for two features only; "
            f"got {points.shape}."
        )
    labels = class_labels("y", y)
    if len(labels) != len(points):
        raise LabelError(f"`y` must have {len(points)} labels; got {len(labels)}.")
    side = check_count("resolution", resolution, least=2)
    x1, x2 = (_span(points[:, axis], side) for axis in (0, 1))
    grid = np.stack([axis.ravel() for axis in np.meshgrid(x1, x2)], axis=1)
    scores = _class_scores(trainer, grid)
    k = scores.shape[1]
    if labels.max() >= k:
        raise LabelError(f"`y` must hold classes from 0 to {k - 1}; got {labels.max()}.")
    names = [str(name) for name in class_names(classes, k)[:k]]

    room = 0.08 * min(max(map(len, names)), _MOST_CHARACTERS)
    figure = new_figure(6.2 + room, 4.8)
    axes = figure.subplots()
    _draw_regions(axes, x1, x2, scores.reshape(side, side, k))
    _draw_points(axes, points, labels, names)
    axes.set(xlabel="feature 0", ylabel="feature 1")
    figure.legend(loc="outside right upper", title="class", ncols=1 + (k - 1) // 20)
    return finish(figure, path)


def _span(values: np.ndarray[Any, Any], n: int) -> Real:
    """So many numbers, evenly over the values' range and a little beyond."""
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, n)


def _class_scores(trainer: Trainer, grid: Real) -> Real:
    """The probability of each class, shape (n, k); k is 2 for a yes-or-no output."""
    probabilities = trainer.predict_proba(grid).astype(np.float64)
    if probabilities.shape[1] == 1:
        return np.concatenate([1 - probabilities, probabilities], axis=1)
    if trainer.predict(grid[:1]).ndim != 1:
        raise ArgumentError(
            f"the model gives {probabilities.shape[1]} yes-or-no answers for each sample; a "
            "boundary can be drawn for one, or for classes."
        )
    return probabilities


def class_colors(k: int) -> Real:
    """A colour for each of k classes, shape (k, 3)."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if k <= len(COLORS):
        return np.array([to_rgb(color) for color in COLORS[:k]])
    return np.asarray(colormaps["turbo"](np.linspace(0.05, 0.95, k)))[:, :3]


def _draw_regions(axes: Axes, x1: Real, x2: Real, scores: Real) -> None:
    k = scores.shape[2]
    ranked = np.sort(scores, axis=2)
    lead = np.clip(ranked[..., -1] - ranked[..., -2], 0, 1)[..., None]
    color = class_colors(k)[scores.argmax(axis=2)]
    axes.imshow(
        1 - (0.12 + 0.43 * lead) * (1 - color),
        extent=(x1[0], x1[-1], x2[0], x2[-1]),
        origin="lower",
        aspect="auto",
    )
    for index in range(k):
        others = np.delete(scores, index, axis=2).max(axis=2)
        margin = scores[..., index] - others
        if margin.min() < 0 < margin.max():
            axes.contour(x1, x2, margin, levels=[0], colors="black", linewidths=0.8)


def _draw_points(
    axes: Axes, points: np.ndarray[Any, Any], labels: Labels, names: list[str]
) -> None:
    size = 24 if len(points) <= 500 else 12
    for index, color in enumerate(class_colors(len(names))):
        mine = points[labels == index]
        axes.scatter(
            mine[:, 0],
            mine[:, 1],
            s=size,
            color=[tuple(color)],
            marker=_MARKERS[index % len(_MARKERS)],
            edgecolors="black",
            linewidths=0.4,
            label=shorten(names[index], _MOST_CHARACTERS),
        )
