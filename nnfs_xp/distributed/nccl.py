"""Sums of CuPy's arrays over the GPUs of a group, by NCCL."""

from __future__ import annotations

import importlib
import os
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of
from nnfs_xp.distributed.ordered import summed_in_order
from nnfs_xp.errors import BackendError, DistributedError

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


def device_sums(group: Meeting, array: Array) -> DeviceSums | None:
    """What sums arrays like this one where they are; None where they go by way of the host."""
    backend = backend_of(array)
    if backend.name.partition(":")[0] != "cupy":
        return None
    return DeviceSums(group, backend.device.id)


def version_text() -> str:
    """The version of NCCL, or why it cannot be used."""
    try:
        version = _nccl().get_version()
    except BackendError as error:
        return str(error)
    return f"NCCL {version // 10000}.{version % 10000 // 100}.{version % 100}"


def _nccl() -> Any:
    try:
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
        runtime = self._cupy.cuda.runtime
        place = f"{socket.gethostname()} {runtime.deviceGetPCIBusId(device)}"
        (twice, n), *_ = Counter(group.gather(place)).most_common(1)
        if n > 1 and os.environ.get(_SHARED_GPU) != "1":
            raise DistributedError(
                f"{n} processes have one GPU ({twice}). Start one process for each GPU; or, with "
                f"NCCL 2.30 or later, set {_SHARED_GPU}=1."
            )
        name = group.broadcast(nccl.get_unique_id() if group.rank == 0 else None)
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

    def add(self, array: Array, *, in_order: bool) -> None:
        """See `Group.add`."""
        if in_order:
            self._add_in_order(array)
        else:
            self._add_on(self._stream, array)

    def _add_on(self, stream: Any, array: Any) -> None:
        here, kind = array.data.ptr, self._type(array)
        what = array.size, kind, self._nccl.NCCL_SUM
        self._communicator.allReduce(here, here, *what, stream.ptr)

    def _add_in_order(self, array: Any) -> None:
        found = self._cupy.empty((self._size, array.size), array.dtype)
        what = array.size, self._type(array)
        self._communicator.allGather(array.data.ptr, found.data.ptr, *what, self._stream.ptr)
        array[...] = summed_in_order(list(found)).reshape(array.shape)

    def begin(self, array: Any) -> None:
        """See `Group.begin_add`: on a stream of its own, after all that was asked for before."""
        if self._side is None:
            self._side = self._cupy.cuda.Stream(non_blocking=True)
        self._side.wait_event(self._stream.record())
        self._add_on(self._side, array)

    def finish(self) -> None:
        """See `Group.finish_adds`."""
        if self._side is not None:
            self._stream.wait_event(self._side.record())

    def add_part(self, array: Any) -> None:
        """See `Group.add_part`: each part is reduced to the process that it belongs to."""
        self._nccl.groupStart()
        try:
            for rank, (at, n) in enumerate(self._parts(array)):
                if n:
                    what = n, self._type(array), self._nccl.NCCL_SUM, rank
                    self._communicator.reduce(at, at, *what, self._stream.ptr)
        finally:
            self._nccl.groupEnd()

    def share_parts(self, array: Any) -> None:
        """See `Group.share_parts`: each process broadcasts its part."""
        self._nccl.groupStart()
        try:
            for rank, (at, n) in enumerate(self._parts(array)):
                if n:
                    what = n, self._type(array), rank
                    self._communicator.broadcast(at, at, *what, self._stream.ptr)
        finally:
            self._nccl.groupEnd()

    def _parts(self, array: Any) -> list[tuple[int, int]]:
        """Where the part of each process begins, and how many elements it has."""
        parts = [self._group.flat_part(array.size, rank) for rank in range(self._size)]
        size = array.dtype.itemsize
        return [(array.data.ptr + part.start * size, part.stop - part.start) for part in parts]

    def idle(self) -> Callable[[], bool]:
        """What says whether the device has done all that was asked for so far."""
        event = self._stream.record()

        def done() -> bool:
            self._communicator.check_async_error()
            return bool(event.done)

        return done

    def close(self, *, now: bool = False) -> None:
        """End the connection: once the device is done; or now, whatever it waits for."""
        if now:
            self._communicator.abort()
        else:
            self._stream.synchronize()
            self._communicator.destroy()
