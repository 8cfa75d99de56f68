"""Work on the device, recorded once as a CUDA graph and launched many times."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import cupy

from nnfs_xp.kernels.cupy.compilation import Array
from nnfs_xp.kernels.cupy.steps import begin

Result = TypeVar("Result")

_left: list[tuple[int, cupy.cuda.MemoryPool]] = []
"""Pools of graphs that are gone, each with its device, as long as arrays lie in them.

A pool of CuPy 14 that is dropped with free blocks in it keeps their memory for good: the blocks and
the pool's arena hold each other where the garbage collector does not look (cupy/cupy#9437).
"""


def give_back() -> None:
    """Free the memory of graphs that are gone where no array lies in it any more."""
    for each in tuple(_left):
        device, pool = each
        with cupy.cuda.Device(device):
            pool.free_all_blocks()
            if not pool.total_bytes():
                with suppress(ValueError):  # another thread was faster
                    _left.remove(each)


class Graph:
    """A CUDA graph, with the stream that it is recorded on and the memory that it works in.

    `rehearse` does the work once, so that all it needs is compiled, loaded, found and allocated;
    `record` records it without doing it; `launch` does it again. The work returns the same arrays
    each time, in memory of the graph's own: each launch overwrites them.
    """

    _stream: Any = None

    def __init__(self) -> None:
        give_back()
        self._device = cupy.cuda.runtime.getDevice()
        self._pool = cupy.cuda.MemoryPool()
        self._stream = cupy.cuda.Stream(non_blocking=True)
        shared = cupy.get_default_memory_pool()
        limit = shared.get_limit()
        if limit:  # the limit is for both pools together
            self._pool.set_limit(size=max(limit - shared.used_bytes(), 1))
        self._graph: Any = None

    def close(self) -> None:
        """Free the memory that it works in: now, or once no array in it is in use any more."""
        self.leave()
        give_back()

    def __del__(self) -> None:
        self.leave()  # but frees nothing: a stream may be recording at this moment

    def leave(self) -> None:
        """Give up what was recorded; its memory is freed by `give_back`, which may wait."""
        if self._stream is not None:
            # With the stream goes the workspace of its products, which lies in the pool.
            self._graph = self._stream = None
            _left.append((self._device, self._pool))

    def rehearse(self, work: Callable[[], Result]) -> Result:
        """Do the work now, in the graph's memory, after all work asked for before."""
        present = cupy.cuda.get_current_stream()
        self._stream.wait_event(present.record())
        try:
            with cupy.cuda.using_allocator(self._pool.malloc), self._stream:
                return work()
        finally:
            present.wait_event(self._stream.record())

    def record(self, work: Callable[[], Result]) -> Result:
        """Record the work, without doing it.

        Raises
        ------
        Exception
            The work cannot be recorded: it waits for the device, say. Nothing was recorded.
        """
        self._spoilt = False
        result, graph = self._captured(work)
        if self._spoilt:
            raise RuntimeError("the device's memory ran out while the work was recorded")
        self._graph = graph
        return result

    def _captured(self, work: Callable[[], Result]) -> tuple[Result, Any]:
        with cupy.cuda.using_allocator(self._allocate), self._stream:
            self._stream.begin_capture()
            try:
                result = work()
            except BaseException:
                # The error of the work is raised, not that of a capture it has spoilt.
                with suppress(Exception):
                    self._stream.end_capture()
                raise
            return result, self._stream.end_capture()

    def _allocate(self, size: int) -> Any:
        """Memory from the pool, while recording.

        A pool that runs out gives all its free blocks back to the device, also those that the
        recorded work writes to before it frees them: the recording is then useless.
        """
        before = self._pool.total_bytes()
        memory = self._pool.malloc(size)
        if self._pool.total_bytes() - before not in (0, memory.mem.size):
            self._spoilt = True
        return memory

    begin = staticmethod(begin)  # writes what the next launch reads

    def launch(self) -> None:
        """Do the work, on the current stream."""
        self._graph.launch()

    @staticmethod
    def copied(result: Array) -> Array:
        """A result in memory of its own, which no launch overwrites."""
        copy = cupy.empty(result.shape, result.dtype)
        copy.data.copy_from_device_async(result.data, result.nbytes)
        return copy

    @property
    def memory(self) -> int:
        """Bytes of the memory that it works in."""
        return int(self._pool.total_bytes())
