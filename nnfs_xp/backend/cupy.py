"""CuPy as a backend: a CUDA GPU."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend.base import Backend
from nnfs_xp.backend.importing import first_line, import_library
from nnfs_xp.errors import BackendError
from nnfs_xp.kernels import for_cupy


class CupyBackend(Backend):
    """CuPy, on one CUDA device."""

    @functools.cached_property
    def kernels(self) -> Any:
        return for_cupy()

    def from_numpy(self, a: np.ndarray[Any, Any]) -> Array:
        with self.device:
            array: Array = self.xp.asarray(a)
            return array

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        host: np.ndarray[Any, Any] = array.get()
        return host

    def synchronize(self) -> None:
        self.device.synchronize()

    def free_bytes(self) -> int | None:
        return int(self.device.mem_info[0])


def load_cupy(device: str) -> Backend:
    """CuPy on the device of that number, if a product can be computed there."""
    remedy = "pip install 'nnfs-xp[cuda13]' (or [cuda12], to match the driver)"
    cupy = import_library("cupy", remedy)
    try:
        usable = cupy.is_available()
    except Exception as error:
        raise BackendError(f"cupy is not usable: {first_line(error)}") from error
    if not usable:
        raise BackendError("cupy is not usable: no CUDA driver or no CUDA device was found")
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
            f"cupy is not usable: {first_line(error)}; to install the CUDA libraries: {remedy}"
        ) from error
    xp = importlib.import_module("array_api_compat.cupy")
    return CupyBackend(f"cupy:{found.id}" if found.id else "cupy", xp, found, cupy.ndarray)
