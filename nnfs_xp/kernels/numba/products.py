"""What is shared out among the threads of a pool: products of matrices, and Adam's update."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cache
from math import ceil
from typing import Any, ClassVar

import numpy as np

from nnfs_xp.kernels.numba.compilation import recording
from nnfs_xp.kernels.numba.pool import (
    ADAM,
    PARTS,
    PRODUCT,
    TRANSPOSED,
    WHOLE,
    Compiled,
    Pool,
    compile_for,
)
from nnfs_xp.kernels.numpy import Array, NumPyKernels
from nnfs_xp.kernels.threads import (
    LEAST_PRODUCT,
    LEAST_UPDATE,
    Blas,
    Threads,
    threads_of_blas,
)

_log = logging.getLogger("nnfs_xp")

_ROWS, _COLUMNS, _NUMBERS = 12, 16, 16
"""A part has a multiple of so many rows, columns or numbers, which processors take together."""

_NO_NUMBERS = np.zeros(8)


class PoolThreads(Threads):
    """The threads of a pool of our own, on each of which the BLAS works alone.

    Parameters
    ----------
    blas : Blas
    compiled : Compiled

    Attributes
    ----------
    at_work : PoolThreads or None
        Of the class: what the kernels share out to at the moment.
    """

    keeps_bits = True
    at_work: ClassVar[PoolThreads | None] = None

    def __init__(self, blas: Blas, compiled: Compiled) -> None:
        super().__init__(blas)
        self.most = min(self.most, PARTS)
        self.address = compiled.address
        self._compiled = compiled
        self._pool: Pool | None = None
        self._process = 0

    def use(self) -> None:
        self.blas.number = 1
        PoolThreads.at_work = self

    def release(self) -> None:
        PoolThreads.at_work = None

    def share(self, kind: int, job: Array, n_parts: int, numbers: Array = _NO_NUMBERS) -> None:
        """Do a job of so many parts: see `nnfs_xp.kernels.numba.pool`."""
        if self._pool is None or self._process != os.getpid():  # forks have no threads but one
            self._pool, self._process = Pool(self._compiled, self.most), os.getpid()
        self._pool.share(kind, job, numbers, n_parts, self.number)


@cache
def threads_of_pool() -> Threads | None:
    """The threads of a pool where there can be one, else those of the BLAS."""
    threads = threads_of_blas()
    if threads is None or threads.most == 1 or threads.are_told:
        return threads
    try:
        compiled = compile_for(threads.blas)
    except Exception as error:  # Numba's and llvmlite's insides may change
        _log.warning("no pool of threads: %s: %s", type(error).__name__, error)
        return threads
    if compiled is None:
        return threads
    return PoolThreads(threads.blas, compiled)


def _step(size: int, unit: int, n_parts: int) -> int:
    """How much of something goes into each part but the last."""
    return unit * ceil(size / unit / n_parts)


class SharedKernels(NumPyKernels):
    """What is shared out while the pool is at work."""

    @property
    def threads(self) -> Threads | None:
        return threads_of_pool()

    def product(self, xp: Any, a: Array, b: Array) -> Array:
        pool = PoolThreads.at_work
        if pool is None or not are_shared(a, b):
            out = super().product(xp, a, b)
        else:
            out = np.empty((a.shape[0], b.shape[1]), a.dtype)
            _share_product(pool, a, b, out)
        _note_product(a, b, out)
        return out

    def matmul_into(self, xp: Any, a: Array, b: Array, out: Array) -> None:
        pool = PoolThreads.at_work
        if pool is None or not are_shared(a, b) or not _holds(out, a, b):
            super().matmul_into(xp, a, b, out)
        else:
            _share_product(pool, a, b, out)
        _note_product(a, b, out)

    def _shares_adam(self, arrays: tuple[Array, ...], numbers: tuple[float, ...]) -> bool:
        """Update by Adam, if that is shared out; return whether it was."""
        pool, values = PoolThreads.at_work, arrays[0]
        if pool is None or not _is_shared_update(*arrays):
            return False
        places = map(pool.address, arrays)
        n_parts = min(pool.most, 1 + values.size // LEAST_UPDATE)
        job = values.itemsize, values.size, _step(values.size, _NUMBERS, n_parts), *places
        pool.share(ADAM, np.array(job), n_parts, np.array(numbers))
        return True


def are_shared(a: Array, b: Array) -> bool:
    """Whether their product is worth sharing out, and can be."""
    if a.ndim != 2 or b.ndim != 2 or a.dtype != b.dtype or a.dtype.char not in "fd":
        return False
    (n, k), (others, m) = a.shape, b.shape
    if n * k * m < LEAST_PRODUCT or k != others or min(n, k, m) == 1:  # NumPy is good at vectors
        return False
    return all(
        isinstance(each, np.ndarray) and (each.flags.c_contiguous or each.flags.f_contiguous)
        for each in (a, b)
    )


def _holds(out: Array, a: Array, b: Array) -> bool:
    """Whether it is a place for their product."""
    if out.shape != (a.shape[0], b.shape[1]) or out.dtype != a.dtype:
        return False
    overlaps = np.may_share_memory(out, a) or np.may_share_memory(out, b)
    return bool(out.flags.c_contiguous) and not overlaps


def _share_product(threads: PoolThreads, a: Array, b: Array, out: Array) -> None:
    n_parts = parts_of_product(a, b, threads.most)
    job = job_of_product(a, b, out, n_parts, threads.address)
    threads.share(PRODUCT, np.array(job), n_parts)


def parts_of_product(a: Array, b: Array, most: int) -> int:
    """Into how many parts a product is cut."""
    size: int = a.size * b.shape[1]
    return min(most, 1 + size // LEAST_PRODUCT)


def job_of_product(
    a: Array, b: Array, out: Array, n_parts: int, address: Callable[[Array], int]
) -> tuple[int, ...]:
    """What `nnfs_xp.kernels.numba.pool.multiply` is told of a product of matrices."""
    (n, k), m = a.shape, b.shape[1]
    by_rows = n >= m
    step = _step(n, _ROWS, n_parts) if by_rows else _step(m, _COLUMNS, n_parts)
    (a_flag, a_row), (b_flag, b_row) = _placed(a), _placed(b)
    places = address(a), a_row, address(b), b_row, address(out), m
    return out.itemsize, by_rows, step, a_flag, b_flag, n, m, k, *places


def _note_product(a: Array, b: Array, out: Array) -> None:
    program = recording.get()
    if program is not None:
        program.note_product(a, b, out)


def _placed(matrix: Array) -> tuple[int, int]:
    """How CBLAS is told of a matrix: as it lies or transposed, and how long its rows are there."""
    if matrix.flags.c_contiguous:
        return WHOLE, matrix.shape[1]
    return TRANSPOSED, matrix.shape[0]


def _is_shared_update(values: Array, *others: Array) -> bool:
    return (
        values.size >= LEAST_UPDATE
        and values.dtype.char in "fd"
        and values.flags.c_contiguous
        and all(
            each.dtype == values.dtype and each.shape == values.shape and each.flags.c_contiguous
            for each in others
        )
    )
