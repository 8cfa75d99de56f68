"""Rows of pixels as images."""

from __future__ import annotations

from math import ceil, isqrt, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from nnfs_xp.errors import ShapeError
from nnfs_xp.plots._figure import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Grid = np.ndarray[Any, Any]

_LEAST_SIDE = 7
"""Fewer features than a square of this side are taken for a table's columns, not for pixels."""


def find_image_shape(
    n_features: int, image_shape: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    """The shape of images of so many pixels: the given one, else a square, else None.

    Raises
    ------
    ShapeError
        `image_shape` is no (height, width) or (height, width, 3) of so many numbers.
    """
    if image_shape is None:
        side = isqrt(n_features)
        return (side, side) if side >= _LEAST_SIDE and side * side == n_features else None
    shape = tuple(image_shape)
    if len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)) or prod(shape) != n_features:
        raise ShapeError(
            "`image_shape` must be (height, width), or with 1 or 3 colours (height, width, "
            f"colours), of {n_features} numbers in all; got {shape}."
        )
    return shape[:2] if shape[2:] == (1,) else shape


def between_0_and_1(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The images scaled together, so that the darkest pixel is 0 and the lightest is 1."""
    images = images.astype(np.float64)
    low, high = np.nanmin(images), np.nanmax(images)
    scaled: np.ndarray[Any, Any] = (images - low) / (high - low if high > low else 1.0)
    return scaled


def tiled(images: Grid, columns: int) -> Grid:
    """Images beside each other in rows of so many, with a pixel of white between them.

    Parameters
    ----------
    images : ndarray, shape (n, height, width), or (n, height, width, 3) of numbers from 0 to 1
    columns : int
    """
    n, height, width, *colors = images.shape
    rows = ceil(n / columns)
    blank = 1.0 if colors else np.nan
    tiles = np.full((rows * columns, height + 1, width + 1, *colors), blank)
    tiles[:n, :height, :width] = images
    tiles = tiles.reshape(rows, columns, height + 1, width + 1, *colors)
    whole = tiles.swapaxes(1, 2).reshape(rows * (height + 1), columns * (width + 1), *colors)
    return whole[:-1, :-1]


def draw_weights(figure: Figure, image: Grid, **options: Any) -> Axes:
    """Draw an image, in colours that go from blue for low through white for 0 to red for high."""
    axes: Axes = figure.subplots()
    finite = image[np.isfinite(image)]
    limit = float(np.abs(finite).max(initial=0.0)) or 1.0
    if image.ndim == 3:
        axes.imshow(image, **options)
    else:
        shown = axes.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, **options)
        figure.colorbar(shown, ax=axes, label="weight", shrink=0.8)
    return axes


def weight_images(images: Grid, title: str, columns: int | None = None) -> Figure:
    """A figure of weights as images, in rows of so many, by default about as many as rows."""
    if columns is None:
        columns = isqrt(len(images) - 1) + 1
    whole = tiled(between_0_and_1(images) if images.ndim == 4 else images, columns)
    scale = 5.5 / max(whole.shape[:2])
    figure = new_figure(
        max(whole.shape[1] * scale, 2.5) + 1.2, max(whole.shape[0] * scale, 2.0) + 0.5, title
    )
    draw_weights(figure, whole, interpolation="nearest").set_axis_off()
    return figure
