"""The flat buffers: all parameters of a model in one array, all gradients in another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend
from nnfs_xp.errors import ArgumentError, OutOfMemoryError
from nnfs_xp.parameters import Holder

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


class Matrix(NamedTuple):
    """A parameter that is a matrix, of what each neuron sees by neurons.

    Attributes
    ----------
    name : str
        As in `Layer.parameters`.
    place : slice
        Where its elements lie, row by row.
    shape : pair of int
    """

    name: str
    place: slice
    shape: tuple[int, int]


@dataclass
class Part:
    """Trained parameters that learn at one rate, for an optimizer's formula.

    Attributes
    ----------
    backend : Backend
    values, gradients : array, shape (size,)
    decays : tuple of (slice, float)
        Which elements decay, and what the optimizer's weight decay is multiplied by for them.
    scale : float
        Their learning rate is the optimizer's times this.
    place : slice
        Where they lie among all trained parameters.
    matrices : tuple of Matrix
        Those that it has whole, their places counted from its start. None in a part of a part,
        unless it is one matrix.
    """

    backend: Backend
    values: Array
    gradients: Array
    decays: tuple[tuple[slice, float], ...]
    scale: float
    place: slice
    matrices: tuple[Matrix, ...] = ()

    def cut(self, start: int, stop: int) -> Part:
        """The part from one of its elements to another."""
        size = stop - start
        clipped = (
            (slice(max(each.start - start, 0), min(each.stop - start, size)), multiple)
            for each, multiple in self.decays
        )
        return replace(
            self,
            values=self.values[start:stop],
            gradients=self.gradients[start:stop],
            decays=tuple((each, multiple) for each, multiple in clipped if each.start < each.stop),
            place=slice(self.place.start + start, self.place.start + stop),
            matrices=(),
        )

    @property
    def n_decayed(self) -> int:
        """How many elements decay: the first so many."""
        return self.decays[-1][0].stop if self.decays else 0


class FlatParameters:
    """The values of a layer's parameters in one array and their gradients in another.

    Those of all layers within it are included. The trained ones come first, by their scale of the
    learning rate, and of one scale those that decay, the strongest decay first. The layers hold
    views, so an optimizer is one pass over two arrays, and a checkpoint one write. A new buffer
    takes the parameters over from those that they lived in, with their values; these are `stale`
    from then on.

    A parameter that is tied has one place. Each layer that uses it has a place for what goes back
    through it, behind all gradients: `sum_ties` adds these up.

    Parameters
    ----------
    owner : Layer
    backend : Backend
    dtype : str

    Attributes
    ----------
    values, gradients : array, shape (size,)
        Of the parameters that are trained.
    all_values : array
        Those of the frozen parameters behind them.
    all_gradients : array
        Those of the frozen parameters behind them, and then what `sum_ties` adds up.
    size : int
        The number of trained parameters.
    n_decayed : int
        The first so many elements belong to parameters that decay, of the first part.
    layout : tuple of str
        The names of the parameters that are trained, in the order in which they lie.
    parts : tuple of Part
        The trained parameters by their scale of the learning rate; mostly one.
    ties_lead_out : bool
        Whether a parameter within is one of a layer that is not.
    stale : bool
        Whether another buffer has taken over any of the parameters, or is to: then the layer
        builds a new one when it is next asked for its buffers.
    kept_for : tuple of Optimizer and dict, or None
        The optimizer that last stepped these arrays, and the state that it keeps for them.
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
        self.kept_for: tuple[Any, dict[str, Array]] | None = None
        uses = [(prefix, la, name) for prefix, la in owner.walk() for name in la._shapes]
        named = sorted(
            (use for use in uses if use[2] not in use[1]._ties), key=lambda use: _rank(*use[1:])
        )
        self.layout = tuple(prefix + name for prefix, la, name in named if la.trains(name))
        self._slots = [(layer, name) for _, layer, name in named]
        self._tied = [(la, name, la._ties[name]) for _, la, name in uses if name in la._ties]
        within = {id(layer) for _, layer in owner.walk()}
        self.ties_lead_out = any(id(tie.layer) not in within for _, _, tie in self._tied)
        roots = {(id(tie.layer), tie.name) for _, _, tie in self._tied}
        self._roots = [use for use in self._slots if (id(use[0]), use[1]) in roots]
        sizes = [prod(layer._shapes[name]) for layer, name in self._slots]
        self.size = sum(
            size for size, use in zip(sizes, self._slots, strict=True) if use[0].trains(use[1])
        )
        self._n_values = sum(sizes)
        tied = [*self._roots, *((layer, name) for layer, name, _ in self._tied)]
        self._n_gradients = self._n_values + sum(prod(la._shapes[name]) for la, name in tied)
        self.all_values: Array = self._zeros(self._n_values, 0)
        self.all_gradients: Array = self._zeros(self._n_gradients, 1)

        former = [
            (la._values.get(name), la._sums.get(name, la._gradients.get(name)))
            for la, name in self._slots
        ]
        layers = [layer for _, layer in owner.walk()]
        self._strengths = [
            (vars(layer), each.l1, each.l2) for layer in layers for each in layer._declared
        ]
        self._bounds = [vars(layer) for layer in layers if "max_norm" in vars(layer)]
        self._has_own_penalties = any(layer._penalises_itself for layer in layers)
        self._has_own_bounds = any(layer._bounds_itself for layer in layers)
        self._view()
        for (layer, name), (value, gradient) in zip(self._slots, former, strict=True):
            if value is not None and gradient is not None:
                layer._values[name][...] = backend.asarray(value, dtype)
                layer._sums.get(name, layer._gradients[name])[...] = backend.asarray(
                    gradient, dtype
                )
        for layer in layers:  # the composites between as well, or they keep theirs alive
            if layer._flat is not None:
                layer._flat.stale = True
                layer._flat = self
        owner._flat = self

    @property
    def has_lost_ties(self) -> bool:
        """Whether a parameter that several layers use has left for a buffer of one of them."""
        return any(name not in layer._sums for layer, name in self._roots)

    @property
    def has_penalties(self) -> bool:
        """Whether any layer has a penalty, by the settings as they are now."""
        if self._has_own_penalties:
            return True
        for settings, l1, l2 in self._strengths:  # noqa: SIM110 # a generator is slower
            if settings[l1] or settings[l2]:
                return True
        return False

    @property
    def has_bounds(self) -> bool:
        """Whether any layer bounds its weights, by the settings as they are now."""
        if self._has_own_bounds:
            return True
        for settings in self._bounds:  # noqa: SIM110 # see above
            if settings["max_norm"] is not None:
                return True
        return False

    def zeros(self, place: int, size: int | None = None) -> Array:
        """A new array like the two: an optimizer asks for places from 2 on, one for each.

        Or of another size, for a part of them.
        """
        return self._zeros(self.size if size is None else size, place)

    def _zeros(self, size: int, place: int) -> Array:
        backend = self.backend
        zeros: Array = backend.kernels.flat_zeros(
            backend.xp, size, backend.dtype(self.dtype), backend.device, place
        )
        return zeros

    def to(self, backend: Backend) -> None:
        """Move both arrays, and the layers' views with them."""
        former, self.backend = self.backend, backend
        try:
            values = self._zeros(self._n_values, 0)
            gradients = self._zeros(self._n_gradients, 1)
            values[...] = backend.asarray(self.all_values)
            gradients[...] = backend.asarray(self.all_gradients)
        except MemoryError as error:
            self.backend = former
            raise OutOfMemoryError(
                f"{backend.name} has not enough memory for {self._n_values:,} parameters and as "
                f"many gradients: {error}"
            ) from None
        self.all_values, self.all_gradients = values, gradients
        self._view()

    def _view(self) -> None:
        self.kept_for = None
        reshape = self.backend.xp.reshape
        start = 0
        for layer, name in self._slots:
            shape = layer._shapes[name]
            stop = start + prod(shape)
            layer._values[name] = reshape(self.all_values[start:stop], shape)
            layer._gradients[name] = reshape(self.all_gradients[start:stop], shape)
            layer._sums.pop(name, None)
            start = stop
        for layer, name in self._roots:
            layer._sums[name] = layer._gradients[name]
        for layer, name in [*self._roots, *((la, name) for la, name, _ in self._tied)]:
            shape = layer._shapes[name]
            stop = start + prod(shape)
            layer._gradients[name] = reshape(self.all_gradients[start:stop], shape)
            start = stop
        for layer, name, tie in self._tied:
            layer._values[name] = tie.values
        self.values, self.gradients = self.all_values, self.all_gradients
        if self.size < self._n_values:
            self.values = self.all_values[: self.size]
        if self.size < self._n_gradients:
            self.gradients = self.all_gradients[: self.size]
        self.parts = self._parts()
        self.n_decayed = self.parts[0].n_decayed

    def _parts(self) -> tuple[Part, ...]:
        sizes: dict[float, dict[float, int]] = {}  # by scale, and by what the decay is multiplied
        for layer, name in self._slots:
            if layer.trains(name):
                of_scale = sizes.setdefault(layer.learning_rate_scale_of(name), {})
                multiple = layer.weight_decay_of(name)
                of_scale[multiple] = of_scale.get(multiple, 0) + prod(layer._shapes[name])
        parts, start = [], 0
        for scale, of_scale in sizes.items():
            size = sum(of_scale.values())
            place = slice(start, start + size)
            whole = size == self.size
            values = self.values if whole else self.values[place]
            gradients = self.gradients if whole else self.gradients[place]
            decays, matrices = _decays(of_scale), self._matrices(place)
            parts.append(Part(self.backend, values, gradients, decays, scale, place, matrices))
            start += size
        nothing = Part(self.backend, self.values, self.gradients, (), 1.0, slice(0, 0))
        return tuple(parts) or (nothing,)

    def _matrices(self, place: slice) -> tuple[Matrix, ...]:
        """The parameters in a place that are matrices."""
        found, start = [], 0
        trained = [(layer, name) for layer, name in self._slots if layer.trains(name)]
        for full_name, (layer, name) in zip(self.layout, trained, strict=True):
            *seen, n_neurons = layer._shapes[name]
            shape = prod(seen), n_neurons
            stop = start + prod(shape)
            is_matrix = getattr(type(layer), name).is_matrix and min(shape) > 1
            if is_matrix and place.start <= start and stop <= place.stop:
                within = slice(start - place.start, stop - place.start)
                found.append(Matrix(full_name, within, shape))
            start = stop
        return tuple(found)

    def places_of(self, layer: Holder) -> list[slice]:
        """Where the gradients of a layer's own parameters lie, of those that are trained."""
        places, start = [], 0
        for each, name in self._slots:
            stop = start + prod(each._shapes[name])
            if each is layer and stop <= self.size:
                places.append(slice(start, stop))
            start = stop
        return places

    @property
    def has_ties(self) -> bool:
        """Whether a parameter has several places for what goes back through it."""
        return bool(self._tied)

    def parts_within(self, own: slice) -> tuple[Part, ...]:
        """The parts as far as they lie in a place, their places counted from its start."""
        found = []
        for part in self.parts:
            start, stop = max(part.place.start, own.start), min(part.place.stop, own.stop)
            if start >= stop:
                continue
            within = part.cut(start - part.place.start, stop - part.place.start)
            found.append(replace(within, place=slice(start - own.start, stop - own.start)))
        return tuple(found)

    def trained_gradients(self) -> list[Array]:
        """Where a backward pass, and `sum_ties` behind it, leave what an optimizer reads."""
        slots = [(layer, name) for layer, name in self._slots if layer.trains(name)]
        return [layer._sums.get(name, layer._gradients[name]) for layer, name in slots]

    def sum_ties(self, *, with_penalties: bool = False) -> None:
        """Add up what goes back through each of the layers that use one parameter.

        Called again, it does the same again.
        """
        for root, name in self._roots:
            total: Array = root._sums[name]
            total[...] = root._gradients[name]
            for layer, own, tie in self._tied:
                if tie.layer is root and tie.name == name:
                    gradient = layer._gradients[own]
                    total += gradient.T if tie.transposed else gradient
            if with_penalties:
                root.add_penalty(name)


def _decays(sizes: dict[float, int]) -> tuple[tuple[slice, float], ...]:
    """Where parameters lie that decay, given so many elements for each multiple of the decay."""
    found, start = [], 0
    for multiple, size in sizes.items():
        if multiple:
            found.append((slice(start, start + size), multiple))
        start += size
    return tuple(found)


def _rank(layer: Holder, name: str) -> tuple[bool, float, float]:
    """By what the parameters of a buffer are sorted: those that are trained come first."""
    scale = layer.learning_rate_scale_of(name)
    return not layer.trains(name), 0.0 if scale == 1.0 else scale, -layer.weight_decay_of(name)


def owned(backend: Backend, array: Any) -> Array:
    """The array on that backend, in memory that nothing else shares."""
    moved: Array = backend.xp.asarray(backend.asarray(array), copy=True)
    return moved
