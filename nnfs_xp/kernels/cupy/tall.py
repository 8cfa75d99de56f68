"""Products of two tall matrices: few numbers, each the sum of very many rows.

The gradient of a first convolution's weights is one, and so is that of a narrow dense layer at a
large batch. cuBLASLt gives each block of the device a tile of the numbers, and here there is but
one tile: unless it finds an algorithm that shares out the sum, one block does it all.
"""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from nnfs_xp.kernels.cupy.compilation import (
    ALIGNED,
    OPTIONS,
    THREADS,
    Array,
    launch,
    multiprocessors,
    wide,
)
from nnfs_xp.kernels.cupy.cublaslt import Layout, layout_of
from nnfs_xp.kernels.cupy.layers import add_parts

_LONG = 2**14
"""The fewest rows. They are then 64 parts, which outweigh the second kernel that adds up the
parts' sums."""

_SIDE, _WIDEST = 4, 512
"""A thread has so many times so many numbers: see products.cu. The most columns of both matrices
together, of which 8 rows in float64 fit into a block's memory."""

_ROWS, _EVEN, _BLOCKS = 256, 8, 4
"""The fewest rows of a part, so that they outweigh its sums; what their count is a multiple of; and
how many blocks a multiprocessor has at once."""


def tall_product(a: Array, b: Array, out: Array) -> bool:
    """Write a @ b to `out`; return False, with nothing written, if it is no such product.

    Parameters
    ----------
    a : array, shape (m, rows)
        The transpose of a matrix that lies row by row.
    b : array, shape (rows, n)
    out : array, shape (m, n)
    """
    (m, rows), n = a.shape, b.shape[1]
    if rows < _LONG or b.shape[0] != rows or out.shape != (m, n) or not _is_small(m, n):
        return False
    if not a.dtype == b.dtype == out.dtype or out.dtype.name not in OPTIONS:
        return False
    x, (of_x, of_y) = a.T, (layout_of(a.T), layout_of(b))
    if of_x is None or of_y is None or of_x.by_columns or of_y.by_columns:
        return False
    wanted = _BLOCKS * multiprocessors(cupy.cuda.runtime.getDevice())
    part = max(_ROWS, -(-rows // wanted))
    part += -part % _EVEN
    parts = -(-rows // part)
    sums = cupy.empty((parts, m * n), wide(out.dtype))
    sizes = np.int64(rows), np.int64(part), np.int32(m), np.int32(n)
    pitches = np.int64(of_x.leading), np.int64(of_y.leading)
    flat = _is_flat(x, of_x), _is_flat(b, of_y)
    arguments = *sizes, *pitches, *flat, x, b, sums
    launch("products", "tall_product", out.dtype, (parts,), (THREADS,), *arguments)
    total = out if out.flags.c_contiguous else cupy.empty((m, n), out.dtype)
    add_parts(sums, total)
    if total is not out:
        out[...] = total
    return True


def _is_small(m: int, n: int) -> bool:
    """Whether a block has threads for all numbers, and room for some rows."""
    return 0 < -(-m // _SIDE) * -(-n // _SIDE) <= THREADS and m + n <= _WIDEST


def _is_flat(array: Array, layout: Layout) -> Any:
    """Whether rows follow each other without gaps, from a multiple of 16 bytes on."""
    return np.int32(layout.leading == array.shape[1] and not array.data.ptr % ALIGNED)
