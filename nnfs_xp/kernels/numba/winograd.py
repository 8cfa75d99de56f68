"""Convolutions with windows of 3 x 3 by fewer multiplications, those of Winograd.

Four pixels of a filter's output, 2 x 2, follow from 4 x 4 pixels of the inputs by 16 products for
each channel, and not by 36:

    output = A.T @ (U * (B.T @ inputs @ B)) @ A, with U = G @ weights @ G.T,

where * is a product of numbers, summed over the channels: for each of the 16 places, a product of
two matrices, tiles by channels and channels by filters. A and B have only 0, 1 and -1, and G has
halves, so rounding is as in the sums of products themselves. Around an infinity there are NaN where
those would have infinities: a tile's sums have it with both signs. The gradients go back through
the same expression: with dM = A @ dvalues @ A.T for each tile,

    dweights = G.T @ (the sum over tiles of V.T @ dM) @ G, with V = B.T @ inputs @ B,
    dinputs = B @ (dM @ U.T) @ B.T, added up where tiles overlap.

Source: Lavin and Gray 2016, *Fast Algorithms for Convolutional Neural Networks*, section 4.1, the
algorithm F(2 x 2, 3 x 3).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp.kernels.numba.pool import TRANSPOSED, WHOLE, multiply_add
from nnfs_xp.kernels.numba.windows import (
    ACROSS,
    CHANNELS,
    DOWN,
    FILTERS,
    FLAG,
    HEIGHT,
    INPUTS,
    LEFT,
    LINES,
    N_BYTES,
    OUTPUT,
    ROOM,
    ROOM_BYTES,
    TOP,
    WEIGHTS,
    WIDTH,
    N,
    add,
    add_rows,
    array,
    clear,
    complete,
    copy,
    inline,
    job_at,
    kind_of,
    lines_of,
)
from nnfs_xp.kernels.numpy import Array

G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_G = np.kron(G, G)
"""G @ weights @ G.T as one product, of all taps' weights in a column."""


def transformed(weights: Array) -> Array:
    """U, shape (16, channels, filters)."""
    taps = weights.reshape(9, -1)
    return (_G.astype(weights.dtype) @ taps).reshape(16, *weights.shape[2:])


def write_back(transformed_gradient: Array, dweights: Array) -> None:
    """Write the gradient of the weights, given that of U."""
    du = transformed_gradient.reshape(16, -1)
    np.matmul(_G.T.astype(du.dtype), du, out=dweights.reshape(9, -1))


def numbers_of_room(tiles: int, across: int, channels: int, filters: int, width: int) -> int:
    """How many numbers a part works in: V, M, four lines and a line of zeros."""
    line = 2 * across + 2
    wider = max(channels, filters)
    return 16 * tiles * (channels + filters) + 4 * line * wider + max(width, line) * wider


@inline
def _difference(kind: Any, a: int, b: int, out: int, size: int) -> None:
    x, y, z = array(kind, a, size), array(kind, b, size), array(kind, out, size)
    for i in range(size):
        z[i] = x[i] - y[i]


@inline
def _total(kind: Any, a: int, b: int, out: int, size: int) -> None:
    x, y, z = array(kind, a, size), array(kind, b, size), array(kind, out, size)
    for i in range(size):
        z[i] = x[i] + y[i]


@inline
def _negative(kind: Any, a: int, out: int, size: int) -> None:
    x, z = array(kind, a, size), array(kind, out, size)
    for i in range(size):
        z[i] = -x[i]


@inline
def _take(kind: Any, a: int, out: int, size: int) -> None:
    x, z = array(kind, a, size), array(kind, out, size)
    for i in range(size):
        z[i] -= x[i]


@inline
def _three(kind: Any, a: int, b: int, c: int, out: int, size: int) -> None:
    """Write a + b + c."""
    x, y, z = array(kind, a, size), array(kind, b, size), array(kind, c, size)
    sums = array(kind, out, size)
    for i in range(size):
        sums[i] = x[i] + y[i] + z[i]


@inline
def _less_two(kind: Any, a: int, b: int, c: int, out: int, size: int) -> None:
    """Write a - b - c."""
    x, y, z = array(kind, a, size), array(kind, b, size), array(kind, c, size)
    sums = array(kind, out, size)
    for i in range(size):
        sums[i] = x[i] - y[i] - z[i]


@inline
def _add_mixed(kind: Any, a: int, b: int, c: int, out: int, size: int) -> None:
    """Add a + b - c."""
    x, y, z = array(kind, a, size), array(kind, b, size), array(kind, c, size)
    sums = array(kind, out, size)
    for i in range(size):
        sums[i] += x[i] + y[i] - z[i]


@inline
def _across(job: Any) -> int:
    """Tiles of a line."""
    tiles: int = (job[ACROSS] + 1) // 2
    return tiles


@inline
def _down(job: Any) -> int:
    """Lines of tiles of a picture."""
    lines: int = (job[DOWN] + 1) // 2
    return lines


@inline
def _places(job: Any, part: int) -> tuple[int, int, int, int]:
    """Where a part's V, M, lines and zeros are."""
    n_bytes, tiles = job[N_BYTES], job[LINES] * _across(job)
    v = job[ROOM] + part * job[ROOM_BYTES]
    m = v + 16 * tiles * job[CHANNELS] * n_bytes
    lines = m + 16 * tiles * job[FILTERS] * n_bytes
    wider = max(job[CHANNELS], job[FILTERS])
    return v, m, lines, lines + 4 * (2 * _across(job) + 2) * wider * n_bytes


@inline
def _clear_zeros(kind: Any, job: Any, zeros: int) -> None:
    wider = max(job[CHANNELS], job[FILTERS])
    clear(kind, zeros, max(job[WIDTH], 2 * _across(job) + 2) * wider)


@inline
def _seen(job: Any) -> tuple[int, int]:
    """The first column of a line of tiles that lies in the picture, and the first behind it."""
    columns = 2 * _across(job) + 2
    first = min(job[LEFT], columns)
    return first, max(min(columns, job[LEFT] + job[WIDTH]), first)


@inline
def _row(job: Any, picture: int, row: int, zeros: int) -> int:
    """Where a row of a picture lies; that of zeros for one beside it."""
    if row < 0 or row >= job[HEIGHT]:
        return zeros
    pixel = job[CHANNELS] * job[N_BYTES]
    place: int = job[INPUTS] + (picture * job[HEIGHT] + row) * job[WIDTH] * pixel
    return place


@inline
def _take_tiles(kind: Any, job: Any, start: int, stop: int, v: int, lines: int, zeros: int) -> None:
    """Write V = B.T @ inputs @ B of these lines of tiles."""
    channels, across = job[CHANNELS], _across(job)
    pixel, columns = channels * job[N_BYTES], 2 * across + 2
    first, last = _seen(job)
    size = (last - first) * channels
    start_column = (first - job[LEFT]) * pixel
    line_bytes = columns * pixel
    for i in range(4):
        clear(kind, lines + i * line_bytes, first * channels)
        clear(kind, lines + i * line_bytes + last * pixel, (columns - last) * channels)
    place_bytes = (stop - start) * across * pixel
    for line in range(start, stop):
        picture, top = line // _down(job), 2 * (line % _down(job)) - job[TOP]
        row_0 = _row(job, picture, top, zeros) + start_column
        row_1 = _row(job, picture, top + 1, zeros) + start_column
        row_2 = _row(job, picture, top + 2, zeros) + start_column
        row_3 = _row(job, picture, top + 3, zeros) + start_column
        inner = lines + first * pixel
        _difference(kind, row_0, row_2, inner, size)
        _total(kind, row_1, row_2, inner + line_bytes, size)
        _difference(kind, row_2, row_1, inner + 2 * line_bytes, size)
        _difference(kind, row_1, row_3, inner + 3 * line_bytes, size)
        for i in range(4):
            for x in range(across):
                seen = lines + i * line_bytes + 2 * x * pixel
                out = v + 4 * i * place_bytes + ((line - start) * across + x) * pixel
                _difference(kind, seen, seen + 2 * pixel, out, channels)
                out += place_bytes
                _total(kind, seen + pixel, seen + 2 * pixel, out, channels)
                out += place_bytes
                _difference(kind, seen + 2 * pixel, seen + pixel, out, channels)
                out += place_bytes
                _difference(kind, seen + pixel, seen + 3 * pixel, out, channels)


@inline
def _give_tiles(kind: Any, job: Any, start: int, stop: int, m: int) -> None:
    """Write the output of these lines of tiles, A.T @ M @ A. Writes to M."""
    n_bytes, filters, across = job[N_BYTES], job[FILTERS], _across(job)
    pixel = filters * n_bytes
    size = (stop - start) * across * filters
    place_bytes = size * n_bytes
    for j in range(4):
        place = m + j * place_bytes
        m_0, m_1 = array(kind, place, size), array(kind, place + 4 * place_bytes, size)
        m_2 = array(kind, place + 8 * place_bytes, size)
        m_3 = array(kind, place + 12 * place_bytes, size)
        for i in range(size):
            middle, other = m_1[i], m_2[i]
            m_0[i] += middle + other
            m_1[i] = middle - other - m_3[i]
    for line in range(start, stop):
        picture, y = line // _down(job), 2 * (line % _down(job))
        for i in range(min(2, job[DOWN] - y)):
            output = job[OUTPUT] + (picture * job[DOWN] + y + i) * job[ACROSS] * pixel
            for x in range(across):
                place = m + 4 * i * place_bytes + ((line - start) * across + x) * pixel
                s_1, s_2, s_3 = (
                    place + place_bytes,
                    place + 2 * place_bytes,
                    place + 3 * place_bytes,
                )
                _three(kind, place, s_1, s_2, output + 2 * x * pixel, filters)
                if 2 * x + 1 < job[ACROSS]:
                    _less_two(kind, s_1, s_2, s_3, output + (2 * x + 1) * pixel, filters)
            complete(kind, job, output, job[ACROSS])


@inline
def _take_gradients(
    kind: Any, job: Any, start: int, stop: int, m: int, lines: int, zeros: int
) -> None:
    """Write dM = A @ dvalues @ A.T of these lines of tiles."""
    n_bytes, filters, across = job[N_BYTES], job[FILTERS], _across(job)
    pixel = filters * n_bytes
    size, line_bytes = job[ACROSS] * filters, 2 * across * pixel
    place_bytes = (stop - start) * across * pixel
    if job[ACROSS] % 2:
        for i in range(4):
            clear(kind, lines + i * line_bytes + size * n_bytes, filters)
    for line in range(start, stop):
        picture, y = line // _down(job), 2 * (line % _down(job))
        row_0 = job[OUTPUT] + (picture * job[DOWN] + y) * size * n_bytes
        row_1 = row_0 + size * n_bytes if y + 1 < job[DOWN] else zeros
        copy(kind, row_0, lines, size)
        _total(kind, row_0, row_1, lines + line_bytes, size)
        _difference(kind, row_0, row_1, lines + 2 * line_bytes, size)
        _negative(kind, row_1, lines + 3 * line_bytes, size)
        for i in range(4):
            for x in range(across):
                left = lines + i * line_bytes + 2 * x * pixel
                out = m + 4 * i * place_bytes + ((line - start) * across + x) * pixel
                copy(kind, left, out, filters)
                _total(kind, left, left + pixel, out + place_bytes, filters)
                _difference(kind, left, left + pixel, out + 2 * place_bytes, filters)
                _negative(kind, left + pixel, out + 3 * place_bytes, filters)


@inline
def _spread_tiles(kind: Any, job: Any, start: int, stop: int, v: int, lines: int) -> None:
    """Add B @ dV @ B.T of these lines of tiles to the gradient of the pictures."""
    channels, across = job[CHANNELS], _across(job)
    pixel, columns = channels * job[N_BYTES], 2 * across + 2
    first, last = _seen(job)
    size, line_bytes = (last - first) * channels, columns * pixel
    place_bytes = (stop - start) * across * pixel
    row_bytes = job[WIDTH] * pixel
    for line in range(start, stop):
        clear(kind, lines, 4 * columns * channels)
        for i in range(4):
            for x in range(across):
                v_0 = v + 4 * i * place_bytes + ((line - start) * across + x) * pixel
                v_1, v_2, v_3 = v_0 + place_bytes, v_0 + 2 * place_bytes, v_0 + 3 * place_bytes
                out = lines + i * line_bytes + 2 * x * pixel
                add(kind, v_0, out, channels)
                _add_mixed(kind, v_1, v_3, v_2, out + pixel, channels)
                _add_mixed(kind, v_1, v_2, v_0, out + 2 * pixel, channels)
                _take(kind, v_3, out + 3 * pixel, channels)
        picture, top = line // _down(job), 2 * (line % _down(job)) - job[TOP]
        h_0 = lines + first * pixel
        h_1, h_2, h_3 = h_0 + line_bytes, h_0 + 2 * line_bytes, h_0 + 3 * line_bytes
        out = job[INPUTS] + (picture * job[HEIGHT] + top) * row_bytes + (first - job[LEFT]) * pixel
        if 0 <= top < job[HEIGHT]:
            add(kind, h_0, out, size)
        if 0 <= top + 1 < job[HEIGHT]:
            _add_mixed(kind, h_1, h_3, h_2, out + row_bytes, size)
        if 0 <= top + 2 < job[HEIGHT]:
            _add_mixed(kind, h_1, h_2, h_0, out + 2 * row_bytes, size)
        if 0 <= top + 3 < job[HEIGHT]:
            _take(kind, h_3, out + 3 * row_bytes, size)


def convolve(like: Any, numbers: int, part: int) -> None:
    """Some lines of tiles of a convolution's output. WEIGHTS has U."""
    kind, job = kind_of(like), job_at(numbers)
    n_bytes, c, f = job[N_BYTES], job[CHANNELS], job[FILTERS]
    v, m, lines, zeros = _places(job, part)
    _clear_zeros(kind, job, zeros)
    start, stop = lines_of(job, part, job[N] * _down(job))
    for line in range(start, stop, job[LINES]):
        end = min(line + job[LINES], stop)
        tiles = (end - line) * _across(job)
        _take_tiles(kind, job, line, end, v, lines, zeros)
        for place in range(16):
            v_of, m_of = v + place * tiles * c * n_bytes, m + place * tiles * f * n_bytes
            u_of = job[WEIGHTS] + place * c * f * n_bytes
            multiply_add(n_bytes, WHOLE, WHOLE, tiles, f, c, v_of, c, u_of, f, 0, m_of, f)
        _give_tiles(kind, job, line, end, m)


def gradients(like: Any, numbers: int, part: int) -> None:
    """The gradients of U and the biases, from some lines of tiles, in a place of the part's own.

    OUTPUT has dvalues. WEIGHTS has a place for each part: 16 matrices, and a row for the biases.
    """
    kind, job = kind_of(like), job_at(numbers)
    n_bytes, c, f = job[N_BYTES], job[CHANNELS], job[FILTERS]
    v, m, lines, zeros = _places(job, part)
    _clear_zeros(kind, job, zeros)
    du = job[WEIGHTS] + part * (16 * c + 1) * f * n_bytes
    dbiases = du + 16 * c * f * n_bytes
    clear(kind, dbiases, f)
    start, stop = lines_of(job, part, job[N] * _down(job))
    if start == stop:
        clear(kind, du, 16 * c * f)
    past = 0
    for line in range(start, stop, job[LINES]):
        end = min(line + job[LINES], stop)
        tiles = (end - line) * _across(job)
        _take_tiles(kind, job, line, end, v, lines, zeros)
        _take_gradients(kind, job, line, end, m, lines, zeros)
        for place in range(16):
            v_of, m_of = v + place * tiles * c * n_bytes, m + place * tiles * f * n_bytes
            u_of = du + place * c * f * n_bytes
            multiply_add(n_bytes, TRANSPOSED, WHOLE, c, f, tiles, v_of, c, m_of, f, past, u_of, f)
        past = 1
        if job[FLAG]:
            for each in range(line, end):
                picture, y = each // _down(job), 2 * (each % _down(job))
                row = job[OUTPUT] + (picture * job[DOWN] + y) * job[ACROSS] * f * n_bytes
                add_rows(kind, job, row, min(2, job[DOWN] - y) * job[ACROSS], dbiases)


def backward(like: Any, numbers: int, part: int) -> None:
    """The gradient of some pictures. OUTPUT has dvalues, INPUTS the place of dinputs."""
    kind, job = kind_of(like), job_at(numbers)
    n_bytes, c, f = job[N_BYTES], job[CHANNELS], job[FILTERS]
    v, m, lines, zeros = _places(job, part)
    _clear_zeros(kind, job, zeros)
    size = job[HEIGHT] * job[WIDTH] * c
    first, last = lines_of(job, part, job[N])
    clear(kind, job[INPUTS] + first * size * n_bytes, (last - first) * size)
    stop = last * _down(job)
    for line in range(first * _down(job), stop, job[LINES]):
        end = min(line + job[LINES], stop)
        tiles = (end - line) * _across(job)
        _take_gradients(kind, job, line, end, m, lines, zeros)
        for place in range(16):
            v_of, m_of = v + place * tiles * c * n_bytes, m + place * tiles * f * n_bytes
            u_of = job[WEIGHTS] + place * c * f * n_bytes
            multiply_add(n_bytes, WHOLE, TRANSPOSED, tiles, c, f, m_of, f, u_of, f, 0, v_of, c)
        _spread_tiles(kind, job, line, end, v, lines)
