"""What the layers of a convolutional network make of one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnfs_xp._checks import check_count
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError, ShapeError
from nnfs_xp.layers import Layer
from nnfs_xp.layers.composite import Composite
from nnfs_xp.layers.windowed import OnPictures
from nnfs_xp.learning import Chain
from nnfs_xp.plots._figure import finish, new_figure, plain
from nnfs_xp.plots._images import between_0_and_1, tiled
from nnfs_xp.plots._models import inputs_of, model_of, names_of
from nnfs_xp.training import Trainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nnfs_xp._typing import Array

    Grid = np.ndarray[Any, Any]

_WIDTH, _ROW, _HEAD = 7.5, 0.35, 0.5
"""Inches: of the figure, of the text above each row, of the title."""


def plot_feature_maps(
    model: Layer | Trainer, X: Any, path: str | Path | None = None, *, n: int = 8
) -> Figure:
    """Draw what the layers of a network make of one picture, in inference.

    There is a row for each convolution, pool or group of layers in a container, with the layers
    behind it up to the next: a convolution, its norm and its activation make one row. It shows the
    first channels of what comes out of the last of them, black for the least value of the row and
    white for the greatest.

    Parameters
    ----------
    model : Layer or Trainer
        The layers of a `Sequential`, and of those within it, are gone through one by one.
    X : array of any backend, shape (height, width, channels) or (1, height, width, channels)
        The picture. Cast to the model's data type, and moved to its device.
    path : str or Path, optional
        Where to save the picture; its ending chooses the format.
    n : int
        The most channels to draw in a row.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError, DTypeError
        It is no picture, or none that the model can take.
    ArgumentError
        No layer of the model gives pictures.
    BackendError
        Matplotlib is not installed.

    Notes
    -----
    Source: Zeiler and Fergus 2014, *Visualizing and Understanding Convolutional Networks*, for
    what such pictures show.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> X = nn.data.load_digits().X_test.reshape(-1, 8, 8, 1)
    >>> model = nn.Sequential(
    ...     nn.Conv2D(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Dense(6 * 6 * 8, 10), seed=0
    ... )
    >>> figure = nn.plots.plot_feature_maps(model, X[0])
    >>> [axes.get_title("left") for axes in figure.axes]
    ['the picture, 8 x 8', '0 Conv2D, 1 ReLU: 8 channels, 6 x 6']
    """
    n = check_count("n", n)
    model = model_of(model)
    picture = inputs_of(model, X)
    shape = tuple(picture.shape)
    if picture.ndim == 4 and shape[0] == 1:
        picture = picture[0, ...]
    if picture.ndim != 3:
        raise ShapeError(
            f"`X` must be one picture, of shape (height, width, channels); got {shape}."
        )
    rows = _rows(model, picture[None, ...])
    if not rows:
        raise ArgumentError("no layer of the model gives pictures that could be drawn.")
    seen = to_numpy(picture)
    height, width, channels = seen.shape
    first = between_0_and_1(seen)[None] if channels == 3 else _channels(seen, n)
    titles = [f"the picture, {height} x {width}"]
    strips = [tiled(first, n)]
    for name, maps in rows:
        height, width, channels = maps.shape
        some = f"{n} of {channels}" if n < channels else f"{channels}"
        titles.append(f"{name}: {some} channels, {height} x {width}")
        strips.append(tiled(_channels(maps, n), n))
    return finish(_figure(titles, strips), path)


def _rows(model: Layer, pictures: Array) -> list[tuple[str, Grid]]:
    """For each row the names of its layers, and what comes out of the last of them."""
    names = names_of(model)
    rows: list[tuple[list[str], Grid]] = []
    for layer, _, output, *_ in Chain(model.links()).trace(pictures):
        if output.ndim != 4:
            break
        if isinstance(layer, (OnPictures, Composite)) or not rows:
            rows.append(([], np.empty(0)))
        of_row = [*rows[-1][0], names[id(layer)]]
        rows[-1] = of_row, to_numpy(output)[0]
    return [(", ".join(of_row), maps) for of_row, maps in rows]


def _channels(maps: Grid, n: int) -> Grid:
    """The first n channels as images, shape (channels, height, width)."""
    images: Grid = np.moveaxis(maps, 2, 0)[:n].astype(np.float64)
    return images


def _figure(titles: list[str], strips: list[Grid]) -> Figure:
    heights = [_ROW + strip.shape[0] * _WIDTH / strip.shape[1] for strip in strips]
    figure = new_figure(_WIDTH, sum(heights) + _HEAD, "What the layers make of a picture")
    panels = figure.subplots(len(strips), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, title, strip in zip(panels, titles, strips, strict=True):
        finite = strip[np.isfinite(strip)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        axes.imshow(strip, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axes.set_title(plain(title), fontsize=9, loc="left")
        axes.set_axis_off()
    return figure
