"""Compiling the CUDA sources in the folder beside this file, and launching what is in them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import cupy
import numpy as np

from nnfs_xp.kernels import standard
from nnfs_xp.kernels.standard.counts import DeviceCount

Array: TypeAlias = Any
"""A CuPy array."""

FOLDER = Path(__file__).parent / "cuda"

OPTIONS = {
    "float16": ("-DTYPE=__half", "-DWIDE=float", "-DNEEDS_HALF"),
    "bfloat16": ("-DTYPE=__nv_bfloat16", "-DWIDE=float", "-DNEEDS_BFLOAT16"),
    "float32": ("-DTYPE=float", "-DWIDE=float"),
    "float64": ("-DTYPE=double", "-DWIDE=double"),
}
"""What the compiler is told of each data type that there are kernels for."""

SOURCES = ("layers", "losses", "norms", "random", "steps", "updates")

THREADS = 256
"""Threads of a block that goes through an array element by element."""

TILE = (32, 32)
"""Threads of a block for 32 columns."""

ANY_DTYPE = np.dtype(np.float32)
"""What a kernel is compiled for where the type is of no importance."""

_NARROW = 1024
"""Elements of a row up to which one warp goes through it, beside others; else a block does."""

_BLOCKS = 16
"""Such blocks for each multiprocessor at most: each then goes on where another one began."""

_ALIGNED = 16
"""Bytes that a thread loads at once where the arrays start at multiples of it."""


def source(name: str) -> str:
    """The CUDA C++ of one of `SOURCES`, with what all share in front."""
    parts = [(FOLDER / f"{each}.cu").read_text(encoding="utf-8") for each in ("common", name)]
    return "\n".join(parts)


@functools.cache
def _function(name: str, dtype: str, kernel: str, device: int) -> Any:
    return _module(name, dtype, device).get_function(kernel)


@functools.cache
def _module(name: str, dtype: str, device: int) -> Any:
    del device  # a module is loaded to one
    return cupy.RawModule(code=source(name), options=("-std=c++17", *OPTIONS[dtype]))


@functools.cache
def multiprocessors(device: int) -> int:
    """How many multiprocessors the device has."""
    return int(cupy.cuda.runtime.getDeviceProperties(device)["multiProcessorCount"])


def wide(dtype: Any) -> Any:
    """The NumPy type of the arithmetic on elements of a data type: `WIDE` of the sources."""
    return np.float64 if dtype == np.float64 else np.float32


def alike(*arrays: Array) -> bool:
    """Whether there are kernels for these: contiguous, and of one data type that has them."""
    dtype = arrays[0].dtype
    return dtype.name in OPTIONS and all(
        array.dtype == dtype and array.flags.c_contiguous for array in arrays
    )


def same_shape(*arrays: Array) -> bool:
    """Whether there are kernels for these, and they have one shape."""
    return alike(*arrays) and all(array.shape == arrays[0].shape for array in arrays)


def or_standard(n_arrays: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Hand arrays that are not of one shape, or that there is no kernel for, to the twin.

    Parameters
    ----------
    n_arrays : int
        How many of the arguments behind xp are the arrays.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        twin = getattr(standard, function.__name__)

        @functools.wraps(function)
        def call(xp: Any, *arguments: Any) -> None:
            (function if same_shape(*arguments[:n_arrays]) else twin)(xp, *arguments)

        return call

    return decorate


def number(value: Any, dtype: Any) -> tuple[Any, Any]:
    """The arguments for a number that is known here, or a 0-d array: its address, and its value."""
    kind = wide(dtype)
    if not isinstance(value, cupy.ndarray):
        return np.uint64(0), kind(value)
    if value.dtype != kind:
        raise TypeError(f"expected a number of {np.dtype(kind)} on the device; got {value.dtype}")
    return np.uint64(value.data.ptr), kind(0)


def count(value: int | DeviceCount) -> tuple[Any, Any]:
    """The arguments for a count: its address, 0 for one that is known here, and what to add."""
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
    """Grid and block for kernels of which one or more warps have a row each."""
    if k <= _NARROW:
        return (-(-n // 8),), (32, 8)
    return (n,), (256, 1)


def sweep(name: str, kernel: str, arrays: Iterable[Array], *numbers: Any) -> None:
    """Run a kernel that goes through arrays of one shape, element by element."""
    arrays = tuple(arrays)
    first = arrays[0]
    size = first.size
    aligned = all(array.data.ptr % _ALIGNED == 0 for array in arrays)
    packs = size * first.itemsize // _ALIGNED if aligned else 0
    grid = blocks_for(packs or size)
    sizes = np.int64(size), np.int64(packs)
    launch(name, kernel, first.dtype, (grid,), (THREADS,), *sizes, *numbers, *arrays)
