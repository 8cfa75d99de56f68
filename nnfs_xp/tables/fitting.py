"""Fitting the pipeline: what is held out, and when it stops."""

from __future__ import annotations

import time
import warnings
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from nnfs_xp.data import hold_out
from nnfs_xp.sklearn import MLPClassifier, MLPRegressor
from nnfs_xp.tables.columns import Values
from nnfs_xp.tables.features import Features
from nnfs_xp.tables.model import TableModel
from nnfs_xp.tables.pipeline import column_pipeline
from nnfs_xp.tables.progress import EpochLines
from nnfs_xp.tables.settings import TableSettings
from nnfs_xp.tables.target import Target
from nnfs_xp.training import EarlyStopping
from nnfs_xp.training.progress import Shown

_VALIDATION_SHARE = 0.15


def split(
    rows: Values, target: Target, y: Values, share: float, seed: int
) -> tuple[Values, Values]:
    """The rows to train on, and a share that is held out, with each class in proportion.

    The only row of a class is trained on.

    Parameters
    ----------
    rows : ndarray of int
        Indices into `y`.
    target : Target
    y : ndarray
    share : float
    seed : int
    """
    if target.task == "regression":
        return hold_out(rows, np.zeros(len(rows), np.int64), share=share, seed=seed)[::2]
    labels = y[rows]
    lonely = np.bincount(labels, minlength=len(target.classes))[labels] == 1
    parts = hold_out(rows[~lonely], labels[~lonely], share=share, seed=seed)
    return np.sort(np.concatenate([parts.X_train, rows[lonely]])), parts.X_test


def fit(
    frame: pd.DataFrame,
    y: Values,
    rows: Values,
    target: Target,
    features: Features,
    settings: TableSettings,
    *,
    backend: str,
    progress: Shown,
) -> TableModel:
    """Train a model on some of the rows, of which a part is held out to tell when to stop."""
    begin = time.perf_counter()
    trained, kept = split(rows, target, y, _VALIDATION_SHARE, settings.seed + 1)
    columns = column_pipeline(features)
    X, X_val = columns.fit_transform(frame.iloc[trained]), columns.transform(frame.iloc[kept])
    batch_size = settings.batch_size_for(len(trained))
    lines = EpochLines(settings.epochs, len(trained), batch_size, shown=progress)
    kind = MLPRegressor if target.task == "regression" else MLPClassifier
    network: Any = kind(
        hidden_layer_sizes=settings.hidden,
        learning_rate_init=settings.learning_rate,
        max_iter=settings.epochs,
        batch_size=batch_size,
        dropout=settings.dropout,
        n_iter_no_change=settings.epochs,  # the callback decides, by the loss on the rows kept
        random_state=settings.seed,
        callbacks=[EarlyStopping("val_loss", settings.patience), lines],
        backend=backend,
    )
    if target.task == "regression":
        scaler = StandardScaler().fit(y[trained, None])
        model: Any = TransformedTargetRegressor(network, transformer=StandardScaler())
        targets, y_val = y[trained], scaler.transform(y[kept, None]).ravel()
    else:
        labels = target.labels
        model, targets, y_val = network, labels[y[trained]], labels[y[kept]]
    with warnings.catch_warnings():
        # That there are not too many classes is checked with the target.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        # All epochs were asked for, the best weights are there: no reason to warn.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # of a single row held out
        model.fit(X, targets, X_val=X_val, y_val=y_val)
    trained_network = model if target.task == "classification" else model.regressor_
    stopping, lines = trained_network.callbacks  # TransformedTargetRegressor trains a copy
    lines.close()
    if not lines.ended:
        if not lines.history.epochs:
            raise KeyboardInterrupt
        stopping.on_train_end(lines.trainer)  # for the best weights
    for each in (network, trained_network):
        each.set_params(callbacks=())  # which are no part of the model
    fitted = TableModel(
        Pipeline([("columns", columns), ("network", model)]),
        target,
        features,
        constant=_constant(target, y[rows]),
        settings={**asdict(settings), "batch_size": batch_size},
        history=lines.history,
    )
    fitted.settings |= {
        "inputs": int(X.shape[1]),
        "trained_on": len(trained),
        "validated_on": len(kept),
        "epochs_done": fitted.history.epochs,
        "best_epoch": int(np.argmin(fitted.history["val_loss"])) + 1,
        "interrupted": not lines.ended,
        "seconds": round(time.perf_counter() - begin, 3),
        "backend": backend,
    }
    return fitted


def _constant(target: Target, y: Values) -> float:
    """The most frequent class of the training's targets, or their mean."""
    return float(np.mean(y)) if target.task == "regression" else int(np.bincount(y).argmax())
