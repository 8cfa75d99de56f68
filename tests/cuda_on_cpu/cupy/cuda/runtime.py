"""The CUDA runtime: its errors and constants, the devices, and how much of their memory is taken.

Environment: ``CUDA_ON_CPU_DEVICES`` (1) is the number of devices, ``CUDA_ON_CPU_MEMORY`` (1 GiB)
the bytes of memory of each.
"""

# ruff: noqa: N802, N816 - the names of CUDA's runtime

from __future__ import annotations

import os
import threading
from collections import Counter
from typing import Any

CUDA_R_32F, CUDA_R_64F, CUDA_R_16F, CUDA_R_16BF = 0, 1, 2, 14
streamCaptureModeGlobal, streamCaptureModeThreadLocal, streamCaptureModeRelaxed = 0, 1, 2
streamCaptureStatusNone, streamCaptureStatusActive, streamCaptureStatusInvalidated = 0, 1, 2
is_hip = False

_ERRORS = {
    1: ("cudaErrorInvalidValue", "invalid argument"),
    2: ("cudaErrorMemoryAllocation", "out of memory"),
    101: ("cudaErrorInvalidDevice", "invalid device ordinal"),
    401: ("cudaErrorIllegalState", "the operation cannot be performed in the present state"),
    900: (
        "cudaErrorStreamCaptureUnsupported",
        "operation not permitted when stream is capturing",
    ),
    901: (
        "cudaErrorStreamCaptureInvalidated",
        "operation failed due to a previous error during capture",
    ),
    904: (
        "cudaErrorStreamCaptureUnjoined",
        "capturing stream has unjoined work",
    ),
    905: (
        "cudaErrorStreamCaptureIsolation",
        "dependency created on uncaptured work in another stream",
    ),
    906: (
        "cudaErrorStreamCaptureImplicit",
        "operation would make the legacy stream depend on a capturing blocking stream",
    ),
}


class CUDARuntimeError(RuntimeError):
    """An error of CUDA's runtime, with its number as `status`."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__("{}: {}".format(*_ERRORS[status]))


class _Current(threading.local):
    def __init__(self) -> None:
        self.device = 0
        self.entered: list[int] = []


_current = _Current()
_taken: Counter[int] = Counter()


def getDeviceCount() -> int:
    return int(os.environ.get("CUDA_ON_CPU_DEVICES", "1"))


def getDevice() -> int:
    return _current.device


def setDevice(device: int) -> None:
    check_device(device)
    _current.device = device


def enter_device(device: int) -> None:
    before = _current.device
    setDevice(device)
    _current.entered.append(before)


def leave_device() -> None:
    _current.device = _current.entered.pop()


def check_device(device: int) -> None:
    if not 0 <= device < getDeviceCount():
        raise CUDARuntimeError(101)


def driverGetVersion() -> int:
    return 13000


def runtimeGetVersion() -> int:
    return 13000


def getDeviceProperties(device: int) -> dict[str, Any]:
    check_device(device)
    return {
        "name": b"stand-in",
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 4,
        "totalGlobalMem": total_memory(),
        "warpSize": 32,
        "maxThreadsPerBlock": 1024,
        "maxThreadsPerMultiProcessor": 2048,
        "sharedMemPerBlock": 48 * 1024,
        "sharedMemPerBlockOptin": 227 * 1024,
        "sharedMemPerMultiprocessor": 228 * 1024,
        "l2CacheSize": 50 * 2**20,
    }


def deviceGetAttribute(attrib: int, device: int) -> int:
    names = {1: "maxThreadsPerBlock", 8: "sharedMemPerBlock", 10: "warpSize", 75: "major"}
    names |= {16: "multiProcessorCount", 76: "minor", 97: "sharedMemPerBlockOptin"}
    value: int = getDeviceProperties(device)[names[attrib]]
    return value


def total_memory() -> int:
    return int(os.environ.get("CUDA_ON_CPU_MEMORY", str(2**30)))


def memGetInfo() -> tuple[int, int]:
    total = total_memory()
    return total - _taken[getDevice()], total


def take(size: int, device: int) -> None:
    """Count memory that was given out; CUDARuntimeError where the device has not so much."""
    if _taken[device] + size > total_memory():
        raise CUDARuntimeError(2)
    _taken[device] += size


def give_back(size: int, device: int) -> None:
    _taken[device] -= size


def deviceSynchronize() -> None:
    from cupy.cuda.stream import wait

    wait()


def streamIsCapturing(stream: int) -> int:
    from cupy.cuda.stream import stream_at

    capture = stream_at(stream)._capture
    if capture is None:
        return streamCaptureStatusNone
    return streamCaptureStatusInvalidated if capture.invalid else streamCaptureStatusActive


def streamSynchronize(stream: int) -> None:
    from cupy.cuda.stream import stream_at

    stream_at(stream).synchronize()
