"""In which precision products of float32 are computed: as it is, or in TF32."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

_routines_linalg = SimpleNamespace(
    COMPUTE_TYPE_TBD=0,
    COMPUTE_TYPE_DEFAULT=1,
    COMPUTE_TYPE_PEDANTIC=2,
    COMPUTE_TYPE_FP16=3,
    COMPUTE_TYPE_FP32=4,
    COMPUTE_TYPE_FP64=5,
    COMPUTE_TYPE_BF16=6,
    COMPUTE_TYPE_TF32=7,
)
_compute_types: dict[np.dtype[Any], int] = {}


def get_compute_type(dtype: Any) -> int:
    return _compute_types.get(np.dtype(dtype), _routines_linalg.COMPUTE_TYPE_DEFAULT)


def set_compute_type(dtype: Any, compute_type: int) -> None:
    _compute_types[np.dtype(dtype)] = compute_type


def rounded_to_tf32(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The float32 numbers with 10 bits behind the point, ties to even."""
    bits = values.astype(np.float32).view(np.uint32)
    rounded = (bits + (0xFFF + (bits >> 13 & 1))) & np.uint32(0xFFFFE000)
    return np.where(np.isfinite(values), rounded, bits).astype(np.uint32).view(np.float32)


def operand(values: Any) -> Any:
    """What a product takes instead of this array."""
    tf32 = get_compute_type(np.float32) == _routines_linalg.COMPUTE_TYPE_TF32
    if tf32 and isinstance(values, np.ndarray) and values.dtype == np.float32:
        return rounded_to_tf32(values)
    return values
