"""What every backend is: an array library and one of its devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from nnfs_xp._typing import Array, Device, DType, Namespace
from nnfs_xp.backend.registry import named, to_numpy
from nnfs_xp.errors import BackendError, DTypeError
from nnfs_xp.kernels.standard import Kernels, StandardKernels, stream_keys

_STANDARD = StandardKernels()


class Memory(NamedTuple):
    """Bytes of a device's memory.

    Attributes
    ----------
    used : int
        What this process' arrays take.
    reserved : int
        What the process has taken from the device, for them and for arrays to come; it grows
        until `Backend.release_memory`, and so is the peak since then.
    free : int
        What there is for new arrays.
    total : int
    """

    used: int
    reserved: int
    free: int
    total: int


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

    Attributes
    ----------
    takes_sparse : bool
        Whether a `SparseArray` is an array of this backend.
    """

    takes_sparse = False

    def __init__(self, name: str, xp: Namespace, device: Device, array_type: type) -> None:
        self.name = name
        self.xp = xp
        self.device = device
        self.array_type = array_type
        self._floating: dict[DType, bool] = {}
        self._dtypes: dict[str, DType] = {}

    def __repr__(self) -> str:
        return f"<Backend {self.name}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Backend):
            return NotImplemented
        return self.xp is other.xp and bool(self.device == other.device)

    def __hash__(self) -> int:
        return hash(self.xp)

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return named, (self.name,)

    @property
    def kernels(self) -> Kernels:
        """The numeric parts that layers, losses and optimizers are made of: see `nnfs_xp.kernels`.

        By default they are those of the standard. A set of your own derives from
        `nnfs_xp.kernels.standard.StandardKernels`.
        """
        return _STANDARD

    def prepare(self, dtype: str) -> None:
        """Make ready the fastest kernels for a data type: where the work is worth loading them."""
        self.kernels.prepare(dtype)

    def check_precision(self, precision: str) -> None:
        """Refuse ``"tf32"``, ``"float16"`` or ``"bfloat16"`` where the device lacks it.

        Raises
        ------
        BackendError
            The device has no such arithmetic.
        """
        if precision == "tf32":
            raise BackendError(f"`precision` 'tf32' is for CUDA GPUs with CuPy; got {self.name}.")

    def rounding_to_tf32(self) -> AbstractContextManager[Any]:
        """While it lasts, in this thread, products of float32 may be rounded to TF32."""
        return nullcontext()

    def is_out_of_memory(self, error: Exception) -> bool:
        """Whether the error says that the device has no memory left."""
        del error
        return False

    def by_rows(self, array: Array) -> Array:
        """The array with its elements row by row in memory, if the kernels are faster so."""
        return array

    @property
    def can_record(self) -> bool:
        """Whether training steps can be recorded, as a `graph`."""
        return False

    def graph(self) -> Any:
        """A new `nnfs_xp.kernels.cupy.graphs.Graph`, where `can_record`."""
        raise NotImplementedError

    def active(self) -> AbstractContextManager[Any]:
        """While it lasts, what names no device is done on this one."""
        return nullcontext()

    def as_here(self) -> AbstractContextManager[Any]:
        """While it lasts, in another thread, work is done where it would be done in this one."""
        return nullcontext()

    def check_active(self) -> None:
        """Refuse to work on this device while another one is active.

        Raises
        ------
        BackendError
            What is done now would be done on another device.
        """

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
        found = self._dtypes.get(name)
        if found is None:
            try:
                self.xp.isdtype(found := getattr(self.xp, name), "numeric")
            except (AttributeError, TypeError, ValueError):
                raise DTypeError(f"{self.name} has no data type {name!r}.") from None
            self._dtypes[name] = found
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

    def memory(self) -> Memory | None:
        """How much memory of the device is taken, or None where arrays share the host's memory."""
        return None

    def release_memory(self) -> None:
        """Give back to the device what is kept for arrays to come."""

    def streamed(
        self, batches: Iterable[tuple[Any, ...]], held: int = 1
    ) -> Iterator[tuple[Array, ...]]:
        """Batches of host arrays on the device, so many of them in work at a time."""
        del held
        return (tuple([a if self.owns(a) else self.asarray(a) for a in batch]) for batch in batches)

    def random_bits(
        self, shape: tuple[int, ...], *, seed: int, stream: int, step: int, start: int = 0
    ) -> Array:
        """Random integers in [0, 2**24), the same on every backend: see `kernels.standard`.

        Drawn on the device by hashing (seed, stream, step, index of the element): no state,
        so a run that continues at a step draws what it would have drawn.

        Parameters
        ----------
        shape : tuple of int
        seed, stream, step : int
        start : int
            The index of the first element: what comes before it is drawn elsewhere.

        Returns
        -------
        array of int64, of the given shape
        """
        keys = stream_keys(seed, stream, step, start)
        bits: Array = self.kernels.random_bits(self.xp, shape, keys, self.device)
        return bits
