"""The losses of scikit-learn's MLPs: as the library's, but summed over a sample's outputs."""

from __future__ import annotations

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.layers import Layer, Sigmoid
from nnfs_xp.losses import BinaryCrossentropy, Loss, Poisson, SigmoidBinaryCrossentropy
from nnfs_xp.losses.targets import RegressionLoss


class HalfSquaredError(RegressionLoss):
    """Half of the squared differences, summed over the outputs.

    Notes
    -----
    Forward: loss = sum((y_pred - y_true)**2) / 2 over the outputs, in squared units of y.

    Backward: dinputs = (y_pred - y_true) / batch.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        difference = y_pred - y_true
        losses: Array = xp.sum(difference * difference, axis=1) / 2
        return losses

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        _, y_true = _checks.match_targets(y_pred, y_true)
        return self.weigh((y_pred - y_true) / y_pred.shape[0], sample_weight)

    def calculate_and_backward(
        self, y_pred: Array, y_true: Array, sample_weight: Array | None = None
    ) -> tuple[Array, Array]:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        difference = y_pred - y_true
        losses = xp.sum(difference * difference, axis=1) / 2
        difference /= y_pred.shape[0]
        mean = self._mean(losses, sample_weight, losses.shape[0])
        return mean, self.weigh(difference, sample_weight)


class _SumOverOutputs(Loss):
    """Makes the loss that comes next in the order of inheritance a sum, not a mean, of outputs."""

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        return y_pred.shape[1] * super().forward(y_pred, y_true)

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        return y_pred.shape[1] * super().backward(y_pred, y_true, sample_weight)


class HalfPoissonDeviance(_SumOverOutputs, Poisson):
    """Half of the Poisson deviance, summed over the outputs, which are logarithms of rates.

    Notes
    -----
    With the logarithms of rates z = y_pred, and 0 log(0) = 0:

    Forward: loss = sum(exp(z) - y_true z + y_true log(y_true) - y_true) over the outputs.

    Backward: dinputs = (exp(z) - y_true) / batch.
    """

    def __init__(self) -> None:
        super().__init__(log_input=True)

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, t = _checks.match_targets(y_pred, y_true)
        constant = t * xp.log(xp.where(t > 0, t, 1.0)) - t
        losses: Array = xp.sum(xp.exp(y_pred) - t * y_pred + constant, axis=1)
        return losses


class SigmoidBinaryLogLoss(_SumOverOutputs, SigmoidBinaryCrossentropy):
    """`SigmoidBinaryCrossentropy`, summed over the outputs and not their mean."""


class BinaryLogLoss(_SumOverOutputs, BinaryCrossentropy):
    """`BinaryCrossentropy`, summed over the outputs and not their mean."""

    def fused_with(self, layer: Layer) -> Loss | None:
        return SigmoidBinaryLogLoss() if type(layer) is Sigmoid else None
