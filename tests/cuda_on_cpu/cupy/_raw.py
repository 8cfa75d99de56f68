"""Kernels of CUDA C++, compiled by g++ against cpu.h and run block after block.

A launch is checked against the kernel's declaration, which CuPy does not do.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cupy._arrays import check_devices, ndarray
from cupy.cuda import runtime
from cupy.cuda.compiler import CompileException
from cupy.cuda.driver import CUDADriverError
from cupy.cuda.memory import Block, MemoryPointer, block_at
from cupy.cuda.stream import Stream, submit

_FOLDER = Path(__file__).parent
_HEADER = _FOLDER / "cpu.h"
_CACHE = Path(tempfile.gettempdir()) / f"cuda_on_cpu-{os.getuid()}"
_COMPILER = ("g++", "-x", "c++", "-std=c++17", "-w", f"-I{_FOLDER / 'include'}")
_FLUSHES = "-DCUDA_ON_CPU_FLUSHES"
"""Numbers of float too small for a full mantissa are 0."""
_FLAGS = ("-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-U_FORTIFY_SOURCE")

_KERNEL = re.compile(
    r'extern\s*"C"\s*__global__\s+(?:void\s+)?(?:__launch_bounds__\s*\([^)]*\)\s*)?(?:void\s+)?'
    r"(\w+)\s*\("
)
_DYNAMIC_SHARED = re.compile(
    r"extern\s+__shared__\s+(?:(?:__align__|alignas)\s*\([^)]*\)\s*)?([\w\s:]+?)\s+"
    r"(?:(?:__align__|alignas)\s*\([^)]*\)\s*)?(\w+)\s*\[\s*\]\s*;"
)

_MOST_THREADS = 1024
_MOST_BLOCKS = (2**31 - 1, 65535, 65535)
_LONGEST_BLOCK = (1024, 1024, 64)
_STATIC_SHARED, _MOST_SHARED = 48 * 1024, 227 * 1024


def _run(command: Sequence[str], source: str, options: tuple[str, ...]) -> str:
    done = subprocess.run(command, input=source, capture_output=True, text=True)
    if done.returncode:
        raise CompileException(done.stderr, source, "kernels.cu", options)
    return done.stdout


@cache
def _library(source: str, options: tuple[str, ...]) -> ctypes.PyDLL:
    """The compiled source, made only once on this machine."""
    # NVRTC has many other options; these two kinds are what the source can notice.
    known = [option for option in options if option.startswith(("-D", "-U", "-I"))]
    header = _HEADER.read_text(encoding="utf-8")
    if "-DWIDE=double" not in known:
        known.append(_FLUSHES)  # CuPy has -ftz=true always; it is about float alone
    key = "\0".join([header, source, *known, *_COMPILER, *_FLAGS])
    target = _CACHE / f"{hashlib.sha256(key.encode()).hexdigest()}.so"
    if not target.exists():
        _compile(source, tuple(known), target)
    library = ctypes.PyDLL(str(target))  # it keeps the lock, as its threads' state is global
    library.cuda_signatures.restype = library.cuda_launch.restype = ctypes.c_char_p
    return library


def _compile(source: str, options: tuple[str, ...], target: Path) -> None:
    _CACHE.mkdir(mode=0o700, exist_ok=True)
    command = [*_COMPILER, *options, "-D__CUDACC__", "-D__CUDA_ARCH__=900"]
    seen = _run([*command, "-E", "-P", "-"], source, options)
    names = list(dict.fromkeys(_KERNEL.findall(seen)))
    body = _DYNAMIC_SHARED.sub(r"\1 *\2 = (\1 *)::cuda_on_cpu::shared;", source)
    table = "\n".join(
        f'{{"{name}", Caller<cuda_source::{name}>::run, Caller<cuda_source::{name}>::describe}},'
        for name in names
    )
    # In a namespace without a name, all `__shared__` variables can share a section.
    text = f"""\
#include "{_HEADER}"
namespace cuda_source {{
namespace {{
#line 1 "kernels.cu"
{body}
}}
}}
#define CUDA_VISIBLE extern "C" __attribute__((visibility("default")))
namespace cuda_on_cpu {{
static const Kernel kernels[] = {{
{table}
{{nullptr, nullptr, nullptr}}}};
}}
CUDA_VISIBLE const char *cuda_signatures() {{
    static char text[1 << 16];
    *text = 0;
    for (const auto *k = cuda_on_cpu::kernels; k->name; ++k)
        strcat(strcat(text, k->name), " "), k->describe(text), strcat(text, "\\n");
    return text;
}}
CUDA_VISIBLE const char *cuda_launch(int k, const unsigned *sizes, size_t shared, void **values) {{
    const cuda_on_cpu::Rounding as_on_the_device;
    return cuda_on_cpu::launch(cuda_on_cpu::kernels[k], sizes, shared, values);
}}
"""
    part = target.with_suffix(f".{os.getpid()}")
    _run([*_COMPILER, *options, "-D__CUDACC__", *_FLAGS, "-o", str(part), "-"], text, options)
    part.replace(target)


class _Argument(NamedTuple):
    value: Any
    """What ctypes passes on."""
    block: Block | None = None
    nbytes: int = 0
    """Of the array that the block was handed out for; 0 where it is not known."""


def _pointer(value: Any, kind: str) -> _Argument:
    if value is None:  # CuPy tells CUDA then that the argument itself lies at the address 0
        raise TypeError("the program would crash: None is no address")
    if isinstance(value, ndarray):
        check_devices([value])
        # Unsigned integers and vectors stand for raw bytes.
        if not kind.startswith(("u", "?", "void")) and not _alike(value.dtype, kind):
            raise TypeError(f"a pointer to {kind} cannot point to an array of {value.dtype}")
        memory = value._mem
        return _Argument(ctypes.c_void_p(value.data.ptr), memory.block, memory.nbytes)
    if isinstance(value, MemoryPointer):
        memory = value.mem
        return _Argument(ctypes.c_void_p(value.ptr), memory.block, memory.nbytes)
    if type(value) in (int, np.uint64, np.int64):
        return _address(int(value), ctypes.c_void_p)
    raise TypeError(f"a pointer cannot be made of {type(value)}")


def _alike(dtype: np.dtype[Any], kind: str) -> bool:
    if dtype.kind in "biu" and kind.startswith(("int", "bool")):
        return dtype.itemsize == np.dtype(kind).itemsize
    return bool(dtype.name == kind)


def _address(value: int, ctype: Any) -> _Argument:
    """A number that may be the address of something on the device."""
    block = block_at(value)
    if block is not None:
        block.assert_usable("a kernel")
    return _Argument(ctype(value), block)


_NUMBERS: dict[str, tuple[type, Any, type | None]] = {
    "bool": (np.bool_, ctypes.c_bool, bool),
    "int8": (np.int8, ctypes.c_int8, None),
    "uint8": (np.uint8, ctypes.c_uint8, None),
    "int16": (np.int16, ctypes.c_int16, None),
    "uint16": (np.uint16, ctypes.c_uint16, None),
    "int32": (np.int32, ctypes.c_int32, None),
    "uint32": (np.uint32, ctypes.c_uint32, None),
    "int64": (np.int64, ctypes.c_int64, int),
    "uint64": (np.uint64, ctypes.c_uint64, int),
    "float32": (np.float32, ctypes.c_float, None),
    "float64": (np.float64, ctypes.c_double, float),
}
"""For each type of a parameter: NumPy's, that of ctypes, and the Python one that goes there too."""


def _argument(value: Any, kind: str) -> _Argument:
    if kind.startswith("*"):
        return _pointer(value, kind[1:])
    if kind not in _NUMBERS:
        raise TypeError("the stand-in takes no structs as arguments")
    numpy_type, ctype, python_type = _NUMBERS[kind]
    if type(value) is not numpy_type and type(value) is not python_type:
        raise TypeError(f"a parameter of type {kind} got {type(value)}")
    if kind == "uint64":
        return _address(int(value), ctype)
    return _Argument(ctype(value.item() if isinstance(value, np.generic) else value))


def _sizes(given: Any, limits: tuple[int, int, int], what: str) -> tuple[int, ...]:
    if not isinstance(given, tuple) or not 1 <= len(given) <= 3:
        raise TypeError(f"{what} must be a tuple of 1 to 3 numbers; got {given!r}")
    sizes = tuple(int(each) for each in given) + (1,) * (3 - len(given))
    if any(not 1 <= each <= limit for each, limit in zip(sizes, limits, strict=True)):
        raise CUDADriverError(f"CUDA_ERROR_INVALID_VALUE: invalid argument ({what} {given})")
    return sizes


class RawKernel:
    """A kernel of a source."""

    max_threads_per_block = _MOST_THREADS
    local_size_bytes = const_size_bytes = shared_size_bytes = 0
    num_regs = 32

    def __init__(
        self,
        code: str,
        name: str,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        *,
        enable_cooperative_groups: bool = False,
        jitify: bool = False,
    ) -> None:
        self.code, self.name, self.options, self.backend = code, name, options, backend
        self._most_shared = _STATIC_SHARED
        self._found: tuple[Callable[..., bytes | None], int, list[str]] | None = None

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._most_shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if size > _MOST_SHARED:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        self._most_shared = size

    def compile(self, log_stream: Any = None) -> None:
        self._find()

    def _find(self) -> tuple[Callable[..., bytes | None], int, list[str]]:
        if self._found is None:
            library = _library(self.code, self.options)
            lines = [line.split() for line in library.cuda_signatures().decode().splitlines()]
            places = {line[0]: place for place, line in enumerate(lines)}
            if self.name not in places:
                raise CUDADriverError("CUDA_ERROR_NOT_FOUND: named symbol not found")
            place = places[self.name]
            self._found = library.cuda_launch, place, lines[place][1:]
        return self._found

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: Sequence[Any],
        *,
        shared_mem: int = 0,
        stream: Stream | None = None,
    ) -> None:
        launch, place, kinds = self._find()
        sizes = (*_sizes(grid, _MOST_BLOCKS, "grid"), *_sizes(block, _LONGEST_BLOCK, "block"))
        if sizes[3] * sizes[4] * sizes[5] > _MOST_THREADS or shared_mem > self._most_shared:
            raise CUDADriverError(
                f"CUDA_ERROR_INVALID_VALUE: invalid argument (block {block}, {shared_mem} bytes)"
            )
        if len(args) != len(kinds):
            raise TypeError(f"{self.name} takes {len(kinds)} arguments; got {len(args)}")
        arguments = []
        for number, (value, kind) in enumerate(zip(args, kinds, strict=True), 1):
            try:
                arguments.append(_argument(value, kind))
            except TypeError as error:
                raise TypeError(f"argument {number} of {self.name}: {error}") from None
        values = [argument.value for argument in arguments]
        addresses = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        c_sizes, shared = (ctypes.c_uint * 6)(*sizes), ctypes.c_size_t(shared_mem)
        guarded = [(a.block, a.nbytes) for a in arguments if a.block is not None and a.nbytes]

        def run(_: Any = values) -> None:  # ctypes' numbers live as long as their addresses
            for each, nbytes in guarded:
                each.write_guards(nbytes)
            message = launch(place, c_sizes, shared, addresses)
            if message is not None:
                raise RuntimeError(f"{self.name}: {message.decode()}")
            for each, nbytes in guarded:
                each.assert_guards(nbytes, f"the kernel {self.name}")

        submit(run, [a.block for a in arguments if a.block is not None], stream)


class RawModule:
    """A source with kernels, declared ``extern "C" __global__ void``."""

    def __init__(
        self,
        code: str | None = None,
        *,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Sequence[str] | None = None,
        jitify: bool = False,
    ) -> None:
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given")
        if code is None or name_expressions is not None:
            raise NotImplementedError(
                "the stand-in takes sources alone, and no templates of kernels"
            )
        if not isinstance(options, tuple):
            raise TypeError(f"`options` must be a tuple; got {type(options)}")
        runtime.check_device(runtime.getDevice())
        self.code, self.options, self.backend = code, options, backend

    def compile(self, log_stream: Any = None) -> None:
        _library(self.code, self.options)

    def get_function(self, name: str) -> RawKernel:
        kernel = RawKernel(self.code, name, self.options, self.backend)
        kernel.compile()
        return kernel
