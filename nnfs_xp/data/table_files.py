"""Tables in files of many kinds, and in frames: read into Arrow, each row with its number."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from nnfs_xp._checks import check_count, shown
from nnfs_xp.data.object_tables import excel_rows, json_frame, to_arrow
from nnfs_xp.data.packed_files import ZIP, Content, content_of, damage
from nnfs_xp.data.text_tables import check_names, encoding_of, text_blocks, text_rows
from nnfs_xp.errors import ArgumentError, DataError, DTypeError

_JSON = (".json", ".jsonl", ".ndjson")
_NO_PARQUET = "no Parquet file, or damaged"
_BUFFER = 65_536
"""Bytes of a column of Parquet that are read together; else it is all of them in a row group."""

_Rows = Sequence[Any] | np.ndarray[Any, Any]


@dataclass(frozen=True)
class RawTable:
    """A table as it is typed in its file; what its columns mean is not yet asked.

    Attributes
    ----------
    label : str
        How messages name it.
    columns : Arrow table
        All columns are strings where `is_text`.
    rows : sequence
        The number or name of each row: in a text file and in Excel as these count them, the
        header being row 1; in other files from 1; of a frame its index.
    is_text : bool
        Whether the cells are texts from which numbers and dates must be read.
    separator : str
        Of a text file.
    """

    label: str
    columns: pa.Table
    rows: _Rows
    is_text: bool
    separator: str = ""

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return list(self.columns.column_names)

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return int(self.columns.num_rows)

    def row(self, index: int) -> Any:
        """The number or name that the row of that index has in the table."""
        row = self.rows[index]
        return int(row) if isinstance(row, np.integer) else row

    def place(self, index: int) -> str:
        """How messages name the row of that index."""
        return f"{self.label}: row {shown(str(self.row(index)), 60)}"

    def take(self, indices: Any) -> RawTable:
        """The rows of these indices, in this order."""
        indices = np.asarray(indices, dtype=np.int64)
        rows = self.rows
        chosen = rows.take(indices) if hasattr(rows, "take") else [rows[i] for i in indices]
        return replace(self, columns=self.columns.take(pa.array(indices)), rows=chosen)

    def slice(self, start: int, stop: int) -> RawTable:
        """The rows from one index up to, and without, another."""
        rows = self.rows[start:stop]
        return replace(self, columns=self.columns.slice(start, len(rows)), rows=rows)

    def check_has(self, names: Sequence[str], what: str) -> None:
        """Refuse a table without these columns; the message suggests what may be meant."""
        absent = [name for name in names if name not in self.names]
        if not absent:
            return
        if len(absent) > 1:
            lacking = shown(", ".join(map(repr, absent)))
            raise DataError(f"{self.label} has no columns {lacking}, {what}.")
        near = difflib.get_close_matches(absent[0], self.names, n=1) or [
            name for name in self.names if name.casefold() == absent[0].casefold()
        ]
        hint = (
            f"Did you mean {shown(near[0])!r}?"
            if near
            else f"It has {shown(', '.join(map(repr, self.names)))}."
        )
        raise DataError(f"{self.label} has no column {shown(absent[0])!r}, {what}. {hint}")


def open_table(data: Any, *, separator: str | None = None) -> RawTable:
    """The table in a file or a frame.

    Parameters
    ----------
    data : str, Path, frame of pandas or polars, Arrow table, or array of shape (rows, columns)
        A file holds CSV, Parquet, Arrow, Excel's .xlsx or JSON lines, as its content tells; it
        may be packed by gzip, bz2, xz, zstd or zip. An array's columns are x0, x1, and so on.
    separator : str, optional
        What stands between two fields of a CSV file; by default the one of ``, ; tab |`` that
        gives the first rows as many fields each.

    Raises
    ------
    ArgumentError
        The separator is a letter or digit, or not one character.
    DataError
        The file cannot be read or holds no table; the message names the row.
    DTypeError
        The data are of another type.
    """
    _check_separator(separator)
    if isinstance(data, str | Path):
        parts = list(_pieces(Path(data), separator, 50_000))
        rows = np.concatenate([part.rows for part in parts])
        return replace(parts[0], columns=pa.concat_tables([p.columns for p in parts]), rows=rows)
    if isinstance(data, np.ndarray) and data.ndim == 2:
        data = pd.DataFrame(data, columns=[f"x{i}" for i in range(data.shape[1])])
    if isinstance(data, pd.DataFrame):
        return _of_frame(data, "the table")
    streams = ("__arrow_c_stream__", "__arrow_c_array__")
    data = data.collect() if type(data).__name__ == "LazyFrame" else data
    if not any(hasattr(data, name) for name in streams):
        raise DTypeError(
            "a table must be a path, a frame of pandas or polars, an Arrow table or an array of "
            f"two dimensions; got {type(data).__name__}."
        )
    try:
        table = pa.table(data)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DTypeError(f"{type(data).__name__} is no table: {shown(error)}.") from error
    return _typed(table, "the table", 0)


def open_in_pieces(
    path: str | Path, *, separator: str | None = None, rows: int = 100_000
) -> Iterator[RawTable]:
    """The table in a file, some rows at a time: CSV and Parquet in bounded memory.

    Parameters
    ----------
    path : str or Path
    separator : str, optional
        See `open_table`.
    rows : int
        How many a piece has at most.
    """
    _check_separator(separator)
    return _pieces(Path(path), separator, check_count("rows", rows))


def count_rows(path: str | Path, *, separator: str | None = None) -> int:
    """How many rows the table in a file has; a Parquet file says so at its end."""
    with content_of(Path(path)) as content:
        is_parquet = content.start.startswith(b"PAR1") and not content.is_packed
    if not is_parquet:
        return sum(piece.n_rows for piece in open_in_pieces(path, separator=separator))
    with damage(str(path), _NO_PARQUET, pa.ArrowException, OSError):
        return int(pa.parquet.read_metadata(path).num_rows)


def _check_separator(separator: str | None) -> None:
    if separator is not None and (
        len(separator) != 1 or separator in '"\r\n' or separator.isalnum()
    ):
        raise ArgumentError(
            "`separator` must be one character, ',' or ';' say, and no letter or digit; "
            f"got {separator!r}."
        )


def _pieces(path: Path, separator: str | None, rows: int) -> Iterator[RawTable]:
    """The file's table, at most so many rows at a time."""
    with content_of(path) as content:
        label, start = content.label, content.start
        if start.startswith(b"PAR1") or content.suffix in (".parquet", ".pq"):
            yield from _parquet(content.bytes() if content.is_packed else path, label, rows)
        elif start.startswith(b"ARROW1"):
            with damage(label, "a damaged Arrow file", Exception):
                table = pa.ipc.open_file(content.bytes()).read_all()
                table.validate(full=True)
            yield from _cut(_typed(table, label, 1), rows)
        elif start.startswith(ZIP):
            cells = iter(excel_rows(content.bytes(), label))
            for table, numbers in text_blocks(cells, label, "", rows):
                yield RawTable(label, table, numbers, is_text=True)
        else:
            yield from _text(content, separator, rows)


def _text(content: Content, separator: str | None, rows: int) -> Iterator[RawTable]:
    label = content.label
    encoding = encoding_of(content.open, label)

    def opened(file: BinaryIO) -> io.TextIOWrapper:
        # newline="": line ends within quotes are the field's, and csv finds the others itself.
        return io.TextIOWrapper(file, encoding=encoding, newline="")

    with content.open() as file, opened(file) as text:
        first = next((line.strip() for line in text if line.strip()), "")
    if re.match("<(!doctype|!--|html|head|body|table)", first, re.I):
        raise DataError(f"{label} is a web page (HTML), not the data; download the data itself.")
    if first.startswith("<?xml"):
        raise DataError(f"{label} is XML, and no table; save the table as CSV or Parquet.")
    with content.open() as file, opened(file) as text:
        if content.suffix in _JSON or re.match(r'\{\s*("|\}|$)|\[\s*(\{|$)', first):
            frame = json_frame(text, label, is_list=first.startswith("["))
            yield from _cut(_of_frame(frame, label), rows)
            return
        cells, separator = text_rows(text, label, separator)
        for table, numbers in text_blocks(cells, label, separator, rows):
            yield RawTable(label, table, numbers, is_text=True, separator=separator)


def _cut(table: RawTable, rows: int) -> Iterator[RawTable]:
    for start in range(0, table.n_rows, rows):
        yield table.slice(start, start + rows)


def _parquet(source: Path | io.BytesIO, label: str, rows: int) -> Iterator[RawTable]:
    errors = (pa.ArrowException, OSError, ValueError, StopIteration)
    with damage(label, _NO_PARQUET, *errors):
        file = pa.parquet.ParquetFile(source, pre_buffer=False, buffer_size=_BUFFER)
    with file:
        with damage(label, _NO_PARQUET, *errors):
            n_rows, names = file.metadata.num_rows, file.schema_arrow.names
        check_names(names, label)
        _check_filled(n_rows, len(names), label)
        batches = file.iter_batches(batch_size=rows)
        first = 1
        while first <= n_rows:
            with damage(label, _NO_PARQUET, *errors):
                table = pa.Table.from_batches([next(batches)])
                table.validate(full=True)
            if table.num_rows:
                yield _typed(table, label, first)
            first += table.num_rows


def _of_frame(frame: pd.DataFrame, label: str) -> RawTable:
    _check_filled(len(frame), len(frame.columns), label)
    return replace(_typed(to_arrow(frame, label), label, 0), rows=frame.index)


def _typed(table: pa.Table, label: str, first: int) -> RawTable:
    """A table with types of its own, its rows numbered; categories as the values they are."""
    check_names(table.column_names, label)
    _check_filled(table.num_rows, table.num_columns, label)
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            # Arrow takes nothing from a dictionary of string_view, as polars has.
            is_view = pa.types.is_string_view(field.type.value_type)
            kind = pa.large_string() if is_view else field.type.value_type
            chunks = [each.dictionary.cast(kind).take(each.indices) for each in table[i].chunks]
            table = table.set_column(i, field.name, pa.chunked_array(chunks, kind))
    return RawTable(label, table, np.arange(first, first + table.num_rows), is_text=False)


def _check_filled(n_rows: int, n_columns: int, label: str) -> None:
    if not n_rows or not n_columns:
        raise DataError(f"{label} is empty: {n_rows} rows, {n_columns} columns.")
