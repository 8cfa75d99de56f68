"""The columns that a prediction is made from, and why others are not."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.tables.columns import Column, Kind, Values, marked_example
from nnfs_xp.tables.source import Source
from nnfs_xp.tables.warning import TableWarning

_UNIQUE = 0.9
"""The share of different texts, among a column's filled cells, from which on they are names."""


@dataclass(frozen=True)
class Feature:
    """A column that predictions are made from.

    Attributes
    ----------
    name : str
    kind : {"number", "category"}
    """

    name: str
    kind: Kind


@dataclass(frozen=True)
class Features:
    """The columns of a table that are used.

    Attributes
    ----------
    used : tuple of Feature
    dropped : dict of str to str
        Why each of the others is not.
    """

    used: tuple[Feature, ...]
    dropped: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The names of the columns that are used."""
        return [feature.name for feature in self.used]

    def of_kind(self, kind: Kind) -> list[str]:
        """The names of the columns of one kind."""
        return [feature.name for feature in self.used if feature.kind == kind]

    def read(self, source: Source, rows: Values | None = None) -> pd.DataFrame:
        """The columns as the network's pipeline takes them, a missing category as "".

        Parameters
        ----------
        source : Source
        rows : ndarray of int, optional
            By default all.

        Raises
        ------
        DataError
            A column is absent, or has a cell of another kind.
        """
        source.check_has(self.names, "which the model was trained with")
        columns = {each.name: source.column(each.name, each.kind) for each in self.used}
        return _frame(columns, rows)


def _frame(columns: Mapping[str, Column], rows: Values | None) -> pd.DataFrame:
    """The columns as the pipeline takes them."""
    frame = {}
    for name, column in columns.items():
        values = column.values
        if column.kind == "category":
            values = np.where(column.missing, "", values)
        frame[name] = values if rows is None else values[rows]
    return pd.DataFrame(frame)


def choose_features(
    source: Source,
    target: str,
    rows: Values,
    *,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> tuple[Features, pd.DataFrame]:
    """The columns that may tell something of the target, and their values in the rows.

    Left out are columns that are empty, that are the same in all rows, and those that merely
    name the rows: text that is nearly always another, and whole numbers that count the rows.

    Parameters
    ----------
    source : Source
    target : str
    rows : ndarray of int
        Those with a target.
    numeric, categorical : sequence of str
        Columns that hold numbers, or categories, whatever their cells tell. They are kept if they
        are not the same in all rows.
    drop : sequence of str
        Columns to leave out.

    Raises
    ------
    ArgumentError
        The target is to be left out.
    DataError
        A column is absent, holds a mistake, or none is left.
    """
    source.check_has(drop, "which is to be dropped")
    kinds = forced_kinds(source, numeric, categorical)
    if target in drop:
        raise ArgumentError(f"`drop` must not name the target {shown(target)!r}.")
    used: dict[str, Column] = {}
    dropped = dict.fromkeys(drop, "as asked for")
    for name in source.names:
        if name == target or name in dropped:
            continue
        column = source.column(name, kinds.get(name))
        if name not in kinds and (example := marked_example(column)):
            warnings.warn(
                f"column {shown(name)!r} is taken as categories: its numbers have signs "
                f"({shown(example, 60)!r} first). Write plain ones to have them as numbers",
                TableWarning,
                stacklevel=4,
            )
        reason = _why_not(Column(column.kind, column.values[rows]), named=name in kinds)
        if reason is None:
            used[name] = column
        else:
            dropped[name] = reason
    unasked = {name: reason for name, reason in dropped.items() if name not in drop}
    if not used:
        reasons = ", ".join(f"{name!r} {reason}" for name, reason in dropped.items())
        raise DataError(
            f"{source.label} has no column to predict {shown(target)!r} from"
            + (f": {shown(reasons)}." if reasons else ". Is the separator right?")
        )
    for name, reason in unasked.items():
        warnings.warn(f"column {shown(name)!r} is left out: {reason}", TableWarning, stacklevel=4)
    features = tuple(Feature(name, column.kind) for name, column in used.items())
    return Features(features, dropped), _frame(used, rows)


def forced_kinds(
    source: Source, numeric: Sequence[str], categorical: Sequence[str]
) -> dict[str, Kind]:
    """The kinds of the columns that are named as of one kind.

    Raises
    ------
    ArgumentError
        A column is named as both.
    DataError
        A column is absent.
    """
    source.check_has([*numeric, *categorical], "which is named as numeric or categorical")
    if both := set(numeric) & set(categorical):
        raise ArgumentError(f"column {shown(min(both))!r} is named as numeric and as categorical.")
    return {**dict.fromkeys(numeric, "number"), **dict.fromkeys(categorical, "category")}


def _why_not(column: Column, *, named: bool) -> str | None:
    """Why the column says nothing of the target, if it does not."""
    filled = column.filled
    different = len(set(filled.tolist()))
    if not different:
        return "it is empty"
    if different == 1 and len(filled) == len(column.values):
        return "it is the same in all rows"
    if named:
        return None
    if column.kind == "category":
        if different >= max(_UNIQUE * len(filled), 3):
            return f"{different} different texts in {len(filled)} rows: names or free text"
    elif different == len(column.values) and set(filled - filled.min()) == set(range(different)):
        return "it counts the rows"
    return None
