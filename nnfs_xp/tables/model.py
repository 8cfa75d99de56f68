"""A trained model of a table."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import softmax

from nnfs_xp._checks import check_range, shown
from nnfs_xp.backend import get_backend, to_numpy
from nnfs_xp.data.table_columns import Values, far_out
from nnfs_xp.data.table_files import RawTable, open_table
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import Sequential
from nnfs_xp.reports.figures import Report, class_figures, number_figures
from nnfs_xp.tables.encoding import encode
from nnfs_xp.tables.features import Features
from nnfs_xp.tables.target import Target
from nnfs_xp.tables.warning import warn
from nnfs_xp.training import History

_LOG = logging.getLogger(__name__)
_AT_ONCE = 4096
"""Rows that are predicted together."""


@dataclass(frozen=True)
class TargetScale:
    """How the target of a regression is scaled for the network.

    Attributes
    ----------
    low, high : float
        Targets further out count as no further in training, and predictions stay between them.
    mean, deviation : float
        Of the targets so bounded.
    """

    low: float
    high: float
    mean: float
    deviation: float

    @classmethod
    def of(cls, y: Values) -> Self:
        """The scale of these targets."""
        near = np.delete(y, far_out(y))
        low, high = float(near.min()), float(near.max())
        inside = np.clip(y, low, high)
        return cls(low, high, float(np.mean(inside)), float(np.std(inside)) or 1.0)

    def scaled(self, y: Values) -> Values:
        """The targets as the network learns them."""
        return np.asarray((np.clip(y, self.low, self.high) - self.mean) / self.deviation)

    def unscaled(self, output: Values) -> Values:
        """The values that the network's outputs stand for, in units of the target."""
        return np.clip(output * self.deviation + self.mean, self.low, self.high)


@dataclass
class TableModel:
    """A classifier or a regressor of a table's rows; `train_table` makes one.

    Attributes
    ----------
    columns : sklearn.compose.ColumnTransformer
        Fitted: what is done with the columns.
    network : Sequential
        Trained on what `columns` gives.
    target : Target
        The column that is predicted.
    features : Features
        The columns that it is predicted from.
    scale : TargetScale, optional
        Of a regression.
    constant : int or float
        What the baseline always says: a class index, or a number.
    settings : dict
        Of the training, and what came of it.
    temperature : float
        What logits are divided by, so that probabilities are calibrated.
    residuals : ndarray
        How far predictions of a regression were from targets that were not trained on, sorted.
    history : History
        Of the training.
    report : Report
        Of the test; after `load_table_model` without the single predictions.
    """

    columns: Any
    network: Sequential
    target: Target
    features: Features
    scale: TargetScale | None
    constant: float
    settings: dict[str, Any]
    temperature: float = 1.0
    residuals: Values = field(default_factory=lambda: np.empty(0))
    history: History = field(default_factory=History)
    report: Report | None = None

    @property
    def task(self) -> str:
        """Either "classification" or "regression"."""
        return self.target.task

    @property
    def classes(self) -> tuple[Any, ...]:
        """The classes in the order of the columns of `predict_proba`; none for a regression."""
        return self.target.classes

    def to(self, backend: str) -> TableModel:
        """Move the network to a backend, and return the model."""
        self.network.to(get_backend(backend))
        return self

    def predict(self, data: Any) -> Values:
        """The class of each row, or its value.

        Parameters
        ----------
        data : path, DataFrame of pandas or polars, or Arrow table
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
        scores = self.scores(self.read(open_table(data)))
        return scores if self.task == "regression" else self.labels_of(scores)

    def predict_proba(self, data: Any) -> Values:
        """The probability of each class, shape (rows, classes); see `predict`."""
        if self.task == "regression":
            raise ArgumentError("a regression has no classes, and no probabilities. Use predict.")
        return self.scores(self.read(open_table(data)))

    def predict_interval(self, data: Any, share: float = 0.9) -> Values:
        """Where each row's target lies, with the given probability; see `predict`.

        Parameters
        ----------
        data
            See `predict`.
        share : float
            The probability that a target lies within, for rows like those of the training.

        Returns
        -------
        ndarray, shape (rows, 2)
            The prediction, less and more by a distance that this share of the rows kept aside in
            training did not exceed (split conformal).

        Raises
        ------
        ArgumentError
            The model is a classifier, or kept too few rows for so large a share.
        """
        return self.intervals_of(self.scores(self.read(open_table(data))), share)

    def evaluate(self, data: Any) -> Report:
        """The figures on a table with the target in it; see `predict`."""
        return self.evaluate_table(open_table(data))

    def evaluate_table(self, table: RawTable) -> Report:
        """Do what `evaluate` does, with a table that is open."""
        rows, y = self.target.read(table)
        return self.test(self.read(table.take(rows)), y, f"of {table.label}")

    def read(self, table: RawTable) -> pd.DataFrame:
        """The columns of a table, as the model takes them."""
        frame = self.features.read(table)
        self.tell_of(table, frame)
        return frame

    def tell_of(self, table: RawTable, frame: pd.DataFrame) -> None:
        """Log which columns are ignored, and warn of categories that training has not seen."""
        known = {*self.features.names, *self.features.dropped, self.target.name}
        extra = [name for name in table.names if name not in known]
        if extra:
            said = "%s: columns that the model does not know are ignored: %s"
            _LOG.info(said, table.label, shown(", ".join(extra)))
        names = self.features.of_kind("category")
        seen = self.columns.named_transformers_["categories"][0].categories_ if names else []
        for name, categories in zip(names, seen, strict=True):
            unknown = frame[name][~frame[name].isin([*categories, ""])]
            if len(unknown):
                n = len(unknown)
                cells = "1 cell holds a category" if n == 1 else f"{n} cells hold categories"
                warn(
                    f"{table.label}, column {shown(name)!r}: {cells} that training has not seen "
                    f"({shown(repr(unknown.iloc[0]), 60)} first)"
                )

    def test(self, frame: pd.DataFrame, y: Values, label: str) -> Report:
        """The figures on rows that are read.

        Parameters
        ----------
        frame : DataFrame
            As `read` gives it.
        y : ndarray
            As `Target.read` gives it.
        label : str
            Where they are from.
        """
        scores = self.scores(frame)
        if self.task == "regression":
            baseline = number_figures(y, np.full(len(y), self.constant))
            return Report(len(y), label, number_figures(y, scores), baseline, y, scores)
        always = np.zeros_like(scores)
        always[:, int(self.constant)] = 1.0
        figures, baseline = class_figures(y, scores), class_figures(y, always)
        return Report(len(y), label, figures, baseline, y, scores.argmax(axis=1), scores)

    def scores(self, frame: pd.DataFrame) -> Values:
        """The values, or the probabilities of each class, of rows as `read` gives them."""
        X = encode(self.columns, frame)
        if self.task == "regression":
            return self.values_of(outputs_of(self.network, X))
        return self.shares_of(outputs_of(self.network, X, len(self.classes)))

    def score(self, frame: pd.DataFrame, y: Values) -> float:
        """The accuracy, or R², on rows as `read` gives them, and their targets."""
        scores = self.scores(frame)
        if self.task == "regression":
            spread = float(np.sum((y - y.mean()) ** 2))
            return 1 - float(np.sum((y - scores) ** 2)) / (spread or 1.0)
        return float(np.mean(scores.argmax(axis=1) == y))

    def labels_of(self, probabilities: Values) -> Values:
        """The class that is most probable in each row."""
        labels: Values = np.asarray(self.classes)[probabilities.argmax(axis=1)]
        return labels

    def intervals_of(self, values: Values, share: float) -> Values:
        """The intervals about predicted values: see `predict_interval`."""
        if self.task != "regression":
            raise ArgumentError("intervals are for regressions. Use predict_proba.")
        share = check_range("share", share, 0, 1, open_low=True)
        rank = ceil(share * (len(self.residuals) + 1))
        if rank > len(self.residuals):
            raise ArgumentError(
                f"{len(self.residuals)} rows were kept aside in training, too few for intervals "
                f"that hold a share of {share:g}."
            )
        distance = self.residuals[rank - 1]
        return np.stack([values - distance, values + distance], axis=1)

    def values_of(self, outputs: Values) -> Values:
        """The mean of the members' values, in units of the target."""
        assert self.scale is not None  # of a regression
        return self.scale.unscaled(outputs[:, :, 0].mean(axis=1))

    def shares_of(self, outputs: Values) -> Values:
        """The mean of the members' probabilities."""
        shares: Values = softmax(outputs / self.temperature, axis=-1).mean(axis=1)
        return shares


def outputs_of(network: Sequential, X: Any, n_outputs: int = 1) -> Values:
    """What each member of a network puts out, shape (rows, members, outputs)."""
    backend = network.backend or get_backend("numpy")
    pieces = [
        to_numpy(network.forward(backend.asarray(X[start : start + _AT_ONCE])))
        for start in range(0, len(X), _AT_ONCE)
    ]
    return np.concatenate(pieces).astype(np.float64).reshape(len(X), -1, n_outputs)
