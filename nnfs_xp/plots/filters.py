"""The filters of a convolution, as images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnfs_xp._checks import check_count, shown
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import Layer
from nnfs_xp.layers.convolution import Convolution
from nnfs_xp.plots._figure import finish
from nnfs_xp.plots._images import weight_images
from nnfs_xp.plots._models import model_of, names_of
from nnfs_xp.training import Trainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_CHANNELS = 16


def plot_filters(
    model: Layer | Trainer,
    path: str | Path | None = None,
    *,
    layer: str | None = None,
    n: int = 25,
) -> Figure:
    """Draw the filters of a convolution as images.

    Of one channel, blue is below 0, red above. Filters of three channels are drawn in colours, all
    scaled together. Of other numbers of channels each filter is a row, with an image for each of
    the first 16 channels that it sees. A filter of a `Conv1D` is one image: a row for each channel,
    a column for each step.

    Parameters
    ----------
    model : Layer or Trainer
    path : str or Path, optional
        Where to save the picture; its ending chooses the format.
    layer : str, optional
        The place of the convolution in the model, as in the names of its parameters: ``"3"`` or
        ``"body.conv"``, say. By default it is the first.
    n : int
        The most filters to draw: the first ones.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        The model has no convolution, or none in that place. Transposed ones do not count.
    BackendError
        Matplotlib is not installed.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> model = nn.Sequential(nn.Conv2D(3, 16, 5), nn.ReLU(), nn.Conv2D(16, 32, 3), seed=0)
    >>> nn.plots.plot_filters(model).get_suptitle()
    'Layer 0, Conv2D: all 16 filters'
    >>> nn.plots.plot_filters(model, layer="2", n=8).get_suptitle()
    'Layer 2, Conv2D: 8 of 32 filters, 16 of 16 channels'
    """
    model = model_of(model)
    convolution = _find(model, layer)
    place, _, kind = names_of(model)[id(convolution)].rpartition(" ")
    n = min(check_count("n", n), convolution.n_filters)
    some = f"{n} of {convolution.n_filters}" if n < convolution.n_filters else f"all {n}"
    title = f"Layer {place}".strip() + f", {kind}: {some} filters"
    # Filters first: (filters, channels, steps), or (filters, height, width, channels).
    weights = to_numpy(convolution.weights)
    if convolution.n_axes == 1:
        return finish(weight_images(weights.transpose(2, 1, 0)[:n], title), path)
    images = np.moveaxis(weights, 3, 0)[:n]
    channels = images.shape[3]
    if channels in (1, 3):
        return finish(weight_images(images[..., 0] if channels == 1 else images, title), path)
    seen = min(channels, _MOST_CHANNELS)
    rows: np.ndarray[Any, Any] = np.moveaxis(images[..., :seen], 3, 1)
    rows = rows.reshape(n * seen, *images.shape[1:3])
    return finish(weight_images(rows, f"{title}, {seen} of {channels} channels", seen), path)


def _find(model: Layer, place: str | None) -> Convolution:
    found = {
        prefix.rstrip("."): layer
        for prefix, layer in model.walk()
        if isinstance(layer, Convolution)
    }
    if not found:
        raise ArgumentError("the model has no convolution whose filters could be drawn.")
    if place is None:
        return next(iter(found.values()))
    if place not in found:
        raise ArgumentError(
            f"`layer` must be the place of a convolution: {', '.join(map(repr, found))}; got "
            f"{shown(repr(place))}."
        )
    return found[place]
