"""Batches made in several processes at a time: for decoding that keeps a core busy."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from threading import Thread
from typing import Any

from nnfs_xp import _checks
from nnfs_xp.errors import ArgumentError

_AHEAD = 2
"""Batches that each process has to make at a time, so that none waits for work."""

_source: Any = None
"""In a process of the pool: where it takes batches from."""


class InProcesses(Sequence[Any]):
    """The batches of a sequence, made by several processes, in the same order.

    The processes are started for each epoch, and end with it; so do they if the program that
    waits for them is killed.

    Parameters
    ----------
    batches : sequence
        It has ``batches[number]`` and ``len(batches)``, and can be pickled. One whose method
        ``set_epoch`` sets an order has it called in each process.
    workers : int

    Raises
    ------
    ArgumentError
        It is no sequence, or cannot be pickled.
    """

    def __init__(self, batches: Any, workers: int = 2) -> None:
        self.workers = _checks.check_count("workers", workers)
        if not (hasattr(batches, "__getitem__") and hasattr(batches, "__len__")):
            raise ArgumentError(
                "`batches` must be a sequence, with batches[number] and len(batches); got "
                f"{type(batches).__name__}."
            )
        try:
            pickle.dumps(batches)
        except Exception as error:
            raise ArgumentError(
                f"`batches` cannot be handed to other processes: {error}. Define its class in a "
                "module, and open files when a batch is asked for."
            ) from error
        self._batches = batches
        self._length: int | None = None

    def set_epoch(self, epoch: int) -> None:
        """Take the order of that epoch, where the sequence has one."""
        self._length = None
        _set_epoch(self._batches, epoch)

    def __len__(self) -> int:
        """How many batches there are: once there was a walk, in that one."""
        return len(self._batches) if self._length is None else self._length

    def __getitem__(self, number: Any) -> Any:
        return self._batches[number]

    def samples(self, epoch: int, number: int) -> Any:
        """The numbers of the samples of a batch, where the sequence tells them."""
        samples = getattr(self._batches, "samples", None)
        return samples(epoch, number) if callable(samples) else None

    def walk(self, epoch: int, first: int = 0) -> Iterator[Any]:
        """The batches of that epoch, from the one numbered `first` on."""
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        pool = ProcessPoolExecutor(
            self.workers, context, initializer=_begin, initargs=(self._batches, epoch)
        )
        waiting: deque[Future[Any]] = deque()
        try:
            # The processes have set the epoch, on which the length may depend.
            n_batches = self._length = pool.submit(_n_batches).result()
            for number in range(first, n_batches):
                waiting.append(pool.submit(_batch, number))
                if len(waiting) > _AHEAD * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _set_epoch(batches: Any, epoch: int) -> None:
    set_epoch = getattr(batches, "set_epoch", None)
    if callable(set_epoch):
        set_epoch(epoch)


def _begin(batches: Any, epoch: int) -> None:
    """Make a process ready to make batches."""
    global _source
    _source = batches
    # Ctrl-C in a terminal is for all processes; what ends the training ends these.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _set_epoch(batches, epoch)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _n_batches() -> int:
    return len(_source)


def _batch(number: int) -> Any:
    return _source[number]
