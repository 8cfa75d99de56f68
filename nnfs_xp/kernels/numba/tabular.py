"""What the layers for tables do, each in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp.kernels.numba.compilation import check_shapes, compiled, or_numpy
from nnfs_xp.kernels.numpy import Array, NumPyKernels

_ROWS = 64
"""Rows that are added up by themselves: sums of sums are more exact than one over all rows."""


@compiled("F2", "F2", "F2", writes=1)
def _scale_gradient(dvalues: Array, inputs: Array, dscale: Array) -> None:
    zero = dvalues.dtype.type(0)
    n, k = dvalues.shape
    dscale[0, :] = zero
    part = np.empty(k, dvalues.dtype)
    for start in range(0, n, _ROWS):
        part[:] = zero
        for i in range(start, min(start + _ROWS, n)):
            for j in range(k):
                part[j] += dvalues[i, j] * inputs[i, j]
        for j in range(k):
            dscale[0, j] += part[j]


@compiled("F2", "F2", "F2", "F2", writes=1)
def _blend(inputs: Array, bent: Array, alpha: Array, output: Array) -> None:
    for i in range(inputs.shape[0]):
        for j in range(inputs.shape[1]):
            output[i, j] = inputs[i, j] + alpha[0, j] * (bent[i, j] - inputs[i, j])


@compiled("F2", "F2", "F2", "F2", "F2", "F2", writes=2)
def _blend_backward(
    dvalues: Array, inputs: Array, bent: Array, alpha: Array, dalpha: Array, dbent: Array
) -> None:
    zero = dvalues.dtype.type(0)
    n, k = dvalues.shape
    dalpha[0, :] = zero
    part = np.empty(k, dvalues.dtype)
    for start in range(0, n, _ROWS):
        part[:] = zero
        for i in range(start, min(start + _ROWS, n)):
            for j in range(k):
                part[j] += dvalues[i, j] * (bent[i, j] - inputs[i, j])
                dbent[i, j] = dvalues[i, j] * alpha[0, j]
        for j in range(k):
            dalpha[0, j] += part[j]


class TabularKernels(NumPyKernels):
    """The factors of features, and the shares of activations."""

    @or_numpy
    def scale_gradient(self, xp: Any, dvalues: Array, inputs: Array, dscale: Array) -> None:
        check_shapes(dvalues, inputs)
        check_shapes(dvalues[:1], dscale)
        _scale_gradient(dvalues, inputs, dscale)

    @or_numpy
    def blend(self, xp: Any, inputs: Array, bent: Array, alpha: Array) -> Array:
        check_shapes(inputs, bent)
        check_shapes(inputs[:1], alpha)
        output = np.empty(inputs.shape, inputs.dtype)
        _blend(inputs, bent, alpha, output)
        return output

    @or_numpy
    def blend_backward(
        self, xp: Any, dvalues: Array, inputs: Array, bent: Array, alpha: Array, dalpha: Array
    ) -> Array:
        check_shapes(dvalues, inputs, bent)
        check_shapes(dvalues[:1], alpha, dalpha)
        dbent = np.empty(dvalues.shape, dvalues.dtype)
        _blend_backward(dvalues, inputs, bent, alpha, dalpha, dbent)
        return dbent
