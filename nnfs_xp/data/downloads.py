"""Where data sets are looked for, and how their files are downloaded."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from nnfs_xp.errors import DataError

_log = logging.getLogger("nnfs_xp")

ENVIRONMENT = "NNFS_XP_DATA"

_TRIES = 3
_SECONDS = 30


def folders_of(name: str) -> list[Path]:
    """The folders that hold the data set of that name, if they are there; the cache is last."""
    from platformdirs import user_cache_path

    folders = [user_cache_path("nnfs_xp") / name]
    if os.environ.get(ENVIRONMENT):
        folders.insert(0, Path(os.environ[ENVIRONMENT]).expanduser() / name)
    return folders


def download(
    file: str, data_set: str, folder: Path, mirrors: Sequence[str], checksum: str, remedy: str
) -> Path:
    """Download a file into a folder, from the first mirror that has it as it should be.

    Parameters
    ----------
    file, data_set : str
        Their names.
    folder : Path
    mirrors : sequence of str
        Addresses that end before the name of the file.
    checksum : str
        As ``sha256:…`` or ``md5:…``.
    remedy : str
        What to do where it cannot be had.

    Raises
    ------
    DataError
        It cannot be downloaded, or pooch is not installed.
    """
    try:
        import pooch
    except ImportError:
        raise DataError(
            f"{file} of {data_set} was not found, and downloading takes "
            f"pip install 'nnfs-xp[data]'. {remedy}"
        ) from None
    downloader = pooch.HTTPDownloader(timeout=_SECONDS)
    reasons = []
    for mirror in mirrors:
        _log.info("downloading %s", mirror + file)
        source = pooch.create(
            path=folder, base_url=mirror, registry={file: checksum}, retry_if_failed=_TRIES - 1
        )
        try:
            return Path(source.fetch(file, downloader=downloader))
        except Exception as error:  # requests, urllib3, OSError, or ValueError for the checksum
            reasons.append(f"{mirror}: {type(error).__name__}")
    raise DataError(
        f"{file} of {data_set} was not found and could not be downloaded ({'; '.join(reasons)}). "
        f"{remedy}"
    )
