"""Write a file so that it is there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from nnfs_xp.errors import ArgumentError, CheckpointError
from nnfs_xp.interop.paths import read_only, shown_path


def write_atomically(path: Path, *parts: Any) -> None:
    """Write next to the file, flush to the disk, and put it in the place of the old one.

    Where the path is a link, the file that it leads to is replaced; permissions stay, and a file
    that is read-only too.

    Parameters
    ----------
    path : Path
    *parts : bytes, or any other buffer
        Written one after the other, without a copy.

    Raises
    ------
    OSError
        It could not be written; the old file, if any, is as it was.
    ArgumentError
        No file can have that name.
    """
    try:
        _write(Path(os.path.realpath(path)), parts)
    except ValueError as error:
        raise ArgumentError(f"cannot write {shown_path(path)}: {error}.") from None
    except OSError as error:
        if error.errno is None:
            raise
        # It may name the file that was written first.
        reason = f"{error.strerror}{_remedy(path, error.errno)}"
        raise OSError(error.errno, reason, str(path)) from None


def _remedy(path: Path, number: int) -> str:
    """What to do about a folder that is missing, or that is none."""
    folder = os.path.dirname(os.path.realpath(path))
    if number not in (errno.ENOENT, errno.ENOTDIR) or os.path.isdir(folder):
        return ""
    there = folder
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if os.path.isdir(there):
        return f": make the folder {shown_path(folder)} first"
    return f": {shown_path(there)} is no folder"


def _write(path: Path, parts: tuple[Any, ...]) -> None:
    if path.is_symlink():  # it leads back to itself
        raise OSError(errno.ELOOP, "it is a link that leads nowhere")
    if path.exists() and not path.is_file():  # a file would take its place
        number = errno.EISDIR if path.is_dir() else errno.EINVAL
        raise OSError(number, "it is a folder or a device; name a file")
    if reason := read_only(path):
        raise OSError(errno.EACCES, reason)
    temporary = path.with_name(f".{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            with suppress(FileNotFoundError):
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # the error to be told is the first
            temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        _sync_folder(path.parent)


def write_file(path: Path, *parts: Any) -> None:
    """Write as `write_atomically` does; raise `CheckpointError` where that fails."""
    try:
        write_atomically(path, *parts)
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"cannot write {shown_path(path)}: {reason}.") from error
    except ArgumentError as error:
        raise CheckpointError(str(error)) from error


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # it may be written to, but not read
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
