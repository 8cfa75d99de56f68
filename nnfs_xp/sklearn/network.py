"""The network of an estimator: built from its parameters, or one of the user's own."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np

from nnfs_xp._checks import check_count, check_range, quoted
from nnfs_xp.errors import ArgumentError, ShapeError
from nnfs_xp.initializers import glorot_uniform
from nnfs_xp.interop.model_file import describe
from nnfs_xp.layers import BatchNorm, Dense, Dropout, Layer, ReLU, Sequential, Sigmoid, Tanh
from nnfs_xp.layers.base import shapes_agree

_ACTIVATIONS: dict[str, type[Layer] | None] = {
    "identity": None,
    "logistic": Sigmoid,
    "tanh": Tanh,
    "relu": ReLU,
}


NETWORK_PARAMETERS = ("network", "activation", "dropout", "batch_norm")
"""What a network is built by, beside the widths of the hidden layers."""


def hidden_widths(hidden_layer_sizes: Any) -> tuple[int, ...]:
    """The widths of the hidden layers, checked."""
    if np.ndim(hidden_layer_sizes) == 0:
        hidden_layer_sizes = (hidden_layer_sizes,)
    return tuple(check_count("hidden_layer_sizes", width) for width in hidden_layer_sizes)


def hidden_activations(activation: Any, n_hidden: int) -> list[Layer | None]:
    """An activation for each hidden layer, checked; None where there is none."""
    return [_activation(each) for each in _each("activation", activation, n_hidden)]


def dropout_rates(dropout: Any, n_hidden: int) -> list[float]:
    """A rate for each hidden layer, checked."""
    return [check_range("dropout", rate, 0, 1) for rate in _each("dropout", dropout, n_hidden)]


def same_network(name: str, one: Any, other: Any, n_hidden: int) -> bool:
    """Whether two values of a parameter stand for the same network."""
    if name == "activation":
        former, now = (
            [layer and describe(layer) for layer in hidden_activations(value, n_hidden)]
            for value in (one, other)
        )
        return former == now
    if name == "dropout":
        return dropout_rates(one, n_hidden) == dropout_rates(other, n_hidden)
    if isinstance(one, Layer) and isinstance(other, Layer):
        return describe(one) == describe(other)
    # Of other callables, a copy does not equal the original: a partial function from a pickle.
    alike = callable(one) and not inspect.isfunction(one) and type(one) is type(other)
    return alike or bool(one == other)


def _each(name: str, value: Any, n_hidden: int) -> Sequence[Any]:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str) or not isinstance(value, Sequence):
        return [value] * n_hidden
    if len(value) != n_hidden:
        raise ArgumentError(
            f"`{name}` must be one for all hidden layers or one for each of the {n_hidden}; "
            f"got {len(value)}."
        )
    return value


def _activation(activation: Any) -> Layer | None:
    if isinstance(activation, Layer):
        return copy.deepcopy(activation)
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        raise ArgumentError(
            f"`activation` must be one of {list(_ACTIVATIONS)}, a layer such as nn.GELU(), or a "
            f"list of these; got {quoted(activation)}."
        )
    kind = _ACTIVATIONS[activation]
    return None if kind is None else kind()


def build_network(
    n_features: int,
    hidden: Sequence[int],
    n_outputs: int,
    closing: Layer | None,
    *,
    activation: Any,
    dropout: Any,
    batch_norm: bool,
    dtype: str,
) -> Sequential:
    """Dense layers, what the parameters put behind each but the last, and the closing layer.

    Behind a hidden layer come batch normalization, the activation and dropout, in this order.
    """
    layers: list[Layer] = []
    widths = (n_features, *hidden, n_outputs)
    activations = hidden_activations(activation, len(hidden))
    rates = dropout_rates(dropout, len(hidden))
    for (n_inputs, width), activity, rate in zip(
        pairwise(widths[:-1]), activations, rates, strict=True
    ):
        layers.append(Dense(n_inputs, width, initializer=None, dtype=dtype))
        if batch_norm:
            layers.append(BatchNorm(width, dtype=dtype))
        if activity is not None:
            if activity.dtype not in (None, dtype):
                raise ArgumentError(
                    f"`activation` {activity} has parameters in {activity.dtype}, the samples are "
                    f"in {dtype}. Build it with dtype={dtype!r}, or cast the samples."
                )
            layers.append(activity)
        if rate:
            layers.append(Dropout(rate))
    layers.append(Dense(*widths[-2:], initializer=None, dtype=dtype))
    return Sequential(*layers, *(() if closing is None else (closing,)))


def draw_parameters(network: Layer, random_state: Any, activation: Any) -> None:
    """Draw the weights and biases of the dense layers as scikit-learn does.

    Notes
    -----
    Uniform within ±sqrt(6 / (n_inputs + n_neurons)), or the square root of a third of that
    behind the parameter ``activation="logistic"``, the weights of a layer before its biases.
    """
    alone = [activation] if isinstance(activation, str) else activation
    logistic = isinstance(alone, Sequence) and all(each == "logistic" for each in alone)
    factor = 2.0 if logistic else 6.0
    for layer in dense_layers(network):
        bound = sqrt(factor / (layer.n_inputs + layer.n_neurons))
        shape = layer.n_inputs, layer.n_neurons
        layer.weights = random_state.uniform(-bound, bound, shape)
        layer.biases = random_state.uniform(-bound, bound, (1, layer.n_neurons))


def own_network(network: Any, n_features: int, n_outputs: int, random_state: Any) -> Layer:
    """A copy of the user's network, or what the user's function gives: see `MLPClassifier`.

    Raises
    ------
    ArgumentError
        `network` is no layer, and no function that gives one.
    ShapeError
        The network does not take the features.
    """
    if isinstance(network, Layer):
        own = copy.deepcopy(network).to("numpy")
    elif callable(network):
        given = network(n_features, n_outputs)
        if not isinstance(given, Layer):
            raise ArgumentError(f"`network` must give a Sequential; it gave {given!r}.")
        own = given
        own.adopt_initializer(glorot_uniform)
        own.initialize(np.random.default_rng(random_state.randint(np.iinfo(np.int32).max)))
    else:
        raise ArgumentError(
            "`network` must be a Sequential, or a function of n_features and n_outputs that gives "
            f"one; got {quoted(network)}."
        )
    taken = own.input_shape
    if taken is not None and not shapes_agree(taken, (n_features,)):
        raise ShapeError(
            f"`network` takes samples of shape {taken}; `X` has {n_features} features."
        )
    return own


def width_of(network: Layer, n_features: int) -> int:
    """How many outputs the network has for a sample.

    Raises
    ------
    ShapeError
        The outputs are no row.
    """
    shape = network.output_shape((n_features,))
    if len(shape) != 1:
        raise ShapeError(f"`network` must give a row of outputs a sample; got shape {shape}.")
    width: int = shape[0]
    return width


def last_layer(network: Layer) -> Layer:
    """The layer that gives the network's output."""
    while isinstance(network, Sequential):
        network = network.layers[-1]
    return network


def dense_layers(network: Layer) -> list[Dense]:
    """The dense layers in their order."""
    return [layer for _, layer in network.walk() if isinstance(layer, Dense)]
