"""The pictures that a training from the command line leaves."""

from __future__ import annotations

from pathlib import Path

from nnfs_xp import plots
from nnfs_xp.data import Split
from nnfs_xp.recipes import Recipe
from nnfs_xp.training import Trainer

PICTURES = ("training.png", "confusion.png", "misclassified.png", "weights.png", "boundary.png")
"""All that `draw_pictures` may write; which of them, the data set decides."""

_TRAINING, _CONFUSION, _MISCLASSIFIED, _WEIGHTS, _BOUNDARY = PICTURES


def draw_pictures(folder: Path, trainer: Trainer, recipe: Recipe, data: Split, name: str) -> None:
    """Draw what suits the data set: the curves always, the rest from the test samples.

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
        plots.plot_weights(trainer.model, folder / _WEIGHTS, image_shape=shape)
    if recipe.n_features == 2:
        plots.plot_decision_boundary(trainer, X, y, folder / _BOUNDARY, classes=classes)
