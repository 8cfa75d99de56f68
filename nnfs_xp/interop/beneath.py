"""What a model comes to beneath what only wraps it: for the ways into other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import Layer

_Method = TypeVar("_Method", bound=Callable[..., Any])


class HasNetwork(Protocol):
    """A model that holds its layers in one: `nnfs_xp.book.Model` does."""

    @property
    def network(self) -> Layer: ...


def layer_of(model: Layer | HasNetwork, name: str = "model") -> Layer:
    """The layer that computes what the model does: the model, or its `network` if it has one.

    Parameters
    ----------
    model : Layer, or nnfs_xp.book.Model
    name : str
        What the argument is called.

    Raises
    ------
    ArgumentError
        There is no layer.
    """
    layer = model if isinstance(model, Layer) else getattr(model, "network", None)
    if not isinstance(layer, Layer):
        raise ArgumentError(f"`{name}` must be a layer of nnfs_xp; got {shown(model)}.")
    return layer


def hands_on(method: _Method) -> _Method:
    """Mark a method that computes what that of the next class in the order of inheritance does.

    It may take more kinds of arguments, and keep more. Without training it gives the same numbers.
    """
    method._hands_on = True  # type: ignore[attr-defined] # functions take any attribute
    return method


def class_among(
    classes: Mapping[type[Layer], Any], layer: Layer, *methods: str
) -> type[Layer] | None:
    """Which of the classes the layer is of, having the same methods; None if none.

    Methods that are marked by `hands_on` count for those that they hand on to.
    """
    for each in type(layer).__mro__:
        if each in classes:
            same = all(_beneath(type(layer), name) is _beneath(each, name) for name in methods)
            return each if same else None
    return None


def _beneath(kind: type[Layer], name: str) -> Any:
    """The method of that name, or the one that it hands on to."""
    methods = (vars(each)[name] for each in kind.__mro__ if name in vars(each))
    return next(method for method in methods if not getattr(method, "_hands_on", False))
