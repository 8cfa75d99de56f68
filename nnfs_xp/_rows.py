"""Samples of any shape as rows: features on the last axis, everything before it is batch."""

from __future__ import annotations

from nnfs_xp._typing import Array, Namespace


def as_rows(xp: Namespace, array: Array) -> Array:
    """The array in shape (rows, features), a row for each place before the last axis."""
    if array.ndim == 2:
        return array
    rows: Array = xp.reshape(array, (-1, array.shape[-1]))
    return rows


def as_before(xp: Namespace, rows: Array, array: Array) -> Array:
    """The rows with the axes that stand before the last one in the array."""
    if array.ndim == 2:
        return rows
    shaped: Array = xp.reshape(rows, (*array.shape[:-1], rows.shape[-1]))
    return shaped
