"""The learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnfs_xp.errors import ArgumentError
from nnfs_xp.plots._figure import COLORS, finish, panels, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RATE = "learning_rate"


def plot_history(
    history: Mapping[str, Sequence[float]], path: str | Path | None = None, *, title: str = ""
) -> Figure:
    """Draw the loss and the metrics over the epochs, and the learning rate where it changes.

    Parameters
    ----------
    history : History, or a dict of lists with a number for each epoch
        A name with ``val_`` in front goes into the panel of the name without. Gaps stand for
        NaN and infinity.
    path : str or Path, optional
        Where to save the picture; its ending chooses the format.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        The history has no epochs, or the path no known format.
    BackendError
        Matplotlib is not installed.
    """
    names = _names(history)
    if not names:
        raise ArgumentError("`history` holds no epochs. Train first.")
    figure, axes = panels(len(names), columns=3, width=4.2, height=3.4, title=title)
    for panel, name in zip(axes, names, strict=True):
        _draw_curves(panel, history, name)
    return finish(figure, path)


def _names(history: Mapping[str, Sequence[float]]) -> list[str]:
    """The panels: the loss first, the learning rate last."""
    names = {name.removeprefix("val_"): None for name, values in history.items() if len(values)}
    rates = history.get(_RATE, [])
    if len(set(rates)) < 2:
        names.pop(_RATE, None)
    return sorted(names, key=lambda name: (name != "loss", name == _RATE))


def _draw_curves(axes: Axes, history: Mapping[str, Sequence[float]], name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for key, label, color, style in (
        (name, "training", COLORS[0], "-"),
        (f"val_{name}", "validation", COLORS[1], "--"),
    ):
        values = np.asarray(history.get(key, []), dtype=float)
        if len(values):
            values = np.where(np.isfinite(values), values, np.nan)
            epochs = np.arange(1, len(values) + 1)
            line = axes.plot(epochs, values, style, color=color, label=label)[0]
            if _alone(values).any():
                line.set(marker="o", markevery=_alone(values).tolist())
            if np.isnan(values).all():
                line.set_label(f"{label}: not finite")
    last = max(len(history.get(key, [])) for key in (name, f"val_{name}"))
    margin = 0.05 * (last - 1) or 0.5
    axes.set(xlabel="epoch", ylabel=plain(name.replace("_", " ")))
    axes.set_xlim(1 - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    if name != _RATE:
        axes.legend()


def _alone(
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Where a value has no neighbour that a line could lead to."""
    known = np.pad(np.isfinite(values), 1)
    alone: np.ndarray[tuple[int], np.dtype[np.bool_]] = known[1:-1] & ~known[:-2] & ~known[2:]
    return alone
