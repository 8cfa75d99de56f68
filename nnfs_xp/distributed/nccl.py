"""Sums of CuPy's arrays over the GPUs of a group, by NCCL."""

from __future__ import annotations

import importlib
import os
import socket
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from nnfs_xp._typing import Array
from nnfs_xp.distributed.ordered import summed_in_order
from nnfs_xp.errors import ArgumentError, BackendError, DistributedError

_REMEDY = "pip install 'nnfs-xp[nccl]'"

_TYPES = {"float16": "FLOAT16", "float32": "FLOAT32", "float64": "FLOAT64", "int64": "INT64"}

_SHARED_GPU = "NCCL_MULTI_RANK_GPU_ENABLE"
"""The environment variable by which NCCL lets several processes share a GPU, from 2.30 on."""


class Meeting(Protocol):
    """What processes tell each other by before their GPUs are connected: see `Group`."""

    rank: int
    size: int

    def broadcast(self, value: Any) -> Any: ...
    def gather(self, value: Any) -> list[Any]: ...
    def flat_part(self, size: int, rank: int | None = None) -> slice: ...


def version_text() -> str:
    """The version of NCCL, or why it cannot be used."""
    try:
        version = _nccl().get_version()
    except BackendError as error:
        return str(error)
    return f"NCCL {version // 10000}.{version % 10000 // 100}.{version % 100}"


def _nccl() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CuPy warns where it finds none, which is said below
            nccl = importlib.import_module("cupy.cuda.nccl")
        available = getattr(nccl, "available", True)
    except ImportError as error:
        raise BackendError(f"CuPy finds no NCCL: {error}; {_REMEDY}") from None
    if not available:
        raise BackendError(f"CuPy finds no NCCL; {_REMEDY}")
    return nccl


class DeviceSums:
    """The connection between the GPUs of a group, one to a process.

    Each call asks the device for something, on the current stream, and waits for nothing; so it can
    be recorded as part of a step.

    Parameters
    ----------
    group : Meeting
    device : int
        The number of this process' GPU.

    Raises
    ------
    BackendError
        CuPy has no NCCL.
    DistributedError
        Two processes have one GPU.
    """

    def __init__(self, group: Meeting, device: int) -> None:
        self._cupy: Any = importlib.import_module("cupy")
        self._nccl = nccl = _nccl()
        self._group = group
        self._size = group.size
        self._device: Any = self._cupy.cuda.Device(device)
        place = f"{socket.gethostname()} {self._device.pci_bus_id}"
        (twice, n), *_ = Counter(group.gather(place)).most_common(1)
        if n > 1 and os.environ.get(_SHARED_GPU) != "1":
            raise DistributedError(
                f"{n} processes have one GPU ({twice}). Start one process for each GPU; or, with "
                f"NCCL 2.30 or later, set {_SHARED_GPU}=1."
            )
        name = group.broadcast(nccl.get_unique_id() if group.rank == 0 else None)
        with self._device:
            self._communicator: Any = nccl.NcclCommunicator(group.size, name, group.rank)
        self._side: Any = None  # the stream of sums in the background

    def _type(self, array: Array) -> int:
        name = str(array.dtype)
        if name == "bfloat16":
            return int(self._nccl.NCCL_BFLOAT16)
        if name not in _TYPES:
            raise DistributedError(f"NCCL sums no arrays of {name}.")
        return int(getattr(self._nccl, f"NCCL_{_TYPES[name]}"))

    @property
    def _stream(self) -> Any:
        return self._cupy.cuda.get_current_stream()

    def add(self, *arrays: Array, in_order: bool) -> None:
        """See `Group.add`: all of them in one go."""
        if in_order:
            with self._device:
                for array in arrays:
                    self._add_in_order(array)
        else:
            with self._at_once() as stream:
                for array in arrays:
                    self._add_on(stream, array)

    def _add_on(self, stream: Any, array: Any) -> None:
        here, kind = self._address(array), self._type(array)
        what = array.size, kind, self._nccl.NCCL_SUM
        self._communicator.allReduce(here, here, *what, stream.ptr)

    def _add_in_order(self, array: Any) -> None:
        here, kind = self._address(array), self._type(array)
        found = self._cupy.empty((self._size, array.size), array.dtype)
        self._communicator.allGather(here, found.data.ptr, array.size, kind, self._stream.ptr)
        array[...] = summed_in_order(list(found)).reshape(array.shape)

    def begin(self, array: Any) -> None:
        """See `Group.begin_add`: on a stream of its own, after all that was asked for before."""
        with self._device:
            if self._side is None:
                self._side = self._cupy.cuda.Stream(non_blocking=True)
            self._side.wait_event(self._stream.record())
            self._add_on(self._side, array)

    def finish(self) -> None:
        """See `Group.finish_adds`."""
        if self._side is not None:
            with self._device:
                self._stream.wait_event(self._side.record())

    def add_part(self, array: Any) -> None:
        """See `Group.add_part`: each part is reduced to the process that it belongs to."""
        kind, operation = self._type(array), self._nccl.NCCL_SUM
        with self._at_once() as stream:
            for rank, (at, n) in enumerate(self._parts(array)):
                if n:
                    self._communicator.reduce(at, at, n, kind, operation, rank, stream.ptr)

    def share_parts(self, array: Any) -> None:
        """See `Group.share_parts`: each process broadcasts its part."""
        kind = self._type(array)
        with self._at_once() as stream:
            for rank, (at, n) in enumerate(self._parts(array)):
                if n:
                    self._communicator.broadcast(at, at, n, kind, rank, stream.ptr)

    @contextmanager
    def _at_once(self) -> Iterator[Any]:
        """While it lasts, calls are gathered, and begun together at its end; gives the stream."""
        with self._device:
            self._nccl.groupStart()
            try:
                yield self._stream
            finally:
                self._nccl.groupEnd()

    def _parts(self, array: Any) -> list[tuple[int, int]]:
        """Where the part of each process begins, and how many elements it has."""
        parts = [self._group.flat_part(array.size, rank) for rank in range(self._size)]
        here, size = self._address(array), array.dtype.itemsize
        return [(here + part.start * size, part.stop - part.start) for part in parts]

    def _address(self, array: Any) -> int:
        """Where an array begins.

        Raises
        ------
        ArgumentError
            Its elements do not follow each other, or it is on another device.
        """
        if not array.flags.c_contiguous:
            raise ArgumentError("`array` must be contiguous to be summed in place.")
        if array.device != self._device:
            raise ArgumentError(
                f"`array` must be on the device that this group was first used with, cupy:"
                f"{self._device.id}; it is on cupy:{array.device.id}."
            )
        return int(array.data.ptr)

    def idle(self) -> Callable[[], bool]:
        """What says whether the device has done all that was asked for so far."""
        with self._device:
            event = self._stream.record()

        def done() -> bool:
            self._communicator.check_async_error()
            return bool(event.done)

        return done

    def close(self, *, now: bool = False) -> None:
        """End the connection: once the device is done; or now, whatever it waits for.

        Graphs with sums in them must be gone before: NCCL waits for that, also where it ends now.
        """
        with self._device:
            if now:
                self._communicator.abort()
            else:
                self._stream.synchronize()
                self._communicator.destroy()
