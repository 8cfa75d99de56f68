"""The columns that a prediction is made from, and why others are not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nnfs_xp._checks import shown
from nnfs_xp.data.table_columns import (
    AS_USUAL,
    Column,
    Kind,
    Reading,
    Values,
    far_out,
    names_rows,
    nines,
    read_column,
)
from nnfs_xp.data.table_files import RawTable
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.tables.settings import NO_WISHES, Wishes
from nnfs_xp.tables.warning import warn

_SAID: dict[Kind, str] = {
    "number": "numeric",
    "category": "categorical",
    "date": "a date",
    "text": "text",
}
_OF_INDEX = re.compile(r"(.*[ _])?(id|index|row|nr|no)|unnamed: ?\d+|column 1", re.I)
_FILLED, _DIFFERENT = 0.9, 0.99
"""The shares of the rows that have an index, and of these whose index is no other's."""

_MOST_GAPS, _MOST_GAPS_IN_ORDER = 3, 100
"""How many times the rows an index reaches of which some were taken out, in any order and not."""


@dataclass(frozen=True)
class Feature:
    """A column that predictions are made from: its name and its kind."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Features:
    """The columns that are used; why each of the others is not; and how the table was read."""

    used: tuple[Feature, ...]
    dropped: dict[str, str]
    reading: Reading = AS_USUAL

    @property
    def names(self) -> list[str]:
        """The names of the columns that are used."""
        return [feature.name for feature in self.used]

    def of_kind(self, kind: Kind) -> list[str]:
        """The names of the columns of one kind."""
        return [feature.name for feature in self.used if feature.kind == kind]

    def read(self, table: RawTable, rows: Values | None = None) -> pd.DataFrame:
        """The columns as the network takes them, in some rows or in all, missing text as "".

        Raises
        ------
        DataError
            A column is absent, or has a cell of another kind.
        """
        table.check_has(self.names, "which the model was trained with")
        columns = (read_column(table, each.name, each.kind, self.reading) for each in self.used)
        return _frame(columns, np.arange(table.n_rows) if rows is None else rows)


def _frame(columns: Iterable[Column], rows: Values) -> pd.DataFrame:
    """The columns as the network takes them."""
    frame = {}
    for column in columns:
        is_text = column.kind in ("category", "text")
        values = np.where(column.missing, "", column.values) if is_text else column.values
        frame[column.name] = values[rows]
    return pd.DataFrame(frame)


def choose_features(
    table: RawTable,
    target: str | None,
    rows: Values,
    wishes: Wishes = NO_WISHES,
    reading: Reading | None = None,
    *,
    drawn_from: int | None = None,
) -> tuple[Features, pd.DataFrame]:
    """The columns that may tell something of the target, and their values in some rows.

    Left out are columns that are empty, that are the same in all rows, and those that merely name
    or count the rows.

    Parameters
    ----------
    table : RawTable
    target : str, optional
        The column to predict, where the table has it.
    rows : ndarray of int
        Those with a target.
    wishes : Wishes
        Columns of a kind that is said are kept if their cells are not all the same.
    reading : Reading, optional
        What is known before; by default what the wishes say.
    drawn_from : int, optional
        How many rows the table was drawn from, if that is a sample.

    Raises
    ------
    ArgumentError
        The target is to be left out, or a column is named as of two kinds.
    DataError
        A column is absent, holds a mistake, or none is left.
    """
    drop, kinds = wishes.drop, forced_kinds(table, wishes)
    if target in drop:
        raise ArgumentError(f"`drop` must not name the target {shown(target)!r}.")
    reading = reading or wishes.reading
    used, dropped = [], dict.fromkeys(drop, "as asked for")
    for name in table.names:
        if name == target or name in drop:
            continue
        column = read_column(table, name, kinds.get(name), reading)
        _tell_of_signs(column)
        known = replace(column, values=column.values[rows])
        reason = _why_not(known, drawn_from or len(rows), named=name in kinds)
        if reason is None:
            used.append(column)
            tell_of_far_out(table, column, rows)
        else:
            dropped[name] = reason
    if not used:
        reasons = ", ".join(f"{name!r} {reason}" for name, reason in dropped.items())
        more = f": {shown(reasons)}." if reasons else ". Is the separator right?"
        what = "" if target is None else f" {shown(target)!r}"
        raise DataError(f"{table.label} has no column to predict{what} from{more}")
    for name, reason in dropped.items():
        if name not in drop:
            warn(f"column {shown(name)!r} is left out: {reason}")
    commas, day_first = ({c.name for c in used if c.comma}, {c.name for c in used if c.day_first})
    reading = Reading(reading.missing, reading.commas | commas, frozenset(day_first))
    features = Features(tuple(Feature(c.name, c.kind) for c in used), dropped, reading)
    return features, _frame(used, rows)


def forced_kinds(table: RawTable, wishes: Wishes) -> dict[str, Kind]:
    """The kinds of the columns that are named as of one kind.

    Raises
    ------
    ArgumentError
        A column is named as of two.
    DataError
        A column is absent, or one that is to be dropped.
    """
    table.check_has(wishes.drop, "which is to be dropped")
    numbers = [*wishes.numeric, *wishes.categorical]
    table.check_has(numbers, "which is named as numeric or categorical")
    table.check_has([*wishes.dates, *wishes.text], "which is named as a date or text")
    kinds: dict[str, Kind] = {}
    for kind, names in wishes.kinds.items():
        for name in names:
            if kinds.setdefault(name, kind) != kind:
                both = f"{_SAID[kinds[name]]} and as {_SAID[kind]}"
                raise ArgumentError(f"column {shown(name)!r} is named as {both}.")
    return kinds


def _why_not(column: Column, n_rows: int, *, named: bool) -> str | None:
    """Why the column, of these rows or of some of them, says nothing of the target."""
    filled = column.filled
    different = len(set(filled.tolist()))
    if not different:
        return "it is empty"
    if different == 1 and len(filled) == len(column.values):
        return "it is the same in all rows"
    if named:
        return None
    if column.kind == "category" and names_rows(column):
        return f"{different} different texts in {len(filled)} rows: names or free text"
    is_number = column.kind == "number" and len(filled) >= _FILLED * len(column.values)
    if not is_number or different < _DIFFERENT * len(filled) or np.any(filled % 1):
        return None
    reach = np.ptp(filled) + 1
    if reach <= n_rows:
        return "it counts the rows"
    is_index, ascends = _OF_INDEX.fullmatch(column.name), (np.diff(filled) >= 0).all()
    most = _MOST_GAPS_IN_ORDER if ascends else _MOST_GAPS if is_index else 0
    if reach <= most * n_rows or (is_index and ascends):
        return (
            "it looks like a row number, and may give the target away if rows were sorted by it. "
            "Name it as numeric to keep it"
        )
    return None


def _tell_of_signs(column: Column) -> None:
    """Warn of a unit that is not read, and of what can be read in two ways."""
    name, example = shown(column.name), shown(column.example, 60)
    if column.unit:
        warn(f"column {name!r}: read without its unit {column.unit!r}")
    elif example and column.kind == "date":
        warn(f"column {name!r}: its dates are read with the day first ({example!r} first)")
    elif example:
        warn(
            f"column {name!r} is taken as categories: its numbers have signs ({example!r} first). "
            "Write plain ones to have them as numbers"
        )


def _tell_of_far_dates(table: RawTable, column: Column, rows: Values) -> None:
    dates = column.values[rows].astype("datetime64[s]")
    days = np.where(np.isnat(dates), np.nan, dates.astype(np.int64) / 86_400)
    if len(days) == np.isnan(days).sum() or not len(far := far_out(days)):
        return
    cells = "1 cell lies" if len(far) == 1 else f"{len(far)} cells lie"
    warn(
        f"column {shown(column.name)!r}: {cells} far from the other dates "
        f"({table.place(rows[far[0]])}: {dates[far[0]]!s:.10} first). Leave such cells empty if "
        "they stand for missing ones"
    )


def tell_of_far_out(table: RawTable, column: Column, rows: Values, more: str = "") -> None:
    """Warn of the numbers in these rows that lie far from the rest, if any do."""
    if column.kind == "date":
        _tell_of_far_dates(table, column, rows)
    if column.kind != "number":
        return
    beyond = rows[far_out(column.values[rows])]
    far = np.union1d(beyond, rows[nines(column.values[rows])]).astype(np.int64)
    if not len(far):
        return
    name, median = shown(column.name), np.nanmedian(column.values[rows])
    for value, times in Counter(column.values[far].tolist()).most_common(3):
        row = far[column.values[far] == value][0]
        what = f"far from the rest (median {median:.4g}).{more if row in beyond else ''}"
        if times == 1:
            warn(f"{table.place(row)}, column {name!r}: {value:g} lies {what}")
        else:
            warn(
                f"column {name!r}: {times} cells hold {value:g} (row {table.row(row)} is the "
                f"first), {what} If they stand for missing values: --missing {value:.15g}"
            )
