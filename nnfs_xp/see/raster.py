"""Scenes as PNG, PDF and GIF, drawn with Matplotlib."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from nnfs_xp.plots._figure import new_figure
from nnfs_xp.see.scene import NEGATIVE, POSITIVE, Box, Image, Item, Line, Scene, Text
from nnfs_xp.see.svg import CAPTION, SECONDS, size_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_UNITS_PER_INCH = 100.0
_DPI = 200
_DPI_OF_GIF = 110
_ALIGNED = {"start": "left", "middle": "center", "end": "right"}
_INK, _QUIET, _VALUE, _DERIVATIVE = "#1b1f24", "#5c6470", "#111111", "#b3261e"
_LINES = {
    "see-positive": tuple(c / 255 for c in POSITIVE),
    "see-negative": tuple(c / 255 for c in NEGATIVE),
}
_TEXTS = {"see-derivative": _DERIVATIVE, "see-value": _VALUE, "see-quiet": _QUIET}
_POINTS = 72 / _UNITS_PER_INCH
"""Points in a unit of the picture."""


def still(scene: Scene, frame: int, kind: str) -> bytes:
    """One frame in a format of Matplotlib's.

    Raises
    ------
    BackendError
        Matplotlib is not installed.
    """
    stream = BytesIO()
    _figure(scene, frame).savefig(stream, format=kind, dpi=_DPI)
    return stream.getvalue()


def gif(scene: Scene, n_frames: int) -> bytes:
    """All frames as an animated GIF; the last one stays longer.

    Raises
    ------
    BackendError
        Matplotlib is not installed.
    """
    pages = []
    for frame in range(max(n_frames, 1)):
        stream = BytesIO()
        _figure(scene, frame).savefig(stream, format="png", dpi=_DPI_OF_GIF)
        stream.seek(0)
        pages.append(stream)
    from PIL import Image as Pillow  # which Matplotlib needs, too

    first, *rest = [
        Pillow.open(page).convert("P", palette=Pillow.Palette.ADAPTIVE) for page in pages
    ]
    times = [round(1000 * SECONDS)] * len(rest) + [round(3000 * SECONDS)]
    out = BytesIO()
    first.save(out, format="gif", save_all=True, append_images=rest, duration=times, loop=0)
    return out.getvalue()


def _figure(scene: Scene, frame: int) -> Figure:
    width, height = size_of(scene)
    figure = new_figure(width / _UNITS_PER_INCH, height / _UNITS_PER_INCH)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height - CAPTION, -CAPTION))
    axes.axis("off")
    for item in scene.items:
        if item.born <= frame:
            _draw(axes, item, item.born == frame > 0)
    if scene.captions:
        axes.text(14, -8, scene.captions[frame], fontsize=13 * _POINTS, color=_INK)
    return figure


def _draw(axes: Axes, item: Item, new: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    match item:
        case Text():
            is_number = item.kind in ("see-value", "see-derivative")
            axes.text(
                item.x,
                item.y,
                item.text,
                fontsize=(16 if item.kind == "see-sign" else 11) * _POINTS,
                family="monospace" if is_number else "sans-serif",
                weight="bold" if new or item.kind == "see-title" else "normal",
                color=_TEXTS.get(item.kind, _INK),
                ha=_ALIGNED[item.anchor],
                va="baseline",
            )
        case Box():
            shape = FancyBboxPatch(
                (item.x + 4, item.y + 4),
                item.width - 8,
                item.height - 8,
                boxstyle="round,pad=4,rounding_size=5",
                facecolor="#f4f6f8",
                edgecolor="#8a929c",
                linewidth=1.2 * _POINTS,
                zorder=0.6,
            )
            axes.add_patch(shape)
        case Line():
            color = _LINES.get(item.kind, "#8a929c")
            width = item.width * (0.8 if item.kind == "see-wire" else 1.2) * _POINTS
            ends = (item.x, item.to_x), (item.y, item.to_y)
            axes.plot(*ends, color=color, linewidth=width, zorder=0.5)
        case Image():
            extent = (item.x, item.x + item.width, item.y + item.height, item.y)
            axes.imshow(
                item.pixels, extent=extent, interpolation="nearest", aspect="auto", zorder=1
            )
            axes.set_autoscale_on(False)
