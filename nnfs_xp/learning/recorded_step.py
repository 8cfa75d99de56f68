"""One kind of training step: made as it is once, then recorded as a graph, then launched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nnfs_xp._typing import Array
from nnfs_xp.data.reading import paused
from nnfs_xp.kernels.standard import DeviceCount
from nnfs_xp.learning.learner import Learner
from nnfs_xp.learning.standing import Settings, same
from nnfs_xp.metrics import Metric
from nnfs_xp.schedules import Schedule

_log = logging.getLogger("nnfs_xp")


class NotRecordableError(Exception):
    """Why a step cannot be recorded."""


def refuse_together(learner: Learner, refusal: NotRecordableError | None) -> None:
    """Raise where this process, or another of its group, cannot record: all do, or none.

    Raises
    ------
    NotRecordableError
    """
    if learner.group.agree(refusal is not None)[0]:
        raise refusal or NotRecordableError("another process of the group cannot record them")


def is_recordable(part: Any) -> bool:
    """Whether the class of a layer, loss, metric or optimizer says that it can be recorded.

    A class of this package can be recorded, and so can a `Block` that adds no pass. Any other class
    says ``recordable = True`` in its own body, also where it derives from one that does.
    """
    kind = type(part)
    if getattr(part, "is_plain_block", False):
        return True
    of_the_package = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
    return bool(vars(kind).get("recordable", of_the_package))


class RecordedStep:
    """Steps of one kind.

    Parameters
    ----------
    learner : Learner
    metrics : sequence of Metric
        The metrics that the step works out.
    batch : tuple of arrays
        Like those of each step, which are put into `held`.
    work : callable (held, start, index) -> result
        The step, all but its counting. Start, the place in the epoch's order, and index, the
        step's in the epoch, are ints or, in recording, `DeviceCount`s.
    uses : tuple
        What the work uses: where one is another object, the recording no longer holds.

    Attributes
    ----------
    held : tuple of arrays
    result
        What the work returned: when launched, the same arrays with other values.
    launched : bool
        Whether it has been recorded.

    Raises
    ------
    NotRecordableError
        A part does not say that it is recordable.
    """

    def __init__(
        self,
        learner: Learner,
        metrics: Sequence[Metric],
        batch: tuple[Array, ...],
        work: Callable[..., Any],
        uses: tuple[Any, ...],
    ) -> None:
        backend = learner.backend
        xp, device = backend.xp, backend.device
        layers = learner.layers()
        parts: list[Any] = [*layers, learner.fused_loss, *metrics, *learner.optimizer.walk()]
        for part in parts:
            if not is_recordable(part):
                kind = type(part).__name__
                raise NotRecordableError(f"{kind} does not say `recordable = True`")
        self.graph = backend.graph()
        self.held = tuple(xp.empty_like(array) for array in batch)
        self.result: Any = None
        self.launched = False
        self._work = work
        self._uses = uses
        learner.optimizer.state(learner.model)  # there from now on
        self._with_buffers = [layer for layer in layers if layer._buffers]
        self._made_of = self._objects_of(learner)
        self._settings = [Settings(part) for part in parts]
        self._rehearsed = False
        dtype = xp.float64 if learner.model.dtype == "float64" else xp.float32
        self._rate: Array = xp.zeros((), dtype=dtype, device=device)
        self._decay: Array = xp.zeros((), dtype=xp.float64, device=device)
        self._counts: Array = xp.zeros(4, dtype=xp.int64, device=device)

    def holds(self, learner: Learner, uses: tuple[Any, ...]) -> bool:
        """Whether the recording does what is to be done: same objects, same settings."""
        return (
            same(uses, self._uses)
            and same(self._objects_of(learner), self._made_of)
            and all(settings.stand() for settings in self._settings)
        )

    def run(self, learner: Learner, batch: tuple[Array, ...], start: int, index: int) -> None:
        """Make a step, all but its counting.

        Raises
        ------
        NotRecordableError
            It was to be recorded, and cannot be; the arrays are as before.
        """
        if not self._rehearsed:
            self._rehearse(learner, batch, start, index)
            return
        if not self.launched:
            self._record(learner)
        optimizer = learner.optimizer
        counts = optimizer.iterations, learner.count, start, index
        now = optimizer.current_learning_rate, optimizer.current_weight_decay
        self.graph.begin(self._counts, self._rate, self._decay, counts, *now, batch, self.held)
        self.graph.launch()

    def _rehearse(self, learner: Learner, batch: tuple[Array, ...], start: int, index: int) -> None:
        for place, array in zip(self.held, batch, strict=True):
            place[...] = array
        learner.reseed(learner.count)
        self.result = self.graph.rehearse(lambda: self._work(self.held, start, index))
        self._rehearsed = True

    def _record(self, learner: Learner) -> None:
        places = self._count(2), self._count(3)
        refusal = None
        with self._counted_on_device(learner):
            try:
                with paused():  # a thread that waits for the device would spoil the recording
                    self.result = self.graph.record(lambda: self._work(self.held, *places))
            except Exception as error:
                text = str(error).strip().splitlines() or [""]
                refusal = NotRecordableError(f"{type(error).__name__}: {text[0][:200]}")
                refusal.__cause__ = error
        refuse_together(learner, refusal)
        self.launched = True
        _log.debug("recorded a training step as a graph")

    def _count(self, place: int) -> DeviceCount:
        return DeviceCount(self._counts[place, ...])

    @contextmanager
    def _counted_on_device(self, learner: Learner) -> Iterator[None]:
        """While it lasts, the optimizer and the layers find rates and counts on the device."""
        optimizer: Any = learner.optimizer
        before = optimizer.iterations, optimizer.learning_rate, optimizer.weight_decay
        optimizer.iterations, optimizer.learning_rate = self._count(0), _DeviceRate(self._rate)
        if isinstance(optimizer.weight_decay, Schedule):
            optimizer.weight_decay = _DeviceRate(self._decay)
        try:
            learner.reseed(self._count(1))
            yield
        finally:
            optimizer.iterations, optimizer.learning_rate, optimizer.weight_decay = before
            learner.reseed(learner.count)

    def _objects_of(self, learner: Learner) -> tuple[Any, ...]:
        """What a step is made of, and the arrays that it changes."""
        model, optimizer = learner.model, learner.optimizer
        parts = model, learner.fused_loss, optimizer, learner.seed
        state = optimizer.kept(model).values()
        buffers = [array for layer in self._with_buffers for array in layer._buffers.values()]
        return *parts, model.flat.values, model.flat.gradients, *state, *buffers


class _DeviceRate(Schedule):
    """The learning rate, or the weight decay, as it lies on the device."""

    def __init__(self, rate: Array) -> None:
        self._rate = rate

    def rate(self, step: int) -> float:
        del step
        rate: Any = self._rate  # a 0-d array stands for the float
        return rate  # type: ignore[no-any-return] # see above
