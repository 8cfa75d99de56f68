"""NCCL between threads: each stands in for a process, with a device of its own.

The threads bring their parts to a board. Whoever comes to a collective waits there for the others,
where a GPU's stream would; so what hangs or goes wrong silently on GPUs is an error here:

- memory that is no longer the caller's, or of another device, or too short;
- ranks that do not do the same, in the same order, all launched by graphs or all called;
- a capture of what was never done before, for NCCL connects the devices as it goes;
- a communicator that goes before the graphs that use it.
"""

# ruff: noqa: N802 - CuPy's names

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple
from weakref import WeakSet, WeakValueDictionary

import ml_dtypes
import numpy as np

from cupy.cuda import runtime
from cupy.cuda.memory import Block, block_at
from cupy.cuda.stream import stream_at, submit

__all__ = [
    "NCCL_BFLOAT16",
    "NCCL_CHAR",
    "NCCL_DOUBLE",
    "NCCL_FLOAT",
    "NCCL_FLOAT16",
    "NCCL_FLOAT32",
    "NCCL_FLOAT64",
    "NCCL_HALF",
    "NCCL_INT",
    "NCCL_INT8",
    "NCCL_INT32",
    "NCCL_INT64",
    "NCCL_MAX",
    "NCCL_MIN",
    "NCCL_PROD",
    "NCCL_SUM",
    "NCCL_UINT8",
    "NCCL_UINT32",
    "NCCL_UINT64",
    "NcclCommunicator",
    "NcclError",
    "available",
    "get_unique_id",
    "get_version",
    "groupEnd",
    "groupStart",
]

available = True

NCCL_SUM, NCCL_PROD, NCCL_MAX, NCCL_MIN = range(4)
NCCL_INT8 = NCCL_CHAR = 0
NCCL_UINT8 = 1
NCCL_INT32 = NCCL_INT = 2
NCCL_UINT32 = 3
NCCL_INT64 = 4
NCCL_UINT64 = 5
NCCL_FLOAT16 = NCCL_HALF = 6
NCCL_FLOAT32 = NCCL_FLOAT = 7
NCCL_FLOAT64 = NCCL_DOUBLE = 8
NCCL_BFLOAT16 = 9

_DTYPES: tuple[Any, ...] = (
    *(np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64),
    *(np.float16, np.float32, np.float64, ml_dtypes.bfloat16),
)
_REDUCTIONS: tuple[Callable[[Any, Any], Any], ...] = (
    np.add,
    np.multiply,
    np.maximum,
    np.minimum,
)
_REDUCTION_NAMES = ("sum", "product", "largest", "smallest")

_ERRORS = {
    4: ("NCCL_ERROR_INVALID_ARGUMENT", "invalid argument"),
    5: ("NCCL_ERROR_INVALID_USAGE", "invalid usage"),
}
_ID_BYTES = 128
_SHARED_GPU = "NCCL_MULTI_RANK_GPU_ENABLE"
_PATIENCE = 60.0
"""Seconds that a rank waits for the others."""


class NcclError(RuntimeError):
    """An error that NCCL itself finds, with its number as `status`."""

    def __init__(self, status: int, *, why: str = "") -> None:
        self.status = status
        super().__init__("{}: {}".format(*_ERRORS[status]) + (f" ({why})" if why else ""))


def get_version() -> int:
    return 23003


def get_unique_id() -> bytes:
    return uuid.uuid4().bytes.ljust(_ID_BYTES, b"\0")


class _Group(threading.local):
    """The calls of this thread between `groupStart` and `groupEnd`."""

    def __init__(self) -> None:
        self.depth = 0
        self.calls: list[Callable[[], None]] = []


_group = _Group()


def groupStart() -> None:
    _group.depth += 1


def groupEnd() -> None:
    if not _group.depth:
        raise NcclError(5, why="groupEnd without groupStart")
    _group.depth -= 1
    if _group.depth:
        return
    calls, _group.calls = _group.calls, []
    for call in calls:
        call()


class _Collective(NamedTuple):
    """What all ranks must have in common of a call."""

    operation: str
    n: int
    dtype: str
    reduction: str
    root: int | None
    how: str

    def __str__(self) -> str:
        text = f"{self.how} {self.operation} of {self.n} {self.dtype}"
        more = [self.reduction] if self.reduction else []
        more += [] if self.root is None else [f"root {self.root}"]
        return f"{text} ({', '.join(more)})" if more else text


class _Meeting:
    """What the ranks have brought to one collective so far."""

    def __init__(self) -> None:
        self.what: dict[int, _Collective] = {}
        self.parts: dict[int, np.ndarray[Any, Any]] = {}


class _Board:
    """Where the ranks of one unique id meet."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.changed = threading.Condition()
        self.devices: dict[int, int] = {}
        self.meetings: dict[int, _Meeting] = {}
        self.gone: dict[int, str] = {}
        self.captured = [0] * size
        self.broken = ""

    def join(self, size: int, rank: int, device: int) -> None:
        with self.changed:
            if size != self.size or not 0 <= rank < size or rank in self.devices:
                raise NcclError(4, why=f"rank {rank} of {size}; this group is of {self.size}")
            if device in self.devices.values() and os.environ.get(_SHARED_GPU) != "1":
                raise NcclError(5, why=f"two ranks have device {device}")
            self.devices[rank] = device
            self.changed.notify_all()
            self._wait(lambda: set(self.devices), "the connection")

    def meet(
        self, number: int, rank: int, what: _Collective, part: np.ndarray[Any, Any]
    ) -> list[np.ndarray[Any, Any]]:
        """The parts of all ranks, in their order."""
        with self.changed:
            self._assert_whole()
            meeting = self.meetings.setdefault(number, _Meeting())
            for other, its in meeting.what.items():
                if its != what:
                    self._break(
                        f"NCCL call {number}: rank {rank} {what}, but rank {other} {its}; all must "
                        "do the same, in one order, launched by graphs or called"
                    )
            meeting.what[rank], meeting.parts[rank] = what, part
            self.changed.notify_all()
            self._wait(lambda: set(meeting.parts), f"NCCL call {number}, where rank {rank} {what}")
            self.meetings.pop(number, None)  # those that still wait have it
            return [meeting.parts[each] for each in range(self.size)]

    def leave(self, rank: int, how: str) -> None:
        with self.changed:
            self.gone[rank] = how
            self.changed.notify_all()

    def _wait(self, present: Callable[[], set[int]], where: str) -> None:
        end = time.monotonic() + _PATIENCE
        while len(present()) < self.size:
            self._assert_whole()
            missing = set(range(self.size)) - present()
            for rank in sorted(missing & set(self.gone)):
                self._break(f"rank {rank} {self.gone[rank]} its communicator before {where}")
            left = end - time.monotonic()
            if left <= 0:
                states = [f"{rank} (captured {self.captured[rank]})" for rank in sorted(missing)]
                self._break(
                    f"waited {_PATIENCE:g} s for rank {', '.join(states)} to come to {where} "
                    f"(captured so far: {self.captured})"
                )
            self.changed.wait(left)

    def _assert_whole(self) -> None:
        assert not self.broken, self.broken

    def _break(self, why: str) -> None:
        self.broken = why
        self.changed.notify_all()
        raise AssertionError(why)


_boards: WeakValueDictionary[bytes, _Board] = WeakValueDictionary()
_boards_lock = threading.Lock()


class _Span(NamedTuple):
    """Some elements in a block of device memory."""

    block: Block
    start: int
    stop: int
    dtype: Any

    def read(self) -> np.ndarray[Any, Any]:
        return self._view().copy()

    def write(self, values: np.ndarray[Any, Any]) -> None:
        self._view()[...] = values

    def _view(self) -> np.ndarray[Any, Any]:
        return self.block.bytes(self.start, self.stop).view(self.dtype)


class _Work:
    """A collective that was asked for; a graph that captured it holds it."""

    def __init__(
        self,
        communicator: NcclCommunicator,
        what: _Collective,
        send: _Span,
        receive: _Span | None,
        result: Callable[[list[np.ndarray[Any, Any]]], np.ndarray[Any, Any]],
    ) -> None:
        self._communicator = communicator
        self._what, self._send, self._receive, self._result = what, send, receive, result

    def __call__(self) -> None:
        parts = self._communicator._meet(self._what, self._send.read())
        if self._receive is not None:
            self._receive.write(self._result(parts))


class NcclCommunicator:
    """The place of one rank, with the device that was current when it was made."""

    def __init__(self, ndev: int, commId: bytes, rank: int) -> None:
        if len(commId) != _ID_BYTES:
            raise ValueError(f"commId length {len(commId)} != {_ID_BYTES}.")
        self._rank, self._device = rank, runtime.getDevice()
        self._ended = ""
        self._number = 0
        self._done: set[str] = set()
        self._captured: WeakSet[_Work] = WeakSet()
        with _boards_lock:
            self._board = _boards.setdefault(commId, _Board(ndev))
        self._board.join(ndev, rank, self._device)

    def device_id(self) -> int:
        self._check()
        return self._device

    def rank_id(self) -> int:
        self._check()
        return self._rank

    def size(self) -> int:
        self._check()
        return self._board.size

    def check_async_error(self) -> None:
        self._check()
        assert not self._board.broken, self._board.broken

    def destroy(self) -> None:
        self._end("destroyed")

    def abort(self) -> None:
        self._end("aborted")

    def _end(self, how: str) -> None:
        if self._ended:
            return
        n = len(self._captured)
        assert not n, (
            f"the communicator of rank {self._rank} is {how} while graphs hold {n} of its "
            "collectives: NCCL would wait for ever; destroy the graphs first"
        )
        self._ended = how
        self._board.leave(self._rank, how)

    def _check(self) -> None:
        if self._ended:
            raise NcclError(4, why=f"the communicator of rank {self._rank} was {self._ended}")

    def allReduce(
        self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int
    ) -> None:
        self._ask("allReduce", sendbuf, recvbuf, count, datatype, stream, op=op)

    def reduce(
        self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, root: int, stream: int
    ) -> None:
        self._ask("reduce", sendbuf, recvbuf, count, datatype, stream, op=op, root=root)

    def broadcast(
        self, sendbuff: int, recvbuff: int, count: int, datatype: int, root: int, stream: int
    ) -> None:
        self._ask("broadcast", sendbuff, recvbuff, count, datatype, stream, root=root)

    def bcast(self, buff: int, count: int, datatype: int, root: int, stream: int) -> None:
        self._ask("broadcast", buff, buff, count, datatype, stream, root=root)

    def reduceScatter(
        self, sendbuf: int, recvbuf: int, recvcount: int, datatype: int, op: int, stream: int
    ) -> None:
        self._ask("reduceScatter", sendbuf, recvbuf, recvcount, datatype, stream, op=op)

    def allGather(self, sendbuf: int, recvbuf: int, count: int, datatype: int, stream: int) -> None:
        self._ask("allGather", sendbuf, recvbuf, count, datatype, stream)

    def _ask(
        self,
        operation: str,
        send: int,
        receive: int,
        count: int,
        datatype: int,
        stream: int,
        *,
        op: int | None = None,
        root: int | None = None,
    ) -> None:
        """Check a call as far as one rank can, and have it done on its stream."""
        self._check()
        size, rank = self._board.size, self._rank
        if not 0 <= datatype < len(_DTYPES) or not (op is None or 0 <= op < len(_REDUCTIONS)):
            raise NcclError(4, why=f"datatype {datatype}, op {op}")
        if not (root is None or 0 <= root < size):
            raise NcclError(4, why=f"root {root} of {size}")
        on = stream_at(stream)
        device = on.device_id if on.ptr else runtime.getDevice()
        assert device == self._device, (
            f"{operation}: the stream is of device {device}, the communicator of {self._device}"
        )
        if not count:
            return
        is_root = root is None or rank == root
        given = count * (size if operation == "reduceScatter" else 1)
        # Only the root of a broadcast reads what it sends, and only that of a reduction is written.
        sends = send if operation != "broadcast" or is_root else receive
        source = self._span(f"{operation} reads", sends, given, datatype)
        target = None
        if operation != "reduce" or is_root:
            taken = count * (size if operation == "allGather" else 1)
            target = self._span(f"{operation} writes", receive, taken, datatype)
        captured = on.is_capturing()
        what = _Collective(
            operation,
            count,
            np.dtype(_DTYPES[datatype]).name,
            "" if op is None else _REDUCTION_NAMES[op],
            root,
            "launches" if captured else "calls",
        )
        work = _Work(self, what, source, target, _result_of(operation, rank, count, op, root))
        blocks = [span.block for span in (source, target) if span is not None]
        if captured:
            assert operation in self._done, (
                f"{operation} is captured and was never done before on this communicator: NCCL "
                "connects the devices the first time, so do it once before"
            )

        def asked() -> None:
            submit(work, blocks, on)
            if captured:
                self._captured.add(work)
                self._board.captured[rank] += 1

        if _group.depth:
            _group.calls.append(asked)
        else:
            asked()

    def _span(self, what: str, ptr: int, count: int, datatype: int) -> _Span:
        """The elements at an address, of memory that is in use on this rank's device."""
        dtype = np.dtype(_DTYPES[datatype])
        block, nbytes = block_at(ptr), count * dtype.itemsize
        assert block is not None, f"{what} at {ptr:#x}, where no device memory is"
        assert block.state == "used", f"{what} memory at {ptr:#x} that was freed"
        assert block.device_id == self._device, (
            f"{what} memory of device {block.device_id}; rank {self._rank} has {self._device}"
        )
        start = ptr - block.ptr
        assert start % dtype.itemsize == 0, f"{what} at {ptr:#x}, which is no place for {dtype}"
        assert start + nbytes <= block.nbytes, (
            f"{what} {nbytes} bytes at {ptr:#x}, of which the array has {block.nbytes - start}"
        )
        return _Span(block, start, start + nbytes, dtype)

    def _meet(self, what: _Collective, part: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
        self._check()
        self._number += 1
        parts = self._board.meet(self._number, self._rank, what, part)
        self._done.add(what.operation)
        return parts


def _result_of(
    operation: str, rank: int, count: int, op: int | None, root: int | None
) -> Callable[[list[np.ndarray[Any, Any]]], np.ndarray[Any, Any]]:
    """What a rank is to have in the end, of the parts of all."""

    def result(parts: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        if operation == "allGather":
            return np.concatenate(parts)
        if operation == "broadcast":
            return parts[0 if root is None else root]
        total = reduce(_REDUCTIONS[0 if op is None else op], parts)
        if operation == "reduceScatter":
            total = total[rank * count : (rank + 1) * count]
        return np.asarray(total)

    return result
