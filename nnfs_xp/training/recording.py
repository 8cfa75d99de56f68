"""Training steps that are recorded once and launched many times, where the device can."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnfs_xp._typing import Array
from nnfs_xp.optimizers import Optimizer
from nnfs_xp.training.recorded_step import NotRecordableError, RecordedStep

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
        self._recorded: dict[Any, RecordedStep] = {}
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
    ) -> RecordedStep | None:
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
            found = RecordedStep(trainer, batch, work, uses)
            while len(self._recorded) >= _MOST:
                del self._recorded[next(iter(self._recorded))]
            self._recorded[key] = found
        return found

    def _run(
        self, key: Any, found: RecordedStep, batch: tuple[Array, ...], *, start: int, index: int
    ) -> bool:
        """Make a step; False, with nothing done, where it cannot be recorded."""
        trainer = self._trainer
        if found.state == "new":
            self.catch_up()
        for place, array in zip(found.held, batch, strict=True):
            place[...] = array
        try:
            found.run(start, index)
        except NotRecordableError as error:
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


def _flaw(trainer: Trainer) -> str | None:
    """Why steps of this trainer cannot be recorded, as far as can be seen beforehand."""
    if type(trainer.optimizer).step is not Optimizer.step:
        return f"{type(trainer.optimizer).__name__} has a `step` of its own"
    if trainer.model._flat is None:
        return "the model has no parameters"
    return None
