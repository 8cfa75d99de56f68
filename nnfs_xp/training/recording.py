"""Training steps that are recorded once and launched many times, where the device can."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from nnfs_xp._typing import Array
from nnfs_xp.optimizers import Optimizer
from nnfs_xp.training.recorded_step import NotRecordableError, RecordedStep

if TYPE_CHECKING:
    from nnfs_xp.training.trainer import Trainer

_log = logging.getLogger("nnfs_xp")

_MOST = 8
"""Kinds of steps, by the shapes of their batches, that are kept recorded at a time."""


class Kind(NamedTuple):
    """What is the same for all steps that one recording serves.

    Attributes
    ----------
    source : {"epoch", "given"}
        Whether it is a step of `Trainer.fit`, with what belongs to an epoch, or one by itself.
    n : int
        Samples.
    batch : tuple
        Shape and data type of each array that is handed over.
    """

    source: str
    n: int
    batch: tuple[tuple[Any, Any], ...]


def _form(batch: tuple[Array, ...]) -> tuple[int, tuple[tuple[Any, Any], ...]]:
    n = batch[0].shape[0] if batch else 0
    return n, tuple((array.shape, array.dtype) for array in batch)


class Recorder:
    """Makes a trainer's steps: the first or two of a kind as they are, then recorded and launched.

    A kind is what the steps' batches are: their shapes, and where they come from. What changes
    from step to step without the arrays, the learning rate and the counts of steps, lies on the
    device in a recorded step, and is written there before each launch. A step that cannot be
    recorded is made as it is, as are all that follow; the log says once why.

    Parameters
    ----------
    wanted : bool
        False to record nothing.

    Attributes
    ----------
    refused : str or None
        Why no step is recorded any more.
    recordings : int
        How many kinds of steps were recorded so far, those recorded again counted again.
    """

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._recorded: dict[Kind, RecordedStep] = {}
        self.refused: str | None = None
        self.recordings = 0

    def records(self, trainer: Trainer) -> bool:
        """Whether it does, as far as is known."""
        return self._wanted and self.refused is None and trainer.backend.can_record

    def __getstate__(self) -> dict[str, Any]:
        return {"_wanted": self._wanted}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Recorder.__init__(self, wanted=state["_wanted"])

    def forget(self, source: str | None = None) -> None:
        """Give back what was recorded, or that from one source: see `Kind`."""
        for kind in [kind for kind in self._recorded if source in (None, kind.source)]:
            self._drop(kind)

    def _drop(self, kind: Kind) -> None:
        self._recorded.pop(kind).graph.close()

    @property
    def memory(self) -> int:
        """Bytes that the recorded steps work in."""
        return sum(each.graph.memory for each in self._recorded.values())

    def step(self, trainer: Trainer, *batch: Array) -> Array:
        """Train on a batch; returns the loss, in an array of its own."""
        backend = trainer.backend
        if self.records(trainer) and all(map(backend.owns, batch)):
            kind = Kind("given", *_form(batch))
            loss = self._make(trainer, kind, batch, _given, tuple)
            if loss is not None:
                own: Array = self._recorded[kind].graph.copied(loss)
                return own
        return trainer.make_step(*batch)[1]

    def step_in_epoch(
        self,
        trainer: Trainer,
        epoch: Epoch,
        index: int,
        batch: tuple[Array, ...] | None,
        *,
        unwatched: bool = False,
    ) -> None:
        """Make the epoch's step of that index, and add its loss and metrics to the totals.

        Parameters
        ----------
        trainer : Trainer
        epoch : Epoch
        index : int
        batch : tuple of arrays, or None
            None to take it from the epoch's data, which are then on the device.
        unwatched : bool
            Whether nobody can have changed any setting since the step before.
        """
        totals = trainer.totals
        start, n = index * epoch.batch_size, epoch.size_of(index)
        if self.records(trainer) and totals.started:
            given = () if batch is None else batch
            kind = Kind("epoch", n, _form(given)[1])
            work = partial(_in_epoch, epoch, n)
            result = self._make(
                trainer,
                kind,
                given,
                work,
                lambda: (*epoch.arrays, totals, *totals.arrays),
                start=start,
                index=index,
                unwatched=unwatched,
            )
            if result is not None:
                totals.count += n
                totals.collect(*result)
                return
        if batch is None:
            batch = epoch.gather(start, n)
        output, loss = trainer.make_step(*batch)
        totals.add(loss, output, *batch[1:])
        epoch.put_loss(index, loss)

    def _make(
        self,
        trainer: Trainer,
        kind: Kind,
        batch: tuple[Array, ...],
        work: Callable[..., Any],
        uses: Callable[[], tuple[Any, ...]],
        *,
        start: int = 0,
        index: int = 0,
        unwatched: bool = False,
    ) -> Any:
        """Make a step of that kind; what the work returned, or None if nothing was done."""
        found = self._recorded.get(kind)
        trusted = found is not None and found.launched and unwatched
        if found is None or not (trusted or found.holds(trainer, uses())):
            flaw = _flaw(trainer)
            if flaw is not None:
                self._refuse(flaw)
                return None
            if found is not None:
                self._drop(kind)
            while len(self._recorded) >= _MOST:
                self._drop(next(iter(self._recorded)))
            found = self._recorded[kind] = RecordedStep(trainer, batch, work, uses())
        new = not found.launched
        try:
            found.run(trainer, batch, start, index)
        except NotRecordableError as error:
            self.forget()
            self._refuse(str(error))
            return None
        trainer.count_step()
        self.recordings += new and found.launched
        return found.result

    def _refuse(self, reason: str) -> None:
        self.refused = reason
        _log.warning("training steps are made one operation at a time, not as graphs: %s", reason)


def _given(trainer: Trainer, places: tuple[Array, ...], *_: Any) -> Array:
    """A step on a batch that is handed over; its loss."""
    return trainer.compute_step(*places)[1]


def _in_epoch(
    epoch: Epoch, n: int, trainer: Trainer, places: tuple[Array, ...], start: Any, index: Any
) -> tuple[Array, ...]:
    """A step on the batch handed over, or on the epoch's next n samples, with the totals."""
    places = places or epoch.gather(start, n)
    output, loss = trainer.compute_step(*places)
    trainer.totals.accumulate(loss, output, *places[1:])
    epoch.put_loss(index, loss)
    return output, *places[1:]


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
        self._data = tuple(
            backend.by_rows(array) if backend.owns(array) else array for array in data
        )
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
        if self._in_order and not self._backend.can_record:
            return tuple(array[start : start + n, ...] for array in self._data)
        order, gather_rows = self._order, kernels.gather_rows
        return tuple([gather_rows(xp, array, order, start, n) for array in self._data])

    def put_loss(self, index: Any, loss: Array) -> None:
        """Note the loss of the step of that index."""
        self._backend.kernels.put(self._backend.xp, self.losses, index, loss)

    @property
    def arrays(self) -> tuple[Array, ...]:
        """What recorded steps use of it."""
        return *self._data, self.losses, self._order


def _flaw(trainer: Trainer) -> str | None:
    """Why steps of this trainer cannot be recorded, as far as can be seen beforehand."""
    if type(trainer.optimizer).step is not Optimizer.step:
        return f"{type(trainer.optimizer).__name__} has a `step` of its own"
    if trainer.model._flat is None:
        return "the model has no parameters"
    return None
