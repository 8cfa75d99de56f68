"""Where a step's batch comes from, and where its loss goes, so that a step can be recorded."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from nnfs_xp.kernels.cupy.compilation import (
    ANY_DTYPE,
    THREADS,
    Array,
    alike,
    blocks_for,
    count,
    launch,
)
from nnfs_xp.kernels.standard import StandardKernels

_MOST_COPIES = 3
"""Arrays that `begin` copies in one launch: inputs, targets, and the samples' weights."""


def begin(
    counts: Array,
    rate: Array,
    decay: Array,
    counts_now: tuple[int, int, int, int],
    rate_now: float,
    decay_now: float,
    batch: tuple[Array, ...],
    held: tuple[Array, ...],
) -> None:
    """Write what a recorded step reads: four counts, learning rate, weight decay, and its batch.

    The numbers come as arguments of the kernel, which the launch copies: memory that the device is
    to copy from later might be overwritten before it does.
    """
    copies: list[Any] = []
    for array, place in zip(batch, held, strict=True):
        by_rows = array.flags.c_contiguous and place.flags.c_contiguous
        if by_rows and len(copies) < 3 * _MOST_COPIES:
            copies += [np.int64(array.nbytes), array, place]
        else:
            place[...] = array
    largest = max((int(size) for size in copies[::3]), default=0)
    copies += _NO_COPY * (_MOST_COPIES - len(copies) // 3)
    numbers = [np.int64(each) for each in counts_now]
    rates = rate, np.float64(rate_now), decay, np.float64(decay_now)
    arguments = counts, *numbers, *rates, *copies
    launch("steps", "begin", rate.dtype, (blocks_for(largest // 16),), (THREADS,), *arguments)


_NO_COPY = [np.int64(0), np.uint64(0), np.uint64(0)]
"""Numbers for addresses: of None CuPy makes an argument that lies at the address 0."""


class StepKernels(StandardKernels):
    """What a step reads and leaves behind."""

    def gather_rows(self, xp: Any, array: Array, order: Array, start: Any, n: int) -> Array:
        fits = array.flags.c_contiguous and order.flags.c_contiguous and order.dtype == np.int64
        if not fits or not array.size:
            return super().gather_rows(xp, array, order, start, n)
        batch = cupy.empty((n, *array.shape[1:]), array.dtype)
        width = array.nbytes // array.shape[0]
        unit = next(
            unit
            for unit in (16, 4, 1)
            if not width % unit and not (array.data.ptr | batch.data.ptr) % unit
        )
        width //= unit
        numbers = np.int64(n), np.int64(width), order, *count(start)
        grid = (blocks_for(n * width),)
        launch("steps", f"gather_{unit}", ANY_DTYPE, grid, (THREADS,), *numbers, array, batch)
        return batch

    def put(self, xp: Any, values: Array, index: Any, value: Array) -> None:
        if value.dtype != values.dtype:
            value = value.astype(values.dtype)
        if not alike(values, value):
            super().put(xp, values, index, value)
            return
        launch("steps", "put", values.dtype, (1,), (1,), *count(index), value, values)

    def widen(self, xp: Any, narrow: Array, wide: Array, factor: Array) -> None:
        if not (narrow.dtype.name in ("float16", "bfloat16") and wide.dtype == np.float32):
            super().widen(xp, narrow, wide, factor)
            return
        numbers = (np.int64(narrow.size),)
        grid = (blocks_for(narrow.size),)
        launch("steps", "widen", narrow.dtype, grid, (THREADS,), *numbers, factor, narrow, wide)

    def narrow_into(self, xp: Any, wide: Array, narrow: Array) -> None:
        if not (narrow.dtype.name in ("float16", "bfloat16") and wide.dtype == np.float32):
            super().narrow_into(xp, wide, narrow)
            return
        grid = (blocks_for(narrow.size),)
        launch(
            "steps", "narrow", narrow.dtype, grid, (THREADS,), np.int64(narrow.size), wide, narrow
        )
