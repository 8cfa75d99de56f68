"""Text files as they come: compressed or not, in whatever encoding."""

from __future__ import annotations

import codecs
import gzip
import io
import logging
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TextIO, TypeVar, cast

from nnfs_xp.errors import DataError

_LOG = logging.getLogger(__name__)
_GZIP = b"\x1f\x8b"
_LOOKED_AT = 65536
"""Bytes at the file's start that tell what it is."""

_KINDS = {
    b"PK\x03\x04": "a zip archive, as Excel writes them; save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file; save the sheet as CSV",
    b"\x89PNG": "a picture",
    b"%PDF": "a PDF file",
}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NAMES = {"cp1252": "Windows-1252 (Latin-1)", "latin-1": "Latin-1"}

Result = TypeVar("Result")


def read_text(path: Path, reader: Callable[[TextIO], Result]) -> Result:
    """Read the file's text; return what the reader makes of it.

    The text is UTF-8, or what the byte order mark at its start says, or else Windows-1252, a
    superset of Latin-1. A log line names an encoding other than UTF-8.

    Parameters
    ----------
    path : Path
        Of a text file, which gzip may have compressed.
    reader : callable
        Called with the open file, again with the next encoding where one does not fit.

    Raises
    ------
    DataError
        The file cannot be read, is empty, damaged, or holds no text.
    """
    try:
        start = _start(path)
        for encoding in _encodings(path, start):
            try:
                with _open(path, encoding) as file:
                    result = reader(file)
            except UnicodeDecodeError:
                continue
            if encoding not in ("utf-8", "utf-8-sig"):
                _LOG.info("%s is no UTF-8: read as %s", path, _NAMES.get(encoding, encoding))
            return result
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged gzip file: {error}.") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}.") from error
    raise DataError(f"{path} is damaged: it begins as {encoding}, but does not go on so.")


def _start(path: Path) -> bytes:
    with _open_bytes(path) as file:
        return file.read(_LOOKED_AT)


def _open_bytes(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def _open(path: Path, encoding: str) -> TextIO:
    # newline="": line ends within quotes are the field's, and csv finds the others itself.
    return io.TextIOWrapper(_open_bytes(path), encoding=encoding, newline="")


def _encodings(path: Path, start: bytes) -> tuple[str, ...]:
    """The encodings to try, by the file's first bytes."""
    if not start.strip(b"\r\n\t "):
        raise DataError(f"{path} is empty.")
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return (encoding,)
    for magic, kind in _KINDS.items():
        if start.startswith(magic):
            raise DataError(f"{path} is no CSV file but {kind}.")
    if b"\x00" in start:
        guess = _unmarked_utf_16(start)
        if guess is None:
            raise DataError(f"{path} holds NUL bytes: it is no text file, or damaged.")
        return (guess,)
    return ("utf-8", "cp1252", "latin-1")


def _unmarked_utf_16(start: bytes) -> str | None:
    """The encoding where every other byte is NUL, as in Latin letters in UTF-16."""
    even, odd = start[::2].count(0) / len(start), start[1::2].count(0) / len(start)
    if odd > 0.3 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.3 and odd < 0.05 else None
