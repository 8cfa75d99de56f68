"""Make layers from modules of PyTorch."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from nnfs_xp.errors import ArgumentError, NnfsError
from nnfs_xp.interop.torch.layers import ROWS
from nnfs_xp.interop.torch.layouts import Layout, Layouts, row_of
from nnfs_xp.interop.torch.modules import class_named
from nnfs_xp.interop.torch.names import fitted, places_of, tie_as_shared
from nnfs_xp.interop.torch.rows import ANYWHERE, Row
from nnfs_xp.interop.torch.unknown import is_stock, why_unknown
from nnfs_xp.interop.torch.unseen import Unseen
from nnfs_xp.interop.torch.writing import containers, laid_out
from nnfs_xp.interop.translation import Wanted, at
from nnfs_xp.layers import Concatenate, Flatten, Layer, Sequential
from nnfs_xp.layers.base import Shape

_BY_MODULE: dict[str, Row] = {
    name: row for row in reversed(ROWS) for name in (row.theirs, *row.also)
}


class _Leaf(NamedTuple):
    """A module that was read, with what is still to be done with it."""

    prefix: str
    module: Any
    layer: Layer
    shared: dict[str, tuple[str, str]]


_AXES = {"BatchNorm2d": 2, "AdaptiveAvgPool1d": 1, "AdaptiveMaxPool1d": 1}
_AXES |= {"AdaptiveAvgPool2d": 2, "AdaptiveMaxPool2d": 2}
"""Modules of layers that take any layout, and the axes that they take behind the channels."""


class Reader:
    """Makes the layers here from modules, with their weights.

    Parameters
    ----------
    torch : module
    wanted : Wanted
    """

    def __init__(self, torch: Any, wanted: Wanted) -> None:
        self._torch = torch
        self._wanted = wanted
        self._containers = {each.forward: ours for ours, each in containers().items()}
        self._unseen = Unseen(torch)
        self._leaves: list[_Leaf] = []
        self._concatenated: list[tuple[str, Any, Layer]] = []

    def model(self, source: Any) -> Layer:
        """The layer of a module, or `ArgumentError` where there is none."""
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
        row = row_of(layer)
        needs_first = row is not None and row.layout is not None and row.layout.last is None
        takes_axis_1 = name == "BatchNorm1d" or (name == "Softmax" and module.dim == 1)
        takes_axis_1 = takes_axis_1 or needs_first
        if layout.kind == "last" and takes_axis_1 and not of_rows:
            raise ArgumentError(
                f"it takes axis 1 for the features, and samples of shape {shape} come to it; "
                "layers here take the last axis."
            )
        # What takes the last axis takes rows, and may be given more than these.
        shapes = [shape, (None, None)] if of_rows and not needs_first else [shape]
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
            return laid_out(module, layer, row, "it", layouts, shape)

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
