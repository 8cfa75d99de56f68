"""The model of a state dict of linear modules in a row, whose activations it does not tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError, DTypeError, NnfsError, ShapeError
from nnfs_xp.interop.tensor_file import Arrays
from nnfs_xp.interop.torch.names import fill
from nnfs_xp.interop.translation import Wanted, expect_parameter
from nnfs_xp.layers import Dense, Layer, Sequential

_HINT = "For any other model, hand over one of its architecture as `like`."


def stack(
    tensors: Mapping[str, Any], activation: Callable[[], Layer], add_parameters: bool
) -> Sequential:
    """Dense layers with the tensors, and the activation between each two of them.

    They stand in the order of their numbers where they have the same name but for one number,
    which a file does not keep in order; else in the order of the dict.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        These are not the tensors of linear modules, each taking what the one before gives.
    """
    arrays = _arrays(tensors)
    modules = _in_order([key.rpartition(".")[0] for key in arrays if _last(key) == "weight"])
    weights = [_key(module, "weight") for module in modules]
    dtype = _dtype(arrays)
    for one, following in pairwise(weights):
        if arrays[one].shape[0] != arrays[following].shape[1]:
            raise ShapeError(
                f"`{following}` of shape {arrays[following].shape} cannot follow `{one}` of shape "
                f"{arrays[one].shape}: shapes are (n_neurons, n_inputs). {_HINT}"
            )
    layers: list[Layer] = []
    for module, weight in zip(modules, weights, strict=True):
        if layers:
            layers.append(_built(activation))
        n_neurons, n_inputs = arrays[weight].shape
        layers.append(Dense(n_inputs, n_neurons, dtype=dtype, seed=0))
        bias = _key(module, "bias")
        if bias not in arrays:
            expect_parameter(bias in arrays, bias, Wanted(dtype, add_parameters))
            arrays[bias] = np.zeros(n_neurons, dtype=dtype)
    model = Sequential(*layers)
    fill(model, arrays, {str(2 * n): module for n, module in enumerate(modules)})
    return model


def _key(module: str, name: str) -> str:
    return f"{module}.{name}" if module else name


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _arrays(tensors: Mapping[str, Any]) -> Arrays:
    """The tensors, if their names and numbers of axes are those of linear modules."""
    arrays = {}
    for key, tensor in tensors.items():
        try:
            array = arrays[key] = to_numpy(tensor)
        except NnfsError as error:
            raise DTypeError(f"`{shown(key)}`: {error}") from error
        n_axes = {"weight": 2, "bias": 1}.get(_last(key))
        if n_axes is None:
            raise ArgumentError(
                f"`{shown(key)}` of shape {array.shape} is no tensor of a linear module. {_HINT}"
            )
        if array.ndim != n_axes:
            shape = "(n_neurons, n_inputs)" if n_axes == 2 else "(n_neurons,)"
            raise ShapeError(
                f"`{shown(key)}` must have shape {shape}, being of a linear module; got "
                f"{array.shape}. {_HINT}"
            )
    if not any(_last(key) == "weight" for key in arrays):
        raise ArgumentError(f"the state dict has no weight of a linear module. {_HINT}")
    return arrays


def _in_order(modules: list[str]) -> list[str]:
    numbers = [re.findall(r"\d+", module) for module in modules]
    stems = {re.sub(r"\d+", "#", module) for module in modules}
    varying = sum(len(set(column)) > 1 for column in zip(*numbers, strict=False))
    if len(stems) == 1 and varying == 1:
        return sorted(modules, key=lambda module: [int(n) for n in re.findall(r"\d+", module)])
    return modules


def _dtype(arrays: Arrays) -> str:
    names = sorted({str(array.dtype) for array in arrays.values()})
    if len(names) > 1 or names[0] not in ("float32", "float64"):
        raise DTypeError(
            f"all tensors must be float32, or all float64; got {' and '.join(names)}. Convert them "
            "first."
        )
    return names[0]


def _built(activation: Callable[[], Layer]) -> Layer:
    try:
        layer = activation() if callable(activation) else activation
    except TypeError:  # it needs arguments
        layer = None
    if isinstance(activation, Layer) or not isinstance(layer, Layer):
        raise ArgumentError(
            "`activation` must be what builds a layer, nnfs_xp.ReLU or a function without "
            f"arguments; got {shown(repr(activation))}."
        )
    return layer
