"""Make modules of PyTorch from layers."""

from __future__ import annotations

from typing import Any

from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.beneath import class_among
from nnfs_xp.interop.torch.layers import BY_LAYER, CONTAINERS
from nnfs_xp.interop.torch.layouts import Layouts
from nnfs_xp.interop.torch.modules import class_named
from nnfs_xp.interop.torch.rows import Row
from nnfs_xp.layers import Concatenate, Flatten, Layer, Reshape
from nnfs_xp.layers.base import Shape


def containers() -> dict[type[Layer], Any]:
    """The modules of the layers made of layers."""
    return {each.ours: class_named(each.theirs) for each in CONTAINERS}


class Writer:
    """Makes modules from the layers here, on the active device, without their weights.

    Parameters
    ----------
    torch : module
    layouts : Layouts
        Of the model.
    drop_penalties : bool
        See `to_torch`.
    """

    def __init__(self, torch: Any, layouts: Layouts, drop_penalties: bool) -> None:
        self._torch = torch
        self._layouts = layouts
        self._drop_penalties = drop_penalties
        self._containers = containers()

    def module(self, layer: Layer, prefix: str, shape: Shape | None) -> Any:
        """The module of a layer that takes samples of that shape, where it is known."""
        where = f"layer {prefix[:-1]}" if prefix else "the model"
        kind = class_among({**BY_LAYER, **self._containers}, layer, "forward", "backward")
        if kind in self._containers:
            shapes = layer.child_input_shapes(shape)
            module = self._containers[kind](
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
        return laid_out(row.write(self._torch.nn, layer), layer, row, where, self._layouts, shape)


def laid_out(
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
    elif layout.kind == "last" and fits is not None:
        n_axes = len(shape or (0,)) - 1
        if fits.last is None and n_axes:
            raise ArgumentError(
                f"{where}, a {layer.kind}, is given samples of shape {shape}, and torch.nn."
                f"{row.theirs} takes axis 1 for the features. Convert the layers around it."
            )
        module = module if fits.last is None else fits.last(module, n_axes)
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
