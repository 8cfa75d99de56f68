"""From mixed columns to a network: what each kind of column goes through."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from nnfs_xp.tables.features import Features

_LEAST_FREQUENT = 3
"""Rows that a category must have to get an input of its own; rarer ones share one."""

_MOST_CATEGORIES = 100
"""Inputs that a column of categories gets at most."""

FURTHEST = 10.0
"""Standard deviations from the mean at which a number counts as no further away."""


class Clip(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc] # no types
    """Standardised numbers, no further from 0 than 10, in single precision.

    A single cell that is off by a factor of a million then moves the network no more than one
    that is off by a hundred.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Count the columns; there is nothing else to learn."""
        del y
        self.n_features_in_ = np.shape(X)[1]
        return self

    def transform(self, X: Any) -> Any:
        """The numbers, clipped."""
        return np.clip(X, -FURTHEST, FURTHEST).astype(np.float32)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")


def column_pipeline(features: Features) -> ColumnTransformer:
    """The transformer that makes the network's inputs of the columns.

    Numbers: the median where missing, standardised; and for each column with gaps an input that
    says where they were. Categories: one input each; rare ones share one, which is also that of
    categories never seen; a missing value is a category of its own.
    """
    numbers, categories = features.of_kind("number"), features.of_kind("category")
    steps: list[tuple[str, Any, list[str]]] = []
    if numbers:
        filled = SimpleImputer(strategy="median", keep_empty_features=True)
        scaled = [("median", filled), ("scale", StandardScaler()), ("clip", Clip())]
        steps.append(("numbers", Pipeline(scaled), numbers))
        gaps = MissingIndicator(features="missing-only", error_on_new=False)
        steps.append(("missing", gaps, numbers))
    if categories:
        one_hot = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            min_frequency=_LEAST_FREQUENT,
            max_categories=_MOST_CATEGORIES,
            sparse_output=False,
            dtype=np.float32,
        )
        steps.append(("categories", one_hot, categories))
    return ColumnTransformer(steps, sparse_threshold=0)
