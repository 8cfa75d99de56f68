"""Models as files: the weights as safetensors, the architecture beside them as JSON.

The JSON names classes of this package, or those that the caller of `load` hands over, and
their arguments; nothing in a file is ever executed. `tensor_file` has the format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp import layers as _layers
from nnfs_xp._checks import shown
from nnfs_xp._settings import plain
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, backend_of, get_backend, to_numpy
from nnfs_xp.errors import ArgumentError, CheckpointError
from nnfs_xp.flat_parameters import room_for
from nnfs_xp.interop.paths import path_of
from nnfs_xp.interop.tensor_file import (
    MALFORMED,
    Arrays,
    read_description,
    read_tensors,
    write_tensors,
)
from nnfs_xp.layers import Layer

_KIND = "nnfs_xp model"
_BASES = ("Layer", "StochasticLayer")
FORMER_NAMES = {"Parallel": "Concatenate"}
"""What layers were called when older files were written, and what they are called now."""

_MOST_LAYERS = 10_000
_MOST_DEEP = 100
_MOST_TIES = 256


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
    write_model(path_of(path), model, {})


def write_model(path: Path, model: Layer, extra: dict[str, Any]) -> None:
    """Write a model with more in its description: see `save` and `read_model`."""
    if not isinstance(model, Layer):
        remedy = " It writes itself: model.save(path)." if hasattr(model, "save") else ""
        raise ArgumentError(f"`model` must be a layer; got {model!r}.{remedy}")
    write_tensors(path, _KIND, {"model": describe(model), **extra}, host_arrays(model))


def load(
    path: str | Path, backend: str | Backend = "auto", *, custom_layers: Iterable[type[Layer]] = ()
) -> Layer:
    """Load the model in a file that `save` wrote.

    Parameters
    ----------
    path : str or Path
    backend : str or Backend
        Where the model is to live.
    custom_layers : iterable of Layer classes
        Your own classes that the model may contain.

    Returns
    -------
    Layer
        Of the class that was saved, mostly `Sequential`.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or not of this package.
    """
    target, path = get_backend(backend), path_of(path)
    known = _own_layers()
    for layer in custom_layers if isinstance(custom_layers, Iterable) else (custom_layers,):
        if not (isinstance(layer, type) and issubclass(layer, Layer)):
            raise ArgumentError(f"`custom_layers` must be classes of layers; got {layer!r}.")
        known[layer.__name__] = layer
    model, _ = read_model(path, known)
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
        The file is missing, damaged, or not of this package.
    """
    description, forms = read_description(path, _KIND)
    try:
        model = _Builder(known).model(description["model"], forms)
    except MALFORMED as error:
        raise CheckpointError(
            f"{path} describes no model that can be built: {shown(error)}."
        ) from error
    with _naming(f"{path} is damaged, or forged"):
        check_fit(model, forms)
    read_weights(path, model)
    return model, description


def read_weights(path: Path, model: Layer) -> None:
    """Fill the model with the weights alone of a file of a model with the same parameters.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, not of this package, or of another architecture.
    """
    _, forms = read_description(path, _KIND)
    with _naming(str(path)):
        check_fit(model, forms)
    _, arrays = read_tensors(path, _KIND)
    with _naming(str(path)):
        fill(model, arrays)


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Begin the message of an error with what is wrong."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{what}: {error}") from None


def describe(model: Layer) -> dict[str, Any]:
    """The architecture: the class' name and the arguments, the layers within, and ties."""
    description = _described(model)
    ties = model.ties()
    if ties:
        description["ties"] = [[name, *of] for name, of in ties.items()]
    return description


def _described(model: Layer) -> dict[str, Any]:
    config = {name: plain(value) for name, value in model.config().items()}
    description: dict[str, Any] = {"class": type(model).__name__, "config": config}
    options = {name: plain(value) for name, value in model.options().items() if name not in config}
    if options:
        description["options"] = options
    if model.children:
        description["layers"] = [_described(layer) for layer in model.children]
    if isinstance(model, _layers.Sequential) and model.is_plain_block:
        description["block"] = model.kind
    return description


def _own_layers() -> dict[str, type[Layer]]:
    """The layers of this package by name."""
    return {name: getattr(_layers, name) for name in _layers.__all__ if name not in _BASES}


def build(description: Any) -> Layer:
    """The model that `describe` described, of layers of this package, with parameters of 0."""
    return _Builder(_own_layers()).model(description)


def use_present_names(description: Any) -> None:
    """Call layers by the names that they have now, and leave out what is as good as not told.

    That is an argument that is None, which may be new, and an option that is as by default, which
    was once told.
    """
    left = [description]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            name = each.get("class")
            if isinstance(name, str):
                each["class"] = FORMER_NAMES.get(name, name)
            config = each.get("config")
            if isinstance(config, dict):
                for option, value in list(config.items()):
                    if value is None or ("_regularizer_" in option and not value):
                        del config[option]
            left += each.values()
        elif isinstance(each, list):
            left += each


class _Builder:
    """Builds the model that a description names, within limits that no real model reaches."""

    def __init__(self, known: dict[str, type[Layer]]) -> None:
        self._known = known
        self._left = _MOST_LAYERS

    def model(self, description: Any, forms: Mapping[str, Any] | None = None) -> Layer:
        """The model with its ties. With `forms`, it may take no more memory than such arrays.

        Each layer that is tied is built with a parameter of its own first.
        """
        ties = [(str(name), str(of), bool(how)) for name, of, how in description.get("ties", ())]
        if len(ties) > _MOST_TIES:
            raise ArgumentError(f"it has more than {_MOST_TIES} tied parameters")
        if forms is None:
            model = self.build(description)
        else:
            room = sum(array.size for array in forms.values())
            with room_for(room + sum(forms[of].size for _, of, _ in ties)):
                model = self.build(description)
        layers = dict(model.walk())
        for name, of, transposed in ties:
            path, dot, own = name.rpartition(".")
            other_path, other_dot, theirs = of.rpartition(".")
            other = layers[other_path + other_dot]
            layers[path + dot].tie(own, other, theirs, transposed=transposed)
        return model

    def build(self, description: Any, depth: int = 0) -> Layer:
        name = description["class"]
        if isinstance(name, str) and name not in self._known:
            name = FORMER_NAMES.get(name, name)
        as_block = isinstance(name, str) and name not in self._known and "block" in description
        if not isinstance(name, str) or (name not in self._known and not as_block):
            raise ArgumentError(
                f"it has a layer {shown(repr(name))}, which this release lacks; hand over a class "
                "of your own in custom_layers"
            )
        self._left -= 1
        if self._left < 0 or depth > _MOST_DEEP:
            raise ArgumentError(
                f"it has more than {_MOST_LAYERS:,} layers, or more than {_MOST_DEEP} in each other"
            )
        kind = _layers.Block if as_block else self._known[name]
        takes_layers = kind.takes_layers()
        parts = description.get("layers", ()) if takes_layers else ()
        layers = [self.build(part, depth + 1) for part in parts]
        config = {"name": description["block"]} if as_block else description.get("config", {})
        layer = kind(*layers, **config)
        _set_options(layer, description, within=not takes_layers)
        return layer


def _set_options(layer: Layer, description: Any, *, within: bool) -> None:
    """Set the options that a description tells, if asked also of the layers within."""
    known = layer.default_options()
    told = {**(description.get("config", {}) if within else {}), **description.get("options", {})}
    layer.set_options(**{name: value for name, value in told.items() if name in known})
    if within and layer.children:
        for child, each in zip(layer.children, description.get("layers", ()), strict=False):
            _set_options(child, each, within=True)


def _arrays(model: Layer) -> dict[str, Array]:
    """All that a file keeps of a model: its parameters, and its buffers."""
    return model.parameters() | model.buffers()


def host_arrays(model: Layer) -> Arrays:
    """All that a file keeps of a model, as NumPy arrays."""
    return {name: to_numpy(array) for name, array in _arrays(model).items()}


def fill(model: Layer, values: Arrays) -> None:
    """Put values into the model: all, or none where one does not fit.

    Raises
    ------
    CheckpointError
        A name, shape or data type does not fit.
    """
    check_fit(model, values)
    put(_arrays(model), values)


def check_fit(model: Layer, values: Arrays) -> None:
    """Refuse values whose names, shapes and data types are not those of the model."""
    arrays = _arrays(model)
    if arrays.keys() != values.keys():
        odd = shown(", ".join(sorted(arrays.keys() ^ values.keys())))
        raise CheckpointError(f"weights and architecture do not match in {odd}.")
    check_arrays(arrays, values)


def check_arrays(targets: Mapping[str, Array], values: Mapping[str, Any]) -> None:
    """Refuse values without an array for each target, of its shape and data type.

    Raises
    ------
    CheckpointError
    """
    for name, array in targets.items():
        value, shape = values.get(name), tuple(array.shape)
        dtype = str(array.dtype).rpartition(".")[2]
        if not isinstance(value, np.ndarray):
            raise CheckpointError(f"there is no `{name}` of shape {shape}.")
        if value.shape != shape or str(value.dtype) != dtype:
            raise CheckpointError(
                f"`{name}` should have shape {shape} and dtype {dtype}; "
                f"it has {value.shape} and {value.dtype}."
            )


def put(targets: Mapping[str, Array], values: Arrays) -> None:
    """Copy each value into the target of the same name."""
    for name, array in targets.items():
        array[...] = backend_of(array).asarray(values[name])
