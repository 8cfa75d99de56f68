"""Splitting a data set into a part to train on and a part to test on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Split(NamedTuple):
    """A data set in two parts. Unpacks as ``X_train, y_train, X_test, y_test``."""

    X_train: np.ndarray[Any, Any]
    y_train: np.ndarray[Any, Any]
    X_test: np.ndarray[Any, Any]
    y_test: np.ndarray[Any, Any]


def hold_out(X: np.ndarray[Any, Any], y: np.ndarray[Any, Any], *, share: float, seed: int) -> Split:
    """Hold out a share of the samples, drawn at random with each class in proportion.

    Parameters
    ----------
    X : ndarray, shape (n, ...)
    y : ndarray of int, shape (n,)
        Class indices.
    share : float
        Of the samples that are held out, in (0, 1).
    seed : int
    """
    order = np.random.default_rng(seed).permutation(len(y))
    by_class = order[np.argsort(y[order], kind="stable")]
    # Every so-manyth of the samples in the order of their classes is a share of each class.
    position = np.arange(len(y))
    held = np.floor((position + 1) * share) > np.floor(position * share)
    test, train = np.sort(by_class[held]), np.sort(by_class[~held])
    return Split(X[train], y[train], X[test], y[test])
