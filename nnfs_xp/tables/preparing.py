"""Read and check a table, choose what is predicted from what, and hold rows out."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nnfs_xp.data.table_columns import Reading, Values
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


class Opened(NamedTuple):
    """The tables of a training: all rows, or a sample of a large one; and those to test on."""

    table: RawTable
    test: RawTable | None
    large: LargeTable | None


def open_tables(
    data: Any,
    target_name: str,
    settings: TableSettings,
    wishes: Wishes = NO_WISHES,
    test: Any = None,
    *,
    separator: str | None = None,
    progress: Shown = False,
) -> Opened:
    """Open the tables of a training; of large files a sample, with what they are a sample of."""
    _check_said(target_name, settings, wishes)

    def check(head: RawTable) -> None:
        if settings.folds not in (None, 1):
            raise ArgumentError(
                f"`folds` must be 1 for {head.label}, which is read in pieces; got "
                f"{settings.folds}."
            )
        head.check_has(wishes.drop, "which is to be dropped")
        forced_kinds(head, **wishes.kinds)

    options: dict[str, Any] = {
        "separator": separator,
        "missing": frozenset(wishes.missing),
        "seed": settings.seed,
        "progress": progress,
    }
    table, large = open_or_sample(data, target_name, check=check, **options)
    apart = None if test is None else open_or_sample(test, target_name, **options)[0]
    return Opened(table, apart, large)


def _check_said(target_name: Any, settings: TableSettings, wishes: Wishes) -> None:
    settings.check()
    if not isinstance(target_name, str):
        raise ArgumentError(f"`target` must be the name of a column; got {target_name!r}.")
    wishes.check()


def prepare(
    table: RawTable,
    target_name: str,
    settings: TableSettings,
    wishes: Wishes = NO_WISHES,
    test: RawTable | None = None,
    large: LargeTable | None = None,
) -> Preparation:
    """Read and check a table, or the sample of a large one, as `train_table` says."""
    _check_said(target_name, settings, wishes)
    n_rows = None
    if large is not None:
        settings, n_rows = large.settings(settings), large.n_rows
    reading = Reading(missing=frozenset(wishes.missing))
    kinds = forced_kinds(table, **wishes.kinds)
    target = choose_target(table, target_name, wishes.task, kinds.get(target_name), reading)
    if settings.interval is not None and target.task == "classification":
        raise ArgumentError("`interval` is for regressions; a classification has probabilities.")
    rows, y = target.read(table)
    if len(rows) < _LEAST_ROWS:
        raise DataError(
            f"{table.label} has {len(rows)} rows with a target; at least {_LEAST_ROWS} are needed."
        )
    features, frame, _ = choose_features(
        table,
        target_name,
        rows,
        reading,
        drop=wishes.drop,
        drawn_from=n_rows,
        **wishes.kinds,
    )
    frame.index = pd.Index([table.row(row) for row in rows], name="row")
    if test is None:
        trained, tested = split(np.arange(len(y)), target, y, settings.test_share, settings.seed)
        _check_interval(settings, target, y[trained])
        return Preparation(target, features, frame, y, trained, tested, None, large)
    _check_interval(settings, target, y)
    test_rows, y_test = target.read(test)
    apart = (test, features.read(test, test_rows), y_test)
    trained, tested = np.arange(len(y)), np.arange(0)
    return Preparation(target, features, frame, y, trained, tested, apart, large)


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
