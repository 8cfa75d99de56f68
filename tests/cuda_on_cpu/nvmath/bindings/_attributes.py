"""cuBLASLt's objects that are made of attributes, the names of these, and their types."""

# ruff: noqa: N801, N818 - the library's name, and one like it

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import numpy as np

_STATUSES = {
    1: ("NOT_INITIALIZED", "the library was not initialized"),
    7: ("INVALID_VALUE", "an unsupported value or parameter was passed to the function"),
    13: ("EXECUTION_FAILED", "the function failed to launch on the GPU"),
    14: ("INTERNAL_ERROR", "an internal operation failed"),
    15: ("NOT_SUPPORTED", "the requested functionality is not supported"),
}
INVALID_VALUE, EXECUTION_FAILED, INTERNAL_ERROR, NOT_SUPPORTED = 7, 13, 14, 15


class cuBLASLtError(Exception):
    """A status of the library that is no success."""

    def __init__(self, status: int) -> None:
        self.status = status
        name, text = _STATUSES[status]
        super().__init__(f"{text} (CUBLAS_STATUS_{name})")


class Refused(cuBLASLtError):
    """The same, with what is wrong."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status)
        self.args = (f"{self.args[0]}: {reason}",)


class Epilogue(IntEnum):
    DEFAULT = 1
    RELU = 2
    BIAS = 4
    RELU_BIAS = 6
    GELU = 32
    GELU_BIAS = 36
    RELU_AUX = 130
    RELU_AUX_BIAS = 134
    DRELU = 136
    DRELU_BGRAD = 152
    GELU_AUX = 160
    GELU_AUX_BIAS = 164
    DGELU = 192
    DGELU_BGRAD = 208
    BGRADA = 256
    BGRADB = 512


class MatmulDescAttribute(IntEnum):
    COMPUTE_TYPE = 0
    SCALE_TYPE = 1
    POINTER_MODE = 2
    TRANSA = 3
    TRANSB = 4
    TRANSC = 5
    FILL_MODE = 6
    EPILOGUE = 7
    BIAS_POINTER = 8
    BIAS_BATCH_STRIDE = 10
    EPILOGUE_AUX_POINTER = 11
    EPILOGUE_AUX_LD = 12
    EPILOGUE_AUX_BATCH_STRIDE = 13
    SM_COUNT_TARGET = 15
    EPILOGUE_AUX_DATA_TYPE = 22
    FAST_ACCUM = 25
    BIAS_DATA_TYPE = 26


class MatrixLayoutAttribute(IntEnum):
    TYPE = 0
    ORDER = 1
    ROWS = 2
    COLS = 3
    LD = 4
    BATCH_COUNT = 5
    STRIDED_BATCH_OFFSET = 6


class MatmulPreferenceAttribute(IntEnum):
    SEARCH_MODE = 0
    MAX_WORKSPACE_BYTES = 1
    REDUCTION_SCHEME_MASK = 3
    MIN_ALIGNMENT_A_BYTES = 5
    MIN_ALIGNMENT_B_BYTES = 6
    MIN_ALIGNMENT_C_BYTES = 7
    MIN_ALIGNMENT_D_BYTES = 8
    MAX_WAVES_COUNT = 9
    IMPL_MASK = 12


class Order(IntEnum):
    COL = 0
    ROW = 1


class PointerMode(IntEnum):
    HOST = 0
    DEVICE = 1


DTYPES: dict[type[IntEnum], dict[Any, type[np.generic]]] = {
    MatmulDescAttribute: {
        each: np.int64
        if any(part in each.name for part in ("_POINTER", "STRIDE", "_LD"))
        else np.int32
        for each in MatmulDescAttribute
    }
    | {MatmulDescAttribute.EPILOGUE: np.uint32, MatmulDescAttribute.FAST_ACCUM: np.int8},
    MatrixLayoutAttribute: {
        MatrixLayoutAttribute.TYPE: np.uint32,
        MatrixLayoutAttribute.ORDER: np.int32,
        MatrixLayoutAttribute.ROWS: np.uint64,
        MatrixLayoutAttribute.COLS: np.uint64,
        MatrixLayoutAttribute.LD: np.int64,
        MatrixLayoutAttribute.BATCH_COUNT: np.int32,
        MatrixLayoutAttribute.STRIDED_BATCH_OFFSET: np.int64,
    },
    MatmulPreferenceAttribute: dict.fromkeys(MatmulPreferenceAttribute, np.uint32)
    | {
        MatmulPreferenceAttribute.MAX_WORKSPACE_BYTES: np.uint64,
        MatmulPreferenceAttribute.MAX_WAVES_COUNT: np.float32,
        MatmulPreferenceAttribute.IMPL_MASK: np.uint64,
    },
}

_handles = itertools.count(0x5CB1_A500_0000, 0x100)
_objects: dict[int, Any] = {}


def keep(thing: Any) -> int:
    """A handle for the object."""
    handle = next(_handles)
    _objects[handle] = thing
    return handle


def at(handle: int, kind: type) -> Any:
    """The object with that handle, which must be of that kind."""
    found = _objects.get(handle)
    if not isinstance(found, kind):
        raise Refused(INVALID_VALUE, f"{handle:#x} is the handle of no {kind.__name__}")
    return found


def forget(handle: int, kind: type) -> None:
    at(handle, kind)
    del _objects[handle]


class Attributes:
    """An object with the attributes of one enumeration, 0 where nothing else is given."""

    names: type[IntEnum]
    defaults: Mapping[IntEnum, int]

    def __init__(self, values: dict[IntEnum, int]) -> None:
        self.values: dict[IntEnum, Any] = dict.fromkeys(self.names, 0) | {**self.defaults, **values}

    def _dtype(self, attr: int) -> np.dtype[Any]:
        try:
            return np.dtype(DTYPES[self.names][self.names(attr)])
        except ValueError:
            raise Refused(INVALID_VALUE, f"no attribute {attr}") from None

    def set(self, attr: int, buf: int, size_in_bytes: int) -> None:
        dtype = self._dtype(attr)
        if not buf or size_in_bytes != dtype.itemsize:
            raise Refused(
                INVALID_VALUE,
                f"{self.names(attr)!r} takes {dtype.itemsize} bytes, not {size_in_bytes}",
            )
        value = np.frombuffer(ctypes.string_at(buf, size_in_bytes), dtype)[0]
        self.values[self.names(attr)] = value.item()

    def get(self, attr: int, buf: int, size_in_bytes: int, size_written: int) -> None:
        value = np.array(self.values[self.names(attr)], self._dtype(attr))
        if size_written:
            ctypes.c_size_t.from_address(size_written).value = value.nbytes
        if buf or size_in_bytes:
            if size_in_bytes < value.nbytes or not buf:
                raise Refused(INVALID_VALUE, f"{size_in_bytes} bytes are too few")
            ctypes.memmove(buf, value.tobytes(), value.nbytes)


class Handle:
    """The library on one device."""

    def __init__(self, device_id: int) -> None:
        self.device_id = device_id


class MatmulDesc(Attributes):
    names = MatmulDescAttribute
    defaults = MappingProxyType(
        {
            MatmulDescAttribute.FILL_MODE: 2,
            MatmulDescAttribute.EPILOGUE: Epilogue.DEFAULT,
            MatmulDescAttribute.EPILOGUE_AUX_DATA_TYPE: -1,
            MatmulDescAttribute.BIAS_DATA_TYPE: -1,
        }
    )


class MatrixLayout(Attributes):
    names = MatrixLayoutAttribute
    defaults = MappingProxyType({MatrixLayoutAttribute.BATCH_COUNT: 1})


class MatmulPreference(Attributes):
    names = MatmulPreferenceAttribute
    defaults = MappingProxyType(
        {
            MatmulPreferenceAttribute.REDUCTION_SCHEME_MASK: 7,
            MatmulPreferenceAttribute.MIN_ALIGNMENT_A_BYTES: 256,
            MatmulPreferenceAttribute.MIN_ALIGNMENT_B_BYTES: 256,
            MatmulPreferenceAttribute.MIN_ALIGNMENT_C_BYTES: 256,
            MatmulPreferenceAttribute.MIN_ALIGNMENT_D_BYTES: 256,
            MatmulPreferenceAttribute.IMPL_MASK: 2**64 - 1,
        }
    )
