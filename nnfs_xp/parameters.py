"""What a layer declares: parameters, their gradients, buffers; and what can be said of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypedDict, overload

from nnfs_xp._finite import cast, check_held
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of
from nnfs_xp.errors import ShapeError

__all__ = ["Buffer", "Gradient", "Parameter"]


class Options(TypedDict, total=False):
    """What can be said of the parameters of every layer: see `Layer`."""

    trainable: bool | tuple[str, ...]
    weight_decay: bool | float | Mapping[str, float]
    learning_rate_scale: float | Mapping[str, float]


class WeightOptions(Options, total=False):
    """What can be said besides of a layer with weights: see `Layer`."""

    weight_regularizer_l1: float
    weight_regularizer_l2: float
    max_norm: float | None


class WeightAndBiasOptions(WeightOptions, total=False):
    """What can be said besides of a layer with weights and biases: see `Layer`."""

    bias_regularizer_l1: float
    bias_regularizer_l2: float


class Tie(NamedTuple):
    """Whose parameter a layer uses in the place of one of its own."""

    layer: Any
    name: str
    transposed: bool

    @property
    def values(self) -> Array:
        """The other layer's parameter, as the layer that is tied to it sees it."""
        values: Array = self.layer._values[self.name]
        return values.T if self.transposed else values


class Holder(Protocol):
    """What the buffers ask of a layer."""

    _declared: tuple[Parameter, ...]
    _penalises_itself: bool
    _bounds_itself: bool
    _shapes: dict[str, tuple[int, ...]]
    _values: dict[str, Array]
    _gradients: dict[str, Array]
    _sums: dict[str, Array]
    _ties: dict[str, Tie]
    _buffers: dict[str, Array]
    _flat: Any

    def trains(self, name: str) -> bool:
        """Whether the parameter of that name is trained, and not frozen."""

    def learning_rate_scale_of(self, name: str) -> float:
        """What the optimizer's learning rate is multiplied by for the parameter of that name."""

    def weight_decay_of(self, name: str) -> float:
        """What the optimizer's weight decay is multiplied by for it; 0 where it does not decay."""

    def add_penalty(self, name: str) -> None:
        """Add the gradient of the penalty on the parameter of that name."""

    def walk(self) -> Iterator[tuple[str, Holder]]:
        """The layer and all within it, each with a prefix for the names of its parameters."""


class Parameter:
    """A trainable array of a layer: reads as a view into the flat buffer of the values.

    Declare one in the class body of a layer and its gradient next to it::

        class Dense(Layer):
            weights = Parameter(decay=True)
            dweights = Gradient()

    Assignment copies into place and checks the shape; arrays of any backend will do.

    A layer may do without some of those that its class declares; they read as None.

    Every layer takes options for its parameters: see `Layer`. The strengths of the penalties on
    this one are attributes of the layer, ``weight_regularizer_l1`` and ``weight_regularizer_l2``
    where the label is ``"weight"``.

    Parameters
    ----------
    decay : bool
        Whether weight decay acts on it: yes for weights, no for biases.
    norm_axis : int or tuple of int, optional
        The axis, or axes, along which lie the vectors that the layer's `max_norm` bounds; by
        default it bounds none.
    label : str, optional
        By default ``"weight"`` of `weights`, ``"bias"`` of `biases`, and else its name.
    is_matrix : bool
        Whether it is a matrix of what each neuron, or filter, sees by neurons: all its axes but the
        last by the last. `Muon` steps such a matrix as a whole.
    """

    def __init__(
        self,
        *,
        decay: bool = False,
        norm_axis: int | tuple[int, ...] | None = None,
        label: str | None = None,
        is_matrix: bool = False,
    ) -> None:
        self.decay = decay
        self.norm_axis = norm_axis
        self.label = label
        self.is_matrix = is_matrix

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        label = self.label or {"weights": "weight", "biases": "bias"}.get(name, name)
        self.l1, self.l2 = f"{label}_regularizer_l1", f"{label}_regularizer_l2"

    @overload
    def __get__(self, layer: None, owner: type) -> Parameter: ...
    @overload
    def __get__(self, layer: Holder, owner: type) -> Array: ...
    def __get__(self, layer: Holder | None, owner: type) -> Parameter | Array:
        if layer is None:
            return self
        values: Array = layer._values.get(self.name)  # type: ignore[assignment] # or None
        return values

    def __set__(self, layer: Holder, value: Any) -> None:
        _copy_into(self.name, layer._values[self.name], value)


def declared(kind: type) -> tuple[Parameter, ...]:
    """The parameters that a class of layers declares, those of its bases included."""
    found = {name: each for base in reversed(kind.__mro__) for name, each in vars(base).items()}
    return tuple(each for each in found.values() if isinstance(each, Parameter))


class Gradient:
    """The gradient of a `Parameter`: a view into the flat buffer of the gradients.

    Its name is that of the parameter with a ``d`` in front. Of a parameter that several layers
    use, each layer's is what goes back through that layer; `Layer.gradients` has their sum.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.parameter = name.removeprefix("d")

    @overload
    def __get__(self, layer: None, owner: type) -> Gradient: ...
    @overload
    def __get__(self, layer: Holder, owner: type) -> Array: ...
    def __get__(self, layer: Holder | None, owner: type) -> Gradient | Array:
        if layer is None:
            return self
        gradient: Array = layer._gradients.get(self.parameter)  # type: ignore[assignment] # or None
        return gradient

    def __set__(self, layer: Holder, value: Any) -> None:
        _copy_into(self.name, layer._gradients[self.parameter], value)


class Buffer:
    """An array of a layer that is kept and saved but not trained: a running mean, say.

    Declare it in the class body, and give it its first value with `Layer.create_buffers`.
    Assignment copies into place and checks the shape.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, layer: None, owner: type) -> Buffer: ...
    @overload
    def __get__(self, layer: Holder, owner: type) -> Array: ...
    def __get__(self, layer: Holder | None, owner: type) -> Buffer | Array:
        if layer is None:
            return self
        return layer._buffers[self.name]

    def __set__(self, layer: Holder, value: Any) -> None:
        _copy_into(self.name, layer._buffers[self.name], value)


def _copy_into(name: str, view: Array, value: Any) -> None:
    if value is view:  # `layer.weights += x` assigns the view to itself
        return
    array = cast(backend_of(view), value, view.dtype)
    if tuple(array.shape) != tuple(view.shape):
        hint = (
            " Did you mean to transpose?" if tuple(array.shape) == tuple(view.shape)[::-1] else ""
        )
        raise ShapeError(
            f"`{name}` must have shape {tuple(view.shape)}; got {tuple(array.shape)}.{hint}"
        )
    check_held(name, array, value)
    view[...] = backend_of(view).xp.asarray(array, copy=True)  # it may overlap the view
