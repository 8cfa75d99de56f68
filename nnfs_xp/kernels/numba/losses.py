"""Losses and their gradients in one."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp.kernels.numba.compilation import check_shapes, compiled, noted, or_numpy, recording
from nnfs_xp.kernels.numba.sums import pairwise_sum
from nnfs_xp.kernels.numpy import Array, NumPyKernels


@compiled("F2", "F2", writes=1)
def shift(logits: Array, shifted: Array) -> None:
    """Write the logits less the largest of their row."""
    n, k = logits.shape
    for i in range(n):
        largest = logits[i, 0]
        for j in range(1, k):
            if logits[i, j] > largest:
                largest = logits[i, j]
        for j in range(k):
            shifted[i, j] = logits[i, j] - largest


@compiled("F2", "F2", "labels", "F1", writes=1, reorder=True)
def cross_entropy(shifted: Array, exponentials: Array, labels: Array, losses: Array) -> None:
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


@compiled("F2", "labels", "F", "F", "F2", writes=1)
def _smooth(logits: Array, labels: Array, kept: float, spread: float, shares: Array) -> None:
    """Write the shares of smoothed labels, like the logits: NaN where a label is no class."""
    kind = logits.dtype.type
    n, k = logits.shape
    for i in range(n):
        known = 0 <= labels[i] < k
        shares[i, :] = spread if known else kind(np.nan)
        if known:
            shares[i, labels[i]] += kept


@compiled("F2", "F2", "F2", "F", "F", "F1", writes=1, reorder=True)
def _cross_entropy_of_shares(
    shifted: Array, exponentials: Array, shares: Array, kept: float, spread: float, losses: Array
) -> None:
    """Write the losses, and turn the exponentials into the gradient."""
    kind = shifted.dtype.type
    n, k = shifted.shape
    for i in range(n):
        total = kind(0)
        for j in range(k):
            total += exponentials[i, j]
        log_total = np.log(total)
        scale = kind(1) / (total * kind(n))
        loss = 0.0  # in float64: over many classes, float32 would round too often
        for start in range(0, k, 64):
            part = kind(0)
            for j in range(start, min(start + 64, k)):
                t = shares[i, j] * kept + spread
                part += t * (log_total - shifted[i, j]) if t != kind(0) else kind(0)
                exponentials[i, j] = exponentials[i, j] * scale - t / kind(n)
            loss += part
        losses[i] = loss


@compiled("F2", "F2", "F2", "F2", "F1", writes=1, reorder=True)
def _sigmoid_cross_entropy(
    logits: Array, t: Array, small: Array, logs: Array, losses: Array
) -> None:
    """Write the losses, and turn exp(-abs(logits)), whose log1p is `logs`, into the gradient."""
    kind = logits.dtype.type
    zero, one = kind(0), kind(1)
    n, k = logits.shape
    for i in range(n):
        loss = 0.0
        for start in range(0, k, 64):
            part = zero
            for j in range(start, min(start + 64, k)):
                z, e = logits[i, j], small[i, j]
                wrong = one - t[i, j] if z >= zero else t[i, j]
                part += logs[i, j] + (wrong * abs(z) if wrong != zero else zero)
                s = (one if z >= zero else e) / (e + one)
                small[i, j] = (s - t[i, j]) / kind(n * k)
            loss += part
        losses[i] = loss / k


@compiled("F2", "F2", "F1", "F2", writes=2)
def squared_error(y_pred: Array, y_true: Array, losses: Array, dinputs: Array) -> None:
    """Write the losses and the gradient, with NumPy's bits."""
    kind = y_pred.dtype.type
    n, k = y_pred.shape
    squares = np.empty(k, y_pred.dtype)
    factor = kind(2 / (n * k))
    for i in range(n):
        for j in range(k):
            d = y_pred[i, j] - y_true[i, j]
            squares[j] = d * d
            dinputs[i, j] = d * factor
        losses[i] = pairwise_sum(squares, 0, k) / kind(k)


@compiled("F1", "F", "F1", writes=1)
def mean_loss(losses: Array, count: float, mean: Array) -> None:
    """Write the sum of the losses over their count."""
    mean[0] = pairwise_sum(losses, 0, losses.size) / losses.dtype.type(count)


class LossKernels(NumPyKernels):
    """The loss of each sample, and the gradient of their mean, in one."""

    @or_numpy
    def mean_loss(self, xp: Any, losses: Array, count: Any) -> Array:
        mean = np.empty(1, losses.dtype)
        mean_loss(losses.reshape(-1), count, mean)
        # A number, as NumPy gives; but what is noted is an array, which later calls write to.
        return mean[0] if recording.get() is None else mean.reshape(())

    def weighted(
        self, xp: Any, losses: Array, dinputs: Array, weights: Array
    ) -> tuple[Array, Array]:
        found = np.empty(losses.shape, losses.dtype), np.empty(dinputs.shape, dinputs.dtype)
        noted(np.multiply, losses, weights, out=found[0])
        noted(np.multiply, dinputs, weights[..., None], out=found[1])
        return found

    def scaled(self, xp: Any, dinputs: Array, factor: float | Array) -> Array:
        found = np.empty(dinputs.shape, dinputs.dtype)
        noted(np.multiply, dinputs, factor, out=found)
        return found

    @or_numpy
    def squared_error(self, xp: Any, y_pred: Array, y_true: Array) -> tuple[Array, Array]:
        check_shapes(y_pred, y_true)
        losses = np.empty(y_pred.shape[0], y_pred.dtype)
        dinputs = np.empty(y_pred.shape, y_pred.dtype)
        squared_error(y_pred, y_true, losses, dinputs)
        return losses, dinputs

    @or_numpy
    def softmax_cross_entropy(
        self, xp: Any, logits: Array, y_true: Array, label_smoothing: float
    ) -> tuple[Array, Array]:
        n, k = logits.shape
        is_label = y_true.ndim == 1
        if is_label and y_true.dtype.kind not in "iu":
            raise TypeError("neither labels nor shares")
        targets = y_true.astype(np.int64 if is_label else logits.dtype, copy=False)
        shifted, losses = np.empty(logits.shape, logits.dtype), np.empty(n, logits.dtype)
        check_shapes(losses if is_label else shifted, targets)
        kept, spread = 1 - label_smoothing, label_smoothing / k
        if is_label and label_smoothing:
            shares = np.empty(logits.shape, logits.dtype)
            _smooth(logits, targets, kept, spread, shares)
            targets, is_label, kept, spread = shares, False, 1.0, 0.0
        shift(logits, shifted)
        exponentials = np.empty(logits.shape, logits.dtype)
        noted(np.exp, shifted, out=exponentials)
        if is_label:
            cross_entropy(shifted, exponentials, targets, losses)
        else:
            _cross_entropy_of_shares(shifted, exponentials, targets, kept, spread, losses)
        return losses, exponentials

    @or_numpy
    def sigmoid_cross_entropy(self, xp: Any, logits: Array, t: Array) -> tuple[Array, Array]:
        check_shapes(logits, t)
        small, logs = np.empty(logits.shape, logits.dtype), np.empty(logits.shape, logits.dtype)
        losses = np.empty(logits.shape[0], logits.dtype)
        noted(np.abs, logits, out=small)
        noted(np.negative, small, out=small)
        noted(np.exp, small, out=small)
        noted(np.log1p, small, out=logs)
        _sigmoid_cross_entropy(logits, t, small, logs, losses)
        return losses, small
