"""What dense layers and the activations behind them do besides multiplying matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp.kernels.numba.compilation import check_shapes, compiled, or_numpy
from nnfs_xp.kernels.numpy import Array, NumPyKernels


@compiled("F2", "F2")
def _bias_relu(products: Array, biases: Array) -> None:
    zero = products.dtype.type(0)
    for i in range(products.shape[0]):
        for j in range(products.shape[1]):
            z = products[i, j] + biases[0, j]
            products[i, j] = zero if z < zero else z  # so that NaN stays


@compiled("F2", "F2", "F2")
def _relu_backward(dvalues: Array, output: Array, dinputs: Array) -> None:
    zero = dvalues.dtype.type(0)
    for i in range(dvalues.shape[0]):
        for j in range(dvalues.shape[1]):
            dinputs[i, j] = dvalues[i, j] if output[i, j] > zero else zero


@compiled("F2", "F2", "F2", "F2")
def _relu_backward_biases(dvalues: Array, output: Array, dinputs: Array, dbiases: Array) -> None:
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


class DenseKernels(NumPyKernels):
    """ReLUs, alone and with the biases."""

    @or_numpy
    def bias_relu(self, xp: Any, products: Array, biases: Array) -> Array:
        check_shapes(products[:1], biases)
        _bias_relu(products, biases)
        return products

    @or_numpy
    def relu_backward(self, xp: Any, dvalues: Array, output: Array) -> Array:
        check_shapes(dvalues, output)
        dinputs = np.empty(dvalues.shape, dvalues.dtype)
        _relu_backward(dvalues, output, dinputs)
        return dinputs

    @or_numpy
    def relu_backward_biases(self, xp: Any, dvalues: Array, output: Array, dbiases: Array) -> Array:
        check_shapes(dvalues, output)
        check_shapes(dvalues[:1], dbiases)
        dinputs = np.empty(dvalues.shape, dvalues.dtype)
        _relu_backward_biases(dvalues, output, dinputs, dbiases)
        return dinputs
