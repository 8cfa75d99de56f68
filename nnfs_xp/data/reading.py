"""Reading ahead: a thread fetches what comes next, while the present is worked on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, NamedTuple, TypeVar

_T = TypeVar("_T")
_log = logging.getLogger("nnfs_xp")

_PATIENCE = 5.0
"""Seconds that a thread in the middle of fetching something is waited for, in the end."""


class _End(NamedTuple):
    """What the thread hands over last: how the iterator ended."""

    error: BaseException | None


def read_ahead(make: Callable[[], Iterator[_T]], depth: int = 2) -> Generator[_T, None, None]:
    """What an iterator gives, fetched by a thread up to `depth` entries ahead.

    What the iterator raises is raised here, in its place. Closing this generator ends the thread,
    and closes the iterator in it, once that gives what it is about to give.

    Parameters
    ----------
    make : callable
        Called in the thread; what it returns is used there only.
    depth : int
    """
    waiting: Queue[Any] = Queue(depth)
    stop = Event()

    def fetch() -> None:
        error = None
        iterator: Any = ()
        try:
            iterator = make()
            for entry in iterator:
                waiting.put(entry)
                if stop.is_set():
                    break
        except BaseException as raised:  # for the reader to raise
            error = raised
        finally:
            with suppress(Exception):
                getattr(iterator, "close", tuple)()
            waiting.put(_End(error))

    thread = Thread(target=fetch, name="nnfs_xp reading ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(entry := waiting.get(), _End):
            yield entry
        if entry.error is not None:
            raise entry.error
    finally:
        stop.set()
        _end(thread, waiting)


def _end(thread: Thread, waiting: Queue[Any]) -> None:
    """Have the thread end: take what it still hands over."""
    tries = 0
    while thread.is_alive() and tries * 0.05 < _PATIENCE:
        with suppress(Empty):
            while True:
                waiting.get_nowait()
        thread.join(0.05 if tries else 0.001)
        tries += 1
    if thread.is_alive():
        _log.warning("a source of batches is stuck; its thread ends when it goes on")
