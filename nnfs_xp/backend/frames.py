"""The numbers in data frames and their columns, by what these objects have: no library is imported.

NumPy makes a frame of several data types an array of objects; here the columns go one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np

from nnfs_xp.errors import DTypeError

_MOST_NAMED = 4


def is_frame(a: object) -> bool:
    """Whether it has columns by name, as the tables of pandas, polars and Arrow have."""
    kind = type(a)
    by_name = ("items", "iter_columns", "column_names")
    return hasattr(kind, "columns") and any(hasattr(kind, name) for name in by_name)


def is_column(a: object) -> bool:
    """Whether it is one column: a Series, or what a Series keeps its values in."""
    return hasattr(type(a), "dtype") and not isinstance(a, np.ndarray | np.generic)


def frame_to_numpy(frame: Any) -> np.ndarray[Any, Any]:
    """The numbers of a frame, shape (rows, columns), in the type that holds those of all columns.

    Whole numbers without gaps stay integers; what is missing becomes NaN.

    Raises
    ------
    DTypeError
        A column holds something else than numbers; the message has its name.
    """
    if not _mixes_bools(frame):
        whole = np.asarray(frame)
        if whole.dtype.kind in "biuf":
            return whole
    columns = _columns_of(frame)
    numbers = [_numbers(column) for _, column in columns]
    arrays = [values for values in numbers if values is not None]
    if len(arrays) < len(columns):
        pairs = zip(columns, numbers, strict=True)
        raise DTypeError(complaint_about([column for column, values in pairs if values is None]))
    rows = np.empty((len(frame), len(arrays)), np.result_type(*arrays))
    for n, values in enumerate(arrays):
        rows[:, n] = values
    return rows


def column_to_numpy(column: Any) -> np.ndarray[Any, Any]:
    """The numbers of a column; see `frame_to_numpy`.

    Raises
    ------
    DTypeError
        It holds something else than numbers.
    """
    values = _numbers(column)
    if values is None:
        raise DTypeError(
            f"expected numbers; got {type(column).__name__} of dtype {_described(column)}. Encode "
            "strings and objects as numbers first: classes with numpy.unique(…, "
            "return_inverse=True), for example."
        )
    return values


def odd_columns(frame: Any) -> list[tuple[object, Any]]:
    """The columns of a frame, with their names, that hold something else than numbers."""
    return [(name, column) for name, column in _columns_of(frame) if _numbers(column) is None]


def complaint_about(columns: list[tuple[object, Any]]) -> str:
    """What an error says of columns that hold something else than numbers."""
    shown = columns[:_MOST_NAMED]
    named = ", ".join(f"{name!r} ({_described(column)})" for name, column in shown)
    more = len(columns) - len(shown)
    others = f" and {more} more" if more else ""
    which, it = ("columns", "them") if len(columns) > 1 else ("column", "it")
    return (
        f"expected numbers; got a frame with the {which} {named}{others}. Encode {it} first, with "
        f"pandas.get_dummies for example, or leave {it} out."
    )


def _mixes_bools(frame: Any) -> bool:
    """Whether pandas would go by way of objects, which take many times the room."""
    kinds = {getattr(dtype, "kind", None) for dtype in getattr(frame, "dtypes", ())}
    return "b" in kinds and len(kinds) > 1


def _columns_of(frame: Any) -> list[tuple[object, Any]]:
    """The columns with their names, of which pandas may have one twice."""
    kind = type(frame)
    if hasattr(kind, "items"):
        return list(frame.items())
    if hasattr(kind, "iter_columns"):
        return list(zip(frame.columns, frame.iter_columns(), strict=True))
    return list(zip(frame.column_names, frame.columns, strict=True))


def _numbers(column: Any) -> np.ndarray[Any, Any] | None:
    """The values of a column of numbers, which may have gaps; None for any other column."""
    values = np.asarray(column)
    if values.dtype.kind != "O":
        return values if values.dtype.kind in "biuf" else None
    if values.ndim != 1:
        return None
    gaps = np.fromiter(map(_is_missing, values), bool, len(values))
    present = values[~gaps].tolist()
    if not _are_numbers(present):
        return None
    exact = Integral | float | np.floating | np.bool_
    numbers = np.array([each if isinstance(each, exact) else float(each) for each in present])
    if numbers.dtype.kind not in "biuf":
        return None  # whole numbers of more than 64 bits
    if not gaps.any():
        return numbers
    filled = np.full(len(values), np.nan, np.result_type(numbers, np.float32))
    filled[~gaps] = numbers
    return filled


def _is_missing(value: object) -> bool:
    """Whether it is None, NaN, or the NA of pandas, of which no comparison is true or false."""
    if value is None or type(value).__name__ == "NAType":
        return True
    return isinstance(value, float) and value != value


def _are_numbers(values: Iterable[object]) -> bool:
    return all(isinstance(value, Real | np.bool_ | Decimal) for value in values)


def _described(column: Any) -> str:
    """The data type of a column; of one of objects, also what it has beside numbers."""
    dtype = str(column.dtype if hasattr(column, "dtype") else column.type)
    if dtype != "object":
        return dtype if len(dtype) <= 40 else f"{dtype[:40]}…"
    values = [each for each in np.asarray(column).ravel() if not _is_missing(each)]
    odd = next((type(each).__name__ for each in values if not _are_numbers([each])), None)
    return f"object, with {'whole numbers beyond 64 bits' if odd is None else odd}"
