"""Turn models from Keras into models here, and back."""

from __future__ import annotations

import copy
from typing import Any

from nnfs_xp._checks import check_sample_shape, shown
from nnfs_xp.backend import Backend, get_backend, to_numpy
from nnfs_xp.errors import ArgumentError, DTypeError
from nnfs_xp.interop.beneath import HasNetwork, class_among, layer_of
from nnfs_xp.interop.keras.classes import custom_objects, load_keras
from nnfs_xp.interop.keras.layers import BY_LAYER, CONTAINERS, ROWS
from nnfs_xp.interop.keras.weights import fill, put, weights_of
from nnfs_xp.interop.translation import Wanted, at
from nnfs_xp.layers import Concatenate, Layer, Sequential
from nnfs_xp.layers.base import Shape

_BY_THEIRS = {name: row for row in ROWS for name in (row.theirs, *row.also)}


def from_keras(
    source: Any,
    *,
    like: Layer | HasNetwork | None = None,
    add_parameters: bool = False,
    backend: str | Backend = "auto",
) -> Layer:
    """The model here that computes what a Keras model does, or that holds its weights.

    Parameters
    ----------
    source : keras.Sequential, keras.layers.Layer, or list of array
        A built model of layers that have a counterpart here, also within each other, or one such
        layer. Or what its ``get_weights()`` gives, which needs `like`.
    like : Layer, or nnfs_xp.book.Model, optional
        For a list of weights: a model of that architecture. A copy of it gets the weights.
    add_parameters : bool
        Give layers the biases, scales and shifts that Keras' lack (``use_bias=False``,
        ``center=False``, ``scale=False``): 0, 1 and 0, so that the output is the same until they
        are trained. Otherwise a `Dense` without biases is refused, since one here always has them.
    backend : str or Backend
        Where the model is to live.

    Returns
    -------
    Layer
        A `Sequential` for a `keras.Sequential`, and for a dense layer with an activation. The
        weights are copies.

    Raises
    ------
    ArgumentError
        A layer or one of its settings has no counterpart here; the message has its name.
    ShapeError, DTypeError
        Weights do not fit `like`, or are neither float32 nor float64.
    BackendError
        Keras is not installed, or `backend` is not usable.
    """
    target = get_backend(backend)
    if isinstance(source, list | tuple):
        if like is None:
            raise ArgumentError(
                "a list of weights does not tell the layers: hand over `like`, a model of their "
                "architecture, or the Keras model itself."
            )
        model = copy.deepcopy(layer_of(like, "like"))
        fill(model, source)
        return model.to(target)
    keras = load_keras()
    if not isinstance(source, keras.layers.Layer):
        raise ArgumentError(
            f"from_keras takes a Keras model or layer, or its get_weights(); got {shown(source)}."
        )
    if like is not None:
        raise ArgumentError("`like` is for lists of weights, not for models.")
    return _Reader(keras, source, bool(add_parameters)).model(source).to(target)


def to_keras(
    model: Layer | HasNetwork, *, input_shape: tuple[int | None, ...] | None = None
) -> Any:
    """The Keras model that computes what a model here does.

    Parameters
    ----------
    model : Layer, or nnfs_xp.book.Model
    input_shape : tuple of int, optional
        The shape of one sample, where the model does not tell it: one that begins with an
        `Embedding`, say, whose number of columns is free. By default the Keras model finds it
        out when it is first called.

    Returns
    -------
    keras.Sequential
        Its layers have the model's data type. The weights are copies; ``get_weights()`` has them
        in the order of the layers. `Residual`, `Concatenate` and the GELU "tanh" become classes of
        `nnfs_xp.interop.keras`.

    Raises
    ------
    ArgumentError
        A layer has no counterpart in Keras.
    ShapeError
        The model takes no samples of `input_shape`.
    BackendError
        Keras is not installed.
    """
    model = layer_of(model)
    keras = load_keras()
    dtype = model.dtype or "float32"
    shape = model.input_shape
    if input_shape is not None:
        shape = check_sample_shape(input_shape)
    elif shape is not None and None in shape and not model.says_input_shape:
        shape = None  # a guess
    if model.ties():
        raise ArgumentError(
            f"`{next(iter(model.ties()))}` is another layer's parameter, and Keras shares none "
            "between layers. Give the layer one of its own."
        )
    inputs = []
    if shape is not None:
        model.output_shape(shape)
        inputs = [keras.Input(shape, dtype=dtype)]
    kind = class_among({**BY_LAYER, Sequential: None}, model, "forward", "backward")
    is_row = kind is Sequential
    layers = model.children if is_row else (model,)
    shapes = model.child_input_shapes(shape) if is_row else [shape]
    theirs = [
        _written(keras, each, str(n), taken, dtype)
        for n, (each, taken) in enumerate(zip(layers, shapes, strict=True))
    ]
    return _of_dtype(keras, keras.Sequential([*inputs, *theirs]), dtype)


def _of_dtype(keras: Any, container: Any, dtype: str) -> Any:
    """Keep the container from rounding its inputs; return it."""
    container.dtype_policy = keras.DTypePolicy(dtype)
    return container


def _containers(keras: Any) -> dict[type[Layer], Any]:
    own = custom_objects()
    return {each.ours: own.get(each.theirs) or getattr(keras, each.theirs) for each in CONTAINERS}


def _written(keras: Any, layer: Layer, path: str, shape: Shape | None, dtype: str) -> Any:
    """The Keras layer of a layer, with its weights; `shape` is that of one sample, if known."""
    containers = _containers(keras)
    kind = class_among({**BY_LAYER, **containers}, layer, "forward", "backward")
    if kind in containers:
        shapes = layer.child_input_shapes(shape)
        within = [
            _written(keras, each, f"{path}.{n}", taken, dtype)
            for n, (each, taken) in enumerate(zip(layer.children, shapes, strict=True))
        ]
        return _of_dtype(keras, containers[kind](within), dtype)
    if kind is None:
        raise ArgumentError(
            f"layer {path} is a {layer.kind}, which has no counterpart in Keras. Convert the "
            "layers around it, each row of them as a Sequential."
        )
    row = BY_LAYER[kind]
    theirs = row.write(keras, layer, dtype, *([shape] if row.by_shape else []))
    if row.weights:
        known = shape if shape and shape[-1] is not None else layer.input_shape
        theirs.build((None, *(known or (None,))))
        theirs.set_weights(weights_of(layer))
        if not isinstance(layer.trainable, bool):
            raise ArgumentError(
                f"of layer {path}, {' and '.join(layer.trainable)} alone is trained; Keras freezes "
                "whole layers."
            )
        theirs.trainable = layer.trainable
    return theirs


class _Reader:
    """Makes the layers here from those of Keras."""

    def __init__(self, keras: Any, source: Any, add_parameters: bool) -> None:
        self._keras = keras
        containers = _containers(keras)
        self._concatenate = containers.pop(Concatenate)
        self._in_a_row = {each.call: ours for ours, each in containers.items()}
        self._seen: set[int] = set()
        self._of_rows: dict[int, str] = {}
        self._wanted = Wanted(self._dtype(source), add_parameters)

    def model(self, source: Any) -> Layer:
        """The layer here, or a `Sequential` of several."""
        model = _one(self.layers(source, ""))
        for layer, shape in model.shapes_within(model.input_shape):
            if id(layer) in self._of_rows and len(shape) > 1:
                raise ArgumentError(
                    f"{self._of_rows[id(layer)]} takes axis 1 for the features, and samples of "
                    f"shape {shape} come to it; layers here take the last axis."
                )
        return model

    def layers(self, theirs: Any, path: str) -> list[Layer]:
        """The layer here, or two for a dense layer with an activation."""
        place = f"layer `{path.rstrip('/')}`" if path else "the model"
        with at(place, theirs):
            children = self._children(theirs)
            if children is None:
                return self._leaf(theirs)
            self._refuse_replaced(theirs)
        read = [self.layers(child, f"{path}{child.name}/") for child in children]
        with at(place, theirs):
            if type(theirs) is self._concatenate:
                return [Concatenate(*map(_one, read))]
            container = self._in_a_row[type(theirs).call]
            return [container(*(layer for layers in read for layer in layers))]

    def _children(self, theirs: Any) -> list[Any] | None:
        """The layers within a container that can be taken apart; None for any other layer."""
        if type(theirs) is self._concatenate:
            return list(theirs.branches)
        if isinstance(theirs, self._keras.Sequential) and type(theirs).call in self._in_a_row:
            return list(theirs.layers)
        return None

    def _leaf(self, theirs: Any) -> list[Layer]:
        if not self._is_known(theirs):
            raise ArgumentError(self._why_unknown(theirs))
        self._refuse_replaced(theirs)
        name = type(theirs).__name__
        if theirs.activity_regularizer is not None:
            raise ArgumentError("its `activity_regularizer` has no counterpart here.")
        if id(theirs) in self._seen and theirs.weights:
            raise ArgumentError("it appears twice; each layer here has weights of its own.")
        self._seen.add(id(theirs))
        row = _BY_THEIRS[name]
        if not theirs.built and row.weights:
            raise ArgumentError(
                "it has no weights before it is built. Call the model once, or its build() with "
                "the shape of a batch, as in model.build((None, 64))."
            )
        layers = row.read(theirs, self._wanted)
        for ours, attribute in row.weights.items():
            variable = getattr(theirs, attribute)
            if variable is not None:
                put(layers[0], ours, to_numpy(variable.value))
        if row.weights:
            layers[0].trainable = bool(theirs.trainable)
        if getattr(theirs, "axis", -1) in (1, [1], (1,)):
            self._of_rows[id(layers[0])] = f"layer `{theirs.name}`, a {name},"
        return layers

    def _refuse_replaced(self, theirs: Any) -> None:
        """Refuse a layer that does not do what its class says."""
        if "call" in vars(theirs) or type(theirs).__call__ is not self._keras.layers.Layer.__call__:
            raise ArgumentError("its call was replaced, and nothing tells what the new one does.")

    def _is_stock(self, theirs: Any) -> bool:
        """Whether its class is one of Keras' own."""
        return any(type(theirs) is each for each in vars(self._keras.layers).values())

    def _is_known(self, theirs: Any) -> bool:
        return self._is_stock(theirs) and type(theirs).__name__ in _BY_THEIRS

    def _why_unknown(self, theirs: Any) -> str:
        if isinstance(theirs, self._keras.Sequential):
            return "its class has a `call` of its own, and nothing tells what that does."
        if isinstance(theirs, self._keras.Model):
            return (
                "only keras.Sequential can be taken apart. Where the layers of a functional model "
                "are in a row, hand over keras.Sequential(model.layers)."
            )
        name = type(theirs).__name__
        if not self._is_stock(theirs):
            return (
                f"{name} is no layer of Keras' own, and nothing tells what it computes. Write a "
                "layer like it, as docs/extending.md shows, and convert the layers around it."
            )
        if ".preprocessing." in type(theirs).__module__:
            return (
                f"{name} prepares the data, and has no counterpart here. Apply it to the samples "
                "before the model gets them, and convert the layers behind it: "
                "keras.Sequential(model.layers[1:])."
            )
        return (
            f"{name} has no counterpart here. Write a layer like it, as docs/extending.md shows, "
            "and convert the layers around it, each row of them as a keras.Sequential."
        )

    def _dtype(self, source: Any) -> str:
        """The data type that all layers within compute in and keep their weights in."""
        found: set[str] = set()
        left = [source]
        while left:
            theirs = left.pop()
            children = self._children(theirs)
            if children is None and self._is_known(theirs):
                found |= {str(theirs.compute_dtype), str(theirs.variable_dtype)}
            left += children or []
        names = sorted(found) or ["float32"]
        if len(names) > 1 or names[0] not in ("float32", "float64"):
            raise DTypeError(
                "all layers must compute and keep weights in float32, or all in float64; got "
                f"{' and '.join(names)}. Build the Keras model with one dtype."
            )
        return names[0]


def _one(layers: list[Layer]) -> Layer:
    return layers[0] if len(layers) == 1 else Sequential(*layers)
