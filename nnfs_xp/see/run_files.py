"""The files that watched trainings append to: found below a folder, and read as they grow."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nnfs_xp.training.watch_file import FILE

MOST_LEVELS = 3
MOST_RUNS = 300
_MOST_ENTRIES = 50_000
_CHUNK = 1 << 20
_LONGEST_LINE = 8 << 20
_HEAD = 256
_ROW_START = re.compile(rb'\{"is"\s*:')
# Opening a pipe must not wait, and no link may lead out of the folder. Windows has neither flag.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
)


def find_runs(folder: Path) -> dict[str, Path]:
    """Find the files of watched trainings in a folder and at most three levels below it.

    Links and hidden folders are passed over. The search gives up after some hundreds of runs, or
    some ten thousands of entries, so that a large tree does not hold up the page.

    Parameters
    ----------
    folder : Path
        Need not exist yet.

    Returns
    -------
    dict of str to Path
        The files by the names of their runs: paths relative to `folder`, with slashes; ``"."`` is
        the folder itself. Sorted, folders that lie higher first.
    """
    found: dict[str, Path] = {}
    level, left = [folder], _MOST_ENTRIES
    for _ in range(MOST_LEVELS + 1):
        below: list[Path] = []
        for place in level:
            names = _entries(place, left)
            left -= len(names)
            for name, is_folder in names:
                if is_folder:
                    below.append(place / name)
                elif len(found) < MOST_RUNS:
                    found.setdefault(_name(place.relative_to(folder)), place / name)
            if left <= 0 or len(found) >= MOST_RUNS:
                return found
        level = below
    return found


def _entries(folder: Path, most: int) -> list[tuple[str, bool]]:
    """The file of a run and the folders in a folder, sorted, each with whether it is a folder."""
    entries = []
    try:
        with os.scandir(folder) as scan:
            for count, entry in enumerate(scan):
                if count >= most:
                    break
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith("."):
                        entries.append((entry.name, True))
                elif entry.name == FILE and entry.is_file(follow_symlinks=False):
                    entries.append((entry.name, False))
    except OSError:
        return []
    return sorted(entries)


def _name(path: Path) -> str:
    """The path as text that UTF-8 can hold, whatever bytes are in it."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


class WatchReader:
    """Rows of one file, read once each, as whole lines come in.

    Attributes
    ----------
    n_skipped : int
        Lines so far that were not rows.
    n_restarts : int
        How often the file turned out to be another than before, and was begun anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.n_restarts = 0
        self._begin()

    def _begin(self) -> None:
        self.n_skipped = 0
        self._offset = 0
        self._head = b""
        self._identity = (0, 0)
        self._line = b""
        self._too_long = False

    def chunks(self) -> Iterator[list[dict[str, Any]]]:
        """Read what is new, in pieces of about a megabyte.

        Yields
        ------
        list of dict
            The rows of the lines that ended in this piece. When `n_restarts` has grown, rows that
            were given before are void.
        """
        try:
            descriptor = os.open(self._path, _FLAGS)
        except OSError:
            return
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if not self._is_usable(file.fileno()):
                return
            file.seek(self._offset)
            while chunk := file.read(_CHUNK):
                if len(self._head) < _HEAD:
                    self._head = (self._head + chunk)[:_HEAD]
                self._offset += len(chunk)
                yield self._rows(chunk)

    def _is_usable(self, descriptor: int) -> bool:
        """Whether it is a plain file; one that was replaced is begun anew."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return False
        identity = (status.st_dev, status.st_ino)
        if self._offset:
            kept = identity == self._identity and status.st_size >= self._offset
            # A file that was cut and has grown past the old end shows in its first bytes.
            if kept and status.st_size > self._offset:
                kept = os.read(descriptor, len(self._head)) == self._head
            if not kept:
                self._begin()
                self.n_restarts += 1
        self._identity = identity
        return True

    def _rows(self, chunk: bytes) -> list[dict[str, Any]]:
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = self._line + lines[0]
            if self._too_long:
                # What follows the cut of a long line is its rest; another row may start in it.
                lines[0] = b"\x00" + lines[0]
            self._line, self._too_long = rest, False
        else:
            self._line += rest
        if len(self._line) > _LONGEST_LINE:
            self._line, self._too_long = b"", True
        return [row for line in lines if (row := self._row(line)) is not None]

    def _row(self, line: bytes) -> dict[str, Any] | None:
        line = line.strip()
        if not line:
            return None
        row = _parse(line)
        if row is None:
            self.n_skipped += 1
            # A run that was killed while it wrote left half a line, and the next one wrote on.
            starts = [match.start() for match in _ROW_START.finditer(line, 1)]
            row = _parse(line[starts[-1] :]) if starts else None
        return row


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def is_finished(path: Path) -> bool:
    """Tell from the last line of a run's file whether its training has ended by itself.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool
    """
    try:
        descriptor = os.open(path, _FLAGS)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return False
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1024))
            last = file.read(1024)
    except OSError:
        return False
    if not last.endswith(b"\n"):
        return False
    row = _parse(last[last.rfind(b"\n", 0, -1) + 1 :])
    return row is not None and row.get("is") == "end"
