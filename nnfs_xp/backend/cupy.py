"""CuPy as a backend: a CUDA GPU."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from nnfs_xp._typing import Array, DType
from nnfs_xp.backend.base import Backend, Memory
from nnfs_xp.backend.importing import first_line, import_library
from nnfs_xp.backend.streaming import streamed
from nnfs_xp.errors import BackendError, DTypeError
from nnfs_xp.kernels import for_cupy
from nnfs_xp.kernels.standard import Kernels

_REMEDY = "pip install 'nnfs-xp[cuda13]' (or [cuda12], to match the driver)"

_BUILDS = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "cupy-cuda14x")

_CAPABILITY = {"tf32": 80, "bfloat16": 80, "float16": 70}
"""The compute capability, times ten, from which on a device has such tensor cores."""


class CupyBackend(Backend):
    """CuPy, on one CUDA device."""

    @functools.cached_property
    def kernels(self) -> Kernels:
        return for_cupy()

    def dtype(self, name: str | DType) -> DType:
        if not _is_bfloat16(name):
            return super().dtype(name)
        try:
            found: DType = np.dtype(importlib.import_module("ml_dtypes").bfloat16)
        except ImportError:
            raise DTypeError(
                "CuPy has bfloat16 where ml_dtypes is installed: pip install ml_dtypes."
            ) from None
        return found

    def asarray(self, a: Any, dtype: str | DType | None = None) -> Array:
        # Most functions of the standard, and NumPy, know no bfloat16: it goes through float32.
        narrow = self.owns(a) and _is_bfloat16(a.dtype)
        with self.active():
            if narrow and (dtype is None or _is_bfloat16(dtype)):
                array: Array = a
            elif _is_bfloat16(dtype):
                wide: Any = super().asarray(a, "float32")
                array = wide.astype(self.dtype("bfloat16"))
            else:
                array = super().asarray(a.astype(np.float32) if narrow else a, dtype)
        return array

    def is_floating(self, dtype: DType) -> bool:
        return _is_bfloat16(dtype) or super().is_floating(dtype)

    def check_precision(self, precision: str) -> None:
        capability = int(self.device.compute_capability)
        least = _CAPABILITY[precision]
        if capability < least:
            raise BackendError(
                f"`precision` {precision!r} needs a GPU of compute capability {least / 10}; "
                f"{self.name} has {capability / 10}."
            )

    def rounding_to_tf32(self) -> AbstractContextManager[Any]:
        from nnfs_xp.kernels.cupy.products import rounding_to_tf32

        return rounding_to_tf32()

    def is_out_of_memory(self, error: Exception) -> bool:
        memory = importlib.import_module("cupy").cuda.memory
        return isinstance(error, memory.OutOfMemoryError)

    def by_rows(self, array: Array) -> Array:
        with self.active():
            rows: Array = importlib.import_module("cupy").ascontiguousarray(array)
        return rows

    @property
    def can_record(self) -> bool:
        return self.kernels.records_products()

    def graph(self) -> Any:
        from nnfs_xp.kernels.cupy.graphs import Graph

        return Graph()

    def active(self) -> AbstractContextManager[Any]:
        device: AbstractContextManager[Any] = type(self.device)(self.device.id)
        return device

    def as_here(self) -> AbstractContextManager[Any]:
        with self.active():
            stream = importlib.import_module("cupy").cuda.get_current_stream()

        @contextmanager
        def here() -> Iterator[None]:
            with self.active(), stream:
                yield

        return here()

    def check_active(self) -> None:
        present = self._runtime.getDevice()
        if present != self.device.id:
            raise BackendError(
                f"{self.name} is not the active device, which is cupy:{present}. A Trainer sees to "
                f"that by itself; else work within `with get_backend({self.name!r}).active():`."
            )

    @functools.cached_property
    def _runtime(self) -> Any:
        return importlib.import_module("cupy").cuda.runtime

    def from_numpy(self, a: np.ndarray[Any, Any]) -> Array:
        with self.active():
            array: Array = self.xp.asarray(a)
            return array

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        with self.active():
            if _is_bfloat16(array.dtype):
                array = array.astype(np.float32)  # which NumPy has, and which holds all its values
            host: np.ndarray[Any, Any] = array.get()
        return host

    def streamed(
        self, batches: Iterable[tuple[Any, ...]], held: int = 1
    ) -> Iterator[tuple[Array, ...]]:
        return streamed(batches, held)

    def synchronize(self) -> None:
        self.device.synchronize()

    def memory(self) -> Memory | None:
        self._give_back()
        pool = self._pool()
        with self.active():
            free, total = importlib.import_module("cupy").cuda.runtime.memGetInfo()
            reserved, used = int(pool.total_bytes()), int(pool.used_bytes())
            limit = int(pool.get_limit())
        free = int(free) + reserved - used
        return Memory(used, reserved, min(free, limit - used) if limit else free, int(total))

    def release_memory(self) -> None:
        self._give_back()
        with self.active():
            self._pool().free_all_blocks()

    @staticmethod
    def _give_back() -> None:
        """Give the device the memory of recorded steps that are gone."""
        from nnfs_xp.kernels.cupy.graphs import give_back

        give_back()

    @staticmethod
    def _pool() -> Any:
        return importlib.import_module("cupy").get_default_memory_pool()


def _is_bfloat16(dtype: Any) -> bool:
    return str(dtype) == "bfloat16"


def load_cupy(device: str) -> Backend:
    """CuPy on the device of that number, if a product can be computed there."""
    cupy = import_library("cupy", _REMEDY)
    _refuse_several_packages()
    try:
        usable = cupy.is_available()
    except Exception as error:
        reason = _driver_too_old(cupy) or first_line(error)
        raise BackendError(f"cupy is not usable: {reason}") from error
    if not usable:
        reason = _driver_too_old(cupy) or "no CUDA driver or no CUDA device was found"
        raise BackendError(f"cupy is not usable: {reason}")
    if device and not device.isdecimal():
        raise BackendError(f"cupy's devices are numbers, as in 'cupy:1'; got {device!r}.")
    count = cupy.cuda.runtime.getDeviceCount()
    if int(device or 0) >= count:
        raise BackendError(f"cupy:{device} is not usable: this machine has {count} CUDA device(s)")
    found = cupy.cuda.Device(int(device or 0))
    try:
        with found:  # Wheels without the toolkit's libraries import well and fail here.
            a = cupy.ones((2, 2), dtype=cupy.float32)
            float((a @ a + 1).sum())
    except Exception as error:
        raise BackendError(
            f"cupy is not usable: {first_line(error)}; to install the CUDA libraries: {_REMEDY}"
        ) from error
    xp = importlib.import_module("array_api_compat.cupy")
    return CupyBackend(f"cupy:{found.id}" if found.id else "cupy", xp, found, cupy.ndarray)


def _refuse_several_packages() -> None:
    """Refuse builds of CuPy for two versions of CUDA at once: each overwrites the other's files."""
    builds = [name for name in _BUILDS if _is_installed(name)]
    if len(builds) > 1:
        raise BackendError(
            f"cupy is not usable: {' and '.join(builds)} are installed over each other. Uninstall "
            f"all of them, then {_REMEDY}"
        )


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _driver_too_old(cupy: Any) -> str | None:
    """What to do where there is a driver, but one of an older CUDA than CuPy is built for."""
    try:
        driver = int(cupy.cuda.runtime.driverGetVersion())
        built_for = int(cupy.cuda.runtime.runtimeGetVersion())
    except Exception:  # no driver: whatever that raises
        return None
    if not 0 < driver // 1000 < built_for // 1000:
        return None
    return (
        f"the driver serves CUDA {driver // 1000}.{driver % 1000 // 10}, and this CuPy needs "
        f"{built_for // 1000}. Update the driver, or install the CuPy that fits it: {_REMEDY}"
    )
