"""The images that a model takes for something else."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnfs_xp._checks import check_count
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import LabelError, ShapeError
from nnfs_xp.plots._figure import finish, new_figure, panels, shorten
from nnfs_xp.plots._images import between_0_and_1, find_image_shape
from nnfs_xp.plots._labels import class_names, label_pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_misclassified(
    X: Any,
    y_true: Any,
    y_pred: Any,
    path: str | Path | None = None,
    *,
    image_shape: tuple[int, ...] | None = None,
    classes: Sequence[object] | None = None,
    n: int = 25,
) -> Figure:
    """Draw the first images whose predicted class is not the true one.

    Parameters
    ----------
    X : array of any backend, shape (samples, pixels) or (samples, height, width, ...)
    y_true, y_pred : array of any backend, shape (samples,) of integers, or (samples, k)
        Class indices, or rows of which the largest column is the class.
    path : str or Path, optional
        Where to save the picture; its ending chooses the format.
    image_shape : tuple of int, optional
        (height, width) or (height, width, 3); by default that of `X`, or a square if there
        are at least 49 pixels and they make one.
    classes : sequence, optional
        The names of the classes, in the order of the labels.
    n : int
        The most images to draw.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        The samples are no images of `image_shape`.
    LabelError
        The labels are no classes, or not one for each sample.
    ArgumentError
        `classes` lacks names.
    BackendError
        Matplotlib is not installed.
    """
    true, predicted = label_pair(y_true, y_pred)
    n = check_count("n", n)
    images = _images(to_numpy(X), image_shape)
    if len(images) != len(true):
        raise LabelError(
            f"there must be one label for each of the {len(images)} samples; got {len(true)}."
        )
    names = class_names(classes, int(max(true.max(), predicted.max())) + 1)
    wrong = np.flatnonzero(true != predicted)
    if not len(wrong):
        return finish(_none_wrong(len(true)), path)
    chosen = wrong[:n]
    title = f"{len(wrong):,} of {len(true):,} samples misclassified"
    if len(chosen) < len(wrong):
        title += f"; the first {len(chosen)}" if len(chosen) > 1 else "; the first"
    columns = max(isqrt(len(chosen) - 1) + 1, 3)
    figure, axes = panels(len(chosen), columns, width=1.7, height=2.0, title=title)
    for panel, image, index in zip(axes, between_0_and_1(images[chosen]), chosen, strict=True):
        panel.imshow(image, cmap="gray", vmin=0, vmax=1)
        truth, guess = (shorten(str(names[label[index]]), 14) for label in (true, predicted))
        panel.set_title(f"true {truth}\npredicted {guess}", fontsize=9)
        panel.set_axis_off()
    return finish(figure, path)


def _images(X: np.ndarray[Any, Any], image_shape: tuple[int, ...] | None) -> Any:
    """The samples as images, shape (samples, height, width) or (samples, height, width, 3)."""
    if X.ndim < 2 or X.size == 0:
        raise ShapeError(f"`X` must have shape (samples, pixels); got {X.shape}.")
    if image_shape is None and X.ndim > 2:
        image_shape = X.shape[1:]
    shape = find_image_shape(X[0].size, image_shape)
    if shape is None:
        raise ShapeError(
            f"samples of {X[0].size} features make no square image. Give image_shape=(height, "
            "width)."
        )
    return X.reshape(len(X), *shape)


def _none_wrong(n: int) -> Figure:
    figure = new_figure(5.0, 2.0)
    samples = "The one sample is" if n == 1 else f"All {n:,} samples are"
    figure.text(0.5, 0.5, f"{samples} classified correctly.", ha="center", va="center", size=13)
    return figure
