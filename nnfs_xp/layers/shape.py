"""Layers that change the shape of samples and no value."""

from __future__ import annotations

from math import prod

from nnfs_xp._typing import Array
from nnfs_xp.layers.base import Layer, Shape
from nnfs_xp.layers.footprint import Footprint


class Flatten(Layer):
    """Lays out each sample as one row of features, the last axis fastest.

    Notes
    -----
    Forward: output = inputs in shape (batch, features), from (batch, ...).

    Backward: dinputs = dvalues in the inputs' shape.
    """

    footprint = Footprint(
        keeps_inputs=False, keeps_output=False, makes_output=False, makes_dinputs=False, room=0
    )

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        shape = tuple(inputs.shape)
        output: Array = xp.reshape(inputs, (shape[0], prod(shape[1:])))
        if training:
            self.keep(output, shape)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, shape = self.recall(dvalues)
        self.dinputs = xp.reshape(dvalues, shape)
        return self.dinputs

    def output_shape(self, input_shape: Shape) -> Shape:
        known = [axis for axis in input_shape if axis is not None]
        return (prod(known) if len(known) == len(input_shape) else None,)
