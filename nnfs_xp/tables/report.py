"""The report of a training on a table: what a model is like on the rows it was tested on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nnfs_xp.reports.page import Findings, Rival, boosting_rival, permuted_importances, write_page
from nnfs_xp.tables.model import TableModel
from nnfs_xp.tables.preparing import Preparation

_SHUFFLED = 1000
"""Rows that the importance of columns is measured on."""


def write_report(
    prepared: Preparation,
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
    prepared : Preparation
    model : TableModel
        As its `train` gave it.
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
    frame, y = prepared.frame.iloc[prepared.tested], prepared.y[prepared.tested]
    if prepared.test is not None:
        _, frame, y = prepared.test
    report, share = model.test(frame, y, ""), model.settings["interval"]
    chosen = np.random.default_rng(model.settings["seed"]).permutation(len(y))[:_SHUFFLED]
    trained = prepared.frame.iloc[prepared.trained], prepared.y[prepared.trained]
    boosting = boosting_rival(
        *trained, frame, y, model.task, len(model.classes), 0, seconds=seconds
    )
    constant = "always the most frequent class" if model.classes else "always the mean"
    findings = Findings(
        title or f"{model.task} of {prepared.target.name!r}",
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
        prepared.features.dropped,
        tuple(warnings),
        model.settings,
        model.history,
        model.settings["seconds"],
    )
    table = trained[0].copy(deep=False)
    names = [model.classes[index] for index in trained[1]] if model.classes else trained[1]
    table[prepared.target.name] = names
    write_page(Path(path), findings, table)
