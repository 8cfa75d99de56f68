"""Estimators for tables as they come, in scikit-learn's manner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import scipy.sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from nnfs_xp._checks import shown
from nnfs_xp.data.table_columns import LARGEST, Values
from nnfs_xp.data.table_files import RawTable, open_table
from nnfs_xp.errors import ArgumentError, DataError, DTypeError
from nnfs_xp.tables.course import Course
from nnfs_xp.tables.features import choose_features
from nnfs_xp.tables.fitting import fit
from nnfs_xp.tables.model import TableModel
from nnfs_xp.tables.settings import MOST_SEED, TableSettings, Wishes
from nnfs_xp.tables.target import LEAST_SPREAD, Target

_TARGET = "\0target"
"""A name that no column has."""

_FEW = 20
"""Labels below which all may differ."""


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
        table = _open(X)
        if table.n_rows != len(y):
            raise DataError(f"`X` has {table.n_rows} rows, and `y` {len(y)}.")
        if table.n_rows < 2:
            raise DataError("`X` has 1 sample, while a minimum of 2 is required.")
        settings = TableSettings(**self._said(TableSettings), seed=self._seed()).check()
        wishes = Wishes(**self._said(Wishes))
        wishes.check()
        features, frame = choose_features(table, None, np.arange(len(y)), wishes)
        if classes is None:
            target = Target(_TARGET, "regression", "number")
        else:
            target = Target(_TARGET, "classification", "category", tuple(classes.tolist()))
        course = Course(self.backend, self.progress)
        self.model_ = fit(frame, y, np.arange(len(y)), target, features, settings, course)
        self.n_features_in_ = len(table.names)
        self.feature_names_in_ = np.asarray(table.names, dtype=object)
        return self

    def _said(self, kind: type) -> dict[str, Any]:
        """The parameters that are fields of these settings, too."""
        said = self.get_params(deep=False)
        return {each.name: said[each.name] for each in fields(kind) if each.name in said}

    def _seed(self) -> int:
        if not isinstance(self.random_state, Integral):
            try:
                return int(check_random_state(self.random_state).randint(MOST_SEED))
            except ValueError as error:
                raise ArgumentError(f"`random_state` is no seed: {shown(error)}.") from error
        return int(self.random_state)

    def _scores(self, X: Any) -> Values:
        check_is_fitted(self)
        table = _open(X)
        if not _has_names(X) and len(table.names) != self.n_features_in_:
            raise DataError(
                f"X has {len(table.names)} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        return self.model_.scores(self.model_.read(table))

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
        y = _column(y, self)
        if (missing := pd.isna(y)).any():
            raise DataError(
                f"Input y contains NaN: row {int(missing.argmax())} has no label. Leave such rows "
                "out."
            )
        with _one_line("y"):
            check_classification_targets(y)
        self.classes_, indices = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            only = self.classes_.tolist()[0]
            raise DataError(f"`y` has 1 class, {only!r}; there is nothing to learn.")
        if len(y) >= _FEW and len(self.classes_) > len(y) // 2:
            raise DataError(
                f"`y` has {len(self.classes_)} different labels in {len(y)} rows: too many to be "
                "classes. If it holds numbers, use TableRegressor."
            )
        return self._fit(X, indices, self.classes_)

    def predict(self, X: Any) -> Values:
        """The most probable label of each row."""
        indices = self._scores(X).argmax(axis=1)
        labels: Values = self.classes_[indices]
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
        y = _column(y, self)
        if y.dtype.kind in "iu" and (inexact := y.astype(np.float64).astype(object) != y).any():
            row = int(inexact.argmax())
            raise DataError(
                f"`y`: row {row} has {y[row]}, which has more digits than double precision holds. "
                "Subtract something first."
            )
        try:
            y = y.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"`y` must hold numbers: {shown(error)}.") from error
        if not np.isfinite(y).all():
            row = int((~np.isfinite(y)).argmax())
            raise DataError(
                f"`y` must hold finite numbers; row {row} has {y[row]}: Input y contains NaN or "
                "infinity."
            )
        if np.abs(y).max() > LARGEST:
            row = int(np.abs(y).argmax())
            raise DataError(
                f"`y` must hold numbers up to {LARGEST:g}; row {row} has {y[row]:g}. Divide them."
            )
        if 0 < np.ptp(y) < LEAST_SPREAD:
            raise DataError(
                f"the values in `y` differ by less than {LEAST_SPREAD:g}, too little to compute "
                "with. Multiply them."
            )
        return self._fit(X, y, None)

    def predict(self, X: Any) -> Values:
        """The value of each row, in units of the target."""
        return self._scores(X)

    def predict_interval(self, X: Any, share: float = 0.9) -> Values:
        """The bounds within which a share of the targets lie, shape (rows, 2)."""
        values = self._scores(X)
        return self.model_.intervals_of(values, share)


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """Have what scikit-learn refuses be a `DataError`."""
    try:
        yield
    except (TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DataError(f"`{name}` is refused: {shown(reason)}.") from error


def _has_names(X: Any) -> bool:
    """Whether the columns have names, as those of files and frames have."""
    frames = ("__arrow_c_stream__", "__arrow_c_array__", "collect")
    return isinstance(X, str | Path) or any(hasattr(X, name) for name in frames)


def _open(X: Any) -> RawTable:
    """The table in a file, in a frame, or in whatever NumPy makes an array of two dimensions of."""
    if _has_names(X):
        return open_table(X)
    if scipy.sparse.issparse(X):
        raise DTypeError("`X` must not be sparse. Use X.toarray().")
    try:
        array = np.asarray(X)
        if array.dtype.kind in "US":  # of a list: what is a number in it shall stay one
            array = np.asarray(X, dtype=object)
    except ValueError as error:
        raise DataError(f"`X` is no table: {shown(error)}.") from error
    if array.ndim != 2:
        raise DataError(
            f"`X` must have rows and columns; got an array of shape {array.shape}. Reshape your "
            "data by reshape(-1, 1) if it is one column, by reshape(1, -1) if it is one row."
        )
    if 0 in array.shape:
        what = ("sample", "feature")[array.shape.index(0)]
        raise DataError(
            f"`X` is empty: 0 {what}(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    return open_table(array)


def _column(y: Any, estimator: BaseEstimator) -> Values:
    """The targets as an array of one dimension."""
    if y is None:
        raise DataError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y "
            "is None."
        )
    with _one_line("y"):
        y = column_or_1d(y, warn=True)
    if not len(y):
        raise DataError("`y` is empty: 0 sample(s) while a minimum of 1 is required.")
    if y.dtype.kind in "mM":
        raise DataError("`y` holds dates. To predict a time, subtract a start first, in days say.")
    return np.asarray(y)
