"""Refuse unusable paths, before a file is written or read."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError, CheckpointError


def path_of(path: object, name: str = "path") -> Path:
    """The path, or `ArgumentError` for what is none; `name` is the argument's.

    Examples
    --------
    >>> path_of("model.onnx").name
    'model.onnx'
    """
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise ArgumentError(
            f"`{name}` must be a string or a pathlib.Path; got {shown(repr(path))}."
        )
    if not os.fspath(path):
        raise ArgumentError(f"`{name}` must not be empty.")
    return Path(path)


def shown_path(path: str | Path) -> str:
    """The path as a message can show it: on one line, printable, and whole."""
    return shown(str(path), 4096)


def absolute(path: Path) -> Path:
    """The path from the root on, for the working directory may change.

    Raises
    ------
    ArgumentError
        There is no working directory any more.
    """
    try:
        return path.absolute()
    except FileNotFoundError:
        raise ArgumentError(
            f"`path` {shown_path(path)} is relative to a folder that is gone. Name it from the "
            "root on."
        ) from None


def check_writable(path: Path) -> Path:
    """Make the folder of a file that is to be written; refuse where there can be no such file.

    Returns
    -------
    Path
        From the root on.

    Raises
    ------
    ArgumentError
    """
    path = absolute(path)
    try:
        target = Path(os.path.realpath(path))  # the file that a link leads to is replaced
        reason = (
            _obstacle_at(path)
            or read_only(path)
            or _make_folder(path.parent)
            or _make_folder(target.parent)
        )
    except (OSError, ValueError) as error:  # ValueError: the path names no file
        reason = _reason_of(error)
    if reason:
        raise ArgumentError(f"cannot write {shown_path(path)}: {reason}.")
    return path


def check_possible(path: Path) -> None:
    """Refuse where there can be no such file; make nothing.

    Raises
    ------
    ArgumentError
    """
    try:
        reason = _obstacle_at(path) or _obstacle_above(path.parent)
    except (OSError, ValueError) as error:
        reason = _reason_of(error)
    if reason:
        raise ArgumentError(f"cannot write {shown_path(path)}: {reason}.")


def make_folder(folder: Path) -> Path:
    """Make a folder, those above it included; refuse where no file can be written into it.

    Returns
    -------
    Path
        From the root on.

    Raises
    ------
    ArgumentError
    """
    folder = absolute(folder)
    try:
        reason = _make_folder(folder)
    except (OSError, ValueError) as error:
        reason = _reason_of(error)
    if reason:
        raise ArgumentError(f"cannot write into {shown_path(folder)}: {reason}.")
    return folder


def read_only(path: Path) -> str | None:
    """A reason not to replace a file, or None: one that is read-only is meant to stay."""
    protected = path.exists() and not os.access(path, os.W_OK)
    return "it is read-only" if protected else None


def _make_folder(folder: Path) -> str | None:
    """Make it and try it out; return what is in the way, or None."""
    if reason := _obstacle_above(folder):
        return reason
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return None


def _obstacle_at(path: Path) -> str | None:
    """Why what is there can be no file, or None."""
    if _is_dangling(path):
        return "it is a link that leads nowhere"
    if path.name == "..":
        return "it is a folder"
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(mode):
        return "it is a folder"
    return None if stat.S_ISREG(mode) else "it is a device"


def _obstacle_above(folder: Path) -> str | None:
    """Why there can be no such folder, or None."""
    for each in (folder, *folder.parents):
        if _is_dangling(each):
            return f"{shown_path(each)} is a link that leads nowhere"
        if each.exists():
            return None if each.is_dir() else f"{shown_path(each)} is no folder"
    return None


def _is_dangling(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


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
            raise CheckpointError(
                f"{shown_path(path)} is no {kind} file, but a folder or a device."
            )
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {shown_path(path)}.") from None
    except (OSError, ValueError) as error:  # ValueError: the path names no file
        raise CheckpointError(f"{shown_path(path)} cannot be read: {shown(error)}.") from error
