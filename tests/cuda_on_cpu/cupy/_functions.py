"""CuPy's functions, made from NumPy's of the same name."""

# ruff: noqa: ARG001 - parameters are those of CuPy

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cupy import _core
from cupy._arrays import Host, array, call, mutate, ndarray
from cupy.cuda.stream import Stream, current_capture, wait


def _words(text: str) -> set[str]:
    return set(text.split())


ABSENT = _words(
    """
    False_ ScalarType True_ __array_namespace_info__ __version__ asmatrix block bmat busday_count
    busday_offset busdaycalendar bytes_ char character clongdouble complex256 core ctypeslib
    datetime64 datetime_as_string datetime_data dtypes einsum_path emath errstate exceptions f2py
    flexible float128 frompyfunc fromregex geomspace get_include getbufsize geterr geterrcall
    histogram_bin_edges info insert is_busday isnat lib little_endian longdouble ma matrix matvec
    memmap nanpercentile nanquantile ndarray ndenumerate nditer nested_iters object_ poly1d polyder
    polydiv polyint polynomial random rec recarray record sctypeDict setbufsize seterr seterrcall
    show_runtime spacing str_ strings test testing timedelta64 typecodes typing unstack vecdot
    vecmat void

    apply_along_axis array2string array_repr array_str base_repr binary_repr broadcast
    disp flatiter format_float_positional format_float_scientific frombuffer fromfile fromfunction
    fromiter fromstring genfromtxt get_printoptions index_exp iterable load loadtxt ndindex
    piecewise printoptions s_ save savetxt savez savez_compressed set_printoptions show_config
    vectorize from_dlpack c_ r_ mgrid ogrid linalg fft
    """
)
"""NumPy's names that CuPy or, after the empty line, this stand-in does not have."""

_OF_NO_ARRAYS = _words(
    """
    broadcast_shapes can_cast finfo iinfo isdtype isscalar issubdtype min_scalar_type
    mintypecode promote_types typename
    """
)
_CREATION = _words(
    """
    arange bartlett blackman eye full hamming hanning identity indices kaiser linspace logspace
    mask_indices ones tri tril_indices triu_indices diag_indices zeros
    """
)
_OF_MEMORY = {
    "common_type",
    "may_share_memory",
    "ndim",
    "result_type",
    "shape",
    "shares_memory",
    "size",
}
_OF_MEMORY |= {"iscomplexobj", "isrealobj", "isfortran"}
_SYNCHRONIZING = _words(
    """
    argwhere compress delete digitize extract flatnonzero histogram histogram2d histogramdd
    intersect1d nonzero setdiff1d setxor1d trim_zeros union1d unique unique_all unique_counts
    unique_inverse unique_values
    """
)
_MUTATING = {"copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"}
_CUBLAS = {"dot", "einsum", "inner", "matmul", "tensordot", "vdot"}
_ACCUMULATING = _CUBLAS | {"cumprod", "cumsum", "mean", "prod", "std", "sum", "var", "average"}
_ACCUMULATING |= {"cumulative_prod", "cumulative_sum", "trace"}
_HALF = ("float16", "bfloat16")


def refuse_in_capture(library: str) -> None:
    if current_capture() is not None:
        raise NotImplementedError(f"CUDA Graph does not support {library}; see CuPy issue 6290")


def _accumulating_in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with half precision's sums in float32, as on a GPU."""

    def wide(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.astype(np.float32) if value.dtype.name in _HALF else value
        return type(value)(map(wide, value)) if type(value) in (list, tuple) else value

    def accumulate(*args: Any, out: Any = None, dtype: Any = None, **kwargs: Any) -> Any:
        if function in (np.matmul, np.dot):
            _refuse_stacks_of_bfloat16(*args[:2])
            args = tuple(map(_core.operand, args))
        given = {} if dtype is None else {"dtype": dtype}
        arrays = [each for each in args if isinstance(each, np.ndarray)]
        half = {each.dtype for each in arrays if each.dtype.name in _HALF}
        if not half:
            return function(*args, **kwargs, **given, **({} if out is None else {"out": out}))
        result = function(*map(wide, args), **kwargs, **given)
        if dtype is None and all(each.dtype in half for each in arrays):
            result = result.astype(half.pop() if len(half) == 1 else np.float32)
        if out is None:
            return result
        np.copyto(out[0] if isinstance(out, tuple) else out, result, casting="same_kind")
        return out

    return accumulate


def _refuse_stacks_of_bfloat16(a: Any, b: Any) -> None:
    """As CuPy does, which hands such products to a cuBLAS that it asks for NumPy's data types."""
    names = {each.dtype.name for each in (a, b) if isinstance(each, np.ndarray)}
    if "bfloat16" in names and max(np.ndim(a), np.ndim(b)) > 2:
        raise TypeError("data type 'E' not understood")


def _forwarding(name: str) -> Callable[..., Any]:
    target = getattr(np, name)
    if name in _ACCUMULATING:
        target = _accumulating_in_float32(target)
    if name in ("allclose", "array_equal", "array_equiv"):
        target = _with_array_result(target)
    if name == "take":
        target = _take
    if name == "take_along_axis":
        target = _take_along_axis
    needs_array = not isinstance(target, np.ufunc) and name not in _CREATION

    def function(*args: Any, **kwargs: Any) -> Any:
        if needs_array and not _has_array((args, tuple(kwargs.values()))):
            raise TypeError(f"cupy.{name} takes cupy arrays; got {[type(a) for a in args]}")
        if name != "copyto" and kwargs.keys() & {"where", "initial"}:
            raise TypeError(f"cupy.{name} knows neither `where` nor `initial`")
        if name in _CUBLAS:
            refuse_in_capture("cuBLAS")
        if name in _SYNCHRONIZING:
            wait()
        return (mutate if name in _MUTATING else call)(target, *args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"As `numpy.{name}`."
    function.__module__ = "cupy"
    return function


def _has_array(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_has_array, value))
    return isinstance(value, ndarray)


def _with_array_result(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: np.bool_(function(*args, **kwargs))


def _take(a: Host, indices: Any, axis: int | None = None, **kwargs: Any) -> Any:
    return np.take(a, indices, axis, mode="wrap", **kwargs)


def _take_along_axis(a: Host, indices: Host, axis: int | None) -> Any:
    length = a.size if axis is None else a.shape[axis]
    return np.take_along_axis(a, indices % length if length else indices, axis)


def _of_host_values(name: str) -> Callable[..., Any]:
    target = getattr(np, name)

    def function(*args: Any, **kwargs: Any) -> Any:
        return target(*(a._host if isinstance(a, ndarray) else a for a in args), **kwargs)

    function.__name__ = function.__qualname__ = name
    return function


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return ndarray(shape, dtype, order=order)


def empty_like(
    prototype: ndarray, dtype: Any = None, order: str = "K", subok: None = None, shape: Any = None
) -> ndarray:
    host = np.empty_like(prototype._host, dtype, order, False, shape)  # type: ignore[arg-type] # a letter
    return ndarray(host.shape, host.dtype, order="F" if host.flags.fnc else "C")


def asarray(
    a: Any, dtype: Any = None, order: str | None = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    result = array(a, dtype, bool(copy), order or "K")
    if copy is False and result is not a:
        raise ValueError("a copy cannot be avoided")
    return result


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    return array(a, dtype, copy=False, order="C", ndmin=1)


def asfortranarray(a: Any, dtype: Any = None) -> ndarray:
    return array(a, dtype, copy=False, order="F", ndmin=1)


def copy(a: ndarray, order: str = "K") -> ndarray:
    return array(a, order=order)


def astype(x: ndarray, dtype: Any, /, *, copy: bool = True) -> ndarray:
    return x.astype(dtype, copy=copy)


def asnumpy(
    a: Any,
    stream: Stream | None = None,
    order: str = "C",
    out: Host | None = None,
    *,
    blocking: bool = True,
) -> Host:
    """A stand-in array's values as a NumPy array; anything else as `numpy.asarray` has it."""
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    return np.asarray(a)


def get_array_module(*args: Any) -> Any:
    import cupy

    return cupy if any(isinstance(each, ndarray) for each in args) else np


_OWN = (empty, empty_like, asarray, ascontiguousarray, asfortranarray, copy, astype, asnumpy)


def functions() -> dict[str, Any]:
    """Everything that goes into the namespace `cupy`."""
    found: dict[str, Any] = {}
    for name in np.__all__:
        value = getattr(np, name)
        if name in ABSENT:
            continue
        if isinstance(value, type) or not callable(value) or name in _OF_NO_ARRAYS:
            found[name] = value
        elif name in _OF_MEMORY:
            found[name] = _of_host_values(name)
        else:
            found[name] = _forwarding(name)
    found |= {each.__name__: each for each in _OWN}
    found |= {"array": array, "asanyarray": asarray, "get_array_module": get_array_module}
    return found


def _add_methods() -> None:
    """The methods that are functions too, and the operator @."""
    names = "all any argmax argmin argpartition argsort clip cumprod cumsum dot max mean min "
    names += "nonzero prod ptp repeat round searchsorted std sum take trace var"
    for name in names.split():
        setattr(ndarray, name, _forwarding(name))
    matmul = _forwarding("matmul")

    def operand(value: object) -> bool:
        return isinstance(value, ndarray | np.ndarray)

    def matmul_into(a: ndarray, b: Any) -> Any:
        return matmul(a, b, out=a) if operand(b) else NotImplemented

    ndarray.__matmul__ = lambda a, b: matmul(a, b) if operand(b) else NotImplemented  # type: ignore[attr-defined] # added here
    ndarray.__rmatmul__ = lambda a, b: matmul(b, a) if operand(b) else NotImplemented  # type: ignore[attr-defined] # added here
    ndarray.__imatmul__ = matmul_into  # type: ignore[attr-defined] # added here


_add_methods()
