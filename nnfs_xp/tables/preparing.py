"""Read and check a table, choose what is predicted from what, and hold rows out."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from nnfs_xp.data.table_columns import Values
from nnfs_xp.data.table_files import RawTable
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.reports.figures import Report
from nnfs_xp.tables.course import Course
from nnfs_xp.tables.features import Features, choose_features, forced_kinds
from nnfs_xp.tables.fitting import fit, parts, split
from nnfs_xp.tables.large import LargeTable, open_or_sample
from nnfs_xp.tables.model import TableModel
from nnfs_xp.tables.settings import NO_WISHES, TableSettings, Wishes
from nnfs_xp.tables.target import Target, choose_target
from nnfs_xp.training.progress import Shown

_LEAST_ROWS = 20
HELD_OUT = "held out"


@dataclass(frozen=True)
class Preparation:
    """A table that is read and checked, ready to train on.

    Attributes
    ----------
    target : Target
    features : Features
    frame : DataFrame
        The columns of all rows with a target; its index names the rows.
    y : ndarray
        Their targets.
    trained, tested : ndarray of int
        Which of them are trained on, and which are held out.
    test : (RawTable, DataFrame, ndarray), optional
        A table of its own to test on, and its columns and targets.
    large : LargeTable, optional
        The table that the rows are a sample of.
    """

    target: Target
    features: Features
    frame: pd.DataFrame
    y: Values
    trained: Values
    tested: Values
    test: tuple[RawTable, pd.DataFrame, Values] | None
    large: LargeTable | None = None

    @property
    def n_rows(self) -> int:
        """The rows of the table, or those with a target where it is held in memory."""
        return len(self.y) if self.large is None else self.large.n_rows

    def train(self, settings: TableSettings, course: Course) -> TableModel:
        """Train and test the model, and return it."""
        if self.large is not None:
            settings = self.large.settings(settings)
        chosen = (self.target, self.features, settings, course, self.large)
        model = fit(self.frame, self.y, self.trained, *chosen)
        if self.test is None:
            model.report = model.test(self.frame.iloc[self.tested], self.y[self.tested], HELD_OUT)
        else:
            table, frame, y = self.test
            model.tell_of(table, frame)
            model.report = model.test(frame, y, f"of {table.label}")
        return model


def prepare(
    data: Any,
    target_name: str,
    settings: TableSettings,
    wishes: Wishes = NO_WISHES,
    test: Any = None,
    *,
    separator: str | None = None,
    progress: Shown = False,
) -> Preparation:
    """Read and check the tables of a training, as `train_table` says; of large files a sample.

    Parameters
    ----------
    data, test
        See `train_table`.
    target_name : str
    settings : TableSettings
        Checked.
    wishes : Wishes
    separator : str, optional
        See `open_table`.
    progress : bool or "lines"
        Whether to show how far the first reading of a large file is.
    """
    if not isinstance(target_name, str):
        raise ArgumentError(f"`target` must be the name of a column; got {target_name!r}.")
    wishes.check()
    options = {"separator": separator, "progress": progress}
    table, test, large = _open(data, target_name, settings, wishes, test, **options)
    n_rows = None
    if large is not None:
        settings, n_rows = large.settings(settings), large.n_rows
    kind = forced_kinds(table, wishes).get(target_name)
    target = choose_target(table, target_name, wishes.task, kind, wishes.reading)
    if settings.interval is not None and target.task == "classification":
        raise ArgumentError("`interval` is for regressions; a classification has probabilities.")
    rows, y = target.read(table)
    if len(rows) < _LEAST_ROWS:
        raise DataError(
            f"{table.label} has {len(rows)} rows with a target; at least {_LEAST_ROWS} are needed."
        )
    features, frame = choose_features(
        table, target_name, rows, wishes, target.reading, drawn_from=n_rows
    )
    numbers = [table.row(row) for row in rows]
    frame.index = pd.Index(numbers, name="row", tupleize_cols=False)
    trained, tested, apart = np.arange(len(y)), np.arange(0), None
    if test is None:
        trained, tested = split(trained, target, y, settings.test_share, settings.seed)
    else:
        test_rows, y_test = target.read(test)
        apart = (test, features.read(test, test_rows), y_test)
    _check_interval(settings, target, y[trained])
    return Preparation(target, features, frame, y, trained, tested, apart, large)


def _open(
    data: Any, target: str, settings: TableSettings, wishes: Wishes, test: Any, **options: Any
) -> tuple[RawTable, RawTable | None, LargeTable | None]:
    """The table, or the sample of a large one; that to test on, likewise; and the large one."""

    def check(head: RawTable) -> None:
        if settings.folds not in (None, 1):
            raise ArgumentError(
                f"`folds` must be 1 for {head.label}, which is read in pieces; got "
                f"{settings.folds}."
            )
        forced_kinds(head, wishes)

    options |= {"missing": frozenset(wishes.missing), "seed": settings.seed}
    table, large = open_or_sample(data, target, check=check, **options)
    apart = None if test is None else open_or_sample(test, target, **options)[0]
    return table, apart, large


def _check_interval(settings: TableSettings, target: Target, y: Values) -> None:
    """Refuse, before a training on these targets, intervals that it will keep too few rows for."""
    if settings.interval is None:
        return
    plan = settings.plan(len(y), classifies=bool(target.classes))
    n_kept = sum(len(kept) for _, kept in parts(y, target, plan))
    if ceil(settings.interval * (n_kept + 1)) > n_kept:
        raise ArgumentError(
            f"`interval` must be less, or the rows more: the training keeps {n_kept} rows aside, "
            f"too few for intervals that hold a share of {settings.interval:g}."
        )


def evaluate_held_out(model: TableModel, table: RawTable) -> Report:
    """The figures on the rows of the training's table that were held out from it."""
    rows, y = model.target.read(table)
    share, seed = model.settings["test_share"], model.settings["seed"]
    _, tested = split(np.arange(len(y)), model.target, y, share, seed)
    return model.test(model.features.read(table, rows[tested]), y[tested], HELD_OUT)
