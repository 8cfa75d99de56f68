"""Normalizations: over the batch, and over the features of each sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from nnfs_xp.kernels.numba.compilation import check_shapes, compiled, or_numpy
from nnfs_xp.kernels.numpy import Array, NumPyKernels


@njit(inline="always")
def _add_rows(total: Array, part: Array, last: bool) -> None:
    """Add the part to the total and empty it, so that long sums are sums of sums."""
    if last:
        for j in range(part.size):
            total[0, j] += part[j]
            part[j] = 0


@compiled("F2", "F2", "F2", "F", "F2", "F2", "F2", "F2", "F2", writes=5)
def _batch_norm(
    inputs: Array,
    gamma: Array,
    beta: Array,
    epsilon: float,
    output: Array,
    normalized: Array,
    inverse: Array,
    mean: Array,
    variance: Array,
) -> None:
    kind = inputs.dtype.type
    n, k = inputs.shape
    part = np.zeros(k, inputs.dtype)
    mean[0, :] = kind(0)
    variance[0, :] = kind(0)
    for i in range(n):
        for j in range(k):
            part[j] += inputs[i, j]
        _add_rows(mean, part, i % 64 == 63 or i == n - 1)
    for j in range(k):
        mean[0, j] /= kind(n)
    for i in range(n):
        for j in range(k):
            d = inputs[i, j] - mean[0, j]
            normalized[i, j] = d
            part[j] += d * d
        _add_rows(variance, part, i % 64 == 63 or i == n - 1)
    for j in range(k):
        variance[0, j] /= kind(n)
        inverse[0, j] = kind(1) / np.sqrt(variance[0, j] + epsilon)
    for i in range(n):
        for j in range(k):
            z = normalized[i, j] * inverse[0, j]
            normalized[i, j] = z
            output[i, j] = gamma[0, j] * z + beta[0, j]


@compiled("F2", "F2", "F2", "F2", "F2", "F2", writes=3)
def _batch_norm_backward(
    dvalues: Array, normalized: Array, scale: Array, dgamma: Array, dbeta: Array, dinputs: Array
) -> None:
    kind = dvalues.dtype.type
    n, k = dvalues.shape
    gammas, betas = np.zeros(k, dvalues.dtype), np.zeros(k, dvalues.dtype)
    dgamma[0, :] = kind(0)
    dbeta[0, :] = kind(0)
    for i in range(n):
        for j in range(k):
            d = dvalues[i, j]
            gammas[j] += d * normalized[i, j]
            betas[j] += d
        last = i % 64 == 63 or i == n - 1
        _add_rows(dgamma, gammas, last)
        _add_rows(dbeta, betas, last)
    for j in range(k):
        gammas[j] = dgamma[0, j] / kind(n)
        betas[j] = dbeta[0, j] / kind(n)
    for i in range(n):
        for j in range(k):
            rest = dvalues[i, j] - betas[j] - normalized[i, j] * gammas[j]
            dinputs[i, j] = rest * scale[0, j]


@compiled("F2", "F2", "F2", "F", "F2", "F2", "F2", writes=3, reorder=True)
def _layer_norm(
    inputs: Array,
    gamma: Array,
    beta: Array,
    epsilon: float,
    output: Array,
    normalized: Array,
    inverse: Array,
) -> None:
    kind = inputs.dtype.type
    n, k = inputs.shape
    for i in range(n):
        total = kind(0)
        for j in range(k):
            total += inputs[i, j]
        mean = total / kind(k)
        squares = kind(0)
        for j in range(k):
            d = inputs[i, j] - mean
            normalized[i, j] = d
            squares += d * d
        share = kind(1) / np.sqrt(squares / kind(k) + epsilon)
        inverse[i, 0] = share
        for j in range(k):
            z = normalized[i, j] * share
            normalized[i, j] = z
            output[i, j] = gamma[0, j] * z + beta[0, j]


@compiled("F2", "F2", "F2", "F2", "F2", "F2", "F2", writes=3, reorder=True)
def _layer_norm_backward(
    dvalues: Array,
    normalized: Array,
    inverse: Array,
    gamma: Array,
    dgamma: Array,
    dbeta: Array,
    dinputs: Array,
) -> None:
    kind = dvalues.dtype.type
    n, k = dvalues.shape
    gammas, betas = np.zeros(k, dvalues.dtype), np.zeros(k, dvalues.dtype)
    dgamma[0, :] = kind(0)
    dbeta[0, :] = kind(0)
    for i in range(n):
        total, product = kind(0), kind(0)
        for j in range(k):
            d, z = dvalues[i, j], normalized[i, j]
            gammas[j] += d * z
            betas[j] += d
            g = gamma[0, j] * d
            total += g
            product += g * z
        total /= kind(k)
        product /= kind(k)
        for j in range(k):
            rest = gamma[0, j] * dvalues[i, j] - total - normalized[i, j] * product
            dinputs[i, j] = rest * inverse[i, 0]
        last = i % 64 == 63 or i == n - 1
        _add_rows(dgamma, gammas, last)
        _add_rows(dbeta, betas, last)


class NormKernels(NumPyKernels):
    """Both normalizations, forward and backward."""

    @or_numpy
    def batch_norm(
        self, xp: Any, inputs: Array, gamma: Array, beta: Array, epsilon: float
    ) -> tuple[Array, Array, Array, Array, Array]:
        check_shapes(inputs[:1], gamma, beta)
        wide = [np.empty(inputs.shape, inputs.dtype) for _ in range(2)]
        rows = [np.empty(gamma.shape, inputs.dtype) for _ in range(3)]
        _batch_norm(inputs, gamma, beta, epsilon, *wide, *rows)
        output, normalized = wide
        inverse, mean, variance = rows
        return output, normalized, inverse, mean, variance

    @or_numpy
    def batch_norm_backward(
        self, xp: Any, dvalues: Array, normalized: Array, scale: Array, dgamma: Array, dbeta: Array
    ) -> Array:
        check_shapes(dvalues, normalized)
        check_shapes(dvalues[:1], scale, dgamma, dbeta)
        dinputs = np.empty(dvalues.shape, dvalues.dtype)
        _batch_norm_backward(dvalues, normalized, scale, dgamma, dbeta, dinputs)
        return dinputs

    @or_numpy
    def layer_norm(
        self, xp: Any, inputs: Array, gamma: Array, beta: Array, epsilon: float
    ) -> tuple[Array, Array, Array]:
        check_shapes(inputs[:1], gamma, beta)
        output, normalized = (np.empty(inputs.shape, inputs.dtype) for _ in range(2))
        inverse = np.empty((inputs.shape[0], 1), inputs.dtype)
        _layer_norm(inputs, gamma, beta, epsilon, output, normalized, inverse)
        return output, normalized, inverse

    @or_numpy
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
        check_shapes(dvalues, normalized)
        check_shapes(dvalues[:, :1], inverse)
        check_shapes(dvalues[:1], gamma, dgamma, dbeta)
        dinputs = np.empty(dvalues.shape, dvalues.dtype)
        _layer_norm_backward(dvalues, normalized, inverse, gamma, dgamma, dbeta, dinputs)
        return dinputs
