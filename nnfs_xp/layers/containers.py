"""Layers side by side: a way around some of them, and branches whose outputs are joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of
from nnfs_xp.errors import ShapeError
from nnfs_xp.initializers import Initializer
from nnfs_xp.layers.base import Shape, shapes_agree
from nnfs_xp.layers.composite import Composite, Stack
from nnfs_xp.layers.footprint import Footprint, Held, Need, Sizes
from nnfs_xp.layers.stages import Stage


class Residual(Stack):
    """Layers one behind the other, and a way around them: their output is added to their inputs.

    Parameters
    ----------
    *layers : Layer
        At least one, each its own object; together they keep the shape of a sample.
    seed : int, optional
    fuse : bool
        As in `Sequential`.

    Raises
    ------
    ShapeError
        The layers do not fit one after the other, or change the shape.

    Notes
    -----
    Forward: output = inputs + f(inputs), f being the layers one behind the other.

    Backward: dinputs = dvalues + the layers' own dinputs for dvalues.

    Source: He et al. 2016, *Deep Residual Learning for Image Recognition*, equation 1.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> block = nn.Residual(nn.Dense(8, 16), nn.ReLU(), nn.Dense(16, 8))
    >>> model = nn.Sequential(nn.Dense(4, 8), block, nn.Dense(8, 3), seed=0)
    >>> model.output_shape((4,))
    (3,)
    """

    works_in_half = True
    footprint = Footprint(room=2)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        change = super().forward(inputs, training)
        self._check_kept(tuple(inputs.shape[1:]), tuple(change.shape[1:]))
        return inputs + change

    def backward(self, dvalues: Array) -> Array:
        self.dinputs = dvalues + super().backward(dvalues)
        return self.dinputs

    def _held(self, sizes: Sizes, need: Need) -> Held:
        held = super()._held(sizes, need._replace(output=False))  # it is only added
        own = sizes.output(self) * (need.output + need.dinputs)
        return Held({**held.layers, id(self): own}, held.keeps_inputs)

    def output_shape(self, input_shape: Shape) -> Shape:
        self._check_kept(input_shape, super().output_shape(input_shape))
        return input_shape

    def check_fit(self) -> None:
        super().check_fit()
        shape = self.input_shape
        if shape is not None and None not in shape:
            self.output_shape(shape)

    @staticmethod
    def _check_kept(before: Shape, after: Shape) -> None:
        if not shapes_agree(before, after):
            raise ShapeError(
                f"the layers in a Residual must keep the shape of a sample; {before} became "
                f"{after}. Add a Dense layer that leads back to {before}."
            )


class Concatenate(Composite):
    """Branches that all take the same inputs; their outputs are joined side by side.

    Parameters
    ----------
    *branches : Layer
        At least one, each its own object. For several layers in a branch, use `Sequential`.
    seed : int, optional
    fuse : bool
        As in `Sequential`.

    Raises
    ------
    ShapeError
        The branches take inputs of different shapes, or their outputs cannot be joined.

    Notes
    -----
    Forward: output = the branches' outputs, concatenated along the last axis.

    Backward: each branch is given its part of dvalues; dinputs = the sum of what they return.

    Source: Szegedy et al. 2015, *Going deeper with convolutions*, figure 2.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> wide_and_deep = nn.Concatenate(
    ...     nn.Linear(), nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 2))
    ... )
    >>> wide_and_deep.output_shape((4,))
    (6,)
    """

    works_in_half = True
    footprint = Footprint(room=2)

    def join(self, stages: Sequence[Stage]) -> None:
        self._branches = tuple(stages)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        outputs = [branch.forward(inputs, training) for branch in self._branches]
        self._joined([tuple(output.shape[1:]) for output in outputs])
        output: Array = backend_of(outputs[0]).xp.concat(outputs, axis=-1)
        if training:
            self.keep(output, [part.shape[-1] for part in outputs])
        return output

    def backward(self, dvalues: Array) -> Array:
        self.gather_ties()
        parts = self._split(dvalues)
        dinputs = self._branches[0].backward(parts[0])
        for branch, part in zip(self._branches[1:], parts[1:], strict=True):
            dinputs = dinputs + branch.backward(part)
        self.dinputs = dinputs
        self.sum_ties()
        return dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        self.gather_ties()
        for branch, part in zip(self._branches, self._split(dvalues), strict=True):
            branch.backward_parameters(part)
        self.sum_ties()

    def _split(self, dvalues: Array) -> list[Array]:
        """The part of dvalues that belongs to each branch."""
        _, widths = self.recall(dvalues)
        parts, start = [], 0
        for width in widths:
            parts.append(dvalues[..., start : start + width])
            start += width
        return parts

    def _held(self, sizes: Sizes, need: Need) -> Held:
        each = [branch._held(sizes, need._replace(output=False)) for branch in self.children]
        own = sizes.output(self) if need.output else 0.0
        if need.dinputs and len(each) > 1:
            own += sizes.inputs(self)
        layers = {key: n_bytes for held in each for key, n_bytes in held.layers.items()}
        return Held({**layers, id(self): own}, any(held.keeps_inputs for held in each))

    @property
    def input_shape(self) -> Shape | None:
        if self._input_shape is not None:
            return self._input_shape
        shapes = (branch.input_shape for branch in self.children)
        return next((shape for shape in shapes if shape is not None), None)

    def output_shape(self, input_shape: Shape) -> Shape:
        return self._joined([branch.output_shape(input_shape) for branch in self.children])

    def adopt_initializer(self, following: Initializer) -> Initializer:
        before = [branch.adopt_initializer(following) for branch in self.children]
        return before[0]

    def initialize_from(self, inputs: Array, generator: Any) -> Array:
        for branch in self.children:
            branch.initialize_from(inputs, generator)
        return self.forward(inputs)

    def check_values(self, inputs: Array) -> None:
        for branch in self.children:
            branch.check_values(inputs)

    def check_fit(self) -> None:
        shape = self.input_shape
        if shape is None or None in shape:
            return
        outputs = []
        for index, branch in enumerate(self.children):
            try:
                outputs.append(branch.output_shape(shape))
            except ShapeError as error:
                raise ShapeError(f"branch {index} does not fit the others: {error}") from None
        self._joined(outputs)

    @staticmethod
    def _joined(shapes: list[Shape]) -> Shape:
        """The shape of a sample's output, given those of the branches."""
        before = shapes[0][:-1]
        if not all(shape and shapes_agree(shape[:-1], before) for shape in shapes):
            raise ShapeError(
                "outputs joined along the last axis must have the same shape but for that axis; "
                f"the branches give samples of shapes {', '.join(map(str, shapes))}."
            )
        widths = [shape[-1] for shape in shapes]
        known = [width for width in widths if width is not None]
        return (*before, sum(known) if len(known) == len(widths) else None)
