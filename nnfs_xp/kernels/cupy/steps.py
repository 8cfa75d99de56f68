"""Where a step's batch comes from, and where its loss goes, so that a step can be recorded."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from nnfs_xp.kernels import standard
from nnfs_xp.kernels.cupy.compilation import (
    ANY_DTYPE,
    THREADS,
    Array,
    alike,
    blocks_for,
    count,
    launch,
)


def gather_rows(xp: Any, array: Array, order: Array, start: Any, n: int) -> Array:
    fits = array.flags.c_contiguous and order.flags.c_contiguous and order.dtype == np.int64
    if not fits or not array.size:
        return standard.gather_rows(xp, array, order, start, n)
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


def put(xp: Any, values: Array, index: Any, value: Array) -> None:
    if value.dtype != values.dtype:
        value = value.astype(values.dtype)
    if not alike(values, value):
        standard.put(xp, values, index, value)
        return
    launch("steps", "put", values.dtype, (1,), (1,), *count(index), value, values)


def set_numbers(
    counts: Array, rate: Array, values: tuple[int, int, int, int], value: float
) -> None:
    """Write four counts, and a learning rate, to the device without waiting for it.

    As arguments of a kernel, which the launch copies: memory that the device is to copy from later
    might be overwritten before it does.
    """
    numbers = (np.int64(each) for each in values)
    launch(
        "steps", "set_numbers", rate.dtype, (1,), (1,), counts, *numbers, rate, np.float64(value)
    )


def widen(xp: Any, narrow: Array, wide: Array, factor: Array) -> None:
    if not (narrow.dtype.name in ("float16", "bfloat16") and wide.dtype == np.float32):
        standard.widen(xp, narrow, wide, factor)
        return
    numbers = (np.int64(narrow.size),)
    grid = (blocks_for(narrow.size),)
    launch("steps", "widen", narrow.dtype, grid, (THREADS,), *numbers, factor, narrow, wide)


def narrow_into(xp: Any, wide: Array, narrow: Array) -> None:
    if not (narrow.dtype.name in ("float16", "bfloat16") and wide.dtype == np.float32):
        standard.narrow_into(xp, wide, narrow)
        return
    grid = (blocks_for(narrow.size),)
    launch("steps", "narrow", narrow.dtype, grid, (THREADS,), np.int64(narrow.size), wide, narrow)
