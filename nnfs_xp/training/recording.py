"""Training steps that are recorded once and launched many times, where the device can."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import is_
from typing import TYPE_CHECKING, Any, NamedTuple

from nnfs_xp._typing import Array
from nnfs_xp.kernels.standard import DeviceCount
from nnfs_xp.optimizers import Optimizer
from nnfs_xp.schedules import Schedule

if TYPE_CHECKING:
    from nnfs_xp.training.trainer import Trainer

_log = logging.getLogger("nnfs_xp")

_MOST = 8
"""Kinds of steps, by the shapes of their batches, that are kept recorded at a time."""


class Recorder:
    """Makes a trainer's steps: the first or two of a kind as they are, then recorded and launched.

    A kind is what the steps' batches are: their shapes, and where they come from. What changes
    from step to step without the arrays, the learning rate and the counts of steps, lies on the
    device in a recorded step, and is written there before each launch. A step that cannot be
    recorded is made as it is, as are all that follow; the log says once why.

    Parameters
    ----------
    trainer : Trainer
    wanted : bool
        False to record nothing.

    Attributes
    ----------
    refused : str or None
        Why no step is recorded any more.
    """

    def __init__(self, trainer: Trainer, *, wanted: bool) -> None:
        self._trainer = trainer
        self._wanted = wanted
        self._recorded: dict[Any, _Recorded] = {}
        self._behind = False
        self.refused: str | None = None

    @property
    def records(self) -> bool:
        """Whether it does, as far as is known."""
        return self._wanted and self.refused is None and self._trainer.backend.can_record

    def __getstate__(self) -> dict[str, Any]:
        return {"_trainer": self._trainer, "_wanted": self._wanted}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _recorded={}, _behind=False, refused=None)

    def catch_up(self) -> None:
        """Tell the layers what launched steps have counted without them."""
        if self._behind:
            self._trainer.reseed()
            self._behind = False

    def forget(self) -> None:
        """Give back what was recorded, and its memory."""
        self.catch_up()
        self._recorded.clear()

    @property
    def memory(self) -> int:
        """Bytes that the recorded steps work in."""
        return sum(each.graph.memory for each in self._recorded.values())

    def step(self, *batch: Array) -> Array:
        """Train on a batch; returns the loss, in an array of its own."""
        trainer = self._trainer
        if self.records:
            key = "given", tuple((array.shape, array.dtype) for array in batch)

            def work(places: tuple[Array, ...], *_: Any) -> Array:
                return trainer.compute_step(*places)[1]

            found = self._find(key, batch, work, uses=())
            if found is not None and self._run(key, found, batch, start=0, index=0):
                loss: Array = trainer.backend.xp.asarray(found.result, copy=True)
                return loss
        return trainer.make_step(*batch)[1]

    def step_in_epoch(self, epoch: Epoch, index: int, batch: tuple[Array, ...] | None) -> None:
        """Make the epoch's step of that index, and add its loss and metrics to the totals.

        Parameters
        ----------
        epoch : Epoch
        index : int
        batch : tuple of arrays, or None
            None to take it from the epoch's data, which are then on the device.
        """
        trainer, totals = self._trainer, self._trainer.totals
        start = index * epoch.batch_size
        n = epoch.size_of(index)
        if self.records and totals.started:
            from_data = batch is None
            given = () if batch is None else batch
            key = "epoch", n, tuple((array.shape, array.dtype) for array in given)
            backend = trainer.backend
            xp, kernels = backend.xp, backend.kernels

            def work(places: tuple[Array, ...], at: Any, where: Any) -> tuple[Array, ...]:
                if from_data:
                    places = epoch.gather(at, n)
                output, loss = trainer.compute_step(*places)
                totals.accumulate(loss, output, *places[1:])
                kernels.put(xp, epoch.losses, where, loss)
                return output, *places[1:]

            uses = (*epoch.arrays, totals, *totals.arrays)
            found = self._find(key, given, work, uses=uses)
            if found is not None and self._run(key, found, given, start=start, index=index):
                totals.count += n
                totals.collect(*found.result)
                return
        if batch is None:
            batch = epoch.gather(start, n)
        output, loss = trainer.make_step(*batch)
        totals.add(loss, output, *batch[1:])
        epoch.put_loss(index, loss)

    def _find(
        self,
        key: Any,
        batch: tuple[Array, ...],
        work: Callable[..., Any],
        uses: tuple[Any, ...],
    ) -> _Recorded | None:
        """The recorded, or to be recorded, steps of a kind; None if they must be made anew."""
        trainer = self._trainer
        found = self._recorded.get(key)
        if found is not None and not found.holds(uses):
            del self._recorded[key]
            found = None
        if found is None:
            flaw = _flaw(trainer)
            if flaw is not None:
                self._refuse(flaw)
                return None
            found = _Recorded(trainer, batch, work, uses)
            while len(self._recorded) >= _MOST:
                del self._recorded[next(iter(self._recorded))]
            self._recorded[key] = found
        return found

    def _run(
        self, key: Any, found: _Recorded, batch: tuple[Array, ...], *, start: int, index: int
    ) -> bool:
        """Make a step; False, with nothing done, where it cannot be recorded."""
        trainer = self._trainer
        if found.state == "new":
            self.catch_up()
        for place, array in zip(found.held, batch, strict=True):
            place[...] = array
        try:
            found.run(start, index)
        except _NotRecordableError as error:
            del self._recorded[key]
            self._refuse(str(error))
            trainer.reseed()
            return False
        trainer.count_step()
        self._behind = True
        return True

    def _refuse(self, reason: str) -> None:
        self.refused = reason
        _log.warning("training steps are made one operation at a time, not as graphs: %s", reason)


class Epoch:
    """The data of an epoch in their order, for steps that take them by themselves.

    Parameters
    ----------
    trainer : Trainer
    data : tuple of arrays, each of n samples
    batch_size, n_steps : int

    Attributes
    ----------
    losses : array, shape (n_steps,)
        Of the steps of the present epoch.
    on_device : bool
        Whether all of the data are.
    """

    def __init__(
        self, trainer: Trainer, data: tuple[Any, ...], batch_size: int, n_steps: int
    ) -> None:
        backend = trainer.backend
        self._backend = backend
        self._data = data
        self.batch_size = batch_size
        self.n_samples: int = data[0].shape[0]
        self.on_device = all(backend.owns(array) for array in data)
        xp, device = backend.xp, backend.device
        dtype = backend.dtype(trainer.model.dtype or "float32")
        self.losses: Array = xp.zeros(n_steps, dtype=dtype, device=device)
        self._in_order = True
        self._order: Array = xp.arange(self.n_samples, dtype=xp.int64, device=device)

    def begin(self, order: Any) -> None:
        """Start an epoch with the samples in that order, or as they lie."""
        self.losses[...] = 0.0
        self._in_order = order is None
        if order is not None:
            self._order[...] = self._backend.asarray(order, "int64")

    def size_of(self, index: int) -> int:
        """How many samples the batch of a step has."""
        return min(self.batch_size, self.n_samples - index * self.batch_size)

    def gather(self, start: Any, n: int) -> tuple[Array, ...]:
        """The batch of n samples from that place in the order on."""
        xp, kernels = self._backend.xp, self._backend.kernels
        if self._in_order and isinstance(start, int):
            return tuple(array[start : start + n, ...] for array in self._data)
        return tuple(kernels.gather_rows(xp, array, self._order, start, n) for array in self._data)

    def put_loss(self, index: int, loss: Array) -> None:
        """Note the loss of a step."""
        self._backend.kernels.put(self._backend.xp, self.losses, index, loss)

    @property
    def arrays(self) -> tuple[Array, ...]:
        """What recorded steps use of it."""
        return *self._data, self.losses, self._order


class _NotRecordableError(Exception):
    """Why a step cannot be recorded."""


class _Recorded:
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
                        raise _NotRecordableError(f"{part.kind}.{name} changes from step to step")
                self._settings = _settings_of(trainer)
                self.result = self.graph.record(lambda: self._work(self.held, *self._places()))
        except _NotRecordableError:
            raise
        except Exception as error:
            text = str(error).strip().splitlines() or [""]
            raise _NotRecordableError(f"{type(error).__name__}: {text[0][:200]}") from error
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


def _flaw(trainer: Trainer) -> str | None:
    """Why steps of this trainer cannot be recorded, as far as can be seen beforehand."""
    if type(trainer.optimizer).step is not Optimizer.step:
        return f"{type(trainer.optimizer).__name__} has a `step` of its own"
    if trainer.model._flat is None:
        return "the model has no parameters"
    return None
