"""CSV files, read strictly: every row has its number, and every row as many fields as columns."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

import pyarrow as pa

from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.tables.cells import is_number
from nnfs_xp.tables.text_file import read_text

_LOG = logging.getLogger(__name__)
SEPARATORS = (",", ";", "\t", "|")
_SNIFFED = 200
"""Rows that tell the separator."""

_AT_ONCE = 50_000
"""Rows that are held as Python strings, before Arrow holds them in less."""

_LONGEST = 16 * 2**20
"""Characters of a field; one that is longer is a quote left open."""


@dataclass(frozen=True)
class TextTable:
    """The cells of a file as they are written there.

    Attributes
    ----------
    columns : dict of str to Arrow strings
        By name, in the file's order.
    rows : list of int
        The number of each row in the file, the header being row 1.
    separator : str
    """

    columns: dict[str, pa.ChunkedArray]
    rows: list[int]
    separator: str


def read_csv(path: Path, separator: str | None = None) -> TextTable:
    """Read the cells of a CSV file.

    Parameters
    ----------
    path : Path
    separator : str, optional
        What stands between two fields; by default the one of ``, ; tab |`` that gives the first
        rows as many fields each.

    Raises
    ------
    ArgumentError
        The separator is a letter or digit, or not one character.
    DataError
        The file cannot be read, or is no table; the message names the row.
    """
    if separator is not None and (
        len(separator) != 1 or separator in '"\r\n' or separator.isalnum()
    ):
        raise ArgumentError(
            f"`separator` must be one character, ',' or ';' say, and no letter or digit; "
            f"got {separator!r}."
        )

    def read(file: TextIO) -> TextTable:
        return _read(file, path, separator or _find_separator(file, path))

    former = csv.field_size_limit(_LONGEST)
    try:
        return read_text(path, read)
    finally:
        csv.field_size_limit(former)


def _find_separator(file: TextIO, path: Path) -> str:
    """Find the separator of the first rows; the file is then at its start again."""
    lines = list(islice(file, _SNIFFED))
    file.seek(0)
    ranks = {each: _evenness(lines, each) for each in SEPARATORS}
    found = max(SEPARATORS, key=lambda each: ranks[each])  # of equals, the first
    if found != "," and ranks[found] > (0, 0, 0):
        name = "tab" if found == "\t" else found
        _LOG.info("%s: columns are separated by %r", path, name)
    return found if ranks[found] > (0, 0, 0) else ","


def _evenness(lines: list[str], separator: str) -> tuple[float, float, int]:
    """How even a separator makes the fields: whether the header and most rows have as many."""
    counts: list[int] = []
    with suppress(csv.Error):
        counts.extend(len(row) for row in csv.reader(lines, delimiter=separator) if row)
    if not counts or counts[0] < 2:
        return (0, 0, 0)
    most, times = Counter(counts).most_common(1)[0]
    return (times / len(counts) if most > 1 else 0, float(counts[0] == most), counts[0])


def _read(file: TextIO, path: Path, separator: str) -> TextTable:
    rows = _rows(csv.reader(file, delimiter=separator, strict=True), path)
    _, _, header = next(rows, (0, "", []))
    names = _names(header, path)
    chunks: list[list[pa.Array]] = [[] for _ in names]
    numbers: list[int] = []
    while block := list(islice(rows, _AT_ONCE)):
        for number, place, fields in block:
            if len(fields) != len(names):
                raise DataError(_wrong_length(path, place, fields, names, separator))
            numbers.append(number)
        columns = zip(*(fields for _, _, fields in block), strict=True)
        for chunk, column in zip(chunks, columns, strict=True):
            chunk.append(pa.array(column, pa.string()))
    if not numbers:
        raise DataError(f"{path} has a header and no rows below it.")
    columns_of = {
        name: pa.chunked_array(chunk, pa.string())
        for name, chunk in zip(names, chunks, strict=True)
    }
    return TextTable(columns_of, numbers, separator)


def _rows(reader: Iterator[list[str]], path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Each row that is not blank: its number, how messages name it, and its fields."""
    number, line = 0, 0
    while True:
        number += 1
        begun = line + 1
        place = f"row {number}" if begun == number else f"row {number} (line {begun})"
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}: {place}: {_complaint(error)}.") from error
        line = reader.line_num  # type: ignore[attr-defined] # csv.reader has it
        if fields:
            yield number, place, fields


def _complaint(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text or "field larger" in text:
        return "a quote is opened and not closed"
    if "expected after" in text:
        return 'text goes on after a closing quote; a quote within a field is written ""'
    return text


def _names(header: Sequence[str], path: Path) -> list[str]:
    """The columns' names; a column without one is called by its place."""
    names = [name.strip() or f"column {i}" for i, name in enumerate(header, start=1)]
    filled = [name for name in header if name.strip()]
    if not filled:
        raise DataError(f"{path}: the first row must name the columns; it is empty. Add a header.")
    if all(is_number(name) for name in filled):
        raise DataError(
            f"{path}: the first row must name the columns; it holds numbers only: "
            f"{shown(', '.join(header), 60)}. Add a header."
        )
    return check_names(names, str(path))


def check_names(names: list[str], path: str) -> list[str]:
    """Refuse columns of the same name."""
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        places = [i for i, name in enumerate(names, start=1) if name == twice[0]]
        raise DataError(
            f"{path}: columns {', '.join(map(str, places))} are all called {shown(twice[0])!r}. "
            "Give each column a name of its own."
        )
    return names


def _wrong_length(
    path: Path, place: str, fields: list[str], names: list[str], separator: str
) -> str:
    n = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
    advice = (
        f"Text that holds a {'tab' if separator == chr(9) else separator!r} must be in quotes"
        if len(fields) > len(names)
        else "Is the row cut short"
    )
    mark = "." if len(fields) > len(names) else "?"
    columns = "1 column" if len(names) == 1 else f"{len(names)} columns"
    return f"{path}: {place} has {n}; the header has {columns}. {advice}{mark}"
