"""What layers made of layers share: one buffer for the parameters of all, and one chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from nnfs_xp._checks import check_sample_shape
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, backend_of, host_generator
from nnfs_xp.errors import ArgumentError, ShapeError
from nnfs_xp.initializers import Initializer, glorot_uniform
from nnfs_xp.layers.base import Layer, Shape
from nnfs_xp.layers.chain import Chain
from nnfs_xp.layers.footprint import Footprint, Held, Need, Sizes, held_by
from nnfs_xp.layers.stages import Stage
from nnfs_xp.parameters import Options


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
    input_shape : tuple of int, optional
        The shape of one sample, where the first layer does not tell it; None for an axis of any
        length. All layers are then checked to fit it.
    **options
        `trainable`, `weight_decay` and `learning_rate_scale`, for all layers within: see `Layer`.

    Raises
    ------
    ArgumentError
        There is no layer, or something else than layers, or a layer twice.
    ShapeError
        The layers do not fit together.
    DTypeError
        The layers differ in the data type of their parameters.
    """

    def __init__(
        self,
        *layers: Layer,
        seed: int | None = None,
        fuse: bool = True,
        input_shape: Shape | int | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__()
        if not layers:
            raise ArgumentError(f"{type(self).__name__} needs at least one layer.")
        for layer in layers:
            if not isinstance(layer, Layer):
                hint = " Write * in front of a list of layers." if isinstance(layer, list) else ""
                raise ArgumentError(f"{type(self).__name__} takes layers; got {layer!r}.{hint}")
        self.children = layers
        ids = [id(layer) for _, layer in self.walk()]
        if len(set(ids)) < len(ids):
            raise ArgumentError(
                "the same layer object appears twice in the model; make one for each place."
            )
        self._input_shape = None if input_shape is None else check_sample_shape(input_shape)
        self.says_input_shape = input_shape is not None
        self.check_fit()
        if options:
            self.set_options(**options)
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
        if self._shapes:
            return super().backend
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

    def config(self) -> dict[str, Any]:
        config = super().config() | {"input_shape": self._input_shape}
        return {name: value for name, value in config.items() if value is not None}

    def sum_ties(self) -> None:
        """Add up the gradients of tied parameters, if this is the whole model: for `backward`."""
        if self._flat is not None and self._flat.owner is self:
            self._flat.sum_ties(with_penalties=not self._flat.penalties_wait)

    def gather_ties(self) -> None:
        """Gather tied parameters that were parted, as where one layer was stepped by itself."""
        if self._flat is not None and self._flat.owner is self and self._flat.has_lost_ties:
            self._gather()


class Stack(Composite):
    """Base class of the layers made of layers one behind the other, which run as a `Chain`."""

    works_in_half = True
    footprint = Footprint(room=0)

    def join(self, stages: Sequence[Stage]) -> None:
        self._chain = Chain(stages, fuse=self.fuse)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self._chain.stages

    @property
    def input_shape(self) -> Shape | None:
        if self._input_shape is not None:
            return self._input_shape
        for index, layer in enumerate(self.children):
            shape = layer.input_shape
            if shape is not None:
                return _with_places(shape, self.children[index:])
            if type(layer).output_shape is not Layer.output_shape:
                return None  # what comes out of this layer tells nothing of what goes in
        return None

    def child_input_shapes(self, input_shape: Shape | None) -> list[Shape | None]:
        shapes = []
        for layer in self.children:
            input_shape = layer.input_shape if input_shape is None else input_shape
            shapes.append(input_shape)
            input_shape = _after(layer, input_shape)
        return shapes

    def output_shape(self, input_shape: Shape) -> Shape:
        for layer in self.children:
            input_shape = layer.output_shape(input_shape)
        return input_shape

    def _held(self, sizes: Sizes, need: Need) -> Held:
        held = held_by(self.stages, sizes, need)
        return Held({id(self): 0.0, **held.layers}, held.keeps_inputs)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        return self._chain.forward(inputs, training)

    def backward(self, dvalues: Array) -> Array:
        self.gather_ties()
        self.dinputs = self._chain.backward(dvalues)
        self.sum_ties()
        return self.dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        self.gather_ties()
        self._chain.backward_parameters(dvalues)
        self.sum_ties()

    def adopt_initializer(self, following: Initializer) -> Initializer:
        for layer in reversed(self.children):
            following = layer.adopt_initializer(following)
        return following

    def initialize_from(self, inputs: Array, generator: Any) -> Array:
        passed = inputs
        for layer in self.children:
            passed = layer.initialize_from(passed, generator)
        return self.forward(inputs)

    def check_values(self, inputs: Array) -> None:
        looking = [place for place, layer in enumerate(self.children) if _looks_at_values(layer)]
        for place, layer in enumerate(self.children[: looking[-1] + 1] if looking else ()):
            layer.check_values(inputs)
            if not layer.passes_values or place == looking[-1]:
                return
            home = layer.backend or backend_of(inputs)  # of a source's batches, not theirs
            inputs = layer.forward(home.asarray(inputs))

    def check_fit(self) -> None:
        shape = self._input_shape
        for index, layer in enumerate(self.children):
            if shape is None and layer.input_shape is not None:
                shape = _with_places(layer.input_shape, self.children[index:])
            try:
                shape = _after(layer, shape)
            except ShapeError as error:
                assert shape is not None
                raise ShapeError(self._misfit(index, shape, str(error))) from None

    def _misfit(self, index: int, shape: Shape, error: str) -> str:
        if index == 0:
            return f"layer 0 does not fit `input_shape`: {error}"
        hint = ""
        if not self.says_input_shape and len(shape) == 1:  # taken for rows, which they may not be
            hint = " Where samples are no rows, say their shape: input_shape=(…)."
        return f"layer {index} does not fit the one before it: {error}{hint}"


def _with_places(shape: Shape, layers: Sequence[Layer]) -> Shape:
    """The shape that the first layer takes, with the axes before it that a layer behind asks for.

    The first says no more than that of a row, where it takes the last axis: a `BatchNorm` before a
    `Conv2D`, say.
    """
    taken: Shape | None = shape
    for layer in layers:
        more = (layer.input_shape or ())[: -len(shape)]
        if more and set(more) == {None}:
            return (*more, *shape)
        try:
            taken = _after(layer, taken)
        except ShapeError:
            break
        if taken is None or len(taken) != len(shape):
            break
    return shape


def _after(layer: Layer, shape: Shape | None) -> Shape | None:
    """The shape of one sample behind a layer, as far as it is known."""
    if shape is None:
        return None
    try:
        return layer.output_shape(shape)
    except TypeError:  # a layer of one's own that counts with each axis
        if None not in shape:
            raise
        return None


def _looks_at_values(layer: Layer) -> bool:
    """Whether it, or a layer within it, refuses some values: codes out of range for example."""
    leaves = (each for _, each in layer.walk() if not each.children)
    return any(type(each).check_values is not Layer.check_values for each in leaves)
