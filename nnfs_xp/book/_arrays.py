"""What the book's code takes for granted: that anything like an array is one."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp._checks import check_dtype
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, backend_of, get_backend
from nnfs_xp.errors import DTypeError

_default = {"dtype": "float64"}


def init(
    dot_precision_workaround: bool = True,
    default_dtype: str = "float32",
    random_seed: int | None = 0,
) -> None:
    """Fix the seed and the data type, as ``nnfs.init()`` does in the book's scripts.

    It seeds NumPy's global random state, and makes layers that are built from now on hold
    `default_dtype`. Without this call they hold float64, as plain NumPy would. Nothing in NumPy
    is replaced; `dot_precision_workaround` is taken and not needed.
    """
    del dot_precision_workaround
    _default["dtype"] = check_dtype(default_dtype)
    if random_seed is not None:
        np.random.seed(random_seed)  # noqa: NPY002 # the state that the book's scripts share


def default_dtype() -> str:
    """The data type of layers and data sets, set by `init`."""
    return _default["dtype"]


def floating(a: Any, backend: Backend | None = None, dtype: str | None = None) -> Array:
    """An array of floats with the values of a list or an array of any backend.

    By default an array stays on its backend, a list becomes an array of NumPy, and floats keep
    their data type.
    """
    home = backend or home_of(a)
    array = home.asarray(a, dtype)
    if dtype is None and not home.is_floating(array.dtype):
        array = home.asarray(array, default_dtype())
    return array


def home_of(a: Any) -> Backend:
    """The backend of an array; NumPy's for a list."""
    try:
        return backend_of(a)
    except DTypeError:
        return get_backend("numpy")
