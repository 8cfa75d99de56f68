"""The table of Keras' layers and those here: a row has all that Keras is told of one.

It needs no Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnfs_xp import layers
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.keras.activations import activation_of
from nnfs_xp.interop.keras.classes import custom_objects
from nnfs_xp.interop.keras.pictures import PICTURE_ROWS
from nnfs_xp.interop.keras.rows import (
    Container,
    Row,
    alike,
    n_features_of,
    refuse_set,
    scale_options,
    to_normalization,
    to_weight_options,
    weight_options,
)
from nnfs_xp.interop.translation import Wanted, check_codes, expect, expect_parameter
from nnfs_xp.layers import Layer


def _any_activation(layer: Any, _: Wanted) -> list[Layer]:
    return [activation_of(layer.activation)]


def _dense(layer: Any, wanted: Wanted) -> list[Layer]:
    expect(layer, bias_constraint=(None,))
    refuse_set(layer, "lora_enabled", "quantization_mode")
    expect_parameter(layer.use_bias, "bias", wanted)
    n_inputs, n_neurons = layer.kernel.shape
    options = weight_options(layer, "kernel")
    dense = layers.Dense(n_inputs, n_neurons, **options, dtype=wanted.dtype, seed=0)
    activation = activation_of(layer.activation)
    return [dense] if isinstance(activation, layers.Linear) else [dense, activation]


def _normalization(layer: Any, wanted: Wanted) -> dict[str, Any]:
    """The settings of a normalization of the features."""
    axes = list(layer.axis) if isinstance(layer.axis, list | tuple) else [layer.axis]
    n_axes = getattr(layer.input_spec, "ndim", None)
    if axes not in ([-1], [1], [n_axes and n_axes - 1]):
        raise ArgumentError(f"its `axis` must be that of the features, -1 or 1; got {axes}.")
    return {
        "epsilon": layer.epsilon,
        "dtype": wanted.dtype,
        **scale_options(layer, wanted),
    }


def _batch_norm(layer: Any, wanted: Wanted) -> list[Layer]:
    refuse_set(layer, "renorm")
    settings = _normalization(layer, wanted)
    return [layers.BatchNorm(layer.moving_mean.shape[0], momentum=layer.momentum, **settings)]


def _layer_norm(layer: Any, wanted: Wanted) -> list[Layer]:
    expect(layer, rms_scaling=(False,))
    return [layers.LayerNorm(n_features_of(layer), **_normalization(layer, wanted))]


def _embedding(layer: Any, wanted: Wanted) -> list[Layer]:
    expect(layer, mask_zero=(False,), embeddings_regularizer=(None,), embeddings_constraint=(None,))
    refuse_set(layer, "lora_enabled", "quantization_mode")
    return [layers.Embedding(layer.input_dim, layer.output_dim, dtype=wanted.dtype, seed=0)]


def _relu(layer: Any, _: Wanted) -> list[Layer]:
    expect(layer, max_value=(None,), threshold=(0,))
    return [layers.LeakyReLU(layer.negative_slope)] if layer.negative_slope else [layers.ReLU()]


def _softmax(layer: Any, _: Wanted) -> list[Layer]:
    expect(layer, axis=(-1, 1))
    return [layers.Softmax()]


def _flatten(layer: Any, _: Wanted) -> list[Layer]:
    expect(layer, data_format=("channels_last",))
    return [layers.Flatten()]


def _dropout(layer: Any, _: Wanted) -> list[Layer]:
    expect(layer, noise_shape=(None,))
    return [layers.Dropout(layer.rate)]


def _alpha_dropout(layer: Any, _: Wanted) -> list[Layer]:
    expect(layer, noise_shape=(None,))
    return [layers.AlphaDropout(layer.rate)]


def _to_dense(keras: Any, layer: Any, dtype: str) -> Any:
    options = to_weight_options(keras, layer, "kernel")
    return keras.layers.Dense(layer.n_neurons, **options, dtype=dtype)


def _to_gelu(keras: Any, layer: Any, dtype: str) -> Any:
    function = "gelu" if layer.approximate == "none" else custom_objects()["gelu_tanh"]
    return keras.layers.Activation(function, dtype=dtype)


def _to_embedding(keras: Any, layer: Any, dtype: str) -> Any:
    check_codes(layer, dtype)
    return keras.layers.Embedding(layer.n_values, layer.n_dimensions, dtype=dtype)


def _to_flatten(keras: Any, _: Any, dtype: str) -> Any:
    return keras.layers.Flatten(data_format="channels_last", dtype=dtype)


def _named(activation: str) -> Callable[[Any, Any, str], Any]:
    return lambda keras, _, dtype: keras.layers.Activation(activation, dtype=dtype)


def _function(ours: type[Layer], name: str) -> Row:
    """The row of a layer that Keras has as an activation function only."""
    note = f'`Activation("{name}")`'
    return Row(ours, "Activation", _any_activation, _named(name), note)


_OWN = "Keras has none: a class in `nnfs_xp.interop.keras`"

ROWS = (
    Row(
        layers.Dense,
        "Dense",
        _dense,
        _to_dense,
        note="weights are (inputs, neurons) in both; biases are (1, n) here, (n,) there; "
        "`activation=` becomes a layer of its own; always with biases here; "
        "`weight_regularizer_l1` and `…_l2` are `kernel_regularizer` there, penalties on biases "
        "`bias_regularizer`, `max_norm` is `kernel_constraint=MaxNorm(axis=0)`",
        weights={"weights": "kernel", "biases": "bias"},
    ),
    Row(
        layers.BatchNorm,
        "BatchNormalization",
        _batch_norm,
        to_normalization("BatchNormalization", momentum="momentum", epsilon="epsilon"),
        note="`momentum` is the weight of the past in both, 0.9 by default here and 0.99 there; "
        "`epsilon` 1e-5 and 1e-3; the running variance is the unbiased estimate here only",
        weights={
            "gamma": "gamma",
            "beta": "beta",
            "running_mean": "moving_mean",
            "running_variance": "moving_variance",
        },
    ),
    Row(
        layers.LayerNorm,
        "LayerNormalization",
        _layer_norm,
        to_normalization("LayerNormalization", epsilon="epsilon"),
        note="`epsilon` is 1e-5 by default here, 1e-3 there",
        weights={"gamma": "gamma", "beta": "beta"},
    ),
    Row(
        layers.Embedding,
        "Embedding",
        _embedding,
        _to_embedding,
        note="without `mask_zero`; with more than 2**24 codes in float64 only",
        weights={"weights": "embeddings"},
    ),
    Row(
        layers.ReLU,
        "ReLU",
        _relu,
        _named("relu"),
        note='written as `Activation("relu")`; with a `negative_slope` read as `LeakyReLU`',
    ),
    Row(
        layers.LeakyReLU,
        "LeakyReLU",
        lambda layer, _: [layers.LeakyReLU(layer.negative_slope)],
        alike("LeakyReLU", negative_slope="negative_slope"),
        note='a slope of 0.01 by default here, 0.3 there; `Activation("leaky_relu")` has 0.2',
    ),
    Row(
        layers.ELU,
        "ELU",
        lambda layer, _: [layers.ELU(layer.alpha)],
        alike("ELU", alpha="alpha"),
        note='also `Activation("elu")`',
    ),
    _function(layers.SELU, "selu"),
    Row(
        layers.GELU,
        "Activation",
        _any_activation,
        _to_gelu,
        note='`Activation("gelu")`; for `GELU("tanh")` Keras has none: a function in '
        "`nnfs_xp.interop.keras`",
    ),
    _function(layers.SiLU, "silu"),
    _function(layers.Mish, "mish"),
    _function(layers.Sigmoid, "sigmoid"),
    _function(layers.Tanh, "tanh"),
    _function(layers.Softplus, "softplus"),
    Row(
        layers.Softmax,
        "Softmax",
        _softmax,
        alike("Softmax"),
        note='also `Activation("softmax")`',
    ),
    Row(
        layers.Linear,
        "Identity",
        lambda *_: [layers.Linear()],
        alike("Identity"),
        note='also `Activation("linear")`',
    ),
    Row(layers.Flatten, "Flatten", _flatten, _to_flatten),
    *PICTURE_ROWS,
    Row(
        layers.Dropout,
        "Dropout",
        _dropout,
        alike("Dropout", rate="rate"),
        note="each library draws its own masks",
    ),
    Row(
        layers.AlphaDropout,
        "AlphaDropout",
        _alpha_dropout,
        alike("AlphaDropout", rate="rate"),
        note="each library draws its own masks",
    ),
    Row(
        layers.GaussianNoise,
        "GaussianNoise",
        lambda layer, _: [layers.GaussianNoise(layer.stddev)],
        alike("GaussianNoise", stddev="deviation"),
        note="`deviation` is `stddev`",
    ),
)
"""All layers but containers. A layer of its own has a row here, and is told of nowhere else, but in
`activations` where it is a function there.

One without a row is refused by name: Keras has none of the layers for tables.
"""

CONTAINERS = (
    Container(layers.Sequential, "Sequential", "functional models are refused"),
    Container(layers.Residual, "Residual", _OWN),
    Container(layers.Concatenate, "Concatenate", _OWN),
)
"""The layers made of layers, which `nnfs_xp.interop.keras.models` takes apart."""

BY_LAYER = {row.ours: row for row in ROWS}
