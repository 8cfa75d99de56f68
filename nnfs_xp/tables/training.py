"""Train a model of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from nnfs_xp.backend import get_backend
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.tables.columns import Values
from nnfs_xp.tables.features import Features, choose_features, forced_kinds
from nnfs_xp.tables.fitting import fit, split
from nnfs_xp.tables.model import TableModel
from nnfs_xp.tables.report import Report
from nnfs_xp.tables.settings import TableSettings
from nnfs_xp.tables.source import Source, open_source
from nnfs_xp.tables.target import Target, choose_target
from nnfs_xp.training.progress import Shown, check_progress

_LEAST_ROWS = 20
HELD_OUT = "held out"


def train_table(
    data: str | Path | pd.DataFrame,
    target: str,
    *,
    task: str = "auto",
    test: str | Path | pd.DataFrame | None = None,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    hidden: Sequence[int] = TableSettings.hidden,
    epochs: int = TableSettings.epochs,
    batch_size: int | None = TableSettings.batch_size,
    learning_rate: float = TableSettings.learning_rate,
    dropout: float = TableSettings.dropout,
    patience: int = TableSettings.patience,
    test_share: float = TableSettings.test_share,
    seed: int = TableSettings.seed,
    backend: str = "auto",
    progress: bool | Literal["lines"] = True,
) -> TableModel:
    """Train a classifier or a regressor on a table, and test it on rows that it has not seen.

    Parameters
    ----------
    data : path or DataFrame
        A CSV or Parquet file, or a pandas frame.
    target : str
        The column to predict.
    task : {"auto", "classification", "regression"}
        By default a classification of text, of truth values, and of at most 20 different whole
        numbers with at least 3 rows each on average; else a regression.
    test : path or DataFrame, optional
        Rows to test on; by default a share of `data` that is held out.
    numeric, categorical : sequence of str
        Columns that hold numbers, or categories, whatever their cells tell.
    drop : sequence of str
        Columns to leave out.
    hidden, epochs, batch_size, learning_rate, dropout, patience, test_share, seed
        See `TableSettings`.
    backend : str
        Where to train: see `get_backend`.
    progress : bool or "lines"
        Whether to show how far the training is, as `Trainer.fit` does; ``"lines"``, for logs: as a
        plain line for each epoch.

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
        Columns that are left out, rows without a target, classes with one row.

    Examples
    --------
    >>> import pandas as pd
    >>> from nnfs_xp.tables import train_table
    >>> frame = pd.DataFrame({"width": [1.0, 2.0, 3.0, 4.0] * 25, "kind": [*"aabb"] * 25})
    >>> model = train_table(frame, "kind", epochs=50, progress=False)
    >>> model.predict(pd.DataFrame({"width": [1.1, 3.9]})).tolist()
    ['a', 'b']
    """
    settings = TableSettings(
        hidden,  # type: ignore[arg-type] # which check makes a tuple
        epochs,
        batch_size,
        learning_rate,
        dropout,
        patience,
        test_share,
        seed,
    ).check()
    get_backend(backend)  # refused before anything is read
    check_progress(progress)
    prepared = prepare(
        open_source(data),
        target,
        settings,
        task=task,
        test=None if test is None else open_source(test),
        numeric=numeric,
        categorical=categorical,
        drop=drop,
    )
    return prepared.train(settings, backend=backend, progress=progress)


@dataclass(frozen=True)
class Preparation:
    """A table that is read and checked, ready to train on.

    Attributes
    ----------
    target : Target
    features : Features
    frame : DataFrame
        The columns of all rows with a target.
    y : ndarray
        Their targets.
    trained, tested : ndarray of int
        Which of them are trained on, and which are held out.
    test : (Source, DataFrame, ndarray), optional
        A table of its own to test on, and its columns and targets.
    commas : frozenset of str
        The columns whose decimals were written after a comma.
    """

    target: Target
    features: Features
    frame: pd.DataFrame
    y: Values
    trained: Values
    tested: Values
    test: tuple[Source, pd.DataFrame, Values] | None
    commas: frozenset[str]

    def train(
        self, settings: TableSettings, *, backend: str = "auto", progress: Shown = True
    ) -> TableModel:
        """Train and test the model, and return it."""
        model = fit(
            self.frame,
            self.y,
            self.trained,
            self.target,
            self.features,
            settings,
            backend=get_backend(backend).name,
            progress=progress,
        )
        model.commas = self.commas
        if self.test is None:
            model.report = model.test(self.frame.iloc[self.tested], self.y[self.tested], HELD_OUT)
        else:
            source, frame, y = self.test
            model.tell_of(source, frame)
            model.report = model.test(frame, y, f"of {source.label}")
        return model


def prepare(
    source: Source,
    target_name: str,
    settings: TableSettings,
    *,
    task: str = "auto",
    test: Source | None = None,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Preparation:
    """Read and check a table, as `train_table` says."""
    settings.check()
    if not isinstance(target_name, str):
        raise ArgumentError(f"`target` must be the name of a column; got {target_name!r}.")
    for what, names in (("numeric", numeric), ("categorical", categorical), ("drop", drop)):
        if isinstance(names, str):
            raise ArgumentError(f"`{what}` must be a list of columns; got the text {names!r}.")
    kinds = forced_kinds(source, numeric, categorical)
    target = choose_target(source, target_name, task, kinds.get(target_name))
    rows, y = target.read(source)
    if len(rows) < _LEAST_ROWS:
        raise DataError(
            f"{source.label} has {len(rows)} rows with a target; at least {_LEAST_ROWS} are needed."
        )
    features, frame = choose_features(
        source, target_name, rows, numeric=numeric, categorical=categorical, drop=drop
    )
    commas = frozenset(source.commas)
    if test is None:
        trained, tested = _split_for_test(target, y, settings.test_share, settings.seed)
        return Preparation(target, features, frame, y, trained, tested, None, commas)
    test.commas |= commas
    test_rows, y_test = target.read(test)
    apart = (test, features.read(test, test_rows), y_test)
    return Preparation(target, features, frame, y, np.arange(len(y)), np.arange(0), apart, commas)


def _split_for_test(
    target: Target, y: Values, test_share: float, seed: int
) -> tuple[Values, Values]:
    return split(np.arange(len(y)), target, y, test_share, seed)


def evaluate_held_out(model: TableModel, source: Source) -> Report:
    """The figures on the rows of the training's table that were held out from it."""
    source.commas |= model.commas
    rows, y = model.target.read(source)
    share, seed = model.settings["test_share"], model.settings["seed"]
    _, tested = _split_for_test(model.target, y, share, seed)
    return model.test(model.features.read(source, rows[tested]), y[tested], HELD_OUT)
