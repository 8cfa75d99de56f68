"""Dense layers' products, each with all that follows it in one call where cuBLASLt can do so."""

from __future__ import annotations

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


class Products:
    """The kernels that multiply matrices.

    Parameters
    ----------
    tf32 : bool
        Whether float32 may be rounded to TF32, 10 bits behind the point, for the tensor cores.
    """

    def __init__(self, *, tf32: bool) -> None:
        self._tf32 = tf32

    def _multiply(self, a: Array, b: Array, out: Array, **more: Any) -> bool:
        return cublaslt.product(a, b, out, tf32=self._tf32, **more)

    def matmul_into(self, xp: Any, a: Array, b: Array, out: Array) -> None:
        if self._multiply(a, b, out):
            return
        del xp
        if self._tf32 and out.dtype == np.float32:
            with _tf32_allowed():
                out[...] = a @ b
        else:
            out[...] = a @ b

    def _product(self, xp: Any, a: Array, b: Array) -> Array:
        out = cupy.empty((a.shape[0], b.shape[1]), a.dtype)
        self.matmul_into(xp, a, b, out)
        return out

    def dense(self, xp: Any, inputs: Array, weights: Array, biases: Array) -> Array:
        output = cupy.empty((inputs.shape[0], weights.shape[1]), inputs.dtype)
        if self._multiply(inputs, weights, output, epilogue="BIAS", vector=biases):
            return output
        self.matmul_into(xp, inputs, weights, output)
        return add_biases(output, biases, with_relu=False)

    def dense_relu(
        self, xp: Any, inputs: Array, weights: Array, biases: Array
    ) -> tuple[Array, Active]:
        output = cupy.empty((inputs.shape[0], weights.shape[1]), inputs.dtype)
        mask = cublaslt.mask_for(output)
        more = {"epilogue": "RELU_AUX_BIAS", "vector": biases, "mask": mask}
        if self._multiply(inputs, weights, output, **more):
            return output, Active(output, mask)
        self.matmul_into(xp, inputs, weights, output)
        output = bias_relu(xp, output, biases)
        return output, Active(output, None)

    def dense_backward(self, xp: Any, dvalues: Array, weights: Array) -> Array:
        return self._product(xp, dvalues, weights.T)

    def dense_backward_relu(
        self, xp: Any, dvalues: Array, weights: Array, active: Active, dbiases: Array
    ) -> Array:
        if active.mask is not None:
            dz = cupy.empty((dvalues.shape[0], weights.shape[0]), dvalues.dtype)
            more = {"epilogue": "DRELU_BGRAD", "vector": dbiases, "mask": active.mask}
            if self._multiply(dvalues, weights.T, dz, **more):
                return dz
        dinputs = self._product(xp, dvalues, weights.T)
        return relu_backward_biases(xp, dinputs, active.output, dbiases)

    def dense_gradients(
        self, xp: Any, inputs: Array, dvalues: Array, dweights: Array, dbiases: Array
    ) -> None:
        more = {"epilogue": "BGRADA", "vector": dbiases}
        if self._multiply(inputs.T, dvalues, dweights, **more):
            return
        self.matmul_into(xp, inputs.T, dvalues, dweights)
        column_sums(xp, dvalues, dbiases)


class _tf32_allowed:  # noqa: N801 # a context manager
    """While it lasts, CuPy's own products of float32 may use TF32."""

    def __enter__(self) -> None:
        core = cupy._core
        self._before = core.get_compute_type(np.float32)
        core.set_compute_type(np.float32, core._routines_linalg.COMPUTE_TYPE_TF32)

    def __exit__(self, *_: object) -> None:
        cupy._core.set_compute_type(np.float32, self._before)
