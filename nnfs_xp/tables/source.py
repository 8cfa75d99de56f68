"""Where rows come from: a file or a frame, asked for one column after the other."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from nnfs_xp._checks import shown
from nnfs_xp.errors import DataError, DTypeError
from nnfs_xp.tables.columns import Column, Kind, checked_numbers, column_of_texts
from nnfs_xp.tables.csv_file import check_names, read_csv

_PARQUET = b"PAR1"
_NO_CELL = (bytes, bytearray, list, tuple, dict, set, np.ndarray)
_EXACT = 2**53
"""Up to here a float64 holds every whole number."""


class Source(ABC):
    """A table whose columns get their kind when they are read.

    Attributes
    ----------
    label : str
        How messages name it.
    names : list of str
        Of the columns.
    n_rows : int
    commas : set of str
        The columns that were, or are to be, read with decimal commas where they leave it open.
    """

    label: str
    names: list[str]
    n_rows: int
    commas: set[str]

    @abstractmethod
    def row(self, index: int) -> Any:
        """The number or name that the row of that index has in the table."""

    def place(self, index: int) -> str:
        """How messages name the row of that index."""
        return f"{self.label}: row {self.row(index)}"

    @abstractmethod
    def column(self, name: str, kind: Kind | None = None) -> Column:
        """A column, of that kind, or of the one that its cells tell.

        Raises
        ------
        DataError
            A cell is none of that kind.
        """

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


class CsvSource(Source):
    """A CSV file."""

    def __init__(self, path: Path, separator: str | None = None) -> None:
        self.label, self.commas = str(path), set()
        self._table = read_csv(path, separator)
        self.names = list(self._table.columns)
        self.n_rows = len(self._table.rows)

    def row(self, index: int) -> int:
        return self._table.rows[index]

    def column(self, name: str, kind: Kind | None = None) -> Column:
        texts = self._table.columns[name]
        may, expected = self._table.separator != ",", name in self.commas
        column = column_of_texts(
            texts, name, kind, self.place, may_have_comma=may, expect_comma=expected
        )
        if column.comma:
            self.commas.add(name)
        return column


class FrameSource(Source):
    """A pandas frame; its index names the rows."""

    def __init__(self, frame: pd.DataFrame, label: str = "the table") -> None:
        self.label, self.commas = label, set()
        self._frame = frame
        self.names = check_names([str(name) for name in frame.columns], label)
        self.n_rows = len(frame)
        if not self.n_rows or not self.names:
            raise DataError(f"{label} is empty: {self.n_rows} rows, {len(self.names)} columns.")

    def row(self, index: int) -> Any:
        return self._frame.index[index]

    def column(self, name: str, kind: Kind | None = None) -> Column:
        cells = self._frame.iloc[:, self.names.index(name)]
        types = pd.api.types
        is_bool = types.is_bool_dtype(cells.dtype)
        is_number = types.is_numeric_dtype(cells.dtype) and not is_bool
        if kind is None and (is_bool or types.is_datetime64_any_dtype(cells.dtype)):
            kind = "category"
        if kind is None and isinstance(cells.dtype, pd.CategoricalDtype):
            kind = "category"
        if kind is None and is_number and _has_inexact(cells):
            kind = "category"
        if kind != "category" and (is_number or is_bool):
            if _has_inexact(cells):
                raise DataError(
                    f"{self.label}: column {shown(name)!r} has whole numbers beyond 2**53, which "
                    "double precision does not hold. Make them smaller, or name the column as "
                    "categorical if they name something."
                )
            if types.is_complex_dtype(cells.dtype):
                raise DataError(f"{self.label}: column {shown(name)!r} holds complex numbers.")
            values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
            return checked_numbers(values, name, self.place)
        odd = next((cell for cell in cells if isinstance(cell, _NO_CELL)), None)
        if odd is not None:
            raise DataError(
                f"{self.label}: column {shown(name)!r} holds {type(odd).__name__}, which is "
                "neither number nor text. Leave the column out, or name it to be dropped."
            )
        texts = pa.array([_text(cell) for cell in cells], pa.string())
        return column_of_texts(texts, name, kind, self.place)


def _text(cell: Any) -> str:
    """The cell as a CSV file would have it; whole numbers without decimals."""
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return ""
    if isinstance(cell, float | np.floating):
        return "" if np.isnan(cell) else str(int(cell)) if float(cell).is_integer() else str(cell)
    if isinstance(cell, datetime) and cell.tzinfo is None and cell == pd.Timestamp(cell.date()):
        return cell.date().isoformat()
    return str(cell)


def _has_inexact(cells: pd.Series) -> bool:
    """Whether there are whole numbers that double precision has no room for."""
    if not pd.api.types.is_integer_dtype(cells.dtype):
        return False
    filled = cells.dropna()
    return len(filled) > 0 and max(int(filled.max()), -int(filled.min())) > _EXACT


def open_source(data: Any, separator: str | None = None) -> Source:
    """The table that a path leads to, or a frame holds.

    Parameters
    ----------
    data : str, Path or DataFrame
        Parquet files are told by their content; the rest are CSV files.
    separator : str, optional
        See `read_table`.

    Raises
    ------
    DataError
        The file cannot be read or holds no table.
    DTypeError
        The data are neither a path nor a frame.
    """
    if isinstance(data, pd.DataFrame):
        return FrameSource(data)
    if not isinstance(data, str | Path):
        raise DTypeError(
            f"a table must be a path or a pandas DataFrame; got {type(data).__name__}. Other "
            "frames have a method to_pandas()."
        )
    path = Path(data)
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise DataError(f"cannot read {path}: it is a pipe or a device. Name a file.")
        with path.open("rb") as file:
            is_parquet = file.read(len(_PARQUET)) == _PARQUET
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"cannot read {shown(str(path))}: {error}.") from error
    if not is_parquet and path.suffix.casefold() not in (".parquet", ".pq"):
        return CsvSource(path, separator)
    return FrameSource(_read_parquet(path), str(path))


def _read_parquet(path: Path) -> pd.DataFrame:
    """The rows of a Parquet file, numbered from 1."""
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            check_names(file.schema_arrow.names, str(path))
            frame = file.read().to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError) as error:
        reason = shown(str(error).partition("\n")[0])
        raise DataError(f"{path} is no Parquet file, or damaged: {reason}") from error
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return frame
