"""Turn modules of PyTorch into models here, and back: the ways in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nnfs_xp._checks import shown
from nnfs_xp.backend import Backend, get_backend
from nnfs_xp.errors import ArgumentError, DTypeError
from nnfs_xp.interop.beneath import HasNetwork, layer_of
from nnfs_xp.interop.torch.layouts import Layouts
from nnfs_xp.interop.torch.modules import load_torch
from nnfs_xp.interop.torch.names import (
    Names,
    fill,
    state_dict,
    tied_tensors,
    trained_tensors,
)
from nnfs_xp.interop.torch.reading import Reader
from nnfs_xp.interop.torch.rows import set_constants
from nnfs_xp.interop.torch.stack import stack
from nnfs_xp.interop.torch.writing import Writer
from nnfs_xp.interop.translation import Wanted
from nnfs_xp.layers import Layer


def from_torch(
    source: Any,
    *,
    like: Layer | HasNetwork | None = None,
    activation: Callable[[], Layer] | None = None,
    names: Names | None = None,
    add_parameters: bool = False,
    backend: str | Backend = "auto",
) -> Layer:
    """The model here that computes what a PyTorch module does, or that holds its weights.

    Parameters
    ----------
    source : torch.nn.Module, or mapping of str to tensor
        A `torch.nn.Sequential` of modules that have a counterpart here, also within each other,
        or one such module. Or a state dict, which tells the weights but not what is done with
        them: then say it with `like` or `activation`.
    like : Layer, or nnfs_xp.book.Model, optional
        For a state dict: a model of that architecture. A copy of it gets the weights.
    activation : callable, optional
        For a state dict of linear modules in a row: what builds the layer between two of them,
        `nnfs_xp.ReLU` say. The last one has none behind it.
    names : mapping of str to str, optional
        With `like`: what the modules are called in the state dict, as in
        `nnfs_xp.interop.load_torch_weights`.
    add_parameters : bool
        Give layers the biases, scales and shifts that their modules lack (``bias=False``,
        ``affine=False``): 0, 1 and 0, so that the output is the same until they are trained.
        Otherwise a `Linear` without biases is refused, since a `Dense` here always has them.
    backend : str or Backend
        Where the model is to live.

    Returns
    -------
    Layer
        It takes pictures and sequences with the channels last, whereas the module takes them first.
        A `Sequential` for a `torch.nn.Sequential` and for the linear modules of a state dict. The
        weights are copies.

    Raises
    ------
    ArgumentError
        A module or one of its settings has no counterpart here; the message has its path.
    ShapeError, DTypeError
        Tensors do not fit the model; the message has the key.
    BackendError
        PyTorch is not installed, or `backend` is not usable.

    Examples
    --------
    >>> import numpy as np
    >>> import nnfs_xp as nn
    >>> from nnfs_xp.interop import from_torch
    >>> state = {"fc1.weight": np.ones((3, 2)), "fc1.bias": np.zeros(3)}
    >>> state |= {"fc2.weight": np.ones((1, 3)), "fc2.bias": np.zeros(1)}
    >>> model = from_torch(state, activation=nn.ReLU, backend="numpy")
    >>> model.forward(np.array([[1.0, 2.0]]))
    array([[9.]])
    """
    target = get_backend(backend)
    if isinstance(source, str | Path):
        raise ArgumentError(
            f"from_torch takes a module or a state dict; got the path {str(source)!r}. "
            "Fill a model from a safetensors file with load_torch_weights(model, path)."
        )
    if isinstance(source, Mapping):
        return _from_state_dict(source, like, activation, names, add_parameters).to(target)
    torch = load_torch()
    if not isinstance(source, torch.nn.Module):
        raise ArgumentError(
            f"from_torch takes a torch.nn.Module or its state dict; got {type(source).__name__}."
        )
    if not (like is None and activation is None and names is None):
        raise ArgumentError("`like`, `activation` and `names` are for state dicts, not modules.")
    wanted = Wanted(_dtype(source), bool(add_parameters))
    return Reader(torch, wanted).model(source).to(target)


def to_torch(model: Layer | HasNetwork, *, drop_penalties: bool = False) -> Any:
    """The PyTorch module that computes what a model here does.

    Parameters
    ----------
    model : Layer, or nnfs_xp.book.Model
    drop_penalties : bool
        Leave out the regularizers and the `max_norm` of dense layers, for which PyTorch has no
        settings of modules. Otherwise a model that has any is refused.

    Returns
    -------
    torch.nn.Module
        One with layers for pictures or sequences takes these with the channels first, as PyTorch
        does: (batch, channels, height, width). A `torch.nn.Sequential` for a `Sequential`, in
        evaluation mode as `forward` is by default: call ``.train()`` to train it. It lives where
        the model does if that is in PyTorch's memory, else on the CPU. The weights are copies.
        Layers that PyTorch has no modules for, `Residual` for example, become modules of
        `nnfs_xp.interop.torch.modules`.

    Raises
    ------
    ArgumentError
        A layer has no counterpart in PyTorch, or has penalties.
    BackendError
        PyTorch is not installed.
    """
    model = layer_of(model)
    torch = load_torch()
    with torch.device("meta"):  # draws no weights, and takes no memory for them
        writer = Writer(torch, Layouts(model), drop_penalties)
        module = writer.module(model, "", model.input_shape)
    # A normalization without scale and shift has a data type, and its model has none.
    dtype = next((each.dtype for _, each in model.walk() if each.dtype is not None), None)
    if dtype is not None:
        module = module.to(getattr(torch, dtype))
    module = module.to_empty(device=_device(model))
    set_constants(module)
    _tie(module, model)
    module.load_state_dict({name: torch.from_numpy(a) for name, a in state_dict(model).items()})
    for name, trained in trained_tensors(model).items():
        module.get_parameter(name).requires_grad_(trained)
    return module.eval()


def _tie(module: Any, model: Layer) -> None:
    """Have modules share a parameter where layers do."""
    for name, other in tied_tensors(model).items():
        path, _, own = name.rpartition(".")
        setattr(module.get_submodule(path), own, module.get_parameter(other))


def _device(model: Layer) -> Any:
    backend = model.backend
    in_torch = backend is not None and backend.name.partition(":")[0] == "torch"
    return backend.device if in_torch and backend else "cpu"


def _dtype(module: Any) -> str:
    """The data type of all parameters and buffers of a module, or float32 where there are none."""
    tensors = (each for each in module.state_dict().values() if hasattr(each, "dtype"))
    found = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    names = sorted(str(each).removeprefix("torch.") for each in found) or ["float32"]
    if len(names) > 1 or names[0] not in ("float32", "float64"):
        raise DTypeError(
            "all weights of the module must be float32, or all float64; got "
            f"{' and '.join(names)}. Convert them with module.float() or module.double()."
        )
    return names[0]


def _from_state_dict(
    tensors: Mapping[str, Any],
    like: Layer | HasNetwork | None,
    activation: Callable[[], Layer] | None,
    names: Names | None,
    add_parameters: bool,
) -> Layer:
    if (like is None) == (activation is None):
        raise ArgumentError(
            "a state dict tells the weights but not what is done with them: hand over either "
            "`like`, a model of its architecture, or, for linear modules in a row, `activation`, "
            "nnfs_xp.ReLU say."
        )
    for key in tensors:
        if not isinstance(key, str):
            raise ArgumentError(f"the keys of a state dict are names; got {shown(repr(key))}.")
    if like is None:
        if names is not None:
            raise ArgumentError("`names` goes with `like`; without it, all modules are taken.")
        assert activation is not None
        return stack(tensors, activation, add_parameters)
    model = copy.deepcopy(layer_of(like, "like"))
    fill(model, tensors, names)
    return model
