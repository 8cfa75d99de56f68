"""The numbers in data frames and their columns, by what these objects have: no library is imported.

NumPy makes a frame of several data types an array of objects; here the columns go one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
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
    is_other = isinstance(a, np.ndarray | np.generic) or hasattr(a, "toarray")  # a sparse matrix
    return hasattr(type(a), "dtype") and not is_other


def frame_to_numpy(frame: Any) -> np.ndarray[Any, Any]:
    """The numbers of a frame, shape (rows, columns), in the type that holds those of all columns.

    Whole numbers without gaps stay integers; what is missing becomes NaN.

    Raises
    ------
    DTypeError
        A column holds something else than numbers; the message has its name.
    """
    if not _mixes_bools(frame) and not hides_others(frame):
        with suppress(TypeError):  # Arrow's types without one in common
            whole = np.asarray(frame)
            if whole.dtype.kind in "biuf":
                return whole
    columns = _columns_of(frame)
    numbers = [_column(column) for _, column in columns]
    arrays = [values for values in numbers if values is not None]
    if len(arrays) < len(columns):
        pairs = zip(columns, numbers, strict=True)
        odd = [column for column, values in pairs if values is None]
        raise DTypeError(complaint_about(frame, odd))
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
        described = _described(column)
        advice = (
            _advice_for([described], "it")
            or "Encode strings and objects as numbers first: classes with numpy.unique(…, "
            "return_inverse=True), for example."
        )
        raise DTypeError(
            f"expected numbers; got {type(column).__name__} of dtype {described}. {advice}"
        )
    return values


def odd_columns(frame: Any) -> list[tuple[object, Any]]:
    """The columns of a frame, with their names, that hold something else than numbers."""
    return [(name, column) for name, column in _columns_of(frame) if _column(column) is None]


def complaint_about(frame: Any, columns: list[tuple[object, Any]]) -> str:
    """What an error says of columns of a frame that hold something else than numbers."""
    described = [_described(column) for _, column in columns]
    shown = list(zip(columns, described, strict=True))[:_MOST_NAMED]
    named = ", ".join(f"{name!r} ({dtype})" for (name, _), dtype in shown)
    more = len(columns) - len(shown)
    others = f" and {more} more" if more else ""
    which, it = ("columns", "them") if len(columns) > 1 else ("column", "it")
    advice = _advice_for(described, it) or f"Encode {it} first, with {_encoder_of(frame)}."
    return (
        f"expected numbers; got a frame with the {which} {named}{others}. {advice[:-1]}, or leave "
        f"{it} out."
    )


_ADVICE = (
    (("date", "time", "duration"), "Turn {it} into numbers first, days since a date for example."),
    (("list", "array", "struct", "dict", "tuple"), "Give each entry a column of its own."),
    (("complex",), "Take the real and the imaginary part as two columns."),
    (("whole numbers beyond",), "Turn {it} into floats first."),
)
"""What the data type of a column has in its name, and what to do with such a column."""


def _advice_for(described: list[str], it: str) -> str | None:
    """What to do with columns of such data types; None where they are to be encoded."""
    found = {_advice_on(each) for each in described}
    advice = found.pop() if len(found) == 1 else None
    return None if advice is None else advice.format(it=it)


def _advice_on(described: str) -> str | None:
    text = described.lower()
    return next((advice for parts, advice in _ADVICE if any(part in text for part in parts)), None)


def _encoder_of(frame: Any) -> str:
    """What makes columns of numbers of text, in the library of the frame."""
    if hasattr(frame, "to_dummies"):
        return "DataFrame.to_dummies for example"
    if hasattr(frame, "to_pandas"):
        return "to_pandas and pandas.get_dummies for example"
    return "pandas.get_dummies for example"


def hides_others(frame: Any) -> bool:
    """Whether polars would take columns of times, or of structures, for numbers."""
    dtypes = (dtype for dtype in getattr(frame, "dtypes", ()) if hasattr(dtype, "is_temporal"))
    return any(dtype.is_temporal() or dtype.is_nested() for dtype in dtypes)


def complaint_about_values(a: Any, array: np.ndarray[Any, Any]) -> str:
    """What an error says of something that is no frame, and gave an array of no numbers."""
    kind = type(a).__name__
    if a is None:
        return "None: the data are missing."
    if isinstance(a, Mapping):
        return f"{kind}. Make a frame of it, or an array of its values."
    if isinstance(a, str | bytes):
        return f"a text, {shortened(repr(a))}. Read the file first, if it is the name of one."
    if hasattr(a, "collect"):
        return f"{kind}, whose values are still to be worked out. Hand over its collect()."
    if hasattr(a, "toarray"):
        return f"{kind}, a sparse matrix. Take its toarray()."
    if array.ndim == 0:
        return f"{kind}. Make an array of it."
    described = str(array.dtype)
    if array.dtype.kind == "O":
        values = array.ravel().tolist()
        if _are_numbers(each for each in values if not _is_missing(each)):
            gaps = any(map(_is_missing, values))
            advice = "Write NaN for what is missing, and take" if gaps else "Convert it, with"
            return f"{kind} of dtype object, with numbers. {advice} astype(float) for example."
        described += f", with {_odd_kind(array)}"
    advice = _advice_for([described], "it") or "Encode strings and objects as numbers first."
    return f"{kind} of dtype {described}. {advice}"


def shortened(text: str, most: int = 40) -> str:
    """The text, cut where it is long."""
    return text if len(text) <= most else f"{text[:most]}…"


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


def _column(column: Any) -> np.ndarray[Any, Any] | None:
    """The values of a column of a frame, a number in each row; None for any other column."""
    values = _numbers(column)
    return values if values is not None and values.ndim == 1 else None


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
        return shortened(dtype)
    return f"object, with {_odd_kind(np.asarray(column))}"


def _odd_kind(values: np.ndarray[Any, Any]) -> str:
    """What an array of objects has that no array of numbers has."""
    present = (each for each in values.ravel() if not _is_missing(each))
    odd = next((type(each).__name__ for each in present if not _are_numbers([each])), None)
    return "whole numbers beyond 64 bits" if odd is None else odd
