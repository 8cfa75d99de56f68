"""The backends that are known, by name, and the one that an array belongs to.

`Backend` itself asks here, so that no class of backends is named: `discovery` gives the types.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from nnfs_xp.backend.frames import (
    column_to_numpy,
    complaint_about_values,
    frame_to_numpy,
    is_column,
    is_frame,
)
from nnfs_xp.backend.sparse import SparseArray
from nnfs_xp.errors import BackendError, DTypeError

LOADERS: dict[str, Callable[[str], Any]] = {}
"""The libraries of this package, each with what loads it for a device; see `discovery`."""

REGISTERED: dict[str, Any] = {}
"""The backends of users, by name."""


def named(name: str) -> Any:
    """The backend of that name.

    Raises
    ------
    BackendError
        The name is unknown, or the library is not installed or not usable.
    """
    return REGISTERED[name] if name in REGISTERED else _loaded(name)


@functools.cache
def _loaded(name: str) -> Any:
    library, _, device = name.partition(":")
    if library not in LOADERS:
        known = ", ".join(LOADERS)
        raise BackendError(
            f"unknown backend {name!r}; known are auto, {known}, each with an optional device "
            "after a colon, as in 'torch:cuda' or 'cupy:1'."
        )
    return LOADERS[library](device)


def _registered_for(array: object) -> Any:
    for backend in REGISTERED.values():
        if backend.owns(array):
            return backend
    return None


def _library_of(array: object) -> str | None:
    library = type(array).__module__.partition(".")[0]
    return library if library in LOADERS and hasattr(array, "shape") else None


def backend_of(array: object) -> Any:
    """The backend that an array belongs to.

    Raises
    ------
    DTypeError
        The object is no array of a known library.
    """
    registered = _registered_for(array)
    if registered is not None:
        return registered
    if isinstance(array, (np.ndarray, np.generic, SparseArray)):
        return named("numpy")
    library = _library_of(array)
    if library is None:
        raise DTypeError(
            f"expected an array of {', '.join(LOADERS)}; got {type(array).__name__}. "
            "Convert it first, with numpy.asarray for example."
        )
    device = array.device  # type: ignore[attr-defined] # every array of these libraries has one
    if library == "cupy":
        return named(f"cupy:{device.id}" if device.id else "cupy")
    if library == "array_api_strict":
        label = str(device).rpartition("(")[2].strip("')")
        return named(library if label == "CPU_DEVICE" else f"{library}:{label}")
    return named("torch" if str(device) == "cpu" else f"torch:{device}")


def is_array(a: object) -> bool:
    """Whether it is an array of a backend, and not only something that can become one."""
    is_own = isinstance(a, (np.ndarray, SparseArray))
    return is_own or bool(_library_of(a) or _registered_for(a))


def to_numpy(a: Any) -> np.ndarray[Any, Any]:
    """The values of an array of any backend as a NumPy array, in shared memory where possible.

    Parameters
    ----------
    a : array of any backend, data frame or Series, or anything that `numpy.asarray` takes
        A frame's columns may be of several data types, if all hold numbers: what is missing
        becomes NaN.

    Raises
    ------
    DTypeError
        `a` holds no numbers: strings, objects, rows of different lengths. Of a frame, the message
        names the columns.
    """
    if _library_of(a) is not None or _registered_for(a) is not None:
        array: np.ndarray[Any, Any] = backend_of(a).to_numpy(a)
    else:
        convert = frame_to_numpy if is_frame(a) else column_to_numpy if is_column(a) else np.asarray
        try:
            array = convert(a)
        except DTypeError:
            raise
        except (ValueError, TypeError, RuntimeError) as error:
            raise DTypeError(f"cannot make an array of this {type(a).__name__}: {error}") from None
    if isinstance(a, np.ma.MaskedArray) and np.ma.is_masked(a):
        raise DTypeError("expected numbers; got a masked array. Fill or drop what is masked.")
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"expected numbers; got {complaint_about_values(a, array)}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
