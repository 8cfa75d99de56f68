"""Training steps that are recorded once and launched many times, where the device can."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, NamedTuple

from nnfs_xp._typing import Array
from nnfs_xp.distributed import Share
from nnfs_xp.learning.epoch import Batch, Epoch
from nnfs_xp.learning.learner import Learner
from nnfs_xp.learning.pace import Pace
from nnfs_xp.learning.recorded_step import NotRecordableError, RecordedStep, refuse_together
from nnfs_xp.learning.totals import Totals
from nnfs_xp.optimizers import Optimizer

_log = logging.getLogger("nnfs_xp")

_MOST = 8
"""How many recordings are kept at a time, each for one shape of batches."""


class Kind(NamedTuple):
    """What all steps have in common that one recording serves.

    Attributes
    ----------
    source : {"epoch", "given"}
        Whether it is a step of `Trainer.fit`, with what belongs to an epoch, or one by itself.
    n : int
        Samples.
    batch : tuple
        Shape and data type of each array that is handed over.
    adds, updates : bool
        See `Learner.step`.
    share : Share or None
        Which of the batch the samples are.
    """

    source: str
    n: int
    batch: tuple[tuple[Any, Any], ...]
    adds: bool = False
    updates: bool = True
    share: Share | None = None


def _n_rows(x: Array) -> int:
    return x.shape[0] if x.ndim <= 2 else prod(x.shape[:-1])


def _form(batch: tuple[Array, ...]) -> tuple[tuple[Any, Any], ...]:
    return tuple((array.shape, array.dtype) for array in batch)


class Recorder:
    """Makes a learner's steps: the first of a kind as it is, the next ones recorded and launched.

    A kind is what the steps' batches are: their shapes, and where they come from. What changes
    from step to step without the arrays, the learning rate and the counts of steps, lies on the
    device in a recorded step, and is written there before each launch. A step that cannot be
    recorded is made as it is, as are all that follow; the log says once why.

    Parameters
    ----------
    learner : Learner
    wanted : bool
        False to record nothing.
    threads : int, optional
        On how many a CPU makes steps: see `Pace`.

    Attributes
    ----------
    pace : Pace
        On how many threads of a CPU steps are made.
    refused : str or None
        Why no step is recorded any more.
    recordings : int
        How many kinds of steps were recorded so far, those recorded again counted again.
    """

    def __init__(self, learner: Learner, *, wanted: bool, threads: int | None = None) -> None:
        self.learner = learner
        self.pace = Pace(learner, threads)
        if not wanted:
            for replay in learner.replays:
                replay.end()
        self._wanted = wanted
        self._threads = threads
        self._recorded: dict[Kind, RecordedStep] = {}
        self.refused: str | None = None
        self.recordings = 0
        learner.group.note_recorder(self)

    @property
    def records(self) -> bool:
        """Whether it records steps, as far as is known."""
        return self._wanted and self.refused is None and self.learner.backend.can_record

    def __getstate__(self) -> dict[str, Any]:
        return {"learner": self.learner, "wanted": self._wanted, "threads": self._threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Recorder.__init__(self, **state)

    def forget(self, source: str | None = None) -> None:
        """Give back what was recorded, or that from one source: see `Kind`."""
        for replay in self.learner.replays:
            replay.forget()
        for kind in [kind for kind in self._recorded if source in (None, kind.source)]:
            self._drop(kind)

    def let_go(self) -> None:
        """Drop what was recorded, and wait for nothing: its memory is freed later."""
        for recorded in self._recorded.values():
            recorded.graph.leave()
        self._recorded.clear()

    def _drop(self, kind: Kind) -> None:
        self._recorded.pop(kind).graph.close()

    @property
    def memory(self) -> int:
        """Bytes that the recorded steps work in."""
        return sum(each.graph.memory for each in self._recorded.values())

    def step(self, *batch: Array) -> Array:
        """Train on a batch; return the loss, in an array of its own."""
        learner = self.learner
        share, batch = learner.sharing.own(batch)
        if self.records and all(map(learner.backend.owns, batch)):
            kind = Kind("given", batch[0].shape[0], _form(batch), share=share)
            new = partial(RecordedStep, learner, (), batch, partial(_given, learner, share))
            loss = self._make(kind, batch, new, tuple)
            if loss is not None:
                own: Array = self._recorded[kind].graph.copied(loss)
                return own
        return self.pace.run("step", _n_rows(batch[0]), learner.step, *batch, share=share)[1]

    def gradients(self, *batch: Array) -> Array:
        """Set the gradients of a batch, penalties left out; return the loss."""
        learner = self.learner
        share, batch = learner.sharing.own(batch)
        n = _n_rows(batch[0])
        return self.pace.run("gradients", n, learner.all_gradients, *batch, share=share)[1]

    def update(self) -> None:
        """Update the parameters by the gradients."""
        self.pace.run("update", 1, self.learner.update)

    def forward(self, x: Array) -> Array:
        """What the chain puts out for a batch, outside of training."""
        return self.pace.run("forward", _n_rows(x), self.learner.output, x)

    def step_in_epoch(
        self,
        epoch: Epoch,
        index: int,
        group: tuple[Batch, ...],
        totals: Totals,
        *,
        unwatched: bool = False,
    ) -> None:
        """Make the epoch's step of that index, and add its loss and metrics to the totals.

        Parameters
        ----------
        epoch : Epoch
        index : int
        group : tuple of Batch
            The batches that the step is made on.
        totals : Totals
        unwatched : bool
            Whether no callback ran since the step before, so that no setting can have changed.
        """
        adds, first = epoch.accumulate > 1, index * epoch.accumulate
        for place, batch in enumerate(group, first):
            unwatched = not epoch.make_room(place) and unwatched
            updates = place == first + len(group) - 1
            self._batch_in_epoch(epoch, place, batch, totals, adds, updates, unwatched)

    def _batch_in_epoch(
        self,
        epoch: Epoch,
        index: int,
        batch: Batch,
        totals: Totals,
        adds: bool,
        updates: bool,
        unwatched: bool,
    ) -> None:
        """Train on the batch of that index."""
        learner, n = self.learner, batch.n
        if self.records and totals.started:
            given = batch.arrays or ()
            like = batch._replace(arrays=None)  # which a recording is not to keep
            work = partial(_in_epoch, learner, epoch, like, totals, adds, updates)
            new = partial(RecordedStep, learner, totals.metrics, given, work)
            kind = Kind("epoch", n, _form(given), adds, updates, batch.share)

            def uses() -> tuple[Any, ...]:
                summed = learner.sums.arrays if adds else ()
                return *epoch.arrays, totals, *totals.arrays, *summed

            result = self._make(kind, given, new, uses, batch.start, index, unwatched=unwatched)
            if result is not None:
                totals.count += batch.whole
                totals.collect_step(*result, share=batch.share)
                return
        arrays = epoch.arrays_of(batch)
        step = learner.step
        output, loss = self.pace.run(
            "step", _n_rows(arrays[0]), step, *arrays, adds=adds, updates=updates, share=batch.share
        )
        totals.add(loss, output, *arrays[1:], share=batch.share)
        epoch.put_loss(index, loss)

    def _make(
        self,
        kind: Kind,
        batch: tuple[Array, ...],
        new: Callable[[tuple[Any, ...]], RecordedStep],
        uses: Callable[[], tuple[Any, ...]],
        start: int = 0,
        index: int = 0,
        *,
        unwatched: bool = False,
    ) -> Any:
        """Make a step of that kind; what the work returned, or None if nothing was done."""
        learner = self.learner
        learner.ready()
        try:
            found = self._recorded.get(kind)
            trusted = found is not None and found.launched and unwatched
            if found is None or not (trusted or found.holds(learner, uses())):
                if found is not None:
                    self._drop(kind)
                while len(self._recorded) >= _MOST:
                    self._drop(next(iter(self._recorded)))
                found = self._recorded[kind] = self._new_step(new, uses)
            recorded = found.launched
            found.run(learner, batch, start, index)
        except NotRecordableError as error:
            self.forget()
            self.refused = str(error)
            _log.warning("training steps run one operation at a time, not as graphs: %s", error)
            return None
        learner.count_batch(updates=kind.updates)
        self.recordings += found.launched and not recorded
        return found.result

    def _new_step(
        self,
        new: Callable[[tuple[Any, ...]], RecordedStep],
        uses: Callable[[], tuple[Any, ...]],
    ) -> RecordedStep:
        """A step to be recorded, where all processes of the group can."""
        made, refusal = None, None
        try:
            _refuse_own_steps(self.learner)
            made = new(uses())
        except NotRecordableError as error:
            refusal = error
        refuse_together(self.learner, refusal)
        assert made is not None
        return made


def _given(learner: Learner, share: Share | None, places: tuple[Array, ...], *_: Any) -> Array:
    """A step on a batch that is handed over; its loss."""
    return learner.compute(*places, share=share)[1]


def _in_epoch(
    learner: Learner,
    epoch: Epoch,
    batch: Batch,
    totals: Totals,
    adds: bool,
    updates: bool,
    places: tuple[Array, ...],
    start: Any,
    index: Any,
) -> tuple[Array, ...]:
    """Train on the batch handed over, or on the epoch's next n samples, with the totals."""
    places = places or epoch.gather(start, batch.n)
    output, loss = learner.compute(*places, adds=adds, updates=updates, share=batch.share)
    totals.accumulate(loss, output, *places[1:], share=batch.share)
    epoch.put_loss(index, loss)
    return output, *places[1:]


def _refuse_own_steps(learner: Learner) -> None:
    """Refuse to record steps of a kind that is not the package's.

    Raises
    ------
    NotRecordableError
        The optimizer steps in a way of its own, or there is nothing to step.
    """
    if type(learner.optimizer).step is not Optimizer.step:
        raise NotRecordableError(f"{type(learner.optimizer).__name__} has a `step` of its own")
    if learner.model._flat is None:
        raise NotRecordableError("the model has no parameters")
