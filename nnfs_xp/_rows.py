"""Samples of any shape as rows: features, or classes, on the last axis, and batch before it."""

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


def one_hot(xp: Namespace, labels: Array, n_classes: int) -> Array:
    """True at the class of each label and False at the others, shape (…, classes)."""
    rows: Array = labels[..., None] == xp.arange(
        n_classes, dtype=labels.dtype, device=labels.device
    )
    return rows
