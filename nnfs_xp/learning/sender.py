"""Gradients that are summed over the processes while the backward pass goes on."""

from __future__ import annotations

from nnfs_xp.distributed import Group
from nnfs_xp.flat_parameters import FlatParameters
from nnfs_xp.layers import Layer
from nnfs_xp.layers.stages import Stage

LEAST = 2**22
"""Bytes of gradients that are worth a sum of their own: below, the time until it begins counts."""


class Sender:
    """Sends the gradients of each stage when they are there, in the order of the backward pass.

    In the flat buffer weights lie before biases, each in the order of the layers; so a stage
    frees two places, which touch those of the stage behind it. Places that touch are sent as one.

    Parameters
    ----------
    group : Group
    flat : FlatParameters
    """

    def __init__(self, group: Group, flat: FlatParameters) -> None:
        self._group = group
        self._flat = flat
        self._ready: list[slice] = []

    def __call__(self, stage: Stage) -> None:
        """Note that the gradients of a stage are there."""
        for layer in _layers_of(stage):
            self._ready += self._flat.places_of(layer)
        self._ready = _joined(self._ready)
        size = self._flat.gradients.dtype.itemsize
        for place in [each for each in self._ready if (each.stop - each.start) * size >= LEAST]:
            self._ready.remove(place)
            self._group.begin_add(self._flat.gradients[place])

    def finish(self) -> None:
        """Send the rest, and have further work wait until all has been summed."""
        for place in self._ready:
            self._group.begin_add(self._flat.gradients[place])
        self._ready = []
        self._group.finish_adds()


def _layers_of(stage: Stage) -> list[Layer]:
    layers: list[Layer] = []

    def note(layer: Layer) -> Layer:
        layers.extend(each for _, each in layer.walk())
        return layer

    stage.on(note)
    return layers


def _joined(places: list[slice]) -> list[slice]:
    """The places in order, those that touch as one."""
    joined: list[slice] = []
    for place in sorted(places, key=lambda each: each.start):
        if joined and joined[-1].stop >= place.start:
            joined[-1] = slice(joined[-1].start, max(joined[-1].stop, place.stop))
        else:
            joined.append(place)
    return joined
