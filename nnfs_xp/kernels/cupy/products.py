"""Dense layers' products, each with all that follows it in one call where cuBLASLt can do so."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as np

from nnfs_xp.kernels.cupy import cublaslt
from nnfs_xp.kernels.cupy.compilation import Array
from nnfs_xp.kernels.cupy.layers import add_biases, bias_relu, column_sums, relu_backward_biases

_EPILOGUES = os.environ.get("NNFS_XP_EPILOGUES", "1") != "0"
"""Whether biases, and the sums of their gradients, may be part of a product: to find out, on a new
card or library, where a fault lies."""

_local = threading.local()


@contextmanager
def rounding_to_tf32() -> Iterator[None]:
    """Let products in this thread round float32 factors to TF32: 10 bits behind the point."""
    core = cupy._core
    before = core.get_compute_type(np.float32)
    core.set_compute_type(np.float32, core._routines_linalg.COMPUTE_TYPE_TF32)
    _local.tf32 = True
    try:
        yield
    finally:
        _local.tf32 = False
        core.set_compute_type(np.float32, before)


def _multiply(a: Array, b: Array, out: Array, **more: Any) -> bool:
    return cublaslt.product(a, b, out, tf32=getattr(_local, "tf32", False), **more)


def _with_vector(a: Array, b: Array, out: Array, epilogue: str, vector: Array) -> bool:
    return _EPILOGUES and _multiply(a, b, out, epilogue=epilogue, vector=vector)


def matmul_into(xp: Any, a: Array, b: Array, out: Array) -> None:
    if not _multiply(a, b, out):
        out[...] = a @ b


def _product(xp: Any, a: Array, b: Array) -> Array:
    out = cupy.empty((a.shape[0], b.shape[1]), a.dtype)
    matmul_into(xp, a, b, out)
    return out


def dense(xp: Any, inputs: Array, weights: Array, biases: Array) -> Array:
    output = cupy.empty((inputs.shape[0], weights.shape[1]), inputs.dtype)
    if _with_vector(inputs, weights, output, "BIAS", biases):
        return output
    matmul_into(xp, inputs, weights, output)
    return add_biases(output, biases, with_relu=False)


def dense_relu(xp: Any, inputs: Array, weights: Array, biases: Array) -> Array:
    # cuBLASLt has ReLUs too. They make 0 of NaN, let the gradient through at 0, and take longer.
    return bias_relu(xp, _product(xp, inputs, weights), biases)


def dense_backward(xp: Any, dvalues: Array, weights: Array) -> Array:
    return _product(xp, dvalues, weights.T)


def dense_backward_relu(
    xp: Any, dvalues: Array, weights: Array, output: Array, dbiases: Array
) -> Array:
    return relu_backward_biases(xp, _product(xp, dvalues, weights.T), output, dbiases)


def dense_gradients(
    xp: Any, inputs: Array, dvalues: Array, dweights: Array, dbiases: Array
) -> None:
    if not _with_vector(inputs.T, dvalues, dweights, "BGRADA", dbiases):
        matmul_into(xp, inputs.T, dvalues, dweights)
        column_sums(xp, dvalues, dbiases)
