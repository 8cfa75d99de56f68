"""Histograms of what flows through a model: the layers' outputs, the parameters' gradients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import Layer
from nnfs_xp.learning import Chain
from nnfs_xp.plots._figure import COLORS, finish, panels
from nnfs_xp.plots._models import inputs_of, model_of, names_of
from nnfs_xp.training import Trainer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nnfs_xp._typing import Array

_BINS = 50


def plot_activations(model: Layer | Trainer, X: Any, path: str | Path | None = None) -> Figure:
    """Draw a histogram of each layer's output for these samples, in inference.

    Outputs that are all 0, or at the ends of a sigmoid, show layers that have stopped to learn.

    Parameters
    ----------
    model : Layer or Trainer
        The layers of a `Sequential`, and of those within it, are drawn one by one.
    X : array of any backend, shape (n, ...)
        Cast to the model's data type, and moved to its device.
    path : str or Path, optional
        Where to save the picture; its ending chooses the format.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError, DTypeError
        The model cannot take such samples.
    BackendError
        Matplotlib is not installed.
    """
    model = model_of(model)
    names = names_of(model)
    outputs = {
        names[id(layer)]: output
        for layer, _, output, *_ in Chain(model.links()).trace(inputs_of(model, X))
    }
    return finish(_histograms(outputs, "Outputs of the layers", "output"), path)


def plot_gradients(model: Layer | Trainer, path: str | Path | None = None) -> Figure:
    """Draw a histogram of each parameter's gradient, as the last backward pass left it.

    After a training step these are the gradients of its batch, clipped if the optimizer clips.

    Parameters
    ----------
    model : Layer or Trainer
    path : str or Path, optional
        Where to save the picture; its ending chooses the format.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        The model has no parameters.
    BackendError
        Matplotlib is not installed.
    """
    gradients = model_of(model).gradients()
    if not gradients:
        raise ArgumentError("the model has no parameters, and so no gradients.")
    return finish(_histograms(gradients, "Gradients of the parameters", "gradient"), path)


def _histograms(arrays: dict[str, Array], title: str, unit: str) -> Figure:
    columns = 4 if len(arrays) > 9 else 2 if len(arrays) in (2, 4) else min(len(arrays), 3)
    figure, axes = panels(len(arrays), columns, width=3.1, height=2.5, title=title)
    for index, (panel, (name, array)) in enumerate(zip(axes, arrays.items(), strict=True)):
        values = to_numpy(array).ravel().astype(np.float64)
        _draw_histogram(panel, name, values)
        panel.set_xlabel(unit)
        if index % columns == 0:
            panel.set_ylabel("count")
    return figure


def _draw_histogram(axes: Axes, name: str, values: np.ndarray[Any, Any]) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    finite = values[np.isfinite(values)]
    lost = len(values) - len(finite)
    facts = [f"{lost:,} not finite"] if lost else []
    if len(finite):
        low, high = float(finite.min()), float(finite.max())
        if high - low > 1e-9 * max(abs(low), abs(high)):
            axes.hist(finite, bins=_BINS, color=COLORS[0])
            facts += [f"mean {finite.mean():.2g}", f"std {finite.std():.2g}"]
            zeros = float(np.mean(finite == 0))
            facts += [f"{zeros:.0%} zeros"] if zeros >= 0.005 else []
        else:
            axes.bar([low], [len(finite)], width=0.02 * abs(low) or 0.02, color=COLORS[0])
            facts.append(f"all {low:.3g}")
    axes.set_title(f"{name}\n{', '.join(facts)}", fontsize=9)
    axes.ticklabel_format(axis="x", scilimits=(-3, 4))
    axes.locator_params(axis="x", nbins=5)
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
