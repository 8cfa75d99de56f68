"""Convolutions and pooling, a few lines of windows at a time, which the processor's cache holds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from math import ceil, prod
from typing import Any, NamedTuple

import numpy as np

from nnfs_xp.kernels.numba import pool, windows, winograd
from nnfs_xp.kernels.numba.products import PoolThreads, SharedKernels, threads_of_pool
from nnfs_xp.kernels.numpy import Array
from nnfs_xp.kernels.standard.windows import Window
from nnfs_xp.kernels.threads import LEAST_PRODUCT, numpys_blas

_log = logging.getLogger("nnfs_xp")

_ROOM = 2**17
"""Bytes of patches and output that are worked on at once: in the processor's second cache."""

_LEAST_ROWS = 128
"""Rows of a product at least, where there are so many: fewer are not worth a call of the BLAS."""

_LEAST_POOLED = 2**18
"""Numbers that windows see that are worth a second thread."""

_LEAST_CHANNELS = 16
"""Channels, and filters, from which on Winograd's fewer products are worth their sums."""


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
        way = _way_of(window, inputs, weights, *others)
        worker = None if way is None else _compiled(way.convolve, inputs.dtype)
        if way is None or worker is None:
            return super().convolve(xp, inputs, weights, biases, window, relu)
        shape = (inputs.shape[0], *window.places(*inputs.shape[1:3]), weights.shape[3])
        output = np.empty(shape, inputs.dtype)
        job = _Job(window, inputs, weights.shape[3], way)
        matrix = way.transformed(weights)
        job.run(worker, inputs, output, weights=matrix, biases=biases, flag=relu)
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
        way = _way_of(window, inputs, dweights, dvalues)
        worker = None if way is None else _compiled(way.gradients, inputs.dtype)
        if way is None or worker is None:
            super().convolve_gradients(xp, inputs, dvalues, dweights, dbiases, window)
            return
        # Each part has a matrix of its own, and below it a row for the biases.
        sums = np.empty((way.n_parts, way.n_rows + 1, dvalues.shape[3]), inputs.dtype)
        job = _Job(window, inputs, dvalues.shape[3], way)
        job.run(worker, inputs, dvalues, weights=sums, flag=dbiases is not None)
        way.write_back(np.add.reduce(sums[:, :-1, :], axis=0), dweights)
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
        way = _way_of(window, dinputs, weights, dvalues)
        worker = None if way is None else _compiled(way.backward, dvalues.dtype)
        if way is None or worker is None:
            return super().convolve_backward(xp, dvalues, weights, window, shape)
        job = _Job(window, dinputs, weights.shape[3], way._replace(lines_of_picture=1))
        job.run(worker, dinputs, dvalues, weights=way.transformed(weights))
        return dinputs

    def max_pool(self, xp: Any, inputs: Array, window: Window) -> tuple[Array, Array]:
        way = _way_of_pooling(window, inputs)
        worker = None if way is None else _compiled(windows.max_pool, inputs.dtype)
        if way is None or worker is None:
            return super().max_pool(xp, inputs, window)
        shape = (inputs.shape[0], *window.places(*inputs.shape[1:3]), inputs.shape[3])
        output, which = np.empty(shape, inputs.dtype), np.empty(shape, np.uint8)
        _Job(window, inputs, 0, way).run(worker, inputs, output, which=which)
        return output, which

    def max_pool_backward(
        self, xp: Any, dvalues: Array, which: Array, window: Window, shape: tuple[int, ...]
    ) -> Array:
        dinputs = np.empty(shape, dvalues.dtype)
        fits = which.dtype == np.uint8 and which.flags.c_contiguous
        way = _way_of_pooling(window, dinputs, dvalues) if fits else None
        worker = None if way is None else _compiled(windows.max_pool_backward, dvalues.dtype)
        if way is None or worker is None:
            return super().max_pool_backward(xp, dvalues, which, window, shape)
        job = _Job(window, dinputs, 0, way._replace(lines_of_picture=1))
        job.run(worker, dinputs, dvalues, which=which)
        return dinputs


class _Way(NamedTuple):
    """How something is worked out.

    Attributes
    ----------
    convolve, gradients, backward : function
        Of `windows` or `winograd`.
    transformed : callable (weights) -> array
        What they are told as the weights: matrices, of so many rows in all.
    write_back : callable (gradient of that, dweights)
    n_rows : int
    n_parts : int
        What threads share out.
    lines_of_picture : int
        In how many lines of a picture the parts are cut, 1 where they are cut in pictures.
    lines : int
        That are worked on at once.
    room : int
        Numbers that each part works in.
    """

    n_parts: int
    lines_of_picture: int
    convolve: Any = None
    gradients: Any = None
    backward: Any = None
    transformed: Any = None
    write_back: Any = None
    n_rows: int = 0
    lines: int = 1
    room: int = 0


def _way_of(window: Window, like: Array, weights: Array, *arrays: Array) -> _Way | None:
    """How a convolution of pictures like these is worked out; None where the standard does it."""
    down, across = window.places(*like.shape[1:3])
    n_weights, filters = prod(weights.shape[:3]), weights.shape[3]
    n, channels = like.shape[0], like.shape[3]
    if window.is_pixel or weights.shape[2] != channels or not _suit(like, weights, *arrays):
        return None
    n_parts = _parts(n, down * across * n_weights * filters, LEAST_PRODUCT)
    steps = window.size, window.strides, window.dilation
    if steps == ((3, 3), (1, 1), (1, 1)) and min(channels, filters) >= _LEAST_CHANNELS:
        tiles_down, tiles_across = ceil(down / 2), ceil(across / 2)
        lines = min(max(1, _LEAST_ROWS // tiles_across), n * tiles_down)
        room = winograd.numbers_of_room(
            lines * tiles_across, tiles_across, channels, filters, like.shape[2]
        )
        functions = winograd.convolve, winograd.gradients, winograd.backward
        changes = winograd.transformed, winograd.write_back
        return _Way(n_parts, tiles_down, *functions, *changes, 16 * channels, lines, room)
    rows = max(_LEAST_ROWS, _ROOM // ((n_weights + filters) * like.itemsize))
    lines = min(max(1, rows // across), n * down)
    functions = windows.convolve, windows.gradients, windows.backward
    room = lines * across * n_weights
    return _Way(n_parts, down, *functions, _as_they_are, _write, n_weights, lines, room)


def _as_they_are(weights: Array) -> Array:
    return weights


def _write(gradient: Array, dweights: Array) -> None:
    dweights[...] = gradient.reshape(dweights.shape)


def _way_of_pooling(window: Window, like: Array, *arrays: Array) -> _Way | None:
    if prod(window.size) > 256 or not _suit(like, *arrays):
        return None
    down, across = window.places(*like.shape[1:3])
    n_parts = _parts(
        like.shape[0], down * across * prod(window.size) * like.shape[3], _LEAST_POOLED
    )
    return _Way(n_parts, down)


def _parts(n: int, work: int, least: int) -> int:
    """Into how many parts something is cut: the same ones, however many threads take them."""
    threads = threads_of_pool()
    most = threads.most if isinstance(threads, PoolThreads) else 1
    return min(most, 1 + n * work // least, n)


class _Job:
    """What compiled functions are told: see `nnfs_xp.kernels.numba.windows`.

    Parameters
    ----------
    window : Window
    like : array
        Pictures of the shape and data type of those that windows look at.
    n_filters : int
    way : _Way
    """

    def __init__(self, window: Window, like: Array, n_filters: int, way: _Way) -> None:
        n, height, width, channels = like.shape
        down, across = window.places(height, width)
        (top, _), (left, _) = window.padding
        self._n_parts = way.n_parts
        self._room = np.empty(way.n_parts * way.room, like.dtype)
        self._numbers = numbers = np.zeros(windows.SIZE, np.int64)
        numbers[windows.STEP] = ceil(n * way.lines_of_picture / way.n_parts)
        numbers[windows.N : windows.FLAG] = (
            *(n, height, width, channels, down, across, n_filters),
            *(*window.size, *window.strides, top, left, *window.dilation),
        )
        numbers[windows.ROOM :] = (
            *(_place(self._room), way.room * like.itemsize),
            *(way.lines, like.itemsize),
        )

    def run(
        self,
        worker: Any,
        inputs: Array,
        output: Array,
        *,
        weights: Array | None = None,
        biases: Array | None = None,
        which: Array | None = None,
        flag: bool = False,
    ) -> None:
        """Have a compiled function do all parts."""
        numbers = self._numbers
        numbers[windows.FLAG] = flag
        numbers[windows.INPUTS : windows.ROOM] = [
            _place(each) for each in (inputs, weights, biases, output, which)
        ]
        threads = PoolThreads.at_work
        if threads is not None and self._n_parts > 1:
            job = np.array([worker.address, _place(numbers)])
            threads.share(pool.CALL, job, self._n_parts)
        else:
            for part in range(self._n_parts):
                worker.ctypes(None, _place(numbers), part)


def _place(array: Array | None) -> int:
    place: int = 0 if array is None else array.ctypes.data
    return place


@cache
def _compiled(worker: Callable[[Any, int, int], None], dtype: Any) -> Any:
    """A function of `windows` or `winograd`, compiled; None where it cannot be."""
    blas = numpys_blas()
    if dtype.char not in "fd" or blas is None or pool.link(blas) is None:
        return None
    try:
        return windows.compile_worker(worker, dtype.name)
    except Exception as error:  # Numba's and llvmlite's insides may change
        _log.warning("no compiled %s: %s: %s", worker.__name__, type(error).__name__, error)
        return None


def _suit(*arrays: Array) -> bool:
    """Whether compiled functions take these arrays."""
    dtype = arrays[0].dtype
    return dtype.char in "fd" and all(
        each.dtype == dtype and each.flags.c_contiguous and each.size for each in arrays
    )
