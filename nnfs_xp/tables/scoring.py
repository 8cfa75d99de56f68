"""What a training on a table goes by: the loss of the ensemble's mean, not of its members."""

from __future__ import annotations

from typing import Any

from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of
from nnfs_xp.metrics.base import Metric


class EnsembleLoss(Metric):
    """The loss of what the members of an ensemble say together, of rows not trained on.

    Of classes the cross-entropy of the mean of the probabilities, in nats; of numbers the squared
    error of the mean.

    Parameters
    ----------
    ensemble : int
    classifies : bool
    label_smoothing : float
        As in the loss of the members.
    """

    name = "error"
    direction = "min"
    sees = "outputs"

    def __init__(self, ensemble: int, *, classifies: bool, label_smoothing: float = 0.0) -> None:
        self.ensemble = ensemble
        self.classifies = classifies
        self.label_smoothing = label_smoothing

    def accumulate(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp = backend_of(y_pred).xp
        members = xp.reshape(y_pred, (-1, self.ensemble, y_pred.shape[-1]))
        targets = xp.reshape(y_true, (-1, self.ensemble))[:, 0]
        if self.classifies:
            shifted = members - xp.max(members, axis=-1, keepdims=True)
            shares = xp.exp(shifted)
            shares = xp.mean(shares / xp.sum(shares, axis=-1, keepdims=True), axis=1)
            places = xp.arange(shares.shape[-1], dtype=targets.dtype, device=shares.device)
            right = xp.astype(targets[:, None] == places, shares.dtype)
            right = right * (1 - self.label_smoothing) + self.label_smoothing / right.shape[-1]
            values = -xp.sum(right * xp.log(xp.maximum(shares, 1e-30)), axis=-1)
        else:
            difference = xp.mean(members[:, :, 0], axis=1) - targets
            values = difference * difference
        weights = xp.ones_like(values)
        if sample_weight is not None:
            weights = xp.reshape(sample_weight, (-1, self.ensemble))[:, 0]
        sums: Array = xp.stack([xp.sum(weights * values), xp.sum(weights)])
        return sums

    def result(self, sums: Any) -> float:
        return float(sums[0] / sums[1])
