"""What is to be predicted: classes, or a number."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.tables.columns import Column, Kind, Values, marked_example
from nnfs_xp.tables.source import Source
from nnfs_xp.tables.warning import TableWarning

Task = Literal["classification", "regression"]
TASKS = ("auto", "classification", "regression")

MOST_CLASSES = 20
"""Different whole numbers up to which a column of them is taken for classes."""

_ROWS_A_CLASS = 3
"""Rows that each of these classes must have, on average."""

_LEAST_SPREAD = 1e-30
"""The least distance from the smallest to the largest value of a regression."""


@dataclass(frozen=True)
class Target:
    """The column to predict.

    Attributes
    ----------
    name : str
    task : {"classification", "regression"}
    kind : {"number", "category"}
        Of the column.
    classes : tuple
        Text, truth values or numbers, sorted; empty for a regression.
    """

    name: str
    task: Task
    kind: Kind
    classes: tuple[str | bool | int | float, ...] = ()

    @property
    def labels(self) -> Values:
        """The classes as scikit-learn takes them: numbers with decimals as text."""
        labels = np.asarray(self.classes)
        return labels.astype(str) if labels.dtype.kind == "f" else labels

    def read(self, source: Source) -> tuple[Values, Values]:
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
        source.check_has([self.name], "which is to be predicted")
        column = source.column(self.name, self.kind)
        rows = np.flatnonzero(~column.missing)
        if not len(rows):
            raise DataError(f"{source.label}: column {shown(self.name)!r} is empty in all rows.")
        if len(rows) < source.n_rows:
            first = source.place(int(column.missing.argmax()))
            warnings.warn(
                f"{source.n_rows - len(rows)} of {source.n_rows} rows are left out: they have "
                f"nothing, or NA or the like, in the target {shown(self.name)!r} "
                f"({first} is the first)",
                TableWarning,
                stacklevel=4,
            )
        values = column.values[rows]
        return rows, values if self.task == "regression" else self._indices(source, rows, values)

    def _indices(self, source: Source, rows: Values, values: Values) -> Values:
        index_of = {_key(label): index for index, label in enumerate(self.classes)}
        indices = np.array([index_of.get(value, -1) for value in values.tolist()])
        if (indices < 0).any():
            first = int((indices < 0).argmax())
            known = ", ".join(str(label) for label in self.classes)
            raise DataError(
                f"{source.place(rows[first])}, column {shown(self.name)!r}: "
                f"{shown(str(values[first]), 60)!r} is no class of the training, which had "
                f"{shown(known)}."
            )
        return indices


def _key(label: str | bool | int | float) -> str | float:
    """A class as a column has it."""
    return str(label) if isinstance(label, str | bool) else float(label)


def choose_target(source: Source, name: str, task: str, kind: Kind | None = None) -> Target:
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
    source.check_has([name], "which is to be predicted")
    column = source.column(name, "number" if task == "regression" else kind)
    times = Counter(column.filled.tolist())
    if not times:
        raise DataError(f"{source.label}: column {shown(name)!r} is empty in all rows.")
    if task == "auto" and kind is None and (example := marked_example(column)):
        raise DataError(
            f"{source.label}: the numbers in column {shown(name)!r} have signs "
            f"({shown(example, 60)!r} first). Write plain ones, or let the task be classification."
        )
    if task == "auto":
        task = _suitable_task(column, times)
    if len(times) < 2:
        raise DataError(
            f"{source.label}: all rows have {shown(next(iter(times)))} in column {shown(name)!r}. "
            "There is nothing to learn."
        )
    if task == "regression":
        if np.ptp(column.filled) < _LEAST_SPREAD:
            raise DataError(
                f"{source.label}: the values in column {shown(name)!r} differ by less than "
                f"{_LEAST_SPREAD:g}, too little to compute with. Multiply them."
            )
        return Target(name, "regression", "number")
    _check_classes(source, name, times)
    return Target(name, "classification", column.kind, _labels(column, sorted(times)))


def _suitable_task(column: Column, times: Counter[Any]) -> Task:
    if column.kind == "category":
        return "classification"
    whole = all(float(value).is_integer() for value in times)
    few = len(times) <= min(MOST_CLASSES, times.total() // _ROWS_A_CLASS)
    return "classification" if whole and few else "regression"


def _check_classes(source: Source, name: str, times: Counter[Any]) -> None:
    rows = times.total()
    if len(times) > rows // 2:
        raise DataError(
            f"{source.label}: column {shown(name)!r} has {len(times)} different values in {rows} "
            "rows: too many to be classes. If it holds numbers, let the task be regression."
        )
    lonely = sorted(str(value) for value, n in times.items() if n == 1)
    if lonely:
        warnings.warn(
            f"{len(lonely)} of {len(times)} classes of {shown(name)!r} have a single row, which is "
            f"trained on and never tested: {shown(', '.join(lonely))}",
            TableWarning,
            stacklevel=5,
        )


def _labels(column: Column, values: list[Any]) -> tuple[Any, ...]:
    """The classes as Python would have them: whole numbers whole, truth values true or false."""
    if column.kind == "number":
        if all(value.is_integer() for value in values):
            return tuple(int(value) for value in values)
        return tuple(sorted(values, key=str))  # as scikit-learn sorts their texts
    if set(values) <= {"True", "False"}:
        return tuple(value == "True" for value in values)
    return tuple(values)
