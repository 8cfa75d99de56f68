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
from nnfs_xp.kernels.cupy.layers import add_biases, column_sums
from nnfs_xp.kernels.cupy.tall import tall_product
from nnfs_xp.kernels.standard import StandardKernels

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


class ProductKernels(StandardKernels):
    """Dense layers.

    cuBLASLt has ReLUs too. They make 0 of NaN, let the gradient through at 0, and take longer: so
    `dense_relu` and `dense_backward_relu` are those of the standard, a product with a kernel of
    our own behind it.
    """

    def product(self, xp: Any, a: Array, b: Array) -> Array:
        out = cupy.empty((a.shape[0], b.shape[1]), a.dtype)
        self.matmul_into(xp, a, b, out)
        return out

    def matmul_into(self, xp: Any, a: Array, b: Array, out: Array) -> None:
        if not (tall_product(a, b, out) or _multiply(a, b, out)):
            out[...] = a @ b

    def batched_product(self, xp: Any, a: Array, b: Array) -> Array:
        if "bfloat16" not in (a.dtype.name, b.dtype.name):
            return super().batched_product(xp, a, b)
        product = cupy.matmul(a.astype(np.float32), b.astype(np.float32))  # cuBLAS lacks these
        return product.astype(a.dtype, copy=False) if a.dtype == b.dtype else product

    def dense(self, xp: Any, inputs: Array, weights: Array, biases: Array) -> Array:
        output = cupy.empty((inputs.shape[0], weights.shape[1]), inputs.dtype)
        self._dense_into(xp, inputs, weights, biases, output)
        return output

    def _dense_into(
        self,
        xp: Any,
        inputs: Array,
        weights: Array,
        biases: Array,
        output: Array,
        *,
        relu: bool = False,
    ) -> None:
        """Write inputs @ weights + biases to `output`, or max(…, 0) of it."""
        if relu or not _with_vector(inputs, weights, output, "BIAS", biases):
            self.matmul_into(xp, inputs, weights, output)
            add_biases(output, biases, with_relu=relu)

    def dense_gradients(
        self, xp: Any, inputs: Array, dvalues: Array, dweights: Array, dbiases: Array
    ) -> None:
        if tall_product(inputs.T, dvalues, dweights):
            column_sums(xp, dvalues, dbiases)
        elif not _with_vector(inputs.T, dvalues, dweights, "BGRADA", dbiases):
            self.matmul_into(xp, inputs.T, dvalues, dweights)
            column_sums(xp, dvalues, dbiases)
