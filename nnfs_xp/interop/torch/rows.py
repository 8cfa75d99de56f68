"""What a row of the table of PyTorch's modules is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.torch.modules import class_named
from nnfs_xp.interop.translation import Wanted
from nnfs_xp.layers import Layer


class Place(NamedTuple):
    """Where a tensor of PyTorch's lies in a layer of ours, and how.

    Attributes
    ----------
    name : str
        Of the parameter or buffer.
    theirs, ours : callable
        Lay it out as there, and as here.
    along : int, optional
        The axis of ours along which the features of the layer's inputs lie.
    """

    name: str
    theirs: Callable[[Any], Any]
    ours: Callable[[Any], Any]
    along: int | None = None


class Row(NamedTuple):
    """A layer, its module, and how each is made from the other.

    Attributes
    ----------
    ours : type of Layer
    theirs : str
        The name of the module, in `torch.nn` or in `nnfs_xp.interop.torch.modules`. Rows that
        share one also share `read`.
    read : callable
        Takes the module and what is wanted; returns the layer, without the module's weights.
    write : callable
        Takes `torch.nn` and the layer; returns the module, without the layer's weights.
    note : str
        What differs, for readers of the documentation, in Markdown.
    weights : mapping of str to Place
        All parameters and buffers, by PyTorch's names.
    counter : str, optional
        The name of a tensor of PyTorch's that counts batches, and that no layer here needs.
    differs_in_training : bool
        Whether the module computes something else in training than in evaluation.
    also : tuple of str
        The names of modules that are read as well, or written where the layout asks for them.
    layout : Fits, optional
        How the module goes with the channels first: see `nnfs_xp.interop.torch.layouts`. By
        default it takes the features last and nothing else.
    """

    ours: type[Layer]
    theirs: str
    read: Callable[[Any, Wanted], Layer]
    write: Callable[[Any, Any], Any]
    note: str = ""
    weights: Mapping[str, Place] = MappingProxyType({})
    counter: str | None = None
    differs_in_training: bool = False
    also: tuple[str, ...] = ()
    layout: Fits | None = None


class Fits(NamedTuple):
    """How a layer goes with pictures and sequences whose channels come first there.

    Attributes
    ----------
    wants_first : bool
        Whether its module takes the channels first, so that a model of such layers does.
    first : callable or None
        Takes the module and the number of axes between batch and channels; makes it one that
        takes the channels first, and returns that. None where there is none.
    last : callable or None
        The same for one that takes them last, as layers here do. None where there is none: then
        it does the same as the layer for rows, and among modules that take the channels first.
    flat : {"keeps", "ends", None}
        What it does with rows of features that lie channel by channel there, and place by place
        here, as behind a `torch.nn.Flatten`: pass them on as they lie, or take each by its own
        weights, so that their order ends. None where it can neither.
    leaves : {"same", "row"}
        Whether its outputs have the channels where its inputs have them, or are rows.
    """

    wants_first: bool = False
    first: Callable[[Any, int], Any] | None = None
    last: Callable[[Any, int], Any] | None = None
    flat: str | None = None
    leaves: str = "same"


class Container(NamedTuple):
    """A layer made of layers, the name of its module, and what differs."""

    ours: type[Layer]
    theirs: str
    note: str


def as_is(module: Any, n_axes: int) -> Any:
    """The module, where it does not ask where the channels are."""
    del n_axes
    return module


def turned_into(name: str, **attributes: Any) -> Callable[[Any, int], Any]:
    """Make a module one of a class here that derives from its own, and adds its forward."""

    def turn(module: Any, n_axes: int) -> Any:
        del n_axes
        module.__class__ = class_named(name)
        vars(module).update(attributes)
        return module

    return turn


ANYWHERE = Fits(first=as_is, last=as_is, flat="keeps")
"""Each number for itself: the layout is all the same."""


def alike(
    ours: type[Layer],
    theirs: str,
    settings: Mapping[str, str] = MappingProxyType({}),
    **others: Any,
) -> Row:
    """A row with the same settings: the names of ours, and what the module calls them."""

    def read(module: Any, _: Wanted) -> Layer:
        return ours(**{name: getattr(module, other) for name, other in settings.items()})

    def write(_: Any, layer: Any) -> Any:
        values = {other: getattr(layer, name) for name, other in settings.items()}
        return class_named(theirs)(**values)

    return Row(ours, theirs, read, write, **{"layout": ANYWHERE, **others})


def vector(name: str, along: int | None = None) -> Place:
    """A row here, (1, n), and a vector there."""
    return Place(name, lambda row: row[0], lambda vector: vector[None, :], along)


def as_it_is(name: str) -> Place:
    """The same shape in both."""
    return Place(name, np.asarray, np.asarray)


def check_present(module: Any, *names: str) -> None:
    """Refuse a module without an attribute that each of its kind has."""
    for name in names:
        if getattr(module, name) is None:
            raise ArgumentError(f"its `{name}` is None.")


def scale_and_center(module: Any, wanted: Wanted) -> dict[str, bool]:
    """Whether a normalization has its scale and its shift, or is to get them."""
    parameters = module._parameters
    return {
        "scale": parameters.get("weight") is not None or wanted.add_parameters,
        "center": parameters.get("bias") is not None or wanted.add_parameters,
    }


def without(module: Any, layer: Any) -> Any:
    """The module of a normalization without the scale or the shift that the layer lacks.

    PyTorch takes both or neither: in the place of one, the module has constants, which are no
    parameters and in no state dict. `set_constants` fills them.
    """
    if layer.scale != layer.center:
        name = "bias" if layer.scale else "weight"
        constants = module._parameters.pop(name).detach()
        module.register_buffer(name, constants, persistent=False)
    return module


def set_constants(module: Any) -> None:
    """Set the scales to 1 and the shifts to 0 that are constants in all modules within."""
    for each in module.modules():
        for name in each._non_persistent_buffers_set:
            each.get_buffer(name).fill_(float(name == "weight"))
