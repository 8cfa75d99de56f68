"""Device memory: blocks of host memory that are counted, guarded and pooled like a GPU's."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from bisect import bisect_right, insort
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import numpy as np

from cupy.cuda import runtime
from cupy.cuda.device import Device
from cupy.cuda.stream import Stream, get_current_stream, submit

UNIT = 512
GUARD = 64
_PATTERN = bytes(range(0xA0, 0xA0 + GUARD))
_QUARANTINE = 64 * 2**20

_lock = threading.RLock()
_addresses: list[int] = []
_blocks: dict[int, Block] = {}
_quarantine: deque[Block] = deque()
_quarantined = [0]  # bytes in there


class OutOfMemoryError(MemoryError):
    """The device, or the pool's limit, has no room for a block."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        self._arguments = size, total, limit
        bound = f", limit set to: {limit:,} bytes" if limit else ""
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{bound})."
        )

    def __reduce__(self) -> tuple[type, tuple[int, int, int]]:
        return type(self), self._arguments


class Block:
    """A piece of a device's memory, with room for guard bytes on both sides.

    Attributes
    ----------
    size : int
        A multiple of 512.
    state : str
        "used"; "free": it belongs to a pool and to no array; "gone": given back to the device;
        "lost": it belonged to a pool that was dropped, and nobody will ever have it.
    generation, nbytes : int
        How often it was handed out, and for how much the last time.
    """

    def __init__(self, size: int, device_id: int) -> None:
        runtime.take(size, device_id)
        room = np.full(size + 3 * UNIT, 0xFF, np.uint8)  # floating-point numbers are NaN there
        start = UNIT + -room.ctypes.data % UNIT
        self._front, self._room = room[start - GUARD : start], room[start:]
        self.footprint = room.size
        self.size, self.device_id = size, device_id
        self.ptr: int = self._room.ctypes.data
        self.state, self.generation, self.reusable = "free", 0, True
        self.stream = 0
        with _lock:
            insort(_addresses, self.ptr)
            _blocks[self.ptr] = self

    def hand_out(self, nbytes: int) -> None:
        self.state, self.nbytes = "used", nbytes
        self.generation += 1

    def bytes(self, start: int, stop: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return self._room[start:stop]

    def poison(self) -> None:
        self._room[: self.size] = 0xFF

    def release(self) -> None:
        """Give the memory back to the device."""
        if self.state == "gone":
            return
        self.state = "gone"
        runtime.give_back(self.size, self.device_id)
        self.forget()

    def forget(self) -> None:
        with _lock:
            if _blocks.get(self.ptr) is self:
                del _blocks[self.ptr], _addresses[bisect_right(_addresses, self.ptr) - 1]

    def assert_usable(self, what: str) -> None:
        """Assert that who holds a pointer to this block may still use it."""
        assert self.state == "used" or (self.state == "free" and self.reusable), (
            f"{what} uses memory at {self.ptr:#x} that was freed"
        )

    def write_guards(self, nbytes: int) -> None:
        """Write a pattern before the block and behind its first bytes, those of an array."""
        for guard in self._guards(nbytes):
            guard[:] = np.frombuffer(_PATTERN, np.uint8)

    def assert_guards(self, nbytes: int, what: str) -> None:
        for guard, side in zip(self._guards(nbytes), ("before", "behind"), strict=True):
            assert guard.tobytes() == _PATTERN, f"{what} wrote {side} an array of {nbytes} bytes"

    def _guards(self, nbytes: int) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], ...]:
        return self._front, self._room[nbytes : nbytes + GUARD]


def block_at(ptr: int) -> Block | None:
    """The block in which this address lies."""
    with _lock:
        place = bisect_right(_addresses, ptr) - 1
        block = _blocks[_addresses[place]] if place >= 0 else None
    return block if block is not None and ptr < block.ptr + block.size else None


class Memory:
    """Memory straight from the device, which goes back there with the object."""

    block: Block | None = None

    def __init__(self, size: int) -> None:
        self.size = self.nbytes = size
        self.device_id = runtime.getDevice()
        if size:
            try:
                self.block = Block(_rounded(size), self.device_id)
            except runtime.CUDARuntimeError:
                total = runtime.total_memory() - runtime.memGetInfo()[0]
                raise OutOfMemoryError(size, total) from None
            self.block.hand_out(size)

    @property
    def ptr(self) -> int:
        return 0 if self.block is None else self.block.ptr

    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if self.block is not None and not finalizing():
            self.block.poison()
            self.block.release()


class PooledMemory:
    """Memory of a pool, which goes back there with the object."""

    def __init__(self, block: Block, nbytes: int, arena: _Arena) -> None:
        self.block, self.nbytes, self._arena = block, nbytes, arena
        self.size, self.device_id, self.ptr = block.size, block.device_id, block.ptr

    def free(self) -> None:
        if self.block.state == "used":
            self._arena.take_back(self.block)

    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not finalizing():
            self.free()


class MemoryPointer:
    """An address in some memory, which it keeps alive."""

    def __init__(self, mem: Any, offset: int) -> None:
        self.mem, self.device_id = mem, mem.device_id
        self.ptr: int = mem.ptr + offset if mem.ptr else 0

    @property
    def device(self) -> Device:
        return Device(self.device_id)

    def __int__(self) -> int:
        return self.ptr

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)

    def __sub__(self, offset: int) -> MemoryPointer:
        return self + -offset

    def _bytes(self, size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        start = self.ptr - self.mem.ptr
        if self.mem.block is None or not 0 <= start <= start + size <= self.mem.block.size:
            raise runtime.CUDARuntimeError(1)
        found: np.ndarray[Any, np.dtype[np.uint8]] = self.mem.block.bytes(start, start + size)
        return found

    def memset_async(self, value: int, size: int, stream: Stream | None = None) -> None:
        if size:
            room = self._bytes(size)
            submit(lambda: room.fill(value), [self.mem.block], stream)

    def memset(self, value: int, size: int) -> None:
        self.memset_async(value, size)

    def copy_from_device_async(
        self, src: MemoryPointer, size: int, stream: Stream | None = None
    ) -> None:
        if size:
            target, source = self._bytes(size), src._bytes(size)
            submit(lambda: np.copyto(target, source), [self.mem.block, src.mem.block], stream)

    def copy_from_device(self, src: MemoryPointer, size: int) -> None:
        self.copy_from_device_async(src, size)


Allocator: TypeAlias = Callable[[int], MemoryPointer]


def _rounded(size: int) -> int:
    return -(-size // UNIT) * UNIT


class _Arena:
    """A pool's memory on one device. Free blocks serve the same stream and size again."""

    def __init__(self, device_id: int, keeps: bool) -> None:
        self.device_id, self.keeps = device_id, keeps
        self.used = self.free_bytes = self.limit = 0
        self.free: defaultdict[tuple[int, int], list[Block]] = defaultdict(list)
        self.closed = False

    def malloc(self, size: int) -> MemoryPointer:
        rounded, stream = _rounded(size), get_current_stream(self.device_id).ptr
        with _lock:
            free = self.free[stream, rounded]
            if free:
                block = free.pop()
                self.free_bytes -= rounded
                if not self.keeps:
                    block = self._exchanged(block)
            else:
                block = self._new(rounded)
            self.used += rounded
            block.stream = stream
            block.hand_out(size)
        return MemoryPointer(PooledMemory(block, size, self), 0)

    def _new(self, size: int) -> Block:
        for rescue in (self.free_all, gc.collect, self.free_all, None):
            total = self.used + self.free_bytes
            if not self.limit or total + size <= self.limit:
                with contextlib.suppress(runtime.CUDARuntimeError):
                    block = Block(size, self.device_id)
                    block.reusable = self.keeps
                    return block
            if rescue is not None:
                rescue()
        raise OutOfMemoryError(size, self.used + self.free_bytes, self.limit)

    def _exchanged(self, block: Block) -> Block:
        """Another block instead of a free one, which stays in quarantine: who still uses it shall
        find NaN there, and not what has been put there since."""
        block.state = "gone"
        runtime.give_back(block.size, self.device_id)
        _quarantine.append(block)
        _quarantined[0] += block.footprint
        while _quarantined[0] > _QUARANTINE:
            oldest = _quarantine.popleft()
            _quarantined[0] -= oldest.footprint
            oldest.forget()
        return self._new(block.size)

    def take_back(self, block: Block) -> None:
        with _lock:
            self.used -= block.size
            if not self.keeps or self.closed:
                block.poison()
            block.state = "lost" if self.closed else "free"
            self.free_bytes += block.size
            self.free[block.stream, block.size].append(block)

    def close(self) -> None:
        """Go without giving anything back, as CuPy's pools do since 14.1 (cupy/cupy#9437)."""
        with _lock:
            self.closed = True
            for blocks in self.free.values():
                for block in blocks:
                    block.state = "lost"

    def free_all(self, stream: Stream | None = None) -> None:
        with _lock:
            for (ptr, _), blocks in self.free.items():
                if stream is None or stream.ptr == ptr:
                    for block in blocks:
                        self.free_bytes -= block.size
                        block.release()
                    blocks.clear()


class MemoryPool:
    """Memory that arrays give back to it, and that it keeps for the next ones.

    In the default pool a freed block is filled with bytes 0xFF and not handed out again, so that
    a graph that still points there is found out. Any other pool hands the same block out
    again, as a real one does, and leaves in it what was there. What is free in a pool that is
    dropped, or becomes free later, is lost to the device.
    """

    def __init__(self, allocator: Allocator | None = None, *, _default: bool = False) -> None:
        self._default = _default
        self._arenas: dict[int, _Arena] = {}
        if allocator is not None:
            raise NotImplementedError("the stand-in's pools have no allocators of their own")

    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        for arena in () if finalizing() else self._arenas.values():
            arena.close()

    @property
    def _arena(self) -> _Arena:
        device = runtime.getDevice()
        if device not in self._arenas:
            self._arenas[device] = _Arena(device, keeps=not self._default)
        return self._arenas[device]

    def malloc(self, size: int) -> MemoryPointer:
        return self._arena.malloc(size) if size else MemoryPointer(Memory(0), 0)

    def used_bytes(self) -> int:
        return self._arena.used

    def free_bytes(self) -> int:
        return self._arena.free_bytes

    def total_bytes(self) -> int:
        return self._arena.used + self._arena.free_bytes

    def n_free_blocks(self) -> int:
        return sum(map(len, self._arena.free.values()))

    def free_all_blocks(self, stream: Stream | None = None) -> None:
        self._arena.free_all(stream)

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        if size is not None and fraction is not None:
            raise ValueError("size and fraction cannot be specified at one time")
        if fraction is not None:
            if not 0 <= fraction <= 1:
                raise ValueError(f"memory limit fraction out of range: {fraction}")
            size = int(fraction * runtime.total_memory())
        if size is None:
            raise ValueError("either size or fraction must be specified")
        if size < 0:
            raise ValueError(f"memory limit size out of range: {size}")
        self._arena.limit = size

    def get_limit(self) -> int:
        return self._arena.limit


default_pool = MemoryPool(_default=True)


def _malloc(size: int) -> MemoryPointer:
    return MemoryPointer(Memory(size), 0)


class _Local(threading.local):
    allocator: Allocator | None = None


_local = _Local()
_allocator: Allocator = default_pool.malloc


def alloc(size: int) -> MemoryPointer:
    """Memory from the allocator in force."""
    return (_local.allocator or _allocator)(size)


def get_allocator() -> Allocator:
    return _local.allocator or _allocator


def set_allocator(allocator: Allocator | None = None) -> None:
    global _allocator
    if _local.allocator is not None:
        raise ValueError("Can't change the global allocator inside `using_allocator` context.")
    _allocator = allocator or _malloc


@contextlib.contextmanager
def using_allocator(allocator: Allocator | None = None) -> Iterator[None]:
    """Within it this thread's memory comes from there; from no pool without an allocator."""
    before, _local.allocator = _local.allocator, allocator or _malloc
    try:
        yield
    finally:
        _local.allocator = before


class PinnedMemoryPool:
    """Of host memory, about which there is nothing to stand in for."""

    def free_all_blocks(self) -> None:
        pass

    def n_free_blocks(self) -> int:
        return 0


default_pinned_pool = PinnedMemoryPool()
_pinned: WeakValueDictionary[int, np.ndarray[Any, Any]] = WeakValueDictionary()


def pinned_array(shape: Any, dtype: Any, order: Any) -> np.ndarray[Any, Any]:
    """A NumPy array of pinned host memory, which copies may use in a capture."""
    array: np.ndarray[Any, Any] = np.empty(shape, dtype, order)
    _pinned[id(array)] = array
    return array


def is_pinned(array: np.ndarray[Any, Any]) -> bool:
    """Whether its memory is that of a `pinned_array`."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if _pinned.get(id(base)) is base:
            return True
        base = base.base
    return False
