"""Tables of numbers in CSV files."""

from __future__ import annotations

import csv
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.errors import DataError


def read_numbers(path: Path) -> np.ndarray[Any, Any]:
    """The numbers in a CSV file, a row for each sample.

    Columns are separated by commas. A first row without any number is taken for a header.

    Returns
    -------
    ndarray of float64, shape (samples, columns)

    Raises
    ------
    DataError
        The file cannot be read, a cell holds no finite number, rows differ in length, or there
        are none; the message names row and column.
    """
    rows: list[list[float | None]] = []
    seen = False
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, cells in enumerate(csv.reader(file), start=1):
                if not any(cell.strip() for cell in cells):
                    continue
                row = [_number(cell) for cell in cells]
                is_header = not seen and all(value is None for value in row)
                seen = True
                if is_header:
                    continue
                for column, (value, cell) in enumerate(zip(row, cells, strict=True), start=1):
                    if value is None or not isfinite(value):
                        raise DataError(
                            f"{path}: row {number}, column {column}: {shown(repr(cell))} is no "
                            "finite number."
                        )
                if rows and len(row) != len(rows[0]):
                    raise DataError(
                        f"{path}: row {number} has {len(row)} columns; those before it have "
                        f"{len(rows[0])}."
                    )
                rows.append(row)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV file: {error}.") from error
    if not rows:
        raise DataError(f"{path} has no rows of numbers. Are the columns separated by commas?")
    return np.asarray(rows, dtype=np.float64)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
