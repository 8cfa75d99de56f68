"""Train a model of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from nnfs_xp.backend import get_backend
from nnfs_xp.data.table_files import RawTable, open_table
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.reports.figures import Report
from nnfs_xp.reports.page import Findings, Rival, boosting_rival, permuted_importances, write_page
from nnfs_xp.tables.columns import Reading, Values
from nnfs_xp.tables.features import Features, choose_features, forced_kinds
from nnfs_xp.tables.fitting import Course, fit, split
from nnfs_xp.tables.model import TableModel
from nnfs_xp.tables.settings import TableSettings
from nnfs_xp.tables.target import Target, choose_target
from nnfs_xp.training.progress import check_progress

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
        """Refuse a text where a list of columns belongs."""
        for what, names in vars(self).items():
            if what != "task" and isinstance(names, str):
                raise ArgumentError(f"`{what}` must be a list of texts; got the text {names!r}.")

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
) -> TableModel:
    """Train a classifier or a regressor on a table, and test it on rows that it has not seen.

    Parameters
    ----------
    data : path, DataFrame of pandas or polars, or Arrow table
        Of a file: CSV, Parquet, JSON lines or Excel, compressed or not.
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
    table = open_table(data)
    prepared = prepare(table, target, settings, wishes, None if test is None else open_table(test))
    folder = None if checkpoint is None else Path(checkpoint)
    return prepared.train(settings, Course(backend, progress, folder, resume))


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
    """

    target: Target
    features: Features
    frame: pd.DataFrame
    y: Values
    trained: Values
    tested: Values
    test: tuple[RawTable, pd.DataFrame, Values] | None

    def train(self, settings: TableSettings, course: Course) -> TableModel:
        """Train and test the model, and return it."""
        chosen = (self.target, self.features, settings, course)
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
        names = [model.classes[index] for index in trained[1]] if model.classes else trained[1]
        write_page(Path(path), findings, trained[0].assign(**{self.target.name: names}))


def prepare(
    table: RawTable,
    target_name: str,
    settings: TableSettings,
    wishes: Wishes = Wishes(),  # frozen
    test: RawTable | None = None,
) -> Preparation:
    """Read and check a table, as `train_table` says."""
    settings.check()
    if not isinstance(target_name, str):
        raise ArgumentError(f"`target` must be the name of a column; got {target_name!r}.")
    wishes.check()
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
        table, target_name, rows, reading, drop=wishes.drop, **wishes.kinds
    )
    frame.index = pd.Index([table.row(row) for row in rows], name="row")
    if test is None:
        trained, tested = split(np.arange(len(y)), target, y, settings.test_share, settings.seed)
        return Preparation(target, features, frame, y, trained, tested, None)
    test_rows, y_test = target.read(test)
    apart = (test, features.read(test, test_rows), y_test)
    return Preparation(target, features, frame, y, np.arange(len(y)), np.arange(0), apart)


def evaluate_held_out(model: TableModel, table: RawTable) -> Report:
    """The figures on the rows of the training's table that were held out from it."""
    rows, y = model.target.read(table)
    share, seed = model.settings["test_share"], model.settings["seed"]
    _, tested = split(np.arange(len(y)), model.target, y, share, seed)
    return model.test(model.features.read(table, rows[tested]), y[tested], HELD_OUT)
