"""Sparse samples, made dense a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp.data.rows import Rows
from nnfs_xp.errors import DTypeError


class SparseRows(Rows):
    """A SciPy sparse matrix that gives the rows asked for as dense arrays.

    Parameters
    ----------
    matrix : SciPy sparse matrix or array, shape (n, features)
    dtype : str, optional
        The data type of the dense arrays; by default that of the matrix.
    """

    def __init__(self, matrix: Any, dtype: str | None = None) -> None:
        if matrix.dtype.kind not in "biuf":
            raise DTypeError(f"expected real numbers; got a sparse matrix of {matrix.dtype}.")
        self._rows = matrix.tocsr()
        self.dtype = np.dtype(dtype or matrix.dtype)
        self.shape = tuple(matrix.shape)
        self.ndim = len(self.shape)

    def __getitem__(self, rows: Any) -> np.ndarray[Any, Any]:
        if isinstance(rows, tuple):  # as in X[:10, ...]
            rows = rows[0]
        dense: np.ndarray[Any, Any] = self._rows[rows].toarray()
        return dense.astype(self.dtype, copy=False)

    @property
    def stored(self) -> np.ndarray[Any, Any]:
        """The values that the matrix stores: all but zeros."""
        with np.errstate(over="ignore"):  # checks for infinity come later
            values: np.ndarray[Any, Any] = self._rows.data.astype(self.dtype, copy=False)
        return values


def is_sparse(a: object) -> bool:
    """Whether it is a sparse matrix of SciPy, which need not be installed."""
    return any(kind.__module__.startswith("scipy.sparse") for kind in type(a).__mro__)
