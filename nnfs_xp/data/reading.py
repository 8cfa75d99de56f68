"""Reading ahead: a thread fetches what comes next, while the present is worked on."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, NamedTuple, TypeVar

from nnfs_xp.errors import DataError

_T = TypeVar("_T")
_log = logging.getLogger("nnfs_xp")

_PATIENCE = 5.0
"""Seconds that a thread in the middle of fetching something is waited for, in the end."""

_LOOKS = 0.2
"""Seconds between two looks at whether the reader is still to wait."""


class _End(NamedTuple):
    """What the thread hands over last: how the iterator ended."""

    error: BaseException | None


class _Reader:
    """A thread, and what it has fetched."""

    def __init__(self, make: Callable[[], Iterator[Any]], depth: int) -> None:
        self.waiting: Queue[Any] = Queue(depth)
        self._make = make
        self._stop = Event()
        self._thread = Thread(target=self._fetch, name="nnfs_xp reading ahead", daemon=True)
        self._thread.start()

    def _fetch(self) -> None:
        end, iterator = _End(None), None
        try:
            iterator = self._make()
            for entry in iterator:
                self.waiting.put(entry)
                if self._stop.is_set():
                    break
        except BaseException as raised:  # for the reader to raise
            end = _End(raised)
        with suppress(Exception):
            getattr(iterator, "close", tuple)()
        self.waiting.put(end)
        # The frame lives on with the error: what it held would not be let go.
        del end, iterator

    def close(self) -> None:
        """Have the thread end: take what it still hands over."""
        self._stop.set()
        tries = 0
        while self._thread.is_alive() and tries * 0.05 < _PATIENCE:
            with suppress(Empty):
                while True:
                    self.waiting.get_nowait()
            self._thread.join(0.05 if tries else 0.001)
            tries += 1
        if self._thread.is_alive():
            _log.warning("a source of batches is stuck; its thread ends when it goes on")


_open: set[_Reader] = set()


def read_ahead(
    make: Callable[[], Iterator[_T]],
    depth: int = 2,
    interrupted: Callable[[], bool] = lambda: False,
) -> Generator[_T, None, None]:
    """What an iterator gives, fetched by a thread up to `depth` entries ahead.

    What the iterator raises is raised here, in its place. Closing this generator ends the thread,
    and closes the iterator in it, once that gives what it is about to give.

    Parameters
    ----------
    make : callable
        Called in the thread; what it returns is used there only.
    depth : int
    interrupted : callable
        Whether to wait no longer for what is about to come.

    Raises
    ------
    DataError
        It was interrupted.
    """
    reader = _Reader(make, depth)
    _open.add(reader)
    try:
        while not isinstance(entry := _next(reader.waiting, interrupted), _End):
            yield entry
        error = entry.error
        del entry
        if error is not None:
            try:
                raise error
            finally:
                del error  # which knows this frame
    finally:
        _open.discard(reader)
        reader.close()


def _next(waiting: Queue[Any], interrupted: Callable[[], bool]) -> Any:
    while True:
        try:
            return waiting.get(timeout=_LOOKS)
        except Empty:
            if interrupted():
                raise DataError(
                    "the training was to end while the source of batches kept it waiting."
                ) from None


@atexit.register
def _close_all() -> None:
    """End the threads that are left: some libraries abort where one runs to the very end."""
    for reader in list(_open):
        reader.close()
