"""Train a model of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from nnfs_xp.backend import get_backend
from nnfs_xp.data.table_files import RawTable
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.reports.figures import Report
from nnfs_xp.reports.page import Findings, Rival, boosting_rival, permuted_importances, write_page
from nnfs_xp.tables.columns import Reading, Values
from nnfs_xp.tables.features import Features, check_texts, choose_features, forced_kinds
from nnfs_xp.tables.fitting import Course, fit, parts, split
from nnfs_xp.tables.large import LargeTable, open_or_sample
from nnfs_xp.tables.model import TableModel
from nnfs_xp.tables.settings import TableSettings
from nnfs_xp.tables.target import Target, choose_target
from nnfs_xp.training.progress import Shown, check_progress

_LEAST_ROWS = 20
_SHUFFLED = 1000
"""Rows that the importance of columns is measured on."""

HELD_OUT = "held out"


@dataclass(frozen=True)
class Wishes:
    """What is said of a table's columns.

    Attributes
    ----------
    task : {"auto", "classification", "regression"}
        By default a classification of text, of truth values, and of at most 20 different whole
        numbers with at least 3 rows each on average; else a regression.
    numeric, categorical, dates, text : sequence of str
        Columns of that kind, whatever their cells tell.
    drop : sequence of str
        Columns to leave out.
    missing : sequence of str
        What stands for a missing value besides an empty cell and the usual texts: ``"-9999"``.
    """

    task: str = "auto"
    numeric: Sequence[str] = ()
    categorical: Sequence[str] = ()
    dates: Sequence[str] = ()
    text: Sequence[str] = ()
    drop: Sequence[str] = ()
    missing: Sequence[str] = ()

    def check(self) -> None:
        """Refuse a text where a list of texts belongs."""
        check_texts(**{name: value for name, value in vars(self).items() if name != "task"})

    @property
    def kinds(self) -> dict[str, Sequence[str]]:
        """The columns that are said to be of some kind."""
        names = ("numeric", "categorical", "dates", "text")
        return {name: getattr(self, name) for name in names}


def train_table(
    data: Any,
    target: str,
    *,
    task: str = "auto",
    test: Any = None,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    dates: Sequence[str] = (),
    text: Sequence[str] = (),
    drop: Sequence[str] = (),
    missing: Sequence[str] = (),
    hidden: Sequence[int] = TableSettings.hidden,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    dropout: float = TableSettings.dropout,
    ensemble: int = TableSettings.ensemble,
    folds: int | None = None,
    patience: int | None = None,
    interval: float | None = None,
    test_share: float = TableSettings.test_share,
    seed: int = TableSettings.seed,
    backend: str = "auto",
    progress: bool | Literal["lines"] = True,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    report: str | Path | None = None,
) -> TableModel:
    """Train a classifier or a regressor on a table, and test it on rows that it has not seen.

    Parameters
    ----------
    data : path, DataFrame of pandas or polars, or Arrow table
        Of a file: CSV, Parquet, JSON lines or Excel, compressed or not. A CSV file of more than
        256 MB, or 64 MB compressed, and a Parquet file of more than 1,000,000 rows are read in
        pieces, in each epoch anew. All but the weights is learnt from a random sample of their
        rows, and tested on it.
    target : str
        The column to predict.
    task, numeric, categorical, dates, text, drop, missing
        What is said of the columns: see `Wishes`.
    test : like `data`, optional
        Rows to test on; by default a share of `data` that is held out.
    hidden, epochs, batch_size, learning_rate, dropout, ensemble, folds, patience, interval, \
    test_share, seed
        See `TableSettings`.
    backend : str
        Where to train: see `get_backend`.
    progress : bool or "lines"
        Whether to show how far the training is, as `Trainer.fit` does; ``"lines"``, for logs: as a
        plain line for each epoch.
    checkpoint, resume
        A folder that keeps the state of the training, and whether to go on from it: see
        `Trainer.fit`.
    report : str or Path, optional
        Where to write what the model is like on the rows it was tested on: a page of HTML in one
        file.

    Returns
    -------
    TableModel

    Raises
    ------
    DataError
        The table cannot be read, or nothing can be learnt from it; the message names what is
        wrong, with row and column.
    ArgumentError
        A setting is out of its range.

    Warns
    -----
    TableWarning
        Columns that are left out, rows without a target, classes with one row, values far from
        all others.

    Examples
    --------
    >>> import pandas as pd
    >>> from nnfs_xp.tables import train_table
    >>> frame = pd.DataFrame({"width": [1.0, 2.0, 3.0, 4.0] * 25, "kind": [*"aabb"] * 25})
    >>> model = train_table(frame, "kind", epochs=20, progress=False)
    >>> model.predict(pd.DataFrame({"width": [1.1, 3.9]})).tolist()
    ['a', 'b']
    """
    settings = TableSettings(
        hidden,  # type: ignore[arg-type] # which check makes a tuple
        epochs,
        batch_size,
        learning_rate,
        dropout,
        ensemble,
        folds,
        patience,
        interval,
        test_share,
        seed,
    ).check()
    get_backend(backend)  # refused before anything is read
    check_progress(progress)
    wishes = Wishes(task, numeric, categorical, dates, text, drop, missing)
    tables = open_tables(data, target, settings, wishes, test, progress=progress)
    prepared = prepare(tables.table, target, settings, wishes, tables.test, tables.large)
    folder = None if checkpoint is None else Path(checkpoint)
    model = prepared.train(settings, Course(backend, progress, folder, resume))
    if report is not None:
        prepared.write_report(model, report)
    return model


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

    def write_report(
        self,
        model: TableModel,
        path: str | Path,
        *,
        title: str = "",
        warnings: Sequence[str] = (),
        seconds: float = 10.0,
    ) -> None:
        """Write what the model is like on the rows it was tested on, as a page: HTML in one file.

        Parameters
        ----------
        model : TableModel
            As `train` gave it.
        path : str or Path
        title : str
        warnings : sequence of str
            What was warned of in training.
        seconds : float
            The most that gradient boosting, for comparison, and then the importances may take.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        frame, y = self.frame.iloc[self.tested], self.y[self.tested]
        if self.test is not None:
            _, frame, y = self.test
        report, share = model.test(frame, y, ""), model.settings["interval"]
        chosen = np.random.default_rng(model.settings["seed"]).permutation(len(y))[:_SHUFFLED]
        trained = self.frame.iloc[self.trained], self.y[self.trained]
        boosting = boosting_rival(
            *trained, frame, y, model.task, len(model.classes), 0, seconds=seconds
        )
        constant = "always the most frequent class" if model.classes else "always the mean"
        findings = Findings(
            title or f"{model.task} of {self.target.name!r}",
            model.task,
            model.classes,
            report.figures,
            (Rival(constant, report.baseline), *([boosting] if boosting else [])),
            frame,
            report.y_true,
            report.y_pred,
            report.probabilities,
            None if share is None else model.intervals_of(report.y_pred, share),
            share or 0.0,
            permuted_importances(
                lambda part: model.score(part, y[chosen]), frame.iloc[chosen], seconds=seconds
            ),
            self.features.dropped,
            tuple(warnings),
            model.settings,
            model.history,
            model.settings["seconds"],
        )
        table = trained[0].copy(deep=False)
        names = [model.classes[index] for index in trained[1]] if model.classes else trained[1]
        table[self.target.name] = names
        write_page(Path(path), findings, table)


class Opened(NamedTuple):
    """The tables of a training: all rows, or a sample of a large one; and those to test on."""

    table: RawTable
    test: RawTable | None
    large: LargeTable | None


def open_tables(
    data: Any,
    target_name: str,
    settings: TableSettings,
    wishes: Wishes = Wishes(),  # frozen
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
    wishes: Wishes = Wishes(),  # frozen
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
