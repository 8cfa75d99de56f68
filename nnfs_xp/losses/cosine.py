"""The angle between predictions and targets."""

from __future__ import annotations

from math import prod

from nnfs_xp import _checks
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.losses.targets import RegressionLoss

EPSILON = 1e-7
"""A vector shorter than this has no direction."""


class CosineLoss(RegressionLoss):
    """1 minus the cosine of the angle between a sample's outputs and its targets.

    `y_true` has the shape of `y_pred`, (batch, …, outputs), or (batch, …) for one output. A vector
    shorter than 1e-7 has no direction: its loss is 1 and its gradient 0.

    Raises
    ------
    LabelError
        `y_true` has another shape.
    DTypeError
        `y_true` holds floats of another dtype than the predictions.

    Notes
    -----
    With the unit vectors u = y_pred / norm(y_pred) and v = y_true / norm(y_true) of each
    sample:

    Forward: loss = 1 - u·v, a number from 0 to 2 without a unit.

    Backward: dinputs = ((u·v) u - v) / norm(y_pred) / rows.

    Source: Hadsell, Chopra and LeCun 2006, *Dimensionality Reduction by Learning an Invariant
    Mapping*, for its use; the derivative is that of a quotient.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        u, v = (a * _reciprocal_length(xp, a) for a in (y_pred, y_true))
        losses: Array = 1 - xp.sum(u * v, axis=-1)
        return losses

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        scale = _reciprocal_length(xp, y_pred)
        u, v = y_pred * scale, y_true * _reciprocal_length(xp, y_true)
        cosine = xp.sum(u * v, axis=-1, keepdims=True)
        return self.weigh((cosine * u - v) * scale / prod(y_pred.shape[:-1]), sample_weight)


def _reciprocal_length(xp: Namespace, vectors: Array) -> Array:
    lengths = xp.sqrt(xp.sum(vectors * vectors, axis=-1, keepdims=True))
    reciprocals: Array = xp.where(lengths > EPSILON, 1 / xp.maximum(lengths, EPSILON), 0.0)
    return reciprocals
