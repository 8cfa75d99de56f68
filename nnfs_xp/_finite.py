"""Refuse values that are not finite, and those that only a data type makes so."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np

from nnfs_xp._typing import Array, DType
from nnfs_xp.backend import Backend, backend_of, is_array
from nnfs_xp.errors import DataError

_FEW = 4096
"""Values of which a mask is the fastest."""


def cast(backend: Backend, a: Any, dtype: DType) -> Array:
    """An array of the backend and data type, without a warning where that makes it infinite.

    For `check_finite` or `check_held` to look at.
    """
    if isinstance(a, np.ndarray) and isinstance(dtype, (str, np.dtype)) and a.dtype == dtype:
        return backend.asarray(a, dtype)  # nothing is cast
    with np.errstate(over="ignore"):
        return backend.asarray(a, dtype)


def check_finite(name: str, cast: Array, given: Any) -> None:
    """Refuse an array with NaN or infinity, or that got infinities by a cast.

    It reads the values, and so waits for the device.

    Parameters
    ----------
    name : str
        What messages call the array.
    cast : array
        After a cast to the model's data type.
    given : Any
        As it was before.

    Raises
    ------
    DataError
        The message tells NaN and infinity from what is too large for the data type.
    """
    if _is_finite(cast):
        return
    check_held(name, cast, given)
    raise DataError(f"`{name}` holds NaN or infinity. Remove or fill those samples.")


def check_held(name: str, cast: Array, given: Any) -> None:
    """Refuse an array that got infinities by a cast; NaN and infinity of its own may stay.

    Parameters and errors are those of `check_finite`.
    """
    given = given if is_array(given) else np.asarray(given)
    dtype = str(cast.dtype).rpartition(".")[2]
    narrowed = str(given.dtype).endswith("float64") and dtype != "float64"
    if not narrowed or _is_finite(cast) or not _is_finite(given):
        return
    xp = backend_of(given).xp
    raise DataError(
        f"`{name}` holds values up to {float(xp.max(xp.abs(given))):g} in size, more than {dtype} "
        "can hold. Scale them down, or build the model with dtype='float64'; an estimator takes "
        "samples of float64."
    )


def _is_finite(array: Array) -> bool:
    """Whether all values are: they are where their sum is, and else by the extremes.

    NaN and infinity reach both; a mask of all values would take memory, if there are many.
    """
    if isinstance(array, np.ndarray) and array.size <= _FEW:
        return bool(np.isfinite(array).all())
    xp = backend_of(array).xp
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(xp.sum(array))
    if isfinite(total):
        return True
    return isfinite(float(xp.min(array))) and isfinite(float(xp.max(array)))
