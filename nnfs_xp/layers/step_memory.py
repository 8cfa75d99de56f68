"""What a training step needs of a device's memory for each sample, before it runs."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan
from typing import Any, NamedTuple

from nnfs_xp.layers.base import Layer
from nnfs_xp.layers.chain import Chain
from nnfs_xp.layers.footprint import Need, Sizes, held_by


class StepMemory(NamedTuple):
    """Bytes of a sample in a training step; NaN where shapes are not known.

    Attributes
    ----------
    layers : dict from the layers' ids to float
        What is held of each layer alone: its output, if it is needed again, what it keeps for
        `backward` beside, and its `dinputs`.
    inputs : float
        The sample itself.
    room : float
        The gradient of the model's output, and what is worked in.
    """

    layers: dict[int, float]
    inputs: float
    room: float

    def of(self, layer: Layer) -> float:
        """What is held of a layer and of all within it."""
        return sum(self.layers.get(id(each), 0.0) for _, each in layer.walk())

    @property
    def known(self) -> bool:
        """Whether all shapes are known."""
        return not any(map(isnan, (*self.layers.values(), self.inputs, self.room)))

    @property
    def held(self) -> float:
        """What is held of all layers whose shapes are known."""
        return _sum(self.layers.values())

    @property
    def total(self) -> float:
        """All of it, as far as shapes are known."""
        return _sum((self.held, self.inputs, self.room))


def step_memory(model: Layer) -> StepMemory:
    """What a training step needs for each sample, the layers run as a `Trainer` runs them.

    Parameters, their gradients, the optimizer's state and targets are left out.
    """
    sizes = Sizes(model.shapes_within(model.input_shape), number_bytes(model))
    links, output, loss_room = model.links(), sizes.output(model), 1
    if len(links) > 1 and links[-1].footprint.loss_room is not None:
        loss_room, links = links[-1].footprint.loss_room, links[:-1]
    chain = Chain(links, fuse=getattr(model, "fuse", True), keeps_dinputs=False)
    stages: tuple[Any, ...] = chain.stages  # a Stage in half precision has no `_held`
    held = held_by(stages, sizes, Need(dinputs=False), chain.first_trained or 0)
    running = [layer for link in links for _, layer in link.walk()]
    # Loss and layers work one after the other, so that what most is worked in has room for all.
    rooms = [loss_room * output, *(la.footprint.room * sizes.output(la) for la in running)]
    room = output + max((each for each in rooms if not isnan(each)), default=0.0)
    return StepMemory(dict(held.layers), sizes.inputs(model), room)


def number_bytes(model: Layer) -> int:
    """Bytes of a number in the model's data type; of float32 if it has no parameters."""
    return 8 if any(layer.dtype == "float64" for _, layer in model.walk()) else 4


def _sum(values: Iterable[float]) -> float:
    return sum(value for value in values if not isnan(value))
