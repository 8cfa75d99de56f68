"""The table of Keras' layers and those here: a row has all that Keras is told of one.

It needs no Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from nnfs_xp import layers
from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.keras.classes import custom_objects, load_keras
from nnfs_xp.interop.translation import Wanted, check_codes, expect, expect_parameter
from nnfs_xp.layers import Layer


class Row(NamedTuple):
    """A layer, the one of Keras' that it is read from, and how each is made from the other.

    Attributes
    ----------
    ours : type of Layer
    theirs : str
        A name in `keras.layers`. Rows that share one also share `read`.
    read : callable
        Takes Keras' layer and what is wanted; returns the layers here, without weights.
    write : callable
        Takes `keras`, the layer and the data type; returns Keras' layer, without weights.
    note : str
        What differs, for readers of the documentation, in Markdown.
    weights : mapping of str to str
        All parameters and buffers, by our names, in the order of Keras' `get_weights`. Keras
        lays out as here, but for biases, scales and shifts: (n,) there and (1, n) here.
    activation : tuple of str and callable, optional
        The name of an activation function of Keras', and what builds the layer that computes it
        with Keras' default settings.
    """

    ours: type[Layer]
    theirs: str
    read: Callable[[Any, Wanted], list[Layer]]
    write: Callable[[Any, Any, str], Any]
    note: str = ""
    weights: Mapping[str, str] = MappingProxyType({})
    activation: tuple[str, Callable[[], Layer]] | None = None


class Container(NamedTuple):
    """A layer made of layers, the name of its class in Keras or of ours, and what differs."""

    ours: type[Layer]
    theirs: str
    note: str


def _activation(function: Any) -> Layer:
    if function is custom_objects()["gelu_tanh"]:
        return layers.GELU("tanh")
    keras = load_keras()
    if function is keras.ops.gelu:  # whose default is not that of keras.activations.gelu
        return layers.GELU("tanh")
    for name, build in filter(None, (row.activation for row in ROWS)):
        if function in (keras.activations.get(name), getattr(keras.ops, name, None)):
            return build()
    name = getattr(function, "__name__", type(function).__name__)
    raise ArgumentError(f"its activation {shown(repr(name))} has no counterpart here.")


def _any_activation(layer: Any, _: Wanted) -> list[Layer]:
    return [_activation(layer.activation)]


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


def _alike(name: str, **settings: str) -> Callable[[Any, Any, str], Any]:
    """Write a layer of that name: the names of its settings, and what they are called here."""

    def write(keras: Any, layer: Any, dtype: str) -> Any:
        values = {theirs: getattr(layer, ours) for theirs, ours in settings.items()}
        return getattr(keras.layers, name)(**values, dtype=dtype)

    return write


def _named(activation: str) -> Callable[[Any, Any, str], Any]:
    return lambda keras, _, dtype: keras.layers.Activation(activation, dtype=dtype)


def _function(ours: type[Layer], name: str) -> Row:
    """The row of a layer that Keras has as an activation function only."""
    note = f'`Activation("{name}")`'
    return Row(ours, "Activation", _any_activation, _named(name), note, activation=(name, ours))


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
        _alike("BatchNormalization", momentum="momentum", epsilon="epsilon"),
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
        _alike("LayerNormalization", epsilon="epsilon"),
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
        activation=("relu", layers.ReLU),
    ),
    Row(
        layers.LeakyReLU,
        "LeakyReLU",
        lambda layer, _: [layers.LeakyReLU(layer.negative_slope)],
        _alike("LeakyReLU", negative_slope="negative_slope"),
        note='a slope of 0.01 by default here, 0.3 there; `Activation("leaky_relu")` has 0.2',
        activation=("leaky_relu", lambda: layers.LeakyReLU(0.2)),
    ),
    Row(
        layers.ELU,
        "ELU",
        lambda layer, _: [layers.ELU(layer.alpha)],
        _alike("ELU", alpha="alpha"),
        note='also `Activation("elu")`',
        activation=("elu", layers.ELU),
    ),
    _function(layers.SELU, "selu"),
    Row(
        layers.GELU,
        "Activation",
        _any_activation,
        _to_gelu,
        note='`Activation("gelu")`; for `GELU("tanh")` Keras has none: a function in '
        "`nnfs_xp.interop.keras`",
        activation=("gelu", layers.GELU),
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
        _alike("Softmax"),
        note='also `Activation("softmax")`',
        activation=("softmax", layers.Softmax),
    ),
    Row(
        layers.Linear,
        "Identity",
        lambda *_: [layers.Linear()],
        _alike("Identity"),
        note='also `Activation("linear")`',
        activation=("linear", layers.Linear),
    ),
    Row(layers.Flatten, "Flatten", _flatten, _to_flatten),
    Row(
        layers.Dropout,
        "Dropout",
        _dropout,
        _alike("Dropout", rate="rate"),
        note="each library draws its own masks",
    ),
    Row(
        layers.AlphaDropout,
        "AlphaDropout",
        _alpha_dropout,
        _alike("AlphaDropout", rate="rate"),
        note="each library draws its own masks",
    ),
    Row(
        layers.GaussianNoise,
        "GaussianNoise",
        lambda layer, _: [layers.GaussianNoise(layer.stddev)],
        _alike("GaussianNoise", stddev="deviation"),
        note="`deviation` is `stddev`",
    ),
)
"""All layers but containers. A layer of its own has a row here, and is told of nowhere else.

One without a row is refused by name: Keras has none of the layers for tables.
"""

CONTAINERS = (
    Container(layers.Sequential, "Sequential", "functional models are refused"),
    Container(layers.Residual, "Residual", _OWN),
    Container(layers.Concatenate, "Concatenate", _OWN),
)
"""The layers made of layers, which `nnfs_xp.interop.keras.models` takes apart."""

BY_LAYER = {row.ours: row for row in ROWS}
