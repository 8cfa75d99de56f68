"""What a row of the table of Keras' layers is, and what rows share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.keras.classes import load_keras
from nnfs_xp.interop.translation import Wanted, expect
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
        All parameters and buffers, by our names, in the order of Keras' `get_weights`; those of a
        layer within as in ``"0.weights"``. Keras lays out as here, but for biases, scales and
        shifts: (n,) there and (1, n) here.
    also : tuple of str
        The names of other layers that it is read from.
    shape : callable, optional
        Takes the layer; returns the shape of its weights there, where that is another one.
    by_shape : bool
        Whether `write` also takes the shape of a sample, None where that is not known.
    """

    ours: type[Layer]
    theirs: str
    read: Callable[[Any, Wanted], list[Layer]]
    write: Callable[..., Any]
    note: str = ""
    weights: Mapping[str, str] = MappingProxyType({})
    also: tuple[str, ...] = ()
    shape: Callable[[Any], tuple[int, ...]] | None = None
    by_shape: bool = False


class Container(NamedTuple):
    """A layer made of layers, the name of its class in Keras or of ours, and what differs."""

    ours: type[Layer]
    theirs: str
    note: str


def refuse_set(layer: Any, *names: str) -> None:
    """Refuse a layer in which a setting is on that has no counterpart here."""
    for name in names:
        if getattr(layer, name, None):
            raise ArgumentError(f"its `{name}` has no counterpart here.")


def strengths(regularizer: Any) -> tuple[float, float]:
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


def max_norm(constraint: Any, axes: int | list[int] = 0) -> float | None:
    """The largest norm that a constraint leaves to the weights into each neuron."""
    if constraint is None:
        return None
    kind, along = load_keras().constraints.MaxNorm, getattr(constraint, "axis", None)
    if type(constraint) is not kind or along not in (axes, tuple_of(axes)):
        raise ArgumentError(
            f"its constraint {type(constraint).__name__} has no counterpart here; MaxNorm along "
            f"axis {axes} has."
        )
    return float(constraint.max_value)


def tuple_of(axes: int | list[int]) -> Any:
    """Axes as a tuple, and one alone as it is."""
    return tuple(axes) if isinstance(axes, list) else axes


def weight_options(layer: Any, kernel: str, axes: int | list[int] = 0) -> dict[str, Any]:
    """What is said there of weights and biases, as options of a layer here."""
    weight_l1, weight_l2 = strengths(getattr(layer, f"{kernel}_regularizer"))
    bias_l1, bias_l2 = strengths(layer.bias_regularizer)
    return {
        "weight_regularizer_l1": weight_l1,
        "weight_regularizer_l2": weight_l2,
        "bias_regularizer_l1": bias_l1,
        "bias_regularizer_l2": bias_l2,
        "max_norm": max_norm(getattr(layer, f"{kernel}_constraint"), axes),
    }


def to_weight_options(
    keras: Any, layer: Any, kernel: str, axes: int | list[int] = 0
) -> dict[str, Any]:
    """The options of a layer's weights, and of its biases, as Keras takes them."""
    found = kernel_options(keras, layer, kernel, axes)
    bias = penalty(keras, layer.bias_regularizer_l1, layer.bias_regularizer_l2)
    return {**found, "bias_regularizer": bias}


def kernel_options(keras: Any, layer: Any, kernel: str, axes: int | list[int]) -> dict[str, Any]:
    """The options of a layer's weights, as Keras takes them."""
    norm = layer.max_norm
    weight = penalty(keras, layer.weight_regularizer_l1, layer.weight_regularizer_l2)
    return {
        f"{kernel}_regularizer": weight,
        f"{kernel}_constraint": None
        if norm is None
        else keras.constraints.MaxNorm(norm, axis=axes),
    }


def penalty(keras: Any, l1: float, l2: float) -> Any:
    """A regularizer of these strengths; None where both are 0."""
    return keras.regularizers.L1L2(l1, l2) if l1 or l2 else None


def scale_options(layer: Any, wanted: Wanted) -> dict[str, Any]:
    """What is said there of a normalization's scale and shift, as options of a layer here."""
    found: dict[str, Any] = {}
    for name, option in (("gamma", "scale"), ("beta", "center")):
        expect(layer, **{f"{name}_constraint": (None,)})
        l1, l2 = strengths(getattr(layer, f"{name}_regularizer"))
        found |= {f"{name}_regularizer_l1": l1, f"{name}_regularizer_l2": l2}
        found[option] = bool(getattr(layer, option)) or wanted.add_parameters
    return found


def to_normalization(name: str, **settings: str) -> Callable[[Any, Any, str], Any]:
    """Write a normalization of that name, as `alike` does, with its scale and shift."""

    def write(keras: Any, layer: Any, dtype: str) -> Any:
        values = {theirs: getattr(layer, ours) for theirs, ours in settings.items()}
        for each in ("gamma", "beta"):
            strength = (getattr(layer, f"{each}_regularizer_{form}") for form in ("l1", "l2"))
            values[f"{each}_regularizer"] = penalty(keras, *strength)
        kind = getattr(keras.layers, name)
        return kind(**values, scale=layer.scale, center=layer.center, dtype=dtype)

    return write


def n_features_of(layer: Any) -> int:
    """The length of the last axis that a layer was built for.

    Raises
    ------
    ArgumentError
        It is not built, or for any length.
    """
    shape = (layer.get_build_config() or {}).get("input_shape") or (None,)
    n_features = next((each.shape[0] for each in layer.weights), shape[-1])
    if n_features is None:
        raise ArgumentError("it tells no number of features. Call the model once, or its build().")
    return int(n_features)


def alike(name: str, **settings: str) -> Callable[[Any, Any, str], Any]:
    """Write a layer of that name: the names of its settings, and what they are called here."""

    def write(keras: Any, layer: Any, dtype: str) -> Any:
        values = {theirs: getattr(layer, ours) for theirs, ours in settings.items()}
        return getattr(keras.layers, name)(**values, dtype=dtype)

    return write
