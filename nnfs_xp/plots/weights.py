"""The weights of a model's first layer, as images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnfs_xp._checks import check_count
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.beneath import layer_of
from nnfs_xp.layers import Dense, Layer
from nnfs_xp.layers.convolution import Convolution
from nnfs_xp.plots._figure import finish, new_figure
from nnfs_xp.plots._images import draw_weights, find_image_shape, weight_images
from nnfs_xp.plots.filters import plot_filters

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
    for each input and a column for each neuron. Where a convolution comes first, its filters are
    drawn, as `plot_filters` does.

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
        The model has no `Dense` layer, and no convolution.
    ShapeError
        The inputs do not make images of `image_shape`.
    BackendError
        Matplotlib is not installed.
    """
    model = layer_of(model)
    prefix, layer = _first_weights(model)
    if isinstance(layer, Convolution):
        return plot_filters(model, path, n=n)
    weights = to_numpy(layer.weights)
    n = min(check_count("n", n), layer.n_neurons)
    shape = find_image_shape(layer.n_inputs, image_shape)
    name = f"Layer {prefix[:-1]}" if prefix else "Layer"
    if shape is None:
        return finish(_matrix(weights, f"{name}, Dense: weights"), path)
    some = f"{n} of {layer.n_neurons}" if n < layer.n_neurons else f"all {n}"
    images = weights.T[:n].reshape(n, *shape)
    return finish(weight_images(images, f"{name}, Dense: weights of {some} neurons"), path)


def _first_weights(model: Layer) -> tuple[str, Dense | Convolution]:
    for prefix, layer in model.walk():
        if isinstance(layer, (Dense, Convolution)):
            return prefix, layer
    raise ArgumentError(
        "the model has no Dense layer, and no convolution, whose weights could be drawn."
    )


def _matrix(weights: Grid, title: str) -> Figure:
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(6.4, 4.0, title)
    axes = draw_weights(figure, weights, aspect="auto", interpolation="nearest")
    axes.set(xlabel="neuron", ylabel="input")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure
