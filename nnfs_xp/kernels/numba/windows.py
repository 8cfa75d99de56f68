"""Compiled work on pictures: what windows see, sums of it, and products with weights.

Each function here does a part of a job, some lines of windows or some pictures, and is told of it
by numbers: see `Place`. It is compiled when it is first asked for, as most networks need none of
them. The pool of threads calls it by its address.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import carray, cfunc, njit, types  # type: ignore[attr-defined] # it has carray

from nnfs_xp.kernels.numba.pool import (
    BY_ROWS,
    TRANSPOSED,
    WHOLE,
    multiply_add,
    pointer,
)

_log = logging.getLogger("nnfs_xp")

(
    STEP,
    N,
    HEIGHT,
    WIDTH,
    CHANNELS,
    DOWN,
    ACROSS,
    FILTERS,
    TAPS_DOWN,
    TAPS_ACROSS,
    STRIDE_DOWN,
    STRIDE_ACROSS,
    TOP,
    LEFT,
    DILATION_DOWN,
    DILATION_ACROSS,
    FLAG,
    INPUTS,
    WEIGHTS,
    BIASES,
    OUTPUT,
    WHICH,
    ROOM,
    ROOM_BYTES,
    LINES,
    N_BYTES,
) = range(26)
"""Where a job has what. STEP: pictures, or lines of windows, in a part. INPUTS to ROOM: addresses,
of BIASES and WHICH perhaps 0. ROOM_BYTES: of each part. LINES: of windows that are worked on at
once."""

SIZE = 26

_inline = njit(error_model="numpy", fastmath={"contract"})


@_inline
def _copy(source: Any, start: int, target: Any, place: int, size: int) -> None:
    for i in range(size):
        target[place + i] = source[start + i]


@_inline
def _clear(target: Any, place: int, size: int) -> None:
    for i in range(size):
        target[place + i] = 0


@_inline
def _add(source: Any, start: int, target: Any, place: int, size: int) -> None:
    for i in range(size):
        target[place + i] += source[start + i]


@_inline
def see(job: Any, inputs: Any, start: int, stop: int, patches: Any) -> None:
    """Write what the windows of these lines see, a row for each."""
    height, width, channels = job[HEIGHT], job[WIDTH], job[CHANNELS]
    taps, dilation = job[TAPS_ACROSS], job[DILATION_ACROSS]
    run = taps * channels
    at = 0
    for line in range(start, stop):
        picture, y = line // job[DOWN], line % job[DOWN]
        first_row = y * job[STRIDE_DOWN] - job[TOP]
        for x in range(job[ACROSS]):
            first = x * job[STRIDE_ACROSS] - job[LEFT]
            for i in range(job[TAPS_DOWN]):
                row = first_row + i * job[DILATION_DOWN]
                if row < 0 or row >= height:
                    _clear(patches, at, run)
                    at += run
                    continue
                place = (picture * height + row) * width
                if dilation == 1:
                    if first >= 0 and first + taps <= width:
                        _copy(inputs, (place + first) * channels, patches, at, run)
                    else:
                        left = min(max(-first, 0), taps)
                        right = max(min(taps, width - first), left)
                        _clear(patches, at, left * channels)
                        _copy(
                            inputs,
                            (place + first + left) * channels,
                            patches,
                            at + left * channels,
                            (right - left) * channels,
                        )
                        _clear(patches, at + right * channels, (taps - right) * channels)
                    at += run
                    continue
                for j in range(taps):
                    column = first + j * dilation
                    if column < 0 or column >= width:
                        _clear(patches, at, channels)
                    else:
                        _copy(inputs, (place + column) * channels, patches, at, channels)
                    at += channels


@_inline
def spread(job: Any, dpatches: Any, start: int, stop: int, dinputs: Any) -> None:
    """Add what these lines' windows give back to the pictures that they saw."""
    height, width, channels = job[HEIGHT], job[WIDTH], job[CHANNELS]
    taps, dilation = job[TAPS_ACROSS], job[DILATION_ACROSS]
    run = taps * channels
    at = 0
    for line in range(start, stop):
        picture, y = line // job[DOWN], line % job[DOWN]
        first_row = y * job[STRIDE_DOWN] - job[TOP]
        for x in range(job[ACROSS]):
            first = x * job[STRIDE_ACROSS] - job[LEFT]
            for i in range(job[TAPS_DOWN]):
                row = first_row + i * job[DILATION_DOWN]
                if 0 <= row < height:
                    place = (picture * height + row) * width
                    if dilation == 1:
                        left = min(max(-first, 0), taps)
                        right = max(min(taps, width - first), left)
                        _add(
                            dpatches,
                            at + left * channels,
                            dinputs,
                            (place + first + left) * channels,
                            (right - left) * channels,
                        )
                    else:
                        for j in range(taps):
                            column = first + j * dilation
                            if 0 <= column < width:
                                _add(
                                    dpatches,
                                    at + j * channels,
                                    dinputs,
                                    (place + column) * channels,
                                    channels,
                                )
                at += run


@_inline
def _array(kind: Any, address: int, size: int) -> Any:
    return carray(pointer(address), size, kind)


@_inline
def _pictures(job: Any) -> int:
    return job[N] * job[HEIGHT] * job[WIDTH] * job[CHANNELS]


@_inline
def _row(job: Any) -> int:
    """Numbers of a patch."""
    return job[TAPS_DOWN] * job[TAPS_ACROSS] * job[CHANNELS]


@_inline
def _lines_of(job: Any, part: int) -> tuple[int, int]:
    total = job[N] * job[DOWN]
    return min(part * job[STEP], total), min((part + 1) * job[STEP], total)


@_inline
def convolve(kind: Any, job: Any, part: int) -> None:
    """Some lines of a convolution's output."""
    n_bytes = job[N_BYTES]
    k, m, across = _row(job), job[FILTERS], job[ACROSS]
    room = job[ROOM] + part * job[ROOM_BYTES]
    patches = _array(kind, room, job[LINES] * across * k)
    inputs = _array(kind, job[INPUTS], _pictures(job))
    start, stop = _lines_of(job, part)
    for line in range(start, stop, job[LINES]):
        end = min(line + job[LINES], stop)
        see(job, inputs, line, end, patches)
        rows = (end - line) * across
        address = job[OUTPUT] + line * across * m * n_bytes
        multiply_add(n_bytes, WHOLE, WHOLE, rows, m, k, room, k, job[WEIGHTS], m, 0, address, m)
        output = _array(kind, address, rows * m)
        if job[BIASES] != 0:
            biases = _array(kind, job[BIASES], m)
            if job[FLAG]:
                for i in range(rows):
                    for j in range(m):
                        z = output[i * m + j] + biases[j]
                        output[i * m + j] = kind(0) if z < kind(0) else z
            else:
                for i in range(rows):
                    for j in range(m):
                        output[i * m + j] += biases[j]
        elif job[FLAG]:
            for i in range(rows * m):
                z = output[i]
                output[i] = kind(0) if z < kind(0) else z


@_inline
def gradients(kind: Any, job: Any, part: int) -> None:
    """The gradients of the weights and biases, from some lines, in a place of the part's own.

    OUTPUT has dvalues. WEIGHTS has a place for each part: a matrix of the weights' shape, and a row
    for the biases below.
    """
    n_bytes = job[N_BYTES]
    k, m, across = _row(job), job[FILTERS], job[ACROSS]
    room = job[ROOM] + part * job[ROOM_BYTES]
    patches = _array(kind, room, job[LINES] * across * k)
    inputs = _array(kind, job[INPUTS], _pictures(job))
    mine = job[WEIGHTS] + part * (k + 1) * m * n_bytes
    dbiases = _array(kind, mine + k * m * n_bytes, m)
    start, stop = _lines_of(job, part)
    _clear(dbiases, 0, m)
    if start == stop:
        _clear(_array(kind, mine, k * m), 0, k * m)
    past = 0
    for line in range(start, stop, job[LINES]):
        end = min(line + job[LINES], stop)
        see(job, inputs, line, end, patches)
        rows = (end - line) * across
        address = job[OUTPUT] + line * across * m * n_bytes
        multiply_add(n_bytes, TRANSPOSED, WHOLE, k, m, rows, room, k, address, m, past, mine, m)
        past = 1
        if job[FLAG]:
            dvalues = _array(kind, address, rows * m)
            for i in range(rows):
                _add(dvalues, i * m, dbiases, 0, m)


@_inline
def backward(kind: Any, job: Any, part: int) -> None:
    """The gradient of some pictures. OUTPUT has dvalues, INPUTS the place of dinputs."""
    n_bytes = job[N_BYTES]
    k, m, across, down = _row(job), job[FILTERS], job[ACROSS], job[DOWN]
    room = job[ROOM] + part * job[ROOM_BYTES]
    dpatches = _array(kind, room, job[LINES] * across * k)
    dinputs = _array(kind, job[INPUTS], _pictures(job))
    size = job[HEIGHT] * job[WIDTH] * job[CHANNELS]
    first, last = min(part * job[STEP], job[N]), min((part + 1) * job[STEP], job[N])
    _clear(dinputs, first * size, (last - first) * size)
    for line in range(first * down, last * down, job[LINES]):
        end = min(line + job[LINES], last * down)
        rows = (end - line) * across
        address = job[OUTPUT] + line * across * m * n_bytes
        multiply_add(
            n_bytes, WHOLE, TRANSPOSED, rows, k, m, address, m, job[WEIGHTS], m, 0, room, k
        )
        spread(job, dpatches, line, end, dinputs)


@_inline
def max_pool(kind: Any, job: Any, part: int) -> None:
    """The largest number that each window of some lines sees, and its tap."""
    channels, across = job[CHANNELS], job[ACROSS]
    inputs = _array(kind, job[INPUTS], _pictures(job))
    size = job[N] * job[DOWN] * across * channels
    output = _array(kind, job[OUTPUT], size)
    which = carray(pointer(job[WHICH]), size, np.uint8)
    lowest = kind(-np.inf)
    start, stop = _lines_of(job, part)
    for line in range(start, stop):
        picture, y = line // job[DOWN], line % job[DOWN]
        for x in range(across):
            at = (line * across + x) * channels
            for c in range(channels):
                output[at + c] = lowest
                which[at + c] = 0
            for i in range(job[TAPS_DOWN]):
                row = y * job[STRIDE_DOWN] - job[TOP] + i * job[DILATION_DOWN]
                if row < 0 or row >= job[HEIGHT]:
                    continue
                for j in range(job[TAPS_ACROSS]):
                    column = x * job[STRIDE_ACROSS] - job[LEFT] + j * job[DILATION_ACROSS]
                    if column < 0 or column >= job[WIDTH]:
                        continue
                    tap = np.uint8(i * job[TAPS_ACROSS] + j)
                    seen = ((picture * job[HEIGHT] + row) * job[WIDTH] + column) * channels
                    for c in range(channels):
                        value, most = inputs[seen + c], output[at + c]
                        larger = value > most or value != value  # noqa: PLR0124 # NaN is kept
                        output[at + c] = value if larger else most
                        which[at + c] = tap if larger else which[at + c]


@_inline
def max_pool_backward(kind: Any, job: Any, part: int) -> None:
    """The gradient of some pictures, of which each window saw its largest number at a tap."""
    channels, across, down = job[CHANNELS], job[ACROSS], job[DOWN]
    dinputs = _array(kind, job[INPUTS], _pictures(job))
    n_values = job[N] * down * across * channels
    dvalues = _array(kind, job[OUTPUT], n_values)
    which = carray(pointer(job[WHICH]), n_values, np.uint8)
    size = job[HEIGHT] * job[WIDTH] * channels
    first, last = min(part * job[STEP], job[N]), min((part + 1) * job[STEP], job[N])
    _clear(dinputs, first * size, (last - first) * size)
    for line in range(first * down, last * down):
        picture, y = line // down, line % down
        for x in range(across):
            at = (line * across + x) * channels
            for i in range(job[TAPS_DOWN]):
                row = y * job[STRIDE_DOWN] - job[TOP] + i * job[DILATION_DOWN]
                if row < 0 or row >= job[HEIGHT]:
                    continue
                for j in range(job[TAPS_ACROSS]):
                    column = x * job[STRIDE_ACROSS] - job[LEFT] + j * job[DILATION_ACROSS]
                    if column < 0 or column >= job[WIDTH]:
                        continue
                    tap = np.uint8(i * job[TAPS_ACROSS] + j)
                    seen = ((picture * job[HEIGHT] + row) * job[WIDTH] + column) * channels
                    for c in range(channels):
                        dinputs[seen + c] += dvalues[at + c] if which[at + c] == tap else kind(0)


def _convolve(numbers: int, part: int) -> None:
    job = carray(pointer(numbers), SIZE, np.int64)
    if job[N_BYTES] == 4:
        convolve(np.float32, job, part)
    else:
        convolve(np.float64, job, part)


def _gradients(numbers: int, part: int) -> None:
    job = carray(pointer(numbers), SIZE, np.int64)
    if job[N_BYTES] == 4:
        gradients(np.float32, job, part)
    else:
        gradients(np.float64, job, part)


def _backward(numbers: int, part: int) -> None:
    job = carray(pointer(numbers), SIZE, np.int64)
    if job[N_BYTES] == 4:
        backward(np.float32, job, part)
    else:
        backward(np.float64, job, part)


def _max_pool(numbers: int, part: int) -> None:
    job = carray(pointer(numbers), SIZE, np.int64)
    if job[N_BYTES] == 4:
        max_pool(np.float32, job, part)
    else:
        max_pool(np.float64, job, part)


def _max_pool_backward(numbers: int, part: int) -> None:
    job = carray(pointer(numbers), SIZE, np.int64)
    if job[N_BYTES] == 4:
        max_pool_backward(np.float32, job, part)
    else:
        max_pool_backward(np.float64, job, part)


CONVOLVE, GRADIENTS, BACKWARD = _convolve, _gradients, _backward
MAX_POOL, MAX_POOL_BACKWARD = _max_pool, _max_pool_backward
"""What a job can be: functions of the address of its numbers, and of a part's number."""


@cache
def compile_worker(worker: Callable[[int, int], None]) -> Any:
    """Compile one of these, or load it from the disk."""
    signature = types.void(types.int64, types.int64)
    options = {"error_model": "numpy", "fastmath": {"contract"}}
    try:
        return cfunc(signature, cache=True, **options)(worker)
    except Exception as error:  # the folder is read-only or full, or its files are damaged
        _log.debug("%s is not kept on the disk: %s", worker.__name__, error)
        return cfunc(signature, **options)(worker)
