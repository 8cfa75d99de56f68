"""Streams and events. Work is done at once, or recorded while its stream is capturing."""

from __future__ import annotations

import itertools
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakValueDictionary

from cupy.cuda import runtime
from cupy.cuda.graph import Capture, Graph
from cupy.cuda.runtime import CUDARuntimeError

if TYPE_CHECKING:
    from cupy.cuda.memory import Block

_addresses = itertools.count(0x7000_0000_0000, 0x100)
_freed: list[int] = []
_streams: WeakValueDictionary[int, Stream] = WeakValueDictionary()


def _handle() -> int:
    with suppress(IndexError):  # other threads take some too
        return _freed.pop()
    return next(_addresses)


class Stream:
    """A stream; as a context manager the current one of this thread and device."""

    null: ClassVar[Stream]

    def __init__(
        self,
        null: bool = False,
        non_blocking: bool = False,
        ptds: bool = False,
        priority: int | None = None,
    ) -> None:
        self.ptr = 0
        if ptds:
            raise NotImplementedError("the stand-in has no per-thread default stream")
        self.ptr = 0 if null else _handle()
        self.device_id = -1 if null else runtime.getDevice()
        self.is_non_blocking = non_blocking
        self.priority = priority or 0
        self._capture: Capture | None = None
        if not null or 0 not in _streams:
            _streams[self.ptr] = self

    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if self.ptr and not finalizing():
            _freed.append(self.ptr)  # as CUDA does, a new stream gets the handle of an old one

    def __repr__(self) -> str:
        return f"<Stream {self.ptr} (device {self.device_id})>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.ptr == other.ptr

    def __hash__(self) -> int:
        return self.ptr

    def __enter__(self) -> Stream:
        _current.entered.append(get_current_stream())
        return self.use()

    def __exit__(self, *_: object) -> None:
        _current.entered.pop().use()

    def use(self) -> Stream:
        _current.streams[runtime.getDevice()] = self
        return self

    @property
    def done(self) -> bool:
        wait(self)
        return True

    def synchronize(self) -> None:
        wait(self)

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        capture = self._working()
        if event._capture is None or event._capture.origin._capture is not event._capture:
            if capture is not None and event._recorded:
                capture.invalid = True
                raise CUDARuntimeError(905)
        elif capture is None:
            self._capture = event._capture
            event._capture.streams.add(self)
        elif self is capture.origin and event._stream is not None:
            capture.unjoined.discard(event._stream)

    def begin_capture(self, mode: int | None = None) -> None:
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self._capture is not None:
            raise CUDARuntimeError(401)
        self._capture = Capture(self)
        _capturing.add(self)

    def end_capture(self) -> Graph:
        capture = self._capture
        if capture is None or capture.origin is not self:
            raise CUDARuntimeError(401)
        for stream in capture.streams:
            stream._capture = None
        _capturing.discard(self)
        if capture.invalid:
            raise CUDARuntimeError(901)
        if capture.unjoined:
            raise CUDARuntimeError(904)
        return Graph(capture)

    def is_capturing(self) -> bool:
        return self._capture is not None

    def _working(self) -> Capture | None:
        """The capture that work on this stream goes to; raises where CUDA would not take work."""
        if self.ptr == 0:
            for other in tuple(_capturing):  # other threads change it
                if not other.is_non_blocking and other.device_id == runtime.getDevice():
                    _invalidate(other)
                    raise CUDARuntimeError(906)
        if self._capture is not None and self._capture.invalid:
            raise CUDARuntimeError(901)
        return self._capture


_capturing: set[Stream] = set()
Stream.null = Stream(null=True)


class _Current(threading.local):
    def __init__(self) -> None:
        self.streams: defaultdict[int, Stream] = defaultdict(lambda: Stream.null)
        self.entered: list[Stream] = []


_current = _Current()


def get_current_stream(device_id: int = -1) -> Stream:
    """The current stream of this thread, on the current device or that one."""
    return _current.streams[runtime.getDevice() if device_id < 0 else device_id]


def stream_at(ptr: int) -> Stream:
    """The stream that has this handle."""
    try:
        return _streams[ptr]
    except KeyError:
        raise CUDARuntimeError(1) from None


def current_capture() -> Capture | None:
    """The capture that the work of the current stream goes to."""
    return get_current_stream()._working()


asked_for = 0
"""How often work was asked for so far: a launch of a graph is once."""


def submit(
    work: Callable[[], object], blocks: Iterable[Block], stream: Stream | None = None
) -> None:
    """Do this work, which touches these blocks of memory; or record it in a capture."""
    global asked_for
    asked_for += 1
    stream = get_current_stream() if stream is None else stream
    capture = stream._working()
    if capture is None:
        work()
    else:
        capture.record(stream, work, blocks)


def wait(stream: Stream | None = None) -> None:
    """Wait for this stream or, without one, for the device: an error where one is capturing."""
    device = runtime.getDevice()
    on_device = [each for each in tuple(_capturing) if each.device_id == device]
    for each in {get_current_stream(), *(on_device if stream is None else [stream])}:
        if each._capture is not None:
            _invalidate(each)
            raise CUDARuntimeError(900)


def _invalidate(stream: Stream) -> None:
    if stream._capture is not None:
        stream._capture.invalid = True


class Event:
    """A point in a stream's work."""

    def __init__(
        self, block: bool = False, disable_timing: bool = False, interprocess: bool = False
    ) -> None:
        self.ptr = next(_addresses)
        self._timed = not disable_timing
        self._recorded = False
        self._capture: Capture | None = None
        self._stream: Stream | None = None

    def record(self, stream: Stream | None = None) -> None:
        self._stream = get_current_stream() if stream is None else stream
        self._capture = self._stream._working()
        self._recorded = True

    def synchronize(self) -> None:
        wait(self._stream if self._capture is not None else get_current_stream())

    @property
    def done(self) -> bool:
        self.synchronize()
        return True


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Milliseconds between two events: a stand-in has no times, and says 1."""
    for event in (start_event, end_event):
        if not (event._timed and event._recorded):
            raise CUDARuntimeError(1)
    return 1.0
