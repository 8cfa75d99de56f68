"""Train a model of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from nnfs_xp.backend import get_backend
from nnfs_xp.tables.course import Course
from nnfs_xp.tables.model import TableModel
from nnfs_xp.tables.preparing import prepare
from nnfs_xp.tables.report import write_report
from nnfs_xp.tables.settings import TableSettings, Wishes
from nnfs_xp.training.progress import check_progress


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
    prepared = prepare(data, target, settings, wishes, test, progress=progress)
    folder = None if checkpoint is None else Path(checkpoint)
    model = prepared.train(settings, Course(backend, progress, folder, resume))
    if report is not None:
        write_report(prepared, model, report)
    return model
