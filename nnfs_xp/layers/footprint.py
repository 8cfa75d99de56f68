"""What a training step holds of each layer in memory, known before it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import nan, prod
from typing import Any, NamedTuple, Protocol

from nnfs_xp.errors import ShapeError


class Footprint(NamedTuple):
    """Which arrays of a layer a training step makes, and holds until the next one.

    Attributes
    ----------
    keeps_inputs, keeps_output : bool
        Whether `backward` needs them.
    makes_output, makes_dinputs : bool
        Whether they are arrays of their own, and not the inputs or `dvalues` again.
    room : int
        Arrays of the output's size that it works in beside, while it runs: also results that
        take the place of those of the step before.
    loss_room : int, optional
        Where it is a model's last layer, and the loss that goes with it computes it too: the
        arrays that this works in beside its gradient.
    """

    keeps_inputs: bool = True
    keeps_output: bool = True
    makes_output: bool = True
    makes_dinputs: bool = True
    room: int = 3
    loss_room: int | None = None


class Need(NamedTuple):
    """What a step asks of a stage.

    Attributes
    ----------
    output : bool
        Whether what follows keeps the output.
    backward : bool
        Whether there is a backward pass.
    dinputs : bool
        Whether that has to give the gradient of the inputs.
    """

    output: bool = True
    backward: bool = True
    dinputs: bool = True


class Held(NamedTuple):
    """What a step holds of a stage.

    Attributes
    ----------
    layers : mapping from the layers' ids to float
        Bytes of a sample, of each layer alone; NaN where its shape is not known.
    keeps_inputs : bool
        Whether the stage's inputs are held by it.
    """

    layers: Mapping[int, float]
    keeps_inputs: bool


class _Shaped(Protocol):
    def output_shape(self, input_shape: tuple[Any, ...], /) -> tuple[Any, ...]: ...


class Sizes:
    """What the layers of a model take and give.

    Parameters
    ----------
    shapes : iterable of pairs
        From `Layer.shapes_within`: layers, and the shape of one sample that each takes.
    n_bytes : int
        Of a number.
    """

    def __init__(self, shapes: Iterable[tuple[Any, tuple[Any, ...]]], n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self._taken = {id(layer): shape for layer, shape in shapes}

    def shape(self, layer: _Shaped) -> tuple[int, ...] | None:
        """The shape of one sample that the layer takes; None where an axis is not known."""
        shape = self._taken[id(layer)]
        return None if not shape or None in shape else shape

    def inputs(self, layer: _Shaped) -> float:
        """Bytes of a sample that the layer takes."""
        return self._bytes(self.shape(layer))

    def output(self, layer: _Shaped) -> float:
        """Bytes of a sample that the layer gives."""
        shape = self.shape(layer)
        try:
            return self._bytes(None if shape is None else layer.output_shape(shape))
        except (ShapeError, TypeError):  # of a container that does not say what its children take
            return nan

    def _bytes(self, shape: tuple[Any, ...] | None) -> float:
        return nan if shape is None or None in shape else self.n_bytes * prod(shape)


def held_by(stages: Iterable[Any], sizes: Sizes, need: Need, first: int = 0) -> Held:
    """What a step holds of stages that run one after the other.

    Parameters
    ----------
    stages : sequence of Stage
        Each a layer, or what stands for several.
    sizes : Sizes
    need : Need
        Of them all.
    first : int
        The number of the stage at which the backward pass ends.
    """
    layers: dict[int, float] = {}
    keeps = need.output
    for index, stage in reversed(list(enumerate(stages))):
        backward = need.backward and index >= first
        dinputs = backward and (need.dinputs or index > first)
        held = stage._held(sizes, Need(keeps, backward, dinputs))
        layers |= held.layers
        keeps = held.keeps_inputs
    return Held(layers, keeps)
