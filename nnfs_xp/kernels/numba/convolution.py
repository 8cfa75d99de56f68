"""Convolutions and pooling, a few lines of windows at a time, which the processor's cache holds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from math import ceil, prod
from typing import Any

import numpy as np

from nnfs_xp.kernels.numba import pool, windows
from nnfs_xp.kernels.numba.products import PoolThreads, SharedKernels, threads_of_pool
from nnfs_xp.kernels.numpy import Array
from nnfs_xp.kernels.standard.windows import Window
from nnfs_xp.kernels.threads import LEAST_PRODUCT, numpys_blas

_log = logging.getLogger("nnfs_xp")

_ROOM = 2**18
"""Bytes of patches that are worked on at once: they stay in the processor's second cache."""

_LEAST_ROWS = 128
"""Rows of a product at least, where there are so many: fewer are not worth a call of the BLAS."""

_LEAST_POOLED = 2**18
"""Numbers that windows see that are worth a second thread."""


class ConvolutionKernels(SharedKernels):
    """Convolutions of one group, and the largest numbers of windows."""

    def convolve(
        self,
        xp: Any,
        inputs: Array,
        weights: Array,
        biases: Array | None,
        window: Window,
        relu: bool = False,
    ) -> Array:
        others = (weights,) if biases is None else (weights, biases)
        job = _of_products(windows.CONVOLVE, window, inputs, *others)
        if job is None or weights.shape[2] != inputs.shape[3]:
            return super().convolve(xp, inputs, weights, biases, window, relu)
        output = np.empty((*job.windows, weights.shape[3]), inputs.dtype)
        job.by_lines(inputs=inputs, weights=weights, biases=biases, output=output, flag=relu)
        return output

    def convolve_gradients(
        self,
        xp: Any,
        inputs: Array,
        dvalues: Array,
        dweights: Array,
        dbiases: Array | None,
        window: Window,
    ) -> None:
        job = _of_products(windows.GRADIENTS, window, inputs, dweights, dvalues)
        if job is None or dweights.shape[2] != inputs.shape[3]:
            super().convolve_gradients(xp, inputs, dvalues, dweights, dbiases, window)
            return
        # Each part has a matrix of its own, and below it a row for the biases.
        sums = np.empty((job.n_parts, job.n_weights + 1, dvalues.shape[3]), inputs.dtype)
        flag = dbiases is not None
        job.by_lines(inputs=inputs, weights=sums, biases=None, output=dvalues, flag=flag)
        matrix = dweights.reshape(job.n_weights, -1)
        np.add.reduce(sums[:, :-1, :], axis=0, out=matrix)
        if dbiases is not None:
            np.add.reduce(sums[:, -1:, :], axis=0, out=dbiases)

    def convolve_backward(
        self,
        xp: Any,
        dvalues: Array,
        weights: Array,
        window: Window,
        shape: tuple[int, ...],
    ) -> Array:
        dinputs = np.empty(shape, dvalues.dtype)
        job = _of_products(windows.BACKWARD, window, dinputs, weights, dvalues)
        if job is None or weights.shape[2] != shape[3]:
            return super().convolve_backward(xp, dvalues, weights, window, shape)
        job.by_pictures(inputs=dinputs, weights=weights, biases=None, output=dvalues)
        return dinputs

    def max_pool(self, xp: Any, inputs: Array, window: Window) -> tuple[Array, Array]:
        job = _of_pooling(windows.MAX_POOL, window, inputs)
        if job is None:
            return super().max_pool(xp, inputs, window)
        output = np.empty((*job.windows, inputs.shape[3]), inputs.dtype)
        which = np.empty(output.shape, np.uint8)
        job.by_lines(inputs=inputs, output=output, which=which)
        return output, which

    def max_pool_backward(
        self, xp: Any, dvalues: Array, which: Array, window: Window, shape: tuple[int, ...]
    ) -> Array:
        dinputs = np.empty(shape, dvalues.dtype)
        job = _of_pooling(windows.MAX_POOL_BACKWARD, window, dinputs, dvalues)
        if job is None or which.dtype != np.uint8 or not which.flags.c_contiguous:
            return super().max_pool_backward(xp, dvalues, which, window, shape)
        job.by_pictures(inputs=dinputs, output=dvalues, which=which)
        return dinputs


class _Job:
    """What one of the functions of `nnfs_xp.kernels.numba.windows` is to do.

    Parameters
    ----------
    worker : compiled function
    window : Window
    like : array
        Pictures of the shape and data type that windows look at.
    n_filters : int
    n_weights : int
        Of each filter; 0 where there are no products.
    n_parts : int
        At most.

    Attributes
    ----------
    windows : tuple of int
        Pictures, and windows of each from top to bottom and from left to right.
    """

    def __init__(
        self, worker: Any, window: Window, like: Array, n_filters: int, n_weights: int, n_parts: int
    ) -> None:
        n, height, width, channels = like.shape
        down, across = window.places(height, width)
        self.windows = n, down, across
        self.n_weights, self.n_parts = n_weights, n_parts
        self._worker = worker
        rows = max(_LEAST_ROWS, _ROOM // max(1, n_weights * like.itemsize))
        self._lines = min(max(1, rows // across), n * down)
        self._room = self._lines * across * n_weights * like.itemsize
        (top, _), (left, _) = window.padding
        self._numbers = np.zeros(windows.SIZE, np.int64)
        self._numbers[windows.N : windows.FLAG] = (
            *(n, height, width, channels, down, across, n_filters),
            *(*window.size, *window.strides, top, left, *window.dilation),
        )
        self._numbers[windows.N_BYTES] = like.itemsize

    def by_lines(self, **arrays: Any) -> None:
        """Do it, each part some lines of windows."""
        n, down, _ = self.windows
        self._run(n * down, **arrays)

    def by_pictures(self, **arrays: Any) -> None:
        """Do it, each part some pictures."""
        self._run(self.windows[0], **arrays)

    def _run(
        self,
        size: int,
        *,
        inputs: Array,
        output: Array,
        weights: Array | None = None,
        biases: Array | None = None,
        which: Array | None = None,
        flag: bool = False,
    ) -> None:
        room = np.empty(self.n_parts * self._room, np.uint8)
        numbers = self._numbers
        numbers[windows.STEP] = ceil(size / self.n_parts)
        numbers[windows.FLAG] = flag
        places = [0 if each is None else each.ctypes.data for each in (weights, biases)]
        numbers[windows.INPUTS : windows.ROOM] = (
            *(inputs.ctypes.data, *places, output.ctypes.data),
            0 if which is None else which.ctypes.data,
        )
        numbers[windows.ROOM :] = room.ctypes.data, self._room, self._lines, numbers[-1]
        threads = PoolThreads.at_work
        if threads is not None and self.n_parts > 1:
            job = np.array([self._worker.address, numbers.ctypes.data])
            threads.share(pool.CALL, job, self.n_parts)
        else:
            for part in range(self.n_parts):
                self._worker.ctypes(numbers.ctypes.data, part)


def _of_products(worker: Any, window: Window, like: Array, weights: Array, *rows: Array) -> Any:
    """A job with products of patches; None where it is left to the standard."""
    n_weights, n_filters = prod(weights.shape[:3]), weights.shape[3]
    if window.is_pixel or not _suit(like, weights, *rows):
        return None
    work = prod(window.places(*like.shape[1:3])) * n_weights * n_filters
    return _job(worker, window, like, n_filters, n_weights, work, LEAST_PRODUCT)


def _of_pooling(worker: Any, window: Window, like: Array, *rows: Array) -> Any:
    """A job without products; None where it is left to the standard."""
    if prod(window.size) > 256 or not _suit(like, *rows):
        return None
    work = prod(window.places(*like.shape[1:3])) * prod(window.size) * like.shape[3]
    return _job(worker, window, like, 0, 0, work, _LEAST_POOLED)


def _job(
    worker: Any,
    window: Window,
    like: Array,
    n_filters: int,
    n_weights: int,
    work: int,
    least: int,
) -> _Job | None:
    compiled = _compiled(worker)
    if compiled is None:
        return None
    threads = threads_of_pool()
    most = threads.most if isinstance(threads, PoolThreads) else 1
    n_parts = min(most, 1 + work * like.shape[0] // least, like.shape[0])
    return _Job(compiled, window, like, n_filters, n_weights, n_parts)


@cache
def _compiled(worker: Callable[[int, int], None]) -> Any:
    """One of the functions of `windows`, compiled; None where it cannot be."""
    blas = numpys_blas()
    if blas is None or pool.link(blas) is None:
        return None
    try:
        return windows.compile_worker(worker)
    except Exception as error:  # Numba's and llvmlite's insides may change
        _log.warning("no compiled %s: %s: %s", worker.__name__, type(error).__name__, error)
        return None


def _suit(*arrays: Array) -> bool:
    """Whether compiled functions take these arrays."""
    dtype = arrays[0].dtype
    return dtype.char in "fd" and all(
        each.dtype == dtype and each.flags.c_contiguous and each.size for each in arrays
    )
