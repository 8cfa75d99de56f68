"""Sums in the order in which NumPy adds, so that they have its bits.

Older releases of NumPy add more than 8,192 numbers in parts: there the last bits may differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_BLOCK, _DEPTH = 128, 64
"""Elements that are added one after the other, in eight sums; how often halves are halved."""


@njit(error_model="numpy")
def _block_sum(x: Any, start: int, size: int) -> Any:
    total = x.dtype.type(0)
    if size < 8:
        for i in range(start, start + size):
            total += x[i]
        return total
    a, b, c, d = x[start], x[start + 1], x[start + 2], x[start + 3]
    e, f, g, h = x[start + 4], x[start + 5], x[start + 6], x[start + 7]
    rest = start + size - size % 8
    for i in range(start + 8, rest, 8):
        a, b, c, d = a + x[i], b + x[i + 1], c + x[i + 2], d + x[i + 3]
        e, f, g, h = e + x[i + 4], f + x[i + 5], g + x[i + 6], h + x[i + 7]
    total += ((a + b) + (c + d)) + ((e + f) + (g + h))  # to 0, so that no sum is -0.0
    for i in range(rest, start + size):
        total += x[i]
    return total


@njit(error_model="numpy")
def pairwise_sum(x: Any, start: int, size: int) -> Any:
    """The sum of so many elements of a flat array: of halves, down to blocks (Higham 1993)."""
    if size <= _BLOCK:
        return _block_sum(x, start, size)
    # Numba keeps no function that calls itself, so the halves that wait stand in lists.
    lefts, rights = np.empty(_DEPTH, x.dtype), np.empty(_DEPTH, np.int64)
    depth = 0
    while True:
        while size > _BLOCK:
            half = size // 2
            half -= half % 8
            rights[depth] = size - half
            size = half
            depth += 1
        total = _block_sum(x, start, size)
        start += size
        while depth > 0 and rights[depth - 1] == 0:  # its right half is done, too
            depth -= 1
            total = lefts[depth] + total
        if depth == 0:
            return total
        lefts[depth - 1], size, rights[depth - 1] = total, rights[depth - 1], 0
