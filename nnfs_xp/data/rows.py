"""Samples that become an array of floats when they are taken."""

from __future__ import annotations

from typing import Any

import numpy as np


class Rows:
    """Base of what holds samples in a form of its own, and gives those asked for as an array.

    Attributes
    ----------
    shape : tuple of int
        (n, ...), of all samples.
    ndim : int
    dtype : numpy.dtype
        Of the arrays that it gives.
    """

    shape: tuple[int, ...]
    ndim: int
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Any:
        raise NotImplementedError

    @property
    def stored(self) -> np.ndarray[Any, Any]:
        """The values that may not be finite, as they are given; by default there are none."""
        return np.asarray(self[:0])

    @property
    def uncast(self) -> np.ndarray[Any, Any]:
        """The same values, before they are cast to the data type."""
        return self.stored

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("samples are made an array by copying them")
        return np.asarray(self[:], dtype)
