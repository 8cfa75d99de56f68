"""Dense layers' products, each with all that follows it in one call where cuBLASLt can do so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import cupy
import numpy as np

from nnfs_xp.kernels.cupy import cublaslt
from nnfs_xp.kernels.cupy.compilation import Array
from nnfs_xp.kernels.cupy.layers import add_biases, bias_relu, column_sums, relu_backward_biases


class Active(NamedTuple):
    """Which outputs of a ReLU are above 0: the outputs, and cuBLASLt's bit for each, if any."""

    output: Array
    mask: Array | None


_local = threading.local()


@contextmanager
def rounding_to_tf32() -> Iterator[None]:
    """While it lasts, in this thread, factors in float32 may be rounded to TF32.

    That is 10 bits behind the point, for the tensor cores.
    """
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


def matmul_into(xp: Any, a: Array, b: Array, out: Array) -> None:
    if not _multiply(a, b, out):
        out[...] = a @ b


def _product(xp: Any, a: Array, b: Array) -> Array:
    out = cupy.empty((a.shape[0], b.shape[1]), a.dtype)
    matmul_into(xp, a, b, out)
    return out


def dense(xp: Any, inputs: Array, weights: Array, biases: Array) -> Array:
    output = cupy.empty((inputs.shape[0], weights.shape[1]), inputs.dtype)
    if _multiply(inputs, weights, output, epilogue="BIAS", vector=biases):
        return output
    matmul_into(xp, inputs, weights, output)
    return add_biases(output, biases, with_relu=False)


def dense_relu(
    xp: Any, inputs: Array, weights: Array, biases: Array, training: bool
) -> tuple[Array, Active | None]:
    output = cupy.empty((inputs.shape[0], weights.shape[1]), inputs.dtype)
    if not training:
        if not _multiply(inputs, weights, output, epilogue="RELU_BIAS", vector=biases):
            matmul_into(xp, inputs, weights, output)
            output = bias_relu(xp, output, biases)
        return output, None
    mask = cublaslt.mask_for(output)
    more = {"epilogue": "RELU_AUX_BIAS", "vector": biases, "mask": mask}
    if _multiply(inputs, weights, output, **more):
        return output, Active(output, mask)
    matmul_into(xp, inputs, weights, output)
    output = bias_relu(xp, output, biases)
    return output, Active(output, None)


def dense_backward(xp: Any, dvalues: Array, weights: Array) -> Array:
    return _product(xp, dvalues, weights.T)


def dense_backward_relu(
    xp: Any, dvalues: Array, weights: Array, active: Active, dbiases: Array
) -> Array:
    if active.mask is not None:
        dz = cupy.empty((dvalues.shape[0], weights.shape[0]), dvalues.dtype)
        more = {"epilogue": "DRELU_BGRAD", "vector": dbiases, "mask": active.mask}
        if _multiply(dvalues, weights.T, dz, **more):
            return dz
    dinputs = _product(xp, dvalues, weights.T)
    return relu_backward_biases(xp, dinputs, active.output, dbiases)


def dense_gradients(
    xp: Any, inputs: Array, dvalues: Array, dweights: Array, dbiases: Array
) -> None:
    if not _multiply(inputs.T, dvalues, dweights, epilogue="BGRADA", vector=dbiases):
        matmul_into(xp, inputs.T, dvalues, dweights)
        column_sums(xp, dvalues, dbiases)
