"""What processes that train together decide as one: callbacks that fail, folders that all see."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from secrets import token_hex
from time import monotonic, sleep
from typing import Any, NamedTuple, NoReturn

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import to_numpy
from nnfs_xp.distributed import Group
from nnfs_xp.errors import CheckpointError, DistributedError
from nnfs_xp.interop.paths import shown_path
from nnfs_xp.learning.epoch import Batch
from nnfs_xp.training.callbacks import Callback, Training
from nnfs_xp.training.course import Course
from nnfs_xp.training.signals import StopSignals


class Decision(NamedTuple):
    """What a training does next.

    Attributes
    ----------
    signal : int
        The number of a signal that ends it; 0 for none.
    stopping, cut : bool
        Whether the present epoch, or the present step, is the last one.
    due : bool
        Whether a checkpoint is due.
    """

    signal: int
    stopping: bool
    cut: bool
    due: bool

    @classmethod
    def alone(cls, course: Course, signals: StopSignals, due: bool = False) -> Decision:
        """What this process would do."""
        return cls(signals.noted or 0, course.stopping, course.cut, due)

    def agreed(self, group: Group) -> Decision:
        """What all processes do: what one of them would."""
        if group.size == 1:
            return self
        signal, *others = group.agree(*map(float, self))
        return Decision(int(signal), *map(bool, others))

    @property
    def ends(self) -> bool:
        """Whether no further epoch begins."""
        return self.stopping or self.cut


def whole_batch(group: Group, batch: Batch, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
    """The arrays of a batch of all processes, of which each has its rows."""
    if group.size == 1:
        return arrays
    own = [np.array(to_numpy(array)) if batch.counts else to_numpy(array)[:0] for array in arrays]
    return tuple(map(np.concatenate, zip(*group.gather(own), strict=True)))


class Accord:
    """Calls callbacks, and keeps what they raise until all processes know of it.

    Parameters
    ----------
    group : Group
    callbacks : sequence of Callback
        Those that this process calls.
    """

    def __init__(self, group: Group, callbacks: Sequence[Callback]) -> None:
        self._group = group
        self.callbacks = callbacks
        self._error: Exception | None = None

    @property
    def failed(self) -> bool:
        """Whether a callback of this process raised."""
        return self._error is not None

    def call(self, hook: str, training: Training, *arguments: Any) -> None:
        """Call a hook of each, also where one before it raised."""
        for callback in self.callbacks:
            self.attempt(getattr(callback, hook), training, *arguments)

    def attempt(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Call a method of a callback; None where it raises, which is kept."""
        try:
            return method(*arguments)
        except Exception as error:
            self._error = self._error or error
            return None

    def raise_failure(self) -> NoReturn:
        """Raise what a callback raised; in the other processes, who failed and how.

        Raises
        ------
        Exception
        """
        error, self._error = self._error, None
        told = None
        if error is not None:
            text = f"{type(error).__name__}: {error}"
            told = text, "".join(traceback.format_exception(error))
        found = self._group.gather(told)
        if error is not None:
            raise error
        rank, (text, trace) = next((n, each) for n, each in enumerate(found) if each is not None)
        failure = DistributedError(f"rank {rank} of {self._group.size} failed: {text}")
        failure.add_note(trace)
        raise failure


_PATIENCE = 3.0
"""Seconds until a file that one machine wrote is to be seen by another."""


def _appears(path: Path) -> bool:
    deadline = monotonic() + _PATIENCE
    while not path.exists():
        if monotonic() > deadline:
            return False
        sleep(0.05)
    return True


def check_seen_by_all(group: Group, folder: Path) -> None:
    """Refuse a folder, which rank 0 has made, that another process does not see.

    Raises
    ------
    CheckpointError
        In all processes.
    """
    if group.size == 1:
        return
    mark = folder / f".{token_hex(8)}.tmp"  # which `Checkpoints.open` clears away after a kill
    try:
        if group.rank == 0:
            mark.touch()
        name = group.broadcast(mark.name)
        sees = group.gather(_appears(folder / name))
    finally:
        if group.rank == 0:
            mark.unlink(missing_ok=True)
    if not all(sees):
        blind = ", ".join(str(rank) for rank, seen in enumerate(sees) if not seen)
        raise CheckpointError(
            f"rank 0 keeps checkpoints in {shown_path(folder)}, which rank {blind} does not see: a "
            "training that goes on elsewhere would not find them. Name a folder that all "
            "machines share."
        )
