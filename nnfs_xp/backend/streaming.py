"""Host data on their way to a CUDA device, copied while the device works on those before them."""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from nnfs_xp._typing import Array

_ON_THEIR_WAY = 2
"""Batches that are gathered or copied at a time, beside those in work."""


class _Slot:
    """Room for one batch, on the host, where it cannot be paged out, and on the device."""

    def __init__(self) -> None:
        self._host: list[Any] = []
        self._device: list[Any] = []
        self._batch: tuple[Any, ...] = ()
        self.copied: Any = None

    def send(self, batch: tuple[Any, ...], stream: Any, used: Any) -> None:
        """Start copying a batch, once the device is done with what was here before."""
        if self.copied is not None:
            self.copied.synchronize()  # the host's part is free again
            stream.wait_event(used)  # and the device's
        self._make_room(batch, stream)
        self._batch = batch
        for array, host, device in zip(batch, self._host, self._device, strict=True):
            if host is not None:
                n = array.shape[0]
                host[:n] = array
                device[:n].set(host[:n], stream=stream)
        self.copied = stream.record()

    def arrived(self) -> tuple[Array, ...]:
        """The batch on the device."""
        importlib.import_module("cupy").cuda.get_current_stream().wait_event(self.copied)
        return tuple(
            array if device is None else device[: array.shape[0]]
            for array, device in zip(self._batch, self._device, strict=True)
        )

    def _make_room(self, batch: tuple[Any, ...], stream: Any) -> None:
        """Make room for arrays like these; none for those that are on the device already."""
        if len(self._host) == len(batch) and all(map(_fits, batch, self._host)):
            return
        cupy, cupyx = importlib.import_module("cupy"), importlib.import_module("cupyx")
        forms = [(a.shape, a.dtype) if isinstance(a, np.ndarray) else None for a in batch]
        self._host = [form and cupyx.empty_pinned(*form) for form in forms]
        self._device = [form and cupy.empty(*form) for form in forms]
        stream.wait_event(cupy.cuda.get_current_stream().record())  # the room may still be in use


def _fits(array: Any, room: Any) -> bool:
    if not isinstance(array, np.ndarray) or room is None:
        return room is None and not isinstance(array, np.ndarray)
    alike = array.dtype == room.dtype and array.shape[1:] == room.shape[1:]
    return bool(alike and array.shape[0] <= room.shape[0])


def streamed(batches: Iterable[tuple[Any, ...]], held: int = 1) -> Iterator[tuple[Array, ...]]:
    """Batches of host arrays on the current CUDA device, one after the other.

    Parameters
    ----------
    batches : iterable of tuples of ndarray
        Of any shapes. What is no NumPy array is handed on as it is.
    held : int
        How many batches are asked for before any of them is worked on.

    Yields
    ------
    tuple of CuPy arrays
        Overwritten by one of the next batches, after what was asked for meanwhile on the current
        stream is done.
    """
    cupy = importlib.import_module("cupy")
    stream = cupy.cuda.Stream(non_blocking=True)
    slots = [_Slot() for _ in range(held + _ON_THEIR_WAY)]
    waiting: deque[_Slot] = deque()
    # All work on the batches before the last `held` was asked for by the last event but one.
    asked: deque[Any] = deque([None, None], maxlen=2)
    try:
        for number, batch in enumerate(batches):
            slot = slots[number % len(slots)]
            slot.send(batch, stream, asked[0])
            waiting.append(slot)
            if len(waiting) == _ON_THEIR_WAY:
                yield waiting.popleft().arrived()
                asked.append(cupy.cuda.get_current_stream().record())
        while waiting:
            yield waiting.popleft().arrived()
    finally:
        stream.synchronize()
