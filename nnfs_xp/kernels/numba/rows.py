"""Rows of numbers that one compiled function works through: calls without Python between them.

A row has an operation and what it is told: where arrays lie, and their shapes. Products of matrices
have the numbers that CBLAS is told, as `nnfs_xp.kernels.numba.pool.multiply` takes them.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import numpy as np
from numba import carray, njit, types  # type: ignore[attr-defined] # it has carray

from nnfs_xp.kernels.numba import layers, losses, pool
from nnfs_xp.kernels.numba.compilation import compile_once
from nnfs_xp.kernels.numba.pool import BY_COLUMNS, BY_ROWS
from nnfs_xp.kernels.numpy import Array
from nnfs_xp.kernels.threads import numpys_blas

_log = logging.getLogger("nnfs_xp")

PRODUCT, VECTOR, OUTER = range(3)
"""Operations of NumPy: products of two matrices, of a matrix and a vector, of two vectors."""

_ADD_BIAS, _BIAS_RELU, _RELU_BACKWARD, _RELU_BACKWARD_BIASES, _SUM_ROWS = range(3, 8)
_SHIFT, _CROSS_ENTROPY, _SQUARED_ERROR, _MEAN_LOSS = range(8, 12)
KERNELS = {
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

WIDTH = 16
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
        if operation == PRODUCT:
            pool.multiply(job, 0, job[5] if job[1] else job[6])
        elif operation == VECTOR:
            pool.multiply_by_vector(job)
        elif operation == OUTER:
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
def compiled_run(dtype: str) -> Any:
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


def told_of(*arguments: Any) -> list[int]:
    """What a row says of arguments: a number, or where an array lies and its shape."""
    told: list[int] = []
    for each in arguments:
        told += [place_of(each), *each.shape] if isinstance(each, np.ndarray) else [each]
    return told


def place_of(array: Array) -> int:
    """Where an array lies."""
    place: int = array.ctypes.data
    return place


def vector_job(matrix: Array, vector: Array, out: Array) -> list[int]:
    """What `multiply_by_vector` is told, the matrix by whichever axis its elements follow."""
    (m, n), n_bytes = matrix.shape, matrix.itemsize
    rows, columns = matrix.strides
    by_columns = columns == n_bytes and rows >= n * n_bytes
    order, step = (BY_COLUMNS, rows) if by_columns else (BY_ROWS, columns)
    job = [n_bytes, order, n, m, place_of(matrix), step // n_bytes, place_of(vector)]
    out_step = out.strides[0 if out.shape[1] == 1 else 1]
    return [*job, vector.strides[0] // n_bytes, place_of(out), out_step // n_bytes]
