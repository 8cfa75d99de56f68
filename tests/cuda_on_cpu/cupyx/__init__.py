"""What of CuPy's extras is used: pinned host memory."""

# ruff: noqa: ARG001 - parameters are those of CuPy

from __future__ import annotations

from typing import Any

import numpy as np
from cupy.cuda.memory import pinned_array

__all__ = ["empty_like_pinned", "empty_pinned", "zeros_like_pinned", "zeros_pinned"]


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray[Any, Any]:
    return pinned_array(shape, dtype, order)


def zeros_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray[Any, Any]:
    array = empty_pinned(shape, dtype, order)
    array[...] = 0
    return array


def empty_like_pinned(
    a: Any, dtype: Any = None, order: str = "K", subok: None = None, shape: Any = None
) -> np.ndarray[Any, Any]:
    return empty_pinned(a.shape if shape is None else shape, dtype or a.dtype)


def zeros_like_pinned(
    a: Any, dtype: Any = None, order: str = "K", subok: None = None, shape: Any = None
) -> np.ndarray[Any, Any]:
    return zeros_pinned(a.shape if shape is None else shape, dtype or a.dtype)
