"""A trained model of a table."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nnfs_xp._checks import shown
from nnfs_xp.backend import get_backend
from nnfs_xp.errors import ArgumentError
from nnfs_xp.tables.columns import Values
from nnfs_xp.tables.features import Features
from nnfs_xp.tables.report import Report, class_figures, number_figures
from nnfs_xp.tables.source import Source, open_source
from nnfs_xp.tables.target import Target
from nnfs_xp.tables.warning import TableWarning
from nnfs_xp.training import History

_LOG = logging.getLogger(__name__)


@dataclass
class TableModel:
    """A classifier or a regressor of a table's rows; `train_table` makes one.

    Attributes
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted: what is done with the columns, then the network.
    target : Target
        The column that is predicted.
    features : Features
        The columns that it is predicted from.
    constant : int or float
        What the baseline always says: a class index, or a number.
    settings : dict
        Of the training.
    history : History
        Of the training.
    report : Report
        Of the test; after `load_table_model` without the single predictions.
    commas : frozenset of str
        The columns whose decimals were written after a comma.
    """

    pipeline: Any
    target: Target
    features: Features
    constant: float
    settings: dict[str, Any]
    history: History = field(default_factory=History)
    report: Report | None = None
    commas: frozenset[str] = frozenset()

    @property
    def task(self) -> str:
        """Either "classification" or "regression"."""
        return self.target.task

    @property
    def classes(self) -> tuple[Any, ...]:
        """The classes in the order of the columns of `predict_proba`; none for a regression."""
        return self.target.classes

    @property
    def estimator(self) -> Any:
        """The fitted `nnfs_xp.sklearn.MLPClassifier` or `MLPRegressor`."""
        network = self.pipeline[-1]
        return network if self.task == "classification" else network.regressor_

    def to(self, backend: str) -> TableModel:
        """Move the network to a backend, and return the model."""
        self.estimator.network_.to(get_backend(backend))
        return self

    def predict(self, data: str | Path | pd.DataFrame) -> Values:
        """The class of each row, or its value.

        Parameters
        ----------
        data : path or DataFrame
            With the columns of the training; those that are not needed are ignored.

        Raises
        ------
        DataError
            The table cannot be read, lacks a column, or has text where a number should be.

        Warns
        -----
        TableWarning
            Categories that training has not seen; they count as rare ones.
        """
        return self.predict_source(open_source(data))

    def predict_proba(self, data: str | Path | pd.DataFrame) -> Values:
        """The probability of each class, shape (rows, classes); see `predict`."""
        return self.probabilities_of(open_source(data))

    def evaluate(self, data: str | Path | pd.DataFrame) -> Report:
        """The figures on a table with the target in it; see `predict`."""
        return self.evaluate_source(open_source(data))

    def predict_source(self, source: Source) -> Values:
        """Do what `predict` does, with a table that is open."""
        if self.task == "regression":
            return self._values(self._inputs(source))
        return self.labels_of(self.probabilities_of(source))

    def labels_of(self, probabilities: Values) -> Values:
        """The class that is most probable in each row."""
        labels: Values = np.asarray(self.classes)[probabilities.argmax(axis=1)]
        return labels

    def probabilities_of(self, source: Source) -> Values:
        """Do what `predict_proba` does, with a table that is open."""
        self._check_classifies()
        return self._probabilities(self._inputs(source))

    def evaluate_source(self, source: Source) -> Report:
        """Do what `evaluate` does, with a table that is open."""
        source.commas |= self.commas
        rows, y = self.target.read(source)
        return self.test(self._inputs(source, rows), y, f"of {source.label}")

    def test(self, frame: pd.DataFrame, y: Values, label: str) -> Report:
        """The figures on rows that are read.

        Parameters
        ----------
        frame : DataFrame
            As `Features.read` gives it.
        y : ndarray
            As `Target.read` gives it.
        label : str
            Where they are from.
        """
        if self.task == "regression":
            y_pred = self._values(frame)
            figures = number_figures(y, y_pred)
            baseline = number_figures(y, np.full(len(y), self.constant))
            return Report(len(y), label, figures, baseline, y, y_pred)
        probabilities = self._probabilities(frame)
        always = np.zeros_like(probabilities)
        always[:, int(self.constant)] = 1.0
        figures, baseline = class_figures(y, probabilities), class_figures(y, always)
        return Report(len(y), label, figures, baseline, y, probabilities.argmax(axis=1))

    def tell_of(self, source: Source, frame: pd.DataFrame) -> None:
        """Log which columns are ignored, and warn of categories that training has not seen."""
        self._tell_of_extra(source)
        self._warn_of_unknown(source, frame)

    def scores(self, frame: pd.DataFrame) -> Values:
        """The values, or the probabilities of each class, of rows as `Features.read` gives them."""
        return self._values(frame) if self.task == "regression" else self._probabilities(frame)

    def _inputs(self, source: Source, rows: Values | None = None) -> pd.DataFrame:
        source.commas |= self.commas
        frame = self.features.read(source, rows)
        self.tell_of(source, frame)
        return frame

    def _values(self, frame: pd.DataFrame) -> Values:
        columns, network = self.pipeline
        scaled = np.asarray(network.regressor_.predict(columns.transform(frame)), np.float64)
        # In double precision: a large offset must not swallow the differences.
        return np.asarray(network.transformer_.inverse_transform(scaled.reshape(-1, 1))).ravel()

    def _probabilities(self, frame: pd.DataFrame) -> Values:
        return np.asarray(self.pipeline.predict_proba(frame), dtype=np.float64)

    def _check_classifies(self) -> None:
        if self.task == "regression":
            raise ArgumentError("a regression has no classes, and no probabilities. Use predict.")

    def _tell_of_extra(self, source: Source) -> None:
        known = {*self.features.names, *self.features.dropped, self.target.name}
        extra = [name for name in source.names if name not in known]
        if extra:
            _LOG.info(
                "%s: columns that the model does not know are ignored: %s",
                source.label,
                shown(", ".join(extra)),
            )

    def _warn_of_unknown(self, source: Source, frame: pd.DataFrame) -> None:
        """Count the cells whose category was not in the training."""
        names = self.features.of_kind("category")
        if not names:
            return
        encoder = self.pipeline[0].named_transformers_["categories"]
        for name, known in zip(names, encoder.categories_, strict=True):
            cells = frame[name]
            unknown = cells[~cells.isin([*known, ""])]
            if len(unknown):
                n = (
                    "1 cell holds a category"
                    if len(unknown) == 1
                    else (f"{len(unknown)} cells hold categories")
                )
                warnings.warn(
                    f"{source.label}, column {shown(name)!r}: {n} that training has not seen "
                    f"({shown(repr(unknown.iloc[0]), 60)} first)",
                    TableWarning,
                    stacklevel=6,
                )
