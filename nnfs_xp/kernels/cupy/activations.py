"""Activations that the standard has in many passes."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from nnfs_xp.kernels.cupy.compilation import Array, or_standard, sweep
from nnfs_xp.kernels.standard import StandardKernels


class ActivationKernels(StandardKernels):
    """GELU, forward and backward, in one pass each."""

    @or_standard(1)
    def gelu(self, xp: Any, x: Array, approximate: bool) -> tuple[Array, Array]:
        output, share = (cupy.empty(x.shape, x.dtype) for _ in range(2))
        sweep("activations", "gelu", (x, output, share), np.int32(approximate))
        return output, share

    @or_standard(3)
    def gelu_backward(
        self, xp: Any, dvalues: Array, x: Array, share: Array, approximate: bool
    ) -> Array:
        dinputs = cupy.empty(x.shape, x.dtype)
        arrays = dvalues, x, share, dinputs
        sweep("activations", "gelu_backward", arrays, np.int32(approximate))
        return dinputs
