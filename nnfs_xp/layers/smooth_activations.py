"""Activation functions that bend gently where ReLU breaks, or go below 0."""

from __future__ import annotations

from math import prod

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.errors import ArgumentError
from nnfs_xp.initializers import he_normal, lecun_normal
from nnfs_xp.layers.base import Layer, Shape
from nnfs_xp.layers.footprint import Footprint


class GELU(Layer):
    """Gaussian error linear unit: each input times the share of a normal population below it.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        Whether the share, Φ, is exact or the approximation that GPT-2 and others were trained
        with.

    Notes
    -----
    Forward: output = inputs * Φ(inputs), shape (batch, ...), with x for the inputs and
    Φ(x) = (1 + erf(x / sqrt(2))) / 2, or approximately (1 + tanh(u)) / 2, where
    u = sqrt(2 / π) * (x + 0.044715 * x**3).

    Backward: dinputs = dvalues * (Φ(x) + x * Φ'(x)), with Φ'(x) = exp(-x**2 / 2) / sqrt(2π),
    or approximately 2 * Φ(x) * (1 - Φ(x)) * du/dx.

    Source: Hendrycks and Gimpel 2016, *Gaussian Error Linear Units (GELUs)*, section 2.
    """

    elementwise = True
    works_in_half = True
    preferred_initializer = staticmethod(he_normal)
    footprint = Footprint(keeps_output=False, room=6)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ArgumentError(f"`approximate` must be 'none' or 'tanh'; got {approximate!r}.")
        self.approximate = approximate

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        output, share = self.kernels_for(inputs).gelu(xp, inputs, self.approximate == "tanh")
        if training:
            self.keep(output, inputs, share)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, x, share = self.recall(dvalues)
        kernels, approximate = self.kernels_for(dvalues), self.approximate == "tanh"
        self.dinputs = kernels.gelu_backward(xp, dvalues, x, share, approximate)
        return self.dinputs

    def kept_bytes(self, input_shape: Shape, n_bytes: int) -> int:
        return n_bytes * prod(input_shape)  # share


class SiLU(Layer):
    """Sigmoid linear unit, also called swish: each input times its own sigmoid.

    Notes
    -----
    Forward: output = inputs * s with s = 1 / (1 + exp(-inputs)), shape (batch, ...).

    Backward: dinputs = dvalues * s * (1 + inputs * (1 - s)).

    Source: Elfwing, Uchibe and Doya 2018, *Sigmoid-Weighted Linear Units for Neural Network
    Function Approximation in Reinforcement Learning*, equations 2 and 4.
    """

    elementwise = True
    preferred_initializer = staticmethod(he_normal)
    footprint = Footprint(keeps_output=False, room=4)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        s = self.kernels_for(inputs).sigmoid(xp, inputs)
        output = inputs * s
        if training:
            self.keep(output, inputs, s)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, inputs, s = self.recall(dvalues)
        self.dinputs = self.kernels_for(dvalues).silu_backward(xp, dvalues, inputs, s)
        return self.dinputs

    def kept_bytes(self, input_shape: Shape, n_bytes: int) -> int:
        return n_bytes * prod(input_shape)  # s


class Mish(Layer):
    """Each input times the hyperbolic tangent of its softplus: smooth, and not monotonic.

    Notes
    -----
    Forward: output = inputs * t with t = tanh(log(1 + exp(inputs))), shape (batch, ...). With
    e = exp(-abs(inputs)), t = (1 + 2 * e) / (1 + 2 * e + 2 * e**2) where inputs >= 0, else
    (e**2 + 2 * e) / (e**2 + 2 * e + 2): so it is computed, for this can neither overflow nor lose
    small outputs.

    Backward: dinputs = dvalues * (t + inputs * (1 - t**2) * s) with s = 1 / (1 + exp(-inputs)).

    Source: Misra 2019, *Mish: A Self Regularized Non-Monotonic Activation Function*, equations 1
    and 3.
    """

    elementwise = True
    preferred_initializer = staticmethod(he_normal)
    footprint = Footprint(keeps_output=False, room=6)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        output, e = self.kernels_for(inputs).mish(xp, inputs)
        if training:
            self.keep(output, inputs, e)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, inputs, e = self.recall(dvalues)
        self.dinputs = self.kernels_for(dvalues).mish_backward(xp, dvalues, inputs, e)
        return self.dinputs

    def kept_bytes(self, input_shape: Shape, n_bytes: int) -> int:
        return n_bytes * prod(input_shape)  # e


class ELU(Layer):
    """Exponential linear unit: falls towards -alpha below 0.

    Parameters
    ----------
    alpha : float
        At least 0.

    Notes
    -----
    Forward: output = inputs where inputs > 0, else alpha * (exp(inputs) - 1).

    Backward: dinputs = dvalues where inputs > 0, else dvalues * (output + alpha).

    Source: Clevert, Unterthiner and Hochreiter 2016, *Fast and Accurate Deep Network Learning
    by Exponential Linear Units (ELUs)*, equations 15 and 16.
    """

    elementwise = True
    preferred_initializer = staticmethod(he_normal)
    footprint = Footprint(keeps_inputs=False)

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = _checks.check_range("alpha", alpha, 0)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        output = self.kernels_for(inputs).elu(xp, inputs, self.alpha, 1.0)
        if training:
            self.keep(output, output)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, output = self.recall(dvalues)
        kernels = self.kernels_for(dvalues)
        self.dinputs = kernels.elu_backward(xp, dvalues, output, self.alpha, 1.0)
        return self.dinputs


SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
"""With these, `SELU` draws its outputs towards mean 0 and variance 1."""


class SELU(Layer):
    """Scaled ELU: through many layers, it draws the outputs to mean 0 and variance 1.

    For this the weights before it must have variance 1 / n_inputs (`lecun_normal`), and
    `AlphaDropout` must stand in for `Dropout`.

    Notes
    -----
    Forward: output = scale * inputs where inputs > 0, else scale * alpha * (exp(inputs) - 1),
    with alpha = 1.67326… and scale = 1.05070….

    Backward: dinputs = scale * dvalues where inputs > 0, else
    dvalues * (output + scale * alpha).

    Source: Klambauer et al. 2017, *Self-Normalizing Neural Networks*, equations 2 and 14.
    """

    elementwise = True
    preferred_initializer = staticmethod(lecun_normal)
    footprint = Footprint(keeps_inputs=False, room=4)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        output = self.kernels_for(inputs).elu(xp, inputs, SELU_ALPHA, SELU_SCALE)
        if training:
            self.keep(output, output)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, output = self.recall(dvalues)
        kernels = self.kernels_for(dvalues)
        self.dinputs = kernels.elu_backward(xp, dvalues, output, SELU_ALPHA, SELU_SCALE)
        return self.dinputs


class Softplus(Layer):
    """A smooth ReLU, always above 0.

    Notes
    -----
    Forward: output = log(1 + exp(inputs)), shape (batch, ...), computed as
    max(inputs, 0) + log(1 + exp(-abs(inputs))), which can neither overflow nor lose small
    outputs.

    Backward: dinputs = dvalues / (1 + exp(-inputs)).

    Source: Dugas et al. 2001, *Incorporating Second-Order Functional Knowledge for Better
    Option Pricing*, section 3.
    """

    elementwise = True
    preferred_initializer = staticmethod(he_normal)
    footprint = Footprint(keeps_output=False)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        output: Array = xp.log1p(xp.exp(-xp.abs(inputs)))
        output += xp.maximum(inputs, 0.0)
        if training:
            self.keep(output, inputs)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, inputs = self.recall(dvalues)
        self.dinputs = dvalues * self.kernels_for(dvalues).sigmoid(xp, inputs)
        return self.dinputs
