"""The likelihood of counts under a Poisson distribution."""

from __future__ import annotations

from math import prod

from nnfs_xp import _checks
from nnfs_xp._typing import Array, DType
from nnfs_xp.backend import backend_of
from nnfs_xp.errors import LabelError
from nnfs_xp.losses.targets import RegressionLoss, first_of

EPSILON = 1e-7
"""Rates are kept at least this high, so that no logarithm is infinite."""


class Poisson(RegressionLoss):
    """Negative log-likelihood of counts whose rates are predicted, less log(y_true!).

    `y_true` has the shape of `y_pred`, (batch, …, outputs), or (batch, …) for one output.

    Parameters
    ----------
    log_input : bool
        Whether outputs are logarithms of rates, as of a last `Dense` layer, or rates.
        `predictions`, which metrics see too, are rates in any case.

    Raises
    ------
    LabelError
        `y_true` has another shape, or, in `prepare_targets`, is below 0.
    DTypeError
        `y_true` holds floats of another dtype than the predictions.

    Notes
    -----
    With the logarithms of rates z = y_pred:

    Forward: loss = mean(exp(z) - y_true z) over the outputs, in nats per sample and output.

    Backward: dinputs = (exp(z) - y_true) / outputs / rows.

    With rates r = y_pred, clipped to at least 1e-7 where they divide or have their logarithm
    taken:

    Forward: loss = mean(r - y_true log(r)) over the outputs.

    Backward: dinputs = (1 - y_true / r) / outputs / rows.

    Source: Cameron and Trivedi 2013, *Regression Analysis of Count Data*, section 3.2.
    """

    def __init__(self, log_input: bool = True) -> None:
        self.log_input = _checks.check_bool("log_input", log_input)

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        if self.log_input:
            terms = xp.exp(y_pred) - y_true * y_pred
        else:
            terms = y_pred - y_true * xp.log(xp.maximum(y_pred, EPSILON))
        losses: Array = xp.mean(terms, axis=-1)
        return losses

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        if self.log_input:
            dinputs = xp.exp(y_pred) - y_true
        else:
            dinputs = 1 - y_true / xp.maximum(y_pred, EPSILON)
        return self.weigh(dinputs / prod(y_pred.shape), sample_weight)

    def prepare_targets(self, y_true: Array, n_outputs: int, dtype: DType) -> Array:
        y_true = super().prepare_targets(y_true, n_outputs, dtype)
        if (negative := first_of(y_true, y_true < 0)) is not None:
            raise LabelError(f"`y_true` must hold counts of at least 0; got {negative:g}.")
        return y_true

    def predictions(self, y_pred: Array) -> Array:
        rates: Array = backend_of(y_pred).xp.exp(y_pred) if self.log_input else y_pred
        return rates
