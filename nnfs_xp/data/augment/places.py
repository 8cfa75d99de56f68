"""Where the pixels of new pictures lie in the old ones, and how they are fetched from there."""

from __future__ import annotations

from typing import NamedTuple

from nnfs_xp._typing import Array, Device, Namespace

OUTSIDE = -1
"""The place of a pixel that lies outside the old picture, and is 0 in the new one."""


class Places(NamedTuple):
    """The row and the column of the old picture that each row and column of a new one is.

    Attributes
    ----------
    rows : array of int64, shape (batch, new height), or None
        None for all as they are.
    columns : array of int64, shape (batch, new width), or None
    reach_out : bool
        Whether some may be `OUTSIDE`.
    """

    rows: Array | None = None
    columns: Array | None = None
    reach_out: bool = False

    def before(self, xp: Namespace, later: Places) -> Places:
        """Those of two moves, the later one of what the pictures have become by this one."""
        return Places(
            _looked_up(xp, self.rows, later.rows, later.reach_out),
            _looked_up(xp, self.columns, later.columns, later.reach_out),
            self.reach_out or later.reach_out,
        )

    def sizes(self, height: int, width: int) -> tuple[int, int]:
        """The height and the width of the new pictures."""
        return (
            height if self.rows is None else self.rows.shape[1],
            width if self.columns is None else self.columns.shape[1],
        )


def _looked_up(
    xp: Namespace, first: Array | None, later: Array | None, reach_out: bool
) -> Array | None:
    if first is None or later is None:
        return first if later is None else later
    if not reach_out:
        found: Array = xp.take_along_axis(first, later, axis=1)
        return found
    found = xp.take_along_axis(first, xp.maximum(later, 0), axis=1)
    kept: Array = xp.where(later == OUTSIDE, OUTSIDE, found)
    return kept


def fetch(xp: Namespace, pictures: Array, places: Places) -> Array:
    """The new pictures: each pixel from its place, and 0 where that is `OUTSIDE`."""
    n, height, width, _ = pictures.shape
    if places.rows is None and places.columns is None:
        return pictures
    rows = counted(xp, height, pictures.device) if places.rows is None else places.rows
    columns = counted(xp, width, pictures.device) if places.columns is None else places.columns
    inside = None
    if places.reach_out:
        inside = (rows != OUTSIDE)[:, :, None] & (columns != OUTSIDE)[:, None, :]
        rows, columns = xp.maximum(rows, 0), xp.maximum(columns, 0)
    lines = counted(xp, n, pictures.device).T * height + rows
    found = pixels(xp, pictures, lines[:, :, None] * width + columns[:, None, :])
    return found if inside is None else xp.where(inside[..., None], found, 0.0)


def pixels(xp: Namespace, pictures: Array, numbers: Array) -> Array:
    """The pixels of these numbers, counted over all pictures, shape (*numbers.shape, channels)."""
    channels = pictures.shape[-1]
    taken = xp.take(xp.reshape(pictures, (-1, channels)), xp.reshape(numbers, (-1,)), axis=0)
    found: Array = xp.reshape(taken, (*numbers.shape, channels))
    return found


def counted(xp: Namespace, n: int, device: Device) -> Array:
    """The numbers from 0 to n - 1, shape (1, n)."""
    numbers: Array = xp.arange(n, dtype=xp.int64, device=device)[None, :]
    return numbers


def reflected(xp: Namespace, places: Array, n: int) -> Array:
    """Places from -(n - 1) to 2 (n - 1), those outside mirrored at the first and last of n."""
    found: Array = (n - 1) - xp.abs((n - 1) - xp.abs(places))
    return found


def or_outside(xp: Namespace, places: Array, n: int) -> Array:
    """The places, `OUTSIDE` for those that are none of n."""
    found: Array = xp.where((places >= 0) & (places < n), places, OUTSIDE)
    return found
