"""A model: layers one after the other."""

from __future__ import annotations

from typing import Any

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, host_generator
from nnfs_xp.errors import ArgumentError, ShapeError
from nnfs_xp.layers import summary
from nnfs_xp.layers.base import Layer


class Sequential(Layer):
    """Layers in a row, each taking the output of the one before. Is itself a layer.

    All parameters of the layers move into one buffer of the model's own, with their values.

    Parameters
    ----------
    *layers : Layer
        At least one, each its own object.
    seed : int, optional
        Draws all parameters anew, from one generator, layer by layer. Without it the layers
        keep those that they have.

    Raises
    ------
    ShapeError
        A layer cannot take the output of the one before it.
    DTypeError
        The layers differ in the data type of their parameters.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> model = nn.Sequential(nn.Dense(64, 32), nn.ReLU(), nn.Dense(32, 10), seed=0)
    >>> sorted(model.parameters())
    ['0.biases', '0.weights', '2.biases', '2.weights']
    """

    def __init__(self, *layers: Layer, seed: int | None = None) -> None:
        super().__init__()
        if not layers:
            raise ArgumentError("Sequential needs at least one layer.")
        for layer in layers:
            if not isinstance(layer, Layer):
                raise ArgumentError(f"Sequential takes layers; got {layer!r}.")
        self.children = layers
        self._check_chain()
        if any(layer._shapes for _, layer in self.walk()):
            backend = self._gather().backend
            for _, layer in self.walk():
                layer.settle(backend)
        if seed is not None:
            self.initialize(host_generator(seed))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in order."""
        return self.children

    @property
    def backend(self) -> Backend | None:
        with_parameters = (layer for _, layer in self.walk() if layer._shapes)
        first = next(with_parameters, None)
        return self._place if first is None else first.backend

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        for layer in self.children:
            shape = layer.input_shape
            if shape is not None:
                return shape
            if type(layer).output_shape is not Layer.output_shape:
                return None  # what comes out of this layer tells nothing of what goes in
        return None

    def forward(self, inputs: Array, training: bool = False) -> Array:
        for layer in self.children:
            inputs = layer.forward(inputs, training)
        return inputs

    def backward(self, dvalues: Array) -> Array:
        for layer in reversed(self.children):
            dvalues = layer.backward(dvalues)
        self.dinputs = dvalues
        return dvalues

    def backward_parameters(self, dvalues: Array) -> None:
        for layer in reversed(self.children[1:]):
            dvalues = layer.backward(dvalues)
        self.children[0].backward_parameters(dvalues)

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

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        for layer in self.children:
            input_shape = layer.output_shape(input_shape)
        return input_shape

    def child_input_shapes(
        self, input_shape: tuple[int, ...] | None
    ) -> list[tuple[int, ...] | None]:
        shapes = []
        for layer in self.children:
            input_shape = layer.input_shape if input_shape is None else input_shape
            shapes.append(input_shape)
            input_shape = None if input_shape is None else layer.output_shape(input_shape)
        return shapes

    def summary(self) -> str:
        """A table of the layers: place, name, shape of the output, parameters and their memory.

        The layers within a layer follow it, indented; its own row counts their parameters too.
        """
        return summary.text(self)

    def _repr_html_(self) -> str:
        """The same table, for a notebook."""
        return summary.html(self)

    def _check_chain(self) -> None:
        ids = [id(layer) for _, layer in self.walk()]
        if len(set(ids)) < len(ids):
            raise ArgumentError(
                "the same layer object appears twice in the model; make one for each place."
            )
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
