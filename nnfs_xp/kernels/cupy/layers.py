"""What dense layers and the activations behind them do besides multiplying matrices."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from nnfs_xp.kernels.cupy.compilation import (
    THREADS,
    TILE,
    Array,
    alike,
    blocks_for,
    launch,
    multiprocessors,
    same_shape,
    sweep,
    wide,
)
from nnfs_xp.kernels.standard import StandardKernels

_AT_ONCE, _LARGE = 8, 2**20
"""Bytes that a thread loads at once, and from how many elements of an array on. Of a smaller array,
a thread loads one element, so that more threads have work."""


def add_biases(products: Array, biases: Array, *, with_relu: bool) -> Array:
    """Add the biases in place, with a ReLU behind them if asked; return the products."""
    n, k = products.shape
    packed = not (products.data.ptr | biases.data.ptr | k * products.itemsize) % 16
    numbers = np.int64(n), np.int64(k), np.int32(with_relu), np.int32(packed)
    arrays = products, biases, products
    grid = (blocks_for(products.size),)
    launch("layers", "add_biases", products.dtype, grid, (THREADS,), *numbers, *arrays)
    return products


def column_sums(xp: Any, values: Array, sums: Array) -> None:
    """Write the sum of each column to `sums`, shape (1, columns)."""
    if alike(values, sums) and sums.shape == (1, values.shape[1]):
        _summed("column_sums", values, sums, values)
    else:
        sums[...] = xp.sum(values, axis=0, keepdims=True)


def _summed(kernel: str, like: Array, total: Array, *arrays: Array) -> None:
    """Run a kernel that sums up columns, those of a long batch in parts."""
    n, k = like.shape
    device = cupy.cuda.runtime.getDevice()
    several = max(_AT_ONCE // like.itemsize, 1)
    fits = not k % several and all(array.data.ptr % _AT_ONCE == 0 for array in arrays)
    if fits and like.size >= _LARGE:
        kernel, width = f"{kernel}_wide", several * TILE[0]
    else:
        width = TILE[0]
    columns = -(-k // width)  # of blocks
    wanted = max(1, 2 * multiprocessors(device) // columns)
    rows = max(8 * TILE[1], -(-n // wanted))  # of a part
    parts = -(-n // rows)
    whole = parts == 1 and like.dtype == wide(like.dtype)
    sums = total if whole else cupy.empty((parts, k), wide(like.dtype))
    sizes = [np.int64(each) for each in (n, k, rows)]
    launch("layers", kernel, like.dtype, (columns, parts), TILE, *sizes, *arrays, sums)
    if whole:
        return
    add_parts(sums, total)


def add_parts(sums: Array, total: Array) -> None:
    """Write the sum of each column of `sums`, of the wide type, to `total`."""
    parts, k = sums.shape
    grid, sizes = (-(-k // TILE[0]),), (np.int64(parts), np.int64(k))
    launch("layers", "add_parts", total.dtype, grid, TILE, *sizes, sums, total)


class ReLUKernels(StandardKernels):
    """ReLUs, alone and with the biases."""

    def bias_relu(self, xp: Any, products: Array, biases: Array) -> Array:
        if not alike(products, biases) or products.shape[1:] != biases.shape[1:]:
            return super().bias_relu(xp, products, biases)
        return add_biases(products, biases, with_relu=True)

    def relu_backward(self, xp: Any, dvalues: Array, output: Array) -> Array:
        if not same_shape(dvalues, output):
            return super().relu_backward(xp, dvalues, output)
        dinputs = cupy.empty(dvalues.shape, dvalues.dtype)
        sweep("layers", "relu_backward", (dvalues, output, dinputs))
        return dinputs

    def relu_backward_biases(self, xp: Any, dvalues: Array, output: Array, dbiases: Array) -> Array:
        fits = same_shape(dvalues, output) and alike(dvalues, dbiases)
        if not fits or dbiases.shape != (1, dvalues.shape[1]):
            return super().relu_backward_biases(xp, dvalues, output, dbiases)
        dinputs = cupy.empty(dvalues.shape, dvalues.dtype)
        _summed("relu_backward_biases", dvalues, dbiases, dvalues, output, dinputs)
        return dinputs
