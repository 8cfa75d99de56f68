"""Where the windows of a convolution or of pooling lie over pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

Pair = tuple[int, int]
"""Of the height and of the width."""


class Window(NamedTuple):
    """A window that goes over pictures of shape (batch, height, width, channels).

    It has a tap for each of its places: tap (i, j) of the window at (y, x) looks at row
    y * strides[0] + i * dilation[0] of the padded picture, and at such a column.

    Attributes
    ----------
    size : pair of int
        Taps from top to bottom, and from left to right.
    strides : pair of int
        Rows, and columns, from one window to the next.
    padding : pair of pairs of int
        Rows above and below the picture, and columns left and right of it.
    dilation : pair of int
        Rows, and columns, from one tap to the next.
    """

    size: Pair
    strides: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)

    def places(self, height: int, width: int) -> Pair:
        """How many windows lie in a picture, from top to bottom and from left to right."""
        return self._places(0, height), self._places(1, width)

    def _places(self, axis: int, length: int) -> int:
        room = length + sum(self.padding[axis]) - self.reach[axis]
        return room // self.strides[axis] + 1

    @property
    def reach(self) -> Pair:
        """Rows and columns from the first tap to the last one, both included."""
        return (
            self.dilation[0] * (self.size[0] - 1) + 1,
            self.dilation[1] * (self.size[1] - 1) + 1,
        )

    def taps(self, height: int, width: int) -> Iterator[tuple[slice, slice]]:
        """For each tap, the rows and columns of a padded picture that all windows' taps look at.

        Row by row of the window. Height and width are those of the picture without its padding.
        """
        places = self.places(height, width)
        for i in range(self.size[0]):
            for j in range(self.size[1]):
                yield self._seen(0, i, places[0]), self._seen(1, j, places[1])

    def _seen(self, axis: int, tap: int, places: int) -> slice:
        start, step = tap * self.dilation[axis], self.strides[axis]
        return slice(start, start + step * (places - 1) + 1, step)

    def padded(self, height: int, width: int) -> Pair:
        """Height and width of the picture with its padding."""
        return height + sum(self.padding[0]), width + sum(self.padding[1])

    def n_seen(self, height: int, width: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """How many rows of a picture each row of windows sees without its padding; and columns."""
        down, across = self.places(height, width)
        return (
            tuple(self._n_seen(0, place, height) for place in range(down)),
            tuple(self._n_seen(1, place, width) for place in range(across)),
        )

    def _n_seen(self, axis: int, place: int, length: int) -> int:
        first = place * self.strides[axis] - self.padding[axis][0]
        seen = (first + tap * self.dilation[axis] for tap in range(self.size[axis]))
        return sum(0 <= each < length for each in seen)

    @property
    def is_pixel(self) -> bool:
        """Whether each window is one pixel, and each pixel a window."""
        return self.size == self.strides == (1, 1) and not any(map(sum, self.padding))
