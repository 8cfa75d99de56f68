"""Cross-entropy that counts samples less the better they are classified."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nnfs_xp import _checks
from nnfs_xp._typing import Array, DType
from nnfs_xp.backend import Backend, backend_of
from nnfs_xp.errors import ArgumentError
from nnfs_xp.kernels import standard
from nnfs_xp.losses.targets import CategoricalLoss, dot_rows, where_counted

_LOWEST = -1e4
"""The lowest logarithm taken: its exponential, which it multiplies, is 0 in every float type."""


class FocalLoss(CategoricalLoss):
    """Softmax and focal loss in one, on logits: cross-entropy times (1 - p)**gamma.

    Labels, `ignore_index` and errors are those of `CategoricalCrossentropy`.

    Parameters
    ----------
    gamma : float
        How much less samples count that are classified well; 0 is cross-entropy.
    alpha : sequence of float, optional
        A weight for each class.
    ignore_index : int, optional

    Raises
    ------
    ArgumentError
        `alpha` has not one weight for each output.

    Notes
    -----
    With the probability p = softmax(y_pred)[label] of the true class, or for shares of classes
    log(p) = sum(y_true log(softmax(y_pred))):

    Forward: loss = -alpha[label] (1 - p)**gamma log(p) for each sample, in nats per sample.

    Backward: dinputs = alpha[label] (1 - p)**gamma (1 - gamma p log(p) / (1 - p))
    (softmax(y_pred) - y_true) / n, with y_true one-hot and n the number of labels that count. The
    second factor is that of cross-entropy with each sample reweighted; at p = 1,
    log(p) / (1 - p) is its limit -1.

    Source: Lin et al. 2017, *Focal Loss for Dense Object Detection*, equation 5, with softmax in
    the place of sigmoid.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: Sequence[float] | None = None,
        *,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__(ignore_index)
        self.gamma = _checks.check_range("gamma", gamma, 0)
        if (
            isinstance(alpha, str)
            or hasattr(alpha, "items")
            or not isinstance(alpha, Iterable | None)
        ):
            raise ArgumentError(
                "`alpha` must be a list of weights, one for each class in order; got "
                f"{_checks.quoted(alpha)}."
            )
        if alpha is not None:
            alpha = tuple(_checks.check_range("alpha", weight, 0) for weight in alpha)
        self.alpha = alpha
        self._alpha: Array | None = None

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        backend = _checks.check_pair(y_pred, y_true)
        xp, (truths, counted) = backend.xp, self.shares_of(backend, y_pred, y_true)
        log_p = dot_rows(xp, truths, standard.log_softmax(xp, y_pred))
        losses: Array = -((-xp.expm1(log_p)) ** self.gamma) * log_p
        if self.alpha is not None:
            losses = losses * self._of_labels(backend, truths)
        return where_counted(xp, losses, counted)

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        backend = _checks.check_pair(y_pred, y_true)
        xp, (truths, counted) = backend.xp, self.shares_of(backend, y_pred, y_true)
        log_p = dot_rows(xp, truths, standard.log_softmax(xp, y_pred))
        p, rest = xp.exp(log_p), -xp.expm1(log_p)
        log_p = xp.maximum(log_p, _LOWEST)
        ratio = xp.where(rest > 0, log_p / xp.where(rest > 0, rest, 1.0), -1.0)
        factors = rest**self.gamma * (1 - self.gamma * p * ratio)
        if self.alpha is not None:
            factors = factors * self._of_labels(backend, truths)
        dinputs = (standard.softmax(xp, y_pred) - truths) * factors[..., None]
        dinputs /= self.count(y_pred, y_true)
        return self.weigh(where_counted(xp, dinputs, counted), sample_weight)

    def prepare_targets(self, y_true: Array, n_outputs: int, dtype: DType) -> Array:
        self._check_alpha(n_outputs)
        return super().prepare_targets(y_true, n_outputs, dtype)

    def probabilities(self, y_pred: Array) -> Array:
        return standard.softmax(backend_of(y_pred).xp, y_pred)

    def _of_labels(self, backend: Backend, truths: Array) -> Array:
        """The weight of each sample's class; the weights stay on the device between steps."""
        self._check_alpha(truths.shape[-1])
        alpha = self._alpha
        if alpha is None or not backend.owns(alpha) or alpha.dtype != truths.dtype:
            device, dtype = truths.device, truths.dtype
            alpha = self._alpha = backend.xp.asarray(self.alpha, dtype=dtype, device=device)
        weights: Array = backend.xp.sum(truths * alpha, axis=-1)
        return weights

    def _check_alpha(self, n_outputs: int) -> None:
        if self.alpha is not None and len(self.alpha) != n_outputs:
            raise ArgumentError(
                f"`alpha` must have {n_outputs} weights, one for each output; "
                f"got {len(self.alpha)}."
            )
