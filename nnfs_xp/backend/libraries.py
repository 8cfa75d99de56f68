"""NumPy, array_api_strict and PyTorch as backends, each imported when it is asked for."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np

from nnfs_xp._typing import Array, DType
from nnfs_xp.backend.base import Backend, Memory
from nnfs_xp.backend.importing import first_line, import_library
from nnfs_xp.backend.sparse import SparseArray, as_dense
from nnfs_xp.errors import BackendError, DTypeError
from nnfs_xp.kernels import for_numpy, for_torch
from nnfs_xp.kernels.standard import Kernels

_NUMBERS = "".join(np.typecodes[kind] for kind in ("AllInteger", "Float")) + "?"


class NumpyBackend(Backend):
    """NumPy, on the CPU."""

    takes_sparse = True
    _kernels: Kernels | None = None
    _is_prepared = False

    def owns(self, array: object) -> bool:
        return isinstance(array, (np.ndarray, np.generic, SparseArray))

    def asarray(self, a: Any, dtype: str | DType | None = None) -> Array:
        if type(a) is np.ndarray and a.dtype.char in _NUMBERS and a.dtype.isnative:
            if dtype is None:
                return a
            wanted = dtype if isinstance(dtype, np.dtype) else self.dtype(dtype)
            return a.astype(wanted, copy=False)
        return super().asarray(as_dense(a), dtype)

    @property
    def kernels(self) -> Kernels:
        if self._kernels is None:
            self._kernels = for_numpy(loads_numba=False)
        return self._kernels

    def prepare(self, dtype: str) -> None:
        if not self._is_prepared:
            self._kernels, self._is_prepared = for_numpy(), True
        super().prepare(dtype)

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        return np.asarray(array)


class StrictBackend(Backend):
    """The strict reading of the standard, on the CPU and its pretended devices."""

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        return np.asarray(array.to_device(self.xp.Device("CPU_DEVICE")))


class TorchBackend(Backend):
    """PyTorch, without its differentiation."""

    @functools.cached_property
    def kernels(self) -> Kernels:
        return for_torch()

    def asarray(self, a: Any, dtype: str | DType | None = None) -> Array:
        if isinstance(a, self.array_type) and a.requires_grad:  # type: ignore[attr-defined] # a tensor
            a = a.detach()  # type: ignore[attr-defined] # a tensor
        return super().asarray(a, dtype)

    def owns(self, array: object) -> bool:
        # Not those for which PyTorch records what is done, to differentiate it by itself.
        return super().owns(array) and not array.requires_grad  # type: ignore[attr-defined] # a tensor

    def from_numpy(self, a: np.ndarray[Any, Any]) -> Array:
        # PyTorch has neither read-only tensors nor negative strides, which one row may keep.
        if any(step < 0 for step in a.strides):
            a = a.copy()
        return super().from_numpy(np.require(a, requirements=["C", "W"]))

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        try:
            host: np.ndarray[Any, Any] = array.detach().cpu().numpy()
        except (TypeError, RuntimeError) as error:  # bfloat16, sparse tensors
            raise DTypeError(f"NumPy cannot hold this {array.dtype} tensor: {error}.") from error
        return host

    def synchronize(self) -> None:
        if self.device.type != "cpu":
            getattr(importlib.import_module("torch"), self.device.type).synchronize()

    def memory(self) -> Memory | None:
        if self.device.type != "cuda":
            return None
        cuda = importlib.import_module("torch").cuda
        free, total = cuda.mem_get_info(self.device)
        used, reserved = cuda.memory_allocated(self.device), cuda.memory_reserved(self.device)
        return Memory(int(used), int(reserved), int(free + reserved - used), int(total))

    def is_out_of_memory(self, error: Exception) -> bool:
        return type(error).__name__ == "OutOfMemoryError"  # torch.cuda's, a RuntimeError

    def release_memory(self) -> None:
        if self.device.type == "cuda":
            importlib.import_module("torch").cuda.empty_cache()


# Each loader returns a usable backend for the device named after the colon (the default device
# if empty), or raises BackendError with the reason and the remedy.


def load_numpy(device: str) -> Backend:
    """NumPy, whose only device is the CPU."""
    if device not in ("", "cpu"):
        raise BackendError(f"numpy runs on the CPU only; got the device {device!r}.")
    import array_api_compat.numpy as xp

    return NumpyBackend("numpy", xp, "cpu", (np.ndarray, np.generic))  # type: ignore[arg-type] # isinstance takes both


def load_array_api_strict(device: str) -> Backend:
    """array_api_strict, on one of its pretended devices."""
    xp = import_library("array_api_strict", "pip install array-api-strict")
    name = "array_api_strict" + (f":{device}" if device else "")
    try:
        found = xp.Device(device or "CPU_DEVICE")
    except ValueError as error:
        raise BackendError(f"{name} is not usable: {error}") from None
    return StrictBackend(name, xp, found, type(xp.asarray(0)))


def load_torch(device: str) -> Backend:
    """PyTorch, on one of its devices."""
    torch = import_library("torch", "pip install 'nnfs-xp[torch]'")
    xp = importlib.import_module("array_api_compat.torch")
    name = "torch" + (f":{device}" if device not in ("", "cpu") else "")
    kind = device.partition(":")[0]
    if kind == "meta":
        raise BackendError(f"{name} is not usable: its tensors hold no values")
    if kind in ("cuda", "mps") and not getattr(torch, kind).is_available():
        raise BackendError(f"{name} is not usable: this PyTorch finds no {kind} device")
    try:
        found = torch.empty(0, device=device or "cpu").device
    except Exception as error:  # PyTorch raises RuntimeError, AssertionError and others here
        raise BackendError(f"{name} is not usable: {first_line(error)}") from error
    return TorchBackend(name, xp, found, torch.Tensor)
