"""Class labels, as the pictures take them: from any backend, as indices or one-hot rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError, LabelError

Labels = np.ndarray[Any, np.dtype[np.int64]]


def class_labels(name: str, labels: Any) -> Labels:
    """Class indices of shape (n,), from indices (n,) or (n, 1), or from rows of one-hot or scores.

    Raises
    ------
    LabelError
        The labels are no classes: not whole, below 0, none at all, or of another shape.
    """
    array = to_numpy(labels)
    if array.ndim == 2 and array.shape[1] > 1:
        array = array.argmax(axis=1)
    elif array.ndim == 2:
        array = array[:, 0]
    if array.ndim != 1 or len(array) == 0:
        raise LabelError(
            f"`{name}` must be class indices of shape (samples,) or one-hot rows of shape "
            f"(samples, classes), of at least 1 sample; got shape {to_numpy(labels).shape}."
        )
    if not np.isfinite(array).all() or (array != np.floor(array)).any() or array.min() < 0:
        raise LabelError(
            f"`{name}` must hold class indices, whole numbers from 0. Of probabilities, "
            "Trainer.predict makes classes."
        )
    return array.astype(np.int64)


def label_pair(y_true: Any, y_pred: Any) -> tuple[Labels, Labels]:
    """The true and the predicted classes, one of each for each sample."""
    true, predicted = class_labels("y_true", y_true), class_labels("y_pred", y_pred)
    if len(true) != len(predicted):
        raise LabelError(
            "`y_true` and `y_pred` must have one label each for each sample; got "
            f"{len(true)} and {len(predicted)}."
        )
    return true, predicted


def class_names(classes: Sequence[object] | None, n_classes: int) -> Sequence[object]:
    """The names of at least so many classes; by default their indices."""
    if classes is None:
        return range(n_classes)
    if len(classes) < n_classes:
        raise ArgumentError(
            f"`classes` must name each class from 0 to {n_classes - 1}; got {len(classes)} names."
        )
    return classes
