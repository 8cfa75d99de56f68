"""Compiled work on pictures: what windows see, sums of it, and products with weights.

Each function here does a part of a job, some lines of windows or some pictures, and is told of it
by numbers. The functions without `inline`, of a pointer whose type says which floats there are, the
address of a job and a part's number, are compiled when they are first asked for, as most networks
need none of them. The pool of threads calls them by their addresses.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import carray, cfunc, njit, types  # type: ignore[attr-defined] # it has carray

from nnfs_xp.kernels.numba.pool import (
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

inline = njit(error_model="numpy", fastmath={"contract"})


@inline
def kind_of(like: Any) -> Any:
    """The type of the numbers at a pointer, which is never followed."""
    return carray(like, 1).dtype.type


@inline
def job_at(numbers: int) -> Any:
    """The job whose numbers lie at an address."""
    return carray(pointer(numbers), SIZE, np.int64)


@inline
def array(kind: Any, address: int, size: int) -> Any:
    """The numbers that lie at an address."""
    return carray(pointer(address), size, kind)


@inline
def copy(kind: Any, source: int, target: int, size: int) -> None:
    """Copy so many numbers from one address to another."""
    a, out = array(kind, source, size), array(kind, target, size)
    for i in range(size):
        out[i] = a[i]


@inline
def clear(kind: Any, target: int, size: int) -> None:
    """Write so many zeros."""
    out = array(kind, target, size)
    for i in range(size):
        out[i] = 0


@inline
def add(kind: Any, source: int, target: int, size: int) -> None:
    """Add so many numbers to others."""
    a, out = array(kind, source, size), array(kind, target, size)
    for i in range(size):
        out[i] += a[i]


@inline
def see(kind: Any, job: Any, start: int, stop: int, patches: int) -> None:
    """Write what the windows of these lines see, a row for each."""
    height, width, taps, dilation = job[HEIGHT], job[WIDTH], job[TAPS_ACROSS], job[DILATION_ACROSS]
    pixel = job[CHANNELS] * job[N_BYTES]
    channels = job[CHANNELS]
    at = patches
    for line in range(start, stop):
        picture, y = line // job[DOWN], line % job[DOWN]
        first_row = y * job[STRIDE_DOWN] - job[TOP]
        for x in range(job[ACROSS]):
            first = x * job[STRIDE_ACROSS] - job[LEFT]
            for i in range(job[TAPS_DOWN]):
                row = first_row + i * job[DILATION_DOWN]
                place = job[INPUTS] + (picture * height + row) * width * pixel
                if row < 0 or row >= height:
                    clear(kind, at, taps * channels)
                elif dilation == 1 and 0 <= first <= width - taps:
                    copy(kind, place + first * pixel, at, taps * channels)
                elif dilation == 1:
                    left = min(max(-first, 0), taps)
                    right = max(min(taps, width - first), left)
                    clear(kind, at, left * channels)
                    size = (right - left) * channels
                    copy(kind, place + (first + left) * pixel, at + left * pixel, size)
                    clear(kind, at + right * pixel, (taps - right) * channels)
                else:
                    for j in range(taps):
                        column = first + j * dilation
                        if column < 0 or column >= width:
                            clear(kind, at + j * pixel, channels)
                        else:
                            copy(kind, place + column * pixel, at + j * pixel, channels)
                at += taps * pixel


@inline
def spread(kind: Any, job: Any, start: int, stop: int, dpatches: int) -> None:
    """Add what these lines' windows give back to the pictures that they saw."""
    height, width, taps, dilation = job[HEIGHT], job[WIDTH], job[TAPS_ACROSS], job[DILATION_ACROSS]
    pixel = job[CHANNELS] * job[N_BYTES]
    channels = job[CHANNELS]
    at = dpatches
    for line in range(start, stop):
        picture, y = line // job[DOWN], line % job[DOWN]
        first_row = y * job[STRIDE_DOWN] - job[TOP]
        for x in range(job[ACROSS]):
            first = x * job[STRIDE_ACROSS] - job[LEFT]
            for i in range(job[TAPS_DOWN]):
                row = first_row + i * job[DILATION_DOWN]
                place = job[INPUTS] + (picture * height + row) * width * pixel
                if 0 <= row < height and dilation == 1:
                    left = min(max(-first, 0), taps)
                    right = max(min(taps, width - first), left)
                    size = (right - left) * channels
                    add(kind, at + left * pixel, place + (first + left) * pixel, size)
                elif 0 <= row < height:
                    for j in range(taps):
                        column = first + j * dilation
                        if 0 <= column < width:
                            add(kind, at + j * pixel, place + column * pixel, channels)
                at += taps * pixel


@inline
def complete(kind: Any, job: Any, output: int, rows: int) -> None:
    """Add the biases to these rows of the output, and make negative numbers 0, where it is asked.

    NaN stays.
    """
    m, zero = job[FILTERS], kind(0)
    if job[BIASES] != 0:
        biases = array(kind, job[BIASES], m)
        for i in range(rows):
            row = array(kind, output + i * m * job[N_BYTES], m)
            if job[FLAG]:
                for j in range(m):
                    z = row[j] + biases[j]
                    row[j] = zero if z < zero else z
            else:
                for j in range(m):
                    row[j] += biases[j]
    elif job[FLAG]:
        numbers = array(kind, output, rows * m)
        for i in range(rows * m):
            z = numbers[i]
            numbers[i] = zero if z < zero else z


@inline
def add_rows(kind: Any, job: Any, dvalues: int, rows: int, dbiases: int) -> None:
    """Add these rows to the gradient of the biases."""
    m = job[FILTERS]
    for i in range(rows):
        add(kind, dvalues + i * m * job[N_BYTES], dbiases, m)


@inline
def lines_of(job: Any, part: int, total: int) -> tuple[int, int]:
    """Where a part begins and ends."""
    return min(part * job[STEP], total), min((part + 1) * job[STEP], total)


@inline
def _row(job: Any) -> int:
    """Numbers of a patch."""
    numbers: int = job[TAPS_DOWN] * job[TAPS_ACROSS] * job[CHANNELS]
    return numbers


def convolve(like: Any, numbers: int, part: int) -> None:
    """Some lines of a convolution's output."""
    kind, job = kind_of(like), job_at(numbers)
    n_bytes, k, m, across = job[N_BYTES], _row(job), job[FILTERS], job[ACROSS]
    patches = job[ROOM] + part * job[ROOM_BYTES]
    start, stop = lines_of(job, part, job[N] * job[DOWN])
    for line in range(start, stop, job[LINES]):
        end = min(line + job[LINES], stop)
        rows, output = (end - line) * across, job[OUTPUT] + line * across * m * n_bytes
        see(kind, job, line, end, patches)
        weights = job[WEIGHTS]
        multiply_add(n_bytes, WHOLE, WHOLE, rows, m, k, patches, k, weights, m, 0, output, m)
        complete(kind, job, output, rows)


def gradients(like: Any, numbers: int, part: int) -> None:
    """The gradients of the weights and biases, from some lines, in a place of the part's own.

    OUTPUT has dvalues. WEIGHTS has a place for each part: a matrix of the weights' shape, and a row
    for the biases below.
    """
    kind, job = kind_of(like), job_at(numbers)
    n_bytes, k, m, across = job[N_BYTES], _row(job), job[FILTERS], job[ACROSS]
    patches = job[ROOM] + part * job[ROOM_BYTES]
    dweights = job[WEIGHTS] + part * (k + 1) * m * n_bytes
    dbiases = dweights + k * m * n_bytes
    start, stop = lines_of(job, part, job[N] * job[DOWN])
    clear(kind, dbiases, m)
    if start == stop:
        clear(kind, dweights, k * m)
    past = 0
    for line in range(start, stop, job[LINES]):
        end = min(line + job[LINES], stop)
        rows, dvalues = (end - line) * across, job[OUTPUT] + line * across * m * n_bytes
        see(kind, job, line, end, patches)
        multiply_add(
            n_bytes, TRANSPOSED, WHOLE, k, m, rows, patches, k, dvalues, m, past, dweights, m
        )
        past = 1
        if job[FLAG]:
            add_rows(kind, job, dvalues, rows, dbiases)


def backward(like: Any, numbers: int, part: int) -> None:
    """The gradient of some pictures. OUTPUT has dvalues, INPUTS the place of dinputs."""
    kind, job = kind_of(like), job_at(numbers)
    n_bytes, k, m = job[N_BYTES], _row(job), job[FILTERS]
    across, down = job[ACROSS], job[DOWN]
    dpatches = job[ROOM] + part * job[ROOM_BYTES]
    size = job[HEIGHT] * job[WIDTH] * job[CHANNELS]
    first, last = lines_of(job, part, job[N])
    clear(kind, job[INPUTS] + first * size * n_bytes, (last - first) * size)
    for line in range(first * down, last * down, job[LINES]):
        end = min(line + job[LINES], last * down)
        rows, dvalues = (end - line) * across, job[OUTPUT] + line * across * m * n_bytes
        weights = job[WEIGHTS]
        multiply_add(n_bytes, WHOLE, TRANSPOSED, rows, k, m, dvalues, m, weights, m, 0, dpatches, k)
        spread(kind, job, line, end, dpatches)


def max_pool(like: Any, numbers: int, part: int) -> None:
    """The largest number that each window of some lines sees, and its tap."""
    kind, job = kind_of(like), job_at(numbers)
    channels, pixel = job[CHANNELS], job[CHANNELS] * job[N_BYTES]
    lowest = kind(-np.inf)
    start, stop = lines_of(job, part, job[N] * job[DOWN])
    for line in range(start, stop):
        picture, y = line // job[DOWN], line % job[DOWN]
        for x in range(job[ACROSS]):
            at = line * job[ACROSS] + x
            output = array(kind, job[OUTPUT] + at * pixel, channels)
            which = array(np.uint8, job[WHICH] + at * channels, channels)
            for c in range(channels):
                output[c] = lowest
                which[c] = 0
            for i in range(job[TAPS_DOWN]):
                row = y * job[STRIDE_DOWN] - job[TOP] + i * job[DILATION_DOWN]
                if row < 0 or row >= job[HEIGHT]:
                    continue
                for j in range(job[TAPS_ACROSS]):
                    column = x * job[STRIDE_ACROSS] - job[LEFT] + j * job[DILATION_ACROSS]
                    if column < 0 or column >= job[WIDTH]:
                        continue
                    tap = np.uint8(i * job[TAPS_ACROSS] + j)
                    place = (picture * job[HEIGHT] + row) * job[WIDTH] + column
                    seen = array(kind, job[INPUTS] + place * pixel, channels)
                    for c in range(channels):
                        value, most = seen[c], output[c]
                        larger = value > most or value != value  # NaN is kept
                        output[c] = value if larger else most
                        which[c] = tap if larger else which[c]


def max_pool_backward(like: Any, numbers: int, part: int) -> None:
    """The gradient of some pictures, of which each window saw its largest number at a tap."""
    kind, job = kind_of(like), job_at(numbers)
    channels, pixel, down = job[CHANNELS], job[CHANNELS] * job[N_BYTES], job[DOWN]
    size = job[HEIGHT] * job[WIDTH] * channels
    first, last = lines_of(job, part, job[N])
    clear(kind, job[INPUTS] + first * size * job[N_BYTES], (last - first) * size)
    for line in range(first * down, last * down):
        picture, y = line // down, line % down
        for x in range(job[ACROSS]):
            at = line * job[ACROSS] + x
            dvalues = array(kind, job[OUTPUT] + at * pixel, channels)
            which = array(np.uint8, job[WHICH] + at * channels, channels)
            for i in range(job[TAPS_DOWN]):
                row = y * job[STRIDE_DOWN] - job[TOP] + i * job[DILATION_DOWN]
                if row < 0 or row >= job[HEIGHT]:
                    continue
                for j in range(job[TAPS_ACROSS]):
                    column = x * job[STRIDE_ACROSS] - job[LEFT] + j * job[DILATION_ACROSS]
                    if column < 0 or column >= job[WIDTH]:
                        continue
                    tap = np.uint8(i * job[TAPS_ACROSS] + j)
                    place = (picture * job[HEIGHT] + row) * job[WIDTH] + column
                    dseen = array(kind, job[INPUTS] + place * pixel, channels)
                    for c in range(channels):
                        dseen[c] += dvalues[c] if which[c] == tap else kind(0)


@cache
def compile_worker(worker: Callable[[Any, int, int], None], dtype: str) -> Any:
    """Compile one of these for a data type, or load it from the disk."""
    begin = time.perf_counter()
    pointer_to: Any = types.CPointer  # which has no types
    signature = types.void(pointer_to(getattr(types, dtype)), types.int64, types.int64)
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}
    try:
        found = cfunc(signature, cache=True, **options)(worker)
        is_new = not found.cache_hits
    except Exception as error:  # the folder is read-only or full, or its files are damaged
        _log.debug("%s is not kept on the disk: %s", worker.__name__, error)
        found, is_new = cfunc(signature, **options)(worker), True
    level = logging.INFO if is_new else logging.DEBUG
    seconds = time.perf_counter() - begin
    _log.log(level, "%s of pictures for %s ready in %.1f s", worker.__name__, dtype, seconds)
    return found
