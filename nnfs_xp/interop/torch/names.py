"""Weights under PyTorch's names and in its layouts: needs no PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.tensor_file import Arrays
from nnfs_xp.interop.torch.layouts import Layouts, in_their_order, row_of
from nnfs_xp.interop.torch.rows import Place
from nnfs_xp.interop.translation import fitting
from nnfs_xp.layers import Layer

Names = Mapping[str, str]
"""From the path of a layer, ``"0"`` say, to that of its module, ``"fc1"`` say."""


def state_dict(model: Layer, names: Names | None = None) -> Arrays:
    """All parameters and buffers as NumPy arrays, under PyTorch's names and in its layouts."""
    tensors: Arrays = {}
    layouts = Layouts(model)
    for prefix, layer in _named(model, names):
        for name, place in places_of(prefix, layer, layouts).items():
            tensors[prefix + name] = np.array(place.theirs(_value(layer, place)), order="C")
        counter = _counter(layer)
        if counter is not None:
            tensors[prefix + counter] = np.zeros((), dtype=np.int64)
    return tensors


def trained_tensors(model: Layer) -> dict[str, bool]:
    """PyTorch's names of all parameters, and whether they are trained."""
    layouts = Layouts(model)
    return {
        f"{prefix}{name}": layer.trains(place.name)
        for prefix, layer in model.walk()
        for name, place in places_of(prefix, layer, layouts).items()
        if place.name in layer._shapes
    }


def tied_tensors(model: Layer) -> dict[str, str]:
    """PyTorch's names of the parameters that are another layer's, and of that one.

    Raises
    ------
    ArgumentError
        The two lie differently in memory, so that PyTorch cannot share them.
    """
    prefixes = {id(layer): prefix for prefix, layer in model.walk()}
    model.ties()  # refuses one that leads out
    found, layouts = {}, Layouts(model)
    for prefix, layer in model.walk():
        for own, tie in layer._ties.items():
            name, place = _place_of(prefix, layer, own, layouts)
            other, its_place = _place_of(prefixes[id(tie.layer)], tie.layer, tie.name, layouts)
            if _shared_as(place, its_place, tie.layer._shapes[tie.name]) is not tie.transposed:
                raise ArgumentError(
                    f"`{name}` and `{other}` are one parameter here, which PyTorch lays out in two "
                    "ways, and so cannot share."
                )
            found[name] = other
    return found


def tie_as_shared(layer: Layer, place: Place, other: Layer, its_place: Place, path: str) -> None:
    """Tie a layer's parameter to that of another one, as their modules share it.

    Raises
    ------
    ArgumentError
        As it is laid out here, neither of the two is the other, nor its transpose.
    """
    transposed = _shared_as(place, its_place, other._shapes[its_place.name])
    if transposed is None:
        raise ArgumentError(f"it shares a parameter with module `{path}` that has another layout.")
    layer.tie(place.name, other, its_place.name, transposed=transposed)


def _shared_as(place: Place, other: Place, shape: tuple[int, ...]) -> bool | None:
    """Whether a tensor in both places is transposed in the first; None if it is something else."""
    probe = np.arange(prod(shape), dtype=np.int64).reshape(shape)
    here = place.ours(other.theirs(probe))
    if len(shape) == 2 and np.array_equal(here, probe.T) and shape[0] != 1 != shape[1]:
        return True
    return False if np.array_equal(here, probe) else None


def _place_of(prefix: str, layer: Layer, name: str, layouts: Layouts) -> tuple[str, Place]:
    for theirs, place in places_of(prefix, layer, layouts).items():
        if place.name == name:
            return prefix + theirs, place
    raise AssertionError(name)


def fill(model: Layer, tensors: Mapping[str, Any], names: Names | None = None) -> None:
    """Put what `state_dict` or PyTorch's own gives into the model, all of it or nothing.

    Raises
    ------
    ArgumentError
        A name is missing, or there is one too many.
    ShapeError, DTypeError
        A tensor does not fit.
    """
    for layer, place, value in fits(model, tensors, names):
        setattr(layer, place.name, value)


def fits(
    model: Layer, tensors: Mapping[str, Any], names: Names | None = None
) -> list[tuple[Layer, Place, Any]]:
    """What `fill` puts where: refuse what it refuses, but change no layer."""
    layers, layouts = _named(model, names), Layouts(model)
    places = {
        prefix + name: (layer, place)
        for prefix, layer in layers
        for name, place in places_of(prefix, layer, layouts).items()
    }
    counters = {f"{prefix}{_counter(layer)}" for prefix, layer in layers if _counter(layer)}
    tied = {name for name, (layer, place) in places.items() if place.name in layer._ties}
    _check_names(set(places) - (tied - set(tensors)), set(tensors) - counters)
    found = {
        name: (layer, place, fitted(name, tensors[name], layer, place))
        for name, (layer, place) in places.items()
        if name in tensors
    }
    values = {(id(layer), place.name): value for layer, place, value in found.values()}
    for name in tied & found.keys():
        layer, place, value = found.pop(name)
        tie = layer._ties[place.name]
        same = values.get((id(tie.layer), tie.name))
        if same is not None and not np.array_equal(value, same.T if tie.transposed else same):
            raise ArgumentError(f"`{name}` is another layer's parameter, and has other values.")
    return list(found.values())


def fitted(name: str, tensor: Any, layer: Layer, place: Place) -> Any:
    """The tensor in our layout, if its shape and data type fit.

    Raises
    ------
    ShapeError, DTypeError
        They do not fit; the message has the tensor's name.
    """
    shape = place.theirs(_value(layer, place)).shape
    return place.ours(fitting(f"`{shown(name)}`", tensor, shape, layer.dtype))


def _value(layer: Layer, place: Place) -> np.ndarray[Any, Any]:
    return to_numpy(getattr(layer, place.name))


def _counter(layer: Layer) -> str | None:
    row = row_of(layer)
    return row.counter if row else None


def places_of(prefix: str, layer: Layer, layouts: Layouts) -> dict[str, Place]:
    """Where the tensors of a layer's module lie in it, by PyTorch's names."""
    row = row_of(layer)
    places = row.weights if row else {}
    own = {*layer._shapes, *layer._buffers}
    if not own.issubset(place.name for place in places.values()):
        where = f"layer {prefix[:-1]}" if prefix else "the model"
        raise ArgumentError(
            f"{where} is a {type(layer).__name__}, whose weights have no counterpart in PyTorch."
        )
    layout = layouts.of(layer)
    return {
        name: in_their_order(place, layout) for name, place in places.items() if place.name in own
    }


def _named(model: Layer, names: Names | None) -> list[tuple[str, Layer]]:
    """All layers, each with the prefix of its module's names.

    Raises
    ------
    ArgumentError
        There is a name for a place where there is no layer, or one name for two layers.
    """
    layers = {prefix.removesuffix("."): layer for prefix, layer in model.walk()}
    modules = _module_paths(layers, _checked(names, layers))
    with_weights = [modules[path] for path, layer in layers.items() if layer._shapes]
    twice = next((name for name in with_weights if with_weights.count(name) > 1), None)
    if twice is not None:
        raise ArgumentError(f"`names` gives two layers the name {shown(repr(twice))}.")
    return [(f"{modules[path]}." if modules[path] else "", la) for path, la in layers.items()]


def _checked(names: Names | None, layers: Mapping[str, Layer]) -> Names:
    """Refuse what does not lead from paths of layers to names."""
    if names is None:
        return {}
    if not isinstance(names, Mapping):
        raise ArgumentError(
            "`names` must lead from paths of layers to names of modules, as in {'0': 'fc1'}; got "
            f"{shown(repr(names))}."
        )
    for path, name in names.items():
        if path not in layers or not isinstance(name, str):
            raise ArgumentError(
                "`names` must lead from paths of layers to names of modules; got "
                f"{shown(repr(path))}: {shown(repr(name))}. Paths are those of model.parameters(), "
                "as '0' in '0.weights'."
            )
    return names


def _module_paths(layers: Iterable[str], names: Names) -> dict[str, str]:
    """The path of each layer's module: its own name, or its place below the module above.

    Examples
    --------
    >>> _module_paths(["", "0", "1", "1.0"], {"": "net", "1": "head"})
    {'': 'net', '0': 'net.0', '1': 'head', '1.0': 'head.0'}
    """
    modules: dict[str, str] = {}
    for path in layers:  # from the outside in
        above, _, own = path.rpartition(".")
        inherited = modules[above] if path else ""
        modules[path] = names.get(path, f"{inherited}.{own}" if inherited else own)
    return modules


def _check_names(expected: set[str], found: set[str]) -> None:
    missing, odd = expected - found, found - expected
    if missing:
        least = min(missing)
        there = f"there are {', '.join(sorted(odd))}" if odd else "there is no more"
        raise ArgumentError(
            f"`{least}` is missing; {shown(there)}. Names of other modules are given as in "
            "names={'0': 'fc1'}."
        )
    if odd:
        raise ArgumentError(
            f"the model has no place for {shown(', '.join(map('`{}`'.format, sorted(odd))))}."
        )
