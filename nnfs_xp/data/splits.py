"""Split a data set into a part to train on and a part to test on."""

# Annotations are not postponed here: pdoc cannot look up those of a NamedTuple.

from typing import Any, NamedTuple

import numpy as np

from nnfs_xp._checks import check_range
from nnfs_xp.backend import host_generator, to_numpy
from nnfs_xp.data.scaled import Scaled
from nnfs_xp.errors import LabelError


class Split(NamedTuple):
    """A data set in two parts. Unpacks as ``X_train, y_train, X_test, y_test``."""

    X_train: np.ndarray[Any, Any]
    y_train: np.ndarray[Any, Any]
    X_test: np.ndarray[Any, Any]
    y_test: np.ndarray[Any, Any]


def hold_out(
    X: np.ndarray[Any, Any] | Scaled, y: np.ndarray[Any, Any], *, share: float, seed: int
) -> Split:
    """Hold out a share of the samples, drawn at random with each class in proportion.

    Parameters
    ----------
    X : ndarray or Scaled, shape (n, ...)
        Both parts are of the same type.
    y : ndarray of int, shape (n,)
        Class indices.
    share : float
        The share of the samples to hold out, in (0, 1).
    seed : int

    Raises
    ------
    ArgumentError
        The share is out of its range.
    LabelError
        X and y differ in length, or are too few for two parts.
    """
    share = check_range("share", share, 0, 1, open_low=True)
    X, y = X if isinstance(X, Scaled) else to_numpy(X), to_numpy(y)
    if y.ndim != 1:
        raise LabelError(f"`y` must be class indices of shape (n,); got shape {y.shape}.")
    if len(X) != len(y):
        raise LabelError(f"`X` has {len(X)} samples and `y` {len(y)}.")
    train, test = held_out_rows(y, share=share, seed=seed)
    parts: list[Any] = [
        X.part(rows) if isinstance(X, Scaled) else X[rows] for rows in (train, test)
    ]
    return Split(parts[0], y[train], parts[1], y[test])


def held_out_rows(
    y: np.ndarray[Any, Any], *, share: float, seed: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The numbers of the samples that `hold_out` keeps, and of those that it holds out.

    Parameters
    ----------
    y : ndarray of int, shape (n,)
    share, seed
        As of `hold_out`.

    Raises
    ------
    LabelError
        There are too few for two parts.
    """
    order = host_generator(seed).permutation(len(y))
    by_class = order[np.argsort(y[order], kind="stable")]
    # Taken at equal distances in the order of their classes, they are a share of each class.
    position = np.arange(len(y))
    held = np.floor((position + 1) * share) > np.floor(position * share)
    if not 0 < held.sum() < len(y):
        raise LabelError(f"{len(y)} samples are too few to hold out a share of {share:g}.")
    return np.sort(by_class[~held]), np.sort(by_class[held])
