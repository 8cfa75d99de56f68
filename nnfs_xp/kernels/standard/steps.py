"""Where a step's batch comes from, and where its loss goes, so that a step can be recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Namespace


def gather_rows(xp: Namespace, array: Array, order: Array, start: int, n: int) -> Array:
    """Rows order[start], …, order[start + n - 1] of the array. `start` may be a `DeviceCount`."""
    rows: Array = xp.take(array, order[start : start + n], axis=0)
    return rows


def put(xp: Namespace, values: Array, index: int, value: Array) -> None:
    """Write a value, a 0-d array, to values[index]. `index` may be a `DeviceCount`."""
    values[index, ...] = value if value.dtype == values.dtype else xp.astype(value, values.dtype)


def widen(xp: Namespace, narrow: Array, wide: Array, factor: Array) -> None:
    """Write narrow * factor to `wide`, of a wider type; the factor is a 0-d array of that type."""
    wide[...] = xp.astype(narrow, wide.dtype)
    wide *= factor


def narrow_into(xp: Namespace, wide: Array, narrow: Array) -> None:
    """Write `wide` to `narrow`, rounded to its narrower type."""
    narrow[...] = xp.astype(wide, narrow.dtype)
