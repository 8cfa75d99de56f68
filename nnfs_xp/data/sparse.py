"""Sparse samples, a batch at a time."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from nnfs_xp.backend import SparseArray
from nnfs_xp.data.rows import Rows
from nnfs_xp.errors import DTypeError, ShapeError

_SHARE = 1 / 50
"""Of all values, those that are stored: where more are, products of dense arrays are as fast."""

_FEW = 2**15
"""Values of a batch: where there are fewer, it is sooner made dense than multiplied sparse."""


class SparseRows(Rows):
    """A SciPy sparse matrix that gives the rows asked for.

    Parameters
    ----------
    matrix : SciPy sparse matrix or array, shape (n, features)
    dtype : str, optional
        The data type of what it gives; by default that of the matrix.
    stays_sparse : bool
        Whether that may be a `SparseArray`, where a batch has many values and few are stored. Else
        it is a dense array.

    Raises
    ------
    DTypeError, ShapeError
        It holds no real numbers, or has more axes.
    """

    def __init__(
        self, matrix: Any, dtype: str | None = None, *, stays_sparse: bool = False
    ) -> None:
        if matrix.dtype.kind not in "biuf":
            raise DTypeError(f"expected real numbers; got a sparse matrix of {matrix.dtype}.")
        if len(matrix.shape) > 2:
            raise ShapeError(
                f"a sparse matrix must have shape (samples, features); got {tuple(matrix.shape)}."
            )
        self._rows = matrix.tocsr()
        self.dtype = np.dtype(dtype or matrix.dtype)
        self.shape = tuple(matrix.shape)
        self.ndim = len(self.shape)
        is_sparse = self._rows.nnz <= _SHARE * self.shape[0] * self.shape[-1]
        self._stays_sparse = stays_sparse and is_sparse and self.ndim == 2

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, tuple):  # as in X[:10, ...]
            rows = rows[0]
        taken = self._rows[rows]
        if self._stays_sparse and prod(taken.shape) >= _FEW:
            return SparseArray(taken.astype(self.dtype, copy=False))
        dense: np.ndarray[Any, Any] = taken.toarray()
        return dense.astype(self.dtype, copy=False)

    @property
    def stored(self) -> np.ndarray[Any, Any]:
        """The values that the matrix stores: all but zeros."""
        with np.errstate(over="ignore"):  # checks for infinity come later
            values: np.ndarray[Any, Any] = self.uncast.astype(self.dtype, copy=False)
        return values

    @property
    def uncast(self) -> np.ndarray[Any, Any]:
        values: np.ndarray[Any, Any] = self._rows.data
        return values


def is_sparse(a: object) -> bool:
    """Whether it is a sparse matrix of SciPy, which need not be installed."""
    if type(a) is np.ndarray:  # asked for each batch, so answered at once
        return False
    return any(kind.__module__.startswith("scipy.sparse") for kind in type(a).__mro__)
