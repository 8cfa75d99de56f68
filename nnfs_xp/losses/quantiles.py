"""The loss of quantiles: a model says between which values a target lies, and how surely."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from nnfs_xp import _checks
from nnfs_xp._typing import Array, DType, Namespace
from nnfs_xp.errors import ArgumentError
from nnfs_xp.kernels import standard
from nnfs_xp.losses.targets import RegressionLoss


class PinballLoss(RegressionLoss):
    """Has each output predict a quantile of the target: the value that it is below so often.

    `y_true` has shape (batch, …, 1) or (batch, …): one target, which all outputs are about.
    `Trainer.predict` gives all quantiles, in order; metrics see the one nearest to the median.

    Parameters
    ----------
    quantiles : sequence of float
        In (0, 1), one for each output.

    Raises
    ------
    LabelError
        `y_true` has another shape.
    DTypeError
        `y_true` holds floats of another dtype than the predictions.
    ArgumentError
        There are not as many outputs as quantiles.

    Notes
    -----
    With a quantile q_j and the difference d_j = y_true - y_pred_j for each output:

    Forward: loss = mean(max(q_j d_j, (q_j - 1) d_j)) over the outputs, in units of y.

    Backward: dinputs = ((1 - sign(d_j)) / 2 - q_j) / outputs / rows: -q_j below the target, and
    1 - q_j above it. Nothing keeps the outputs in the order of the quantiles.

    Source: Koenker and Bassett 1978, *Regression Quantiles*, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> import nnfs_xp as nn
    >>> loss = nn.PinballLoss(quantiles=(0.1, 0.9))
    >>> loss.forward(np.array([[1.0, 4.0]]), np.array([2.0]))
    array([0.15])
    """

    n_targets = 1

    def __init__(self, quantiles: Iterable[float] = (0.05, 0.5, 0.95)) -> None:
        if isinstance(quantiles, str) or not isinstance(quantiles, Iterable):
            raise ArgumentError(
                f"`quantiles` must be a list of numbers between 0 and 1; got {quantiles!r}."
            )
        self.quantiles = tuple(
            _checks.check_range("quantiles", each, 0, 1, open_low=True) for each in quantiles
        )
        if not self.quantiles:
            raise ArgumentError("`quantiles` is empty. At least 1 quantile is needed.")
        self._quantiles: Array | None = None

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, q, d = self._differences(y_pred, y_true)
        losses: Array = xp.mean(xp.maximum(q * d, (q - 1) * d), axis=-1)
        return losses

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp, q, d = self._differences(y_pred, y_true)
        dinputs = ((1 - standard.sign(xp, d)) / 2 - q) / prod(y_pred.shape)
        return self.weigh(dinputs, sample_weight)

    def _differences(self, y_pred: Array, y_true: Array) -> tuple[Namespace, Array, Array]:
        """The namespace, the quantiles on the device, and the targets less the predictions."""
        backend = _checks.check_pair(y_pred, y_true)
        self._check_outputs(y_pred.shape[-1])
        y_true = _checks.match_outputs(y_true, (*y_pred.shape[:-1], 1))
        _checks.check_target_dtype(y_pred, y_true, backend)
        xp, q = backend.xp, self._quantiles
        if q is None or not backend.owns(q) or q.dtype != y_pred.dtype:  # it stays between steps
            dtype, device = y_pred.dtype, y_pred.device
            q = self._quantiles = xp.asarray(self.quantiles, dtype=dtype, device=device)
        return xp, q, xp.astype(y_true, y_pred.dtype, copy=False) - y_pred

    def _check_outputs(self, n_outputs: int) -> None:
        if n_outputs != len(self.quantiles):
            raise ArgumentError(
                f"`quantiles` must be {n_outputs}, one for each output; got {len(self.quantiles)}."
            )

    def prepare_targets(self, y_true: Array, n_outputs: int, dtype: DType) -> Array:
        self._check_outputs(n_outputs)
        return super().prepare_targets(y_true, 1, dtype)

    def decisions(self, y_pred: Array) -> Array:
        """The output of the quantile that is nearest to the median, shape (batch, …, 1)."""
        n = min(range(len(self.quantiles)), key=lambda each: abs(self.quantiles[each] - 0.5))
        median: Array = y_pred[..., n : n + 1]
        return median
