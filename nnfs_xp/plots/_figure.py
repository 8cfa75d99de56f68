"""What all pictures share: figures without global state, their text and colours, saving."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from math import ceil
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from nnfs_xp.errors import ArgumentError, BackendError
from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.interop.paths import path_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
"""Colours that any colour vision tells apart: Okabe and Ito 2008, *Color Universal Design*."""

_DPI = 150
_CHARACTERS_PER_INCH = 11


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """An empty figure of so many inches, which a notebook shows.

    Raises
    ------
    BackendError
        Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError:
        raise BackendError("pictures need Matplotlib; pip install 'nnfs-xp[plot]'") from None
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06))
    # IPython shows figures of pyplot only, unless they say how.
    figure._repr_png_ = partial(_as_bytes, figure, "png", 100)  # type: ignore[attr-defined] # IPython's
    if title:
        figure.suptitle(fill(plain(title), int(width * _CHARACTERS_PER_INCH)), fontsize="large")
    return figure


def panels(
    n: int, columns: int, width: float, height: float, title: str = ""
) -> tuple[Figure, list[Axes]]:
    """A figure with n panels of so many inches each, in rows of at most so many columns."""
    columns = min(n, columns)
    rows = ceil(n / columns)
    head, least = (0.4, 4.4) if title else (0.0, 0.0)
    figure = new_figure(max(width * columns, least), height * rows + head, title)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in axes[n:]:
        unused.remove()
    return figure, axes[:n]


def finish(figure: Figure, path: str | Path | None) -> Figure:
    """Save the figure if there is a path, whole or not at all, and return it.

    Raises
    ------
    ArgumentError
        The path is none, or ends in no format that Matplotlib writes.
    OSError
        The file cannot be written.
    """
    if path is not None:
        path = path_of(path)
        kind = path.suffix[1:].lower()
        known = figure.canvas.get_supported_filetypes()
        if kind not in known:
            raise ArgumentError(
                f"`path` must end in a format of pictures, .png or .svg say; got {str(path)!r}. "
                f"Known are {', '.join(known)}."
            )
        write_atomically(path, _as_bytes(figure, kind, _DPI))
    return figure


def _as_bytes(figure: Figure, kind: str, dpi: int) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format=kind, dpi=dpi)
    return stream.getvalue()


def plain(text: str) -> str:
    """The text without the meaning that Matplotlib gives to dollar signs."""
    return text.replace("$", r"\$")


def shorten(text: str, most: int = 24) -> str:
    """The text, or its beginning where it is long; dollar signs as in `plain`."""
    return plain(text if len(text) <= most else text[: most - 1] + "…")
