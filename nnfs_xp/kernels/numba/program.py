"""Calls that are noted once and made again, most of them without Python between them.

A training step makes the same calls each time, on arrays of the same shapes. So they can be noted
while a step is made, with the arrays that they were made on, and made again on these arrays: as a
CUDA graph does on a GPU. Products of matrices and the kernels in `_KERNELS` become rows of
numbers, their operation and where their arrays lie, which one compiled function works through. Any
other call stays one of Python's.

What is not noted, an expression of NumPy between two kernels for example, is not made again. A
program is told what it may read: what is given, and the parameters. Where a call reads any other
array that no call before it has written, the program fails. What an expression changes in place is
not seen by that, so whoever notes a program compares what it gives with the calls themselves, too.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numba import carray, njit, types  # type: ignore[attr-defined] # it has carray

from nnfs_xp.kernels.numba import layers, losses, pool
from nnfs_xp.kernels.numba.compilation import Kernel, compile_once, constants, recording
from nnfs_xp.kernels.numba.pool import BY_COLUMNS, BY_ROWS
from nnfs_xp.kernels.numba.products import (
    PoolThreads,
    are_shared,
    job_of_product,
    parts_of_product,
    threads_of_pool,
)
from nnfs_xp.kernels.numpy import Array, product_of
from nnfs_xp.kernels.threads import numpys_blas

_log = logging.getLogger("nnfs_xp")

_PRODUCT, _VECTOR, _OUTER = range(3)
"""Operations of NumPy: products of two matrices, of a matrix and a vector, of two vectors."""

_ADD_BIAS, _BIAS_RELU, _RELU_BACKWARD, _RELU_BACKWARD_BIASES, _SUM_ROWS = range(3, 8)
_SHIFT, _CROSS_ENTROPY, _SQUARED_ERROR, _MEAN_LOSS = range(8, 12)
_KERNELS = {
    layers.add_bias: _ADD_BIAS,
    layers.bias_relu: _BIAS_RELU,
    layers.relu_backward: _RELU_BACKWARD,
    layers.relu_backward_biases: _RELU_BACKWARD_BIASES,
    layers.sum_rows: _SUM_ROWS,
    losses.shift: _SHIFT,
    losses.cross_entropy: _CROSS_ENTROPY,
    losses.squared_error: _SQUARED_ERROR,
    losses.mean_loss: _MEAN_LOSS,
}
"""The kernels that become rows, and the operation of each."""

_WIDTH = 16
"""Numbers in a row: the operation, and what it is told."""

_add_bias, _bias_relu = layers.add_bias.inner, layers.bias_relu.inner
_relu_backward, _sum_rows = layers.relu_backward.inner, layers.sum_rows.inner
_relu_backward_biases = layers.relu_backward_biases.inner
_shift, _cross_entropy = losses.shift.inner, losses.cross_entropy.inner
_squared_error, _mean_loss = losses.squared_error.inner, losses.mean_loss.inner


@njit()
def _flat(job: Any, at: int, like: Any) -> Any:
    return carray(pool.pointer(job[at]), job[at + 1], like.dtype)


@njit()
def _labels(job: Any, at: int) -> Any:
    return carray(pool.pointer(job[at]), job[at + 1], np.int64)


@njit()
def _matrix(job: Any, at: int, like: Any) -> Any:
    return carray(pool.pointer(job[at]), (job[at + 1], job[at + 2]), like.dtype)


@njit(error_model="numpy")
def _outer(a: Any, b: Any, out: Any) -> None:
    for i in range(a.size):
        for j in range(b.size):
            out[i, j] = a[i] * b[j]


def _run(rows: Any, start: int, stop: int, like: Any) -> None:
    """Work through these rows; floats are of the data type of `like`."""
    for i in range(start, stop):
        operation, job = rows[i, 0], rows[i, 1:]
        if operation == _PRODUCT:
            pool.multiply(job, 0, job[5] if job[1] else job[6])
        elif operation == _VECTOR:
            pool.multiply_by_vector(job)
        elif operation == _OUTER:
            _outer(_flat(job, 0, like), _flat(job, 2, like), _matrix(job, 4, like))
        elif operation == _ADD_BIAS:
            _add_bias(_matrix(job, 0, like), _matrix(job, 3, like))
        elif operation == _BIAS_RELU:
            _bias_relu(_matrix(job, 0, like), _matrix(job, 3, like))
        elif operation == _RELU_BACKWARD:
            _relu_backward(_matrix(job, 0, like), _matrix(job, 3, like), _matrix(job, 6, like))
        elif operation == _RELU_BACKWARD_BIASES:
            dvalues, output = _matrix(job, 0, like), _matrix(job, 3, like)
            dinputs, dbiases = _matrix(job, 6, like), _matrix(job, 9, like)
            _relu_backward_biases(dvalues, output, dinputs, dbiases)
        elif operation == _SUM_ROWS:
            _sum_rows(_matrix(job, 0, like), _matrix(job, 3, like))
        elif operation == _SHIFT:
            _shift(_matrix(job, 0, like), _matrix(job, 3, like))
        elif operation == _CROSS_ENTROPY:
            shifted, exponentials = _matrix(job, 0, like), _matrix(job, 3, like)
            _cross_entropy(shifted, exponentials, _labels(job, 6), _flat(job, 8, like))
        elif operation == _SQUARED_ERROR:
            y_pred, y_true = _matrix(job, 0, like), _matrix(job, 3, like)
            _squared_error(y_pred, y_true, _flat(job, 6, like), _matrix(job, 8, like))
        elif operation == _MEAN_LOSS:
            _mean_loss(_flat(job, 0, like), like.dtype.type(job[2]), _flat(job, 3, like))


@cache
def _compiled(dtype: str) -> Any:
    """`_run` for a data type; None where it cannot be compiled, or the BLAS not be linked."""
    blas = numpys_blas()
    real: Any = {"float32": types.float32, "float64": types.float64}.get(dtype)
    if real is None or blas is None:
        return None
    told = types.int64[:, ::1], types.int64, types.int64, types.Array(real, 1, "C")
    try:
        if pool.link(blas) is None:
            return None
        return compile_once(_run, told, nogil=True)
    except Exception as error:  # Numba's and llvmlite's insides may change
        _log.warning("no calls are noted: %s: %s", type(error).__name__, error)
        return None


def can_run(dtype: str) -> bool:
    """Whether there are programs for a data type; the first time, it is compiled or loaded."""
    return _compiled(dtype) is not None


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
        self._run = _compiled(dtype)
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
        told = self._run, self._rows.reshape(-1, _WIDTH), self._like
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
        if function in _KERNELS and self._note_kernel(function, arguments):
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
            self._note(_PRODUCT, job_of_product(a, b, out, 1, _where), a, b, out)
        elif is_plain and k == 1:
            self._note(_OUTER, _told(a.reshape(-1), b.reshape(-1), out), a, b, out)
        elif is_plain and (n == 1) != (m == 1):
            job = _vector_job(b.T, a.T, out) if n == 1 else _vector_job(a, b, out)
            self._note(_VECTOR, job, a, b, out)
        else:
            self.note(product_of(a, b), a, b, out=out)

    def _note_shared(self, a: Array, b: Array, out: Array) -> None:
        """Note a product that the threads of a pool share, if one is at work."""
        threads = threads_of_pool()
        n_parts = parts_of_product(a, b, threads.most) if isinstance(threads, PoolThreads) else 1
        self._end_rows()
        self._note(_PRODUCT, job_of_product(a, b, out, n_parts, _where), a, b, out)
        self._open = -1
        self._calls.append((_share, len(self._noted) - 1, n_parts))

    def _note_kernel(self, kernel: Kernel, arguments: tuple[Any, ...]) -> bool:
        """Note a kernel as a row, if its arguments are what a row can say."""
        arrays = [each for each in arguments if isinstance(each, np.ndarray)]
        others = [each for each in arguments if not isinstance(each, (np.ndarray, int))]
        if others or any(each.dtype not in (self._like.dtype, np.int64) for each in arrays):
            return False
        self._note(_KERNELS[kernel], _told(*arguments), *arrays, writes=kernel.writes)
        return True

    def _note(self, operation: int, told: Sequence[int], *arrays: Array, writes: int = 1) -> None:
        """Note a row; the last so many of its arrays are written whole."""
        row = [operation, *told]
        start = _WIDTH * len(self._noted)
        given = {_where(array): found for array in arrays if (found := self._place(array))}
        for column, number in enumerate(row):
            if number in given:
                self._places.append((start + column, *given[number]))
        self._take(arrays, writes)
        if self._open < 0:
            self._open = len(self._noted)
        self._noted.append(row + [0] * (_WIDTH - len(row)))

    def _end_rows(self) -> None:
        """Have the rows since the last call worked through in one."""
        if self._open >= 0:
            self._calls.append((_work_through, self._open, len(self._noted)))
            self._open = -1

    def _place(self, array: Array) -> tuple[int, int] | None:
        """In which given array an array lies, and how many bytes behind its start."""
        for number, given in enumerate(self._given):
            behind = _where(array) - _where(given)
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
            if self._place(array) is None and _where(array) not in self._arrays:
                self._arrays[_where(array)] = array
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


def _told(*arguments: Any) -> list[int]:
    """What a row says of arguments: a number, or where an array lies and its shape."""
    told: list[int] = []
    for each in arguments:
        told += [_where(each), *each.shape] if isinstance(each, np.ndarray) else [each]
    return told


def _address_of(like: Array) -> Callable[[Array], int]:
    """What says fastest where arrays like this one lie."""
    address: Callable[[Array], int] = pool.compile_address()
    fits = like.ndim in (1, 2) and like.dtype in (np.float32, np.float64, np.int64)
    return address if fits else _where


def _span(array: Array) -> tuple[int, int]:
    """Where an array of one piece begins and ends."""
    start = _where(array)
    return start, start + array.nbytes


def _where(array: Array) -> int:
    """Where an array lies."""
    place: int = array.ctypes.data
    return place


def _vector_job(matrix: Array, vector: Array, out: Array) -> list[int]:
    """What `multiply_by_vector` is told, the matrix by whichever axis its elements follow."""
    (m, n), n_bytes = matrix.shape, matrix.itemsize
    rows, columns = matrix.strides
    by_columns = columns == n_bytes and rows >= n * n_bytes
    order, step = (BY_COLUMNS, rows) if by_columns else (BY_ROWS, columns)
    job = [n_bytes, order, n, m, _where(matrix), step // n_bytes, _where(vector)]
    out_step = out.strides[0 if out.shape[1] == 1 else 1]
    return [*job, vector.strides[0] // n_bytes, _where(out), out_step // n_bytes]
