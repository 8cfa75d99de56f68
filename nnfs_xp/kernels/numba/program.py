"""Calls that are noted once and made again, most of them without Python between them.

A training step makes the same calls each time, on arrays of the same shapes. So they can be noted
while a step is made, with the arrays that they were made on, and made again on these arrays: as a
CUDA graph does on a GPU. Products of matrices and some kernels become rows of numbers, which one
compiled function works through: see `nnfs_xp.kernels.numba.rows`. Any other call stays one of
Python's.

What is not noted, an expression of NumPy between two kernels for example, is not made again. A
program is told what it may read: what is given, and the parameters. Where a call reads any other
array that no call before it has written, the program fails. What an expression changes in place is
not seen by that, so whoever notes a program compares what it gives with the calls themselves, too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from nnfs_xp.kernels.numba import pool
from nnfs_xp.kernels.numba.compilation import Kernel, constants, recording
from nnfs_xp.kernels.numba.products import (
    PoolThreads,
    are_shared,
    job_of_product,
    parts_of_product,
    threads_of_pool,
)
from nnfs_xp.kernels.numba.rows import (
    KERNELS,
    OUTER,
    PRODUCT,
    VECTOR,
    WIDTH,
    compiled_run,
    place_of,
    told_of,
    vector_job,
)
from nnfs_xp.kernels.numpy import Array, product_of


class _Part(NamedTuple):
    """A part of a given array, or a view of it."""

    number: int
    behind: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: Any

    def of(self, given: list[Array]) -> Array:
        """That part of the array that is given now."""
        return np.ndarray(self.shape, self.dtype, given[self.number], self.behind, self.strides)


class Program:
    """Calls as they were noted.

    Parameters
    ----------
    given : tuple of arrays
        What is another array each time: contiguous, of one shape and data type.
    read : tuple of arrays
        What else is read: the same arrays each time, whatever they hold then.
    dtype : str
        Of the floats.

    Attributes
    ----------
    n_bytes : int
        What the arrays take that it works in, those of parameters included.
    fails : bool
        Whether a call reads what is not known.
    """

    def __init__(self, given: tuple[Array, ...], read: tuple[Array, ...], dtype: str) -> None:
        self._given = given
        self._now: list[Array] = []  # those given at present
        self._known = [_span(array) for array in read]
        self._addresses = [_address_of(array) for array in given]
        self._sizes = [array.nbytes for array in given]
        self._like = np.zeros(1, dtype)
        self._run = compiled_run(dtype)
        self._noted: list[list[int]] = []
        self._places: list[tuple[int, int, int]] = []  # in the rows, given, and bytes behind it
        self._calls: list[Any] = []  # functions, or tuples: how to call which rows
        self._open = -1  # the first of the rows that no call has yet
        self._arrays: dict[int, Array] = {}
        self._begins: list[int] = []  # where these begin and end, those that touch joined
        self._ends: list[int] = []
        self._rows: Array = None  # made of what was noted
        self.n_bytes = 0
        self.fails = False

    @contextmanager
    def noting(self) -> Iterator[None]:
        """While it lasts, this thread's calls are noted."""
        try:
            recording.set(self)
            yield
        finally:
            recording.set(None)
            self._given = ()
        self._end_rows()
        self._rows = np.array(self._noted, np.int64).reshape(-1)
        for start, stop in sorted(map(_span, self._arrays.values())):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(stop, self._ends[-1])
            else:
                self._begins.append(start)
                self._ends.append(stop)
        told = self._run, self._rows.reshape(-1, WIDTH), self._like
        for place, call in enumerate(self._calls):
            if isinstance(call, tuple):
                self._calls[place] = partial(call[0], *call[1:], *told)

    def run(self, given: tuple[Array, ...]) -> bool:
        """Make the calls again, on these arrays in the place of those that were given.

        Returns False, and has done nothing, where one of these lies in an array that it works in.
        """
        starts = [find(array) for find, array in zip(self._addresses, given, strict=True)]
        for start, size in zip(starts, self._sizes, strict=True):
            behind = bisect_left(self._begins, start + size)
            if behind and self._ends[behind - 1] > start:
                return False
        for place, number, behind in self._places:
            self._rows[place] = starts[number] + behind
        self._now[:] = given
        for call in self._calls:
            call()
        self._now.clear()
        return True

    def note(self, function: Any, *arguments: Any, **out: Array) -> None:
        """Note a call of a kernel, or of a function of NumPy with the array that it writes to."""
        if function in KERNELS and self._note_kernel(function, arguments):
            return
        writes = function.writes if isinstance(function, Kernel) else 0
        if isinstance(function, Kernel):
            function = function.compiled_for(arguments[0].dtype)
        self._take([each for each in arguments if isinstance(each, np.ndarray)], writes)
        self._take([*out.values()], len(out))
        self._end_rows()
        call = partial(function, *arguments, **out)
        parts = [self._part(each) for each in arguments]
        if any(isinstance(part, _Part) for part in parts):
            call = partial(_call_on, self._now, function, parts, out)
        self._calls.append(call)

    def note_product(self, a: Array, b: Array, out: Array) -> None:
        """Note that a @ b was written to `out`."""
        is_plain = (
            a.ndim == b.ndim == out.ndim == 2
            and a.dtype == b.dtype == out.dtype == self._like.dtype
            and out.flags.c_contiguous
            and all(each.flags.c_contiguous or each.flags.f_contiguous for each in (a, b))
        )
        (n, m), k = out.shape if is_plain else (0, 0), a.shape[-1]
        if is_plain and are_shared(a, b):
            self._note_shared(a, b, out)
        elif min(n, m, k) > 1:
            self._note(PRODUCT, job_of_product(a, b, out, 1, place_of), a, b, out)
        elif is_plain and k == 1:
            self._note(OUTER, told_of(a.reshape(-1), b.reshape(-1), out), a, b, out)
        elif is_plain and (n == 1) != (m == 1):
            job = vector_job(b.T, a.T, out) if n == 1 else vector_job(a, b, out)
            self._note(VECTOR, job, a, b, out)
        else:
            self.note(product_of(a, b), a, b, out=out)

    def _note_shared(self, a: Array, b: Array, out: Array) -> None:
        """Note a product that the threads of a pool share, if one is at work."""
        threads = threads_of_pool()
        n_parts = parts_of_product(a, b, threads.most) if isinstance(threads, PoolThreads) else 1
        self._end_rows()
        self._note(PRODUCT, job_of_product(a, b, out, n_parts, place_of), a, b, out)
        self._open = -1
        self._calls.append((_share, len(self._noted) - 1, n_parts))

    def _note_kernel(self, kernel: Kernel, arguments: tuple[Any, ...]) -> bool:
        """Note a kernel as a row, if its arguments are what a row can say."""
        arrays = [each for each in arguments if isinstance(each, np.ndarray)]
        others = [each for each in arguments if not isinstance(each, (np.ndarray, int))]
        if others or any(each.dtype not in (self._like.dtype, np.int64) for each in arrays):
            return False
        self._note(KERNELS[kernel], told_of(*arguments), *arrays, writes=kernel.writes)
        return True

    def _note(self, operation: int, told: Sequence[int], *arrays: Array, writes: int = 1) -> None:
        """Note a row; the last so many of its arrays are written whole."""
        row = [operation, *told]
        start = WIDTH * len(self._noted)
        given = {place_of(array): found for array in arrays if (found := self._place(array))}
        for column, number in enumerate(row):
            if number in given:
                self._places.append((start + column, *given[number]))
        self._take(arrays, writes)
        if self._open < 0:
            self._open = len(self._noted)
        self._noted.append(row + [0] * (WIDTH - len(row)))

    def _end_rows(self) -> None:
        """Have the rows since the last call worked through in one."""
        if self._open >= 0:
            self._calls.append((_work_through, self._open, len(self._noted)))
            self._open = -1

    def _place(self, array: Array) -> tuple[int, int] | None:
        """In which given array an array lies, and how many bytes behind its start."""
        for number, given in enumerate(self._given):
            behind = place_of(array) - place_of(given)
            if 0 <= behind < given.nbytes:
                return number, behind
        return None

    def _part(self, argument: Any) -> Any:
        """What stands for an argument: the part of a given array that it is, or itself."""
        found = self._place(argument) if isinstance(argument, np.ndarray) else None
        if found is None:
            return argument
        return _Part(*found, argument.shape, argument.strides, argument.dtype)

    def _take(self, arrays: Sequence[Array], writes: int) -> None:
        """See that a call knows what it reads; note what it writes, the last so many arrays.

        All are kept, since nothing else may.
        """
        n_read = len(arrays) - writes
        for array in arrays[:n_read]:
            is_given = self._place(array) is not None
            if not is_given and id(array) not in constants and not self.knows(array):
                self.fails = True
        self._known += [_span(array) for array in arrays[n_read:]]
        for array in arrays:
            if self._place(array) is None and place_of(array) not in self._arrays:
                self._arrays[place_of(array)] = array
                self.n_bytes += array.nbytes

    def knows(self, array: Array) -> bool:
        """Whether an array lies within one that may be read, or that a call has written."""
        first, last = _span(array)
        return any(start <= first and last <= stop for start, stop in self._known)


def _call_on(given: list[Array], function: Any, parts: list[Any], out: dict[str, Array]) -> None:
    function(*[part.of(given) if isinstance(part, _Part) else part for part in parts], **out)


def _work_through(start: int, stop: int, run: Any, rows: Array, like: Array) -> None:
    run(rows, start, stop, like)


def _share(row: int, n_parts: int, run: Any, rows: Array, like: Array) -> None:
    """Have the pool at work share the product in a row, or have it made by the BLAS alone."""
    threads = PoolThreads.at_work
    if threads is None:
        run(rows, row, row + 1, like)
    else:
        threads.share(pool.PRODUCT, rows[row, 1:], n_parts)


def _address_of(like: Array) -> Callable[[Array], int]:
    """What says fastest where arrays like this one lie."""
    address: Callable[[Array], int] = pool.compile_address()
    fits = like.ndim in (1, 2) and like.dtype in (np.float32, np.float64, np.int64)
    return address if fits else place_of


def _span(array: Array) -> tuple[int, int]:
    """Where an array of one piece begins and ends."""
    start = place_of(array)
    return start, start + array.nbytes
