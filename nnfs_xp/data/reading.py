"""Reading ahead: a thread fetches what comes next, while the present is worked on.

Fetching may be anything, work on a device too. Where that would disturb, `paused` keeps it apart.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from queue import Empty, Queue
from threading import Condition, Event, Thread, get_ident
from typing import Any, NamedTuple, TypeVar

from nnfs_xp.errors import DataError

_T = TypeVar("_T")
_log = logging.getLogger("nnfs_xp")

_PATIENCE = 10.0
"""Seconds that a thread in the middle of fetching something is waited for.

PyTorch's `DataLoader` looks every 5 s whether its workers live. After an error it waits 5 s for
each to end, in whichever thread collects the garbage.
"""

_LOOKS = 0.2
"""Seconds between two looks at whether the reader is still to wait."""


class _Turns:
    """Whose turn it is: that of all threads that fetch, or that of what is not to be disturbed."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._fetching: set[int] = set()  # threads
        self._pauses = 0

    @contextmanager
    def fetching(self) -> Iterator[None]:
        """While it lasts, this thread fetches something; it begins when no pause is wanted."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While it lasts, this thread only waits, maybe for one that it fetches from."""
        fetches = get_ident() in self._fetching
        if fetches:
            self._end()
        try:
            yield
        finally:
            if fetches:
                self._begin()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While it lasts, no other thread fetches anything."""
        this = {get_ident()}
        with self._changed:
            self._pauses += 1
        try:
            with self._changed:
                quiet = self._changed.wait_for(lambda: self._fetching <= this, _PATIENCE)
            if not quiet:
                raise TimeoutError(f"a batch was still being read after {_PATIENCE:g} s")
            yield
        finally:
            with self._changed:
                self._pauses -= 1
                self._changed.notify_all()

    def leave_out(self, thread: Thread) -> None:
        """Wait no longer for what that thread fetches."""
        with self._changed:
            self._fetching.discard(thread.ident or 0)
            self._changed.notify_all()

    def _begin(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._pauses)
            self._fetching.add(get_ident())

    def _end(self) -> None:
        with self._changed:
            self._fetching.discard(get_ident())
            self._changed.notify_all()


_turns = _Turns()


def paused() -> AbstractContextManager[None]:
    """While it lasts, no thread that reads ahead fetches anything.

    Raises
    ------
    TimeoutError
        One was in the middle of it, and stayed there.
    """
    return _turns.paused()


class _End(NamedTuple):
    """What the thread hands over last: how the iterator ended."""

    error: BaseException | None


class _Reader:
    """A thread, and what it has fetched."""

    def __init__(
        self,
        make: Callable[[], Iterator[Any]],
        depth: int,
        within: AbstractContextManager[Any],
    ) -> None:
        self.waiting: Queue[Any] = Queue(depth)
        self._make = make
        self._within = within
        self._stop = Event()
        self._thread = Thread(target=self._fetch, name="nnfs_xp reading ahead", daemon=True)
        self._thread.start()

    def _fetch(self) -> None:
        end = _End(None)
        iterator: Any = None
        entry: Any = None
        with ExitStack() as stack:
            try:
                stack.enter_context(self._within)
                with _turns.fetching():
                    iterator = self._make()
                while not self._stop.is_set():
                    with _turns.fetching():
                        entry = next(iterator, end)
                    if entry is end:
                        break
                    self.waiting.put(entry)
            except BaseException as raised:  # for the reader to raise
                end = _End(raised)
            with suppress(Exception), _turns.fetching():
                getattr(iterator, "close", tuple)()
        self.waiting.put(end)
        # The frame lives on with the error: what it held would not be let go.
        del end, iterator, entry

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
            _turns.leave_out(self._thread)
            _log.warning("a source of batches is stuck; its thread ends when it goes on")


_open: set[_Reader] = set()


def read_ahead(
    make: Callable[[], Iterator[_T]],
    depth: int = 2,
    interrupted: Callable[[], bool] = lambda: False,
    within: AbstractContextManager[Any] | None = None,
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
    within : context manager, optional
        What the thread fetches in: `Backend.as_here`, where that may be work on a device.

    Raises
    ------
    DataError
        It was interrupted.
    """
    reader = _Reader(make, depth, within or nullcontext())
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
    with _turns.waiting():
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
