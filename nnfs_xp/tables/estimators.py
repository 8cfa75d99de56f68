"""Estimators for tables as they come, in scikit-learn's manner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from nnfs_xp.data.table_files import open_table
from nnfs_xp.errors import DataError
from nnfs_xp.tables.columns import Reading, Values
from nnfs_xp.tables.features import choose_features
from nnfs_xp.tables.fitting import Course, fit
from nnfs_xp.tables.model import TableModel
from nnfs_xp.tables.settings import MOST_SEED, TableSettings
from nnfs_xp.tables.target import Target

_TARGET = "\0target"
"""A name that no column has."""


class _TableEstimator(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """What both estimators share."""

    model_: TableModel

    def __init__(
        self,
        *,
        hidden: Sequence[int] = TableSettings.hidden,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        dropout: float = TableSettings.dropout,
        ensemble: int = TableSettings.ensemble,
        folds: int | None = None,
        patience: int | None = None,
        numeric: Sequence[str] = (),
        categorical: Sequence[str] = (),
        dates: Sequence[str] = (),
        text: Sequence[str] = (),
        drop: Sequence[str] = (),
        missing: Sequence[str] = (),
        backend: str = "auto",
        progress: bool | Literal["lines"] = False,
        random_state: Any = 0,
    ) -> None:
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.ensemble = ensemble
        self.folds = folds
        self.patience = patience
        self.numeric = numeric
        self.categorical = categorical
        self.dates = dates
        self.text = text
        self.drop = drop
        self.missing = missing
        self.backend = backend
        self.progress = progress
        self.random_state = random_state

    def _fit(self, X: Any, y: Values, classes: Values | None) -> Self:
        """Fit on class indices, or on values."""
        table = open_table(X)
        if table.n_rows != len(y):
            raise DataError(f"`X` has {table.n_rows} rows, and `y` {len(y)}.")
        names = ("hidden", "epochs", "batch_size", "learning_rate", "dropout", "ensemble", "folds")
        values = {name: getattr(self, name) for name in (*names, "patience")}
        settings = TableSettings(**values, seed=self._seed()).check()
        kinds = {name: getattr(self, name) for name in ("numeric", "categorical", "dates", "text")}
        features, frame, _ = choose_features(
            table,
            _TARGET,
            np.arange(len(y)),
            Reading(missing=frozenset(self.missing)),
            drop=self.drop,
            **kinds,
        )
        if classes is None:
            target = Target(_TARGET, "regression", "number")
        else:
            target = Target(_TARGET, "classification", "category", tuple(classes.tolist()))
        course = Course(self.backend, self.progress)
        self.model_ = fit(frame, y, np.arange(len(y)), target, features, settings, course)
        self.n_features_in_ = len(table.names)
        self.feature_names_in_ = np.asarray(table.names, dtype=object)
        return self

    def _seed(self) -> int:
        if self.random_state is None or not isinstance(self.random_state, int):
            return int(check_random_state(self.random_state).randint(MOST_SEED))
        return int(self.random_state)

    def _scores(self, X: Any) -> Values:
        check_is_fitted(self)
        return self.model_.scores(self.model_.read(open_table(X)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.non_deterministic = False
        return tags


class TableClassifier(ClassifierMixin, _TableEstimator):  # type: ignore[misc] # see above
    """A classifier of the rows of a frame as it comes: text, dates and gaps included.

    Parameters
    ----------
    hidden, epochs, batch_size, learning_rate, dropout, ensemble, folds, patience
        See `TableSettings`.
    numeric, categorical, dates, text, drop, missing
        What is said of the columns: see `Wishes`.
    backend : str
        Where to train: see `get_backend`.
    progress : bool or "lines"
        See `Trainer.fit`.
    random_state : int, RandomState or None

    Attributes
    ----------
    classes_ : ndarray
        The labels, in the order of the columns of `predict_proba`.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
    model_ : TableModel

    Raises
    ------
    DataError
        From all methods: the table does not fit; the message names row and column.

    Examples
    --------
    >>> import pandas as pd
    >>> from nnfs_xp.tables import TableClassifier
    >>> frame = pd.DataFrame({"width": [1.0, 2.0, 3.0, 4.0] * 25, "hue": [*"rggb"] * 25})
    >>> model = TableClassifier(epochs=20).fit(frame, [*"aabb"] * 25)
    >>> model.predict(pd.DataFrame({"hue": ["r", "b"], "width": [1.1, 3.9]})).tolist()
    ['a', 'b']
    """

    classes_: Values

    def fit(self, X: Any, y: Any) -> Self:
        """Train on a frame of pandas or polars, an Arrow table or an array, and a label a row."""
        y = column_or_1d(_required(y, self), warn=True)
        check_classification_targets(y)
        self.classes_, indices = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"`y` has 1 class, {self.classes_[0]!r}; there is nothing to learn.")
        return self._fit(X, indices, self.classes_)

    def predict(self, X: Any) -> Values:
        """The most probable label of each row."""
        labels: Values = self.classes_[self._scores(X).argmax(axis=1)]
        return labels

    def predict_proba(self, X: Any) -> Values:
        """The calibrated probability of each class, shape (rows, classes)."""
        return self._scores(X)


class TableRegressor(RegressorMixin, _TableEstimator):  # type: ignore[misc] # see above
    """A regressor of the rows of a frame as it comes: text, dates and gaps included.

    Parameters, `n_features_in_`, `feature_names_in_`, `model_` and errors are those of
    `TableClassifier`.

    Examples
    --------
    >>> import pandas as pd
    >>> from nnfs_xp.tables import TableRegressor
    >>> frame = pd.DataFrame({"width": [1.0, 2.0, 3.0, 4.0] * 25})
    >>> model = TableRegressor(epochs=40).fit(frame, 3 * frame["width"])
    >>> model.predict_interval(frame.head(2), 0.8).shape
    (2, 2)
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train on a frame of pandas or polars, an Arrow table or an array, and a number a row."""
        y = column_or_1d(_required(y, self), warn=True).astype(np.float64)
        if not np.isfinite(y).all():
            row = int((~np.isfinite(y)).argmax())
            raise DataError(
                f"`y` must hold finite numbers; row {row} has {y[row]}: Input y contains NaN or "
                "infinity."
            )
        return self._fit(X, y, None)

    def predict(self, X: Any) -> Values:
        """The value of each row, in units of the target."""
        return self._scores(X)

    def predict_interval(self, X: Any, share: float = 0.9) -> Values:
        """The bounds within which a share of the targets lie, shape (rows, 2)."""
        return self.model_.intervals_of(self._scores(X), share)


def _required(y: Any, estimator: BaseEstimator) -> Any:
    if y is None:
        raise DataError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y "
            "is None."
        )
    return y
