"""A pool of threads that share out one job, written with POSIX semaphores.

A job is cut into parts, which are worked out each by itself. Whoever is free takes the next one:
the thread that has the job begins at the front, those of the pool at the back. So a thread of the
pool that comes late, because another process has its core, keeps nobody waiting but for the part
that it has begun. The parts are the same however many threads take them, and so are the results,
bit for bit.

Compiled code waits for semaphores without Python. They say that there is work (go), who may take a
part (a ticket each), that a part is done, and who has the pool (the lock).
"""

from __future__ import annotations

import ctypes
import threading
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import carray, njit, types  # type: ignore[attr-defined] # it has carray
from numba.extending import intrinsic

from nnfs_xp.kernels.numba.compilation import compile_once
from nnfs_xp.kernels.threads import Blas

PARTS = 16
"""A job has no more parts than these."""

PRODUCT, ADAM, CALL = 0, 1, 2
"""The kinds of jobs: see `_product`, `_adam` and `_call`."""

JOB = 32
"""A job has no more numbers than these."""

WHOLE, TRANSPOSED = 111, 112
"""What CBLAS calls a matrix as it lies in memory, and its transpose."""

BY_ROWS, BY_COLUMNS = 101, 102
"""What CBLAS calls how matrices lie."""

_LINE = 128
_GO, _DONE, _LOCK, _TICKETS = 0, _LINE, 2 * _LINE, 3 * _LINE
"""Where the semaphores lie: no two in one line of a cache, of bytes."""

_LOOKS = 10000
"""How often to look before going to sleep, some 0.1 ms: a step's next product comes sooner."""


def _external(name: str, *arguments: Any) -> Any:
    return types.ExternalFunction(f"nnfs_xp_{name}", types.int32(*arguments))


_FLAG, _SIZE, _PLACE = types.int32, types.int64, types.intp


def _gemm(name: str, real: Any) -> Any:
    rest = real, _PLACE, _SIZE, _PLACE, _SIZE, real, _PLACE, _SIZE
    return _external(name, _FLAG, _FLAG, _FLAG, _SIZE, _SIZE, _SIZE, *rest)


def _gemv(name: str, real: Any) -> Any:
    rest = real, _PLACE, _SIZE, _PLACE, _SIZE, real, _PLACE, _SIZE
    return _external(name, _FLAG, _FLAG, _SIZE, _SIZE, *rest)


_post = _external("sem_post", types.intp)
_sleep = _external("sem_wait", types.intp)
_take = _external("sem_trywait", types.intp)
_sgemm, _dgemm = _gemm("sgemm", types.float32), _gemm("dgemm", types.float64)
_sgemv, _dgemv = _gemv("sgemv", types.float32), _gemv("dgemv", types.float64)


def _to_pointer(context: Any, address: Any) -> Any:
    del context

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(address), generate


pointer: Any = intrinsic(_to_pointer)


def _call_at(context: Any, address: Any, job: Any, part: Any) -> Any:
    del context

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        number = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [number, number, number]).as_pointer()
        nothing = ir.Constant(number, 0)
        builder.call(builder.inttoptr(arguments[0], kind), [nothing, *arguments[1:]])
        return arguments[0]

    return types.int64(address, job, part), generate


call_at: Any = intrinsic(_call_at)
"""Call the function at an address with 0 and two whole numbers."""


@njit()
def _cut(part: int, step: int, size: int) -> tuple[int, int]:
    return min(part * step, size), min(part * step + step, size)


@njit()
def multiply(job: Any, start: int, stop: int) -> None:
    """Some rows, or columns, of a product of matrices, written by CBLAS."""
    n_bytes, by_rows = job[0], job[1]
    a_flag, b_flag, n, m, k = job[3], job[4], job[5], job[6], job[7]
    a, a_row, b, b_row, c, c_row = job[8], job[9], job[10], job[11], job[12], job[13]
    if start == stop:
        return
    if by_rows:
        n = stop - start
        a += start * n_bytes * (a_row if a_flag == WHOLE else 1)
        c += start * n_bytes * c_row
    else:
        m = stop - start
        b += start * n_bytes * (1 if b_flag == WHOLE else b_row)
        c += start * n_bytes
    if n_bytes == 4:
        one, zero = np.float32(1), np.float32(0)
        _sgemm(BY_ROWS, a_flag, b_flag, n, m, k, one, a, a_row, b, b_row, zero, c, c_row)
    else:
        _dgemm(BY_ROWS, a_flag, b_flag, n, m, k, 1.0, a, a_row, b, b_row, 0.0, c, c_row)


@njit()
def multiply_by_vector(job: Any) -> None:
    """A product of a matrix and a vector, written by CBLAS as NumPy has it written."""
    n_bytes, order, n, m = job[0], job[1], job[2], job[3]
    a, a_row, x, x_step, y, y_step = job[4], job[5], job[6], job[7], job[8], job[9]
    if n_bytes == 4:
        one, zero = np.float32(1), np.float32(0)
        _sgemv(order, TRANSPOSED, n, m, one, a, a_row, x, x_step, zero, y, y_step)
    else:
        _dgemv(order, TRANSPOSED, n, m, 1.0, a, a_row, x, x_step, 0.0, y, y_step)


@njit()
def multiply_add(
    n_bytes: int,
    a_flag: int,
    b_flag: int,
    n: int,
    m: int,
    k: int,
    a: int,
    a_row: int,
    b: int,
    b_row: int,
    past: int,
    c: int,
    c_row: int,
) -> None:
    """Write past * c + the product of two matrices to c, by CBLAS. Matrices are addresses."""
    if n_bytes == 4:
        one, beta = np.float32(1), np.float32(past)
        _sgemm(BY_ROWS, a_flag, b_flag, n, m, k, one, a, a_row, b, b_row, beta, c, c_row)
    else:
        share = np.float64(past)
        _dgemm(BY_ROWS, a_flag, b_flag, n, m, k, 1.0, a, a_row, b, b_row, share, c, c_row)


@njit()
def _call(job: Any, part: int) -> None:
    """Its part of whatever the job's first number is the address of."""
    call_at(job[0], job[1], part)


@njit()
def _product(job: Any, part: int) -> None:
    """Its part of a product: the job's third number is how many rows, or columns, each has."""
    start, stop = _cut(part, job[2], job[5] if job[1] else job[6])
    multiply(job, start, stop)


@njit(error_model="numpy", fastmath={"contract"})
def _adam_of(kind: Any, job: Any, numbers: Any, start: int, size: int) -> None:
    place = start * job[0]
    values = carray(pointer(job[3] + place), size, kind)
    g = carray(pointer(job[4] + place), size, kind)
    m = carray(pointer(job[5] + place), size, kind)
    c = carray(pointer(job[6] + place), size, kind)
    rate, past_1, present_1 = kind(numbers[0]), kind(numbers[1]), kind(numbers[2])
    past_2, present_2, epsilon = kind(numbers[3]), kind(numbers[4]), kind(numbers[5])
    for i in range(size):
        p = past_1 * m[i] + present_1 * g[i]
        a = past_2 * c[i] + present_2 * (g[i] * g[i])
        m[i] = p
        c[i] = a
        values[i] -= rate * p / (np.sqrt(a) + epsilon)


@njit()
def _adam(job: Any, numbers: Any, part: int) -> None:
    """Some elements of an update by Adam."""
    start, stop = _cut(part, job[2], job[1])
    if job[0] == 4:
        _adam_of(np.float32, job, numbers, start, stop - start)
    else:
        _adam_of(np.float64, job, numbers, start, stop - start)


@njit()
def _work(kind: int, job: Any, numbers: Any, part: int) -> None:
    if kind == PRODUCT:
        _product(job, part)
    elif kind == ADAM:
        _adam(job, numbers, part)
    else:
        _call(job, part)


@njit()
def _wait(semaphore: int) -> None:
    for _ in range(_LOOKS):
        if _take(semaphore) == 0:
            return
    while _sleep(semaphore) != 0:  # a signal came
        pass


def _serve(semaphores: int, kinds: Any, job: Any, numbers: Any) -> None:
    """Take parts of whatever jobs come, without an end."""
    while True:
        _wait(semaphores + _GO)
        for part in range(PARTS - 1, 0, -1):
            if _take(semaphores + _TICKETS + part * _LINE) == 0:
                _work(kinds[0], job, numbers, part)
                _post(semaphores + _DONE)


def share(
    semaphores: int,
    kinds: Any,
    job: Any,
    numbers: Any,
    kind: int,
    own_job: Any,
    own_numbers: Any,
    n_parts: int,
    n_threads: int,
) -> None:
    """Do the job, on so many threads if nobody else has the pool."""
    if n_threads == 1 or _take(semaphores + _LOCK) != 0:
        for part in range(n_parts):
            _work(kind, own_job, own_numbers, part)
        return
    kinds[0] = kind
    job[: own_job.size] = own_job
    numbers[: own_numbers.size] = own_numbers
    for part in range(1, n_parts):
        _post(semaphores + _TICKETS + part * _LINE)
    for _ in range(min(n_threads, n_parts) - 1):
        _post(semaphores + _GO)
    _work(kind, own_job, own_numbers, 0)
    n_theirs = 0
    for part in range(1, n_parts):
        if _take(semaphores + _TICKETS + part * _LINE) == 0:
            _work(kind, own_job, own_numbers, part)
        else:
            n_theirs += 1
    for _ in range(n_theirs):
        _wait(semaphores + _DONE)
    _post(semaphores + _LOCK)


def _address(array: Any) -> Any:
    return array.ctypes.data


class Compiled(NamedTuple):
    """What a pool is made of.

    Attributes
    ----------
    initialize : function of the C library
        ``sem_init``.
    serve, share : function
        `_serve` and `share`, compiled.
    address : function (array) -> int
        Where an array lies.
    """

    initialize: Any
    serve: Any
    share: Any
    address: Any


@cache
def link(blas: Blas) -> Any:
    """Tell compiled code where the functions of the system and of the BLAS are.

    Returns the C library's ``sem_init``; None where the system or the BLAS lacks any of them.
    """
    try:
        system: Any = ctypes.CDLL(None)
        functions = {f"sem_{name}": system[f"sem_{name}"] for name in ("post", "wait", "trywait")}
        for name in ("sgemm", "dgemm", "sgemv", "dgemv"):
            prefix = "scipy_" if hasattr(blas.library, f"scipy_cblas_{name}64_") else ""
            functions[name] = blas.library[f"{prefix}cblas_{name}64_"]
        initialize = system.sem_init
    except (OSError, AttributeError, TypeError):  # Windows, macOS; a BLAS that is not NumPy's own
        return None
    initialize.argtypes = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint
    for name, function in functions.items():  # first of all: LLVM ends a program that lacks one
        llvm.add_symbol(f"nnfs_xp_{name}", ctypes.cast(function, ctypes.c_void_p).value)
    return initialize


def compile_for(blas: Blas) -> Compiled | None:
    """Compile the pool, or load it from the disk; None where it cannot be linked."""
    initialize = link(blas)
    if initialize is None:
        return None
    shared = types.int64, types.int64[::1], types.int64[::1], types.float64[::1]
    own = types.int64, types.int64[::1], types.float64[::1], types.int64, types.int64
    return Compiled(
        initialize,
        compile_once(_serve, shared, nogil=True),
        compile_once(share, (*shared, *own), nogil=True),
        compile_address(),
    )


@cache
def compile_address() -> Any:
    """Compile what says where an array lies: it is ten times as fast as NumPy."""
    kinds = [types.float32, types.float64, types.int64]
    arrays = [(types.Array(kind, n_axes, "A"),) for kind in kinds for n_axes in (1, 2)]
    return compile_once(_address, *arrays)


_pools: list[Pool] = []
"""All that there ever were: their threads never end, so what these read must stay."""


class Pool:
    """Threads that share out jobs with the thread that has one.

    Parameters
    ----------
    compiled : Compiled
    size : int
        Threads, with the one that has the job.
    """

    def __init__(self, compiled: Compiled, size: int) -> None:
        _pools.append(self)
        self._share = compiled.share
        self._room = np.zeros((4 + PARTS) * _LINE, np.uint8)
        start = self._room.ctypes.data
        self._shared = (
            start + -start % _LINE,
            np.zeros(1, np.int64),
            np.zeros(16, np.int64),
            np.zeros(8, np.float64),
        )
        for place in range(0, (3 + PARTS) * _LINE, _LINE):
            compiled.initialize(self._shared[0] + place, 0, int(place == _LOCK))
        for number in range(1, size):
            name = f"nnfs_xp pool {number}"
            threading.Thread(
                target=compiled.serve, args=self._shared, name=name, daemon=True
            ).start()

    def share(self, kind: int, job: Any, numbers: Any, n_parts: int, n_threads: int) -> None:
        """Do a job of so many parts on up to so many threads; return when it is done."""
        self._share(*self._shared, kind, job, numbers, n_parts, n_threads)
