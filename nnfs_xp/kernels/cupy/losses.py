"""Softmax and cross-entropy in one."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from nnfs_xp.kernels.cupy.compilation import Array, alike, launch, row_blocks, wide
from nnfs_xp.kernels.standard import StandardKernels


class LossKernels(StandardKernels):
    """A loss and its gradient in one."""

    def softmax_cross_entropy(
        self, xp: Any, logits: Array, y_true: Array, label_smoothing: float
    ) -> tuple[Array, Array]:
        n, k = logits.shape
        fits = y_true.dtype == np.int64 and y_true.shape == (n,) and y_true.flags.c_contiguous
        if not (fits and alike(logits)):
            return super().softmax_cross_entropy(xp, logits, y_true, label_smoothing)
        losses, dinputs = cupy.empty(n, logits.dtype), cupy.empty((n, k), logits.dtype)
        numbers = np.int64(n), np.int64(k), wide(logits.dtype)(label_smoothing)
        launch(
            "losses",
            "softmax_cross_entropy",
            logits.dtype,
            *row_blocks(n, k),
            *numbers,
            logits,
            y_true,
            losses,
            dinputs,
        )
        return losses, dinputs
