"""Classes of a script's own in a model: as in the book, layers and optimizers derive from none."""

from __future__ import annotations

from typing import Any

from nnfs_xp._typing import Array
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import Layer

_OPTIMIZES = (
    "current_learning_rate",
    "pre_update_params",
    "update_params",
    "post_update_params",
)


class OwnLayer(Layer):
    """The place of a script's own layer among those of a `Sequential`."""

    def __init__(self, own: Any) -> None:
        super().__init__()
        self.own = own

    def forward(self, inputs: Array, training: bool = False) -> Array:
        return forward_of(self.own, inputs, training)

    def backward(self, dvalues: Array) -> Array:
        self.own.backward(dvalues)
        self.dinputs = self.own.dinputs
        return self.dinputs

    @property
    def kind(self) -> str:
        return type(self.own).__name__


def forward_of(layer: Any, inputs: Array, training: bool) -> Array:
    """The layer's output, which a script's own layer keeps and need not return."""
    output: Array | None = layer.forward(inputs, training)
    if output is None:
        output = layer.output
    return output


def check_layer(layer: Any) -> None:
    """Refuse what cannot stand in a model's row of layers."""
    if isinstance(layer, type):
        raise ArgumentError(f"`layer` is the class {layer.__name__}; give {layer.__name__}(…).")
    if isinstance(layer, Layer):
        return
    if not (hasattr(layer, "forward") and hasattr(layer, "backward")):
        raise ArgumentError(f"`layer` must have forward and backward; got {layer!r}.")
    if hasattr(layer, "weights"):
        raise ArgumentError(
            "a layer with weights must derive from nnfs_xp.book.Layer_Dense, so that they are "
            f"trained and saved; got a {type(layer).__name__}."
        )


def check_optimizer(optimizer: Any) -> None:
    """Refuse what cannot make a model's steps."""
    if isinstance(optimizer, type):
        name = optimizer.__name__
        raise ArgumentError(f"`optimizer` is the class {name}; give {name}(…).")
    if not all(hasattr(optimizer, name) for name in _OPTIMIZES):
        raise ArgumentError(
            "`optimizer` must be an object of a class of nnfs_xp.book, or of your own with "
            f"{', '.join(_OPTIMIZES)}; got {optimizer!r}."
        )
