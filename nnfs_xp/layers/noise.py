"""Noise: inputs are shaken while training, so that a network relies on none too exactly."""

from __future__ import annotations

from math import pi

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.kernels.standard import BITS
from nnfs_xp.layers.footprint import Footprint
from nnfs_xp.layers.stochastic import StochasticLayer


class GaussianNoise(StochasticLayer):
    """Adds normal noise of mean 0 to its inputs in training.

    Parameters
    ----------
    deviation : float
        The noise's standard deviation.
    seed : int, optional
        Of the noise: see `StochasticLayer`.

    Notes
    -----
    Forward, training: output = inputs + deviation * noise, where
    noise = sqrt(-2 * log(u)) * cos(2π * v) for u and v uniform in (0, 1] and [0, 1), multiples
    of 2**-24, so that no noise is beyond ±5.8 deviations. Otherwise output = inputs.

    Backward: dinputs = dvalues.

    Source: Bishop 1995, *Training with Noise is Equivalent to Tikhonov Regularization*; Box and
    Muller 1958, *A Note on the Generation of Random Normal Deviates*, equation 1.
    """

    elementwise = True
    footprint = Footprint(keeps_inputs=False, keeps_output=False, makes_dinputs=False, room=8)

    def __init__(self, deviation: float, *, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self.deviation = _checks.check_range("deviation", deviation, 0)

    def silence(self) -> None:
        self.deviation = 0.0

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        if not training:
            return inputs
        bits = xp.astype(self.draw_bits(inputs, (2, *inputs.shape)), inputs.dtype)
        u, v = (bits[0, ...] + 1) * 2.0**-BITS, bits[1, ...] * 2.0**-BITS
        noise = xp.sqrt(-2 * xp.log(u)) * xp.cos(2 * pi * v)
        output: Array = inputs + self.deviation * noise
        self.keep(output)
        return output

    def backward(self, dvalues: Array) -> Array:
        self.recall(dvalues)
        self.dinputs = dvalues
        return self.dinputs
