"""The flat buffers: all parameters of a model in one array, all gradients in another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from typing import Any, Protocol, overload

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, backend_of
from nnfs_xp.errors import ArgumentError, OutOfMemoryError, ShapeError

__all__ = ["Buffer", "Gradient", "Parameter"]


class Holder(Protocol):
    """What the buffers ask of a layer."""

    _shapes: dict[str, tuple[int, ...]]
    _values: dict[str, Array]
    _gradients: dict[str, Array]
    _buffers: dict[str, Array]
    _flat: FlatParameters | None

    def walk(self) -> Iterator[tuple[str, Holder]]:
        """The layer and all within it, each with a prefix for the names of its parameters."""


class Parameter:
    """A trainable array of a layer: reads as a view into the flat buffer of the values.

    Declare one in the class body of a layer and its gradient next to it::

        class Dense(Layer):
            weights = Parameter(decay=True)
            dweights = Gradient()

    Assignment copies into place and checks the shape; arrays of any backend will do.

    Parameters
    ----------
    decay : bool
        Whether weight decay acts on it: yes for weights, no for biases.
    """

    def __init__(self, *, decay: bool = False) -> None:
        self.decay = decay

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, layer: None, owner: type) -> Parameter: ...
    @overload
    def __get__(self, layer: Holder, owner: type) -> Array: ...
    def __get__(self, layer: Holder | None, owner: type) -> Parameter | Array:
        if layer is None:
            return self
        return layer._values[self.name]

    def __set__(self, layer: Holder, value: Any) -> None:
        _copy_into(self.name, layer._values[self.name], value)


class Gradient:
    """The gradient of a `Parameter`: a view into the flat buffer of the gradients.

    Its name is that of the parameter with a ``d`` in front.
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
        return layer._gradients[self.parameter]

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
    array = backend_of(view).asarray(value, view.dtype)
    if tuple(array.shape) != tuple(view.shape):
        hint = (
            " Did you mean to transpose?" if tuple(array.shape) == tuple(view.shape)[::-1] else ""
        )
        raise ShapeError(
            f"`{name}` must have shape {tuple(view.shape)}; got {tuple(array.shape)}.{hint}"
        )
    view[...] = backend_of(view).xp.asarray(array, copy=True)  # it may overlap the view


_MOST = 2**40
"""More elements than any memory holds."""

_room: ContextVar[list[int]] = ContextVar("_room")


@contextmanager
def room_for(n_elements: int) -> Iterator[None]:
    """While it lasts, refuse to create parameters of more elements than these, all together.

    So a forged description of a model cannot ask for more memory than its file takes.
    """
    token = _room.set([n_elements])
    try:
        yield
    finally:
        _room.reset(token)


def check_room(n_elements: int) -> None:
    """Refuse parameters of so many elements where no memory, or no `room_for`, holds them."""
    if n_elements > _MOST:
        raise ArgumentError(f"{n_elements:,} parameters are more than any memory holds.")
    room = _room.get(None)
    if room is not None:
        room[0] -= n_elements
        if room[0] < 0:
            raise ArgumentError("it has more parameters than the file holds")


class FlatParameters:
    """The values of a layer's parameters in one array and their gradients in another.

    Those of all layers within it are included; the parameters that decay come first. The
    layers hold views, so an optimizer is one pass over two arrays, and a checkpoint one write.
    A new buffer takes the parameters over from those that they lived in, with their values;
    these are `stale` from then on.

    Parameters
    ----------
    owner : Layer
    backend : Backend
    dtype : str

    Attributes
    ----------
    values, gradients : array, shape (size,)
    size : int
        The number of parameters.
    n_decayed : int
        The first so many elements belong to parameters that decay.
    stale : bool
        Whether another buffer has taken over any of the parameters.
    penalties_wait : bool
        Whether `Layer.backward` leaves penalties out of the gradients. Then gradients can be
        scaled, or summed over several processes, before the penalties are added once.
    """

    def __init__(self, owner: Holder, backend: Backend, dtype: str) -> None:
        self.owner = owner
        self.backend = backend
        self.dtype = dtype
        self.stale = False
        self.penalties_wait = False
        self._slots = sorted(
            ((layer, name) for _, layer in owner.walk() for name in layer._shapes),
            key=lambda slot: not _decays(*slot),
        )
        self.n_decayed = sum(prod(la._shapes[n]) for la, n in self._slots if _decays(la, n))
        self.size = sum(prod(layer._shapes[name]) for layer, name in self._slots)
        self.values: Array = self.zeros(0)
        self.gradients: Array = self.zeros(1)

        former = [(la._values.get(name), la._gradients.get(name)) for la, name in self._slots]
        self._view()
        for (layer, name), (value, gradient) in zip(self._slots, former, strict=True):
            if value is not None and gradient is not None:
                layer._values[name][...] = backend.asarray(value, dtype)
                layer._gradients[name][...] = backend.asarray(gradient, dtype)
        for _, layer in owner.walk():  # the composites between as well, or they keep theirs alive
            if layer._flat is not None:
                layer._flat.stale = True
                layer._flat = self
        owner._flat = self

    def zeros(self, place: int) -> Array:
        """A new array like the two: an optimizer asks for places from 2 on, one for each."""
        backend = self.backend
        zeros: Array = backend.kernels.flat_zeros(
            backend.xp, self.size, backend.dtype(self.dtype), backend.device, place
        )
        return zeros

    def to(self, backend: Backend) -> None:
        """Move both arrays, and the layers' views with them."""
        former, self.backend = self.backend, backend
        try:
            values, gradients = self.zeros(0), self.zeros(1)
            values[...] = backend.asarray(self.values)
            gradients[...] = backend.asarray(self.gradients)
        except MemoryError as error:
            self.backend = former
            raise OutOfMemoryError(
                f"{backend.name} has not enough memory for {self.size:,} parameters and as many "
                f"gradients: {error}"
            ) from None
        self.values, self.gradients = values, gradients
        self._view()

    def _view(self) -> None:
        reshape = self.backend.xp.reshape
        start = 0
        for layer, name in self._slots:
            shape = layer._shapes[name]
            stop = start + prod(shape)
            layer._values[name] = reshape(self.values[start:stop], shape)
            layer._gradients[name] = reshape(self.gradients[start:stop], shape)
            start = stop


def _decays(layer: Holder, name: str) -> bool:
    parameter: Parameter = getattr(type(layer), name)
    return parameter.decay


def owned(backend: Backend, array: Any) -> Array:
    """The array on that backend, in memory that nothing else shares."""
    moved: Array = backend.xp.asarray(backend.asarray(array), copy=True)
    return moved
