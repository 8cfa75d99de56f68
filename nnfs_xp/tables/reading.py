"""Read a table into a frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nnfs_xp.tables.columns import Column
from nnfs_xp.tables.features import forced_kinds
from nnfs_xp.tables.source import open_source

_EXACT = 2**53
"""Up to here a float64 holds every whole number."""


def read_table(
    path: str | Path,
    *,
    separator: str | None = None,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
) -> pd.DataFrame:
    """Read a CSV or Parquet file, strictly: what is no table is refused, with row and column.

    Parameters
    ----------
    path : str or Path
        Of a CSV file, compressed with gzip or not, or of a Parquet file.
    separator : str, optional
        What stands between two columns of a CSV file; found by itself where not given.
    numeric : sequence of str
        Columns that must hold numbers.
    categorical : sequence of str
        Columns whose numbers are names: postal codes, say. They get pandas' type "category".

    Returns
    -------
    DataFrame
        Its index has the rows' numbers in the file, where a CSV file's header is row 1.

    Raises
    ------
    DataError
        The file cannot be read, is no table, or has text in a column of numbers.
    """
    source = open_source(path, separator)
    kinds = forced_kinds(source, numeric, categorical)
    columns = {name: _series(source.column(name, kinds.get(name))) for name in source.names}
    frame = pd.DataFrame(columns)
    frame.index = pd.Index([source.row(i) for i in range(source.n_rows)], name="row")
    for name in categorical:
        frame[name] = frame[name].astype("category")
    return frame


def _series(column: Column) -> Any:
    """The values as truth values, text, whole numbers or floats, the first that holds them."""
    values = column.values
    if column.kind == "category":
        if len(column.filled) and set(column.filled) <= {"True", "False"}:
            truth = [None if value is None else value == "True" for value in values]
            return pd.array(truth, dtype="boolean") if None in truth else np.array(truth)
        return list(values)
    whole = not column.missing.any() and (values == np.floor(values)).all()
    return values.astype(np.int64) if whole and np.abs(values).max() <= _EXACT else values
