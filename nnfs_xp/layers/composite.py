"""What layers made of layers share: one buffer for the parameters of all, and one chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, host_generator
from nnfs_xp.errors import ArgumentError, ShapeError
from nnfs_xp.initializers import Initializer, glorot_uniform
from nnfs_xp.layers.base import Layer
from nnfs_xp.layers.chain import Chain
from nnfs_xp.layers.stages import Stage


class Composite(Layer):
    """Base class of the layers made of layers.

    All parameters of the layers move into one buffer of the composite's own, with their values.

    Parameters
    ----------
    *layers : Layer
        At least one, each its own object.
    seed : int, optional
        Draws all parameters anew, from one generator, layer by layer. Without it the layers
        keep those that they have.
    fuse : bool
        Whether layers that can run as one do: the same numbers in fewer passes. False has each
        layer run alone, in the layers within too, by the methods that its class shows.

    Raises
    ------
    ArgumentError
        There is no layer, or something else than layers, or a layer twice.
    ShapeError
        The layers do not fit together.
    DTypeError
        The layers differ in the data type of their parameters.
    """

    def __init__(self, *layers: Layer, seed: int | None = None, fuse: bool = True) -> None:
        super().__init__()
        if not layers:
            raise ArgumentError(f"{type(self).__name__} needs at least one layer.")
        for layer in layers:
            if not isinstance(layer, Layer):
                raise ArgumentError(f"{type(self).__name__} takes layers; got {layer!r}.")
        self.children = layers
        ids = [id(layer) for _, layer in self.walk()]
        if len(set(ids)) < len(ids):
            raise ArgumentError(
                "the same layer object appears twice in the model; make one for each place."
            )
        self.check_fit()
        if any(layer._shapes for _, layer in self.walk()):
            backend = self._gather().backend
            for _, layer in self.walk():
                layer.place_on(backend)
        if seed is not None:
            self.adopt_initializer(glorot_uniform)
            self.initialize(host_generator(seed))
        self.fuse = True
        if fuse:
            self.join(layers)
        else:
            self.run_fused(False)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in order."""
        return self.children

    @property
    def backend(self) -> Backend | None:
        with_parameters = (layer for _, layer in self.walk() if layer._shapes)
        first = next(with_parameters, None)
        return self._place if first is None else first.backend

    def check_fit(self) -> None:
        """Refuse layers whose shapes do not fit together, as far as they are known."""
        raise NotImplementedError

    def join(self, stages: Sequence[Stage]) -> None:
        """Run these stages in the place of the layers; at first they are the layers themselves.

        For a class that works in half precision, or has layers that can run as one.
        """

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What runs: the layers, or several of them as one."""
        return self.children

    def run_fused(self, wanted: bool) -> None:
        """Have the layers, and those within them, run as one where they can, or each alone."""
        for _, layer in self.walk():
            if isinstance(layer, Composite):
                layer.fuse = wanted
                layer.join(layer.children)

    def initialize(self, generator: Any) -> None:
        for layer in self.children:
            layer.initialize(generator)

    def regularization_loss(self) -> Array | None:
        penalty: Array | None = None
        for layer in self.children:
            term = layer.regularization_loss()
            if term is not None:
                penalty = term if penalty is None else penalty + term
        return penalty


class Stack(Composite):
    """Base class of the layers made of layers one behind the other, which run as a `Chain`."""

    works_in_half = True

    def join(self, stages: Sequence[Stage]) -> None:
        self._chain = Chain(stages, fuse=self.fuse)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self._chain.stages

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        for layer in self.children:
            shape = layer.input_shape
            if shape is not None:
                return shape
            if type(layer).output_shape is not Layer.output_shape:
                return None  # what comes out of this layer tells nothing of what goes in
        return None

    def child_input_shapes(
        self, input_shape: tuple[int, ...] | None
    ) -> list[tuple[int, ...] | None]:
        shapes = []
        for layer in self.children:
            input_shape = layer.input_shape if input_shape is None else input_shape
            shapes.append(input_shape)
            input_shape = None if input_shape is None else layer.output_shape(input_shape)
        return shapes

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        for layer in self.children:
            input_shape = layer.output_shape(input_shape)
        return input_shape

    def forward(self, inputs: Array, training: bool = False) -> Array:
        return self._chain.forward(inputs, training)

    def backward(self, dvalues: Array) -> Array:
        self.dinputs = self._chain.backward(dvalues)
        return self.dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        self._chain.backward_parameters(dvalues)

    def adopt_initializer(self, following: Initializer) -> Initializer:
        for layer in reversed(self.children):
            following = layer.adopt_initializer(following)
        return following

    def check_values(self, inputs: Array) -> None:
        self.children[0].check_values(inputs)

    def check_fit(self) -> None:
        shape: tuple[int, ...] | None = None
        for index, layer in enumerate(self.children):
            if shape is None:
                shape = layer.input_shape
            if shape is not None:
                try:
                    shape = layer.output_shape(shape)
                except ShapeError as error:
                    raise ShapeError(
                        f"layer {index} does not fit the one before it: {error}"
                    ) from None
