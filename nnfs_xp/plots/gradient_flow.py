"""How strongly the gradient reaches each layer, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnfs_xp.errors import ArgumentError
from nnfs_xp.plots._figure import finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Values = np.ndarray[Any, np.dtype[np.float64]]

_MOST_IN_LEGEND = 12
_MOST_POINTS = 200


def plot_gradient_flow(
    norms: Mapping[str, Sequence[float]], path: str | Path | None = None
) -> Figure:
    """Draw the norm of each layer's gradient over the training steps, on a logarithmic scale.

    Lines far apart show gradients that vanish or explode on their way back. Of more than 200
    steps, the median of each of 200 stretches is drawn.

    Parameters
    ----------
    norms : dict of lists, a number for each step
        By the parameters' names, as from `GradientFlow.norms`. The parameters of a layer make
        one line.
    path : str or Path, optional
        Where to save the picture; its ending chooses the format.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        There are no steps, or not the same number for each parameter.
    BackendError
        Matplotlib is not installed.
    """
    layers = _by_layer(norms)
    figure = new_figure(7.0, 4.0)
    axes = figure.subplots()
    colors = _colors(len(layers))
    for color, (name, values) in zip(colors, layers.items(), strict=True):
        steps, values = _thinned(values)
        marker = "o" if len(steps) == 1 else ""
        axes.plot(steps, values, color=color, marker=marker, linewidth=1, label=name)
    axes.set_yscale("log", nonpositive="mask")
    axes.set(xlabel="step", ylabel="norm of the gradient")
    axes.grid(alpha=0.3)
    if len(layers) <= _MOST_IN_LEGEND:
        figure.legend(loc="outside right upper", title="layer")
    else:
        _add_color_bar(figure, len(layers))
    return finish(figure, path)


def _by_layer(norms: Mapping[str, Sequence[float]]) -> dict[str, Values]:
    """The norm of all parameters of a layer together, by the layer's place in the model."""
    lengths = {len(values) for values in norms.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise ArgumentError(
            "`norms` must hold a number for each step, at least 1 and as many for each "
            f"parameter; got {sorted(lengths)} of them."
        )
    squares: dict[str, Values] = {}
    for name, values in norms.items():
        layer = name.rpartition(".")[0] or name
        squares[layer] = squares.get(layer, 0.0) + np.asarray(values, dtype=np.float64) ** 2
    return {layer: np.sqrt(total) for layer, total in squares.items()}


def _thinned(values: Values) -> tuple[Values, Values]:
    """The steps and their values, or the middles and medians of stretches where there are many."""
    steps = np.arange(1.0, len(values) + 1)
    if len(values) <= _MOST_POINTS:
        return steps, values
    middles = [part.mean() for part in np.array_split(steps, _MOST_POINTS)]
    medians = [np.median(part) for part in np.array_split(values, _MOST_POINTS)]
    return np.array(middles), np.array(medians)


def _colors(n: int) -> Values:
    """A colour for each layer, from dark for the first to light for the last."""
    from matplotlib import colormaps

    return np.asarray(colormaps["viridis"](np.linspace(0, 0.85, n)))


def _add_color_bar(figure: Figure, n: int) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize
    from matplotlib.ticker import MaxNLocator

    scale = ScalarMappable(Normalize(0.5, n + 0.5), ListedColormap(_colors(n).tolist()))
    figure.colorbar(
        scale,
        ax=figure.axes,
        label="layer with parameters, counted from the input",
        ticks=MaxNLocator(integer=True),
    )
