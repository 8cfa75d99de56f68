"""Arrays and a description of them in one file: safetensors, with JSON in its metadata.

The JSON holds a version and a checksum of itself and the arrays. Reading takes no more memory
than the file has bytes, some times over, whatever its header says, and executes nothing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp.errors import CheckpointError
from nnfs_xp.interop.atomic import write_atomically

VERSION = 1
_CHECKSUM = "sha256"

MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a forged description may lead to."""

Arrays = dict[str, np.ndarray[Any, Any]]


def write_tensors(path: Path, kind: str, description: dict[str, Any], arrays: Arrays) -> None:
    """Write arrays and what is to be known of them, whole or not at all.

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
        The file cannot be written, or JSON cannot hold the description.
    """
    from safetensors.numpy import save

    description = {"version": VERSION, **description}
    # safetensors writes the memory as it lies.
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        description[_CHECKSUM] = _checksum(description, arrays)
    except TypeError as error:
        raise CheckpointError(f"cannot write {path}: JSON cannot hold it: {error}.") from error
    content = save(arrays, metadata={kind: json.dumps(description)})
    try:
        write_atomically(path, content)
    except (OSError, ValueError) as error:  # ValueError: the path names no file
        raise CheckpointError(f"cannot write {path}: {error}.") from error


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Any], Arrays]:
    """The description and the arrays, as they were when they were written.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, none of ours, of another kind, or of another version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if kind not in metadata:
                raise CheckpointError(f"{path} holds no {kind}, but other safetensors.")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # no dict
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}.") from None
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no {kind} file, or damaged: {error}.") from error
    try:
        description = json.loads(metadata[kind])
        version, checksum = description["version"], description.pop(_CHECKSUM, None)
        expected = _checksum(description, arrays)
    except MALFORMED as error:
        raise CheckpointError(f"{path} describes no {kind} that can be built: {error}.") from error
    if version != VERSION:
        raise CheckpointError(
            f"{path} is of format version {version}; this release reads {VERSION}."
        )
    if checksum != expected:
        raise CheckpointError(f"{path} is damaged: its checksum does not fit its content.")
    return description, arrays


def _checksum(description: dict[str, Any], arrays: Arrays) -> str:
    """SHA-256 of the description and of each array's name, data type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
