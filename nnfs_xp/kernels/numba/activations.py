"""Activations, each in one pass beside NumPy's functions, and to the same bits as the standard's.

The exponentials and the hyperbolic tangent are NumPy's, which takes several numbers at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import pi, sqrt
from typing import Any

import numpy as np

from nnfs_xp.kernels.numba.compilation import (
    Kernel,
    check_shapes,
    constants,
    noted,
    or_numpy,
)
from nnfs_xp.kernels.numpy import Array, NumPyKernels
from nnfs_xp.kernels.standard.functions import _ERF_COEFFICIENTS

_PART = 256
"""Elements that go through a polynomial together: they stay in the innermost cache."""


def _exact(*signature: str, writes: int = 0) -> Callable[[Callable[..., None]], Kernel]:
    """Make the function a kernel in which each operation rounds, as it does in the standard's."""
    return lambda function: Kernel(function, signature, set(), writes)


@_exact("F1", "F1", "F", "F1", writes=1)
def _leaky_relu(values: Array, inputs: Array, slope: float, out: Array) -> None:
    zero = values.dtype.type(0)
    for i in range(values.size):
        out[i] = values[i] if inputs[i] > zero else slope * values[i]


@_exact("F1", "F1")
def _sigmoid(inputs: Array, small: Array) -> None:
    """Turn exp(-abs(inputs)) into the sigmoid."""
    zero, one = inputs.dtype.type(0), inputs.dtype.type(1)
    for i in range(inputs.size):
        small[i] = (one if inputs[i] >= zero else small[i]) / (small[i] + one)


@_exact("F1", "F1", "F1", "F1", writes=1)
def _silu_backward(dvalues: Array, inputs: Array, s: Array, dinputs: Array) -> None:
    one = dvalues.dtype.type(1)
    for i in range(dvalues.size):
        dinputs[i] = dvalues[i] * s[i] * (one + inputs[i] * (one - s[i]))


@_exact("F1", "F1", "F1", writes=1)
def _mish(x: Array, e: Array, output: Array) -> None:
    zero, one, two = x.dtype.type(0), x.dtype.type(1), x.dtype.type(2)
    for i in range(x.size):
        above = x[i] >= zero
        numerator = one + two * e[i] if above else e[i] * (two + e[i])
        denominator = numerator + (two * e[i] * e[i] if above else two)
        output[i] = x[i] * (numerator / denominator)


@_exact("F1", "F1", "F1", "F1", writes=1)
def _mish_backward(dvalues: Array, x: Array, e: Array, dinputs: Array) -> None:
    zero, one, two = x.dtype.type(0), x.dtype.type(1), x.dtype.type(2)
    for i in range(x.size):
        above = x[i] >= zero
        numerator = one + two * e[i] if above else e[i] * (two + e[i])
        denominator = numerator + (two * e[i] * e[i] if above else two)
        f = e[i] * e[i] if above else e[i]
        slope = (two + two) * f * (one + e[i]) / (denominator * denominator)
        dinputs[i] = dvalues[i] * (numerator / denominator + x[i] * slope)


@_exact("F1", "F1", "F", "F")
def _elu(inputs: Array, below: Array, alpha: float, scale: float) -> None:
    """Turn exp(inputs) - 1 into the output; alpha has the scale in it."""
    zero = inputs.dtype.type(0)
    for i in range(inputs.size):
        below[i] = scale * inputs[i] if inputs[i] > zero else alpha * below[i]


@_exact("F1", "F1", "F", "F", "F1", writes=1)
def _elu_backward(
    dvalues: Array, output: Array, alpha: float, scale: float, dinputs: Array
) -> None:
    zero = dvalues.dtype.type(0)
    for i in range(dvalues.size):
        dinputs[i] = dvalues[i] * (scale if output[i] > zero else output[i] + alpha)


@_exact("F1", "F", "F", "F1", "F1", "F1", writes=1)
def _erf_exponent(
    x: Array, factor: float, largest: float, numerator: Array, denominator: Array, out: Array
) -> None:
    """Write -t * P(t) / Q(t) with t = abs(factor * x): erf is ±(1 - its exponential)."""
    t, p, q = np.empty(_PART, x.dtype), np.empty(_PART, x.dtype), np.empty(_PART, x.dtype)
    last = numerator.size - 1
    for start in range(0, x.size, _PART):
        n = min(_PART, x.size - start)
        for i in range(n):
            size = abs(x[start + i] * factor)
            t[i] = largest if size > largest else size  # so that NaN stays
            p[i] = t[i] * numerator[last]
            q[i] = t[i] * denominator[denominator.size - 1]
        for k in range(last - 1, 0, -1):
            for i in range(n):
                p[i] = (p[i] + numerator[k]) * t[i]
        for k in range(denominator.size - 2, 0, -1):
            for i in range(n):
                q[i] = (q[i] + denominator[k]) * t[i]
        for i in range(n):
            out[start + i] = (p[i] + numerator[0]) / (q[i] + denominator[0]) * -t[i]


@_exact("F1", "F1", "F1", writes=1)
def _gelu(x: Array, share: Array, output: Array) -> None:
    """Turn exp(exponent of erf) - 1 into the share, and write the output."""
    zero, one, half = x.dtype.type(0), x.dtype.type(1), x.dtype.type(0.5)
    for i in range(x.size):
        share[i] = (one - share[i] if x[i] >= zero else one + share[i]) * half
        output[i] = x[i] * share[i]


@_exact("F1", "F1", "F1", "F", "F1")
def _gelu_backward(dvalues: Array, x: Array, share: Array, factor: float, density: Array) -> None:
    """Turn exp(-x**2 / 2) into the gradient."""
    for i in range(dvalues.size):
        density[i] = dvalues[i] * (share[i] + x[i] * (factor * density[i]))


@_exact("F1", "F1", "F1", "F", "F", "F1", writes=1)
def _gelu_tanh_backward(
    dvalues: Array, x: Array, share: Array, factor: float, cubic: float, dinputs: Array
) -> None:
    one = dvalues.dtype.type(1)
    for i in range(dvalues.size):
        density = factor * share[i] * (one - share[i]) * (one + cubic * x[i] * x[i])
        dinputs[i] = dvalues[i] * (share[i] + x[i] * density)


@cache
def _erf_coefficients(dtype: Any) -> tuple[float, Array, Array]:
    precision = "float64" if dtype == np.float64 else "float32"
    largest, *coefficients = _ERF_COEFFICIENTS[precision]
    numerator, denominator = (np.array(each, dtype) for each in coefficients)
    constants.update({id(array): array for array in (numerator, denominator)})
    return largest, numerator, denominator


def _flat(*arrays: Array) -> list[Array]:
    check_shapes(*arrays)
    return [array.reshape(-1) for array in arrays]


class ActivationKernels(NumPyKernels):
    """Element by element, over arrays of one shape."""

    @or_numpy
    def leaky_relu(self, xp: Any, inputs: Array, slope: float) -> Array:
        output = np.empty(inputs.shape, inputs.dtype)
        x, out = _flat(inputs, output)
        _leaky_relu(x, x, slope, out)
        return output

    @or_numpy
    def leaky_relu_backward(self, xp: Any, dvalues: Array, inputs: Array, slope: float) -> Array:
        dinputs = np.empty(dvalues.shape, dvalues.dtype)
        d, x, out = _flat(dvalues, inputs, dinputs)
        _leaky_relu(d, x, slope, out)
        return dinputs

    @or_numpy
    def sigmoid(self, xp: Any, inputs: Array) -> Array:
        (x,) = _flat(inputs)
        small = np.empty(x.shape, x.dtype)
        noted(np.abs, x, out=small)
        noted(np.negative, small, out=small)
        noted(np.exp, small, out=small)
        _sigmoid(x, small)
        return small.reshape(inputs.shape)

    @or_numpy
    def silu_backward(self, xp: Any, dvalues: Array, inputs: Array, s: Array) -> Array:
        dinputs = np.empty(dvalues.shape, dvalues.dtype)
        _silu_backward(*_flat(dvalues, inputs, s, dinputs))
        return dinputs

    @or_numpy
    def mish(self, xp: Any, x: Array) -> tuple[Array, Array]:
        output, e = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
        flat, of_output, of_e = _flat(x, output, e)
        noted(np.abs, flat, out=of_e)
        noted(np.negative, of_e, out=of_e)
        noted(np.exp, of_e, out=of_e)
        _mish(flat, of_e, of_output)
        return output, e

    @or_numpy
    def mish_backward(self, xp: Any, dvalues: Array, x: Array, e: Array) -> Array:
        dinputs = np.empty(dvalues.shape, dvalues.dtype)
        _mish_backward(*_flat(dvalues, x, e, dinputs))
        return dinputs

    @or_numpy
    def elu(self, xp: Any, inputs: Array, alpha: float, scale: float) -> Array:
        (x,) = _flat(inputs)
        below = np.empty(x.shape, x.dtype)
        noted(np.minimum, x, x.dtype.type(0), out=below)
        noted(np.expm1, below, out=below)
        _elu(x, below, scale * alpha, scale)
        return below.reshape(inputs.shape)

    @or_numpy
    def elu_backward(
        self, xp: Any, dvalues: Array, output: Array, alpha: float, scale: float
    ) -> Array:
        dinputs = np.empty(dvalues.shape, dvalues.dtype)
        d, o, out = _flat(dvalues, output, dinputs)
        _elu_backward(d, o, scale * alpha, scale, out)
        return dinputs

    @or_numpy
    def gelu(self, xp: Any, x: Array, approximate: bool) -> tuple[Array, Array]:
        if approximate:
            return super().gelu(xp, x, approximate)
        output, share = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
        flat, of_output, of_share = _flat(x, output, share)
        _erf_exponent(flat, sqrt(0.5), *_erf_coefficients(x.dtype), of_share)
        noted(np.expm1, of_share, out=of_share)
        _gelu(flat, of_share, of_output)
        return output, share

    @or_numpy
    def gelu_backward(
        self, xp: Any, dvalues: Array, x: Array, share: Array, approximate: bool
    ) -> Array:
        d, flat, of_share = _flat(dvalues, x, share)
        if approximate:
            dinputs = np.empty(d.shape, d.dtype)
            _gelu_tanh_backward(d, flat, of_share, sqrt(8 / pi), 3 * 0.044715, dinputs)
            return dinputs.reshape(dvalues.shape)
        density = np.empty(flat.shape, flat.dtype)
        noted(np.multiply, flat, flat.dtype.type(-0.5), out=density)
        noted(np.multiply, density, flat, out=density)
        noted(np.exp, density, out=density)
        _gelu_backward(d, flat, of_share, 1 / sqrt(2 * pi), density)
        return density.reshape(dvalues.shape)
