"""The weights of a model's first layer, as images."""

from __future__ import annotations

from math import ceil, isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnfs_xp._checks import check_count
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.beneath import layer_of
from nnfs_xp.layers import Dense, Layer
from nnfs_xp.plots._figure import finish, new_figure
from nnfs_xp.plots._images import between_0_and_1, find_image_shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Grid = np.ndarray[Any, Any]


def plot_weights(
    model: Layer,
    path: str | Path | None = None,
    *,
    image_shape: tuple[int, ...] | None = None,
    n: int = 25,
) -> Figure:
    """Draw the weights into each neuron of the first `Dense` layer as an image.

    Blue is below 0, red above. Where the inputs are no images, the whole matrix is drawn, a row
    for each input and a column for each neuron.

    Parameters
    ----------
    model : Layer
    path : str or Path, optional
        Where to save the picture; its ending chooses the format.
    image_shape : tuple of int, optional
        Of the inputs, (height, width) or (height, width, 3); by default a square, if there are
        at least 49 inputs and they make one.
    n : int
        The most neurons to draw as images: the first ones.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        The model has no `Dense` layer.
    ShapeError
        The inputs do not make images of `image_shape`.
    BackendError
        Matplotlib is not installed.
    """
    prefix, layer = _first_dense(layer_of(model))
    weights = to_numpy(layer.weights)
    n = min(check_count("n", n), layer.n_neurons)
    shape = find_image_shape(layer.n_inputs, image_shape)
    name = f"Layer {prefix[:-1]}" if prefix else "Layer"
    if shape is None:
        return finish(_matrix(weights, f"{name}, Dense: weights"), path)
    some = f"{n} of {layer.n_neurons}" if n < layer.n_neurons else f"all {n}"
    images = weights.T[:n].reshape(n, *shape)
    return finish(_mosaic(images, f"{name}, Dense: weights of {some} neurons"), path)


def _first_dense(model: Layer) -> tuple[str, Dense]:
    for prefix, layer in model.walk():
        if isinstance(layer, Dense):
            return prefix, layer
    raise ArgumentError("the model has no Dense layer whose weights could be drawn.")


def _draw(figure: Figure, image: Grid, **options: Any) -> Any:
    """Draw an image, in colours that go from blue for low through white for 0 to red for high."""
    axes = figure.subplots()
    finite = image[np.isfinite(image)]
    limit = float(np.abs(finite).max(initial=0.0)) or 1.0
    if image.ndim == 3:
        axes.imshow(image, **options)
    else:
        shown = axes.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, **options)
        figure.colorbar(shown, ax=axes, label="weight", shrink=0.8)
    return axes


def _matrix(weights: Grid, title: str) -> Figure:
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(6.4, 4.0, title)
    axes = _draw(figure, weights, aspect="auto", interpolation="nearest")
    axes.set(xlabel="neuron", ylabel="input")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def _mosaic(images: Grid, title: str) -> Figure:
    """All images in one, in rows, with a pixel of white between them."""
    n, height, width, *colors = images.shape
    columns = isqrt(n - 1) + 1
    rows = ceil(n / columns)
    if colors:
        images = between_0_and_1(images)
    blank = 1.0 if colors else np.nan
    tiles = np.full((rows * columns, height + 1, width + 1, *colors), blank)
    tiles[:n, :height, :width] = images
    tiles = tiles.reshape(rows, columns, height + 1, width + 1, *colors)
    whole = tiles.swapaxes(1, 2).reshape(rows * (height + 1), columns * (width + 1), *colors)
    scale = 5.5 / max(whole.shape[:2])
    figure = new_figure(
        max(whole.shape[1] * scale, 2.5) + 1.2, max(whole.shape[0] * scale, 2.0) + 0.5, title
    )
    _draw(figure, whole[:-1, :-1], interpolation="nearest").set_axis_off()
    return figure
