"""Batches from anywhere: whatever can be walked again and again, and gives a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.backend import is_array
from nnfs_xp.errors import ArgumentError, DataError, NnfsError

_ADVICE = "Give each batch as a tuple (x, y) or (x, y, sample_weight) of arrays."


_NO_BATCHES = (str, bytes, bytearray, memoryview, range, set, frozenset, Mapping, int, float, type)
"""What can be walked but gives no batches, or is no sequence of numbers either."""


def is_source(data: Any) -> bool:
    """Whether it gives batches, and is neither an array nor what can become one.

    A list or a tuple gives batches where its first entry is a list of arrays, or a tuple that
    begins with one.
    """
    if isinstance(data, (list, tuple)):
        return bool(len(data)) and _is_batch(data[0])
    if is_array(data) or hasattr(data, "__array__") or hasattr(data, "shape"):
        return False
    if data is None or isinstance(data, _NO_BATCHES):
        return False
    return callable(data) or hasattr(data, "__iter__") or _seeks(data)


def _is_batch(entry: Any) -> bool:
    if not isinstance(entry, (list, tuple)) or not entry:
        return False
    arrays = entry[:1] if isinstance(entry, tuple) else entry
    return all(hasattr(each, "shape") and len(each.shape) > 0 for each in arrays)


def _seeks(data: Any) -> bool:
    """Whether its batches can be asked for by number."""
    return hasattr(data, "__getitem__") and hasattr(data, "__len__")


class Source:
    """What gives the batches of an epoch, as often as it is asked to.

    Parameters
    ----------
    data : iterable, function without parameters that returns one, or sequence
        Of batches. A sequence, which has ``data[number]`` and ``len(data)``, can be entered in
        the middle. If there is a method ``set_epoch(epoch)``, it is called before each walk, for
        another order in each epoch. A method ``walk(epoch, first)`` takes the place of all that:
        it gives the batches of an epoch from one on, and walks do not disturb each other. A
        method ``samples(epoch, number)`` tells the numbers of the samples of a batch.

    Attributes
    ----------
    length : int or None
        The number of batches, where it is known: of the last walk, if that changes.
    seconds : float or None
        What a batch took to fetch, in the last walk on average; None before the first one.
    seeks : bool
        Whether batches can be asked for by number.

    Raises
    ------
    ArgumentError
        It can be walked once only.
    """

    def __init__(self, data: Any) -> None:
        if isinstance(data, Iterator):
            raise ArgumentError(
                f"batches are walked anew in each epoch, and a {type(data).__name__} can be walked "
                "once only. Hand over the function that makes it, and not what it returns, or a "
                "list."
            )
        self._data = data
        self.seeks = _seeks(data)
        self.length = _length_of(data)
        self.seconds: float | None = None

    @cached_property
    def is_held(self) -> bool:
        """Whether it is a list of batches that are all in memory, and always the same."""
        if hasattr(self._data, "set_epoch") or hasattr(self._data, "walk"):
            return False
        return isinstance(self._data, (list, tuple)) and not any(
            isinstance(part, np.memmap) for item in self._data for part in _listed(item)
        )

    def is_ready(self, dtype: str) -> bool:
        """Whether the inputs are arrays of NumPy of that data type, where it is held."""
        return all(
            isinstance(part := _listed(item)[0], np.ndarray) and part.dtype == dtype
            for item in self._data
        )

    def walk(self, epoch: int, first: int = 0) -> Iterator[Any]:
        """The batches of that epoch, from the one numbered `first` on.

        `first` is 0 unless the source `seeks`.
        """
        walk = getattr(self._data, "walk", None)
        if self.seeks and callable(walk):
            return self._walked(walk(epoch, first))
        set_epoch = getattr(self._data, "set_epoch", None)
        if callable(set_epoch):
            set_epoch(epoch)
        self.length = _length_of(self._data)
        if self.seeks and self.length is not None:
            return self._by_number(first, self.length)
        batches: Iterable[Any] = self._data
        if not hasattr(batches, "__iter__"):
            batches = self._data()
            if not hasattr(batches, "__iter__"):
                raise ArgumentError(
                    "a function that gives batches must return something to walk, as a generator "
                    f"function does; got {type(batches).__name__}."
                )
        return iter(batches)

    def samples(self, epoch: int, number: int) -> np.ndarray[Any, Any] | None:
        """The number of each sample of a batch in its data set, where the data tell it."""
        tells = getattr(self._data, "samples", None)
        found = tells(epoch, number) if callable(tells) else None
        return None if found is None else np.asarray(found)

    def _walked(self, batches: Iterable[Any]) -> Iterator[Any]:
        try:
            for number, item in enumerate(batches):
                if not number:
                    self.length = _length_of(self._data)  # of that epoch
                yield item
        finally:
            getattr(batches, "close", tuple)()

    def _by_number(self, first: int, length: int) -> Iterator[Any]:
        for number in range(first, length):
            try:
                item = self._data[number]
            except NotImplementedError:  # of a base class; such a source is walked
                if number or not hasattr(self._data, "__iter__"):
                    raise
                self.seeks = False
                yield from self._data
                return
            yield item


def _length_of(data: Any) -> int | None:
    try:
        return len(data)
    except Exception:  # of a function, of a stream, or of one that cannot tell
        return None


def _listed(item: Any) -> Any:
    return item if isinstance(item, (list, tuple)) and item else (item,)


def parts_of(item: Any, *, least: int = 1) -> tuple[Any, ...]:
    """The arrays of a batch: inputs, and targets and weights if there are any.

    Raises
    ------
    DataError
        It is no batch, or has fewer parts than `least`.
    """
    if isinstance(item, (list, tuple)):
        parts = tuple(item)
    elif least == 1 and not isinstance(item, (str, bytes, Mapping)):
        parts = (item,)
    else:
        raise DataError(f"it is of type {type(item).__name__}. {_ADVICE}")
    if not least <= len(parts) <= 3:
        raise DataError(f"it has {len(parts)} parts. {_ADVICE}")
    return parts


def told(error: BaseException) -> str:
    """An error in one line: its class and the last line of its text, which may tell another's."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {shown(lines[-1].strip(), 300)}".rstrip(" :")


def numbered(
    source: Source,
    epoch: int,
    first: int,
    prepare: Callable[[Any, int], Any],
) -> Iterator[Any]:
    """The batches of an epoch, each as `prepare` gives it, given its number too.

    Raises
    ------
    DataError
        The source raised, or there were no batches, or fewer than the source said.
    NnfsError
        What `prepare` raised, with the number of the batch.
    """
    number = first
    seconds = 0.0
    walk: Iterator[Any] = iter(())
    try:
        while True:
            begin = perf_counter()
            try:
                walk = source.walk(epoch, first) if number == first else walk
                item = next(walk)
            except StopIteration:
                break
            except ArgumentError:
                raise
            except NnfsError as error:  # of a source of this package
                raise type(error)(f"{_place(number, epoch)}: {error}") from error
            except (Exception, SystemExit) as error:
                raise DataError(
                    f"the source of batches failed at {_place(number, epoch)}: {told(error)}"
                ) from error
            seconds += perf_counter() - begin
            source.seconds = seconds / (number - first + 1)
            try:
                prepared = prepare(item, number)
            except NnfsError as error:
                raise type(error)(f"{_place(number, epoch)}: {error}") from error
            yield prepared
            number += 1
    finally:
        with suppress(Exception):
            getattr(walk, "close", tuple)()
    if not number:
        again = ""
        if epoch:
            again = " It has to be walked anew in each epoch; a generator can be walked once only."
        raise DataError(f"the source gave no batch in epoch {epoch + 1}.{again}")
    if source.length is not None and number < source.length:
        raise DataError(
            f"the source of batches has {source.length} by its length, but ended after {number} "
            f"in epoch {epoch + 1}."
        )


def _place(number: int, epoch: int) -> str:
    return f"batch {number + 1} of epoch {epoch + 1}"
