"""Refuse unusable paths, before a file is written or read."""

from __future__ import annotations

import os
import tempfile
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


def check_writable(path: Path) -> None:
    """Make the folder of a file that is to be written; refuse where there can be no such file.

    Raises
    ------
    ArgumentError
    """
    try:
        target = Path(os.path.realpath(path))  # the file that a link leads to is replaced
        reason = _is_dangling(path) or ("it is a folder" if path.is_dir() else None)
        if not reason and path.exists() and not path.is_file():
            reason = "it is a device"
        reason = reason or _make_folder(path.parent) or _make_folder(target.parent)
    except (OSError, ValueError) as error:  # ValueError: the path names no file
        reason = _reason_of(error)
    if reason:
        raise ArgumentError(f"cannot write {shown(str(path))}: {reason}.")


def make_folder(folder: Path) -> None:
    """Make a folder, those above it included; refuse where no file can be written into it.

    Raises
    ------
    ArgumentError
    """
    try:
        reason = _make_folder(folder)
    except (OSError, ValueError) as error:
        reason = _reason_of(error)
    if reason:
        raise ArgumentError(f"cannot write into {shown(str(folder))}: {reason}.")


def _make_folder(folder: Path) -> str | None:
    """Make it and try it out; return what is in the way, or None."""
    for each in (folder, *folder.parents):
        if _is_dangling(each):
            return f"{each} is a link that leads nowhere"
        if each.exists():
            if not each.is_dir():
                return f"{each} is no folder"
            break
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return None


def _is_dangling(path: Path) -> str | None:
    leads_nowhere = path.is_symlink() and not path.exists()
    return "it is a link that leads nowhere" if leads_nowhere else None


def _reason_of(error: OSError | ValueError) -> str:
    return str(error.strerror if isinstance(error, OSError) else error)


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
