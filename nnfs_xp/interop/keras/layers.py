"""The pairs of Keras' layers and those here, and how each is made from the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.keras.classes import custom_objects, load_keras
from nnfs_xp.interop.translation import Wanted, check_codes, expect, expect_parameter
from nnfs_xp.layers import (
    ELU,
    GELU,
    SELU,
    AlphaDropout,
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    Layer,
    LayerNorm,
    LeakyReLU,
    Linear,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)

_ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    "relu": ReLU,
    "leaky_relu": lambda: LeakyReLU(0.2),
    "elu": ELU,
    "selu": SELU,
    "gelu": GELU,
    "silu": SiLU,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "softplus": Softplus,
    "softmax": Softmax,
    "linear": Linear,
}
"""Keras' activation functions, with its defaults."""


def _activation(function: Any) -> Layer:
    if function is custom_objects()["gelu_tanh"]:
        return GELU("tanh")
    keras = load_keras()
    if function is keras.ops.gelu:  # whose default is not that of keras.activations.gelu
        return GELU("tanh")
    for name, build in _ACTIVATIONS.items():
        if function in (keras.activations.get(name), getattr(keras.ops, name, None)):
            return build()
    name = getattr(function, "__name__", type(function).__name__)
    raise ArgumentError(f"its activation {shown(repr(name))} has no counterpart here.")


def _dense(layer: Any, wanted: Wanted) -> list[Layer]:
    expect(layer, bias_constraint=(None,))
    for name in ("lora_enabled", "quantization_mode"):
        if getattr(layer, name, None):
            raise ArgumentError(f"its `{name}` has no counterpart here.")
    expect_parameter(layer.use_bias, "bias", wanted)
    n_inputs, n_neurons = layer.kernel.shape
    weight_l1, weight_l2 = _strengths(layer.kernel_regularizer)
    bias_l1, bias_l2 = _strengths(layer.bias_regularizer)
    dense = Dense(
        n_inputs,
        n_neurons,
        weight_regularizer_l1=weight_l1,
        weight_regularizer_l2=weight_l2,
        bias_regularizer_l1=bias_l1,
        bias_regularizer_l2=bias_l2,
        max_norm=_max_norm(layer.kernel_constraint),
        dtype=wanted.dtype,
        seed=0,
    )
    activation = _activation(layer.activation)
    return [dense] if isinstance(activation, Linear) else [dense, activation]


def _strengths(regularizer: Any) -> tuple[float, float]:
    """The strengths of a regularizer's penalties L1 and L2."""
    regularizers = load_keras().regularizers
    if regularizer is None:
        return 0.0, 0.0
    if type(regularizer) not in (regularizers.L1, regularizers.L2, regularizers.L1L2):
        raise ArgumentError(
            f"its regularizer {type(regularizer).__name__} has no counterpart here; L1, L2 and "
            "L1L2 have."
        )
    return float(getattr(regularizer, "l1", 0)), float(getattr(regularizer, "l2", 0))


def _max_norm(constraint: Any) -> float | None:
    if constraint is None:
        return None
    if type(constraint) is not load_keras().constraints.MaxNorm or constraint.axis != 0:
        raise ArgumentError(
            f"its constraint {type(constraint).__name__} has no counterpart here; MaxNorm along "
            "axis 0 has."
        )
    return float(constraint.max_value)


def _check_normalization(layer: Any, wanted: Wanted) -> None:
    axes = list(layer.axis) if isinstance(layer.axis, list | tuple) else [layer.axis]
    if axes not in ([-1], [1]):
        raise ArgumentError(f"its `axis` must be that of the features, -1 or 1; got {axes}.")
    for name in ("gamma", "beta"):
        expect(layer, **{f"{name}_regularizer": (None,), f"{name}_constraint": (None,)})
        expect_parameter(getattr(layer, name) is not None, name, wanted)


def _batch_norm(layer: Any, wanted: Wanted) -> list[Layer]:
    _check_normalization(layer, wanted)
    if not layer.trainable:
        raise ArgumentError(
            "it is frozen, which in Keras makes it use the running averages in training, too."
        )
    if getattr(layer, "renorm", False):
        raise ArgumentError("its `renorm` has no counterpart here.")
    return [
        BatchNorm(
            layer.moving_mean.shape[0],
            momentum=layer.momentum,
            epsilon=layer.epsilon,
            dtype=wanted.dtype,
        )
    ]


def _layer_norm(layer: Any, wanted: Wanted) -> list[Layer]:
    expect(layer, rms_scaling=(False,))
    _check_normalization(layer, wanted)
    n_features = next((each.shape[0] for each in layer.weights), None)
    if n_features is None:
        raise ArgumentError("it has neither scale nor shift, and so tells no number of features.")
    return [LayerNorm(n_features, epsilon=layer.epsilon, dtype=wanted.dtype)]


def _embedding(layer: Any, wanted: Wanted) -> list[Layer]:
    expect(layer, mask_zero=(False,), embeddings_regularizer=(None,), embeddings_constraint=(None,))
    for name in ("lora_enabled", "quantization_mode"):
        if getattr(layer, name, None):
            raise ArgumentError(f"its `{name}` has no counterpart here.")
    return [Embedding(layer.input_dim, layer.output_dim, dtype=wanted.dtype, seed=0)]


def _relu(layer: Any, _: Wanted) -> list[Layer]:
    expect(layer, max_value=(None,), threshold=(0,))
    return [LeakyReLU(layer.negative_slope)] if layer.negative_slope else [ReLU()]


def _softmax(layer: Any, _: Wanted) -> list[Layer]:
    expect(layer, axis=(-1, 1))
    return [Softmax()]


def _flatten(layer: Any, _: Wanted) -> list[Layer]:
    expect(layer, data_format=("channels_last",))
    return [Flatten()]


def _dropout(layer: Any, _: Wanted) -> list[Layer]:
    expect(layer, noise_shape=(None,))
    return [Dropout(layer.rate)]


def _alpha_dropout(layer: Any, _: Wanted) -> list[Layer]:
    expect(layer, noise_shape=(None,))
    return [AlphaDropout(layer.rate)]


READERS: dict[str, Callable[[Any, Wanted], list[Layer]]] = {
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Embedding": _embedding,
    "Activation": lambda layer, _: [_activation(layer.activation)],
    "ReLU": _relu,
    "LeakyReLU": lambda layer, _: [LeakyReLU(layer.negative_slope)],
    "ELU": lambda layer, _: [ELU(layer.alpha)],
    "Softmax": _softmax,
    "Identity": lambda *_: [Linear()],
    "Flatten": _flatten,
    "Dropout": _dropout,
    "AlphaDropout": _alpha_dropout,
    "GaussianNoise": lambda layer, _: [GaussianNoise(layer.stddev)],
}
"""From a name in `keras.layers` to the function that makes the layers here, without weights."""


def _to_dense(keras: Any, layer: Any, dtype: str) -> Any:
    def penalty(l1: float, l2: float) -> Any:
        return keras.regularizers.L1L2(l1, l2) if l1 or l2 else None

    norm = layer.max_norm
    return keras.layers.Dense(
        layer.n_neurons,
        kernel_regularizer=penalty(layer.weight_regularizer_l1, layer.weight_regularizer_l2),
        bias_regularizer=penalty(layer.bias_regularizer_l1, layer.bias_regularizer_l2),
        kernel_constraint=None if norm is None else keras.constraints.MaxNorm(norm, axis=0),
        dtype=dtype,
    )


def _to_gelu(keras: Any, layer: Any, dtype: str) -> Any:
    function = "gelu" if layer.approximate == "none" else custom_objects()["gelu_tanh"]
    return keras.layers.Activation(function, dtype=dtype)


def _to_embedding(keras: Any, layer: Any, dtype: str) -> Any:
    check_codes(layer, dtype)
    return keras.layers.Embedding(layer.n_values, layer.n_dimensions, dtype=dtype)


def _named(activation: str) -> Callable[[Any, Any, str], Any]:
    return lambda keras, _, dtype: keras.layers.Activation(activation, dtype=dtype)


WRITERS: dict[type[Layer], Callable[[Any, Any, str], Any]] = {
    Dense: _to_dense,
    BatchNorm: lambda keras, layer, dtype: keras.layers.BatchNormalization(
        momentum=layer.momentum, epsilon=layer.epsilon, dtype=dtype
    ),
    LayerNorm: lambda keras, layer, dtype: keras.layers.LayerNormalization(
        epsilon=layer.epsilon, dtype=dtype
    ),
    Embedding: _to_embedding,
    ReLU: _named("relu"),
    LeakyReLU: lambda keras, layer, dtype: keras.layers.LeakyReLU(
        negative_slope=layer.negative_slope, dtype=dtype
    ),
    ELU: lambda keras, layer, dtype: keras.layers.ELU(alpha=layer.alpha, dtype=dtype),
    SELU: _named("selu"),
    GELU: _to_gelu,
    SiLU: _named("silu"),
    Sigmoid: _named("sigmoid"),
    Tanh: _named("tanh"),
    Softplus: _named("softplus"),
    Softmax: lambda keras, _, dtype: keras.layers.Softmax(dtype=dtype),
    Linear: lambda keras, _, dtype: keras.layers.Identity(dtype=dtype),
    Flatten: lambda keras, _, dtype: keras.layers.Flatten(data_format="channels_last", dtype=dtype),
    Dropout: lambda keras, layer, dtype: keras.layers.Dropout(layer.rate, dtype=dtype),
    AlphaDropout: lambda keras, layer, dtype: keras.layers.AlphaDropout(layer.rate, dtype=dtype),
    GaussianNoise: lambda keras, layer, dtype: keras.layers.GaussianNoise(
        layer.deviation, dtype=dtype
    ),
}
"""From a layer here to the function that makes Keras', without weights; all but containers."""
