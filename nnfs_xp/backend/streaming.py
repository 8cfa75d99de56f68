"""Host data on their way to a CUDA device, copied while the device works on those before them."""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from nnfs_xp._typing import Array

_SLOTS = 3
"""Batches on their way at a time: one in work, one copied, one gathered."""


class _Slot:
    """Room for one batch, on the host, where it cannot be paged out, and on the device."""

    def __init__(self, arrays: tuple[np.ndarray[Any, Any], ...], most: int) -> None:
        cupy, cupyx = importlib.import_module("cupy"), importlib.import_module("cupyx")
        shapes = [((most, *array.shape[1:]), array.dtype) for array in arrays]
        self.host = [cupyx.empty_pinned(*each) for each in shapes]
        self.device = [cupy.empty(*each) for each in shapes]
        self.n = 0
        self.copied: Any = None
        self.used: Any = None

    def send(self, arrays: tuple[np.ndarray[Any, Any], ...], rows: Any, stream: Any) -> None:
        """Gather the rows and start copying them."""
        if self.copied is not None:
            self.copied.synchronize()  # the host's part is free again
        if self.used is not None:
            stream.wait_event(self.used)  # and the device's
        for array, host, device in zip(arrays, self.host, self.device, strict=True):
            part = array[rows]
            self.n = part.shape[0]
            host[: self.n] = part
            device[: self.n].set(host[: self.n], stream=stream)
        self.copied = stream.record()


def streamed(
    arrays: tuple[np.ndarray[Any, Any], ...], parts: Iterable[Any], most: int
) -> Iterator[tuple[Array, ...]]:
    """The rows of host arrays, part by part, on the current CUDA device.

    Parameters
    ----------
    arrays : tuple of ndarray
    parts : iterable of slice or ndarray of int
        Which rows to take together.
    most : int
        The most rows of a part.

    Yields
    ------
    tuple of CuPy arrays
        Overwritten by one of the next parts, after what was asked for meanwhile on the current
        stream is done.
    """
    cupy = importlib.import_module("cupy")
    stream = cupy.cuda.Stream(non_blocking=True)
    stream.wait_event(cupy.cuda.get_current_stream().record())  # the room may still be in use
    slots = [_Slot(arrays, most) for _ in range(_SLOTS)]
    waiting: deque[_Slot] = deque()

    def arrived() -> tuple[_Slot, tuple[Array, ...]]:
        slot = waiting.popleft()
        cupy.cuda.get_current_stream().wait_event(slot.copied)
        return slot, tuple(device[: slot.n] for device in slot.device)

    try:
        for number, rows in enumerate(parts):
            slots[number % _SLOTS].send(arrays, rows, stream)
            waiting.append(slots[number % _SLOTS])
            if len(waiting) == _SLOTS - 1:
                slot, batch = arrived()
                yield batch
                slot.used = cupy.cuda.get_current_stream().record()
        while waiting:
            slot, batch = arrived()
            yield batch
    finally:
        stream.synchronize()
