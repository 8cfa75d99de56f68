"""What is to be predicted: classes, or a number."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.data.table_columns import AS_USUAL, Column, Kind, Reading, Values, read_column
from nnfs_xp.data.table_files import RawTable
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.tables.features import tell_of_far_out
from nnfs_xp.tables.warning import warn

Task = Literal["classification", "regression"]
TASKS = ("auto", "classification", "regression")

MOST_CLASSES, _ROWS_A_CLASS = 20, 3
"""Different whole numbers that are taken for classes, and the rows that each has on average."""

LEAST_SPREAD = 1e-30
"""The least distance from the smallest to the largest value of a regression."""


@dataclass(frozen=True)
class Target:
    """The column to predict.

    Attributes
    ----------
    kind : {"number", "category"}
        Of the column.
    classes : tuple
        Text, truth values or numbers, sorted; empty for a regression.
    reading : Reading
        How the training's column was read.
    """

    name: str
    task: Task
    kind: Kind
    classes: tuple[str | bool | int | float, ...] = ()
    reading: Reading = AS_USUAL

    def read(self, table: RawTable) -> tuple[Values, Values]:
        """The rows that have a value, by their indices, and these values.

        Returns
        -------
        rows : ndarray of int
        y : ndarray
            Of class indices, or of float64 for a regression.

        Raises
        ------
        DataError
            The column is absent or of another kind, has no values, or a class that training had
            not.
        """
        rows, y = self.read_some(table)
        if not len(rows):
            raise _problem(table, self.name, "is empty in all rows.")
        if len(rows) < table.n_rows:
            first = int(np.setdiff1d(np.arange(table.n_rows), rows)[0])
            warn(
                f"{table.n_rows - len(rows)} of {table.n_rows} rows are left out: they have "
                f"nothing, or NA or the like, in the target {shown(self.name)!r} "
                f"({table.place(first)} is the first)"
            )
        return rows, y

    def read_some(self, table: RawTable) -> tuple[Values, Values]:
        """Do what `read` does with a piece of a table, of which no row needs to have a value."""
        table.check_has([self.name], "which is to be predicted")
        column = read_column(table, self.name, self.kind, self.reading)
        rows = np.flatnonzero(~column.missing)
        values = column.values[rows]
        if self.task == "regression":
            return rows, values
        index_of = {
            str(label) if self.kind == "category" else label: index
            for index, label in enumerate(self.classes)
        }
        indices = np.array([index_of.get(value, -1) for value in values.tolist()], np.int64)
        if (indices < 0).any():
            first = int((indices < 0).argmax())
            known = ", ".join(map(str, self.classes))
            raise DataError(
                f"{table.place(rows[first])}, column {shown(self.name)!r}: "
                f"{shown(str(values[first]), 60)!r} is no class of the training, which had "
                f"{shown(known)}."
            )
        return rows, indices


def choose_target(
    table: RawTable,
    name: str,
    task: str,
    kind: Kind | None = None,
    reading: Reading = AS_USUAL,
) -> Target:
    """The target of that name, with the given task, or the one that its values tell.

    Text and truth values make a classification, and so do at most 20 different whole numbers of
    at least 3 rows each on average; other numbers make a regression.

    Raises
    ------
    ArgumentError
        The task is unknown.
    DataError
        The column is absent, or does not fit the task.
    """
    if task not in TASKS:
        raise ArgumentError(f"`task` must be one of {', '.join(TASKS)}; got {task!r}.")
    table.check_has([name], "which is to be predicted")
    column = read_column(table, name, "number" if task == "regression" else kind, reading)
    times = Counter(column.filled.tolist())
    if not times:
        raise _problem(table, name, "is empty in all rows.")
    if column.kind == "date":
        advice = "To predict a time, subtract a start first, in days say."
        raise _problem(table, name, f"is a date ({column.filled[0]!s:.10} first). {advice}")
    if task == "auto" and column.example:
        raise DataError(
            f"{table.label}: the numbers in column {shown(name)!r} have signs "
            f"({shown(column.example, 60)!r} first). Write plain ones, or let the task be "
            "classification."
        )
    if len(times) < 2:
        raise DataError(
            f"{table.label}: all rows have {shown(next(iter(times)))} in column {shown(name)!r}. "
            "There is nothing to learn."
        )
    if column.comma:
        reading = replace(reading, commas=reading.commas | {name})
    if column.unit:
        warn(f"column {shown(name)!r}: read without its unit {column.unit!r}")
    if task == "classification" or (task == "auto" and _are_classes(column, times)):
        _check_classes(table, name, times)
        what: Kind = "number" if column.kind == "number" else "category"
        return Target(name, "classification", what, _labels(sorted(times)), reading)
    if np.ptp(column.filled) < LEAST_SPREAD:
        raise DataError(
            f"{table.label}: the values in column {shown(name)!r} differ by less than "
            f"{LEAST_SPREAD:g}, too little to compute with. Multiply them."
        )
    bounded = " In training, targets so far out count as no further than the rest."
    tell_of_far_out(table, column, np.arange(table.n_rows), bounded)
    return Target(name, "regression", "number", (), reading)


def _are_classes(column: Column, times: Counter[Any]) -> bool:
    """Whether the values are text, or few whole numbers."""
    few = len(times) <= min(MOST_CLASSES, times.total() // _ROWS_A_CLASS)
    return column.kind != "number" or (few and all(value.is_integer() for value in times))


def _check_classes(table: RawTable, name: str, times: Counter[Any]) -> None:
    if len(times) > times.total() // 2:
        raise _problem(
            table,
            name,
            f"has {len(times)} different values in {times.total()} rows: too many to be classes. "
            "If it holds numbers, let the task be regression.",
        )
    if lonely := sorted(str(value) for value, n in times.items() if n == 1):
        warn(
            f"{len(lonely)} of {len(times)} classes of {shown(name)!r} have a single row, which is "
            f"trained on and never tested: {shown(', '.join(lonely))}"
        )


def _labels(values: list[Any]) -> tuple[Any, ...]:
    """The classes as Python would have them: whole numbers whole, truth values true or false."""
    if isinstance(values[0], float):
        whole = all(value.is_integer() for value in values)
        return tuple(map(int, values) if whole else sorted(values, key=str))  # as scikit-learn does
    is_truth = set(values) <= {"True", "False"}
    return tuple(value == "True" for value in values) if is_truth else tuple(values)


def _problem(table: RawTable, name: str, what: str) -> DataError:
    return DataError(f"{table.label}: column {shown(name)!r} {what}")
