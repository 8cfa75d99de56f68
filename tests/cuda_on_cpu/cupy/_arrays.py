"""The array, and the one way in which functions are called on arrays.

Every function goes through `call`, which checks its arguments and then does the work at once or,
in a capture, records it.
"""

# ruff: noqa: ARG001 - parameters are those of CuPy

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np

from cupy.cuda import memory, runtime
from cupy.cuda.device import Device
from cupy.cuda.stream import Stream, current_capture, get_current_stream, submit, wait

Host: TypeAlias = np.ndarray[Any, Any]

_NO_CONVERSION = (
    "Implicit conversion to a NumPy array is not allowed. "
    "Please use `.get()` to construct a NumPy array explicitly."
)


class ndarray:  # noqa: N801 - CuPy's name
    """An array whose memory is counted as a device's."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment] # arrays are compared by element

    def __init__(
        self,
        shape: int | tuple[int, ...],
        dtype: Any = float,
        memptr: memory.MemoryPointer | None = None,
        strides: tuple[int, ...] | None = None,
        order: str = "C",
    ) -> None:
        shape = (shape,) if isinstance(shape, int) else tuple(map(operator.index, shape))
        dtype = np.dtype(dtype)
        nbytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
        pointer = memory.alloc(nbytes) if memptr is None else memptr
        self._mem, start = pointer.mem, pointer.ptr - pointer.mem.ptr
        if nbytes:
            block = self._mem.block
            if start + nbytes > block.size:
                raise ValueError(f"{nbytes} bytes do not fit where `memptr` points")
            room: Host = block.bytes(start, start + nbytes)
        else:
            room = np.empty(0, np.uint8)
        self._host: Host = np.ndarray(shape, dtype, room, 0, strides, order)  # type: ignore[arg-type] # a letter

    @classmethod
    def _view_of(cls, owner: ndarray, host: Host) -> ndarray:
        view = object.__new__(cls)
        view._mem, view._host = owner._mem, host
        return view

    # What it is

    shape = property(lambda self: self._host.shape)
    strides = property(lambda self: self._host.strides)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    flags = property(lambda self: self._host.flags)
    device = property(lambda self: Device(self._mem.device_id))
    T = property(lambda self: self.transpose())
    mT = property(lambda self: self.swapaxes(-1, -2))  # noqa: N815 - the standard's name
    real = property(lambda self: call(np.real, self))
    imag = property(lambda self: call(np.imag, self))

    @property
    def data(self) -> memory.MemoryPointer:
        offset = self._host.ctypes.data - self._mem.ptr if self.size else 0
        return memory.MemoryPointer(self._mem, offset)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        typestr, data = self._host.dtype.str, (self.data.ptr, False)
        return {"shape": self.shape, "typestr": typestr, "data": data, "version": 3}

    # To and from the host

    def get(
        self,
        stream: Stream | None = None,
        order: str = "C",
        out: Host | None = None,
        blocking: bool = True,
    ) -> Host:
        """The values as a NumPy array, or in `out`."""
        if out is None:
            out = np.empty(self.shape, self.dtype, order)  # type: ignore[call-overload] # a letter
        elif out.shape != self.shape or out.dtype != self.dtype:
            raise TypeError(f"`out` must be a {self.dtype} array of shape {self.shape}")
        _refuse_in_capture("D2H", stream)
        if blocking or not memory.is_pinned(out):
            wait(stream)
        source, target = self._host, out
        submit(lambda: np.copyto(target, source), _blocks([self]), stream)
        return out

    def set(self, arr: Host, stream: Stream | None = None) -> None:
        """Copy a NumPy array of the same shape and data type into this one."""
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        _refuse_in_capture("H2D", stream)
        if not memory.is_pinned(arr):
            wait(stream)
        target = self._host
        submit(lambda: np.copyto(target, arr), _blocks([self]), stream)

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self.get().tobytes(order)  # type: ignore[arg-type] # a letter

    def __array__(self, *_: object, **__: object) -> Host:
        raise TypeError(_NO_CONVERSION)

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __index__(self) -> int:
        return operator.index(self.get())  # type: ignore[arg-type] # raises TypeError as it should

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, spec: str) -> str:
        return format(self.get() if self.ndim else self.get()[()], spec)

    def __reduce__(self) -> tuple[Callable[..., ndarray], tuple[Host]]:
        return array, (self.get(),)

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, _: object) -> ndarray:
        with self.device:
            return self.copy()

    # Parts of it

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> ndarray:
        index = _index(index)
        if _reads_a_mask(index):
            wait()
        result: ndarray = call(lambda a, i: a[_wrapped(a.shape, i)], self, index)
        return result

    def __setitem__(self, index: Any, value: Any) -> None:
        index = _index(index)
        if _reads_a_mask(index):
            wait()
        mutate(lambda a, i, v: a.__setitem__(_wrapped(a.shape, i), v), self, index, value)

    # Functions that are not simply NumPy's

    def astype(
        self,
        dtype: Any,
        order: str = "K",
        casting: str | None = None,
        subok: bool | None = None,
        copy: bool = True,
    ) -> ndarray:
        if subok is not None:
            raise TypeError("subok is not supported yet")
        dtype = np.dtype(dtype)
        if not copy and dtype == self.dtype:
            return self
        if casting is not None and not np.can_cast(self.dtype, dtype, casting):  # type: ignore[arg-type] # a word
            raise TypeError(f"Cannot cast array data from {self.dtype} to {dtype}")
        result: ndarray = call(lambda a: a.astype(dtype, order=order), self)
        return result

    def copy(self, order: str = "C") -> ndarray:
        new = ndarray(self.shape, self.dtype, order=order if order in "CF" else "C")
        source, target = self._host, new._host
        submit(lambda: np.copyto(target, source), _blocks([self, new]))
        return new

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            return NotImplemented
        return call(ufunc, *inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        import cupy

        known = getattr(cupy, function.__name__, None)
        return NotImplemented if known is None else known(*args, **kwargs)


ndarray.__module__ = "cupy"


def _index(index: Any) -> tuple[Any, ...]:
    """The index as a tuple, its lists and NumPy arrays copied to the device."""
    parts = index if isinstance(index, tuple) else (index,)
    return tuple(array(p) if isinstance(p, list | np.ndarray) else p for p in parts)


def _reads_a_mask(index: tuple[Any, ...]) -> bool:
    return any(isinstance(part, ndarray) and part.dtype == bool for part in index)


def _wrapped(shape: tuple[int, ...], index: tuple[Any, ...]) -> tuple[Any, ...]:
    """The index with its arrays of integers taken modulo the length of their axis, as in CuPy.

    And with an ellipsis, so that a single element is a view too.
    """
    width = sum(
        part.ndim if isinstance(part, np.ndarray) and part.dtype == bool else 1
        for part in index
        if part is not None and part is not Ellipsis
    )
    axis, parts = 0, []
    for part in index:
        if part is Ellipsis:
            axis += len(shape) - width
        elif isinstance(part, np.ndarray) and part.dtype == bool:
            axis += part.ndim
        elif part is not None:
            if isinstance(part, np.ndarray) and axis < len(shape) and shape[axis]:
                part = part % shape[axis]
            axis += 1
        parts.append(part)
    if not any(part is Ellipsis for part in parts):
        parts.append(Ellipsis)
    return tuple(parts)


def _blocks(arrays: Iterable[ndarray]) -> list[memory.Block]:
    return [each._mem.block for each in arrays if each._mem.block is not None]


def _refuse_in_capture(direction: str, stream: Stream | None) -> None:
    """What CuPy says, before it asks CUDA: so the capture goes on."""
    if (stream or get_current_stream()).is_capturing():
        raise RuntimeError(
            f"the current stream is capturing, so {direction} transfers are disallowed"
        )


def _to_host(value: Any, found: list[ndarray]) -> Any:
    """The value with NumPy arrays instead of the stand-in's, which are added to `found`."""
    if isinstance(value, ndarray):
        found.append(value)
        return value._host
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, list):
        return [_to_host(each, found) for each in value]
    if isinstance(value, tuple):
        return tuple(_to_host(each, found) for each in value)
    return value


def check_devices(arrays: Iterable[ndarray]) -> None:
    """A ValueError for arrays that work on the current device could not reach."""
    current = runtime.getDevice()
    for each in arrays:
        if each._mem.device_id != current:
            raise ValueError(
                f"The device where the array resides ({each._mem.device_id}) is different from "
                f"the current device ({current}). Peer access is unavailable between these "
                "devices."
            )


def _results(value: Any) -> list[Any]:
    """The arrays and scalars of a result, in order."""
    if isinstance(value, np.ndarray | np.generic):
        return [value]
    if isinstance(value, list | tuple):
        return [each for part in value for each in _results(part)]
    return []


def _to_device(
    value: Any, sources: list[ndarray], fresh: list[tuple[int, ndarray]], places: Iterator[int]
) -> Any:
    """The result with the stand-in's arrays: views of the sources, or new ones.

    New ones are added to `fresh`, with their place among all arrays of the result.
    """
    if isinstance(value, np.ndarray | np.generic):
        place, host = next(places), np.asarray(value)
        for source in sources:
            if host is source._host:
                return source
            if host.base is not None and np.may_share_memory(host, source._host):
                return ndarray._view_of(source, host)
        new = ndarray(host.shape, host.dtype, order="F" if host.flags.fnc else "C")
        np.copyto(new._host, host)
        fresh.append((place, new))
        return new
    if isinstance(value, list | tuple):
        converted = [_to_device(each, sources, fresh, places) for each in value]
        return type(value)(*converted) if hasattr(value, "_fields") else type(value)(converted)
    return value


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The function's result for stand-in arrays, as stand-in arrays.

    In a capture only shapes, data types and views of the result are right; new memory holds NaN
    or 0, until a launch of the graph computes what belongs there.
    """
    if isinstance(function, np.ufunc) and len(args) > function.nin:
        kwargs["out"], args = args[function.nin :], args[: function.nin]
    sources: list[ndarray] = []
    host_args, host_kwargs = _to_host(args, sources), _kwargs_to_host(kwargs, sources)
    out = kwargs.get("out")
    if isinstance(out, tuple):
        out = out[0] if len(out) == 1 else out
    if out is not None:
        _work_in_place(function, host_args, host_kwargs, sources)
        return out
    capture = current_capture()
    with np.errstate(all="ignore"):
        result = function(*host_args, **host_kwargs)
    fresh: list[tuple[int, ndarray]] = []
    answer = _to_device(result, sources, fresh, itertools.count())
    if fresh:
        check_devices(sources)
    if capture is not None and fresh:
        targets = [(place, each._host) for place, each in fresh]

        def again() -> None:
            with np.errstate(all="ignore"):
                values = _results(function(*host_args, **host_kwargs))
            for place, target in targets:
                np.copyto(target, values[place])

        for _, target in targets:
            target.fill(np.nan if target.dtype.kind in "fcV" else 0)
        submit(again, _blocks([*sources, *(each for _, each in fresh)]))
    return answer


def mutate(function: Callable[..., Any], target: Any, *args: Any, **kwargs: Any) -> None:
    """Call a function that writes to its first argument."""
    if not isinstance(target, ndarray):
        raise TypeError(f"expected a cupy.ndarray to write to; got {type(target)}")
    sources: list[ndarray] = []
    host_args = _to_host((target, *args), sources)
    _work_in_place(function, host_args, _kwargs_to_host(kwargs, sources), sources)


def _kwargs_to_host(kwargs: dict[str, Any], sources: list[ndarray]) -> dict[str, Any]:
    return {name: _to_host(value, sources) for name, value in kwargs.items()}


def _work_in_place(
    function: Callable[..., Any], args: Any, kwargs: dict[str, Any], sources: list[ndarray]
) -> None:
    check_devices(sources)

    def work(args: Any = args, kwargs: dict[str, Any] = kwargs) -> None:
        with np.errstate(all="ignore"):
            function(*args, **kwargs)

    if current_capture() is not None:  # For the errors that the call itself raises.
        copies = {name: _copied(value) for name, value in kwargs.items()}
        work(_copied(args), copies)
    submit(work, _blocks(sources))


def _copied(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    return tuple(map(_copied, value)) if isinstance(value, tuple) else value


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool | None = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    """A stand-in array with the values of an array, a number, or nested lists of them."""
    if isinstance(obj, ndarray):
        here = obj._mem.device_id == runtime.getDevice()
        wanted = obj.dtype if dtype is None else np.dtype(dtype)
        laid_out = order in ("K", "A", None) or obj.flags["C" if order == "C" else "F"]
        if here and wanted == obj.dtype and laid_out and not copy:
            result = obj
        else:
            with obj.device:
                converted = obj.astype(wanted, copy=False)
            result = converted.copy("F" if order == "F" else "C")
    else:
        found: list[ndarray] = []
        values = _to_host(obj, found) if isinstance(obj, list | tuple) else obj
        if found:
            result = call(lambda values: np.array(values, dtype), obj)
        else:
            result = _from_host(np.asarray(values, dtype), order)
    while result.ndim < ndmin:
        result = result[None]
    return result


def _from_host(host: Host, order: str | None) -> ndarray:
    if host.dtype.kind not in "biufc" and host.dtype.name != "bfloat16":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    fortran = order == "F" or (order in ("K", "A") and host.flags.fnc)
    new = ndarray(host.shape, host.dtype, order="F" if fortran else "C")
    new.set(host)
    return new


# Operators and methods

_BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
    "divmod": np.divmod,
}
_COMPARISONS = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
_UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}
_OPERANDS = (ndarray, np.ndarray, np.generic, bool, int, float, complex)


def _add_operators() -> None:
    def binary(ufunc: np.ufunc) -> Callable[[ndarray, Any], Any]:
        return lambda a, b: call(ufunc, a, b) if isinstance(b, _OPERANDS) else NotImplemented

    def reflected(ufunc: np.ufunc) -> Callable[[ndarray, Any], Any]:
        return lambda a, b: call(ufunc, b, a) if isinstance(b, _OPERANDS) else NotImplemented

    def in_place(ufunc: np.ufunc) -> Callable[[ndarray, Any], Any]:
        return lambda a, b: call(ufunc, a, b, out=a) if isinstance(b, _OPERANDS) else NotImplemented

    def unary(ufunc: np.ufunc) -> Callable[[ndarray], Any]:
        return lambda a: call(ufunc, a)

    for name, ufunc in _BINARY.items():
        setattr(ndarray, f"__{name}__", binary(ufunc))
        setattr(ndarray, f"__r{name}__", reflected(ufunc))
        if name != "divmod":
            setattr(ndarray, f"__i{name}__", in_place(ufunc))
    for name, ufunc in _COMPARISONS.items():
        setattr(ndarray, f"__{name}__", binary(ufunc))
    for name, ufunc in _UNARY.items():
        setattr(ndarray, f"__{name}__", unary(ufunc))


def _add_methods() -> None:
    def method(of: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, *args, **kwargs: call(of, self, *args, **kwargs)

    def mutator(of: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, *args, **kwargs: mutate(of, self, *args, **kwargs)

    for name in ("conj", "conjugate", "diagonal", "flatten", "ravel", "reshape", "squeeze"):
        setattr(ndarray, name, method(getattr(np.ndarray, name)))
    for name in ("swapaxes", "transpose"):
        setattr(ndarray, name, method(getattr(np.ndarray, name)))
    ndarray.view = method(lambda a, dtype=None: a.view(dtype or a.dtype))  # type: ignore[attr-defined] # added here
    for name in ("fill", "sort", "partition"):
        setattr(ndarray, name, mutator(getattr(np.ndarray, name)))


_add_operators()
_add_methods()
