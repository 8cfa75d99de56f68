"""Arrays and a description of them in one file: safetensors, with JSON in its metadata.

The JSON holds a version and a checksum of itself and the arrays. Reading takes no more memory
than the file has bytes, some times over, whatever its header says, and executes nothing.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.errors import CheckpointError, DTypeError, NnfsError
from nnfs_xp.interop.atomic import write_file
from nnfs_xp.interop.paths import check_readable

VERSION = 1
_CHECKSUM = "crc32"
_METADATA = "__metadata__"

_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}
"""The names that safetensors has for them."""

WIDENED = {"BF16": "F32"}
"""Types that NumPy lacks, and those that they are read as, which hold all their values."""

MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    NnfsError,
    RecursionError,
    TypeError,
    ValueError,
)
"""The exceptions that a forged description may lead to."""

Arrays = dict[str, np.ndarray[Any, Any]]


def write_tensors(path: Path, kind: str, description: dict[str, Any], arrays: Arrays) -> None:
    """Write arrays and a description of them, whole or not at all.

    Parameters
    ----------
    path : Path
    kind : str
        What the file holds: the key of the description in the metadata.
    description : dict
        What JSON can hold.
    arrays : dict of str to ndarray

    Raises
    ------
    CheckpointError
        The file cannot be written, or JSON cannot hold the description, or safetensors cannot
        hold an array.
    """
    # The widest first, so that each lies at a multiple of its elements' size.
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    stored = {name: _plain(arrays[name]) for name in order}
    description = {"version": VERSION, **description}
    try:
        description[_CHECKSUM] = _checksum(description, stored)
        header = _header({kind: json.dumps(description)}, stored)
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(f"cannot write {path}: no file can hold it: {error}.") from error
    write_file(path, header, *map(_bytes, stored.values()))


def read_description(path: Path, kind: str) -> tuple[dict[str, Any], Arrays]:
    """The description and, in place of the arrays, ones of their shapes that take no memory.

    So what does not fit can be refused before a forged file takes gigabytes. Whether the file is
    whole is known only from `read_tensors`.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, not of this package, of another kind, or of another version.
    """
    text, forms = _read(path, kind, form)
    return _described(path, kind, text)[0], forms


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Any], Arrays]:
    """The description and the arrays, as they were when they were written.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, not of this package, of another kind, or of another version.
    """
    text, arrays = _read(path, kind, lambda file, name: file.get_tensor(name))
    description, checksum = _described(path, kind, text)
    if checksum != _checksum(description, arrays):
        raise CheckpointError(f"{path} is damaged: its checksum does not fit its content.")
    return description, arrays


def form(file: Any, name: str) -> np.ndarray[Any, Any]:
    """An array of the shape and data type of one in an open file, which takes no memory.

    Raises
    ------
    DTypeError
        NumPy has no such data type.
    """
    piece = file.get_slice(name)
    dtype = WIDENED.get(piece.get_dtype(), piece.get_dtype())
    ours = next((ours for ours, theirs in _DTYPES.items() if theirs == dtype), None)
    if ours is None:
        raise DTypeError(f"`{shown(name)}` is of type {shown(dtype)}, which NumPy has not.")
    return np.broadcast_to(np.zeros((), dtype=ours), tuple(piece.get_shape()))


def _read(path: Path, kind: str, take: Callable[[Any, str], Any]) -> tuple[str, Arrays]:
    """The text of the description, and what `take` returns for each array."""
    from safetensors import SafetensorError, safe_open

    try:
        check_readable(path, kind)
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if kind not in metadata:
                raise CheckpointError(f"{path} holds no {kind}, but other safetensors.")
            return metadata[kind], {name: take(file, name) for name in file.keys()}  # noqa: SIM118 # no dict
    except (SafetensorError, OSError, *MALFORMED) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is no {kind} file, or damaged: {shown(error)}.") from error


def _described(path: Path, kind: str, text: str) -> tuple[dict[str, Any], Any]:
    """The description, and the checksum that was in it."""
    try:
        description = json.loads(text)
        version, checksum = description["version"], description.pop(_CHECKSUM, None)
    except MALFORMED as error:
        raise CheckpointError(
            f"{path} describes no {kind} that can be built: {shown(error)}."
        ) from error
    if version != VERSION:
        raise CheckpointError(
            f"{path} is of format version {shown(version)}; this release reads {VERSION}."
        )
    return description, checksum


def _plain(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array as its bytes are stored: in one piece, row by row, little-endian."""
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _bytes(array: np.ndarray[Any, Any]) -> Any:
    return array.reshape(-1).view(np.uint8).data


def _header(metadata: dict[str, str], arrays: Arrays) -> bytes:
    """The length of the JSON in 8 bytes, and the JSON, filled up with blanks to a multiple of 8.

    Source: the README of safetensors, section "Format".
    """
    entries: dict[str, Any] = {_METADATA: metadata}
    end = 0
    for name, array in arrays.items():
        if name == _METADATA:
            raise ValueError(f"no array can have the name {name}")
        begin, end = end, end + array.nbytes
        entries[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": (begin, end),
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _checksum(description: dict[str, Any], arrays: Arrays) -> str:
    """CRC-32 of the description and of each array's name, data type, shape and bytes.

    It finds damage, at several times the speed of a hash that would also withstand forgers;
    these could put any hash into a file that they forge.
    """
    crc = zlib.crc32(json.dumps(description, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        crc = zlib.crc32(f"\n{name} {array.dtype.name} {array.shape}\n".encode(), crc)
        crc = zlib.crc32(_bytes(_plain(array)), crc)
    return f"{crc:08x}"
