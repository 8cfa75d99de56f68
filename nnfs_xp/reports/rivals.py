"""What a model is measured by: another kind of model, and its own score on shuffled columns."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from nnfs_xp.backend.importing import first_line
from nnfs_xp.reports.figures import Figures, Values, class_figures, number_figures

_LOG = logging.getLogger(__name__)

_MOST_ROWS = 50_000
_MOST_ROUNDS, _TREES_A_CALL = 100, 10


@dataclass(frozen=True)
class Rival:
    """What a model is compared with.

    Attributes
    ----------
    name : str
        "always the mean", say.
    figures : dict of str to float or None
        Its figures on the same rows, as `nnfs_xp.reports.figures` names them.
    """

    name: str
    figures: Figures


def boosting_rival(
    X_train: pd.DataFrame,
    y_train: Values,
    X_test: pd.DataFrame,
    y_test: Values,
    task: str,
    n_classes: int,
    seed: int,
    *,
    seconds: float = 60.0,
) -> Rival | None:
    """Train boosted trees [1]_ on the same rows, at most 50,000 of them, and test them.

    Parameters
    ----------
    X_train, X_test : DataFrame
        Columns of numbers, text and times.
    y_train, y_test : ndarray, shape (rows,)
        Class indices, or values.
    task : {"classification", "regression"}
    n_classes : int
        0 for a regression.
    seed : int
    seconds : float
        After which no further trees are added. The time is looked at after every ten trees, or
        after those of all classes, of which each has its own.

    Returns
    -------
    Rival or None
        None, and a warning in the log, where the training fails. The name tells of rows that
        were left out, and of a training cut short.

    Notes
    -----
    scikit-learn's boosting, with its defaults, behind skrub's ``tabular_pipeline``.

    References
    ----------
    .. [1] Ke et al. 2017, *LightGBM: A Highly Efficient Gradient Boosting Decision Tree*,
       https://papers.nips.cc/paper/6907
    """
    rows = np.random.default_rng(seed).permutation(len(y_train))[:_MOST_ROWS]
    rows.sort()
    X, y = X_train.iloc[rows], y_train[rows]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of skrub and scikit-learn, about single columns
            columns, trees = _boost(X, y, task, seed, monotonic() + seconds)
            inputs = columns.transform(X_test)
            if task == "regression":
                figures = number_figures(y_test, trees.predict(inputs))
            else:
                probabilities = np.zeros((len(y_test), n_classes))
                probabilities[:, trees.classes_] = trees.predict_proba(inputs)
                figures = class_figures(y_test, probabilities)
    except Exception as error:  # any table may come, and a training does not fail for a rival
        _LOG.warning("no comparison with gradient boosting: %s", first_line(error))
        return None
    name = "gradient boosting"
    if len(rows) < len(y_train):
        name += f" on {len(rows):,} rows"
    if trees.n_iter_ == trees.max_iter < _MOST_ROUNDS:
        name += f", stopped after {seconds:g} s"
    return Rival(name, figures)


def _boost(X: pd.DataFrame, y: Values, task: str, seed: int, end: float) -> tuple[Any, Any]:
    """What is done with the columns, and the trees: both fitted."""
    from skrub import tabular_pipeline  # slow to import

    is_regression = task == "regression"
    kind = HistGradientBoostingRegressor if is_regression else HistGradientBoostingClassifier
    rows_of_classes = [len(y)] if is_regression else np.unique(y, return_counts=True)[1]
    is_lonely = min(rows_of_classes) < 2  # the rows that tell when to stop are from each class
    columns, trees = tabular_pipeline(
        kind(
            categorical_features="from_dtype",
            early_stopping=False if is_lonely else "auto",
            warm_start=True,
            random_state=seed,
        )
    )
    inputs = columns.fit_transform(X)
    step = max(1, _TREES_A_CALL // len(rows_of_classes))
    for n in range(step, _MOST_ROUNDS + step, step):
        trees.set_params(max_iter=min(n, _MOST_ROUNDS)).fit(inputs, y)
        if trees.n_iter_ < trees.max_iter or monotonic() > end:
            break
    return columns, trees


def permuted_importances(
    score: Callable[[pd.DataFrame], float],
    frame: pd.DataFrame,
    *,
    repeats: int = 5,
    seed: int = 0,
    seconds: float = 60.0,
) -> tuple[tuple[str, float, float], ...]:
    r"""How much a score falls when the cells of a column change places, column by column.

    Parameters
    ----------
    score : callable
        Takes a frame and returns how good the model is on it: the more, the better.
    frame : DataFrame
        Rows that the model was not trained on. Stays as it is.
    repeats : int
        How often each column is shuffled.
    seed : int
    seconds : float
        After which no column is shuffled any more: some were then shuffled less often, and those
        that never were are left out, with a warning in the log.

    Returns
    -------
    tuple of (str, float, float)
        The column, the mean drop of the score, and the drops' standard deviation, NaN of a
        single one. The largest drop comes first.

    Notes
    -----
    With :math:`s` the score, and :math:`s_{jk}` the score on the frame whose column :math:`j` was
    shuffled for the :math:`k`-th time, of :math:`K` times, the importance is

    .. math:: i_j = s - \frac{1}{K} \sum_k s_{jk}

    A column that others can stand in for has a low one. :math:`i_j < 0` is chance.

    References
    ----------
    Breiman 2001, *Random Forests*, section 10, https://doi.org/10.1023/A:1010933404324; as a
    property of a trained model of any kind: Fisher, Rudin and Dominici 2019, *All Models are
    Wrong, but Many are Useful*, https://arxiv.org/abs/1801.01489
    """
    rng, end = np.random.default_rng(seed), monotonic() + seconds
    whole = score(frame)
    drops: dict[str, list[float]] = {name: [] for name in frame.columns}
    for name in [*frame.columns] * repeats:
        if monotonic() > end:
            break
        shuffled = frame.copy(deep=False)
        shuffled[name] = frame[name].array[rng.permutation(len(frame))]
        drops[name].append(whole - score(shuffled))
    n_left_out = sum(not each for each in drops.values())
    if n_left_out:
        _LOG.warning(
            "%d of %d columns have no importance: %g s were too short. Score fewer rows.",
            *(n_left_out, len(drops), seconds),
        )
    found = [
        (name, float(np.mean(each)), float(np.std(each)) if len(each) > 1 else float("nan"))
        for name, each in drops.items()
        if each
    ]
    return tuple(sorted(found, key=lambda row: -row[1]))
