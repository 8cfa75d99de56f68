"""Where arrays live: the array libraries behind one small class, their discovery and selection.

This module and the host-side rooms are the only ones that name array libraries; each library
is imported when it is asked for.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from nnfs_xp._typing import Array, Device, DType, Namespace
from nnfs_xp.errors import ArgumentError, BackendError, DTypeError
from nnfs_xp.kernels import for_numpy, standard

_log = logging.getLogger("nnfs_xp")
_log.addHandler(logging.NullHandler())

ENVIRONMENT = "NNFS_XP_BACKEND"


class Backend:
    """An array library and one of its devices.

    Get one from `get_backend`. To add a library of your own, subclass, override `from_numpy`
    and `to_numpy`, and hand an instance to `register_backend`.

    Parameters
    ----------
    name : str
        For example ``"numpy"``, ``"cupy:1"`` or ``"torch:cuda"``.
    xp : namespace
        The library's functions under the array API standard's names.
    device : device of that library
    array_type : type
        The library's array class.
    """

    def __init__(self, name: str, xp: Namespace, device: Device, array_type: type) -> None:
        self.name = name
        self.xp = xp
        self.device = device
        self.array_type = array_type
        self._floating: dict[DType, bool] = {}

    def __repr__(self) -> str:
        return f"<Backend {self.name}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Backend):
            return NotImplemented
        return self.xp is other.xp and bool(self.device == other.device)

    def __hash__(self) -> int:
        return hash(self.xp)

    def __reduce__(self) -> tuple[Callable[[str], Backend], tuple[str]]:
        return get_backend, (self.name,)

    @property
    def kernels(self) -> Any:
        """The numeric parts that layers, losses and optimizers are made of: see `nnfs_xp.kernels`.

        A module with the functions of `nnfs_xp.kernels.standard`, which is the default.
        """
        return standard

    def owns(self, array: object) -> bool:
        """Whether this is an array of the library, on this device."""
        return isinstance(array, self.array_type) and array.device == self.device  # type: ignore[attr-defined] # array_type has it

    def dtype(self, name: str | DType) -> DType:
        """The library's data type of that name; one of its own is given back as it is.

        Raises
        ------
        DTypeError
            The library has no such data type.
        """
        if isinstance(name, (type, np.dtype)):  # NumPy's np.float32 and np.dtype("float32")
            name = np.dtype(name).name
        if not isinstance(name, str):
            return name
        try:
            self.xp.isdtype(found := getattr(self.xp, name), "numeric")
        except (AttributeError, TypeError, ValueError):
            raise DTypeError(f"{self.name} has no data type {name!r}.") from None
        return found

    def is_floating(self, dtype: DType) -> bool:
        """Whether it is a real floating data type of the library."""
        known = self._floating.get(dtype)
        if known is None:
            known = self._floating[dtype] = bool(self.xp.isdtype(dtype, "real floating"))
        return known

    def asarray(self, a: Any, dtype: str | DType | None = None) -> Array:
        """An array of this backend with the values of `a`, which may be of any backend.

        Parameters
        ----------
        a : array of any backend, or anything that `numpy.asarray` takes
        dtype : str or data type, optional
            By default that of `a`.

        Returns
        -------
        array
            `a` itself, or sharing its memory, where nothing has to change.

        Raises
        ------
        DTypeError
            `a` holds no numbers, or the library has no such data type.
        """
        if isinstance(a, np.ndarray) or not self.owns(a):
            host = to_numpy(a)
            if isinstance(dtype, str):  # Cast first: some devices have no float64.
                self.dtype(dtype)
                host = host.astype(dtype, copy=False)
            try:
                a = self.from_numpy(host)
            except TypeError as error:
                raise DTypeError(f"{self.name} has no data type {host.dtype}.") from error
        elif self.xp.isdtype(a.dtype, "complex floating"):
            raise DTypeError(f"expected real numbers; got {a.dtype}.")
        if dtype is not None:
            a = self.xp.astype(a, self.dtype(dtype), copy=False)
        array: Array = a
        return array

    def from_numpy(self, a: np.ndarray[Any, Any]) -> Array:
        """The NumPy array on this backend's device."""
        array: Array = self.xp.asarray(a, device=self.device)
        return array

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        """An array of this backend as a NumPy array, sharing memory where both can."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait until the device has finished all that was asked of it."""

    def free_bytes(self) -> int | None:
        """Free memory of the device in bytes, or None where arrays share the host's memory."""
        return None

    def random_bits(self, shape: tuple[int, ...], *, seed: int, stream: int, step: int) -> Array:
        """Random integers in [0, 2**24), the same on every backend: see `kernels.standard`.

        Drawn on the device by hashing (seed, stream, step, index of the element): no state,
        so a run that continues at a step draws what it would have drawn.

        Returns
        -------
        array of int64, of the given shape
        """
        keys = standard.stream_keys(seed, stream, step)
        bits: Array = self.kernels.random_bits(self.xp, shape, keys, self.device)
        return bits


class _NumpyBackend(Backend):
    @functools.cached_property
    def kernels(self) -> Any:
        return for_numpy()

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        return np.asarray(array)


class _StrictBackend(Backend):
    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        return np.asarray(array.to_device(self.xp.Device("CPU_DEVICE")))


class _TorchBackend(Backend):
    def asarray(self, a: Any, dtype: str | DType | None = None) -> Array:
        if isinstance(a, self.array_type) and a.requires_grad:  # type: ignore[attr-defined] # a tensor
            a = a.detach()  # type: ignore[attr-defined] # a tensor
        return super().asarray(a, dtype)

    def owns(self, array: object) -> bool:
        # Not those for which PyTorch records what is done, to differentiate it by itself.
        return super().owns(array) and not array.requires_grad  # type: ignore[attr-defined] # a tensor

    def from_numpy(self, a: np.ndarray[Any, Any]) -> Array:
        # PyTorch has neither read-only tensors nor negative strides.
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

    def free_bytes(self) -> int | None:
        if self.device.type != "cuda":
            return None
        free, _ = importlib.import_module("torch").cuda.mem_get_info(self.device)
        return int(free)


class _CupyBackend(Backend):
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


# One loader for each library. Each returns a usable backend for the device named after the
# colon (the default device if empty), or raises BackendError with the reason and the remedy.


def _load_numpy(device: str) -> Backend:
    if device not in ("", "cpu"):
        raise BackendError(f"numpy runs on the CPU only; got the device {device!r}.")
    import array_api_compat.numpy as xp

    return _NumpyBackend("numpy", xp, "cpu", (np.ndarray, np.generic))  # type: ignore[arg-type] # isinstance takes both


def _load_array_api_strict(device: str) -> Backend:
    xp = _import("array_api_strict", "pip install array-api-strict")
    name = "array_api_strict" + (f":{device}" if device else "")
    try:
        found = xp.Device(device or "CPU_DEVICE")
    except ValueError as error:
        raise BackendError(f"{name} is not usable: {error}") from None
    return _StrictBackend(name, xp, found, type(xp.asarray(0)))


def _load_torch(device: str) -> Backend:
    torch = _import("torch", "pip install 'nnfs-xp[torch]'")
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
        raise BackendError(f"{name} is not usable: {_first_line(error)}") from error
    return _TorchBackend(name, xp, found, torch.Tensor)


def _load_cupy(device: str) -> Backend:
    remedy = "pip install 'nnfs-xp[cuda13]' (or [cuda12], to match the driver)"
    cupy = _import("cupy", remedy)
    try:
        usable = cupy.is_available()
    except Exception as error:
        raise BackendError(f"cupy is not usable: {_first_line(error)}") from error
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
            f"cupy is not usable: {_first_line(error)}; to install the CUDA libraries: {remedy}"
        ) from error
    xp = importlib.import_module("array_api_compat.cupy")
    return _CupyBackend(f"cupy:{found.id}" if found.id else "cupy", xp, found, cupy.ndarray)


_LOADERS: dict[str, Callable[[str], Backend]] = {
    "numpy": _load_numpy,
    "cupy": _load_cupy,
    "torch": _load_torch,
    "array_api_strict": _load_array_api_strict,
}


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    line = text.splitlines()[0] if text else "no message"
    return f"{type(error).__name__}: {line if len(line) <= 200 else line[:200] + '…'}"


def _import(library: str, remedy: str) -> Any:
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name == library:
            raise BackendError(f"{library} is not installed; {remedy}") from None
        raise BackendError(f"{library} is not usable: {error}; {remedy}") from error
    except Exception as error:  # a broken installation may raise anything
        raise BackendError(f"{library} is not usable: {_first_line(error)}; {remedy}") from error


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
    if isinstance(backend, _CupyBackend):
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


def host_generator(seed: int | None, *stream: int) -> np.random.Generator:
    """The host's random generator, which initial weights and shuffles are drawn from.

    Raises
    ------
    ArgumentError
        The seed is no whole number of at least 0.
    """
    if seed is None:
        return np.random.default_rng()
    try:
        number = -1 if isinstance(seed, bool) else index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise ArgumentError(f"`seed` must be a whole number of at least 0; got {seed!r}.")
    return np.random.default_rng([number, *stream] if stream else number)
