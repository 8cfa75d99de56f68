"""Losses and their gradients in one."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Protocol

from nnfs_xp.kernels.standard import functions

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Namespace


def shares(xp: Namespace, y_true: Array, like: Array, label_smoothing: float = 0.0) -> Array:
    """The share of each class in each target, rows like those of `like`.

    A label that is no class becomes a row of NaN: to find such labels and raise would have to
    wait for the device. So the loss and the gradient of that sample are NaN, which cannot pass
    unseen.
    """
    k = like.shape[-1]
    if y_true.ndim == like.ndim:
        t: Array = xp.astype(y_true, like.dtype, copy=False)
    else:
        labels = xp.astype(y_true, xp.int64, copy=False)[..., None]
        is_class = labels == xp.arange(k, dtype=xp.int64, device=like.device)
        known = (labels >= 0) & (labels < k)
        t = xp.where(known, xp.astype(is_class, like.dtype), float("nan"))
    return t * (1 - label_smoothing) + label_smoothing / k if label_smoothing else t


class LossKernels(Protocol):
    """The loss of each sample, and the gradient of their mean, in one.

    Where a loss is a mean over the outputs, predictions and targets have the shape
    (batch, outputs), and the docstring gives the terms of one output: of the loss, before they are
    divided by the number of outputs, and of the gradient, before they are divided by that of all
    elements.
    """

    def mean_loss(self, xp: Namespace, losses: Array, count: Any) -> Array:
        """The sum of the losses divided by how many count, a 0-d array."""
        mean: Array = xp.sum(losses) / count
        return mean

    def weighted(
        self, xp: Namespace, losses: Array, dinputs: Array, weights: Array
    ) -> tuple[Array, Array]:
        """The losses, and the rows of the gradient, times their weights, in the losses' shape."""
        del xp
        return losses * weights, dinputs * weights[..., None]

    def scaled(self, xp: Namespace, dinputs: Array, factor: float | Array) -> Array:
        """The gradient times a number."""
        del xp
        return dinputs * factor

    def less_one_hot(self, xp: Namespace, rows: Array, labels: Array) -> Array:
        """Rows with 1 subtracted at their labels; NaN where a label is no class."""
        less: Array = rows - shares(xp, labels, rows)
        return less

    def picked(self, xp: Namespace, rows: Array, labels: Array) -> Array:
        """The value of each row, on the last axis, at its label; NaN where that is no class."""
        labels = xp.astype(labels, xp.int64, copy=False)
        known = (labels >= 0) & (labels < rows.shape[-1])
        places = xp.where(known, labels, xp.zeros_like(labels))[..., None]
        values = xp.take_along_axis(rows, places, axis=-1)[..., 0]
        found: Array = xp.where(known, values, float("nan"))
        return found

    def softmax_cross_entropy(
        self, xp: Namespace, logits: Array, y_true: Array, label_smoothing: float
    ) -> tuple[Array, Array]:
        """The loss of each sample, and the gradient of their mean by the logits.

        Parameters
        ----------
        logits : array, shape (batch, classes)
        y_true : array
            Class indices, integers (batch,), or shares of the classes, rows like those of the
            logits. An index that is no class makes its sample's loss and gradient NaN.
        label_smoothing : float

        Returns
        -------
        losses : array, shape (batch,)
            -sum(t * log_softmax(logits)) with t the shares, smoothed; where t is 0 nothing is
            added, even if the logit is -infinity.
        dinputs : array, shape (batch, classes)
            (softmax(logits) - t) / batch.
        """
        n = logits.shape[0]
        t = shares(xp, y_true, logits, label_smoothing)
        shifted = logits - xp.max(logits, axis=1, keepdims=True)
        dinputs: Array = xp.exp(shifted)
        sums = xp.sum(dinputs, axis=1, keepdims=True)
        terms = xp.where(t != 0, shifted - xp.log(sums), 0.0)
        terms *= t
        losses: Array = -xp.sum(terms, axis=1)
        dinputs /= sums
        dinputs -= t
        dinputs /= n
        return losses, dinputs

    def sigmoid_cross_entropy(self, xp: Namespace, logits: Array, t: Array) -> tuple[Array, Array]:
        """Give abs(z) w + log(1 + exp(-abs(z))), and sigmoid(z) - t, with z for the logits.

        w is the share of t on the other side, 1 - t where z >= 0, else t; where it is 0 nothing
        is added, even if the logit is infinite.
        """
        size = xp.abs(logits)
        wrong = xp.where(logits >= 0, 1 - t, t)
        terms = wrong * xp.where(wrong != 0, size, 0.0) + xp.log1p(xp.exp(-size))
        dinputs = (functions.sigmoid(xp, logits) - t) / prod(logits.shape)
        return xp.mean(terms, axis=-1), dinputs

    def squared_error(self, xp: Namespace, y_pred: Array, y_true: Array) -> tuple[Array, Array]:
        """Give (y_pred - y_true)**2, and 2 * (y_pred - y_true)."""
        d = y_pred - y_true
        return xp.mean(d * d, axis=-1), d * (2 / prod(y_pred.shape))

    def absolute_error(self, xp: Namespace, y_pred: Array, y_true: Array) -> tuple[Array, Array]:
        """Give abs(y_pred - y_true), and the sign of that difference."""
        d = y_pred - y_true
        return xp.mean(xp.abs(d), axis=-1), functions.sign(xp, d) / prod(y_pred.shape)

    def huber(
        self, xp: Namespace, y_pred: Array, y_true: Array, delta: float
    ) -> tuple[Array, Array]:
        """Give c * (d - c / 2), and c: the difference d = y_pred - y_true clipped to ± delta."""
        d = y_pred - y_true
        c = xp.minimum(xp.maximum(d, -delta), delta)
        return xp.mean(c * (d - c / 2), axis=-1), c / prod(y_pred.shape)
