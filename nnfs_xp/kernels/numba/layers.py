"""What dense layers and the activations behind them do besides multiplying matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp.kernels.numba.compilation import check_shapes, compiled, or_numpy
from nnfs_xp.kernels.numba.products import SharedKernels
from nnfs_xp.kernels.numba.sums import pairwise_sum
from nnfs_xp.kernels.numpy import Array


@compiled("F2", "F2")
def add_bias(products: Array, biases: Array) -> None:
    """Add the biases to each row."""
    for i in range(products.shape[0]):
        for j in range(products.shape[1]):
            products[i, j] += biases[0, j]


@compiled("F2", "F2", writes=1)
def sum_rows(dvalues: Array, dbiases: Array) -> None:
    """Add up the rows in the order in which NumPy does."""
    n, k = dvalues.shape
    if k == 1:
        dbiases[0, 0] = pairwise_sum(dvalues.reshape(n), 0, n)
        return
    for j in range(k):
        dbiases[0, j] = 0  # with which NumPy begins, so that no sum is -0.0
    for i in range(n):
        for j in range(k):
            dbiases[0, j] += dvalues[i, j]


@compiled("F2", "F2")
def bias_relu(products: Array, biases: Array) -> None:
    """Turn each row into max(row + biases, 0)."""
    zero = products.dtype.type(0)
    for i in range(products.shape[0]):
        for j in range(products.shape[1]):
            z = products[i, j] + biases[0, j]
            products[i, j] = zero if z < zero else z  # so that NaN stays


@compiled("F2", "F2", "F2", writes=1)
def relu_backward(dvalues: Array, output: Array, dinputs: Array) -> None:
    """Write dvalues where the output is above 0, else 0."""
    zero = dvalues.dtype.type(0)
    for i in range(dvalues.shape[0]):
        for j in range(dvalues.shape[1]):
            dinputs[i, j] = dvalues[i, j] if output[i, j] > zero else zero


@compiled("F2", "F2", "F2", "F2", writes=2)
def relu_backward_biases(dvalues: Array, output: Array, dinputs: Array, dbiases: Array) -> None:
    """Write the same, and its sum over the rows."""
    zero = dvalues.dtype.type(0)
    n, k = dvalues.shape
    dbiases[0, :] = zero
    part = np.empty(k, dvalues.dtype)
    for start in range(0, n, 64):  # sums of sums: more exact than one sum over all rows
        part[:] = zero
        for i in range(start, min(start + 64, n)):
            for j in range(k):
                d = dvalues[i, j] if output[i, j] > zero else zero
                dinputs[i, j] = d
                part[j] += d
        for j in range(k):
            dbiases[0, j] += part[j]


class DenseKernels(SharedKernels):
    """Biases and ReLUs beside the products."""

    @or_numpy
    def dense(self, xp: Any, inputs: Array, weights: Array, biases: Array) -> Array:
        output = self.product(xp, inputs, weights)
        check_shapes(output[:1], biases)
        add_bias(output, biases)
        return output

    @or_numpy
    def dense_gradients(
        self, xp: Any, inputs: Array, dvalues: Array, dweights: Array, dbiases: Array
    ) -> None:
        check_shapes(dvalues[:1], dbiases)
        sum_rows(dvalues, dbiases)
        self.matmul_into(xp, inputs.T, dvalues, dweights)

    @or_numpy
    def bias_relu(self, xp: Any, products: Array, biases: Array) -> Array:
        check_shapes(products[:1], biases)
        bias_relu(products, biases)
        return products

    @or_numpy
    def relu_backward(self, xp: Any, dvalues: Array, output: Array) -> Array:
        check_shapes(dvalues, output)
        dinputs = np.empty(dvalues.shape, dvalues.dtype)
        relu_backward(dvalues, output, dinputs)
        return dinputs

    @or_numpy
    def relu_backward_biases(self, xp: Any, dvalues: Array, output: Array, dbiases: Array) -> Array:
        check_shapes(dvalues, output)
        check_shapes(dvalues[:1], dbiases)
        dinputs = np.empty(dvalues.shape, dvalues.dtype)
        relu_backward_biases(dvalues, output, dinputs, dbiases)
        return dinputs
