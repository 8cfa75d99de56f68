"""One kind of training step: made as it is, then recorded as a graph, then launched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import is_
from typing import TYPE_CHECKING, Any, NamedTuple

from nnfs_xp._typing import Array
from nnfs_xp.kernels.standard import DeviceCount
from nnfs_xp.schedules import Schedule

if TYPE_CHECKING:
    from nnfs_xp.training.trainer import Trainer

_log = logging.getLogger("nnfs_xp")


class NotRecordableError(Exception):
    """Why a step cannot be recorded."""


class RecordedStep:
    """Steps of one kind: made as they are, then recorded, then launched."""

    def __init__(
        self,
        trainer: Trainer,
        batch: tuple[Array, ...],
        work: Callable[..., Any],
        uses: tuple[Any, ...],
    ) -> None:
        backend = trainer.backend
        xp, device = backend.xp, backend.device
        self._trainer = trainer
        self.graph = backend.graph()
        self.held = tuple(xp.empty_like(array) for array in batch)
        self._work = work
        self._uses = uses
        trainer.optimizer.state(trainer.model)  # there from now on
        self._arrays = _arrays_of(trainer)
        self._settings: list[_Settings] = []
        self._changing: list[tuple[_Settings, str]] | None = None
        kind = xp.float64 if trainer.model.dtype == "float64" else xp.float32
        self._rate: Array = xp.zeros((), dtype=kind, device=device)
        self._counts: Array = xp.zeros(4, dtype=xp.int64, device=device)
        self.state = "new"
        self.result: Any = None

    def holds(self, uses: tuple[Any, ...]) -> bool:
        """Whether what was recorded is still what is to be done."""
        arrays = _arrays_of(self._trainer)
        return (
            len(uses) == len(self._uses)
            and all(map(is_, uses, self._uses))
            and len(arrays) == len(self._arrays)
            and all(map(is_, arrays, self._arrays))
            and all(each.stand() for each in self._settings)
        )

    def run(self, start: int, index: int) -> None:
        """Make a step, all but its counting."""
        trainer = self._trainer
        if self.state == "launched":
            self._write_numbers(start, index)
            self.graph.launch()
            return
        if self.state == "new":
            before = _settings_of(trainer)
            self._write_numbers(start, index)
            self.result = self.graph.rehearse(lambda: self._work(self.held, *self._places()))
            changing = [(each, name) for each in before for name in each.changed()]
            if self._changing is not None or not changing:
                self.state = "rehearsed"
            self._changing = changing  # by the second rehearsal, what is set once is set
            return
        self._record()
        self._write_numbers(start, index)
        self.graph.launch()

    def _record(self) -> None:
        trainer = self._trainer
        try:
            with _counted_on_device(trainer, self._count(0), self._count(1), self._rate):
                # A layer's own count of the steps, set by `Layer.reseed`, is on the device now.
                for part, name in self._changing or ():
                    if not isinstance(part.owner.get(name), DeviceCount):
                        raise NotRecordableError(f"{part.kind}.{name} changes from step to step")
                self._settings = _settings_of(trainer)
                self.result = self.graph.record(lambda: self._work(self.held, *self._places()))
        except NotRecordableError:
            raise
        except Exception as error:
            text = str(error).strip().splitlines() or [""]
            raise NotRecordableError(f"{type(error).__name__}: {text[0][:200]}") from error
        self.state = "launched"
        _log.debug("recorded a training step as a graph")

    def _count(self, place: int) -> DeviceCount:
        return DeviceCount(self._counts[place, ...])

    def _places(self) -> tuple[DeviceCount, DeviceCount]:
        """Where the batch begins, and which step of the epoch it is."""
        return self._count(2), self._count(3)

    def _write_numbers(self, start: int, index: int) -> None:
        optimizer = self._trainer.optimizer
        counts = optimizer.iterations, self._trainer.steps_done, start, index
        self.graph.set_numbers(self._counts, self._rate, counts, optimizer.current_learning_rate)


class _DeviceRate(Schedule):
    """The learning rate as it lies on the device."""

    def __init__(self, rate: Array) -> None:
        self._rate = rate

    def rate(self, step: int) -> float:
        del step
        rate: Any = self._rate  # a 0-d array stands for the float
        return rate  # type: ignore[no-any-return] # see above


@contextmanager
def _counted_on_device(
    trainer: Trainer, iterations: DeviceCount, step: DeviceCount, rate: Array
) -> Iterator[None]:
    """While it lasts, the optimizer and the layers find rate and counts on the device."""
    optimizer: Any = trainer.optimizer
    before = optimizer.iterations, optimizer.learning_rate
    optimizer.iterations, optimizer.learning_rate = iterations, _DeviceRate(rate)
    try:
        trainer.reseed_on_device(step)
        yield
    finally:
        optimizer.iterations, optimizer.learning_rate = before
        trainer.reseed()


_PLAIN = (bool, int, float, str, type(None))


class _Settings(NamedTuple):
    """The numbers, texts and flags that a part of the training keeps on the host."""

    kind: str
    owner: dict[str, Any]
    names: tuple[str, ...]
    values: tuple[Any, ...]

    def stand(self) -> bool:
        """Whether they are what they were."""
        try:
            return tuple(map(self.owner.get, self.names)) == self.values
        except (TypeError, ValueError):  # something that cannot be compared took a number's place
            return False

    def changed(self) -> list[str]:
        """The names of those that are other numbers, texts or flags now."""
        present = map(self.owner.get, self.names)
        pairs = zip(self.names, self.values, present, strict=True)
        return [name for name, was, now in pairs if isinstance(now, _PLAIN) and now != was]


def _settings_of(trainer: Trainer) -> list[_Settings]:
    """What is baked into a recorded step, as far as the parts keep it as plain attributes."""
    counted = ("iterations", "learning_rate")  # of an optimizer; both are on the device then
    parts = [*trainer.working_layers(), trainer.fused_loss, *trainer.metrics, trainer.optimizer]
    found = []
    for part in parts:
        own = {
            name: value
            for name, value in vars(part).items()
            if isinstance(value, _PLAIN)
            and not (value is None and name.startswith("_"))  # kept between passes, perhaps
            and not (part is trainer.optimizer and name in counted)
        }
        found.append(_Settings(type(part).__name__, vars(part), tuple(own), tuple(own.values())))
    return found


def _arrays_of(trainer: Trainer) -> tuple[Any, ...]:
    """The arrays that steps change: if one is another object, what was recorded is void."""
    flat = trainer.model.flat
    state = trainer.optimizer.kept(trainer.model)
    return flat.values, flat.gradients, *state.values()
