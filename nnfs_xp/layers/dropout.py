"""Dropout: neurons are silenced at random while training."""

from __future__ import annotations

from typing import Any

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.kernels.standard import BITS
from nnfs_xp.layers.stochastic import StochasticLayer


class Dropout(StochasticLayer):
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

    def __init__(self, rate: float, *, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self.rate = _checks.check_range("rate", rate, 0, 1)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        if not training:
            return inputs
        kept = self.draw_bits(inputs, tuple(inputs.shape)) >= round(self.rate * 2**BITS)
        scale = 1 / (1 - self.rate)
        output: Array = xp.where(kept, inputs * scale, 0.0)
        self.keep(output, kept, scale)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, kept, scale = self.recall(dvalues)
        self.dinputs = xp.where(kept, dvalues * scale, 0.0)
        return self.dinputs

    def config(self) -> dict[str, Any]:
        return {"rate": self.rate}
