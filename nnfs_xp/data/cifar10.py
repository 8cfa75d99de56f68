"""CIFAR-10, from its official binary files.

A. Krizhevsky, 2009, *Learning Multiple Layers of Features from Tiny Images*: 50,000 pictures for
training and 10,000 for the test, 32 x 32 pixels in colour, in ten classes.

A file has 10,000 records, each a byte for the label and 3,072 for the picture: its red, its green
and its blue pixels, row by row. Source: https://www.cs.toronto.edu/~kriz/cifar.html, section
"Binary version".
"""

from __future__ import annotations

import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp._checks import check_bool
from nnfs_xp.data.downloads import ENVIRONMENT, download, folders_of
from nnfs_xp.data.scaled import Scaled
from nnfs_xp.data.splits import Split
from nnfs_xp.errors import DataError

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

_FOLDER = "cifar-10-batches-bin"
_ARCHIVE = "cifar-10-binary.tar.gz"
_MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
_CHECKSUM = "md5:c32a1d4ab5d03f1284b67883e8d87530"

_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_ALL = (*_TRAIN, "test_batch.bin")

_RECORDS = 10_000
"""Of each file."""

_RECORD = 1 + 32 * 32 * 3
"""Bytes."""


def load_cifar10(*, compact: bool = False) -> Split:
    """The CIFAR-10 pictures of ten classes, named in `CIFAR10_CLASSES`.

    The six .bin files are searched for in ``cifar-10-batches-bin``, and else the official archive
    ``cifar-10-binary.tar.gz`` beside it: in ``$NNFS_XP_DATA`` and in the user's cache. What is not
    there is downloaded into the cache, with a checksum, which takes the extra ``data``.

    Parameters
    ----------
    compact : bool
        Whether the pixels stay bytes until a batch of them is taken, as `Scaled`: 184 MB in place
        of 737 MB, and the same values.

    Returns
    -------
    Split
        ``X_train, y_train, X_test, y_test``: pictures as float32 (n, 32, 32, 3) in [0, 1],
        channels last, and labels as int64 (n,), with n = 50,000 and 10,000.

    Raises
    ------
    DataError
        The files are not found and cannot be downloaded, or one is damaged.
    """
    check_bool("compact", compact)
    images = np.empty((len(_ALL) * _RECORDS, 32, 32, 3), dtype=np.uint8)
    labels = np.empty(len(images), dtype=np.int64)
    for name, where, content in _contents():
        place = _ALL.index(name) * _RECORDS
        part = slice(place, place + _RECORDS)
        records = _records(where, content)
        labels[part] = records[:, 0]
        images[part] = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    parts: list[Any] = []
    n_train = len(_TRAIN) * _RECORDS
    for part in (slice(n_train), slice(n_train, None)):
        pixels = Scaled(images[part], 255)
        parts += [pixels if compact else pixels[:], labels[part]]
    return Split(*parts)


def _contents() -> Iterator[tuple[str, str, bytes]]:
    """Each file's name, where it is, for messages, and its content; downloaded if need be."""
    folders = folders_of(_FOLDER)
    for folder in folders:
        archive = folder.parent / _ARCHIVE
        if folder.is_dir():
            yield from _read(folder)
            return
        if archive.is_file():
            yield from _unpacked(archive)
            return
    places = " or ".join(str(folder.parent) for folder in folders)
    remedy = (
        f"Put the official {_ARCHIVE}, or the folder {_FOLDER} that is in it, into {places}, or "
        f"name the folder that holds it in the environment variable {ENVIRONMENT}."
    )
    cache = folders[-1]
    archive = download(_ARCHIVE, "CIFAR-10", cache.parent, _MIRRORS, _CHECKSUM, remedy)
    _keep(archive, cache)
    archive.unlink()
    yield from _read(cache)


def _read(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """The files in a folder."""
    for name in _ALL:
        path = folder / name
        try:
            size = path.stat().st_size
            if size != _RECORDS * _RECORD:
                raise DataError(_of_wrong_size(str(path), size))
            yield name, str(path), path.read_bytes()
        except FileNotFoundError:
            raise DataError(
                f"there is no file {path}, though its folder is there. Put the file there, or "
                "delete the folder to fetch all again."
            ) from None
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}.") from error


def _unpacked(archive: Path) -> Iterator[tuple[str, str, bytes]]:
    """The files in the official archive."""
    missing = set(_ALL)
    try:
        with tarfile.open(archive, "r:gz") as packed:
            for member, name in _members(packed):
                where = f"{member.name} in {archive}"
                if member.size != _RECORDS * _RECORD:
                    raise DataError(_of_wrong_size(where, member.size))
                file = packed.extractfile(member)
                assert file is not None  # it is a plain file
                yield name, where, file.read()
                missing.discard(name)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{archive} is damaged or truncated ({error}). Delete it and fetch it again."
        ) from error
    if missing:
        raise DataError(
            f"{archive} holds no {', '.join(sorted(missing))}. Delete it and fetch it again."
        )


def _members(packed: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str]]:
    for member in packed:
        name = member.name.rpartition("/")[2]
        if member.isfile() and name in _ALL:
            yield member, name


def _keep(archive: Path, folder: Path) -> None:
    """Unpack the archive into a folder, which is there with all files or not at all."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}-") as new:
        whole = Path(new) / folder.name
        whole.mkdir()
        for name, _, content in _unpacked(archive):
            (whole / name).write_bytes(content)
        if not folder.exists():  # another process may have been faster
            os.replace(whole, folder)


def _records(where: str, content: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, _RECORD)
    highest = records[:, 0].max()
    if highest > 9:
        raise DataError(
            f"{where} is damaged: it holds the label {highest}; labels go from 0 to 9. Delete it "
            "and fetch it again."
        )
    return records


def _of_wrong_size(where: str, size: int) -> str:
    whole = _RECORDS * _RECORD
    kind = "is cut short" if size < whole else "is no file of CIFAR-10's binary version"
    return (
        f"{where} {kind}: it has {size:,} bytes, where {_RECORDS:,} pictures take {whole:,}. "
        "Delete it and fetch it again."
    )
