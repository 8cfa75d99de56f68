"""Models as files: the weights as safetensors, the architecture beside them as JSON.

The JSON stands in the file's metadata under the key ``nnfs_xp``. It names classes of this
package, or those that the caller of `load` hands over, and their arguments; nothing in a file
is ever executed. It also holds a checksum of itself and the weights, under ``sha256``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp import layers as _layers
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, backend_of, get_backend, to_numpy
from nnfs_xp.errors import ArgumentError, CheckpointError
from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.layers import Layer
from nnfs_xp.parameters import room_for

_KEY = "nnfs_xp"
_CHECKSUM = "sha256"
_VERSION = 1
_BASES = ("Layer", "StochasticLayer")

_MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a forged description may lead to."""


def save(model: Layer, path: str | Path) -> None:
    """Write the model's architecture and weights to a file, whole or not at all.

    Parameters
    ----------
    model : Layer
    path : str or Path
        By custom ending in ``.safetensors``.

    Raises
    ------
    CheckpointError
        The file cannot be written.
    """
    write_model(Path(path), model, {})


def write_model(path: Path, model: Layer, extra: dict[str, Any]) -> None:
    """Write a model with more in its description: see `save` and `read_model`."""
    if not isinstance(model, Layer):
        raise ArgumentError(f"`model` must be a layer; got {model!r}.")
    from safetensors.numpy import save as to_safetensors

    description = {"version": _VERSION, "model": describe(model), **extra}
    weights = {name: to_numpy(array) for name, array in _arrays(model).items()}
    try:
        description[_CHECKSUM] = _checksum(description, weights)
    except TypeError as error:
        raise CheckpointError(f"a layer's config() holds what JSON cannot: {error}.") from error
    content = to_safetensors(weights, metadata={_KEY: json.dumps(description)})
    try:
        write_atomically(path, content)
    except (OSError, ValueError) as error:  # ValueError: the path names no file
        raise CheckpointError(f"cannot write {path}: {error}.") from error


def load(
    path: str | Path, backend: str | Backend = "auto", *, custom_layers: Iterable[type[Layer]] = ()
) -> Layer:
    """The model in a file that `save` wrote.

    Parameters
    ----------
    path : str or Path
    backend : str or Backend
        Where the model is to live.
    custom_layers : iterable of Layer classes
        Those of your own that the model may contain.

    Returns
    -------
    Layer
        Of the class that was saved, mostly `Sequential`.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or none of ours.
    """
    target = get_backend(backend)
    known = {name: getattr(_layers, name) for name in _layers.__all__ if name not in _BASES}
    for layer in custom_layers if isinstance(custom_layers, Iterable) else (custom_layers,):
        if not (isinstance(layer, type) and issubclass(layer, Layer)):
            raise ArgumentError(f"`custom_layers` must be classes of layers; got {layer!r}.")
        known[layer.__name__] = layer
    model, _ = read_model(Path(path), known)
    return model.to(target)


def read_model(path: Path, known: dict[str, type[Layer]]) -> tuple[Layer, dict[str, Any]]:
    """The model in a file, on NumPy, and the whole description that came with it.

    Parameters
    ----------
    path : Path
    known : dict of str to Layer class
        The classes that the file may name.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or none of ours.
    """
    description, weights = _read(path)
    try:
        with room_for(sum(array.size for array in weights.values())):
            model = _build(description["model"], known)
    except _MALFORMED as error:
        raise CheckpointError(f"{path} describes no model that can be built: {error}.") from error
    _fill(model, weights, path)
    return model, description


def read_weights(path: Path, model: Layer) -> None:
    """Take over the weights alone from a file of a model with the same parameters.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, none of ours, or of another architecture.
    """
    _, weights = _read(path)
    _fill(model, weights, path)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The description and the weights by name, as they were when they were written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if _KEY not in metadata:
                raise CheckpointError(f"{path} holds no nnfs_xp model, but other safetensors.")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # no dict
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}.") from None
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no model file, or damaged: {error}.") from error
    try:
        description = json.loads(metadata[_KEY])
        version, checksum = description["version"], description.pop(_CHECKSUM, None)
        expected = _checksum(description, weights)
    except _MALFORMED as error:
        raise CheckpointError(f"{path} describes no model that can be built: {error}.") from error
    if version != _VERSION:
        raise CheckpointError(
            f"{path} is of format version {version}; this release reads {_VERSION}."
        )
    if checksum != expected:
        raise CheckpointError(f"{path} is damaged: its checksum does not fit its content.")
    return description, weights


def _checksum(description: dict[str, Any], weights: dict[str, Any]) -> str:
    """SHA-256 of the description and of each array's name, data type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name, array in sorted(weights.items()):
        digest.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def describe(model: Layer) -> dict[str, Any]:
    """The architecture: the class' name and the arguments, or the layers within."""
    description: dict[str, Any] = {"class": type(model).__name__, "config": model.config()}
    if model.children and not description["config"]:
        description["layers"] = [describe(layer) for layer in model.children]
    return description


def _build(description: Any, known: dict[str, type[Layer]]) -> Layer:
    name = description["class"]
    if not isinstance(name, str) or name not in known:
        raise ArgumentError(
            f"it has a layer {name!r}, which this release lacks; hand over a class of your own "
            "in custom_layers"
        )
    parts = [_build(part, known) for part in description.get("layers", ())]
    return known[name](*parts, **description.get("config", {}))


def _arrays(model: Layer) -> dict[str, Array]:
    """All that a file keeps of a model: its parameters, and its buffers."""
    return model.parameters() | model.buffers()


def _fill(model: Layer, weights: dict[str, Any], path: Path) -> None:
    arrays = _arrays(model)
    if arrays.keys() != weights.keys():
        odd = ", ".join(sorted(arrays.keys() ^ weights.keys()))
        raise CheckpointError(f"{path}: weights and architecture do not match in {odd}.")
    for name, array in arrays.items():
        value = weights[name]
        if value.shape != tuple(array.shape) or str(value.dtype) != model.dtype:
            raise CheckpointError(
                f"{path}: `{name}` should have shape {tuple(array.shape)} and dtype {model.dtype}; "
                f"it has {value.shape} and {value.dtype}."
            )
    for name, array in arrays.items():
        array[...] = backend_of(array).asarray(weights[name])
