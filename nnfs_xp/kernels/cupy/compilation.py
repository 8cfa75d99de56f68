"""Compile the CUDA sources in the folder beside this file, and launch their kernels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import cupy
import numpy as np

from nnfs_xp.kernels.standard import StandardKernels
from nnfs_xp.kernels.standard.counts import DeviceCount

Array: TypeAlias = Any
"""A CuPy array."""

Method = TypeVar("Method", bound=Callable[..., Any])

FOLDER = Path(__file__).parent / "cuda"

OPTIONS = {
    "float16": ("-DTYPE=__half", "-DWIDE=float", "-DNEEDS_HALF"),
    "bfloat16": ("-DTYPE=__nv_bfloat16", "-DWIDE=float", "-DNEEDS_BFLOAT16"),
    "float32": ("-DTYPE=float", "-DWIDE=float"),
    "float64": ("-DTYPE=double", "-DWIDE=double"),
}
"""The compiler's options for each data type that there are kernels for."""

SOURCES = (
    *("activations", "convolution", "embedding", "layers", "losses", "norms", "pooling"),
    *("products", "random", "steps", "updates"),
)

SHARED = {"convolution": ("common", "windows"), "pooling": ("common", "windows")}
"""What sources have before them, where that is more than what all have."""

THREADS = 256
"""Threads of a block that goes through an array element by element."""

TILE = (32, 32)
"""Threads of a block for 32 columns."""

ANY_DTYPE = np.dtype(np.float32)
"""The data type to compile a kernel for where the type does not matter."""

_NARROW = 1024
"""The most elements of a row that one warp goes through; a longer row takes a block."""

_BLOCKS = 16
"""The most blocks for each multiprocessor: each goes through several parts of a long array."""

ALIGNED = 16
"""Bytes that a thread loads at once, from arrays that start at a multiple of so many."""


def source(name: str) -> str:
    """The CUDA C++ of one of `SOURCES`, behind the code that it shares with others."""
    names = *SHARED.get(name, ("common",)), name
    return "\n".join((FOLDER / f"{each}.cu").read_text(encoding="utf-8") for each in names)


@functools.cache
def _function(name: str, dtype: str, kernel: str, device: int) -> Any:
    return _module(name, dtype, device).get_function(kernel)


@functools.cache
def _module(name: str, dtype: str, device: int) -> Any:
    del device  # for the cache: a module is loaded to one device
    return cupy.RawModule(code=source(name), options=("-std=c++17", *OPTIONS[dtype]))


@functools.cache
def multiprocessors(device: int) -> int:
    """How many multiprocessors the device has."""
    return int(cupy.cuda.runtime.getDeviceProperties(device)["multiProcessorCount"])


def wide(dtype: Any) -> Any:
    """The NumPy type of the arithmetic on elements of a data type: `WIDE` of the sources."""
    return np.float64 if dtype == np.float64 else np.float32


def alike(*arrays: Array) -> bool:
    """Whether kernels take these arrays: contiguous ones, of one data type in `OPTIONS`."""
    dtype = arrays[0].dtype
    return dtype.name in OPTIONS and all(
        array.dtype == dtype and array.flags.c_contiguous for array in arrays
    )


def same_shape(*arrays: Array) -> bool:
    """Whether kernels take these arrays, and all have one shape."""
    return alike(*arrays) and all(array.shape == arrays[0].shape for array in arrays)


def or_standard(n_arrays: int) -> Callable[[Method], Method]:
    """Hand arrays of several shapes, or that no kernel takes, to the standard's method of its name.

    Parameters
    ----------
    n_arrays : int
        How many arguments behind xp are arrays.
    """

    def decorate(method: Method) -> Method:
        twin = getattr(StandardKernels, method.__name__)

        @functools.wraps(method)
        def call(self: StandardKernels, xp: Any, *arguments: Any) -> Any:
            chosen = method if same_shape(*arguments[:n_arrays]) else twin
            return chosen(self, xp, *arguments)

        return cast(Method, call)

    return decorate


def number(value: Any, dtype: Any) -> tuple[Any, Any]:
    """The two arguments for a number: the address of a 0-d array, or 0, and else the value."""
    kind = wide(dtype)
    if not isinstance(value, cupy.ndarray):
        return np.uint64(0), kind(value)
    if value.dtype != kind:
        raise TypeError(f"expected a number of {np.dtype(kind)} on the device; got {value.dtype}")
    return np.uint64(value.data.ptr), kind(0)


def count(value: int | DeviceCount) -> tuple[Any, Any]:
    """The two arguments for a count: its address, or 0 for an int, and what to add to it."""
    if isinstance(value, DeviceCount):
        return np.uint64(value.array.data.ptr), np.int64(value.offset)
    return np.uint64(0), np.int64(value)


def launch(
    name: str,
    kernel: str,
    dtype: Any,
    grid: tuple[int, ...],
    block: tuple[int, ...],
    *arguments: Any,
) -> None:
    """Run a kernel of a source with arrays and NumPy's numbers, of exactly the types declared."""
    device = cupy.cuda.runtime.getDevice()
    _function(name, dtype.name, kernel, device)(grid, block, arguments)


def blocks_for(size: int, threads: int = THREADS) -> int:
    """How many blocks go through so many elements."""
    most = _BLOCKS * multiprocessors(cupy.cuda.runtime.getDevice())
    return max(1, min(-(-size // threads), most))


def row_blocks(n: int, k: int) -> tuple[tuple[int], tuple[int, int]]:
    """Grid and block for kernels in which one warp, or several, work on each row."""
    if k <= _NARROW:
        return (-(-n // 8),), (32, 8)
    return (n,), (256, 1)


def sweep(name: str, kernel: str, arrays: Iterable[Array], *numbers: Any) -> None:
    """Run a kernel that goes through arrays of one shape, element by element."""
    arrays = tuple(arrays)
    first = arrays[0]
    size = first.size
    aligned = all(array.data.ptr % ALIGNED == 0 for array in arrays)
    packs = size * first.itemsize // ALIGNED if aligned else 0
    grid = blocks_for(packs or size)
    sizes = np.int64(size), np.int64(packs)
    launch(name, kernel, first.dtype, (grid,), (THREADS,), *sizes, *numbers, *arrays)
