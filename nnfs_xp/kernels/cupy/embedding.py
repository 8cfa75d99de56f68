"""The gradient of a table from which rows were looked up."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from nnfs_xp.kernels.cupy.compilation import THREADS, Array, alike, blocks_for, launch
from nnfs_xp.kernels.standard import StandardKernels

_TILE = 2048
"""The most keys that one block sorts: LONGEST of the source."""

_LANES, _WIDEST = 128, 32
"""Threads of a block that sums up rows, and how many columns they have at once."""

_MOST = 2**31 - 1
"""Codes, and rows of the table: each has half a key, and a code may have a block."""


class EmbeddingKernels(StandardKernels):
    """What goes back through an embedding."""

    def embedding_gradient(self, xp: Any, codes: Array, dvalues: Array, dweights: Array) -> None:
        n, k = dvalues.shape
        fits = codes.dtype == np.int64 and codes.shape == (n,) and codes.flags.c_contiguous
        few = max(n, dweights.shape[0]) <= _MOST
        if not (fits and few and alike(dvalues, dweights) and dweights.shape[1:] == (k,)):
            super().embedding_gradient(xp, codes, dvalues, dweights)
            return
        dtype, size = dvalues.dtype, dweights.size
        grid = (blocks_for(size),)
        launch("embedding", "clear", dtype, grid, (THREADS,), np.int64(size), dweights)
        keys = _sorted_keys(codes, dtype)
        width = min(_power_of_two(k), _WIDEST)
        block, sizes = (width, _LANES // width), (np.int64(n), np.int64(k))
        launch("embedding", "sum_rows", dtype, (n,), block, *sizes, keys, dvalues, dweights)


def _sorted_keys(codes: Array, dtype: Any) -> Array:
    """A code and its place in each, in ascending order."""
    n = codes.size
    keys, room = cupy.empty(n, np.uint64), cupy.empty(n, np.uint64)
    tile = min(_power_of_two(max(n, 2)), _TILE)
    grid, block, numbers = (-(-n // tile),), (tile // 2,), (np.int64(n), np.int32(tile))
    launch("embedding", "sort_tiles", dtype, grid, block, *numbers, codes, keys)
    run = tile
    while run < n:
        grid, sizes = (blocks_for(n),), (np.int64(n), np.int64(run))
        launch("embedding", "merge_runs", dtype, grid, (THREADS,), *sizes, keys, room)
        keys, room = room, keys
        run *= 2
    return keys


def _power_of_two(size: int) -> int:
    """The smallest that is at least the size."""
    return 1 << (size - 1).bit_length()
