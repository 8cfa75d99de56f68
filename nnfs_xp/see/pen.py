"""What columns of a picture draw with, and what they show of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import to_numpy
from nnfs_xp.see.scene import Box, Image, Item, Line, Pixels, Text, format_number

Numbers: TypeAlias = np.ndarray[Any, Any]

EDGE = 68.0
"""The length of an edge with a number on it: room for 8 characters."""

ROW = 46.0
"""The height of a row with a number above its edge and one below."""


class Port(NamedTuple):
    """Where the edge of a unit ends, at its right."""

    x: float
    y: float


class Event(NamedTuple):
    """What one frame adds to those before it.

    Attributes
    ----------
    caption : str
    keys : tuple of str
        Of the numbers that it shows for the first time.
    """

    caption: str
    keys: tuple[str, ...]


class Column(Protocol):
    """A layer, the inputs or the loss, drawn between those before and behind it."""

    @property
    def width(self) -> float: ...
    @property
    def height(self) -> float: ...
    @property
    def values(self) -> Mapping[str, float]: ...

    def forward(self) -> list[Event]:
        """What the way forward adds, frame by frame."""

    def backward(self) -> list[Event]:
        """What the way back adds, frame by frame."""

    def draw(self, pen: Pen, x: float, middle: float, ports: list[Port]) -> list[Port]:
        """Draw it from x to the right; the ports of what is behind it."""


@dataclass
class Pen:
    """Draws numbers by their keys.

    Attributes
    ----------
    values : dict of str to float
    born : dict of str to int
        The frame that shows a number first; 0 for those that are not in it.
    items : list of Item
        What has been drawn.
    """

    values: Mapping[str, float]
    born: Mapping[str, int]
    items: list[Item] = field(default_factory=list)

    def number(self, x: float, y: float, key: str, kind: str, anchor: str = "middle") -> None:
        """A number, if there is one of that key."""
        if key in self.values:
            text = format_number(self.values[key])
            born = self.born.get(key, 0)
            self.items.append(Text(x, y, kind, text, anchor, key=key, born=born))

    def words(
        self,
        x: float,
        y: float,
        text: str,
        kind: str = "see-word",
        anchor: str = "middle",
        *,
        key: str | None = None,
        since: str = "",
    ) -> None:
        """A text, from the frame on that shows the number of the key `since`."""
        born = self.born.get(since, 0)
        self.items.append(Text(x, y, kind, text, anchor, key=key, born=born))

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        kind: str = "see-box",
        *,
        since: str = "",
    ) -> None:
        """A box."""
        born = self.born.get(since, 0)
        self.items.append(Box(x, y, kind, width, height, born=born))

    def line(
        self,
        x: float,
        y: float,
        to_x: float,
        to_y: float,
        kind: str = "see-edge",
        *,
        key: str | None = None,
        width: float = 1.0,
        since: str = "",
    ) -> None:
        """A line."""
        born = self.born.get(since, 0)
        self.items.append(Line(x, y, kind, to_x, to_y, width, key=key, born=born))

    def image(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        pixels: Pixels,
        key: str,
        label: str,
        *,
        since: str,
    ) -> None:
        """An image, from the frame on that shows the number of the key `since`."""
        born = self.born.get(since, 0)
        self.items.append(
            Image(x, y, "see-image", width, height, pixels, label, key=key, born=born)
        )

    def edge(self, x: float, y: float, value: str, derivative: str, length: float = EDGE) -> float:
        """An edge with a value above and its derivative below; where it ends."""
        self.line(x, y, x + length, y, since=value)
        self.number(x + length / 2, y - 5, value, "see-value")
        self.number(x + length / 2, y + 13, derivative, "see-derivative")
        return x + length


def units_of(array: Array | None, sample: int) -> Numbers | None:
    """The numbers of one sample, one behind the other, in float64."""
    if array is None:
        return None
    return np.asarray(to_numpy(array[sample : sample + 1, ...]), np.float64).ravel()


def numbered(name: str, numbers: Numbers | None) -> dict[str, float]:
    """The numbers by key: ``name[0]``, ``name[1]``, …; none where there are none."""
    if numbers is None:
        return {}
    indices = np.ndindex(*numbers.shape)
    return {f"{name}[{','.join(map(str, i))}]": float(numbers[i]) for i in indices}


def spread(n: int, middle: float, distance: float = ROW) -> list[float]:
    """The heights of n rows around a middle."""
    first = middle - distance * (n - 1) / 2
    return [first + distance * i for i in range(n)]
