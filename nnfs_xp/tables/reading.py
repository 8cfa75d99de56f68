"""Read a table into a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nnfs_xp.data.table_columns import Column, read_column
from nnfs_xp.data.table_files import open_table
from nnfs_xp.tables.features import forced_kinds
from nnfs_xp.tables.settings import Wishes

_EXACT = 2**53
"""Up to here a float64 holds every whole number."""


def read_table(
    data: Any,
    *,
    separator: str | None = None,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    dates: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> pd.DataFrame:
    """Read a file of a table, strictly: what is no table is refused, with row and column.

    Parameters
    ----------
    data : str or Path
        Of a CSV, Parquet, Excel or JSON-lines file, compressed or not; or a frame.
    separator : str, optional
        What stands between two columns of a CSV file; found by itself where not given.
    numeric, dates : sequence of str
        Columns that must hold numbers, or dates.
    categorical : sequence of str
        Columns whose numbers are names: postal codes, say. They get pandas' type "category".
    missing : sequence of str
        What stands for a missing value besides an empty cell and the usual texts.

    Returns
    -------
    DataFrame
        Its index has the rows' numbers in the file, where a CSV file's header is row 1.

    Raises
    ------
    DataError
        The file cannot be read, is no table, or has text in a column of numbers.
    """
    wishes = Wishes(numeric=numeric, categorical=categorical, dates=dates, missing=missing)
    wishes.check()
    table = open_table(data, separator=separator)
    kinds = forced_kinds(table, wishes)
    columns = {
        name: _series(read_column(table, name, kinds.get(name), wishes.reading))
        for name in table.names
    }
    frame = pd.DataFrame(columns)
    numbers = [table.row(i) for i in range(table.n_rows)]
    frame.index = pd.Index(numbers, name="row", tupleize_cols=False)
    for name in categorical:
        frame[name] = frame[name].astype("category")
    return frame


def _series(column: Column) -> Any:
    """The values as truth values, text, whole numbers or floats, the first that holds them."""
    values = column.values
    if column.kind == "date":
        return values
    if column.kind != "number":
        if len(column.filled) and set(column.filled) <= {"True", "False"}:
            truth = [None if value is None else value == "True" for value in values]
            return pd.array(truth, dtype="boolean") if None in truth else np.array(truth)
        return list(values)
    whole = not column.missing.any() and (values == np.floor(values)).all()
    return values.astype(np.int64) if whole and np.abs(values).max() <= _EXACT else values
