"""The pictures that a training from the command line leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp import plots
from nnfs_xp.data import Split
from nnfs_xp.plots._figure import COLORS, finish, new_figure, shorten
from nnfs_xp.recipes import Recipe
from nnfs_xp.training import History, Trainer

Values = np.ndarray[Any, Any]

_TRAINING, _CONFUSION, _MISCLASSIFIED = "training.png", "confusion.png", "misclassified.png"
_WEIGHTS, _BOUNDARY, _PREDICTIONS = "weights.png", "boundary.png", "predictions.png"
_FILTERS, _FEATURE_MAPS = "filters.png", "feature_maps.png"

PICTURES = (
    *(_TRAINING, _CONFUSION, _MISCLASSIFIED, _WEIGHTS, _FILTERS, _FEATURE_MAPS),
    *(_BOUNDARY, _PREDICTIONS),
)
"""All pictures that may be written; the data set decides which of them are."""


def draw_pictures(folder: Path, trainer: Trainer, recipe: Recipe, data: Split, name: str) -> None:
    """Draw the curves, and from the test samples the pictures that the data set allows.

    Parameters
    ----------
    folder : Path
    trainer : Trainer
        Trained; of a model that gives classes.
    recipe : Recipe
    data : Split
    name : str
        Of the data set.

    Raises
    ------
    BackendError
        Matplotlib is not installed.
    OSError
        A picture cannot be written. Those before it are there, and none is there in part.
    """
    if not trainer.history.epochs:
        return
    plots.plot_history(trainer.history, folder / _TRAINING, title=name)
    X, y, classes = data.X_test, data.y_test, recipe.classes
    y_pred = trainer.predict(X)
    plots.plot_confusion_matrix(y, y_pred, folder / _CONFUSION, classes=classes)
    shape = recipe.image_shape
    if shape is not None:
        path = folder / _MISCLASSIFIED
        plots.plot_misclassified(X, y, y_pred, path, image_shape=shape, classes=classes)
        if len(trainer.model.input_shape or ()) == 3:
            plots.plot_filters(trainer, folder / _FILTERS)
            plots.plot_feature_maps(trainer, X[0], folder / _FEATURE_MAPS)
        else:
            plots.plot_weights(trainer.model, folder / _WEIGHTS, image_shape=shape)
    if recipe.n_features == 2:
        plots.plot_decision_boundary(trainer, X, y, folder / _BOUNDARY, classes=classes)


def draw_table_pictures(
    folder: Path,
    history: History,
    y_true: Values,
    y_pred: Values,
    *,
    name: str,
    target: str,
    classes: Sequence[object] | None,
) -> None:
    """Draw the curves, and the confusion matrix or the predicted values against the true ones.

    Parameters
    ----------
    folder : Path
    history : History
    y_true, y_pred : ndarray, shape (n,)
        Class indices, or values, of the rows that were tested on.
    name, target : str
        Of the table, and of the column that is predicted.
    classes : sequence, optional
        Their names; None for a regression.

    Raises
    ------
    BackendError
        Matplotlib is not installed.
    ArgumentError
        There are too many classes.
    OSError
        A picture cannot be written.
    """
    plots.plot_history(history, folder / _TRAINING, title=name)
    if classes is not None:
        plots.plot_confusion_matrix(y_true, y_pred, folder / _CONFUSION, classes=classes)
        return
    figure = new_figure(5.2, 5.0, f"{len(y_true):,} rows that training has not seen")
    axes = figure.subplots()
    ends = [min(y_true.min(), y_pred.min()), max(y_true.max(), y_pred.max())]
    alpha = min(1.0, max(0.1, 300 / len(y_true)))
    axes.plot(ends, ends, color="black", linewidth=0.8)
    axes.scatter(y_true, y_pred, s=8, color=COLORS[0], alpha=alpha, linewidths=0)
    axes.set(xlabel=f"true {shorten(target)}", ylabel=f"predicted {shorten(target)}")
    axes.grid(alpha=0.3)
    finish(figure, folder / _PREDICTIONS)
