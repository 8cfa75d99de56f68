"""Devices, streams, graphs and memory."""

from __future__ import annotations

from cupy.cuda import compiler, device, driver, graph, memory, nccl, runtime, stream
from cupy.cuda.device import Device
from cupy.cuda.graph import Graph
from cupy.cuda.memory import (
    Memory,
    MemoryPointer,
    MemoryPool,
    PinnedMemoryPool,
    alloc,
    get_allocator,
    set_allocator,
    using_allocator,
)
from cupy.cuda.stream import Event, Stream, get_current_stream, get_elapsed_time

__all__ = [
    "Device",
    "Event",
    "Graph",
    "Memory",
    "MemoryPointer",
    "MemoryPool",
    "PinnedMemoryPool",
    "Stream",
    "alloc",
    "compiler",
    "device",
    "driver",
    "get_allocator",
    "get_current_stream",
    "get_device_id",
    "get_elapsed_time",
    "graph",
    "is_available",
    "memory",
    "nccl",
    "runtime",
    "set_allocator",
    "stream",
    "using_allocator",
]


def is_available() -> bool:
    return runtime.getDeviceCount() > 0


def get_device_id() -> int:
    return runtime.getDevice()
