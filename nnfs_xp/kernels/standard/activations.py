"""Activations that cost more than one pass: forward, and the gradient of their inputs.

The layers in `nnfs_xp.layers` say what the names mean, and where the formulas are from.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import TYPE_CHECKING, Protocol

from nnfs_xp.kernels.standard import functions

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Namespace


class ActivationKernels(Protocol):
    """Element by element, over arrays of one shape; `softmax` over their last axis."""

    def leaky_relu(self, xp: Namespace, inputs: Array, slope: float) -> Array:
        """Inputs where they are above 0, else slope * inputs."""
        output: Array = xp.where(inputs > 0, inputs, slope * inputs)
        return output

    def leaky_relu_backward(
        self, xp: Namespace, dvalues: Array, inputs: Array, slope: float
    ) -> Array:
        """Dvalues where inputs > 0, else slope * dvalues."""
        dinputs: Array = xp.where(inputs > 0, dvalues, slope * dvalues)
        return dinputs

    def sigmoid(self, xp: Namespace, inputs: Array) -> Array:
        """1 / (1 + exp(-inputs)), exact at both tails."""
        return functions.sigmoid(xp, inputs)

    def softmax(self, xp: Namespace, logits: Array) -> Array:
        """Softmax over the last axis, of any logits."""
        return functions.softmax(xp, logits)

    def silu_backward(self, xp: Namespace, dvalues: Array, inputs: Array, s: Array) -> Array:
        """Compute dvalues * s * (1 + inputs * (1 - s)), with s = sigmoid(inputs)."""
        return dvalues * s * (1 + inputs * (1 - s))

    def mish(self, xp: Namespace, x: Array) -> tuple[Array, Array]:
        """Each x times tanh(log(1 + exp(x))), and e = exp(-abs(x)), for `mish_backward`."""
        e = xp.exp(-xp.abs(x))
        numerator, denominator = functions.tanh_of_softplus(xp, x, e)
        return x * (numerator / denominator), e

    def mish_backward(self, xp: Namespace, dvalues: Array, x: Array, e: Array) -> Array:
        """Compute dvalues * (t + x * dt/dx), with t = tanh(log(1 + exp(x))).

        dt/dx = 4 * f * (1 + e) / denominator**2, with f = e**2 where x >= 0, else e.
        """
        numerator, denominator = functions.tanh_of_softplus(xp, x, e)
        f = xp.where(x >= 0, e * e, e)
        slope = 4 * f * (1 + e) / (denominator * denominator)
        dinputs: Array = dvalues * (numerator / denominator + x * slope)
        return dinputs

    def elu(self, xp: Namespace, inputs: Array, alpha: float, scale: float) -> Array:
        """Scale times: inputs where they are above 0, else alpha * (exp(inputs) - 1)."""
        below = scale * alpha * xp.expm1(xp.minimum(inputs, 0.0))
        above = inputs if scale == 1 else scale * inputs
        output: Array = xp.where(inputs > 0, above, below)
        return output

    def elu_backward(
        self, xp: Namespace, dvalues: Array, output: Array, alpha: float, scale: float
    ) -> Array:
        """Dvalues times: scale where output > 0, else output + scale * alpha."""
        slope = xp.where(output > 0, scale, output + scale * alpha)
        dinputs: Array = dvalues * slope
        return dinputs

    def gelu(self, xp: Namespace, x: Array, approximate: bool) -> tuple[Array, Array]:
        """Each x times the share of a normal population below it.

        Parameters
        ----------
        x : array
        approximate : bool
            Whether the share is (1 + tanh(u)) / 2, where u = sqrt(2 / pi) * (x + 0.044715 * x**3),
            instead of the exact (1 + erf(x / sqrt(2))) / 2.

        Returns
        -------
        output, share : array
            `share` is for `gelu_backward`.
        """
        if functions.is_narrow(xp, x):
            output, share = self.gelu(xp, xp.astype(x, xp.float32), approximate)
            return xp.astype(output, x.dtype), xp.astype(share, x.dtype)
        if approximate:
            share = xp.tanh(sqrt(2 / pi) * x * (1 + 0.044715 * x * x))
        else:
            share = functions.erf(xp, x * sqrt(0.5))
        share += 1
        share *= 0.5
        return x * share, share

    def gelu_backward(
        self, xp: Namespace, dvalues: Array, x: Array, share: Array, approximate: bool
    ) -> Array:
        """Compute dvalues * (share + x * density), the density being the share's derivative.

        That is exp(-x**2 / 2) / sqrt(2 * pi), or approximately 2 * share * (1 - share) * du/dx,
        with the u of `gelu`.
        """
        if functions.is_narrow(xp, x):
            d, wide, s = (xp.astype(each, xp.float32) for each in (dvalues, x, share))
            narrow: Array = xp.astype(self.gelu_backward(xp, d, wide, s, approximate), x.dtype)
            return narrow
        if approximate:
            density = sqrt(8 / pi) * share * (1 - share) * (1 + 3 * 0.044715 * x * x)
        else:
            density = 1 / sqrt(2 * pi) * xp.exp(-0.5 * x * x)
        dinputs: Array = dvalues * (share + x * density)
        return dinputs
