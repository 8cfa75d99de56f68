"""Tables of Python objects: frames, JSON, and Excel, whose cells become texts."""

from __future__ import annotations

import io
import json
import logging
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from importlib import import_module
from typing import Any, TextIO

import numpy as np
import pandas as pd
import pyarrow as pa

from nnfs_xp._checks import shown
from nnfs_xp.data.packed_files import LARGEST, damage
from nnfs_xp.data.text_tables import MOST_COLUMNS, Row, check_names
from nnfs_xp.errors import DataError

_LOG = logging.getLogger(__name__)
_NO_CELL = (bytes, bytearray, list, tuple, dict, set, np.ndarray, complex, np.complexfloating)


def to_arrow(frame: pd.DataFrame, label: str) -> pa.Table:
    """The columns of a frame as Arrow has them; those of mixed objects as texts.

    Raises
    ------
    DataError
        Two columns have one name, or a cell is neither number nor text.
    """
    names = check_names([str(name) for name in frame.columns], label)
    columns = [_array(frame.iloc[:, i], name, label) for i, name in enumerate(names)]
    return pa.table(columns, names=names)


def _array(cells: pd.Series, name: str, label: str) -> Any:
    if isinstance(cells.dtype, pd.SparseDtype):
        cells = cells.sparse.to_dense()
    try:
        array = pa.array(cells, from_pandas=True)
        types = set(map(type, cells)) if cells.dtype == object else set()
        # Arrow would turn True into 1.0, and drop the time of 2024-01-31 12:00.
        if not (pa.types.is_floating(array.type) and types & {bool, np.bool_}) and not (
            pa.types.is_date(array.type) and types & {datetime, pd.Timestamp}
        ):
            return array
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        pass
    for row, cell in zip(cells.index, cells, strict=True):
        if isinstance(cell, _NO_CELL):
            raise DataError(
                f"{label}: row {row}, column {shown(name)!r} holds {type(cell).__name__}, which "
                "is neither number nor text. Leave the column out."
            )
    try:
        return pa.array([_text_of(cell) for cell in cells], pa.large_string())
    except ValueError as error:
        raise DataError(f"{label}: column {shown(name)!r}: {shown(error)}.") from error


def _text_of(cell: Any, *, whole: bool = False) -> str | None:
    """The cell as a CSV file would have it; without decimals for whole numbers, if asked for."""
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return None
    if isinstance(cell, float | np.floating):
        number = float(cell)
        is_whole = whole and number.is_integer() and abs(number) < 2**53
        return None if np.isnan(number) else str(int(number) if is_whole else cell)
    if isinstance(cell, datetime) and cell.tzinfo is None and cell == pd.Timestamp(cell.date()):
        return cell.date().isoformat()
    return str(cell)


def excel_rows(content: io.BytesIO, label: str) -> list[Row]:
    """The filled rows of the first filled sheet, cells as a CSV file would have them."""
    try:
        openpyxl = import_module("openpyxl")
    except ImportError:
        raise DataError(
            f"{label} is an Excel file; pip install openpyxl, or save the sheet as CSV."
        ) from None
    with damage(label, "no Excel file, or damaged", Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(content) as archive:
            if sum(each.file_size for each in archive.infolist()) > LARGEST:
                raise DataError(f"{label} unpacks to over {LARGEST} bytes. Save it as CSV.")
        with closing(openpyxl.load_workbook(content, read_only=True, data_only=True)) as book:
            sheets = [each for each in book.worksheets if next(_filled_rows(each), None)]
            if not sheets:
                raise DataError(f"{label} is empty.")
            if len(sheets) > 1:
                _LOG.info("%s: of %d sheets, %r is read", label, len(sheets), sheets[0].title)
            rows = list(_filled_rows(sheets[0]))
    width = len(rows[0][2])
    return [(i, line, cells + [""] * (width - len(cells))) for i, line, cells in rows]


def _filled_rows(sheet: Any) -> Iterator[Row]:
    sheet.reset_dimensions()  # which some programs write wrong
    for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
        if number > 2**20:
            raise ValueError("a sheet has no such row")
        texts = [_text_of(cell, whole=True) or "" for cell in cells]
        while texts and not texts[-1]:
            texts.pop()
        if texts:
            yield number, number, texts


def json_frame(file: TextIO, label: str, *, is_list: bool) -> pd.DataFrame:
    """A JSON object a line, or a list of them."""
    records: list[dict[str, Any]] = []
    names: dict[str, None] = {}
    number = 0
    try:
        entries = json.loads(file.read(LARGEST)) if is_list else file
        for number, entry in enumerate(entries, start=1):  # noqa: B007 # the message names it
            if is_list or entry.strip():
                record = entry if is_list else json.loads(entry)
                if not isinstance(record, dict):
                    raise ValueError("an object {…} was expected")
                records.append(record)
                names.update(dict.fromkeys(record))
                if len(names) > MOST_COLUMNS:
                    break
    except (ValueError, RecursionError) as error:
        place = f": {'entry' if is_list else 'line'} {number}" if number else ""
        reason = getattr(error, "msg", error) if number else error
        raise DataError(f"{label}{place} is damaged JSON: {shown(reason)}.") from error
    check_names(list(names), label)
    index = pd.RangeIndex(1, len(records) + 1)
    return pd.DataFrame(records, index, list(names), dtype=object)
