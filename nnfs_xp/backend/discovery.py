"""Which backends there are, and which one is meant."""

from __future__ import annotations

import functools
import importlib
import logging
import os
from collections.abc import Callable

from nnfs_xp.backend import libraries, registry
from nnfs_xp.backend.base import Backend
from nnfs_xp.backend.cupy import CupyBackend, load_cupy
from nnfs_xp.backend.registry import LOADERS
from nnfs_xp.errors import ArgumentError, BackendError

_log = logging.getLogger("nnfs_xp")
_log.addHandler(logging.NullHandler())

ENVIRONMENT = "NNFS_XP_BACKEND"

LOADERS.update(
    numpy=libraries.load_numpy,
    cupy=load_cupy,
    torch=libraries.load_torch,
    array_api_strict=libraries.load_array_api_strict,
)

# The registry knows no class of backends: here its functions get their types.
backend_of: Callable[[object], Backend] = registry.backend_of
_named: Callable[[str], Backend] = registry.named


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
    if backend.name.partition(":")[0] in (*LOADERS, "auto"):
        raise ArgumentError(f"the name {backend.name!r} is taken. Choose another.")
    registry.REGISTERED[backend.name] = backend


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
    for name in (*LOADERS, "torch:cuda", "torch:mps"):
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
    for name in (*LOADERS, "torch:cuda", "torch:mps"):
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
