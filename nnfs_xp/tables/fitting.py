"""Fitting columns and network: what is held out, and when it stops."""

from __future__ import annotations

import time
import warnings
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from sklearn.compose import ColumnTransformer

from nnfs_xp.backend import get_backend, host_generator
from nnfs_xp.data import hold_out
from nnfs_xp.data.table_columns import Values
from nnfs_xp.layers import Concatenate, Sequential
from nnfs_xp.tables.course import Course, train
from nnfs_xp.tables.encoding import column_encoder, n_number_inputs
from nnfs_xp.tables.features import Features
from nnfs_xp.tables.large import LargeTable
from nnfs_xp.tables.model import TableModel, TargetScale, outputs_of
from nnfs_xp.tables.network import table_network
from nnfs_xp.tables.piecewise import TableBatches
from nnfs_xp.tables.settings import Plan, TableSettings
from nnfs_xp.tables.target import Target
from nnfs_xp.training import History, initialize_from_data

_VALIDATION_SHARE = 0.15
"""What a single network keeps of the rows."""

_DEVIATION = 0.25
"""Of the logarithm of a temperature, before any row is seen."""

_LEAST_KEPT = 20
"""Rows below which none are kept: each is needed to learn from."""


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
    course: Course,
    table: LargeTable | None = None,
) -> TableModel:
    """Train a model on some of the rows, of which parts are kept to tell when to stop.

    Parameters
    ----------
    frame : DataFrame
        The columns, as `Features.read` gives them.
    y : ndarray, shape (rows of the frame,)
        Class indices, or values.
    rows : ndarray of int
        Which rows are learnt from.
    target, features, settings, course
        What is learnt, from what, and how.
    table : LargeTable, optional
        What the frame is a sample of; the network is trained on its other rows, too.
    """
    begin = time.perf_counter()
    n_classes = len(target.classes)
    n_rows = len(rows) if table is None else table.n_rows
    plan = settings.plan(n_rows, classifies=bool(n_classes))
    columns = column_encoder(features, frame.iloc[rows], classes=n_classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of skrub, that a text has few words
        X = np.asarray(columns.fit_transform(frame.iloc[rows], y[rows]), dtype=np.float32)
    scale = None if n_classes else TargetScale.of(y[rows])

    def learnt(y: Values) -> Any:
        return _for_members(y if scale is None else scale.scaled(y), plan)

    targets = learnt(y[rows])
    networks, histories, kept_rows = [], [], []
    for number, (trained, kept) in enumerate(parts(y[rows], target, plan)):
        network = _new_network(columns, X[trained], n_classes, plan, plan.seed + number)
        validation = (X[kept], targets[kept]) if len(kept) else None
        data: tuple[Any, ...] = X[trained], targets[trained]
        if table is not None:
            others = np.asarray(frame.index.delete(rows[trained]))
            sizes = plan.batch_size, plan.seed
            data = (TableBatches(table, target, features, columns, learnt, others, *sizes),)
        n = len(trained) if table is None else data[0].n_samples
        own = course.part(number, plan.folds)
        history, ended = train(network, data, validation, plan, own, n_classes, n_rows=n)
        histories.append(history)
        networks.append(network)
        kept_rows.append(kept)
        if not ended:  # by Ctrl-C, and there is no checkpoint to go on from
            break
    network = networks[0] if len(networks) == 1 else Sequential(Concatenate(*networks))
    model = TableModel(
        columns,
        network,
        target,
        features,
        scale=scale,
        constant=_constant(target, y[rows]),
        settings=asdict(plan),
        history=_mean_history(histories),
    )
    calibrate(model, networks, X, y[rows], kept_rows)
    model.settings |= {
        "inputs": int(X.shape[1]),
        "trained_on": len(rows) if table is None else n + len(kept),
        "epochs_done": max(history.epochs for history in histories),
        "seconds": round(time.perf_counter() - begin, 3),
        "interrupted": not ended,
        "backend": get_backend(course.backend).name,
    }
    return model


def _new_network(
    columns: ColumnTransformer, X: Any, n_classes: int, plan: Plan, seed: int
) -> Sequential:
    """A network whose first weights fit these inputs."""
    n_numbers = n_number_inputs(columns)
    network = table_network(
        n_numbers,
        X.shape[1] - n_numbers,
        n_classes or 1,
        hidden=plan.hidden,
        dropout=plan.dropout,
        ensemble=plan.ensemble,
        classifies=bool(n_classes),
        seed=seed,
    )
    initialize_from_data(network, X, seed=seed)
    return network


def parts(y: Values, target: Target, plan: Plan) -> list[tuple[Values, Values]]:
    """The rows that each network is trained on, and those that are kept to tell it when to stop.

    Each class is in all parts, as far as it has rows. Of few rows none are kept.
    """
    every = np.arange(len(y))
    if len(y) < _LEAST_KEPT:
        return [(every, every[:0])]
    if plan.folds == 1:
        return [split(every, target, y, _VALIDATION_SHARE, plan.seed + 1)]
    order = host_generator(plan.seed + 1).permutation(len(y))
    if target.task == "classification":
        order = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), np.int64)
    fold[order] = every % plan.folds
    return [(every[fold != part], every[fold == part]) for part in range(plan.folds)]


def calibrate(
    model: TableModel, networks: list[Sequential], X: Any, y: Values, kept: list[Values]
) -> None:
    """Learn from the rows that each network was not trained on how sure the model may be.

    Of classes, the temperature that the logits are divided by, by least cross-entropy; its
    logarithm is drawn towards 0, as a normal prior would, which counts where rows are few. Of
    numbers, how far the prediction was from each target: what intervals are made of.

    Notes
    -----
    Source: Guo, Pleiss, Sun and Weinberger 2017, *On Calibration of Modern Neural Networks*,
    section 4.2; Barber, Candès, Ramdas and Tibshirani 2021, *Predictive Inference with the
    Jackknife+*, section 1: of one network it is split conformal prediction; of several the
    jackknife with folds, whose bounds are about the mean of all networks, and which lacks the
    guarantee that the jackknife+ has.
    """
    rows = np.concatenate(kept)
    if not len(rows):
        return
    outputs = np.concatenate(
        [
            outputs_of(network, X[mine], len(model.classes) or 1)
            for network, mine in zip(networks, kept, strict=True)
        ]
    )
    if model.scale is not None:
        model.residuals = np.sort(np.abs(model.values_of(outputs) - y[rows]))
        return

    def cross_entropy(log_temperature: float) -> float:
        model.temperature = float(np.exp(log_temperature))
        shares = model.shares_of(outputs)[np.arange(len(rows)), y[rows]]
        surprise = float(-np.sum(np.log(np.maximum(shares, 1e-30))))
        return surprise + 0.5 * (log_temperature / _DEVIATION) ** 2

    best = minimize_scalar(cross_entropy, bounds=(-2.0, 2.0), method="bounded")
    model.temperature = float(np.exp(best.x))


def _mean_history(histories: list[History]) -> History:
    """The mean of the networks' figures, for as many epochs as all of them had."""
    least = min(history.epochs for history in histories)
    mean = History()
    for name in histories[0]:
        columns = np.array([history[name][:least] for history in histories])
        mean[name] = columns.mean(axis=0).tolist()
    return mean


def _for_members(y: Values, plan: Plan) -> Any:
    """The targets, once for each member of an ensemble."""
    y = y.astype(np.int64) if y.dtype.kind in "iu" else y.astype(np.float32)
    if plan.ensemble == 1:
        return y
    return np.repeat(y[:, None], plan.ensemble, axis=1)


def _constant(target: Target, y: Values) -> float:
    """The most frequent class of the training's targets, or their mean."""
    return float(np.mean(y)) if target.task == "regression" else int(np.bincount(y).argmax())
