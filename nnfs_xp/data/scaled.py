"""Samples kept as narrow integers, made floats a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp._checks import check_range
from nnfs_xp.data.rows import Rows
from nnfs_xp.errors import DTypeError, ShapeError


class Scaled(Rows):
    """Whole numbers that are divided by one number as they are taken: images as bytes, say.

    `Trainer` takes it where it takes an array of samples, and makes the samples of a batch floats
    when the batch comes. So 60,000 images of 784 bytes take 47 MB, and not the 188 MB of float32.
    Where samples move to a GPU, they are made floats all at once.

    Parameters
    ----------
    array : ndarray of int or bool, shape (n, ...)
    divisor : float
        Above 0.
    dtype : str
        Of what is taken: by default ``"float32"``. A trainer asks for its model's.

    Raises
    ------
    DTypeError
        The array holds no whole numbers.
    ShapeError
        It has no axes.

    Examples
    --------
    >>> import numpy as np
    >>> import nnfs_xp as nn
    >>> images = nn.data.Scaled(np.array([[0, 51], [255, 102]], dtype="uint8"), 255)
    >>> images[:1]
    array([[0. , 0.2]], dtype=float32)
    """

    def __init__(self, array: Any, divisor: float = 1.0, dtype: str = "float32") -> None:
        array = np.asarray(array)
        if array.dtype.kind not in "bui":
            raise DTypeError(f"`array` must hold whole numbers; got {array.dtype}.")
        if not array.ndim:
            raise ShapeError("`array` must have an axis of samples; got a single number.")
        self._rows = array
        self.divisor = check_range("divisor", divisor, 0, open_low=True)
        self.dtype = np.dtype(dtype)
        self.shape = array.shape
        self.ndim = array.ndim

    def __repr__(self) -> str:
        return f"Scaled({self._rows.dtype} of shape {self.shape}, {self.divisor:g})"

    def __getitem__(self, rows: Any) -> np.ndarray[Any, Any]:
        by_number = isinstance(rows, np.ndarray) and rows.ndim == 1 and rows.dtype.kind in "ui"
        taken = np.take(self._rows, rows, axis=0) if by_number else self._rows[rows]
        found: np.ndarray[Any, Any] = taken.astype(self.dtype)
        if self.divisor != 1:
            found /= self.dtype.type(self.divisor)
        return found

    def of_dtype(self, dtype: str | None) -> Scaled:
        """The same samples, taken as another data type."""
        return self if dtype in (None, self.dtype) else Scaled(self._rows, self.divisor, dtype)

    def part(self, rows: np.ndarray[Any, Any]) -> Scaled:
        """The samples of these numbers, as `Scaled`."""
        return Scaled(self._rows[rows], self.divisor, self.dtype.name)

    def reshape(self, *shape: int) -> Scaled:
        """The same samples in another shape, as `Scaled`."""
        return Scaled(self._rows.reshape(*shape), self.divisor, self.dtype.name)
