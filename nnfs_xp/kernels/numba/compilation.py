"""Compiling: once for each data type, kept on the disk, never in the midst of a training step."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from numba import njit, types

from nnfs_xp.kernels import numpy

_log = logging.getLogger("nnfs_xp")

_TYPES: dict[str, Callable[[Any], Any]] = {
    "F": lambda F: F,
    "F1": lambda F: types.Array(F, 1, "C"),
    "F2": lambda F: types.Array(F, 2, "C"),
    "labels": lambda _: types.Array(types.int64, 1, "C"),
    "mask": lambda _: types.Array(types.boolean, 2, "C"),
    "int": lambda _: types.int64,
}
"""What the arguments of kernels are. F is a floating type, F1 and F2 contiguous arrays of it."""

_FLOATING = {"float32": types.float32, "float64": types.float64}

_kernels: list[tuple[Any, tuple[str, ...]]] = []
_prepared: set[str] = set()
_lock = threading.Lock()


def compiled(*signature: str, reorder: bool = False) -> Callable[[Callable[..., None]], Any]:
    """Make the function a kernel, to be compiled by `prepare`; it returns nothing.

    Called with other arguments than it was compiled for, arrays that are not contiguous for
    example, it raises TypeError and has written nothing: see `or_numpy`. It checks no index: its
    callers see that the shapes fit, as layers and losses do.

    Parameters
    ----------
    *signature : str
        Of the arguments, names in `_TYPES`.
    reorder : bool
        Whether sums may be taken in another order than written, several terms at a time, which
        makes them faster and more exact.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    options["fastmath"] = {"contract", "reassoc"} if reorder else {"contract"}

    def decorate(function: Callable[..., None]) -> Any:
        try:
            kernel = njit(cache=True, **options)(function)
        except RuntimeError:  # there is no folder that it may write to
            kernel = njit(**options)(function)
        _kernels.append((kernel, signature))
        return kernel

    return decorate


def prepare(dtype: str) -> None:
    """Compile all kernels for ``"float32"`` or ``"float64"``, or load them from the disk."""
    if dtype in _prepared or dtype not in _FLOATING:
        return
    with _lock:
        if dtype in _prepared:
            return
        begin, misses = time.perf_counter(), sum(map(_misses, _kernels))
        for kernel, signature in _kernels:
            kernel.disable_compile(False)
            kernel.compile(tuple(_TYPES[each](_FLOATING[dtype]) for each in signature))
            kernel.disable_compile()
        _prepared.add(dtype)
        new = sum(map(_misses, _kernels)) - misses
    _log.log(
        logging.INFO if new else logging.DEBUG,
        "kernels for %s ready in %.1f s, %d of %d newly compiled",
        dtype,
        time.perf_counter() - begin,
        new,
        len(_kernels),
    )


def _misses(kernel: tuple[Any, tuple[str, ...]]) -> int:
    """How often it was not found on the disk."""
    return sum(kernel[0].stats.cache_misses.values())


def or_numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let the twin in `kernels.numpy` do what the kernel in the function is not compiled for."""
    twin = getattr(numpy, function.__name__)

    @wraps(function)
    def call(xp: Any, array: Any, *arguments: Any) -> Any:
        try:
            return function(xp, array, *arguments)
        except TypeError:
            dtype = str(array.dtype)
            if dtype in _prepared or dtype not in _FLOATING:
                return twin(xp, array, *arguments)
        prepare(dtype)
        return call(xp, array, *arguments)

    return call
