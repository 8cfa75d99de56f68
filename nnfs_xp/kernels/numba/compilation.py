"""Compile kernels: once for each data type, kept on the disk, never within a training step."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit, types

from nnfs_xp.kernels.numpy import NumPyKernels

Method = TypeVar("Method", bound=Callable[..., Any])

_log = logging.getLogger("nnfs_xp")

_TYPES: dict[str, Callable[[Any], Any]] = {
    "F": lambda F: F,
    "F1": lambda F: types.Array(F, 1, "C"),
    "F2": lambda F: types.Array(F, 2, "C"),
    "labels": lambda _: types.Array(types.int64, 1, "C"),
    "mask": lambda _: types.Array(types.boolean, 2, "C"),
    "int": lambda _: types.int64,
}
"""The types of kernels' arguments. F is a floating type, F1 and F2 contiguous arrays of it."""

_FLOATING = {"float32": types.float32, "float64": types.float64}

_lock = threading.RLock()
_prepared: set[str] = set()

recording: ContextVar[Any] = ContextVar("recording", default=None)
"""The `nnfs_xp.kernels.numba.program.Program` that notes what is called, if any does."""

constants: dict[int, Any] = {}
"""Arrays that kernels are handed and nobody changes, by their identity."""


def compile_once(function: Callable[..., Any], *signatures: Sequence[Any], **options: Any) -> Any:
    """Compile a function for arguments of these types, or load it from the disk."""
    try:
        found = njit(cache=True, **options)(function)
        for types_of in signatures:
            found.compile(types_of)
    except Exception as error:  # the folder is read-only or full, or its files are damaged
        _log.debug("%s is not kept on the disk: %s", function.__name__, error)
        found = njit(**options)(function)
        for types_of in signatures:
            found.compile(types_of)
    found.disable_compile()
    return found


class Kernel:
    """A function of arrays that returns nothing, compiled for each data type by `prepare`.

    The last `writes` of its arrays are written whole, whatever they hold.

    Called with other arguments than it was compiled for, arrays that are not contiguous for
    example, it raises TypeError and has written nothing: see `or_numpy`. It checks no index: its
    callers check the shapes.
    """

    def __init__(
        self,
        function: Callable[..., None],
        signature: Sequence[str],
        fastmath: set[str],
        writes: int = 0,
    ) -> None:
        self._function = function
        self._signature = signature
        self.writes = writes
        self._options: dict[str, Any] = {
            "nogil": True,
            "error_model": "numpy",
            "fastmath": fastmath,
        }
        self._ready: dict[Any, Any] = {}
        kernels.append(self)

    def __call__(self, first: Any, *rest: Any) -> None:
        self.compiled_for(first.dtype)(first, *rest)
        program = recording.get()
        if program is not None:
            program.note(self, first, *rest)

    def compiled_for(self, dtype: Any) -> Any:
        """What was compiled for arrays of a data type."""
        try:
            return self._ready[dtype]
        except KeyError:
            raise TypeError(f"not compiled for {dtype}") from None

    def compile(self, dtype: str) -> bool:
        """Compile it for a data type, or load it; return whether it was found on the disk."""
        types_of = tuple(_TYPES[each](_FLOATING[dtype]) for each in self._signature)
        found = compile_once(self._function, types_of, **self._options)
        self._ready[np.dtype(str(types_of[0].dtype))] = found
        return bool(found.stats.cache_hits)

    @property
    def inner(self) -> Any:
        """The function as other compiled code calls it."""
        return njit(**self._options)(self._function)


kernels: list[Kernel] = []


def compiled(
    *signature: str, writes: int = 0, reorder: bool = False
) -> Callable[[Callable[..., None]], Kernel]:
    """Make the function a `Kernel`.

    Parameters
    ----------
    *signature : str
        The types of the arguments, names in `_TYPES`; the first is an array.
    writes : int
        How many of the last arrays are written whole, whatever they hold.
    reorder : bool
        Whether sums may be taken in another order than written, several terms at a time, which
        makes them faster and more exact.
    """
    fastmath = {"contract", "reassoc"} if reorder else {"contract"}
    return lambda function: Kernel(function, signature, fastmath, writes)


def noted(function: Callable[..., Any], *arguments: Any, out: Any) -> None:
    """Call a function of NumPy, and have `recording` note it."""
    function(*arguments, out=out)
    program = recording.get()
    if program is not None:
        program.note(function, *arguments, out=out)


def prepare(dtype: str) -> None:
    """Compile all kernels for ``"float32"`` or ``"float64"``, or load them from the disk.

    Where that fails, the log has a warning, and the kernels for NumPy are used.
    """
    if dtype in _prepared or dtype not in _FLOATING:
        return
    with _lock:
        if dtype in _prepared:
            return
        begin = time.perf_counter()
        try:
            new = sum(not kernel.compile(dtype) for kernel in kernels)
        except Exception as error:
            _log.warning("no kernels of Numba for %s: %s: %s", dtype, type(error).__name__, error)
            return
        finally:
            _prepared.add(dtype)
    _log.log(
        logging.INFO if new else logging.DEBUG,
        "kernels for %s ready in %.1f s, %d of %d newly compiled",
        dtype,
        time.perf_counter() - begin,
        new,
        len(kernels),
    )


def check_shapes(*arrays: Any) -> None:
    """Refuse arrays of several shapes: those go to `NumPyKernels`, which raises the errors."""
    shape = arrays[0].shape
    for array in arrays:
        if array.shape != shape:
            raise TypeError("the shapes differ")


def or_numpy(method: Method) -> Method:
    """Hand arguments that the kernel is not compiled for to `NumPyKernels`' method of its name."""
    twin = getattr(NumPyKernels, method.__name__)

    @wraps(method)
    def call(self: NumPyKernels, xp: Any, array: Any, *arguments: Any) -> Any:
        try:
            return method(self, xp, array, *arguments)
        except TypeError:
            dtype = str(array.dtype)
            if dtype in _prepared or dtype not in _FLOATING:
                return twin(self, xp, array, *arguments)
        prepare(dtype)
        return call(self, xp, array, *arguments)

    return cast(Method, call)
