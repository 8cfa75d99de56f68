"""Gradients on a CPU: worked out layer by layer at first, then by calls that were noted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Any, Protocol

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend
from nnfs_xp.layers import Layer
from nnfs_xp.layers.chain import Chain
from nnfs_xp.learning.standing import Settings, same
from nnfs_xp.losses import Loss

_log = logging.getLogger("nnfs_xp")

_MOST = 4
"""How many kinds of batches calls are noted of at a time."""

_PATIENCE = 100
"""So many batches of further kinds in a row, and the first kinds are forgotten."""

_MOST_BYTES = 2**25
"""What one may work in, with its parameters: where there is more to do, calls are a small part."""


class Working(Protocol):
    """What works gradients out: see `Learner`."""

    model: Layer
    backend: Backend
    chain: Chain
    fused_loss: Loss

    @property
    def draws(self) -> bool: ...
    def layers(self) -> list[Layer]: ...


class Replay:
    """Works a learner's gradients out by calls of kernels that were noted.

    It is the learner's, and told of it with each batch, so that neither keeps the other alive.

    The calls are noted while the gradients of the first batch of a kind are worked out layer by
    layer. Where each reads what is known, and all gradients are written, they are made again for
    the second batch, and beside it the gradients are worked out as before. Where both have the
    same bits, the next batches are left to the calls; else nothing is noted any more. Nothing is
    noted of layers that draw random numbers or keep buffers, and of classes that are not the
    package's.

    Parameters
    ----------
    learner : Working
    """

    def __init__(self, learner: Working) -> None:
        self._noted: dict[Any, _Noted | None] = {}
        self._misses = 0  # batches of further kinds, since one was left to noted calls
        self._works = _can_be_noted(learner)

    def __getstate__(self) -> dict[str, Any]:
        return {"_noted": {}, "_misses": 0, "_works": self._works}

    def forget(self) -> None:
        """Give back what the calls work in."""
        self._noted.clear()

    def end(self) -> None:
        """Leave all gradients to the layers from now on."""
        self._works = False
        self.forget()

    def gradients(self, learner: Working, *batch: Array) -> tuple[Array, Array] | None:
        """Set the gradients, and return output and loss; None where that is left to the layers."""
        if not self._works:
            return None
        noted = self._noted.get(_kind(batch))
        if noted is None or not (noted.agrees and noted.holds(learner) and _suit_kernels(batch)):
            return None
        self._misses = 0
        return noted.run(batch)

    @contextmanager
    def noting(
        self, learner: Working, *batch: Array
    ) -> Iterator[Callable[[Array, Array], tuple[Array, Array]]]:
        """While the layers work the batch out, note their calls, if that may be of use.

        Gives a function that takes their output and loss, and returns what to hand on.
        """
        kind = _kind(batch)
        if not (self._may_note(kind) and _suit_kernels(batch) and _lie_apart(learner, batch)):
            yield _as_they_are
            return
        before, expected = self._noted.get(kind), None
        if before is not None and not before.agrees and before.holds(learner):
            expected = before.found_for(batch)
        flat = learner.model.flat
        program = learner.backend.kernels.program(batch, (flat.all_values,), flat.dtype)
        noted = _Noted(learner, program)
        with program.noting():
            yield noted.note
        if expected is not None:
            noted.agrees = all(map(_have_same_bits, expected, noted.found))
            if not noted.agrees:
                _log.debug("gradients are left to the layers: what is done in place is not noted")
                self.end()
                return
        self._noted[kind] = noted if noted.is_whole else None

    def _may_note(self, kind: Any) -> bool:
        if not self._works:
            return False
        if kind in self._noted:
            return self._noted[kind] is not None  # else it was of no use
        if len(self._noted) >= _MOST:
            self._misses += 1
            if self._misses <= _PATIENCE:
                return False
            self._noted.clear()
            self._misses = 0
        return True


class _Noted:
    """The calls that worked out the gradients of a batch.

    Attributes
    ----------
    agrees : bool
        Whether these calls were seen to give what the layers give.
    """

    def __init__(self, learner: Working, program: Any) -> None:
        self._program = program
        self._flat = learner.model.flat
        self._made_of = _objects_of(learner)
        self._settings = [Settings(part) for part in (*learner.layers(), learner.fused_loss)]
        self._results: tuple[Any, ...] = ()
        self.agrees = False

    def note(self, output: Array, loss: Array) -> tuple[Array, Array]:
        """Note in which arrays the results are; return copies."""
        self._results = output, loss
        return self._copies()

    def holds(self, learner: Working) -> bool:
        """Whether the same objects would make the calls, with the same settings."""
        if not same(_objects_of(learner), self._made_of):
            return False
        for settings in self._settings:  # noqa: SIM110 # a generator is slower
            if not settings.stand():
                return False
        return True

    def run(self, batch: tuple[Array, ...]) -> tuple[Array, Array] | None:
        """Make the calls on this batch; return copies of the results, which the next ones write.

        None where the batch is an array that the calls work in.
        """
        return self._copies() if self._program.run(batch) else None

    def _copies(self) -> tuple[Array, Array]:
        output, loss = self._results
        return output.copy(), loss[()]  # a number

    @property
    def is_whole(self) -> bool:
        """Whether calls alone wrote the results and all gradients, and did not need much room."""
        program = self._program
        if program.fails or program.n_bytes > _MOST_BYTES:
            return False
        found = [*self._results, *self._flat.trained_gradients()]
        return all(isinstance(each, np.ndarray) and program.knows(each) for each in found)

    @property
    def found(self) -> list[Array]:
        """What the calls wrote: the output, the loss and the gradients."""
        return [*self._results, self._flat.all_gradients]

    def found_for(self, batch: tuple[Array, ...]) -> list[Array] | None:
        """Make the calls on this batch; return copies of all that they wrote; or see `run`."""
        if not self._program.run(batch):
            return None
        return [np.array(array) for array in self.found]


def _kind(batch: tuple[Array, ...]) -> Any:
    return tuple([(array.shape, array.dtype) for array in batch])


def _suit_kernels(batch: tuple[Array, ...]) -> bool:
    """Whether compiled kernels take them: NumPy's own, row by row, aligned and not read-only."""
    for array in batch:  # noqa: SIM110 # a generator is slower
        if type(array) is not np.ndarray or not array.flags.carray:
            return False
    return True


def _lie_apart(learner: Working, batch: tuple[Array, ...]) -> bool:
    """Whether none shares memory with another, or with the parameters and their gradients."""
    flat = learner.model.flat
    pairs = combinations([*batch, flat.all_values, flat.all_gradients], 2)
    return not any(np.may_share_memory(one, other) for one, other in pairs)


def _as_they_are(output: Array, loss: Array) -> tuple[Array, Array]:
    return output, loss


def _objects_of(learner: Working) -> tuple[Any, ...]:
    """What works gradients out, and the arrays that it reads and writes."""
    flat = learner.model.flat
    return learner.chain, learner.fused_loss, flat.all_values, flat.all_gradients


def _can_be_noted(learner: Working) -> bool:
    kernels, dtype = learner.backend.kernels, learner.model.dtype
    if dtype is None or learner.draws or kernels.program((), (), dtype) is None:
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
