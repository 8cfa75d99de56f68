"""Batches on the device: gathered there where the data set fits, else moved one by one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from nnfs_xp._finite import cast
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, get_backend, to_numpy
from nnfs_xp.data.scaled import Scaled
from nnfs_xp.data.sparse import SparseRows, is_sparse

_SHARE = 0.5
"""The share of the free device memory that a data set may take."""


def place(a: Any, backend: Backend, dtype: str | None = None) -> Any:
    """The array on the device if it fits there, else as a NumPy array; cast either way.

    A sparse matrix becomes `SparseRows`. `Scaled` samples stay so in the host's memory alone.
    """
    if isinstance(a, SparseRows):
        return a
    if is_sparse(a):
        return SparseRows(a, dtype, stays_sparse=backend.takes_sparse)
    memory = backend.memory()
    if isinstance(a, Scaled):
        a = a.of_dtype(dtype)
        if memory is None and backend.owns(a[:0]):
            return a
    if memory is None or backend.owns(a):
        return cast(backend, a, dtype)
    host = to_numpy(a)
    if dtype is not None:
        host = to_numpy(cast(get_backend("numpy"), host, dtype))
    return backend.asarray(host) if host.nbytes <= _SHARE * memory.free else host


def own_copies(batch: tuple[Any, ...], backend: Backend) -> tuple[Any, ...]:
    """The batch in arrays that nothing else uses.

    For what gave the batch may use its arrays again for the next one.
    """
    return tuple(
        part.copy()
        if isinstance(part, np.ndarray)
        else backend.xp.asarray(part, copy=True)
        if backend.owns(part)
        else part
        for part in batch
    )


def _all_rows(n: int) -> slice:
    return slice(0, n)


def batches_of(
    arrays: tuple[Any, ...],
    backend: Backend,
    batch_size: int,
    order: np.ndarray[Any, Any] | None = None,
    start: int = 0,
    held: int = 1,
    rows_of: Callable[[int], slice] = _all_rows,
) -> Generator[tuple[Array, ...], None, None]:
    """The samples of all arrays in batches on the device; the last may be smaller.

    Parameters
    ----------
    arrays : tuple of array or Rows, each of n samples
        From `place`.
    backend : Backend
    batch_size : int
    order : ndarray of int, shape (n,), optional
        The order to take the samples in; by default as they are.
    start : int
        How many batches to leave out at the start.
    held : int
        How many batches are asked for before any of them is worked on.
    rows_of : callable (n) -> slice, optional
        Which rows of a batch of n to take; a batch without any is left out. By default all.
    """
    xp = backend.xp
    n = arrays[0].shape[0]
    parts = []
    for first in range(start * batch_size, n, batch_size):
        rows = rows_of(min(batch_size, n - first))
        if rows.start < rows.stop:
            parts.append(slice(first + rows.start, first + rows.stop))
    indices = None if order is None else backend.asarray(order)
    far = tuple(array for array in arrays if not backend.owns(array))
    places = parts if order is None else (order[part] for part in parts)
    coming = backend.streamed((tuple(array[part] for array in far) for part in places), held)
    for part in parts:
        arrived = iter(next(coming) if far else ())
        batch = []
        for array in arrays:
            if not backend.owns(array):
                batch.append(next(arrived))
            elif indices is None:
                batch.append(array[part, ...])
            else:
                batch.append(xp.take(array, indices[part], axis=0))
        yield tuple(batch)
