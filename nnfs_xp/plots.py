"""Pictures, drawn with Matplotlib (the extra ``plot``)."""

from __future__ import annotations

from pathlib import Path

from nnfs_xp.errors import BackendError
from nnfs_xp.training import History


def plot_history(history: History, path: str | Path, *, title: str = "") -> None:
    """Draw the loss, and the accuracy where there is one, over the epochs, and save the picture.

    Parameters
    ----------
    history : History
    path : str or Path
        Its ending chooses the format: ``.png``, ``.svg``, ``.pdf``.
    title : str

    Raises
    ------
    BackendError
        Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        raise BackendError("pictures need Matplotlib; pip install 'nnfs-xp[plot]'") from None

    names = [name for name in ("loss", "accuracy") if name in history]
    figure = Figure(figsize=(4.5 * len(names), 3.6), layout="constrained")
    epochs = range(1, history.epochs + 1)
    marker = "o" if history.epochs == 1 else ""
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.plot(epochs, history[name], marker=marker, label="training")
        if f"val_{name}" in history:
            axes.plot(epochs, history[f"val_{name}"], marker=marker, label="validation")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=150)
