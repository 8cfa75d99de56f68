"""Where a step's batch comes from, and where its loss goes, so that a step can be recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Namespace


def gather_rows(xp: Namespace, array: Array, order: Array, start: int, n: int) -> Array:
    """Rows order[start], …, order[start + n - 1] of the array. Start may be a `DeviceCount`."""
    rows: Array = xp.take(array, order[start : start + n], axis=0)
    return rows


def put(xp: Namespace, values: Array, index: int, value: Array) -> None:
    """values[index] = value, a 0-d array. Index may be a `DeviceCount`."""
    values[index, ...] = value if value.dtype == values.dtype else xp.astype(value, values.dtype)


def widen(xp: Namespace, narrow: Array, wide: Array, factor: Array) -> None:
    """Write narrow * factor, a 0-d array of wide's type, to the array of the wider type."""
    wide[...] = xp.astype(narrow, wide.dtype)
    wide *= factor


def narrow_into(xp: Namespace, wide: Array, narrow: Array) -> None:
    """Write wide, rounded, to the array of the narrower type."""
    narrow[...] = xp.astype(wide, narrow.dtype)
