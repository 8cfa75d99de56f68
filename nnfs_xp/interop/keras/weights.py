"""Weights in the order and the layouts of Keras' `get_weights`: needs no Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.beneath import class_among
from nnfs_xp.interop.keras.layers import BY_LAYER
from nnfs_xp.interop.translation import fitting
from nnfs_xp.layers import Layer


def weights_of(layer: Layer) -> list[np.ndarray[Any, Any]]:
    """The parameters and buffers of one layer, as Keras has them."""
    return [_theirs(layer, name) for name in _names(layer)]


def _names(layer: Layer) -> Mapping[str, str]:
    kind = class_among(BY_LAYER, layer, "forward", "backward")
    return BY_LAYER[kind].weights if kind else {}


def put(layer: Layer, name: str, value: np.ndarray[Any, Any]) -> None:
    """Copy a weight of Keras' into the layer."""
    setattr(layer, name, value if name == "weights" else value[None, :])


def fill(model: Layer, weights: Sequence[Any]) -> None:
    """Put what `get_weights` gives into the model, all of it or nothing.

    Raises
    ------
    ArgumentError
        There are more or fewer arrays than the model has, or it has some that Keras has not.
    ShapeError, DTypeError
        An array does not fit; the message has its place.
    """
    slots = []
    for prefix, layer in model.walk():
        names = _names(layer)
        if not names.keys() >= {*layer._shapes, *layer._buffers}:
            where = f"layer {prefix[:-1]}" if prefix else "the model"
            raise ArgumentError(
                f"{where} is a {type(layer).__name__}, whose weights have no counterpart in Keras."
            )
        slots += [(layer, prefix, name) for name in names]
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
    array = to_numpy(getattr(layer, name))
    return array if name == "weights" else array[0]
