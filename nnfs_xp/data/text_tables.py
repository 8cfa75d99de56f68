"""Tables written as text, read strictly: each row has its number, and as many fields as columns.

Python's csv module takes the rows apart: pyarrow's reader accepts text after a closing quote, and
does not count blank lines.
"""

from __future__ import annotations

import codecs
import csv
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from math import isnan
from typing import Any, TextIO, TypeVar

import numpy as np
import pyarrow as pa

from nnfs_xp._checks import shown
from nnfs_xp.data.packed_files import Opener
from nnfs_xp.errors import DataError

_LOG = logging.getLogger(__name__)
SEPARATORS = (",", ";", "\t", "|")
MOST_COLUMNS = 20_000
_SNIFFED = 200
"""Lines that tell the separator."""

_CELLS_AT_ONCE = 50_000
"""Cells that are held as Python strings; more take longer, in Python's search for garbage."""

_LONGEST_FIELD = 16 * 2**20
"""Characters of a field; one that is longer is a quote left open."""

_LONGEST_LINE = 2**26
_SEPARATOR_LINE = re.compile(r'"?sep=([^\w"])"?\s*', re.I)
_COMMENT = re.compile(r"#[#\s]")
"""How a comment begins, and hardly the name of a column."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NAMES = {"cp1252": "Windows-1252 (Latin-1)", "latin-1": "Latin-1"}

Row = tuple[int, int, list[str]]
"""The number of a row in its file, the line at which it begins, and its fields."""

Item = TypeVar("Item")


def encoding_of(open_file: Opener, label: str) -> str:
    """The encoding in which the whole file can be read.

    It is UTF-8, or what the byte order mark at the start says, or else Windows-1252, a superset
    of Latin-1. A log line names an encoding other than UTF-8.

    Raises
    ------
    DataError
        The file is empty, damaged, or holds no text.
    """
    with open_file() as file:
        start = file.read(65536)
    for encoding in _encodings(start, label):
        try:
            _check_text(open_file, encoding, label)
        except UnicodeDecodeError:
            continue
        if encoding not in ("utf-8", "utf-8-sig"):
            _LOG.info("%s is no UTF-8: read as %s", label, _NAMES.get(encoding, encoding))
        return encoding
    raise DataError(f"{label} is damaged: it begins as {encoding}, but does not go on so.")


def _encodings(start: bytes, label: str) -> tuple[str, ...]:
    """The encodings to try, by the file's first bytes."""
    if not start.strip(b"\r\n\t ") or start in dict(_MARKS):
        raise DataError(f"{label} is empty.")
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return (encoding,)
    # Every other byte of Latin letters in UTF-16 is NUL.
    even, odd = start[::2].count(0) / len(start), start[1::2].count(0) / len(start)
    if odd > 0.3 and even < 0.05:
        return ("utf-16-le",)
    return ("utf-16-be",) if even > 0.3 and odd < 0.05 else ("utf-8", "cp1252", "latin-1")


def _check_text(open_file: Opener, encoding: str, label: str) -> None:
    """Decode the file; refuse NUL, and a line that would fill the memory."""
    decoder = codecs.getincrementaldecoder(encoding)()
    length, is_end = 0, False
    with open_file() as file:
        while not is_end:
            content = file.read(2**20)
            is_end = not content
            text = decoder.decode(content, final=is_end)
            if "\0" in text:
                raise DataError(f"{label} holds NUL bytes: it is no text file, or damaged.")
            tail = len(text) - 1 - max(text.rfind("\n"), text.rfind("\r"))
            length = tail if tail < len(text) else length + tail
            if length > _LONGEST_LINE:
                raise DataError(f"{label} has a line of over {_LONGEST_LINE} characters: no table.")


def text_rows(file: TextIO, label: str, separator: str | None) -> tuple[Iterator[Row], str]:
    """The rows of a CSV file from the header on, and its separator.

    Excel's first line ``sep=;`` and comments above the header are left out, but counted.
    """
    head = _taken(file, _SNIFFED)
    first = next((i for i, line in enumerate(head) if line.strip()), 0)
    said = _SEPARATOR_LINE.fullmatch(head[first].strip("\r\n"))
    above = first + 1 if said else 0
    rows = [line for line in head[above:] if not line.startswith("#")] or head[above:]
    separator = separator or (said[1] if said else _find_separator(rows, label))
    comments = 0
    while above < len(head) and _is_above(head[above:], separator):
        comments += head[above].startswith("#")
        above += 1
    if above == len(head):
        found = ", but comments only," if comments else ""
        raise DataError(f"{label} has no header{found} as far as line {above}.")
    if comments:
        _LOG.info("%s: comment lines above the header are skipped: %d", label, comments)
    return _rows(chain(head[above:], file), separator, label, above), separator


def _taken(items: Iterator[Item], most: int) -> list[Item]:
    """The next items; where csv reads them, with fields as long as they may be."""
    former = csv.field_size_limit(_LONGEST_FIELD)
    try:
        return list(islice(items, most))
    finally:
        csv.field_size_limit(former)


def _find_separator(lines: list[str], label: str) -> str:
    ranks = {each: _evenness(lines, each) for each in SEPARATORS}
    found = max(SEPARATORS, key=lambda each: ranks[each])  # of equals, the first
    if found == "," or ranks[found] == (0, 0, 0):
        return ","
    _LOG.info("%s: columns are separated by %r", label, "tab" if found == "\t" else found)
    return found


def _evenness(lines: list[str], separator: str) -> tuple[float, float, int]:
    """How even a separator makes the fields: whether the header and most rows have as many."""
    counts: list[int] = []
    with suppress(csv.Error):  # a field longer than the reader's limit
        counts.extend(len(row) for row in csv.reader(lines, delimiter=separator) if row)
    if not counts or counts[0] < 2:
        return (0, 0, 0)
    most, times = Counter(counts).most_common(1)[0]
    return (times / len(counts) if most > 1 else 0, float(counts[0] == most), counts[0])


def _is_above(lines: list[str], separator: str) -> bool:
    """Whether the first line is blank, or a comment: no header as in ``#id,name``."""
    if not lines[0].startswith("#"):
        return not lines[0].strip()
    below = [line for line in lines[1:] if line.strip()][:2]
    header, *rows = _taken(csv.reader([lines[0], *below], delimiter=separator), 3)
    if not rows or len(header) != len(rows[0]) or _COMMENT.match(below[0]):
        return True
    is_comment = bool(_COMMENT.match(lines[0]))
    first, *second = [any(map(_is_number, row)) for row in rows]
    if first:  # what is below is no header
        return is_comment and len(header) == 1
    return is_comment or second == [True]


def _rows(lines: Iterable[str], separator: str, label: str, above: int) -> Iterator[Row]:
    """Each row that is not blank."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    number = line = above
    try:
        for fields in reader:
            number += 1
            if fields:
                yield number, line + 1, fields
            line = above + reader.line_num
    except csv.Error as error:
        place = _place(number + 1, line + 1)
        raise DataError(f"{label}: {place}: {_complaint(error)}.") from error


def _place(number: int, line: int) -> str:
    return f"row {number}" if line == number else f"row {number} (line {line})"


def _complaint(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text or "field larger" in text:
        return "a quote is opened and not closed"
    if "expected after" in text:
        return 'text goes on after a closing quote; a quote within a field is written ""'
    return text


def text_blocks(
    rows: Iterator[Row], label: str, separator: str, most: int
) -> Iterator[tuple[pa.Table, np.ndarray[Any, Any]]]:
    """Some rows at a time, at most so many, as columns of strings; and the rows' numbers.

    Raises
    ------
    DataError
        The first row names no columns, none follow it, or one has another number of fields.
    """
    header = next((fields for _, _, fields in _taken(rows, 1)), [])
    names = _names(header, label)
    at_once = max(50, _CELLS_AT_ONCE // len(names))
    tables: list[pa.Table] = []
    numbers: list[int] = []
    is_empty = True
    while block := _taken(rows, min(at_once, most - len(numbers))):
        is_empty = False
        for number, line, fields in block:
            if len(fields) != len(names):
                faults = _wrong_length(fields, names, separator)
                raise DataError(f"{label}: {_place(number, line)} has {faults}")
            if fields == header:
                raise DataError(
                    f"{label}: {_place(number, line)} repeats the header. Delete it, or split the "
                    "file there if another table begins."
                )
        columns = zip(*(fields for _, _, fields in block), strict=True)
        tables.append(pa.table([pa.array(each, pa.string()) for each in columns], names=names))
        numbers += (number for number, _, _ in block)
        if len(numbers) == most:
            yield pa.concat_tables(tables), np.array(numbers)
            tables, numbers = [], []
    if numbers:
        yield pa.concat_tables(tables), np.array(numbers)
    if is_empty:
        raise DataError(f"{label} has a header and no rows below it.")


def _names(header: Sequence[str], label: str) -> list[str]:
    """The columns' names; a column without one is called by its place."""
    filled = [name for name in header if name.strip()]
    if not filled:
        raise DataError(f"{label}: the first row must name the columns; it is empty. Add a header.")
    names = [name.strip() or f"column {i}" for i, name in enumerate(header, start=1)]
    if all(map(_is_number, filled)):
        raise DataError(
            f"{label}: the first row must name the columns; it holds numbers only: "
            f"{shown(', '.join(header), 60)}. Add a header."
        )
    return check_names(names, label)


def check_names(names: list[str], label: str) -> list[str]:
    """Refuse columns of the same name, too many of them, and names that no file can hold."""
    if len(names) > MOST_COLUMNS:
        raise DataError(
            f"{label} has {len(names)} columns; at most {MOST_COLUMNS} are read. Are rows and "
            "columns swapped?"
        )
    for place, name in enumerate(names, start=1):
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DataError(
                f"{label}: the name of column {place}, {shown(name)!r}, is damaged text: it holds "
                "half a letter (a surrogate). Give it another."
            )
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        places = [i for i, name in enumerate(names, start=1) if name == twice[0]]
        raise DataError(
            f"{label}: columns {', '.join(map(str, places))} are all called {shown(twice[0])!r}. "
            "Give each column a name of its own."
        )
    return names


def _is_number(text: str) -> bool:
    """Whether the text says a number, finite or not."""
    try:
        return "_" not in text and not isnan(float(text))  # Python alone has 1_000
    except ValueError:
        return False


def _wrong_length(fields: list[str], names: list[str], separator: str) -> str:
    if len(fields) < len(names):
        advice = "Is the row cut short?"
    elif not separator:
        advice = "Give each column a name in the first row."
    else:
        mark = "tab" if separator == "\t" else repr(separator)
        advice = f"Text that holds a {mark} must be in quotes."
    n = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
    columns = "1 column" if len(names) == 1 else f"{len(names)} columns"
    return f"{n}; the header has {columns}. {advice}"
