"""Dropout: neurons are silenced at random while training."""

from __future__ import annotations

from math import prod

from nnfs_xp import _checks
from nnfs_xp._rows import as_before, as_rows
from nnfs_xp._typing import Array
from nnfs_xp.kernels.standard import BITS
from nnfs_xp.layers.base import Shape
from nnfs_xp.layers.footprint import Footprint
from nnfs_xp.layers.smooth_activations import SELU_ALPHA, SELU_SCALE
from nnfs_xp.layers.stochastic import StochasticLayer


class _Dropping(StochasticLayer):
    """The rate, which both dropouts have."""

    elementwise = True
    footprint = Footprint(keeps_inputs=False, keeps_output=False)

    def __init__(self, rate: float, *, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self.rate = _checks.check_range("rate", rate, 0, 1)

    def silence(self) -> None:
        self.rate = 0.0

    @property
    def threshold(self) -> int:
        """What random bits are below with probability rate: the elements so found are dropped."""
        return round(self.rate * 2.0**BITS)

    def kept_bytes(self, input_shape: Shape, n_bytes: int) -> int:
        del n_bytes
        return prod(input_shape)  # a mask of booleans


class Dropout(_Dropping):
    """Sets a share of its inputs to 0 in training and scales the rest up to make good for it.

    Parameters
    ----------
    rate : float
        The share that is dropped, in [0, 1).
    seed : int, optional
        Of the masks: see `StochasticLayer`.

    Notes
    -----
    Forward, training: output = inputs * mask / (1 - rate), each mask element 0 with
    probability rate, else 1; otherwise output = inputs.

    Backward: dinputs = dvalues * mask / (1 - rate).

    Source: Srivastava et al. 2014, *Dropout*, section 10 (the scaling); *Neural Networks from
    Scratch*, chapter 15.
    """

    works_in_half = True
    footprint = Footprint(keeps_inputs=False, keeps_output=False, room=2)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        if not training:
            return inputs
        scale = 1 / (1 - self.rate)
        rows, kept = self.kernels_for(inputs).dropout(
            xp, as_rows(xp, inputs), self.threshold, scale, self.draw_keys(inputs), inputs.device
        )
        output = as_before(xp, rows, inputs)
        self.keep(output, kept, scale)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, kept, scale = self.recall(dvalues)
        rows = as_rows(xp, dvalues)
        dinputs = self.kernels_for(dvalues).dropout_backward(xp, rows, kept, scale)
        self.dinputs = as_before(xp, dinputs, dvalues)
        return self.dinputs


class AlphaDropout(_Dropping):
    """Dropout for networks of `SELU`: what is dropped becomes the value where SELU saturates.

    Then it scales and shifts, so that inputs of mean 0 and variance 1 keep both.

    Parameters
    ----------
    rate : float
        The share that is dropped, in [0, 1).
    seed : int, optional
        Of the masks: see `StochasticLayer`.

    Notes
    -----
    Forward, training: output = a * (inputs where mask is 1, else low) + b, each mask element 1
    with probability q = 1 - rate; low = -scale * alpha of SELU,
    a = (q + low**2 * q * (1 - q))**(-1/2), b = -a * (1 - q) * low. Otherwise output = inputs.

    Backward: dinputs = a * dvalues where mask is 1, else 0.

    Source: Klambauer et al. 2017, *Self-Normalizing Neural Networks*, section 3, "New Dropout
    Technique".
    """

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        if not training:
            return inputs
        kept = self.draw_bits(inputs, tuple(inputs.shape)) >= self.threshold
        low, q = -SELU_SCALE * SELU_ALPHA, 1 - self.rate
        a = (q + low**2 * q * (1 - q)) ** -0.5
        b = -a * (1 - q) * low
        output: Array = xp.where(kept, a * inputs + b, a * low + b)
        self.keep(output, kept, a)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, kept, a = self.recall(dvalues)
        self.dinputs = xp.where(kept, a * dvalues, 0.0)
        return self.dinputs
