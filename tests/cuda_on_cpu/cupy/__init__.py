"""A stand-in for CuPy that runs on the CPU, to test GPU code on a machine without a GPU.

Device memory is host memory, CUDA C++ kernels are compiled by g++ and run one block after the
other, and the work of a stream is done when it is asked for. What it checks is what can be
checked without the hardware, and it is stricter than CuPy there:

- nothing goes between host and device by itself, and nothing between two devices;
- a capture executes nothing, memory made in it holds NaN until the graph is launched, and
  whatever waits for the device makes the capture invalid, as in CUDA;
- pools count and limit memory; a graph that uses memory which was freed, or given to somebody
  else since, is an error; kernels that write beyond an array are found by guard bytes;
- kernels' arguments have the number and the types of the declaration.

It cannot show how long anything takes, races between threads, blocks or streams, missing
synchronisation, the rounding of the GPU's own instructions, or limits of real hardware
such as registers.

Put the folder that this package is in first on ``PYTHONPATH``, by its absolute path. Environment:
``CUDA_ON_CPU_DEVICES`` and ``CUDA_ON_CPU_MEMORY``, see `cupy.cuda.runtime`.
"""

from __future__ import annotations

from cupy import _core as _core
from cupy import _functions, cuda
from cupy._arrays import ndarray
from cupy._raw import RawKernel, RawModule

globals().update(_functions.functions())

from cupy import fft, linalg  # noqa: E402 - they need the functions

__version__ = "14.2.0 (stand-in on the CPU)"


def is_available() -> bool:
    return cuda.is_available()


def get_default_memory_pool() -> cuda.MemoryPool:
    return cuda.memory.default_pool


def get_default_pinned_memory_pool() -> cuda.PinnedMemoryPool:
    return cuda.memory.default_pinned_pool


__all__ = [
    *_functions.functions(),
    "RawKernel",
    "RawModule",
    "cuda",
    "fft",
    "get_default_memory_pool",
    "get_default_pinned_memory_pool",
    "is_available",
    "linalg",
    "ndarray",
]
