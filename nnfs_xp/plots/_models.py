"""What the pictures of a model have in common: the model, its layers' names, its inputs."""

from __future__ import annotations

from typing import Any

from nnfs_xp._typing import Array
from nnfs_xp.backend import get_backend
from nnfs_xp.interop.beneath import layer_of
from nnfs_xp.layers import Layer
from nnfs_xp.training import Trainer


def model_of(model: Layer | Trainer) -> Layer:
    """The model itself, or that of a trainer."""
    return model.model if isinstance(model, Trainer) else layer_of(model)


def names_of(model: Layer) -> dict[int, str]:
    """The place and the class of each layer of a model, by the layer's id."""
    return {
        id(layer): f"{prefix[:-1]} {type(layer).__name__}".strip() for prefix, layer in model.walk()
    }


def inputs_of(model: Layer, X: Any) -> Array:
    """Samples in the model's data type, on its device."""
    return (model.backend or get_backend("numpy")).asarray(X, model.dtype or "float32")
