"""The product itself: which ones there are, and how NumPy computes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from cupy._core import rounded_to_tf32
from cupy.cuda import runtime
from cupy.cuda.memory import Block, block_at

from nvmath.bindings._attributes import (
    EXECUTION_FAILED,
    INVALID_VALUE,
    NOT_SUPPORTED,
    Epilogue,
    MatmulDesc,
    MatmulDescAttribute,
    MatrixLayout,
    MatrixLayoutAttribute,
    Refused,
)
from nvmath.bindings.cublas import ComputeType

_FLOAT, _DOUBLE, _HALF, _BFLOAT = 0, 1, 2, 14
_OF_FLOATS = (ComputeType.COMPUTE_32F_FAST_16F, ComputeType.COMPUTE_32F_FAST_16BF)
_OF_FLOATS += (ComputeType.COMPUTE_32F_FAST_TF32,)
_PRODUCTS = (
    {compute: (_FLOAT, {(_FLOAT, _FLOAT)}) for compute in _OF_FLOATS}
    | {
        compute: (
            _FLOAT,
            {
                (_FLOAT, _FLOAT),
                (_HALF, _HALF),
                (_HALF, _FLOAT),
                (_BFLOAT, _BFLOAT),
                (_BFLOAT, _FLOAT),
            },
        )
        for compute in (ComputeType.COMPUTE_32F, ComputeType.COMPUTE_32F_PEDANTIC)
    }
    | {
        compute: (_DOUBLE, {(_DOUBLE, _DOUBLE)})
        for compute in (ComputeType.COMPUTE_64F, ComputeType.COMPUTE_64F_PEDANTIC)
    }
)
"""For each type of arithmetic: that of alpha and beta; those of A and B, together with C and D."""

_WITH_BIAS = {Epilogue.BIAS, Epilogue.RELU_BIAS, Epilogue.RELU_AUX_BIAS}
_WITH_RELU = {Epilogue.RELU, Epilogue.RELU_BIAS, Epilogue.RELU_AUX, Epilogue.RELU_AUX_BIAS}
_WRITES_MASK = {Epilogue.RELU_AUX, Epilogue.RELU_AUX_BIAS}
_READS_MASK = {Epilogue.DRELU, Epilogue.DRELU_BGRAD}
_SUMS = {Epilogue.DRELU_BGRAD, Epilogue.BGRADA, Epilogue.BGRADB}
_EPILOGUES = {Epilogue.DEFAULT} | _WITH_BIAS | _WITH_RELU | _READS_MASK | _SUMS
_MASK_UNIT = 128


def dtype_of(kind: int) -> np.dtype[Any]:
    if kind == _BFLOAT:
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype({_FLOAT: np.float32, _DOUBLE: np.float64, _HALF: np.float16}[kind])


def scale_dtype(problem: Problem) -> np.dtype[Any]:
    return dtype_of(_PRODUCTS[problem.compute][0])


class Matrix(NamedTuple):
    """A layout: column by column."""

    kind: int
    rows: int
    columns: int
    leading: int

    @property
    def nbytes(self) -> int:
        return ((self.columns - 1) * self.leading + self.rows) * dtype_of(self.kind).itemsize

    def of(self, room: Any) -> np.ndarray[Any, Any]:
        """The matrix in these bytes."""
        dtype = dtype_of(self.kind)
        strides = dtype.itemsize, self.leading * dtype.itemsize
        return np.ndarray((self.rows, self.columns), dtype, room, 0, strides)


class Problem(NamedTuple):
    """Everything but addresses: what an algorithm is found for."""

    compute: ComputeType
    transposed: tuple[bool, bool]
    epilogue: Epilogue
    mask_leading: int
    a: Matrix
    b: Matrix
    c: Matrix
    d: Matrix

    @property
    def bias_length(self) -> int:
        return self.d.columns if self.epilogue is Epilogue.BGRADB else self.d.rows


def _matrix(layout: MatrixLayout, name: str) -> Matrix:
    names, values = MatrixLayoutAttribute, layout.values
    if values[names.ORDER] or values[names.BATCH_COUNT] != 1:
        raise Refused(NOT_SUPPORTED, "the stand-in takes single matrices by columns")
    rows, columns = values[names.ROWS], values[names.COLS]
    if values[names.TYPE] not in (_FLOAT, _DOUBLE, _HALF, _BFLOAT):
        raise Refused(NOT_SUPPORTED, f"data type {values[names.TYPE]} of {name}")
    if not rows or not columns:
        raise Refused(INVALID_VALUE, f"{name} is empty: {rows} x {columns}")
    if values[names.LD] < rows:
        raise Refused(
            INVALID_VALUE,
            f"leading dimension {values[names.LD]} of {name} is below its {rows} rows",
        )
    return Matrix(values[names.TYPE], rows, columns, values[names.LD])


def problem_of(
    desc: MatmulDesc, a: MatrixLayout, b: MatrixLayout, c: MatrixLayout, d: MatrixLayout
) -> Problem:
    """The problem that the descriptors state; cuBLASLtError where the library has no such one."""
    names, values = MatmulDescAttribute, desc.values
    matrices = {name: _matrix(each, name) for name, each in zip("ABCD", (a, b, c, d), strict=True)}
    operations = values[names.TRANSA], values[names.TRANSB]
    if not {*operations} <= {0, 1} or values[names.TRANSC]:
        raise Refused(NOT_SUPPORTED, f"operations {operations}")
    if values[names.POINTER_MODE]:
        raise Refused(NOT_SUPPORTED, "the stand-in reads alpha and beta from the host")
    try:
        compute, epilogue = (
            ComputeType(values[names.COMPUTE_TYPE]),
            Epilogue(values[names.EPILOGUE]),
        )
        scale, kinds = _PRODUCTS[compute]
    except (ValueError, KeyError):
        raise Refused(NOT_SUPPORTED, "this compute type or epilogue") from None
    problem = Problem(
        compute,
        (operations[0] == 1, operations[1] == 1),
        epilogue,
        values[names.EPILOGUE_AUX_LD] if epilogue in _WRITES_MASK | _READS_MASK else 0,
        *matrices.values(),
    )
    if epilogue not in _EPILOGUES:
        raise Refused(NOT_SUPPORTED, f"the stand-in has no {epilogue!r}")
    used = {name: each.kind for name, each in matrices.items()}
    if (
        values[names.SCALE_TYPE] != scale
        or used["A"] != used["B"]
        or used["C"] != used["D"]
        or (used["A"], used["D"]) not in kinds
    ):
        raise Refused(
            NOT_SUPPORTED, f"{compute!r} with scale {values[names.SCALE_TYPE]} and types {used}"
        )
    if values[names.BIAS_DATA_TYPE] not in (-1, used["D"]):
        raise Refused(NOT_SUPPORTED, f"data type {values[names.BIAS_DATA_TYPE]} of the bias")
    (m, k), (k_b, n) = (
        (each.columns, each.rows) if transposed else (each.rows, each.columns)
        for each, transposed in zip((problem.a, problem.b), problem.transposed, strict=True)
    )
    shapes = {(each.rows, each.columns) for each in (problem.c, problem.d)}
    if k != k_b or shapes != {(m, n)}:
        raise Refused(
            INVALID_VALUE, f"({m} x {k}) @ ({k_b} x {n}) does not go into C and D of {shapes}"
        )
    if problem.mask_leading % _MASK_UNIT or (problem.mask_leading and problem.mask_leading < m):
        raise Refused(
            INVALID_VALUE, f"leading dimension {problem.mask_leading} of the mask of {m} rows"
        )
    if epilogue in _WRITES_MASK | _READS_MASK and not problem.mask_leading:
        raise Refused(INVALID_VALUE, "no EPILOGUE_AUX_LD")
    return problem


class Room(NamedTuple):
    """Memory on the device, and the block that it is in."""

    bytes: Any
    block: Block

    def overlaps(self, other: Room) -> bool:
        return bool(np.may_share_memory(self.bytes, other.bytes))


def room_at(ptr: int, nbytes: int, alignment: int, name: str) -> Room:
    """So many bytes from there on: an error where a GPU would crash, or overwrite other arrays."""
    block = block_at(ptr)
    if not ptr or block is None:
        raise Refused(INVALID_VALUE, f"{name} at {ptr:#x} is no memory of the device")
    block.assert_usable(f"{name} of a product")
    if block.device_id != runtime.getDevice():
        raise Refused(EXECUTION_FAILED, f"{name} is on device {block.device_id}")
    start = ptr - block.ptr
    if start + nbytes > block.nbytes:
        raise Refused(
            EXECUTION_FAILED,
            f"{name} takes {nbytes} bytes, and its memory ends after {block.nbytes - start}",
        )
    if ptr % alignment:
        raise Refused(EXECUTION_FAILED, f"{name} at {ptr:#x} is not aligned to {alignment}")
    return Room(block.bytes(start, start + nbytes), block)


def _operand(
    problem: Problem, matrix: Matrix, room: Room, transposed: bool
) -> np.ndarray[Any, Any]:
    wide = scale_dtype(problem)
    values = matrix.of(room.bytes).astype(wide)
    if problem.compute is ComputeType.COMPUTE_32F_FAST_TF32:
        values = rounded_to_tf32(values)
    elif problem.compute is ComputeType.COMPUTE_32F_FAST_16F:
        values = values.astype(np.float16).astype(wide)
    elif problem.compute is ComputeType.COMPUTE_32F_FAST_16BF:
        values = values.astype(dtype_of(_BFLOAT)).astype(wide)
    return values.T if transposed else values


def work_of(
    problem: Problem, alpha: Any, beta: Any, rooms: dict[str, Room]
) -> tuple[Callable[[], None], list[Block]]:
    """What computes the product in this memory, and the blocks that it touches."""
    epilogue, d = problem.epilogue, problem.d

    def vector() -> np.ndarray[Any, Any]:
        return np.frombuffer(rooms["the bias"].bytes, dtype_of(d.kind))

    def mask() -> np.ndarray[Any, Any]:
        """Of the mask's bytes those of D's rows, column by column."""
        return np.lib.stride_tricks.as_strided(
            rooms["the mask"].bytes,
            (-(-d.rows // 8), d.columns),
            (1, problem.mask_leading // 8),
        )

    def run() -> None:
        with np.errstate(all="ignore"):
            a = _operand(problem, problem.a, rooms["A"], problem.transposed[0])
            b = _operand(problem, problem.b, rooms["B"], problem.transposed[1])
            result = alpha * (a @ b)
            if beta:
                result += beta * problem.c.of(rooms["C"].bytes).astype(result.dtype)
            if epilogue in _WITH_BIAS:
                result += vector().astype(result.dtype)[:, None]
            if epilogue in _WRITES_MASK:
                bits = np.ones((-(-d.rows // 8) * 8, d.columns), bool)  # of no meaning behind D
                bits[: d.rows] = ~(result < 0)  # at 0 and NaN too
                mask()[...] = np.packbits(bits, axis=0, bitorder="little")
            if epilogue in _WITH_RELU:
                result = np.where(result > 0, result, 0)  # 0 of NaN
            if epilogue in _READS_MASK:
                kept = np.unpackbits(mask(), axis=0, count=d.rows, bitorder="little")
                result = np.where(kept == 1, result, 0)
            sums = {
                Epilogue.DRELU_BGRAD: lambda: result.sum(axis=1),
                Epilogue.BGRADA: lambda: a.sum(axis=1),
                Epilogue.BGRADB: lambda: b.sum(axis=0),
            }
            if epilogue in _SUMS:
                vector()[...] = sums[epilogue]().astype(dtype_of(d.kind))
            if "the workspace" in rooms:
                rooms["the workspace"].bytes.fill(0xA5)
            d.of(rooms["D"].bytes)[...] = result.astype(dtype_of(d.kind))

    return run, [room.block for room in rooms.values()]


def rooms_of(
    problem: Problem, desc: MatmulDesc, pointers: dict[str, int], alignments: dict[str, int]
) -> dict[str, Room]:
    """The memory that the product reads and writes, checked."""
    matrices = {"A": problem.a, "B": problem.b, "C": problem.c, "D": problem.d}
    rooms = {}
    for name, ptr in pointers.items():
        matrix = matrices[name]
        at_least = max(alignments[name], dtype_of(matrix.kind).itemsize)
        rooms[name] = room_at(ptr, matrix.nbytes, at_least, name)
    in_place = pointers.get("C") == pointers["D"]
    if in_place and problem.c != problem.d:
        raise Refused(INVALID_VALUE, "C and D are one matrix with two layouts")
    for name in ("A", "B") if in_place or "C" not in rooms else "ABC":
        if rooms["D"].overlaps(rooms[name]):
            raise Refused(INVALID_VALUE, f"D overlaps {name}")
    names, values, d = MatmulDescAttribute, desc.values, dtype_of(problem.d.kind)
    if problem.epilogue in _WITH_BIAS | _SUMS:
        nbytes = problem.bias_length * d.itemsize
        rooms["the bias"] = room_at(values[names.BIAS_POINTER], nbytes, d.itemsize, "the bias")
    if problem.epilogue in _WRITES_MASK | _READS_MASK:
        nbytes = (problem.d.columns - 1) * problem.mask_leading // 8 + -(-problem.d.rows // 8)
        at = values[names.EPILOGUE_AUX_POINTER]
        rooms["the mask"] = room_at(at, nbytes, 16, "the mask")
    return rooms
