"""Normalizations: over the batch, and over the features of each sample."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from nnfs_xp.kernels.cupy.compilation import (
    TILE,
    Array,
    alike,
    launch,
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


class NormKernels(StandardKernels):
    """Both normalizations, forward and backward."""

    def batch_norm(
        self, xp: Any, inputs: Array, gamma: Array, beta: Array, epsilon: float
    ) -> tuple[Array, Array, Array, Array, Array]:
        if not _rows_fit(inputs, gamma, beta):
            return super().batch_norm(xp, inputs, gamma, beta, epsilon)
        n, k = inputs.shape
        output, normalized = (_like(inputs, inputs.shape) for _ in range(2))
        inverse, mean, variance = (_like(inputs, (1, k)) for _ in range(3))
        numbers = np.int64(n), np.int64(k), wide(inputs.dtype)(epsilon)
        arrays = inputs, gamma, beta, output, normalized, inverse, mean, variance
        launch("norms", "batch_norm", inputs.dtype, _columns(k), TILE, *numbers, *arrays)
        return output, normalized, inverse, mean, variance

    def batch_norm_backward(
        self, xp: Any, dvalues: Array, normalized: Array, scale: Array, dgamma: Array, dbeta: Array
    ) -> Array:
        if not (same_shape(dvalues, normalized) and _rows_fit(dvalues, scale, dgamma, dbeta)):
            return super().batch_norm_backward(xp, dvalues, normalized, scale, dgamma, dbeta)
        n, k = dvalues.shape
        dinputs = _like(dvalues, dvalues.shape)
        arrays = dvalues, normalized, scale, dgamma, dbeta, dinputs
        sizes = np.int64(n), np.int64(k)
        launch("norms", "batch_norm_backward", dvalues.dtype, _columns(k), TILE, *sizes, *arrays)
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
        sums = dvalues, normalized, dgamma, dbeta
        launch("norms", "layer_norm_sums", dvalues.dtype, _columns(k), TILE, *sizes, *sums)
        return dinputs
