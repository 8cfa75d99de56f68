"""Samples as estimators get them: frames, sparse matrices, arrays of any library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.model_selection import train_test_split

from nnfs_xp.backend import backend_of, is_array
from nnfs_xp.backend.frames import complaint_about, hides_others, is_column, is_frame, odd_columns
from nnfs_xp.errors import DataError, DTypeError

Samples = tuple[Any, Any, Any]
"""Samples, targets and weights, the last perhaps None."""


class ColumnError(DTypeError, ValueError):
    """A column holds no numbers. A ValueError too, as scikit-learn raises."""


@contextmanager
def naming_columns(X: Any) -> Iterator[None]:
    """Let the error of a frame that cannot be made numbers name the columns."""
    if is_frame(X) and hides_others(X):
        raise ColumnError(complaint_about(X, _odd(X)))
    try:
        yield
    except (ValueError, TypeError) as error:
        odd = _odd(X) if is_frame(X) else []
        if odd:
            raise ColumnError(complaint_about(X, odd)) from error
        raise


def _odd(frame: Any) -> list[tuple[object, Any]]:
    """The columns, with their names, that scikit-learn cannot take either."""
    columns = odd_columns(frame)
    return [(name, column) for name, column in columns if not _reads_as_numbers(column)]


def _reads_as_numbers(column: Any) -> bool:
    """Whether it holds numbers as text, which scikit-learn takes."""
    values = np.asarray(column)
    try:
        values.astype(np.float64)
    except (ValueError, TypeError):
        return False
    return values.dtype.kind in "OUS"


def exact(y: Any) -> Any:
    """The targets; whole numbers and bools of a Series as such, not as scikit-learn's floats."""
    if is_array(y) or not is_column(y):
        return y
    values = np.asarray(y)
    return values if values.dtype.kind in "biu" else y


def floats_for(X: Any) -> tuple[Any, Any]:
    """The data types to choose from, the first for what is neither, in the library of X."""
    dispatches = get_config()["array_api_dispatch"] and is_array(X)
    xp = backend_of(X).xp if dispatches else np
    return xp.float64, xp.float32


def name_of(X: Any) -> str:
    """The backend of the samples; NumPy's where they are no array."""
    return backend_of(X).name if is_array(X) else "numpy"


def hold_out(
    samples: Samples, share: float, random_state: Any, *, stratify: Any
) -> tuple[Samples, Samples]:
    """Split off a share of the samples to validate with; classes, if given, in proportion.

    Raises
    ------
    DataError
        The share would be fewer than two samples.
    ValueError
        A class has too few samples.
    """
    X, targets, weights = samples
    train, kept = train_test_split(
        np.arange(X.shape[0]), random_state=random_state, test_size=share, stratify=stratify
    )
    if len(kept) < 2:
        raise DataError(
            f"The validation set is too small: {len(kept)} of {X.shape[0]} samples. Raise "
            "`validation_fraction`, or bring more samples."
        )
    first, second = (
        (_rows(X, rows), targets[rows], None if weights is None else weights[rows])
        for rows in (train, kept)
    )
    return first, second


def _rows(X: Any, rows: np.ndarray[Any, Any]) -> Any:
    """Those rows of an array of any backend, or of a sparse matrix."""
    if isinstance(X, np.ndarray) or not is_array(X):
        return X[rows]
    backend = backend_of(X)
    return backend.xp.take(X, backend.asarray(rows), axis=0)
