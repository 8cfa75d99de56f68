"""Softmax and cross-entropy in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

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
    """A loss and its gradient in one."""

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
