"""A picture as a list of boxes, lines, texts and images, before it is SVG or anything else."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor, isfinite, log10
from typing import Any, TypeAlias

import numpy as np

Pixels: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

CHARACTER = 6.7
"""The width of a character of a number in a picture, in the picture's units."""


def format_number(value: float) -> str:
    """A number in at most 8 characters, 3 or 4 of its digits shown.

    Examples
    --------
    >>> [format_number(x) for x in (1, -2.5, 0.2, 0.01234, 123.4, 1e-5, -0.0)]
    ['1.00', '-2.50', '0.200', '0.0123', '123.4', '1.0e-05', '0.00']
    """
    if not isfinite(value):
        return str(value)
    if value == 0:
        return "0.00"
    size = floor(log10(abs(value)))
    if size < -3 or size > 4:
        return f"{value:.1e}"
    places = {-1: 3, 0: 2, 1: 2, 2: 1, 3: 0, 4: 0}.get(size, 4)
    return f"{value:.{places}f}"


@dataclass(frozen=True)
class Item:
    """What all parts of a picture have.

    Attributes
    ----------
    x, y : float
        Of the upper left corner; of a text, where its base line begins, ends or has its middle.
    kind : str
        How it looks: a class of the style sheet.
    key : str or None
        What it shows, where that changes from pass to pass: ``"0.weights[2,0]"``, say.
    born : int
        The first frame that shows it.
    """

    x: float
    y: float
    kind: str
    key: str | None = field(default=None, kw_only=True)
    born: int = field(default=0, kw_only=True)

    def live(self) -> dict[str, str]:
        """What of it changes from pass to pass."""
        return {}


@dataclass(frozen=True)
class Text(Item):
    """A line of text, or a number."""

    text: str
    anchor: str = "middle"

    def live(self) -> dict[str, str]:
        return {"text": self.text}


@dataclass(frozen=True)
class Box(Item):
    """A box with round corners."""

    width: float
    height: float


@dataclass(frozen=True)
class Line(Item):
    """A line from (x, y) to another point."""

    to_x: float
    to_y: float
    width: float = 1.0

    def live(self) -> dict[str, str]:
        return {"stroke-width": f"{self.width:.2f}", "class": self.kind}


@dataclass(frozen=True)
class Image(Item):
    """An image of one square a number.

    Attributes
    ----------
    width, height : float
    pixels : ndarray of uint8, shape (rows, columns, 4)
        Red, green, blue and how much of them covers what is behind.
    label : str
        What a screen reader says.
    """

    width: float
    height: float
    pixels: Pixels
    label: str

    def live(self) -> dict[str, str]:
        rows, columns, _ = self.pixels.shape
        return {
            "href": data_url(self.pixels),
            "width": f"{self.width:.1f}",
            "height": f"{self.height:.1f}",
            "data-rows": str(rows),
            "data-columns": str(columns),
            "aria-label": self.label,
        }


@dataclass(frozen=True)
class Scene:
    """A picture, and what is seen of it from frame to frame.

    Attributes
    ----------
    width, height : float
    items : tuple of Item
    captions : tuple of str
        What each frame shows, in words.
    values : dict of str to float
        The numbers that the picture shows, by key, unrounded.
    title : str
    """

    width: float
    height: float
    items: tuple[Item, ...]
    captions: tuple[str, ...]
    values: dict[str, float]
    title: str


COLORS = (
    *((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167)),
    *((230, 159, 0), (86, 180, 233), (240, 228, 66)),
)
"""Of classes: Okabe and Ito 2008, *Color Universal Design*."""

POSITIVE, NEGATIVE = COLORS[:2]


def pixels_of(values: np.ndarray[Any, Any], limit: float | None = None) -> Pixels:
    """Blue for positive numbers and orange for negative ones, the fuller the further from 0.

    Parameters
    ----------
    values : ndarray, shape (rows, columns)
    limit : float, optional
        The size that has the full colour; by default the largest that there is.
    """
    values = np.nan_to_num(np.asarray(values, np.float64))
    if limit is None:
        limit = float(np.max(np.abs(values), initial=0.0))
    share = np.abs(values) / limit if limit else np.zeros_like(values)
    pixels = np.empty((*values.shape, 4), np.uint8)
    pixels[..., :3] = np.where(values[..., None] >= 0, POSITIVE, NEGATIVE)
    pixels[..., 3] = np.round(255 * np.minimum(share, 1.0) ** 0.6)
    return pixels


def data_url(pixels: Pixels) -> str:
    """The image as a PNG within a URL.

    Source: *Portable Network Graphics (PNG) Specification (Third Edition)*, sections 5 and 11.
    """
    import base64

    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")


def png(pixels: Pixels) -> bytes:
    """The image as PNG: 8 bits a channel, colour with alpha, no filter."""
    import struct
    import zlib

    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 4 * width), np.uint8)  # each row begins with its filter, none
    rows[:, 1:] = pixels.reshape(height, -1)

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    body = zlib.compress(rows.tobytes(), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
