"""Layers that run one after the other, and the one walk through them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nnfs_xp._typing import Array
from nnfs_xp.backend import as_dense
from nnfs_xp.layers.stages import Stage, fused


class Pass(NamedTuple):
    """What went through a layer.

    Attributes
    ----------
    layer : Stage
    inputs, output : array
    dvalues, dinputs : array or None
        None where there was no backward pass.
    """

    layer: Stage
    inputs: Array
    output: Array
    dvalues: Array | None = None
    dinputs: Array | None = None


class Chain:
    """Layers that run one after the other.

    Parameters
    ----------
    layers : sequence of Stage
    fuse : bool
        Whether layers that can run as one do. Without it each layer runs alone, by the methods
        that its class shows.
    keeps_dinputs : bool
        Whether each layer is to have its `dinputs` after a backward pass.

    Attributes
    ----------
    layers : tuple of Stage
    stages : tuple of Stage
        What runs: layers, and what stands for several of them.
    """

    def __init__(
        self, layers: Sequence[Stage], *, fuse: bool = True, keeps_dinputs: bool = True
    ) -> None:
        self.layers = tuple(layers)
        self.stages = fused(layers, keeps_dinputs=keeps_dinputs) if fuse else self.layers

    def forward(self, inputs: Array, training: bool = False) -> Array:
        """The output of the last stage."""
        inputs = self._taken(inputs)
        for stage in self.stages:
            inputs = stage.forward(inputs, training)
        return inputs

    def _taken(self, inputs: Array) -> Array:
        """The inputs, dense unless the first layer takes sparse ones."""
        takes_sparse = self.stages and getattr(self.stages[0], "takes_sparse", False)
        return inputs if takes_sparse else as_dense(inputs)

    def backward(self, dvalues: Array) -> Array:
        """The gradient of the inputs, given that of the output. Sets all parameters' gradients."""
        for stage in reversed(self.stages):
            dvalues = stage.backward(dvalues)
        return dvalues

    def backward_parameters(
        self, dvalues: Array, first: int = 0, after: Callable[[Stage], None] | None = None
    ) -> None:
        """Set the parameters' gradients, from the last stage back to the one numbered `first`.

        The gradient of that one's inputs is left out. `after` is called with each stage whose
        gradients are there.
        """
        for stage in reversed(self.stages[first + 1 :]):
            dvalues = stage.backward(dvalues)
            if after is not None:
                after(stage)
        self.stages[first].backward_parameters(dvalues)
        if after is not None:
            after(self.stages[first])

    @property
    def first_trained(self) -> int | None:
        """The number of the first stage that has a parameter that is trained; None if none has."""
        return next((n for n, stage in enumerate(self.stages) if stage.trained), None)

    def trace(self, inputs: Array, gradient: Callable[[Array], Array] | None = None) -> list[Pass]:
        """Run the layers one by one, none fused, and keep what goes into and out of each.

        Parameters
        ----------
        inputs : array
            What goes into the first layer.
        gradient : callable (output) -> dvalues, optional
            The gradient of the last layer's output: `Loss.backward` with its targets, for
            example. With it the forward pass is one of training, and a backward pass follows.
            Without it there is one pass of inference.
        """
        training = gradient is not None
        passes = []
        inputs = self._taken(inputs)
        for layer in self.layers:
            output = layer.forward(inputs, training)
            passes.append(Pass(layer, inputs, output))
            inputs = output
        if gradient is None:
            return passes
        dvalues = gradient(inputs)
        for index, each in reversed(list(enumerate(passes))):
            dinputs = each.layer.backward(dvalues)
            passes[index] = each._replace(dvalues=dvalues, dinputs=dinputs)
            dvalues = dinputs
        return passes
