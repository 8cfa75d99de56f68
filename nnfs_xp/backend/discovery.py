"""Which backends there are, which one is meant, and which one an array belongs to."""

from __future__ import annotations

import functools
import importlib
import logging
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from nnfs_xp.backend import libraries
from nnfs_xp.backend.base import Backend
from nnfs_xp.backend.cupy import CupyBackend, load_cupy
from nnfs_xp.errors import ArgumentError, BackendError, DTypeError

_log = logging.getLogger("nnfs_xp")
_log.addHandler(logging.NullHandler())

ENVIRONMENT = "NNFS_XP_BACKEND"

_LOADERS: dict[str, Callable[[str], Backend]] = {
    "numpy": libraries.load_numpy,
    "cupy": load_cupy,
    "torch": libraries.load_torch,
    "array_api_strict": libraries.load_array_api_strict,
}

_REGISTERED: dict[str, Backend] = {}


def register_backend(backend: Backend) -> None:
    """Make a backend of your own known: its name to `get_backend`, its arrays everywhere.

    Parameters
    ----------
    backend : Backend
        An instance of a subclass of yours, its name not one of the library's.

    Raises
    ------
    ArgumentError
        It is no backend, or has a name of the library's.
    """
    if not isinstance(backend, Backend):
        raise ArgumentError(f"`backend` must be a Backend object; got {backend!r}.")
    if backend.name.partition(":")[0] in (*_LOADERS, "auto"):
        raise ArgumentError(f"the name {backend.name!r} is taken. Choose another.")
    _REGISTERED[backend.name] = backend


def _named(name: str) -> Backend:
    return _REGISTERED[name] if name in _REGISTERED else _loaded(name)


@functools.cache
def _loaded(name: str) -> Backend:
    library, _, device = name.partition(":")
    if library not in _LOADERS:
        known = ", ".join(_LOADERS)
        raise BackendError(
            f"unknown backend {name!r}; known are auto, {known}, each with an optional device "
            "after a colon, as in 'torch:cuda' or 'cupy:1'."
        )
    return _LOADERS[library](device)


@functools.cache
def _automatic() -> Backend:
    try:
        chosen, reason = _named("cupy"), "a CUDA GPU is usable"
    except BackendError as error:
        chosen, reason = _named("numpy"), str(error)
    _log.info("backend auto: %s (%s)", chosen.name, reason)
    return chosen


def get_backend(backend: str | Backend = "auto") -> Backend:
    """The backend of that name.

    Parameters
    ----------
    backend : str or Backend
        ``"numpy"``, ``"cupy"``, ``"cupy:1"``, ``"torch"`` (CPU), ``"torch:cuda"``,
        ``"torch:mps"``, ``"array_api_strict"``; or ``"auto"``: what the environment variable
        ``NNFS_XP_BACKEND`` names, else CuPy where a GPU is usable, else NumPy, with one log
        line that says why. A `Backend` is given back as it is.

    Raises
    ------
    BackendError
        The name is unknown, or the library is not installed or not usable.
    """
    if isinstance(backend, Backend):
        return backend
    if not isinstance(backend, str):
        raise BackendError(f"a backend is a name or a Backend; got {backend!r}.")
    if backend != "auto":
        return _named(backend)
    wanted = os.environ.get(ENVIRONMENT, "").strip()
    if wanted in ("", "auto"):
        return _automatic()
    try:
        return _named(wanted)
    except BackendError as error:
        raise BackendError(f"{ENVIRONMENT}={wanted}: {error}") from error


def available_backends() -> dict[str, str]:
    """What can run here: version and device of each backend, or why not and what to install.

    Returns
    -------
    dict of str to str
        For example ``{"numpy": "2.4.6, cpu", "cupy": "cupy is not installed; pip …"}``. The
        names of the usable ones alone: `usable_backends`.
    """
    answers = {}
    for name in (*_LOADERS, "torch:cuda", "torch:mps"):
        try:
            backend = _named(name)
        except BackendError as error:
            answers[name] = str(error)
            continue
        library = importlib.import_module(name.partition(":")[0])
        answers[name] = f"{library.__version__}, {_device_text(backend)}"
    return answers


def usable_backends() -> list[str]:
    """The names of the backends that can run here, NumPy first."""
    usable = []
    for name in (*_LOADERS, "torch:cuda", "torch:mps"):
        try:
            usable.append(_named(name).name)
        except BackendError:
            continue
    return usable


def _device_text(backend: Backend) -> str:
    if isinstance(backend, CupyBackend):
        properties = importlib.import_module("cupy").cuda.runtime.getDeviceProperties(
            backend.device.id
        )
        return f"cuda:{backend.device.id} ({properties['name'].decode()})"
    return str(backend.device)


def _registered_for(array: object) -> Backend | None:
    return next((backend for backend in _REGISTERED.values() if backend.owns(array)), None)


def _library_of(array: object) -> str | None:
    library = type(array).__module__.partition(".")[0]
    return library if library in _LOADERS else None


def backend_of(array: object) -> Backend:
    """The backend that an array belongs to.

    Raises
    ------
    DTypeError
        The object is no array of a known library.
    """
    registered = _registered_for(array)
    if registered is not None:
        return registered
    if isinstance(array, (np.ndarray, np.generic)):
        return _named("numpy")
    library = _library_of(array)
    if library is None:
        raise DTypeError(
            f"expected an array of {', '.join(_LOADERS)}; got {type(array).__name__}. "
            "Convert it first, with numpy.asarray for example."
        )
    device = array.device  # type: ignore[attr-defined] # every array of these libraries has one
    if library == "cupy":
        return _named(f"cupy:{device.id}" if device.id else "cupy")
    if library == "array_api_strict":
        label = str(device).rpartition("(")[2].strip("')")
        return _named(library if label == "CPU_DEVICE" else f"{library}:{label}")
    return _named("torch" if str(device) == "cpu" else f"torch:{device}")


def is_array(a: object) -> bool:
    """Whether it is an array of a backend, and not only something that can become one."""
    return isinstance(a, np.ndarray) or bool(_library_of(a) or _registered_for(a))


def to_numpy(a: Any) -> np.ndarray[Any, Any]:
    """The values of an array of any backend as a NumPy array, in shared memory where possible.

    Parameters
    ----------
    a : array of any backend, or anything that `numpy.asarray` takes

    Raises
    ------
    DTypeError
        `a` holds no numbers: strings, objects, rows of different lengths.
    """
    if _library_of(a) is not None or _registered_for(a) is not None:
        array = backend_of(a).to_numpy(a)
    else:
        try:
            array = np.asarray(a)
        except (ValueError, TypeError, RuntimeError) as error:
            raise DTypeError(f"cannot make an array of this {type(a).__name__}: {error}") from None
    if np.ma.is_masked(a):
        raise DTypeError("expected numbers; got a masked array. Fill or drop what is masked.")
    if array.dtype.kind not in "biuf":
        raise DTypeError(
            f"expected numbers; got {type(a).__name__} of dtype {array.dtype}. "
            "Encode strings and objects as numbers first."
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
