"""Matrix products through cuBLASLt, with biases, or sums of biases' gradients, in them.

cuBLASLt takes matrices column by column. An array of rows (n, k) is, without a copy, its transpose
(k, n) column by column, so a product out = a @ b is asked for as out.T = b.T @ a.T: what cuBLASLt
calls A is our b, its B our a, and a vector along its D's rows, such as the biases, runs along our
columns. CuPy refuses its own cuBLAS while a stream records a graph; cuBLASLt is told the stream.

Source: NVIDIA, *cuBLAS documentation*, "Using the cuBLASLt API".
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import defaultdict
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import cupy
import numpy as np

from nnfs_xp.kernels.cupy.compilation import Array

_log = logging.getLogger("nnfs_xp")

_TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
"""CUDA's numbers for the data types, cudaDataType_t."""

_COMPUTE_32F, _COMPUTE_TF32, _COMPUTE_64F = 68, 77, 70
"""cublasComputeType_t."""

_WORKSPACE = 32 * 2**20
"""Bytes that a product may work in: what NVIDIA recommends for Hopper."""

_VECTOR = 16
"""A vector that is part of a product must start at a multiple of so many bytes."""

_SPARE = 512
"""Bytes of the workspace that no algorithm is told of: with epilogues some use more than they say
(nvmath-python, *linalg.advanced.Matmul.plan*)."""

_MOST_PLANS = 512

_NOT_SUPPORTED = 15
"""The cublasStatus_t of a product that cuBLASLt lacks, now and later."""


class Layout(NamedTuple):
    """How a matrix lies in memory: row by row, or column by column.

    Attributes
    ----------
    by_columns : bool
        Whether it is the transpose of an array that lies row by row.
    leading : int
        Elements from one row, or column, to the next.
    """

    by_columns: bool
    leading: int


def layout_of(array: Array) -> Layout | None:
    """How a 2-D array lies in memory, if its rows or its columns are contiguous."""
    n, k = array.shape
    down, across = (stride // array.itemsize for stride in array.strides)
    if (across == 1 or k == 1) and (n == 1 or down >= k):
        return Layout(False, max(down if n > 1 else k, 1))
    if (down == 1 or n == 1) and (k == 1 or across >= n):
        return Layout(True, max(across if k > 1 else n, 1))
    return None


def alignment(array: Array) -> int:
    """The largest power of two, up to 256, that the array's address is a multiple of."""
    address = int(array.data.ptr) | 256
    return address & -address


@functools.cache
def library() -> Any:
    """The cuBLASLt of nvmath, or None, with one line in the log that says why."""
    try:
        from nvmath.bindings import cublasLt

        cublasLt.get_version()
    except Exception as error:  # absent, of another version, or without the library itself
        text = str(error).strip().splitlines() or [""]
        _log.warning(
            "matrix products by CuPy, not by cuBLASLt (%s: %s), so training steps are not recorded "
            "as CUDA graphs; pip install 'nnfs-xp[cuda13]' (or [cuda12])",
            type(error).__name__,
            text[0][:200],
        )
        return None
    return cublasLt


@functools.cache
def _handle(lt: Any, device: int) -> int:
    del device  # a handle belongs to one
    return int(lt.create())


_local = threading.local()
"""The workspaces of a thread, by device and stream: all devices have a null stream, and, if CuPy is
set so, all threads."""


def _workspace(stream: Any) -> Any:
    """Memory for the products of one stream, in which no other stream's products work.

    It is freed with the stream. A recorded graph has its own, in the graph's memory.
    """
    by_device = _local.__dict__.setdefault("workspaces", defaultdict(WeakKeyDictionary))
    workspaces = by_device[cupy.cuda.runtime.getDevice()]
    room = workspaces.get(stream)
    if room is None:
        room = workspaces[stream] = cupy.cuda.alloc(_WORKSPACE + _SPARE)
    return room


class Plan:
    """How one kind of product is computed: descriptors, and the algorithm found for them.

    Parameters
    ----------
    lt : module
        nvmath.bindings.cublasLt.
    dtype : str
    tf32 : bool
        Whether float32 may be rounded to TF32 for the tensor cores.
    epilogue : str
        A name in cuBLASLt's Epilogue.
    shape : tuple of int
        (n, k, m) of out (n, m) = a (n, k) @ b (k, m).
    a, b, out : Layout
    alignments : tuple of int
        In bytes, of a, b and out.
    """

    def __init__(
        self,
        lt: Any,
        dtype: str,
        tf32: bool,
        epilogue: str,
        shape: tuple[int, int, int],
        a: Layout,
        b: Layout,
        out: Layout,
        alignments: tuple[int, int, int],
    ) -> None:
        n, k, m = shape
        kind = _TYPES[dtype]
        self._lt = lt
        self.scale = np.float64 if dtype == "float64" else np.float32
        compute = _COMPUTE_64F if dtype == "float64" else _COMPUTE_TF32 if tf32 else _COMPUTE_32F
        self.descriptor = lt.matmul_desc_create(compute, _TYPES[np.dtype(self.scale).name])
        names = lt.MatmulDescAttribute
        self.set(names.TRANSA, int(b.by_columns))
        self.set(names.TRANSB, int(a.by_columns))
        self.set(names.EPILOGUE, int(lt.Epilogue[epilogue]))
        # As cuBLASLt sees them, column by column: A is b transposed, B is a transposed.
        self.layout_a = self._layout(kind, (m, k), b)
        self.layout_b = self._layout(kind, (k, n), a)
        self.layout_d = self._layout(kind, (m, n), out)
        self._one, self._zero = np.ones(1, self.scale), np.zeros(1, self.scale)
        self._results = np.zeros(1, lt.matmul_heuristic_result_dtype)
        self._alignments = alignments

    def _layout(self, kind: int, shape: tuple[int, int], layout: Layout) -> int:
        rows, columns = shape[::-1] if layout.by_columns else shape
        return int(self._lt.matrix_layout_create(kind, rows, columns, layout.leading))

    def set(self, attribute: int, value: int) -> None:
        """Set an attribute of the product's descriptor."""
        number = np.array([value], self._lt.get_matmul_desc_attribute_dtype(attribute))
        self._lt.matmul_desc_set_attribute(
            self.descriptor, int(attribute), number.ctypes.data, number.nbytes
        )

    def point(self, vector: Array | None) -> None:
        """Set the address of the epilogue's vector."""
        if vector is not None:
            self.set(self._lt.MatmulDescAttribute.BIAS_POINTER, vector.data.ptr)

    def find(self, handle: int) -> bool:
        """Ask for the fastest algorithm; return whether there is one."""
        lt, names = self._lt, self._lt.MatmulPreferenceAttribute
        preference = lt.matmul_preference_create()
        try:
            a, b, out = self._alignments
            for attribute, value, kind in (
                (names.MAX_WORKSPACE_BYTES, _WORKSPACE, np.uint64),
                (names.MIN_ALIGNMENT_A_BYTES, b, np.uint32),
                (names.MIN_ALIGNMENT_B_BYTES, a, np.uint32),
                (names.MIN_ALIGNMENT_C_BYTES, out, np.uint32),
                (names.MIN_ALIGNMENT_D_BYTES, out, np.uint32),
            ):
                number = np.array([value], kind)
                lt.matmul_preference_set_attribute(
                    preference, int(attribute), number.ctypes.data, number.nbytes
                )
            count = np.zeros(1, np.int32)
            lt.matmul_algo_get_heuristic(
                handle,
                self.descriptor,
                self.layout_a,
                self.layout_b,
                self.layout_d,
                self.layout_d,
                preference,
                1,
                self._results.ctypes.data,
                count.ctypes.data,
            )
        except lt.cuBLASLtError as error:
            if error.status != _NOT_SUPPORTED:
                raise
            return False
        finally:
            lt.matmul_preference_destroy(preference)
        return bool(count[0]) and not self._results["state"][0]

    def describe(self) -> str:
        """The algorithm that was found, for the log."""
        found = self._results[0]
        algorithm = found["algo"].tobytes()[:16].hex()
        return f"{algorithm}, {found['workspace_size']} bytes, {found['waves_count']:.2f} waves"

    def close(self) -> None:
        """Give the descriptors back."""
        for layout in (self.layout_a, self.layout_b, self.layout_d):
            self._lt.matrix_layout_destroy(layout)
        self._lt.matmul_desc_destroy(self.descriptor)

    def run(self, handle: int, a: Array, b: Array, out: Array) -> None:
        """Write a @ b, with what the epilogue does to it, to out."""
        stream = cupy.cuda.get_current_stream()
        self._lt.matmul(
            handle,
            self.descriptor,
            self._one.ctypes.data,
            b.data.ptr,
            self.layout_a,
            a.data.ptr,
            self.layout_b,
            self._zero.ctypes.data,
            out.data.ptr,
            self.layout_d,
            out.data.ptr,
            self.layout_d,
            self._results["algo"].ctypes.data,
            _workspace(stream).ptr,
            _WORKSPACE,
            stream.ptr,
        )


_plans: dict[Any, Plan | None] = {}
"""Plans by what they compute; None for what cuBLASLt cannot compute."""
_lock = threading.Lock()
"""Lets one thread at a time set a plan's pointers and use them."""


def product(
    a: Array,
    b: Array,
    out: Array,
    *,
    tf32: bool,
    epilogue: str = "DEFAULT",
    vector: Array | None = None,
) -> bool:
    """Write a @ b, with its epilogue, to `out`; return False, with nothing written, if it cannot.

    Parameters
    ----------
    a, b, out : array, shapes (n, k), (k, m) and (n, m)
    tf32 : bool
    epilogue : str
        ``"BIAS"`` adds the vector; ``"BGRADA"`` writes the sums of b's columns to it.
    vector : array of m elements
    """
    lt = library()
    if lt is None or out.dtype.name not in _TYPES or not a.dtype == b.dtype == out.dtype:
        return False
    layouts = layout_of(a), layout_of(b), layout_of(out)
    if None in layouts or layouts[2].by_columns or not out.size or not a.size:  # type: ignore[union-attr] # no None
        return False
    if a.shape[1] != b.shape[0] or out.shape != (a.shape[0], b.shape[1]):
        raise ValueError(f"{a.shape} @ {b.shape} does not give {out.shape}")
    if vector is not None and vector.size != out.shape[1]:
        raise ValueError(f"{out.shape[1]} columns do not fit a vector of {vector.size}")
    if epilogue == "BGRADA" and a.shape[1] == 1:  # which cuBLAS lacks, or did
        return False
    if vector is not None and (alignment(vector) < _VECTOR or vector.dtype != out.dtype):
        return False
    device = cupy.cuda.runtime.getDevice()
    alignments = alignment(a), alignment(b), alignment(out)
    pointed = None if vector is None else alignment(vector)
    shape = a.shape[0], a.shape[1], b.shape[1]
    key = device, out.dtype.name, tf32, epilogue, shape, layouts, alignments, pointed
    handle = _handle(lt, device)
    with _lock:
        try:
            if key not in _plans:
                new = Plan(lt, out.dtype.name, tf32, epilogue, shape, *layouts, alignments)  # type: ignore[arg-type] # no None
                found = False
                try:
                    new.point(vector)
                    found = new.find(handle)
                finally:
                    if not found:
                        new.close()
                _log.debug("cuBLASLt, %s: %s", key, new.describe() if found else "none")
                if not found and _is_recording():
                    return False  # there may be one later
                _keep(key, new if found else None)
            plan = _plans[key]
            if plan is None:
                return False
            plan.point(vector)
            plan.run(handle, a, b, out)
        except lt.cuBLASLtError as error:
            if error.status == _NOT_SUPPORTED and not _is_recording():
                _keep(key, None)
            _tell(f"cuBLASLt has refused a product, which is done otherwise: {error}")
            return False
    return True


def _is_recording() -> bool:
    stream = cupy.cuda.get_current_stream()
    try:
        return bool(stream.ptr) and bool(stream.is_capturing())
    except Exception:  # it was, and something has made the recording invalid
        return True


@functools.lru_cache(64)
def _tell(text: str) -> None:
    """Put a text into the log, once."""
    _log.warning(text)


def _keep(key: Any, plan: Plan | None) -> None:
    """Keep a plan, and drop the oldest ones above `_MOST_PLANS`."""
    former = _plans.pop(key, None)
    while len(_plans) >= _MOST_PLANS:
        oldest = _plans.pop(next(iter(_plans)))
        if oldest is not None:
            oldest.close()
    if former is not None:
        former.close()
    _plans[key] = plan
