"""The rows of the table that are for pictures and sequences."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from nnfs_xp import layers
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.torch.modules import class_named
from nnfs_xp.interop.torch.rows import (
    Fits,
    Place,
    Row,
    alike,
    as_is,
    check_present,
    scale_and_center,
    turned_into,
    vector,
    without,
)
from nnfs_xp.interop.translation import Wanted, expect
from nnfs_xp.interop.windows import Sides, cut_off, of_axes
from nnfs_xp.layers import Layer
from nnfs_xp.layers.windowed import OnPictures, Windowed

OWN = "PyTorch has none: a class in `nnfs_xp.interop.torch.modules`"


def _filters(value: Any) -> Any:
    """The last two axes in front, the last one first."""
    return np.moveaxis(value, (-1, -2), (0, 1))


def _filters_back(tensor: Any) -> Any:
    return np.moveaxis(tensor, (0, 1), (-1, -2))


_FILTERS = {"weight": Place("weights", _filters, _filters_back), "bias": vector("biases")}


def _on_pictures(name: str, **options: Any) -> Fits:
    """Of a module that takes the channels first, beside which there is one here for any layout."""
    last = turned_into(f"Any{name}", features_last=True)
    return Fits(wants_first=True, first=as_is, last=last, **options)


def _even(layer: OnPictures, sides: Sides) -> list[int] | None:
    """The padding as PyTorch says it, as wide behind as before; None where it is not."""
    pairs = of_axes(layer, sides)
    return [before for before, _ in pairs] if all(one == two for one, two in pairs) else None


def _with_sides(module: Any, layer: Windowed) -> Any:
    """The module with a padding that PyTorch's own cannot say."""
    sides = layer._padding if isinstance(layer._padding, str) else of_axes(layer, layer._padding)
    return turned_into(f"Any{type(module).__name__}", sides=sides)(module, layer.n_axes)


def _padding(module: Any, n_axes: int) -> Any:
    """The padding of a module, as layers here take it."""
    sides = getattr(module, "sides", None)
    if sides is not None:
        if isinstance(sides, str):
            return sides
        return tuple(map(tuple, sides)) if n_axes == 2 else tuple(sides[0])
    padding = module.padding
    if isinstance(padding, str):
        return padding
    each = _pair(padding, n_axes)
    if not any(each):
        return "valid"
    return tuple((side, side) for side in each) if n_axes == 2 else (each[0], each[0])


def _pair(value: Any, n_axes: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,) * n_axes


def _setting(value: Any, n_axes: int) -> Any:
    """A setting of one number an axis, as layers here take it."""
    return _pair(value, n_axes) if n_axes == 2 else _pair(value, n_axes)[0]


def _windows(module: Any, n_axes: int, *names: str) -> dict[str, Any]:
    theirs = {"strides": "stride", "size": "kernel_size"}
    return {name: _setting(getattr(module, theirs.get(name, name)), n_axes) for name in names}


@cache
def _read_convolution(ours: Any) -> Callable[[Any, Wanted], Layer]:
    def read(module: Any, wanted: Wanted) -> Layer:
        expect(module, padding_mode=("zeros",))
        check_present(module, "weight")
        settings = _windows(module, ours.n_axes, "kernel_size", "strides", "dilation")
        settings["padding"] = _padding(module, ours.n_axes)
        settings["use_bias"] = module.bias is not None or wanted.add_parameters
        n_channels, groups = module.in_channels, module.groups
        if ours is layers.Conv2D and groups == n_channels > 1:
            multiplier = module.out_channels // groups
            return layers.DepthwiseConv2D(
                n_channels, multiplier=multiplier, dtype=wanted.dtype, seed=0, **settings
            )
        if "output_padding" in vars(module) and ours not in (layers.Conv1D, layers.Conv2D):
            more = _setting(module.output_padding, ours.n_axes)
            settings["output_padding"] = 0 if settings["padding"] == "same" else more
        layer: Layer = ours(
            n_channels, module.out_channels, groups=groups, dtype=wanted.dtype, seed=0, **settings
        )
        return layer

    return read


def _shared(layer: Any) -> dict[str, Any]:
    """The settings that convolutions and transposed ones have."""
    return {
        "in_channels": layer.n_channels,
        "out_channels": layer.n_filters,
        "kernel_size": tuple(of_axes(layer, layer._size)),
        "stride": tuple(of_axes(layer, layer._strides)),
        "dilation": tuple(of_axes(layer, layer._dilation)),
        "groups": layer.groups,
        "bias": layer.use_bias,
    }


def _convolution(ours: Any, theirs: str, note: str, base: Any = None) -> Row:
    def write(nn: Any, layer: Any) -> Any:
        module = getattr(nn, theirs)
        padding: Any = None
        if layer._padding != "same":
            padding = _even(layer, layer._sides_of(1, 1))
        elif layer._strides == (1, 1) and _even(layer, layer._sides_of(1, 1)) is not None:
            padding = "same"
        if padding is None:
            return _with_sides(module(**_shared(layer)), layer)
        return module(**_shared(layer), padding=padding)

    return Row(
        ours,
        theirs,
        _read_convolution(base or ours),
        write,
        note=note,
        weights=_FILTERS,
        also=(f"Any{theirs}",),
        layout=_on_pictures(theirs),
    )


def _transposed(ours: Any, theirs: str, note: str) -> Row:
    def write(nn: Any, layer: Any) -> Any:
        sides, more = cut_off(layer)
        padding, extra = _even(layer, sides), tuple(of_axes(layer, more))
        module = getattr(nn, theirs)
        if padding is None:
            return _with_sides(module(**_shared(layer), output_padding=extra), layer)
        return module(**_shared(layer), padding=padding, output_padding=extra)

    return Row(
        ours,
        theirs,
        _read_convolution(ours),
        write,
        note=note,
        weights=_FILTERS,
        also=(f"Any{theirs}",),
        layout=_on_pictures(theirs),
    )


def _pool(ours: Any, theirs: str, note: str) -> Row:
    averages = theirs.startswith("Avg")

    def read(module: Any, _: Wanted) -> Layer:
        settings = _windows(module, ours.n_axes, "size", "strides")
        settings["padding"] = _padding(module, ours.n_axes)
        expect(module, ceil_mode=(False,))
        if averages:
            if ours.n_axes == 2:
                expect(module, divisor_override=(None,))
            settings["counts_padding"] = module.count_include_pad
        else:
            if any(each != 1 for each in _pair(module.dilation, ours.n_axes)):
                raise ArgumentError(f"its `dilation` must be 1; got {module.dilation!r}.")
            expect(module, return_indices=(False,))
        layer: Layer = ours(**settings)
        return layer

    def write(nn: Any, layer: Any) -> Any:
        size, strides = (tuple(of_axes(layer, each)) for each in (layer._size, layer._strides))
        settings: dict[str, Any] = {"kernel_size": size, "stride": strides}
        if averages:
            settings["count_include_pad"] = layer.counts_padding
        module = getattr(nn, theirs)
        padding = None if layer._padding == "same" else _even(layer, layer._sides_of(1, 1))
        if padding is None or any(2 * p > n for p, n in zip(padding, size, strict=True)):
            return _with_sides(module(**settings), layer)
        return module(**settings, padding=tuple(padding))

    return Row(
        ours,
        theirs,
        read,
        write,
        note=note,
        also=(f"Any{theirs}",),
        layout=_on_pictures(theirs),
    )


def _global_pool(ours: type[Layer], name: str) -> Row:
    def read(module: Any, _: Wanted) -> Layer:
        if hasattr(module, "output_size"):
            if any(each != 1 for each in _pair(module.output_size, 1)):
                raise ArgumentError(
                    f"its `output_size` must be 1, one number a channel; got "
                    f"{module.output_size!r}."
                )
            expect(module, **({"return_indices": (False,)} if "Max" in name else {}))
        return ours()

    def first(module: Any, n_axes: int) -> Any:
        del n_axes
        module.channels_first = True
        return module

    adaptive = f"Adaptive{'Max' if 'Max' in name else 'Avg'}Pool"
    return Row(
        ours,
        name,
        read,
        lambda *_: class_named(name)(),
        note=f"{OWN}; `{adaptive}2d(1)` with a `Flatten` behind it is read",
        also=(f"{adaptive}1d", f"{adaptive}2d"),
        layout=Fits(first=first, last=as_is, leaves="row"),
    )


def _upsample(module: Any, _: Wanted) -> Layer:
    expect(module, mode=("nearest",), size=(None,))
    factors = _pair(module.scale_factor, 2)
    if not all(float(each).is_integer() for each in factors):
        raise ArgumentError(f"its `scale_factor` must be whole; got {module.scale_factor!r}.")
    return layers.Upsample2D(tuple(map(int, factors)))


def _zero_pad(module: Any, _: Wanted) -> Layer:
    left, right, top, bottom = module.padding
    return layers.ZeroPad2D(((top, bottom), (left, right)))


def _to_zero_pad(nn: Any, layer: Any) -> Any:
    (top, bottom), (left, right) = layer._sides
    return nn.ZeroPad2d((left, right, top, bottom))


def _group_norm(module: Any, wanted: Wanted) -> Layer:
    return layers.GroupNorm(
        module.num_channels,
        module.num_groups,
        epsilon=module.eps,
        dtype=wanted.dtype,
        **scale_and_center(module, wanted),
    )


def _to_group_norm(nn: Any, layer: Any) -> Any:
    affine = layer.scale or layer.center
    module = nn.GroupNorm(layer.n_groups, layer.n_features, eps=layer.epsilon, affine=affine)
    return without(module, layer)


def _group_norm_last(module: Any, n_axes: int) -> Any:
    """Of rows, both layouts are one."""
    return turned_into("AnyGroupNorm", features_last=True)(module, n_axes) if n_axes else module


def _reshape_first(module: Any, n_axes: int) -> Any:
    del n_axes
    module.takes_first = True
    return module


_FILTERS_NOTE = (
    "weights are (height, width, channels, filters) here, (filters, channels, height, width) there"
)
_OTHER_PADDING = (
    "a padding that is not the same on both sides by a class in `nnfs_xp.interop.torch.modules`"
)

PICTURE_ROWS = (
    _convolution(
        layers.Conv2D,
        "Conv2d",
        f'{_FILTERS_NOTE}; `padding_mode` zeros; {_OTHER_PADDING}, and "same" with strides',
    ),
    _convolution(layers.Conv1D, "Conv1d", "as `Conv2D`"),
    _convolution(
        layers.DepthwiseConv2D,
        "Conv2d",
        "a `Conv2d` with as many `groups` as channels, and read from one",
        layers.Conv2D,
    ),
    _transposed(
        layers.Conv2DTranspose,
        "ConvTranspose2d",
        "weights are (height, width, filters, channels) here, (channels, filters, height, width) "
        'there; `padding` is what is cut off; "same" is read back as numbers',
    ),
    _transposed(layers.Conv1DTranspose, "ConvTranspose1d", "as `Conv2DTranspose`"),
    _pool(layers.MaxPool2D, "MaxPool2d", f"without `ceil_mode` and `dilation`; {_OTHER_PADDING}"),
    _pool(layers.MaxPool1D, "MaxPool1d", "as `MaxPool2D`"),
    _pool(
        layers.AveragePool2D,
        "AvgPool2d",
        "as `MaxPool2D`; `counts_padding` is `count_include_pad`, False by default here and True "
        "there",
    ),
    _pool(layers.AveragePool1D, "AvgPool1d", "as `AveragePool2D`"),
    _global_pool(layers.GlobalAveragePool, "GlobalAveragePool"),
    _global_pool(layers.GlobalMaxPool, "GlobalMaxPool"),
    Row(
        layers.Upsample2D,
        "Upsample",
        _upsample,
        lambda nn, la: nn.Upsample(scale_factor=la.size),
        note="`size` is `scale_factor`, whole; `mode` nearest",
        also=("AnyUpsample", "UpsamplingNearest2d"),
        layout=_on_pictures("Upsample"),
    ),
    Row(
        layers.ZeroPad2D,
        "ZeroPad2d",
        _zero_pad,
        _to_zero_pad,
        note="((top, bottom), (left, right)) here, (left, right, top, bottom) there",
        also=("AnyZeroPad2d",),
        layout=_on_pictures("ZeroPad2d"),
    ),
    Row(
        layers.GroupNorm,
        "GroupNorm",
        _group_norm,
        _to_group_norm,
        note="the number of groups comes first there; `epsilon` is `eps`; `scale` and `center` "
        "together are `affine`",
        weights={"weight": vector("gamma"), "bias": vector("beta")},
        also=("AnyGroupNorm",),
        layout=Fits(first=as_is, last=_group_norm_last),
    ),
    alike(
        layers.Reshape,
        "Reshape",
        {"shape": "shape"},
        note=OWN,
        layout=Fits(first=_reshape_first, last=as_is, leaves="open"),
    ),
)
"""The rows of layers for pictures and sequences."""
