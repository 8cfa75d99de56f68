"""From mixed columns to a network's inputs: what each kind of column goes through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, TargetEncoder
from skrub import ApplyToCols, DatetimeEncoder, SquashingScaler, StringEncoder

from nnfs_xp.tables.features import Features

_MANY = 40
"""Categories from which on a column has the mean target of each as a number, too."""

_LEAST_FREQUENT = 3
"""Rows that a category must have to get an input of its own; rarer ones share one."""

_MOST_CATEGORIES = 100
"""Inputs that a column of categories gets at most."""

_WORDS = 30
"""Inputs that a column of text gets."""

_NUMBERS = ("numbers", "dates", "means")
"""The parts whose inputs are numbers; they come first."""


def column_encoder(features: Features, frame: pd.DataFrame, *, classes: int) -> ColumnTransformer:
    """The transformer that makes the network's inputs of the columns.

    Numbers: moved and scaled by their quartiles, and squashed to within 3 of 0, so that no cell,
    however far out, sets the scale; 0 where missing, and for each column with gaps an input that
    says where they were. Dates: their parts, weekday and season as points on a circle, whose
    middle stands for a missing date.
    Categories: one input each; rare ones share one, which is also that of categories never seen;
    columns of many have the mean target of each category besides. Text: the leading directions of
    its groups of letters.

    Parameters
    ----------
    features : Features
    frame : DataFrame
        The rows that it will be fitted on.
    classes : int
        Of the target; 0 for a regression.

    Notes
    -----
    Source: Holzmüller, Grinsztajn and Steinwart 2024, *Better by Default*, section 3 (robust
    scaling and smooth clipping); Micci-Barreca 2001, *A Preprocessing Scheme for
    High-Cardinality Categorical Attributes*.
    """
    numbers, dates = features.of_kind("number"), features.of_kind("date")
    categories, texts = features.of_kind("category"), features.of_kind("text")
    many = [name for name in categories if frame[name].nunique() > _MANY]
    parts: list[tuple[str, Any, list[str]]] = []
    if numbers:
        parts.append(("numbers", _squashed(), numbers))
    if dates:
        date_parts = DatetimeEncoder(
            add_weekday=True, add_day_of_year=True, periodic_encoding="circular"
        )
        parts.append(("dates", _squashed(("parts", ApplyToCols(date_parts))), dates))
    if many:
        kind = "continuous" if not classes else "binary" if classes == 2 else "multiclass"
        # Not in proportion to the classes, of which some may have fewer rows than there are folds.
        means = TargetEncoder(target_type=kind, cv=KFold(5, shuffle=True, random_state=0))
        parts.append(("means", _squashed(("means", means)), many))
    if numbers:
        gaps = MissingIndicator(features="missing-only", error_on_new=False)
        parts.append(("missing", gaps, numbers))
    if categories:
        one_hot = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            min_frequency=_LEAST_FREQUENT,
            max_categories=_MOST_CATEGORIES,
            sparse_output=False,
            dtype=np.float32,
        )
        parts.append(("categories", _squashed(("one_hot", one_hot)), categories))
    if texts:
        words = ApplyToCols(StringEncoder(n_components=_WORDS, random_state=0))
        parts.append(("texts", _squashed(("words", words)), texts))
    return ColumnTransformer(parts, sparse_threshold=0, verbose_feature_names_out=False)


def _squashed(*before: tuple[str, Any]) -> Pipeline:
    filled = SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True)
    return Pipeline([*before, ("squash", SquashingScaler()), ("fill", filled)])


def n_number_inputs(columns: ColumnTransformer) -> int:
    """How many of the inputs, the first ones, are numbers."""
    found = [columns.output_indices_.get(name) for name in _NUMBERS]
    return max((part.stop for part in found if part is not None), default=0)


def encode(columns: ColumnTransformer, frame: pd.DataFrame) -> Any:
    """The network's inputs for rows as `Features.read` gives them: float32."""
    return np.ascontiguousarray(columns.transform(frame), dtype=np.float32)
