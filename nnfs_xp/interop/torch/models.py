"""Turn modules of PyTorch into models here, and back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from nnfs_xp._checks import shown
from nnfs_xp.backend import Backend, get_backend
from nnfs_xp.errors import ArgumentError, DTypeError, NnfsError
from nnfs_xp.interop.beneath import HasNetwork, class_among, layer_of
from nnfs_xp.interop.torch.layers import BY_LAYER, CONTAINERS, ROWS
from nnfs_xp.interop.torch.layouts import Layout, Layouts, row_of
from nnfs_xp.interop.torch.modules import class_named, load_torch
from nnfs_xp.interop.torch.names import (
    Names,
    fill,
    fitted,
    places_of,
    state_dict,
    tie_as_shared,
    tied_tensors,
    trained_tensors,
)
from nnfs_xp.interop.torch.rows import ANYWHERE, Row, set_constants
from nnfs_xp.interop.torch.stack import stack
from nnfs_xp.interop.torch.unknown import is_stock, why_unknown
from nnfs_xp.interop.torch.unseen import Unseen
from nnfs_xp.interop.translation import Wanted, at
from nnfs_xp.layers import Concatenate, Flatten, Layer, Reshape, Sequential
from nnfs_xp.layers.base import Shape

_BY_MODULE = {name: row for row in reversed(ROWS) for name in (row.theirs, *row.also)}


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
        ``affine=False``) and that the layers here always have: 0, 1 and 0, so that the output is
        the same until they are trained. Otherwise such modules are refused.
    backend : str or Backend
        Where the model is to live.

    Returns
    -------
    Layer
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
    return _Reader(torch, wanted).model(source).to(target)


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
        A `torch.nn.Sequential` for a `Sequential`, in evaluation mode as `forward` is by default:
        call ``.train()`` to train it. It lives where the model does if that is in PyTorch's
        memory, else on the CPU. The weights are copies. Layers that PyTorch has no modules for,
        `Residual` for example, become modules of `nnfs_xp.interop.torch.modules`.

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
        writer = _Writer(torch, Layouts(model), drop_penalties)
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


def _containers() -> dict[type[Layer], Any]:
    return {each.ours: class_named(each.theirs) for each in CONTAINERS}


class _Writer:
    """Makes modules from the layers here, on the active device, without their weights."""

    def __init__(self, torch: Any, layouts: Layouts, drop_penalties: bool) -> None:
        self._torch = torch
        self._layouts = layouts
        self._drop_penalties = drop_penalties
        self._containers = _containers()

    def module(self, layer: Layer, prefix: str, shape: Shape | None) -> Any:
        """The module of a layer that takes samples of that shape, where it is known."""
        where = f"layer {prefix[:-1]}" if prefix else "the model"
        containers = self._containers
        kind = class_among({**BY_LAYER, **containers}, layer, "forward", "backward")
        if kind in containers:
            shapes = layer.child_input_shapes(shape)
            module = containers[kind](
                *(
                    self.module(each, f"{prefix}{n}.", taken)
                    for n, (each, taken) in enumerate(zip(layer.children, shapes, strict=True))
                )
            )
            if kind is Concatenate and self._layouts.of(layer).kind == "first":
                module.dim = 1
            return module
        if kind is None:
            raise ArgumentError(
                f"{where} is a {layer.kind}, which has no counterpart in PyTorch. Convert the "
                "layers around it, each row of them as a Sequential."
            )
        row = BY_LAYER[kind]
        penalties = _penalties(layer)
        if penalties and not self._drop_penalties:
            raise ArgumentError(
                f"{where} has {' and '.join(penalties)}, for which torch.nn.{row.theirs} has no "
                "settings. drop_penalties=True leaves them out; PyTorch's optimizers have "
                "weight_decay."
            )
        return _laid_out(row.write(self._torch.nn, layer), layer, row, where, self._layouts, shape)


def _laid_out(
    module: Any, layer: Layer, row: Row, where: str, layouts: Layouts, shape: Shape | None
) -> Any:
    """The module, as one for the layout of what comes to it."""
    layout, fits = layouts.of(layer), row.layout
    if layout.kind == "first":
        if fits is None or fits.first is None:
            raise ArgumentError(
                f"{where}, a {layer.kind}, takes the features last; in PyTorch it comes behind "
                "modules that have the channels first. Put a Flatten or a GlobalAveragePool "
                "between, or convert the layers apart."
            )
        module = fits.first(module, layout.n_axes)
        if isinstance(layer, Flatten) and id(layer) in layouts.by_place:
            module = class_named("FlattenPlaces")()
    elif layout.kind == "last" and fits is not None and fits.last is not None:
        module = fits.last(module, len(shape or (0,)) - 1)
    if isinstance(layer, Reshape):
        module.gives_first = id(layer) in layouts.first
    return module


def _penalties(layer: Layer) -> list[str]:
    """The settings of a layer that cost something, or hold weights back, in training."""
    return [
        name
        for name, value in layer.options().items()
        if value and ("regularizer" in name or name == "max_norm")
    ]


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


class _Leaf(NamedTuple):
    """A module that was read, with what is still to be done with it."""

    prefix: str
    module: Any
    layer: Layer
    shared: dict[str, tuple[str, str]]


_AXES = {"BatchNorm2d": 2, "AdaptiveAvgPool1d": 1, "AdaptiveMaxPool1d": 1}
_AXES |= {"AdaptiveAvgPool2d": 2, "AdaptiveMaxPool2d": 2}
"""Modules of layers that take any layout, and the axes that they take behind the channels."""


class _Reader:
    """Makes the layers here from modules."""

    def __init__(self, torch: Any, wanted: Wanted) -> None:
        self._torch = torch
        self._wanted = wanted
        self._containers = {each.forward: ours for ours, each in _containers().items()}
        self._unseen = Unseen(torch)
        self._leaves: list[_Leaf] = []
        self._concatenated: list[tuple[str, Any, Layer]] = []

    def model(self, source: Any) -> Layer:
        self._unseen.refuse_global_hooks()
        model = self._layer(source, "", branch=False)
        layouts = self._layouts(model)
        for leaf in self._leaves:
            with _at(leaf.prefix, leaf.module):
                self._fill(leaf, layouts)
        self._check_layouts(model, layouts)
        return model

    def _layer(self, module: Any, prefix: str, branch: bool) -> Layer:
        """The layer of a module; `branch` where others are given the same inputs."""
        with _at(prefix, module):
            if module is None:
                raise ArgumentError("there is no module.")
            container = self._containers.get(type(module).forward)
            if container is None:
                row = self._row(module)
                self._unseen.refuse_changed(module, branch)
                return self._leaf(module, row, prefix)
            self._unseen.refuse_changed(module, branch)
        branch = branch or container is not Sequential
        # Not named_children(), which leaves out a module that appears a second time.
        children = module._modules.items()
        layers = [self._layer(child, f"{prefix}{name}.", branch) for name, child in children]
        with _at(prefix, module):
            layer = container(*layers)
        if container is Concatenate:
            self._concatenated.append((prefix, module, layer))
        return layer

    def _row(self, module: Any) -> Row:
        """The row of a module; of a lazy one, that of what it becomes when it is called."""
        kind = type(module)
        if is_stock(self._torch, kind):
            kind = getattr(kind, "cls_to_become", None) or kind
        row = _BY_MODULE.get(kind.__name__)
        # PyTorch's class or ours, not one that only has its name.
        if row is None or kind is not class_named(kind.__name__):
            raise ArgumentError(why_unknown(self._torch, module))
        return row

    def _leaf(self, module: Any, row: Row, prefix: str) -> Layer:
        if row.differs_in_training:
            self._unseen.refuse_mixed(module, prefix[:-1])
        shared = self._unseen.shared(module, prefix[:-1])
        try:
            layer = row.read(module, self._wanted)
        except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
            if isinstance(error, NnfsError):
                raise
            raise ArgumentError(f"its settings are none of a {row.theirs}: {error}.") from error
        self._leaves.append(_Leaf(prefix, module, layer, shared))
        return layer

    def _layouts(self, model: Layer) -> Layouts:
        """How values lie in the module, as far as the layers and the modules' classes tell."""
        wants, by_place = {}, set()
        for leaf in self._leaves:
            name = type(leaf.module).__name__
            if name in _AXES:
                wants[id(leaf.layer)] = _AXES[name]
            if name == "FlattenPlaces":
                by_place.add(id(leaf.layer))
        return Layouts(model, wants, by_place)

    def _fill(self, leaf: _Leaf, layouts: Layouts) -> None:
        """Put the module's weights into the layer, and freeze and tie what is so there."""
        prefix, module, layer, shared = leaf
        places = places_of(prefix, layer, layouts)
        for key, tensor in module.state_dict().items():
            if key in places:
                value = fitted(prefix + key, tensor, layer, places[key])
                setattr(layer, places[key].name, value)
        made = {each.prefix[:-1]: each.layer for each in self._leaves}
        for name, (owner, theirs) in shared.items():
            its_place = places_of(f"{owner}.", made[owner], layouts)[theirs]
            tie_as_shared(layer, places[name], made[owner], its_place, owner)
        frozen = {
            places[name].name
            for name, tensor in module.named_parameters(recurse=False)
            if not tensor.requires_grad
        }
        if frozen:
            layer.trainable = tuple(layer._shapes.keys() - frozen) or False

    def _check_layouts(self, model: Layer, layouts: Layouts) -> None:
        """Refuse modules that take another layout than that in which values come to them."""
        shapes = {id(layer): shape for layer, shape in model.shapes_within(model.input_shape)}
        for n, (prefix, module, layer, _) in enumerate(self._leaves):
            with _at(prefix, module):
                if hasattr(module, "output_size"):
                    self._check_flattened([each.module for each in self._leaves[n + 1 :]])
                self._check_layout(module, layer, layouts, shapes.get(id(layer)) or None)
        for prefix, module, layer in self._concatenated:
            layout = layouts.of(layer)
            if module.dim not in ((1,) if layout.kind == "first" else (-1,)):
                with _at(prefix, module):
                    raise ArgumentError(f"its `dim`, {module.dim}, is not that of the features.")

    def _check_layout(
        self, module: Any, layer: Layer, layouts: Layouts, shape: Shape | None
    ) -> None:
        layout, name = layouts.of(layer), type(module).__name__
        of_rows = len(shape or ()) < 2
        takes_axis_1 = name == "BatchNorm1d" or (name == "Softmax" and module.dim == 1)
        if layout.kind == "last" and takes_axis_1 and not of_rows:
            raise ArgumentError(
                f"it takes axis 1 for the features, and samples of shape {shape} come to it; "
                "layers here take the last axis."
            )
        # What takes the last axis takes rows, and may be given more than these.
        shapes = [shape, (None, None)] if of_rows else [shape]
        expected = [self._expected(layer, layouts, each) for each in shapes]
        if _as_laid_out(module, layout) in [_as_laid_out(each, layout) for each in expected]:
            return
        if isinstance(layer, Flatten):
            raise ArgumentError(
                "the features of its rows lie channel by channel, and nothing tells how many "
                "channels there are, or no Linear behind it takes them in that order. Convert the "
                "modules before it and behind it apart."
            )
        takes, comes = ("last", "first") if layout.kind == "first" else ("first", "last")
        raise ArgumentError(
            f"it takes the features {takes}, and what comes to it has them {comes}. Convert the "
            "modules before it and behind it apart."
        )

    def _expected(self, layer: Layer, layouts: Layouts, shape: Shape | None) -> Any:
        """The module that is written for such a layer, in that place."""
        row = row_of(layer)
        assert row is not None
        with self._torch.device("meta"):
            module = row.write(self._torch.nn, layer)
            return _laid_out(module, layer, row, "it", layouts, shape)

    def _check_flattened(self, behind: list[Any]) -> None:
        """Refuse an adaptive pool that leaves axes of length 1 for something to see."""
        for module in behind:
            name = type(module).__name__
            if name == "Flatten":
                return
            row = _BY_MODULE[name]
            if row.layout is not ANYWHERE:
                break
        raise ArgumentError(
            "its output keeps axes of length 1, which that of layers here has not. Put a "
            "torch.nn.Flatten() behind it."
        )


def _at(prefix: str, module: Any) -> AbstractContextManager[None]:
    """Begin the message of an error with the path and the class of the module."""
    return at(f"module `{prefix[:-1]}`" if prefix else "the module", module)


_SAME = {"AdaptiveAvgPool1d": "GlobalAveragePool", "AdaptiveAvgPool2d": "GlobalAveragePool"}
_SAME |= {"AdaptiveMaxPool1d": "GlobalMaxPool", "AdaptiveMaxPool2d": "GlobalMaxPool"}
_SAME |= {"UpsamplingNearest2d": "Upsample"}
"""Modules of PyTorch's that do, in their layout, what those do that are written here."""


def _as_laid_out(module: Any, layout: Layout) -> tuple[Any, ...]:
    """What tells the layout that a module takes and gives."""
    name = type(module).__name__
    is_adaptive = hasattr(module, "output_size")
    first = getattr(module, "channels_first", is_adaptive)
    turns = tuple(getattr(module, each, False) for each in ("takes_first", "gives_first"))
    dim = getattr(module, "dim", None) if layout.kind == "first" else None
    return _SAME.get(name, name), first, getattr(module, "features_last", False), turns, dim


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
