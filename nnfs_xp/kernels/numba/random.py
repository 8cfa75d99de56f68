"""Random numbers without a state, and the layers' masks made of them."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numba import njit

from nnfs_xp.kernels.numba.compilation import check_shapes, compiled, or_numpy
from nnfs_xp.kernels.numpy import Array, NumPyKernels
from nnfs_xp.kernels.standard.random import BITS, Keys


@njit(inline="always")
def _hash(index: Any, key_0: Any, key_1: Any) -> Any:
    """`standard.random_bits` of one element, its index and the keys in uint32."""
    bits = np.uint32(index ^ key_0)
    bits = np.uint32(bits ^ (bits >> np.uint32(16)))
    bits = np.uint32(bits * np.uint32(0x21F0AAAD))
    bits = np.uint32(bits ^ key_1)
    bits = np.uint32(bits ^ (bits >> np.uint32(15)))
    bits = np.uint32(bits * np.uint32(0x735A2D97))
    bits = np.uint32(bits ^ (bits >> np.uint32(15)))
    return np.uint32(bits >> np.uint32(32 - BITS))


@compiled("labels", "int", "int", "int")
def _random_bits(bits: Array, key_0: int, key_1: int, start: int) -> None:
    first, second = np.uint32(key_0), np.uint32(key_1)
    for i in range(bits.size):
        bits[i] = _hash(np.uint32(start + i), first, second)


@compiled("F2", "F", "int", "int", "int", "int", "F2", "mask")
def _dropout(
    inputs: Array,
    scale: float,
    threshold: int,
    key_0: int,
    key_1: int,
    start: int,
    output: Array,
    kept: Array,
) -> None:
    first, second, least = np.uint32(key_0), np.uint32(key_1), np.uint32(threshold)
    zero = inputs.dtype.type(0)
    n, k = inputs.shape
    for i in range(n):
        row = np.uint32(start + i * k)
        for j in range(k):
            keep = _hash(np.uint32(row + np.uint32(j)), first, second) >= least
            kept[i, j] = keep
            output[i, j] = inputs[i, j] * scale if keep else zero


@compiled("F2", "mask", "F", "F2")
def _dropout_backward(dvalues: Array, kept: Array, scale: float, dinputs: Array) -> None:
    zero = dvalues.dtype.type(0)
    for i in range(dvalues.shape[0]):
        for j in range(dvalues.shape[1]):
            dinputs[i, j] = dvalues[i, j] * scale if kept[i, j] else zero


class RandomKernels(NumPyKernels):
    """Random bits, and dropout."""

    def random_bits(self, xp: Any, shape: tuple[int, ...], keys: Keys, device: Any) -> Array:
        bits = np.empty(prod(shape), np.int64)
        _random_bits(bits, *keys)
        return bits.reshape(shape)

    @or_numpy
    def dropout(
        self, xp: Any, inputs: Array, threshold: int, scale: float, keys: Keys, device: Any
    ) -> tuple[Array, Array]:
        output, kept = np.empty(inputs.shape, inputs.dtype), np.empty(inputs.shape, np.bool_)
        _dropout(inputs, scale, threshold, *keys, output, kept)
        return output, kept

    @or_numpy
    def dropout_backward(self, xp: Any, dvalues: Array, kept: Array, scale: float) -> Array:
        check_shapes(dvalues, kept)
        dinputs = np.empty(dvalues.shape, dvalues.dtype)
        _dropout_backward(dvalues, kept, scale, dinputs)
        return dinputs
