"""Work on the device, recorded once as a CUDA graph and launched many times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import cupy

from nnfs_xp.kernels.cupy.compilation import Array
from nnfs_xp.kernels.cupy.steps import set_numbers

Result = TypeVar("Result")


class Graph:
    """A CUDA graph, with the stream that it is recorded on and the memory that it works in.

    The work is done once as it is, by `rehearse`, so that all it needs is compiled, loaded, found
    and allocated; then it is recorded, which does nothing else, and launched. What it returns is
    the same arrays each time, in memory of the graph's own: each launch overwrites them.
    """

    def __init__(self) -> None:
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._pool = cupy.cuda.MemoryPool()
        shared = cupy.get_default_memory_pool()
        limit = shared.get_limit()
        if limit:  # one limit for what both take
            self._pool.set_limit(size=max(limit - shared.used_bytes(), 1))
        self._graph: Any = None

    def rehearse(self, work: Callable[[], Result]) -> Result:
        """Do the work now, with the graph's memory, after what was asked for before it."""
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
            Whatever stopped it: it waits for the device, say. Nothing was recorded.
        """
        with cupy.cuda.using_allocator(self._pool.malloc), self._stream:
            self._stream.begin_capture()
            try:
                result = work()
            except BaseException:
                try:
                    self._stream.end_capture()
                except Exception:  # the capture is spoilt; what spoilt it is raised
                    self._graph = None
                raise
            self._graph = self._stream.end_capture()
        return result

    @staticmethod
    def set_numbers(
        counts: Array, rate: Array, values: tuple[int, int, int, int], value: float
    ) -> None:
        """Write what the next launch reads: see `kernels.cupy.steps.set_numbers`."""
        set_numbers(counts, rate, values, value)

    def launch(self) -> None:
        """Do the work, on the current stream."""
        self._graph.launch()

    @property
    def memory(self) -> int:
        """Bytes that it works in."""
        return int(self._pool.total_bytes())
