"""A batch of sparse samples, where an array of NumPy is expected."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


class SparseArray(NDArrayOperatorsMixin):
    """A SciPy sparse matrix as an array of the NumPy backend: products leave its zeros out.

    ``numpy.matmul`` with an array gives an array. Any other function of NumPy is given a dense
    copy; `as_dense` makes one to be used more often.

    Parameters
    ----------
    matrix : SciPy sparse matrix or array, shape (n, features), of floats

    Attributes
    ----------
    shape, ndim, dtype
        As those of an array.
    """

    ndim = 2

    def __init__(self, matrix: Any) -> None:
        self._matrix = matrix
        self.shape: tuple[int, ...] = tuple(matrix.shape)
        self.dtype: np.dtype[Any] = matrix.dtype

    @property
    def T(self) -> SparseArray:  # noqa: N802 # as arrays call it
        """The matrix transposed, in the same memory."""
        return SparseArray(self._matrix.T)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("a sparse array is made dense by copying it")
        return np.asarray(self._matrix.toarray(), dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if ufunc is np.matmul and method == "__call__" and not options.keys() - {"out"}:
            one, other = inputs
            if isinstance(one, SparseArray) and isinstance(other, np.ndarray) and other.ndim == 2:
                product = one._matrix @ other
                if "out" not in options:
                    return product
                (out,) = options["out"]
                out[...] = product
                return out
        return getattr(ufunc, method)(*map(as_dense, inputs), **options)


def as_dense(array: Any) -> Any:
    """The array itself, or a dense one with its values where it is sparse."""
    return np.asarray(array) if isinstance(array, SparseArray) else array
