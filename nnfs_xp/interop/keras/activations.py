"""Which layer computes an activation function of Keras'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnfs_xp import layers
from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.keras.classes import custom_objects, load_keras
from nnfs_xp.layers import Layer

ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    "relu": layers.ReLU,
    "leaky_relu": lambda: layers.LeakyReLU(0.2),
    "elu": layers.ELU,
    "selu": layers.SELU,
    "gelu": layers.GELU,
    "silu": layers.SiLU,
    "mish": layers.Mish,
    "sigmoid": layers.Sigmoid,
    "tanh": layers.Tanh,
    "softplus": layers.Softplus,
    "softmax": layers.Softmax,
    "linear": layers.Linear,
}
"""By Keras' names, what builds the layer that computes a function with its default settings."""


def activation_of(function: Any) -> Layer:
    """The layer that computes an activation function of Keras'.

    Raises
    ------
    ArgumentError
        There is none.
    """
    if function is custom_objects()["gelu_tanh"]:
        return layers.GELU("tanh")
    keras = load_keras()
    if function is keras.ops.gelu:  # whose default is not that of keras.activations.gelu
        return layers.GELU("tanh")
    for name, build in ACTIVATIONS.items():
        if function in (keras.activations.get(name), getattr(keras.ops, name, None)):
            return build()
    name = getattr(function, "__name__", type(function).__name__)
    raise ArgumentError(f"its activation {shown(repr(name))} has no counterpart here.")
