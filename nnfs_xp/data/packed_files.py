"""Files that may be packed: what opens their content, and what is said of damaged ones."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from nnfs_xp._checks import shown
from nnfs_xp.errors import DataError

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
LARGEST = 2**31
"""Bytes that are unpacked into memory; a small file may hold far more."""

_PACKED: dict[bytes, tuple[str, Callable[[BinaryIO], Any]]] = {
    b"\x1f\x8b": ("gzip file", lambda file: gzip.GzipFile(fileobj=file)),
    b"BZh": ("bz2 file", bz2.BZ2File),
    b"\xfd7zXZ\0": ("xz file", lzma.LZMAFile),
    b"\x28\xb5\x2f\xfd": ("zstd file", lambda file: pa.CompressedInputStream(file, "zstd")),
}
_UNPACKING = (
    *(EOFError, OSError, RuntimeError, UnicodeError),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)
_OTHER = {
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file; save the sheet as .xlsx or CSV",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"%PDF": "a PDF file",
    b"SQLite format 3\0": "an SQLite database; save the result of a query as CSV",
    b"\x89HDF": "an HDF5 file; save the table as Parquet or CSV",
    b"FEA1": "a Feather file of version 1; save the table as Parquet",
    b"\x93NUMPY": "a NumPy array; load it with numpy.load",
    **{b"\x80%c" % n: "a pickle, which may run code; save the table as CSV" for n in range(2, 6)},
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
}

Opener = Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True)
class Content:
    """What is in a file, unpacked.

    Attributes
    ----------
    label : str
        How messages name it.
    suffix : str
        That of its name, in lower case: ``.csv`` of ``data.csv.gz``.
    open : callable
        Opens it at its start.
    is_packed : bool
    start : bytes
        The first bytes.
    """

    label: str
    suffix: str
    open: Opener
    is_packed: bool
    start: bytes

    def bytes(self) -> io.BytesIO:
        """All of it; refused where it is too large."""
        with self.open() as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise DataError(f"{self.label} holds over {LARGEST} bytes. Save it as CSV or Parquet.")
        return io.BytesIO(content)


@contextmanager
def content_of(path: Path) -> Iterator[Content]:
    """The content of a file, which is to be read within the context.

    Raises
    ------
    DataError
        The file cannot be read, is damaged, of a known kind that is no table, or changes while
        it is read.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise DataError(f"cannot read {path}: it is a pipe or a device. Name a file.")
        with path.open("rb"):
            before = _state(path)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}.") from error
    except (ValueError, UnicodeError) as error:
        raise DataError(f"cannot read {shown(str(path))}: {error}.") from error
    try:
        yield _content(path)
    except (DataError, OSError) as error:
        _check_same(path, before)
        if isinstance(error, DataError):
            raise
        raise DataError(f"cannot read {path}: {shown(error.strerror or error)}.") from error
    _check_same(path, before)


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _check_same(path: Path, before: tuple[int, ...]) -> None:
    if _state(path) != before:
        raise DataError(f"{path} changed while it was read. Read it again when it is complete.")


def _content(path: Path) -> Content:
    label, suffix = str(path), path.suffix.casefold()

    def plain() -> BinaryIO:
        return path.open("rb")

    found = Content(label, suffix, plain, False, _start(plain))
    for magic, (kind, unpack) in _PACKED.items():
        if found.start.startswith(magic) and (magic != b"BZh" or found.start[4:7] == b"1AY"):
            found = _inner(path, Path(path.stem).suffix.casefold(), kind, unpack)
    if found.start.startswith(ZIP) and not found.is_packed:
        found = _member(path, found)
    for magic, kind in _OTHER.items():
        if found.start.startswith(magic):
            raise DataError(f"{label} is no table but {kind}.")
    return found


def _start(open_file: Opener) -> bytes:
    with open_file() as file:
        return file.read(16)


def _inner(path: Path, suffix: str, kind: str, unpack: Callable[[BinaryIO], Any]) -> Content:
    """What is in a packed file."""

    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        phrase = f"a damaged {kind}"
        with damage(str(path), phrase, *_UNPACKING), path.open("rb") as raw, unpack(raw) as file:
            yield file

    start = _start(opened)
    if any(start.startswith(magic) for magic in _PACKED):
        raise DataError(f"{path} is packed twice. Unpack it once.")
    return Content(str(path), suffix, opened, True, start)


def _member(path: Path, archived: Content) -> Content:
    """The only file in a zip archive, or an Excel file as it is."""
    with damage(str(path), "a damaged zip archive", Exception), zipfile.ZipFile(path) as archive:
        names = [each.filename for each in archive.infolist() if not each.is_dir()]
    if "xl/workbook.xml" in names:
        return archived
    if "content.xml" in names or "xl/workbook.bin" in names:
        raise DataError(f"{path} is an .ods or .xlsb sheet; save it as .xlsx or CSV.")
    names = [name for name in names if not name.startswith("__MACOSX/")]
    if len(names) != 1:
        listed = shown(", ".join(names)) or "none"
        raise DataError(
            f"{path} is a zip archive of {len(names)} files: {listed}. Unpack the one to read."
        )

    @contextmanager
    def member(file: BinaryIO) -> Iterator[Any]:
        with zipfile.ZipFile(file) as archive, archive.open(names[0]) as content:
            yield content

    return _inner(path, Path(names[0]).suffix.casefold(), "zip archive", member)


@contextmanager
def damage(label: str, phrase: str, *errors: type[Exception]) -> Iterator[None]:
    """Say that the file is damaged, in these words, where one of these errors is raised."""
    try:
        yield
    except DataError:
        raise
    except errors as error:
        if isinstance(error, OSError) and error.errno:  # the disk's fault
            raise
        reason = shown(str(error).partition("\n")[0].rstrip(".") or type(error).__name__)
        raise DataError(f"{label} is {phrase}: {reason}.") from error
