"""What layers work out on a CPU: one by one at first, then by calls that were noted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from threading import Lock
from typing import Any, Protocol

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend
from nnfs_xp.flat_parameters import FlatParameters
from nnfs_xp.layers import Layer
from nnfs_xp.layers.chain import Chain
from nnfs_xp.learning.sharing import Sharing
from nnfs_xp.learning.standing import Settings, same
from nnfs_xp.losses import Loss

_log = logging.getLogger("nnfs_xp")

_MOST = 4
"""How many kinds of batches calls are noted of at a time."""

_PATIENCE = 100
"""So many batches of further kinds in a row, and the first kinds are forgotten."""

_MOST_BYTES = 2**25
"""What one may work in, with its parameters: where there is more to do, calls are a small part."""

_FEW_ROWS = 64
"""So many samples at most are put through the layers by noted calls, outside of training."""


class Working(Protocol):
    """What works gradients and outputs out: see `Learner`."""

    model: Layer
    backend: Backend
    chain: Chain
    fused_loss: Loss
    sharing: Sharing

    @property
    def draws(self) -> bool: ...
    def layers(self) -> list[Layer]: ...


class Replay:
    """Works a learner's gradients, or outputs, out by calls of kernels that were noted.

    It is the learner's, and told of it with each batch, so that neither keeps the other alive.

    The calls are noted while the first batch of a kind is worked out layer by layer. Where each
    reads what is known, and all results are written, they are made again for the second batch, and
    beside it the layers work it out as before. Where both have the same bits, the next batches of
    that kind are left to the calls; else to the layers, until `forget`. Nothing is noted of layers
    that keep buffers, of classes that are not the package's, and in training of layers that draw
    random numbers.

    Parameters
    ----------
    learner : Working
    trains : bool
        Whether gradients are worked out, with outputs and losses; else outputs outside of training.
    """

    def __init__(self, learner: Working, *, trains: bool) -> None:
        self._trains = trains
        self._noted: dict[Any, _Noted | None] = {}
        self._misses = 0  # batches of further kinds, since one was left to noted calls
        self._works = _can_be_noted(learner) and not (trains and learner.draws)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_noted": {}, "_misses": 0}

    def forget(self) -> None:
        """Give back what the calls work in."""
        self._noted.clear()

    def end(self) -> None:
        """Leave all to the layers from now on."""
        self._works = False
        self.forget()

    def results(self, learner: Working, *batch: Array) -> tuple[Array, ...] | None:
        """Work a batch out; return copies of the results. None where it is left to the layers."""
        if not self._works:
            return None
        noted = self._noted.get(_kind(learner, batch))
        if noted is None or not (noted.agrees and noted.holds(learner) and _suit_kernels(batch)):
            return None
        self._misses = 0
        return noted.run(batch)

    @contextmanager
    def noting(self, learner: Working, *batch: Array) -> Iterator[Callable[..., tuple[Array, ...]]]:
        """While the layers work the batch out, note their calls, if that may be of use.

        Gives a function that takes their results, and returns what to hand on.
        """
        kind = _kind(learner, batch)
        flat = _buffers_of(learner)
        suits = (self._trains or batch[0].shape[0] <= _FEW_ROWS) and _suit_kernels(batch)
        if flat is None or not (suits and self._may_note(kind) and _lie_apart(flat, batch)):
            yield _as_they_are
            return
        before, expected = self._noted.get(kind), None
        if before is not None and before.holds(learner):
            if before.agrees:  # but cannot be used now: see `_Noted.run`
                yield _as_they_are
                return
            expected = before.found_for(batch)
        program = learner.backend.kernels.program(batch, (flat.all_values,), flat.dtype)
        noted = _Noted(learner, program, flat.trained_gradients() if self._trains else [])
        with program.noting():
            yield noted.note
        if expected is not None:
            noted.agrees = all(map(_have_same_bits, expected, noted.found))
            if not noted.agrees:
                _log.debug("left to the layers: what is done in place is not noted")
        works = noted.is_whole and (noted.agrees or expected is None)
        self._noted[kind] = noted if works else None

    def _may_note(self, kind: Any) -> bool:
        if not self._works:
            return False
        if kind in self._noted:
            return self._noted.get(kind) is not None  # else it was of no use
        if len(self._noted) >= _MOST:
            self._misses += 1
            if self._misses <= _PATIENCE:
                return False
            self._noted.clear()
            self._misses = 0
        return True


class _Noted:
    """The calls that worked out a batch.

    Parameters
    ----------
    learner : Working
    program : Program
    gradients : list of arrays
        What the calls are to write, beside their results.

    Attributes
    ----------
    agrees : bool
        Whether these calls were seen to give what the layers give.
    """

    def __init__(self, learner: Working, program: Any, gradients: list[Array]) -> None:
        self._program = program
        self._gradients = gradients
        self._at_work = Lock()  # the calls all work in the same arrays
        self._made_of = _objects_of(learner)
        self._settings = [Settings(part) for part in (*learner.layers(), learner.fused_loss)]
        self._results: tuple[Any, ...] = ()
        self.agrees = False

    def note(self, *results: Array) -> tuple[Array, ...]:
        """Note in which arrays the results are; return copies."""
        self._results = results
        return self._copies()

    def holds(self, learner: Working) -> bool:
        """Whether the same objects would make the calls, with the same settings."""
        if not same(_objects_of(learner), self._made_of):
            return False
        for settings in self._settings:  # noqa: SIM110 # a generator is slower
            if not settings.stand():
                return False
        return True

    def run(self, batch: tuple[Array, ...]) -> tuple[Array, ...] | None:
        """Make the calls on this batch; return copies of the results, which the next ones write.

        None where the batch is an array that the calls work in, or another thread makes them.
        """
        if not self._at_work.acquire(blocking=False):
            return None
        try:
            return self._copies() if self._program.run(batch) else None
        finally:
            self._at_work.release()

    def _copies(self) -> tuple[Array, ...]:
        return tuple([each.copy() if each.ndim else each[()] for each in self._results])

    @property
    def is_whole(self) -> bool:
        """Whether calls alone wrote all that they are to, and did not need much room."""
        program = self._program
        if program.fails or program.n_bytes > _MOST_BYTES:
            return False
        return all(isinstance(each, np.ndarray) and program.knows(each) for each in self.found)

    @property
    def found(self) -> list[Array]:
        """What the calls wrote: the results and the gradients."""
        return [*self._results, *self._gradients]

    def found_for(self, batch: tuple[Array, ...]) -> list[Array] | None:
        """Make the calls on this batch; return copies of all that they wrote; or see `run`."""
        if self.run(batch) is None:
            return None
        return [np.array(array) for array in self.found]


def _kind(learner: Working, batch: tuple[Array, ...]) -> Any:
    return learner.sharing.kind, *[(array.shape, array.dtype) for array in batch]


def _suit_kernels(batch: tuple[Array, ...]) -> bool:
    """Whether compiled kernels take them: NumPy's own, row by row, aligned and not read-only."""
    for array in batch:  # noqa: SIM110 # a generator is slower
        if type(array) is not np.ndarray or not array.flags.carray:
            return False
    return True


def _lie_apart(flat: FlatParameters, batch: tuple[Array, ...]) -> bool:
    """Whether none shares memory with another, or with the parameters and their gradients."""
    pairs = combinations([*batch, flat.all_values, flat.all_gradients], 2)
    return not any(np.may_share_memory(one, other) for one, other in pairs)


def _as_they_are(*results: Array) -> tuple[Array, ...]:
    return results


def _buffers_of(learner: Working) -> FlatParameters | None:
    """Where the model's parameters live; None where they are to move, or are elsewhere in part.

    They are not moved here: while one thread does so, another may be putting outputs out.
    """
    flat, model = learner.model._flat, learner.model
    if flat is None or flat.stale or flat.owner is not model:
        return None
    return flat if flat.backend is learner.backend else None


def _objects_of(learner: Working) -> tuple[Any, ...]:
    """What works a batch out, and the arrays that it reads and writes; nothing if these move."""
    flat = _buffers_of(learner)
    if flat is None:
        return ()
    return learner.chain, learner.fused_loss, flat.all_values, flat.all_gradients


def _can_be_noted(learner: Working) -> bool:
    kernels, dtype = learner.backend.kernels, learner.model.dtype
    if dtype is None or kernels.program((), (), dtype) is None:
        return False
    parts: list[Any] = [*(layer for _, layer in learner.model.walk()), learner.fused_loss]
    own = __name__.partition(".")[0]
    return all(
        type(part).__module__.partition(".")[0] == own and not getattr(part, "_buffers", None)
        for part in parts
    )


def _have_same_bits(one: Any, other: Any) -> bool:
    kind = f"i{one.itemsize}"
    return bool(np.array_equal(one.view(kind), other.view(kind)))
