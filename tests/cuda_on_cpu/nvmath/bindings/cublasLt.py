# ruff: noqa: N999 - the library's name
"""cuBLASLt's products of matrices, computed by NumPy.

It refuses what the library refuses, and also raises cuBLASLtError, with the reason, for what the
library takes without a word and crashes on, or computes wrongly: an algorithm that was found for
another problem, for addresses of a better alignment or for more workspace; memory that is too
small or not on the device; a stream beside the one that is capturing.

Where the library's documents are silent it is the worst that was seen or reported: a ReLU makes 0
of NaN, and its mask is set at 0 and at NaN; the heuristic fails while a stream is capturing, as in
CUDA 13.3. It finds no algorithm for the epilogues in the set `unsupported_epilogues`, nor, drawn
from `seed`, for some pairs of an epilogue and a type, and for some products with an epilogue. The
environment variable ``CUDA_ON_CPU_SEED`` (0) is the seed; None draws nothing.
"""

from __future__ import annotations

import ctypes
import os
import zlib
from typing import Any, NamedTuple

import numpy as np
from cupy.cuda import runtime
from cupy.cuda.stream import get_current_stream, stream_at, submit

from nvmath.bindings._attributes import (
    DTYPES,
    EXECUTION_FAILED,
    INTERNAL_ERROR,
    INVALID_VALUE,
    Epilogue,
    Handle,
    MatmulDesc,
    MatmulDescAttribute,
    MatmulPreference,
    MatmulPreferenceAttribute,
    MatrixLayout,
    MatrixLayoutAttribute,
    Order,
    PointerMode,
    Refused,
    at,
    cuBLASLtError,
    forget,
    keep,
)
from nvmath.bindings._product import Problem, problem_of, room_at, rooms_of, scale_dtype, work_of

__all__ = [
    "Epilogue",
    "MatmulDescAttribute",
    "MatmulPreferenceAttribute",
    "MatrixLayoutAttribute",
    "Order",
    "PointerMode",
    "create",
    "cuBLASLtError",
    "destroy",
    "get_matmul_desc_attribute_dtype",
    "get_matmul_preference_attribute_dtype",
    "get_matrix_layout_attribute_dtype",
    "get_version",
    "matmul",
    "matmul_algo_dtype",
    "matmul_algo_get_heuristic",
    "matmul_desc_create",
    "matmul_desc_destroy",
    "matmul_desc_get_attribute",
    "matmul_desc_set_attribute",
    "matmul_heuristic_result_dtype",
    "matmul_preference_create",
    "matmul_preference_destroy",
    "matmul_preference_get_attribute",
    "matmul_preference_set_attribute",
    "matrix_layout_create",
    "matrix_layout_destroy",
    "matrix_layout_get_attribute",
    "matrix_layout_set_attribute",
]

unsupported_epilogues: set[Epilogue] = set()
seed: str | None = os.environ.get("CUDA_ON_CPU_SEED", "0")

matmul_algo_dtype = np.dtype([("data_", "<u8", (8,))])
matmul_heuristic_result_dtype = np.dtype(
    [
        ("algo", matmul_algo_dtype),
        ("workspace_size", "<u8"),
        ("state", "<i4"),
        ("waves_count", "<f4"),
        ("reserved", "<i4", (4,)),
    ]
)
_WORKSPACE = 4096
"""Bytes that an algorithm asks for, if it may have so many."""


class _Algorithm(NamedTuple):
    problem: Problem
    device_id: int
    alignments: dict[str, int]
    workspace: int


_algorithms: list[_Algorithm] = []
_MAGIC = 0xC0B1A51700000000
_found: dict[Any, int] = {}


def get_version() -> int:
    return 131000


def create() -> int:
    return keep(Handle(runtime.getDevice()))


def destroy(light_handle: int) -> None:
    forget(light_handle, Handle)


def get_matmul_desc_attribute_dtype(attr: int) -> type[np.generic]:
    return DTYPES[MatmulDescAttribute][MatmulDescAttribute(attr)]


def matmul_desc_create(compute_type: int, scale_type: int) -> int:
    names = MatmulDescAttribute
    values = {names.COMPUTE_TYPE: int(compute_type), names.SCALE_TYPE: int(scale_type)}
    return keep(MatmulDesc(values))  # type: ignore[arg-type] # of one enumeration


def matmul_desc_destroy(matmul_desc: int) -> None:
    forget(matmul_desc, MatmulDesc)


def matmul_desc_set_attribute(matmul_desc: int, attr: int, buf: int, size_in_bytes: int) -> None:
    at(matmul_desc, MatmulDesc).set(attr, buf, size_in_bytes)


def matmul_desc_get_attribute(
    matmul_desc: int, attr: int, buf: int, size_in_bytes: int, size_written: int
) -> None:
    at(matmul_desc, MatmulDesc).get(attr, buf, size_in_bytes, size_written)


def get_matrix_layout_attribute_dtype(attr: int) -> type[np.generic]:
    return DTYPES[MatrixLayoutAttribute][MatrixLayoutAttribute(attr)]


def matrix_layout_create(type: int, rows: int, cols: int, ld: int) -> int:  # noqa: A002 - the library's name
    names = MatrixLayoutAttribute
    values = {names.TYPE: int(type), names.ROWS: rows, names.COLS: cols, names.LD: ld}
    return keep(MatrixLayout(values))  # type: ignore[arg-type] # of one enumeration


def matrix_layout_destroy(mat_layout: int) -> None:
    forget(mat_layout, MatrixLayout)


def matrix_layout_set_attribute(mat_layout: int, attr: int, buf: int, size_in_bytes: int) -> None:
    at(mat_layout, MatrixLayout).set(attr, buf, size_in_bytes)


def matrix_layout_get_attribute(
    mat_layout: int, attr: int, buf: int, size_in_bytes: int, size_written: int
) -> None:
    at(mat_layout, MatrixLayout).get(attr, buf, size_in_bytes, size_written)


def get_matmul_preference_attribute_dtype(attr: int) -> type[np.generic]:
    return DTYPES[MatmulPreferenceAttribute][MatmulPreferenceAttribute(attr)]


def matmul_preference_create() -> int:
    return keep(MatmulPreference({}))


def matmul_preference_destroy(pref: int) -> None:
    forget(pref, MatmulPreference)


def matmul_preference_set_attribute(pref: int, attr: int, buf: int, size_in_bytes: int) -> None:
    at(pref, MatmulPreference).set(attr, buf, size_in_bytes)


def matmul_preference_get_attribute(
    pref: int, attr: int, buf: int, size_in_bytes: int, size_written: int
) -> None:
    at(pref, MatmulPreference).get(attr, buf, size_in_bytes, size_written)


def _problem(desc: int, a: int, b: int, c: int, d: int) -> Problem:
    return problem_of(at(desc, MatmulDesc), *(at(each, MatrixLayout) for each in (a, b, c, d)))


def matmul_algo_get_heuristic(
    light_handle: int,
    operation_desc: int,
    adesc: int,
    bdesc: int,
    cdesc: int,
    ddesc: int,
    preference: int,
    requested_algo_count: int,
    heuristic_results_array: int,
    return_algo_count: int,
) -> None:
    """Write up to so many results; all of them are the same algorithm here."""
    if requested_algo_count < 1 or not heuristic_results_array or not return_algo_count:
        raise Refused(INVALID_VALUE, "no room for a result")
    count = ctypes.c_int32.from_address(return_algo_count)
    count.value = 0
    device_id = at(light_handle, Handle).device_id
    problem = _problem(operation_desc, adesc, bdesc, cdesc, ddesc)
    if get_current_stream().is_capturing():
        raise Refused(INTERNAL_ERROR, "the heuristic was asked while a stream is capturing")
    if problem.epilogue in unsupported_epilogues or _is_lacking(problem):
        return
    wishes, names = at(preference, MatmulPreference).values, MatmulPreferenceAttribute
    alignments = {each: wishes[names[f"MIN_ALIGNMENT_{each}_BYTES"]] for each in "ABCD"}
    workspace = min(wishes[names.MAX_WORKSPACE_BYTES], _WORKSPACE)
    algorithm = _Algorithm(problem, device_id, alignments, workspace)
    key = problem, device_id, tuple(alignments.values()), workspace
    if key not in _found:
        _found[key] = len(_algorithms)
        _algorithms.append(algorithm)
    result = np.zeros(1, matmul_heuristic_result_dtype)
    result["algo"]["data_"][0, :2] = _MAGIC, _found[key]
    result["workspace_size"], result["waves_count"] = workspace, 1
    ctypes.memmove(heuristic_results_array, result.ctypes.data, result.nbytes)
    count.value = 1


def _is_lacking(problem: Problem) -> bool:
    """Whether the seed has drawn that there is no algorithm: of products alone there always is."""
    if seed is None or problem.epilogue is Epilogue.DEFAULT:
        return False
    kind = zlib.crc32(f"{seed} {problem.epilogue.name} {problem.d.kind}".encode())
    return kind % 4 == 0 or zlib.crc32(f"{seed} {problem}".encode()) % 4 == 0


def matmul(
    light_handle: int,
    compute_desc: int,
    alpha: int,
    a: int,
    adesc: int,
    b: int,
    bdesc: int,
    beta: int,
    c: int,
    cdesc: int,
    d: int,
    ddesc: int,
    algo: int,
    workspace: int,
    workspace_size_in_bytes: int,
    stream: int,
) -> None:
    """D = alpha * op(A) @ op(B) + beta * C, and the epilogue; recorded if the stream captures."""
    device_id = at(light_handle, Handle).device_id
    problem = _problem(compute_desc, adesc, bdesc, cdesc, ddesc)
    if device_id != runtime.getDevice():
        raise Refused(EXECUTION_FAILED, f"the handle belongs to device {device_id}")
    alignments, wanted = dict.fromkeys("ABCD", 1), 0
    if algo:
        algorithm = _algorithm_at(algo)
        if algorithm.problem != problem or algorithm.device_id != device_id:
            raise Refused(
                INVALID_VALUE, f"an algorithm for {algorithm.problem}, used for {problem}"
            )
        alignments, wanted = algorithm.alignments, algorithm.workspace
    if workspace_size_in_bytes < wanted:
        raise Refused(
            INVALID_VALUE,
            f"the algorithm wants {wanted} bytes to work in, not the given"
            f" {workspace_size_in_bytes}",
        )
    if not alpha or not beta:
        raise Refused(INVALID_VALUE, "no alpha or beta")
    scale = scale_dtype(problem)
    factors = [np.frombuffer(ctypes.string_at(p, scale.itemsize), scale)[0] for p in (alpha, beta)]
    pointers = {"A": a, "B": b, "D": d} | ({"C": c} if factors[1] else {})
    rooms = rooms_of(problem, at(compute_desc, MatmulDesc), pointers, alignments)
    if workspace_size_in_bytes:
        rooms["the workspace"] = room_at(workspace, workspace_size_in_bytes, 16, "the workspace")
        others = {name: room for name, room in rooms.items() if name != "the workspace"}
        for name, room in others.items():
            if rooms["the workspace"].overlaps(room):
                raise Refused(INVALID_VALUE, f"the workspace overlaps {name}")
        room = rooms["the workspace"]
        rooms["the workspace"] = room._replace(bytes=room.bytes[:wanted])
    given = stream_at(stream)
    if get_current_stream().is_capturing() and not given.is_capturing():
        raise Refused(
            EXECUTION_FAILED, "the current stream is capturing; a product on another one is lost"
        )
    work, blocks = work_of(problem, *factors, rooms)
    submit(work, blocks, given)


def _algorithm_at(ptr: int) -> _Algorithm:
    magic, place = np.frombuffer(ctypes.string_at(ptr, 16), np.uint64)
    if magic != _MAGIC or place >= len(_algorithms):
        raise Refused(INVALID_VALUE, "this algorithm is none that the heuristic found")
    return _algorithms[int(place)]
