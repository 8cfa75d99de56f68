"""One kind of training step: made as it is, then recorded as a graph, then launched."""

from __future__ import annotations

import logging
import pickle
import random
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import is_, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.kernels.standard import DeviceCount
from nnfs_xp.schedules import Schedule

if TYPE_CHECKING:
    from nnfs_xp.training.trainer import Trainer

_log = logging.getLogger("nnfs_xp")

_REHEARSALS = 2
"""Steps that are made as they are first: in one a part may find out what it needs, by the next it
has."""


class NotRecordableError(Exception):
    """Why a step cannot be recorded."""


class RecordedStep:
    """Steps of one kind.

    Parameters
    ----------
    trainer : Trainer
    batch : tuple of arrays
        Like those of each step, which are put into `held`.
    work : callable (trainer, held, start, index) -> result
        The step, all but its counting. Start, the place in the epoch's order, and index, the
        step's in the epoch, are ints or, in recording, `DeviceCount`s.
    uses : tuple
        Objects that must be the same for what was recorded to hold.

    Attributes
    ----------
    held : tuple of arrays
    result
        What the work returned: when launched, the same arrays with other values.
    launched : bool
        Whether it has been recorded.
    """

    def __init__(
        self,
        trainer: Trainer,
        batch: tuple[Array, ...],
        work: Callable[..., Any],
        uses: tuple[Any, ...],
    ) -> None:
        backend = trainer.backend
        xp, device = backend.xp, backend.device
        self.graph = backend.graph()
        self.held = tuple(xp.empty_like(array) for array in batch)
        self.result: Any = None
        self.launched = False
        self._work = work
        self._uses = uses
        trainer.optimizer.state(trainer.model)  # there from now on
        self._arrays = _arrays_of(trainer)
        self._parts = _parts_of(trainer)
        self._looks: list[_Look] = []
        self._pins: list[_Pins] = []
        self._walks = True
        self._rehearsals = 0
        self._changed = ""
        kind = xp.float64 if trainer.model.dtype == "float64" else xp.float32
        self._rate: Array = xp.zeros((), dtype=kind, device=device)
        self._counts: Array = xp.zeros(4, dtype=xp.int64, device=device)

    def holds(self, trainer: Trainer, uses: tuple[Any, ...]) -> bool:
        """Whether what was recorded is still what is to be done."""
        if not _same(uses, self._uses):
            return False
        if not self.launched:
            return _same(_arrays_of(trainer), self._arrays)
        flat = trainer.model.flat
        return (
            flat.values is self._arrays[0]
            and flat.gradients is self._arrays[1]
            and trainer.optimizer.kept(trainer.model) is self._state
            and _same(_made_of(trainer), self._made_of)
            and all(pins.stand() for pins in self._pins)
            and not any("children" in attributes for attributes in self._childless)
            and all(look.stands() for look in self._looks)
            and not (self._walks and not _same(_parts_of(trainer), self._parts))
        )

    def run(self, trainer: Trainer, batch: tuple[Array, ...], start: int, index: int) -> None:
        """Make a step, all but its counting.

        Raises
        ------
        NotRecordableError
            It was to be recorded, and cannot be; the arrays are as before.
        """
        if not self.launched:
            if self._rehearsals < _REHEARSALS:
                self._rehearse(trainer, batch, start, index)
                return
            self._record(trainer)
        optimizer = trainer.optimizer
        counts = optimizer.iterations, trainer.steps_done, start, index
        rate = optimizer.current_learning_rate
        self.graph.begin(self._counts, self._rate, counts, rate, batch, self.held)
        self.graph.launch()

    def _rehearse(self, trainer: Trainer, batch: tuple[Array, ...], start: int, index: int) -> None:
        for place, array in zip(self.held, batch, strict=True):
            place[...] = array
        trainer.reseed()
        before = [_Look.at(part) for part in self._parts]
        self.result = self.graph.rehearse(lambda: self._work(trainer, self.held, start, index))
        self._rehearsals += 1
        with self._counted_on_device(trainer):  # where the counts of layers are none of the host's
            self._changed = next((name for look in before for name in look.changed()), "")
        if not self._changed:
            self._rehearsals = _REHEARSALS

    def _record(self, trainer: Trainer) -> None:
        if self._changed:
            raise NotRecordableError(f"{self._changed} changes from step to step")
        with self._counted_on_device(trainer):
            looks = [_Look.at(part) for part in self._parts]
            replaced = self._record_once(trainer, looks)
            if replaced:
                # Arrays that a step replaces are those of the recording from now on. That is well
                # where a step writes them before it reads them: so it shall find none there.
                for part, name in replaced:
                    vars(part)[name] = _Nothing()
                self._record_once(trainer, looks, hint=_hint(replaced))
        passing = {(id(part), name) for part, name in replaced}
        self._looks = [look.without(passing) for look in looks]
        self._pin(trainer)
        self.launched = True
        _log.debug("recorded a training step as a graph")

    def _record_once(
        self, trainer: Trainer, looks: list[_Look], hint: str = ""
    ) -> list[tuple[Any, str]]:
        """Record, and put all attributes back; returns those that the step had replaced."""
        places = self._count(2), self._count(3)
        try:
            self.result = self.graph.record(lambda: self._work(trainer, self.held, *places))
        except Exception as error:
            text = str(error).strip().splitlines() or [""]
            reason = hint or f"{type(error).__name__}: {text[0][:200]}"
            raise NotRecordableError(reason) from error
        finally:
            replaced = [(look.part, name) for look in looks for name in look.put_back()]
        return replaced

    def _pin(self, trainer: Trainer) -> None:
        """Note the objects that must be there in each step, for `holds` to compare quickly."""
        layers = trainer.working_layers()
        self._state = trainer.optimizer.kept(trainer.model)
        self._made_of = _made_of(trainer)
        pins = [_Pins(self._state), *(_Pins(vars(layer), ("_buffers",)) for layer in layers)]
        pins += [_Pins(layer._buffers) for layer in layers]
        self._pins = [each for each in pins if each.objects]
        # A tuple of layers is looked at with the other attributes.
        self._childless = [vars(layer) for layer in layers if "children" not in vars(layer)]
        tuples = (isinstance(vars(la).get("children", type(la).children), tuple) for la in layers)
        self._walks = not all(tuples)

    def _count(self, place: int) -> DeviceCount:
        return DeviceCount(self._counts[place, ...])

    @contextmanager
    def _counted_on_device(self, trainer: Trainer) -> Iterator[None]:
        """While it lasts, the optimizer and the layers find rate and counts on the device."""
        optimizer: Any = trainer.optimizer
        before = optimizer.iterations, optimizer.learning_rate
        optimizer.iterations, optimizer.learning_rate = self._count(0), _DeviceRate(self._rate)
        try:
            trainer.reseed_on_device(self._count(1))
            yield
        finally:
            optimizer.iterations, optimizer.learning_rate = before
            trainer.reseed()


class _DeviceRate(Schedule):
    """The learning rate as it lies on the device."""

    def __init__(self, rate: Array) -> None:
        self._rate = rate

    def rate(self, step: int) -> float:
        del step
        rate: Any = self._rate  # a 0-d array stands for the float
        return rate  # type: ignore[no-any-return] # see above


_PLAIN = (bool, int, float, str, bytes, type(None))
_PASSING = {
    *("_kept", "dinputs", "_values", "_gradients", "_buffers", "_flat", "_shapes"),
    *("iterations", "learning_rate", "_states", "_exchanged"),
}
"""Attributes that passes change as they must, and those that have a look of their own."""


class _Pins:
    """Objects by their names in a dictionary, which must stay the same ones.

    Parameters
    ----------
    names : dict
    keys : iterable of str, optional
        Which to look at; all by default.
    """

    def __init__(self, names: dict[str, Any], keys: Iterable[str] | None = None) -> None:
        self._size = len(names) if keys is None else None
        keys = tuple(names if keys is None else keys)
        self._names = names
        # Of two keys at least, it gives a tuple.
        self._get = itemgetter(*keys, keys[0]) if keys else tuple
        self.objects: tuple[Any, ...] = self._get(names) if keys else ()

    def stand(self) -> bool:
        """Whether each is there as it was, and, where all were looked at, no other."""
        try:
            same = all(map(is_, self._get(self._names), self.objects))
        except KeyError:
            return False
        return same and self._size in (None, len(self._names))


class _Look(NamedTuple):
    """A part of the training as it was when looked at: its attributes, and what was in them."""

    part: Any
    pins: _Pins
    names: tuple[str, ...]
    values: tuple[Any, ...]
    contents: dict[str, Any]
    filled: frozenset[str]

    @classmethod
    def at(cls, part: Any) -> _Look:
        """Look at a layer, a loss, a metric or an optimizer."""
        own = {
            name: value
            for name, value in vars(part).items()
            if name not in _PASSING and not isinstance(value, DeviceCount)
        }
        contents = {name: _content(value) for name, value in own.items()}
        filled = frozenset(
            name
            for name, value in own.items()
            if isinstance(value, (dict, list, set, deque)) and contents[name] != _UNKNOWN
        )
        pins = _Pins(vars(part), own)
        return cls(part, pins, tuple(own), tuple(own.values()), contents, filled)

    def stands(self) -> bool:
        """Whether each attribute is the same object, or has the same numbers, texts and flags."""
        if not self.filled and self.pins.stand():
            return True
        present = tuple(map(vars(self.part).get, self.names))
        return all(
            _content(now) == self.contents[name]
            if name in self.filled or (isinstance(now, _PLAIN) and isinstance(was, _PLAIN))
            else now is was
            for name, was, now in zip(self.names, self.values, present, strict=True)
        )

    def changed(self) -> Iterator[str]:
        """The attributes with other numbers, texts or flags in them now."""
        for name, content in self.contents.items():
            now = vars(self.part).get(name)
            if isinstance(now, DeviceCount) or content == _UNKNOWN:
                continue
            if _content(now) not in (_UNKNOWN, content):
                yield f"{type(self.part).__name__}.{name}"

    def put_back(self) -> list[str]:
        """Give each attribute its former value; returns the names of those that had another."""
        attributes = vars(self.part)
        others = [
            name
            for name, was in zip(self.names, self.values, strict=True)
            if attributes.get(name) is not was
        ]
        attributes.update(zip(self.names, self.values, strict=True))
        return [name for name in others if self.contents[name] == _UNKNOWN]

    def without(self, passing: set[tuple[int, str]]) -> _Look:
        """The same, but for attributes that each step writes before it reads them."""
        kept = [
            (name, value)
            for name, value in zip(self.names, self.values, strict=True)
            if (id(self.part), name) not in passing
        ]
        names, values = zip(*kept, strict=True) if kept else ((), ())
        return self._replace(pins=_Pins(vars(self.part), names), names=names, values=values)


class _Nothing:
    """In the place of an array that a step must write before it reads it."""

    def __getattr__(self, name: str) -> Any:
        raise TypeError(f"a step reads this before it has written it ({name})")

    def __bool__(self) -> bool:
        raise TypeError("a step reads this before it has written it")


def _hint(replaced: list[tuple[Any, str]]) -> str:
    part, name = replaced[0]
    return (
        f"{type(part).__name__}.{name} is another object after each step. Keep what lasts from "
        "step to step in a Buffer, and the rest with `keep`"
    )


_UNKNOWN = "unknown"


def _content(value: Any) -> Any:
    """What is in a value that the host alone can change; `_UNKNOWN` where that is not known."""
    if isinstance(value, _PLAIN):
        return repr(value)
    try:
        if isinstance(value, dict):
            value = [part for item in value.items() for part in item]
        if isinstance(value, (list, tuple, deque, set, frozenset)):
            parts = [_content(part) for part in value]
            return _UNKNOWN if _UNKNOWN in parts else parts
        if isinstance(value, np.ndarray):
            return _UNKNOWN if value.dtype.hasobject else zlib.crc32(value.tobytes())
        if isinstance(value, (np.generic, np.random.Generator, random.Random)):
            return pickle.dumps(value)
    except Exception as error:  # a list that holds itself, say
        _log.debug("cannot look into a %s: %s", type(value).__name__, error)
    return _UNKNOWN


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether both have the same objects."""
    return len(one) == len(other) and all(map(is_, one, other))


def _made_of(trainer: Trainer) -> tuple[Any, ...]:
    """What the trainer was given, or made of it; without the layers, which takes longer to find."""
    return trainer.model, trainer.fused_loss, trainer.optimizer, trainer._step, *trainer.metrics


def _parts_of(trainer: Trainer) -> tuple[Any, ...]:
    """All that a recorded step has the settings of."""
    return *trainer.working_layers(), trainer.fused_loss, *trainer.metrics, trainer.optimizer


def _arrays_of(trainer: Trainer) -> tuple[Any, ...]:
    """The arrays that steps change: if one is another object, what was recorded is void."""
    flat = trainer.model.flat
    state = trainer.optimizer.kept(trainer.model)
    return flat.values, flat.gradients, *state.values(), *trainer.model.buffers().values()
