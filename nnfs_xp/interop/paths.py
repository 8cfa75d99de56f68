"""Refuse unusable paths, before a file is written or read."""

from __future__ import annotations

import os
from pathlib import Path

from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError, CheckpointError


def path_of(path: object) -> Path:
    """The path, or `ArgumentError` for what is none.

    Examples
    --------
    >>> path_of("model.onnx").name
    'model.onnx'
    """
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise ArgumentError(f"`path` must be a string or a pathlib.Path; got {shown(repr(path))}.")
    return Path(path)


def check_readable(path: Path, kind: str) -> None:
    """Refuse what cannot be opened as a file, with the reason.

    Libraries that read files tell less: to safetensors, what may not be read does not exist.

    Raises
    ------
    CheckpointError
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise CheckpointError(f"{path} is no {kind} file, but a folder or a device.")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}.") from None
    except (OSError, ValueError) as error:  # ValueError: the path names no file
        raise CheckpointError(f"{path} cannot be read: {shown(error)}.") from error
