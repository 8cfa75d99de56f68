"""The pairs of Keras' layers and those here, and how each is made from the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnfs_xp import layers
from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.keras.classes import custom_objects, load_keras
from nnfs_xp.interop.translation import Wanted, check_codes, expect, expect_parameter
from nnfs_xp.layers import Layer

_ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    "relu": layers.ReLU,
    "leaky_relu": lambda: layers.LeakyReLU(0.2),
    "elu": layers.ELU,
    "selu": layers.SELU,
    "gelu": layers.GELU,
    "silu": layers.SiLU,
    "sigmoid": layers.Sigmoid,
    "tanh": layers.Tanh,
    "softplus": layers.Softplus,
    "softmax": layers.Softmax,
    "linear": layers.Linear,
}
"""Keras' activation functions, with its defaults."""


def _activation(function: Any) -> Layer:
    if function is custom_objects()["gelu_tanh"]:
        return layers.GELU("tanh")
    keras = load_keras()
    if function is keras.ops.gelu:  # whose default is not that of keras.activations.gelu
        return layers.GELU("tanh")
    for name, build in _ACTIVATIONS.items():
        if function in (keras.activations.get(name), getattr(keras.ops, name, None)):
            return build()
    name = getattr(function, "__name__", type(function).__name__)
    raise ArgumentError(f"its activation {shown(repr(name))} has no counterpart here.")


def _refuse_set(layer: Any, *names: str) -> None:
    """Refuse a layer in which a setting is on that has no counterpart here."""
    for name in names:
        if getattr(layer, name, None):
            raise ArgumentError(f"its `{name}` has no counterpart here.")


def _dense(layer: Any, wanted: Wanted) -> list[Layer]:
    expect(layer, bias_constraint=(None,))
    _refuse_set(layer, "lora_enabled", "quantization_mode")
    expect_parameter(layer.use_bias, "bias", wanted)
    n_inputs, n_neurons = layer.kernel.shape
    weight_l1, weight_l2 = _strengths(layer.kernel_regularizer)
    bias_l1, bias_l2 = _strengths(layer.bias_regularizer)
    dense = layers.Dense(
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
    return [dense] if isinstance(activation, layers.Linear) else [dense, activation]


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
    _refuse_set(layer, "renorm")
    return [
        layers.BatchNorm(
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
    return [layers.LayerNorm(n_features, epsilon=layer.epsilon, dtype=wanted.dtype)]


def _embedding(layer: Any, wanted: Wanted) -> list[Layer]:
    expect(layer, mask_zero=(False,), embeddings_regularizer=(None,), embeddings_constraint=(None,))
    _refuse_set(layer, "lora_enabled", "quantization_mode")
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


READERS: dict[str, Callable[[Any, Wanted], list[Layer]]] = {
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Embedding": _embedding,
    "Activation": lambda layer, _: [_activation(layer.activation)],
    "ReLU": _relu,
    "LeakyReLU": lambda layer, _: [layers.LeakyReLU(layer.negative_slope)],
    "ELU": lambda layer, _: [layers.ELU(layer.alpha)],
    "Softmax": _softmax,
    "Identity": lambda *_: [layers.Linear()],
    "Flatten": _flatten,
    "Dropout": _dropout,
    "AlphaDropout": _alpha_dropout,
    "GaussianNoise": lambda layer, _: [layers.GaussianNoise(layer.stddev)],
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


def _to_flatten(keras: Any, _: Any, dtype: str) -> Any:
    return keras.layers.Flatten(data_format="channels_last", dtype=dtype)


def _named(activation: str) -> Callable[[Any, Any, str], Any]:
    return lambda keras, _, dtype: keras.layers.Activation(activation, dtype=dtype)


def _alike(name: str, **settings: str) -> Callable[[Any, Any, str], Any]:
    """Write a layer of that name: the names of its settings, and what they are called here."""

    def write(keras: Any, layer: Any, dtype: str) -> Any:
        values = {theirs: getattr(layer, ours) for theirs, ours in settings.items()}
        return getattr(keras.layers, name)(**values, dtype=dtype)

    return write


WRITERS: dict[type[Layer], Callable[[Any, Any, str], Any]] = {
    layers.Dense: _to_dense,
    layers.BatchNorm: _alike("BatchNormalization", momentum="momentum", epsilon="epsilon"),
    layers.LayerNorm: _alike("LayerNormalization", epsilon="epsilon"),
    layers.Embedding: _to_embedding,
    layers.ReLU: _named("relu"),
    layers.LeakyReLU: _alike("LeakyReLU", negative_slope="negative_slope"),
    layers.ELU: _alike("ELU", alpha="alpha"),
    layers.SELU: _named("selu"),
    layers.GELU: _to_gelu,
    layers.SiLU: _named("silu"),
    layers.Sigmoid: _named("sigmoid"),
    layers.Tanh: _named("tanh"),
    layers.Softplus: _named("softplus"),
    layers.Softmax: _alike("Softmax"),
    layers.Linear: _alike("Identity"),
    layers.Flatten: _to_flatten,
    layers.Dropout: _alike("Dropout", rate="rate"),
    layers.AlphaDropout: _alike("AlphaDropout", rate="rate"),
    layers.GaussianNoise: _alike("GaussianNoise", stddev="deviation"),
}
"""From a layer here to the function that makes Keras', without weights; all but containers."""
