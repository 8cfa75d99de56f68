"""Normalizations: over the batch, and over the features of each sample."""

from __future__ import annotations

from typing import Any, NamedTuple

import cupy
import numpy as np

from nnfs_xp.kernels.cupy.compilation import (
    ALIGNED,
    TILE,
    Array,
    alike,
    launch,
    multiprocessors,
    row_blocks,
    same_shape,
    wide,
)
from nnfs_xp.kernels.standard import StandardKernels


def _like(array: Array, shape: tuple[int, ...]) -> Array:
    return cupy.empty(shape, array.dtype)


def _columns(k: int) -> tuple[int]:
    return (-(-k // TILE[0]),)


def _rows_fit(wide_one: Array, *rows: Array) -> bool:
    return alike(wide_one, *rows) and all(row.shape == (1, wide_one.shape[1]) for row in rows)


_FEW = 512
"""The most rows over which one block sums up 32 columns by itself."""

_WALKERS, _BLOCKS, _ROWS = 256, 8, 4
"""Threads of a block that walks, how many blocks each multiprocessor has, and the fewest rows of a
thread."""


class _Walk(NamedTuple):
    """How blocks share the rows and columns of an array: see norms.cu."""

    grid: tuple[int, int]
    block: tuple[int, int]
    numbers: tuple[Any, ...]

    @property
    def parts(self) -> int:
        """Of the rows."""
        return self.grid[1]

    def launch(self, kernel: str, dtype: Any, *arrays: Array) -> None:
        """Run a kernel of the source."""
        launch("norms", kernel, dtype, self.grid, self.block, *self.numbers, *arrays)


def _walk_over(first: Array, *others: Array) -> _Walk:
    """A walk over arrays of one shape."""
    n, k = first.shape
    arrays = (first, *others)
    packed = not any(number % ALIGNED for number in (k * first.itemsize, *map(_address, arrays)))
    across = -(-k // (ALIGNED // first.itemsize if packed else 1))
    x = min(1 << (across - 1).bit_length(), 32)
    y, columns = _WALKERS // x, -(-across // x)
    blocks = _BLOCKS * multiprocessors(cupy.cuda.runtime.getDevice())
    rows = max(_ROWS * y, -(-n // max(1, blocks // columns)))
    numbers = np.int64(n), np.int64(k), np.int64(rows), np.int32(packed)
    return _Walk((columns, -(-n // rows)), (x, y), numbers)


def _address(array: Array) -> int:
    return int(array.data.ptr)


def _norm_sums(dvalues: Array, normalized: Array, dgamma: Array, dbeta: Array) -> Array:
    """Write the sums of dvalues * normalized and of dvalues; return them, not rounded."""
    k, dtype = dvalues.shape[1], dvalues.dtype
    walk = _walk_over(dvalues, normalized)
    products, sums = (cupy.empty((walk.parts, k), wide(dtype)) for _ in range(2))
    walk.launch("norm_sums", dtype, dvalues, normalized, products, sums)
    exact = cupy.empty((2, k), wide(dtype))
    numbers = np.int64(k), np.int64(walk.parts)
    totals = products, sums, dgamma, dbeta, exact
    launch("norms", "add_norm_sums", dtype, _columns(k), TILE, *numbers, *totals)
    return exact


class NormKernels(StandardKernels):
    """Both normalizations, forward and backward."""

    def batch_norm(
        self, xp: Any, inputs: Array, gamma: Array, beta: Array, epsilon: float
    ) -> tuple[Array, Array, Array, Array, Array]:
        if not _rows_fit(inputs, gamma, beta):
            return super().batch_norm(xp, inputs, gamma, beta, epsilon)
        n, k = inputs.shape
        output, normalized = (_like(inputs, inputs.shape) for _ in range(2))
        inverse, mean, variance = (cupy.empty((1, k), wide(inputs.dtype)) for _ in range(3))
        numbers = np.int64(n), np.int64(k), wide(inputs.dtype)(epsilon)
        if n <= _FEW:
            arrays = inputs, gamma, beta, output, normalized, inverse, mean, variance
            launch("norms", "batch_norm", inputs.dtype, _columns(k), TILE, *numbers, *arrays)
            return output, normalized, inverse, mean, variance
        walk, dtype = _walk_over(inputs, output, normalized), inputs.dtype
        means, squares = (cupy.empty((walk.parts, k), wide(dtype)) for _ in range(2))
        walk.launch("moments", dtype, inputs, means, squares)
        sizes = *walk.numbers[:3], np.int64(walk.parts), numbers[2]
        moments = means, squares, inverse, mean, variance
        launch("norms", "add_moments", dtype, _columns(k), TILE, *sizes, *moments)
        walk.launch("normalize", dtype, mean, inverse, gamma, beta, inputs, normalized, output)
        return output, normalized, inverse, mean, variance

    def batch_norm_backward(
        self, xp: Any, dvalues: Array, normalized: Array, scale: Array, dgamma: Array, dbeta: Array
    ) -> Array:
        fits = same_shape(dvalues, normalized) and _rows_fit(dvalues, dgamma, dbeta)
        if not fits or scale.shape != dgamma.shape:
            return super().batch_norm_backward(xp, dvalues, normalized, scale, dgamma, dbeta)
        scale = cupy.ascontiguousarray(scale, wide(dvalues.dtype))
        n, k = dvalues.shape
        dinputs, dtype = _like(dvalues, dvalues.shape), dvalues.dtype
        if n <= _FEW:
            arrays = dvalues, normalized, scale, dgamma, dbeta, dinputs
            sizes = np.int64(n), np.int64(k)
            launch("norms", "batch_norm_backward", dtype, _columns(k), TILE, *sizes, *arrays)
            return dinputs
        exact = _norm_sums(dvalues, normalized, dgamma, dbeta)
        walk = _walk_over(dvalues, normalized, dinputs)
        walk.launch("normalize_backward", dtype, exact, scale, dvalues, normalized, dinputs)
        return dinputs

    def layer_norm(
        self, xp: Any, inputs: Array, gamma: Array, beta: Array, epsilon: float
    ) -> tuple[Array, Array, Array]:
        if not _rows_fit(inputs, gamma, beta):
            return super().layer_norm(xp, inputs, gamma, beta, epsilon)
        n, k = inputs.shape
        output, normalized = (_like(inputs, inputs.shape) for _ in range(2))
        inverse = _like(inputs, (n, 1))
        numbers = np.int64(n), np.int64(k), wide(inputs.dtype)(epsilon)
        arrays = inputs, gamma, beta, output, normalized, inverse
        launch("norms", "layer_norm", inputs.dtype, *row_blocks(n, k), *numbers, *arrays)
        return output, normalized, inverse

    def layer_norm_backward(
        self,
        xp: Any,
        dvalues: Array,
        normalized: Array,
        inverse: Array,
        gamma: Array,
        dgamma: Array,
        dbeta: Array,
    ) -> Array:
        fits = same_shape(dvalues, normalized) and _rows_fit(dvalues, gamma, dgamma, dbeta)
        if not (fits and alike(dvalues, inverse) and inverse.shape == (dvalues.shape[0], 1)):
            return super().layer_norm_backward(
                xp, dvalues, normalized, inverse, gamma, dgamma, dbeta
            )
        n, k = dvalues.shape
        sizes = np.int64(n), np.int64(k)
        dinputs = _like(dvalues, dvalues.shape)
        arrays = dvalues, normalized, inverse, gamma, dinputs
        launch("norms", "layer_norm_backward", dvalues.dtype, *row_blocks(n, k), *sizes, *arrays)
        _norm_sums(dvalues, normalized, dgamma, dbeta)
        return dinputs
