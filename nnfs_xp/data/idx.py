"""The IDX file format of the MNIST family, gzipped.

A file is a header and the numbers in row-major order. The header, in big-endian bytes, is two
zeros, a type code (8 for unsigned bytes), the number of axes, and each axis' length as a
32-bit integer. Source: LeCun, Cortes and Burges, *The MNIST database*, section "File formats".
"""

from __future__ import annotations

import gzip
import struct
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp.errors import DataError

_UNSIGNED_BYTE = 8
_AXES = 8
_PIECE = 2**20
_LIMIT = 2**30
"""Bytes that a file may hold, so that a forged header cannot ask for all memory."""


def read_idx(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The array in a gzipped IDX file of unsigned bytes.

    Raises
    ------
    DataError
        The file cannot be read, is damaged or truncated, or is of another format.
    """
    try:
        with gzip.open(path, "rb") as file:
            zero, code, n_axes = struct.unpack(">HBB", _exactly(file, 4))
            if zero != 0 or code != _UNSIGNED_BYTE or not 0 < n_axes <= _AXES:
                raise DataError(f"{path} is no IDX file of unsigned bytes.")
            shape = struct.unpack(f">{n_axes}I", _exactly(file, 4 * n_axes))
            if prod(shape) > _LIMIT:
                raise DataError(f"{path} is damaged: its header promises the shape {shape}.")
            content = _at_most(file, prod(shape) + 1)  # one more, to see the end and its checksum
    except FileNotFoundError:
        raise DataError(f"there is no file {path}.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} is damaged or truncated ({error}). Delete it and fetch it again."
        ) from error
    if len(content) != prod(shape):
        found = f"{len(content)}" if len(content) < prod(shape) else "more"
        raise DataError(
            f"{path} is damaged: its header promises {prod(shape)} bytes {shape}, it holds "
            f"{found}. Delete it and fetch it again."
        )
    try:
        return np.frombuffer(content, dtype=np.uint8).reshape(shape)
    except ValueError as error:  # an axis of 0, and others beyond any memory
        raise DataError(f"{path} is damaged: its header promises the shape {shape}.") from error


def _at_most(file: gzip.GzipFile, count: int) -> bytes:
    """Read so many bytes, or all there are, piece by piece: `read` makes room for all at once."""
    pieces = []
    while count and (piece := file.read(min(count, _PIECE))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _exactly(file: gzip.GzipFile, count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise EOFError("the header ends early")
    return content
