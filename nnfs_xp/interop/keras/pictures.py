"""The rows of the table that are for pictures and sequences: both take the channels last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnfs_xp import layers
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.keras.activations import activation_of
from nnfs_xp.interop.keras.rows import (
    Row,
    alike,
    kernel_options,
    n_features_of,
    penalty,
    refuse_set,
    scale_options,
    to_normalization,
    to_weight_options,
    weight_options,
)
from nnfs_xp.interop.translation import Wanted, expect
from nnfs_xp.interop.windows import of_axes
from nnfs_xp.layers import Layer
from nnfs_xp.layers.base import Shape


def _check_last(layer: Any) -> None:
    """Refuse a layer for pictures whose channels come first."""
    if layer.data_format != "channels_last":
        raise ArgumentError(
            f"its `data_format` must be 'channels_last', as here; got {layer.data_format!r}."
        )


def _with_activation(layer: Layer, theirs: Any) -> list[Layer]:
    activation = activation_of(theirs.activation)
    return [layer] if isinstance(activation, layers.Linear) else [layer, activation]


def _setting(pair: Any) -> Any:
    """A setting of one number an axis, as layers here take it."""
    return tuple(pair) if len(pair) == 2 else pair[0]


def _windows(layer: Any, *names: str) -> dict[str, Any]:
    theirs = {"dilation": "dilation_rate", "size": "pool_size"}
    return {name: _setting(getattr(layer, theirs.get(name, name))) for name in names}


def _read_convolution(layer: Any, wanted: Wanted) -> dict[str, Any]:
    """What is read alike of all convolutions."""
    _check_last(layer)
    expect(layer, bias_constraint=(None,))
    refuse_set(layer, "lora_enabled", "quantization_mode")
    return {
        **_windows(layer, "kernel_size", "strides", "dilation"),
        "padding": layer.padding,
        "use_bias": layer.use_bias or wanted.add_parameters,
        "dtype": wanted.dtype,
        "seed": 0,
    }


def _write_convolution(layer: Any, dtype: str) -> dict[str, Any]:
    """What is written alike of all convolutions."""
    if max(layer._strides) > 1 and max(layer._dilation) > 1:
        raise ArgumentError(
            f"{layer!r} has no counterpart in Keras, which has strides or a dilation, not both."
        )
    return {
        "kernel_size": tuple(of_axes(layer, layer._size)),
        "strides": tuple(of_axes(layer, layer._strides)),
        "dilation_rate": tuple(of_axes(layer, layer._dilation)),
        "padding": layer._padding,
        "use_bias": layer.use_bias,
        "dtype": dtype,
    }


def _padded(keras: Any, layer: Any, dtype: str, build: Callable[..., Any]) -> Any:
    """What `build` makes, with zeros around pictures before it where Keras' padding lacks them."""
    settings = _write_convolution(layer, dtype)
    if isinstance(layer._padding, str):
        return build(**settings)
    before, behind = layer._padding[1]
    if layer.n_axes == 1 and behind == 0 and before == layer._dilation[1] * (layer._size[1] - 1):
        return build(**{**settings, "padding": "causal"})
    name = "ZeroPadding2D" if layer.n_axes == 2 else "ZeroPadding1D"
    sides = layer._padding if layer.n_axes == 2 else layer._padding[1]
    around = getattr(keras.layers, name)(sides, dtype=dtype)
    row = keras.Sequential([around, build(**{**settings, "padding": "valid"})])
    row.dtype_policy = keras.DTypePolicy(dtype)
    return row


def _convolution(ours: Any, note: str) -> Row:
    name = ours.__name__
    axes = list(range(ours.n_axes + 1))

    def read(layer: Any, wanted: Wanted) -> list[Layer]:
        settings = _read_convolution(layer, wanted)
        if layer.padding == "causal":
            settings["padding"] = (settings["dilation"] * (settings["kernel_size"] - 1), 0)
        n_channels = layer.kernel.shape[-2] * layer.groups
        options = weight_options(layer, "kernel", axes)
        found = ours(n_channels, layer.filters, groups=layer.groups, **settings, **options)
        return _with_activation(found, layer)

    def write(keras: Any, layer: Any, dtype: str) -> Any:
        options = to_weight_options(keras, layer, "kernel", axes)

        def build(**settings: Any) -> Any:
            kind = getattr(keras.layers, name)
            return kind(layer.n_filters, groups=layer.groups, **settings, **options)

        return _padded(keras, layer, dtype, build)

    return Row(ours, name, read, write, note, {"weights": "kernel", "biases": "bias"})


def _depthwise(layer: Any, wanted: Wanted) -> list[Layer]:
    settings = _read_convolution(layer, wanted)
    options = weight_options(layer, "depthwise", [0, 1])
    n_channels, multiplier = layer.kernel.shape[-2:]
    found = layers.DepthwiseConv2D(n_channels, multiplier=multiplier, **settings, **options)
    return _with_activation(found, layer)


def _to_depthwise(keras: Any, layer: Any, dtype: str) -> Any:
    options = to_weight_options(keras, layer, "depthwise", [0, 1])

    def build(**settings: Any) -> Any:
        return keras.layers.DepthwiseConv2D(
            depth_multiplier=layer.multiplier, **settings, **options
        )

    return _padded(keras, layer, dtype, build)


def _depthwise_shape(layer: Any) -> tuple[int, ...]:
    return (*layer._size, layer.n_channels, layer.multiplier)


def _separable(layer: Any, wanted: Wanted) -> list[Layer]:
    settings = _read_convolution(layer, wanted)
    options = weight_options(layer, "depthwise", [0, 1])
    if options != weight_options(layer, "pointwise", [0, 1, 2]):
        raise ArgumentError(
            "its `depthwise_regularizer` and `pointwise_regularizer`, and their constraints, must "
            "be alike."
        )
    found = layers.SeparableConv2D(
        layer.depthwise_kernel.shape[-2],
        layer.filters,
        multiplier=layer.depth_multiplier,
        **settings,
        **options,
    )
    return _with_activation(found, layer)


def _to_separable(keras: Any, layer: Any, dtype: str) -> Any:
    first, second = layer.children
    options = kernel_options(keras, first, "depthwise", [0, 1])
    options |= kernel_options(keras, second, "pointwise", [0, 1, 2])
    bias = penalty(keras, second.bias_regularizer_l1, second.bias_regularizer_l2)

    def build(**settings: Any) -> Any:
        return keras.layers.SeparableConv2D(
            layer.n_filters,
            depth_multiplier=layer.multiplier,
            bias_regularizer=bias,
            **{**settings, "use_bias": second.use_bias},
            **options,
        )

    return _padded(keras, first, dtype, build)


def _default_more(size: Any, strides: Any, dilation: Any) -> list[int]:
    """What a transposed convolution of Keras' puts behind its output unless told otherwise."""
    each = zip(size, strides, dilation, strict=True)
    return [max(s - d * (k - 1) - 1, 0) for k, s, d in each]


def _transposed(ours: Any, note: str) -> Row:
    name = ours.__name__
    axes = [*range(ours.n_axes), ours.n_axes + 1]

    def read(layer: Any, wanted: Wanted) -> list[Layer]:
        settings = _read_convolution(layer, wanted)
        more = layer.output_padding
        if layer.padding == "same" and more is not None:
            raise ArgumentError(
                f"its `output_padding` must be None with padding='same'; got {more!r}."
            )
        if layer.padding == "valid":
            more = [more] * ours.n_axes if isinstance(more, int) else more
            none = _default_more(layer.kernel_size, layer.strides, layer.dilation_rate)
            settings["output_padding"] = _setting(none if more is None else more)
        options = weight_options(layer, "kernel", axes)
        found = ours(layer.kernel.shape[-1], layer.filters, **settings, **options)
        return _with_activation(found, layer)

    def write(keras: Any, layer: Any, dtype: str) -> Any:
        if layer.groups != 1 or not isinstance(layer._padding, str):
            raise ArgumentError(
                f"{layer!r} has no counterpart in Keras, whose transposed convolutions have no "
                "groups, and a padding that is 'valid' or 'same'."
            )
        settings = _write_convolution(layer, dtype)
        more = of_axes(layer, layer._more)
        windows = (layer._size, layer._strides, layer._dilation)
        none = _default_more(*(of_axes(layer, each) for each in windows))
        if layer._padding == "valid" and more != none:
            settings["output_padding"] = tuple(more)
        options = to_weight_options(keras, layer, "kernel", axes)
        return getattr(keras.layers, name)(layer.n_filters, **settings, **options)

    return Row(ours, name, read, write, note, {"weights": "kernel", "biases": "bias"})


def _pool(ours: Any, theirs: str, note: str) -> Row:
    averages = theirs.startswith("Average")

    def read(layer: Any, _: Wanted) -> list[Layer]:
        _check_last(layer)
        return [ours(**_windows(layer, "size", "strides"), padding=layer.padding)]

    def write(keras: Any, layer: Any, dtype: str) -> Any:
        counts = averages and layer.counts_padding and layer._padding != "valid"
        if counts or not isinstance(layer._padding, str):
            raise ArgumentError(
                f"{layer!r} has no counterpart in Keras, whose pools have a padding that is "
                "'valid' or 'same', and never count it."
            )
        return getattr(keras.layers, theirs)(
            tuple(of_axes(layer, layer._size)),
            tuple(of_axes(layer, layer._strides)),
            padding=layer._padding,
            dtype=dtype,
        )

    return Row(ours, theirs, read, write, note)


def _global_pool(ours: Any, theirs: str) -> Row:
    def read(layer: Any, _: Wanted) -> list[Layer]:
        _check_last(layer)
        expect(layer, keepdims=(False,))
        return [ours()]

    def write(keras: Any, layer: Any, dtype: str, shape: Shape | None) -> Any:
        if shape is None or len(shape) not in (2, 3):
            raise ArgumentError(
                f"{layer!r} has a counterpart in Keras for pictures and sequences only, and the "
                f"shape of its samples is {shape}; say that of the model's in `input_shape`."
            )
        return getattr(keras.layers, f"{theirs}{len(shape) - 1}D")(dtype=dtype)

    note = f"for sequences `{theirs}1D`; without `keepdims`"
    return Row(ours, f"{theirs}2D", read, write, note, also=(f"{theirs}1D",), by_shape=True)


def _upsample(layer: Any, _: Wanted) -> list[Layer]:
    _check_last(layer)
    expect(layer, interpolation=("nearest",))
    return [layers.Upsample2D(tuple(layer.size))]


def _zero_pad(layer: Any, _: Wanted) -> list[Layer]:
    _check_last(layer)
    return [layers.ZeroPad2D(tuple(map(tuple, layer.padding)))]


def _group_norm(layer: Any, wanted: Wanted) -> list[Layer]:
    if layer.axis not in (-1, getattr(layer.input_spec, "ndim", 0) - 1):
        raise ArgumentError(f"its `axis` must be that of the features, -1; got {layer.axis}.")
    n_features = n_features_of(layer)
    n_groups = n_features if layer.groups == -1 else layer.groups
    settings = {"epsilon": layer.epsilon, "dtype": wanted.dtype, **scale_options(layer, wanted)}
    return [layers.GroupNorm(n_features, n_groups, **settings)]


_SIDES = "a padding of numbers as a `ZeroPadding2D` before it"

PICTURE_ROWS = (
    _convolution(
        layers.Conv2D,
        "weights are (height, width, channels / groups, filters) in both; `activation=` becomes a "
        f"layer of its own; `data_format` channels_last only; {_SIDES}",
    ),
    _convolution(layers.Conv1D, 'as `Conv2D`; "causal" is (dilation * (size - 1), 0)'),
    Row(
        layers.DepthwiseConv2D,
        "DepthwiseConv2D",
        _depthwise,
        _to_depthwise,
        "weights are (height, width, 1, channels * multiplier) here, (height, width, channels, "
        "multiplier) there; `multiplier` is `depth_multiplier`",
        {"weights": "kernel", "biases": "bias"},
        shape=_depthwise_shape,
    ),
    Row(
        layers.SeparableConv2D,
        "SeparableConv2D",
        _separable,
        _to_separable,
        "a `Block` of two layers here",
        {
            "0.weights": "depthwise_kernel",
            "1.weights": "pointwise_kernel",
            "1.biases": "bias",
        },
    ),
    _transposed(
        layers.Conv2DTranspose,
        "weights are (height, width, filters, channels) in both; without groups; `padding` valid "
        "or same; where strides are larger than the windows, valid means `output_padding` here",
    ),
    _transposed(layers.Conv1DTranspose, "as `Conv2DTranspose`"),
    _pool(layers.MaxPool2D, "MaxPooling2D", "`size` is `pool_size`; `padding` valid or same"),
    _pool(layers.MaxPool1D, "MaxPooling1D", "as `MaxPool2D`"),
    _pool(layers.AveragePool2D, "AveragePooling2D", "as `MaxPool2D`; without `counts_padding`"),
    _pool(layers.AveragePool1D, "AveragePooling1D", "as `AveragePool2D`"),
    _global_pool(layers.GlobalAveragePool, "GlobalAveragePooling"),
    _global_pool(layers.GlobalMaxPool, "GlobalMaxPooling"),
    Row(
        layers.Upsample2D,
        "UpSampling2D",
        _upsample,
        alike("UpSampling2D", size="size"),
        "`interpolation` nearest",
    ),
    Row(layers.ZeroPad2D, "ZeroPadding2D", _zero_pad, alike("ZeroPadding2D", padding="padding")),
    Row(
        layers.GroupNorm,
        "GroupNormalization",
        _group_norm,
        to_normalization("GroupNormalization", groups="n_groups", epsilon="epsilon"),
        "`epsilon` is 1e-5 by default here, 1e-3 there",
        {"gamma": "gamma", "beta": "beta"},
    ),
    Row(
        layers.Reshape,
        "Reshape",
        lambda layer, _: [layers.Reshape(tuple(layer.target_shape))],
        alike("Reshape", target_shape="shape"),
    ),
)
"""The rows of layers for pictures and sequences."""
