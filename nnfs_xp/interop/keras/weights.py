"""Weights in the order and the layouts of Keras' `get_weights`: needs no Keras."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.beneath import class_among
from nnfs_xp.interop.keras.layers import BY_LAYER
from nnfs_xp.interop.keras.rows import Row
from nnfs_xp.interop.translation import fitting
from nnfs_xp.layers import Layer


def weights_of(layer: Layer) -> list[np.ndarray[Any, Any]]:
    """The parameters and buffers of one layer, as Keras has them."""
    return [_theirs(layer, name) for name in _names(layer)]


def _row(layer: Layer) -> Row | None:
    kind = class_among(BY_LAYER, layer, "forward", "backward")
    return BY_LAYER[kind] if kind else None


def _names(layer: Layer) -> list[str]:
    """The names of the layer's arrays, in the order of Keras' `get_weights`."""
    row = _row(layer)
    return [name for name in (row.weights if row else ()) if _has(layer, name)]


def _part(layer: Layer, name: str) -> tuple[Layer, str]:
    """The layer within that an array belongs to, and its name there: of ``"0.weights"``, say."""
    path, _, own = name.rpartition(".")
    for number in path.split(".") if path else ():
        layer = layer.children[int(number)]
    return layer, own


def _has(layer: Layer, name: str) -> bool:
    part, own = _part(layer, name)
    return own in part._shapes or own in part._buffers


def put(layer: Layer, name: str, value: np.ndarray[Any, Any]) -> None:
    """Copy a weight of Keras' into the layer."""
    part, own = _part(layer, name)
    setattr(part, own, np.reshape(value, getattr(part, own).shape))


def _slots(layer: Layer, prefix: str = "") -> Iterator[tuple[Layer, str, str]]:
    """Each array within: the layer with a row that has it, the path of that, and the name."""
    names = _names(layer)
    own = {*layer._shapes, *layer._buffers}
    if not own.issubset(names):
        where = f"layer {prefix[:-1]}" if prefix else "the model"
        raise ArgumentError(
            f"{where} is a {type(layer).__name__}, whose weights have no counterpart in Keras."
        )
    for name in names:
        yield layer, prefix, name
    if not names:
        for n, child in enumerate(layer.children):
            yield from _slots(child, f"{prefix}{n}.")


def fill(model: Layer, weights: Sequence[Any]) -> None:
    """Put what `get_weights` gives into the model, all of it or nothing.

    Raises
    ------
    ArgumentError
        There are more or fewer arrays than the model has, or it has some that Keras has not.
    ShapeError, DTypeError
        An array does not fit; the message has its place.
    """
    slots = list(_slots(model))
    if len(slots) != len(weights):
        raise ArgumentError(
            f"the model has {len(slots)} arrays of weights; got {len(weights)}. Keras leaves out "
            "those of use_bias=False, center=False and scale=False."
        )
    values = []
    for n, ((layer, prefix, name), weight) in enumerate(zip(slots, weights, strict=True)):
        where = f"weights[{n}], for `{prefix}{name}`,"
        values.append(fitting(where, weight, _theirs(layer, name).shape, layer.dtype))
    for (layer, _, name), value in zip(slots, values, strict=True):
        put(layer, name, value)


def _theirs(layer: Layer, name: str) -> np.ndarray[Any, Any]:
    part, own = _part(layer, name)
    array: np.ndarray[Any, Any] = to_numpy(getattr(part, own))
    if own != "weights":
        return array.reshape(array.shape[1:])
    row = _row(part)
    return array if row is None or row.shape is None else array.reshape(row.shape(part))
