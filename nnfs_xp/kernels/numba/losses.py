"""Softmax and cross-entropy in one."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp.kernels.numba.compilation import check_shapes, compiled, or_numpy
from nnfs_xp.kernels.numpy import Array, NumPyKernels


@compiled("F2", "F2")
def _shift(logits: Array, shifted: Array) -> None:
    n, k = logits.shape
    for i in range(n):
        largest = logits[i, 0]
        for j in range(1, k):
            if logits[i, j] > largest:
                largest = logits[i, j]
        for j in range(k):
            shifted[i, j] = logits[i, j] - largest


@compiled("F2", "F2", "labels", "F1", reorder=True)
def _cross_entropy(shifted: Array, exponentials: Array, labels: Array, losses: Array) -> None:
    """Write the losses, and turn the exponentials into the gradient."""
    kind = shifted.dtype.type
    n, k = shifted.shape
    for i in range(n):
        total = kind(0)
        for j in range(k):
            total += exponentials[i, j]
        label = labels[i]
        if 0 <= label < k:
            losses[i] = np.log(total) - shifted[i, label]
            scale = kind(1) / (total * kind(n))
            for j in range(k):
                exponentials[i, j] *= scale
            exponentials[i, label] -= kind(1) / kind(n)
        else:
            losses[i] = kind(np.nan)
            exponentials[i, :] = kind(np.nan)


class LossKernels(NumPyKernels):
    """A loss and its gradient in one."""

    @or_numpy
    def softmax_cross_entropy(
        self, xp: Any, logits: Array, y_true: Array, label_smoothing: float
    ) -> tuple[Array, Array]:
        if label_smoothing or y_true.ndim != 1 or y_true.dtype != np.int64:
            return super().softmax_cross_entropy(xp, logits, y_true, label_smoothing)
        shifted = np.empty(logits.shape, logits.dtype)
        losses = np.empty(logits.shape[0], logits.dtype)
        check_shapes(losses, y_true)
        _shift(logits, shifted)
        exponentials = np.exp(shifted)
        _cross_entropy(shifted, exponentials, y_true, losses)
        return losses, exponentials
