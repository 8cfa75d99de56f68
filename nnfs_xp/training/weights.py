"""Weights of samples and of classes, made into one number for each sample before training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnfs_xp._checks import of_argument, quoted, shown
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError, LabelError


def prepare_weights(
    y: Any,
    n_outputs: int,
    sample_weight: Any = None,
    class_weight: Any = None,
    *,
    has_classes: bool = True,
    n_axes: int = 1,
    counted: np.ndarray[Any, Any] | None = None,
) -> np.ndarray[Any, Any] | None:
    """The weight of each sample, or each place, with the mean 1; None where nothing is weighted.

    The mean is 1 so that a uniform weight changes nothing and the learning rate keeps its
    meaning: only how the weights compare with each other counts.

    Parameters
    ----------
    y : array of any backend, n samples
        For `class_weight`: class indices (n, …), one-hot rows (n, …, n_outputs), or for one output
        0 and 1, shape (n, …) or (n, …, 1).
    n_outputs : int
        Of the model.
    sample_weight : array of any backend, shape (n,) or (n, …), optional
        One for each sample, or one for each place in it.
    class_weight : mapping, array or "balanced", optional
        A mapping from labels to weights, 1 for those it leaves out; or such a Series, whose index
        has the labels, see `by_label`; or a weight for each class
        in order, two for one output; or ``"balanced"``: n / (k * count), with the number k of
        classes that occur and each one's count, as in scikit-learn. Multiplied with
        `sample_weight`.
    has_classes : bool
        Of the loss.
    n_axes : int
        How many axes the places have: those of the model's output without the last.
    counted : ndarray of bool, shape (n, …), optional
        Which targets count.

    Returns
    -------
    ndarray of float64, shape (n,) or (n, …), or None

    Raises
    ------
    ArgumentError
        Weights have the wrong length, are negative, NaN or infinite, or are all 0; there are
        weights for unknown classes, or for classes where there are none.
    LabelError
        `y` holds something else than classes.
    DTypeError
        Weights are no numbers.
    """
    if sample_weight is None and class_weight is None:
        return None
    shape = tuple(y.shape) if hasattr(y, "shape") else (len(y),)
    n, places = shape[0], shape[:n_axes]
    weights = np.ones(n)
    if sample_weight is not None:
        weights = checked_weights("sample_weight", sample_weight, {(n,), places}, "sample")
    if class_weight is not None:
        labels, of_classes = _classes(y, n_outputs, class_weight, has_classes, n_axes, counted)
        weights = _spread(weights, places) * (of_classes / (np.max(of_classes) or 1.0))[labels]
    largest = np.max(weights, initial=0.0)
    if largest == 0:
        raise ArgumentError("the weights of all samples are 0; nothing would be learnt.")
    weights = weights / largest  # so that the sum cannot overflow
    present = weights
    if counted is not None:
        present = np.broadcast_to(_spread(weights, places), places)[counted]
    total = np.sum(present)
    if total == 0:
        raise ArgumentError("the weights of all labels that count are 0; nothing would be learnt.")
    scaled: np.ndarray[Any, Any] = weights * (present.size / total)
    return scaled


def batch_weights(
    y: Any,
    n_outputs: int,
    sample_weight: Any = None,
    class_weight: Any = None,
    *,
    has_classes: bool = True,
    n_axes: int = 1,
    counted: np.ndarray[Any, Any] | None = None,
) -> np.ndarray[Any, Any]:
    """The weight of each sample of a batch, or each place, as they are: see `prepare_weights`.

    They are not scaled to a mean of 1, which only all samples have together.
    """
    shape = tuple(y.shape)
    n, places = shape[0], shape[:n_axes]
    weights = np.ones(n)
    if sample_weight is not None:
        weights = checked_weights("sample_weight", sample_weight, {(n,), places}, "sample")
    if class_weight is not None:
        labels, of_classes = _classes(y, n_outputs, class_weight, has_classes, n_axes, counted)
        weights = _spread(weights, places) * of_classes[labels]
    return weights


def by_label(class_weight: Any) -> Any:
    """Weights with an index of labels, as a Series of pandas has one, as a mapping; or as given.

    Raises
    ------
    ArgumentError
        The index has a label twice.
    """
    kind = type(class_weight)
    if not (hasattr(kind, "to_dict") and hasattr(kind, "index") and hasattr(kind, "dtype")):
        return class_weight
    mapping = class_weight.to_dict()
    if len(mapping) != len(class_weight):
        raise ArgumentError("`class_weight` must have one weight for each label of its index.")
    return mapping


def _spread(weights: np.ndarray[Any, Any], places: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Weights of samples in a shape that spreads over their places."""
    return weights.reshape(*weights.shape, *(1,) * (len(places) - weights.ndim))


def _classes(
    y: Any,
    n_outputs: int,
    class_weight: Any,
    has_classes: bool,
    n_axes: int,
    counted: np.ndarray[Any, Any] | None,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The class of each sample or place, and the weight of each class."""
    if not has_classes:
        raise ArgumentError("`class_weight` needs a loss on classes, not on values.")
    n_classes = max(n_outputs, 2)
    labels = _labels(to_numpy(y), n_outputs, n_classes, n_axes, counted)
    return labels, _of_classes(class_weight, labels, n_classes, counted)


def checked_weights(
    name: str, values: Any, shapes: set[tuple[int, ...]], unit: str
) -> np.ndarray[Any, Any]:
    """The weights as floats; an error where they have another shape, or cannot be weights."""
    with of_argument(name):
        weights = to_numpy(values).astype(np.float64)
    if weights.shape not in shapes:
        wanted = " or ".join(map(str, sorted(shapes, key=len)))
        raise ArgumentError(
            f"`{name}` must have shape {wanted}, one weight for each {unit}; got {weights.shape}."
        )
    wrong = ~np.isfinite(weights) | (weights < 0)
    if np.any(wrong):
        raise ArgumentError(
            f"`{name}` must hold finite numbers of at least 0; got {weights[wrong][0]:g}."
        )
    return weights


def _labels(
    y: np.ndarray[Any, Any],
    n_outputs: int,
    n_classes: int,
    n_axes: int,
    counted: np.ndarray[Any, Any] | None,
) -> np.ndarray[Any, Any]:
    """The class of each sample, or of each place; 0 where it does not count."""
    if counted is not None:
        y = np.where(counted, y, 0)
    if y.ndim == n_axes + 1 and y.shape[-1] == n_outputs > 1:
        if not np.all((y == 0) | (y == 1)) or not np.all(y.sum(axis=-1) == 1):
            raise LabelError(
                "`class_weight` needs one class a sample; `y` has rows with none or several."
            )
        columns: np.ndarray[Any, Any] = np.argmax(y, axis=-1)
        return columns
    if y.ndim == n_axes + 1 and y.shape[-1] == n_outputs == 1:
        y = y[..., 0]
    if y.ndim != n_axes:
        raise LabelError(
            f"`class_weight` needs class indices of shape (n,) or rows of {n_outputs} columns; "
            f"got shape {y.shape}."
        )
    wrong = ~np.isin(y, np.arange(n_classes))
    if np.any(wrong):
        raise LabelError(
            f"`class_weight` needs labels that are classes, from 0 to {n_classes - 1}; got "
            f"{y[wrong][0]:g}."
        )
    return y.astype(np.int64)


def _of_classes(
    class_weight: Any,
    labels: np.ndarray[Any, Any],
    n_classes: int,
    counted: np.ndarray[Any, Any] | None,
) -> np.ndarray[Any, Any]:
    """The weight of each class."""
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ArgumentError(
                "`class_weight` must be 'balanced', a mapping from labels to weights, or a "
                f"weight for each class; got {quoted(class_weight)}."
            )
        present = labels.ravel() if counted is None else labels[counted]
        counts = np.bincount(present, minlength=n_classes)
        weights: np.ndarray[Any, Any] = present.size / (
            np.count_nonzero(counts) * np.maximum(counts, 1)
        )
        return weights
    class_weight = by_label(class_weight)
    if isinstance(class_weight, Mapping):
        unknown = [label for label in class_weight if label not in range(n_classes)]
        if unknown:
            raise ArgumentError(
                f"`class_weight` has weights for {shown(unknown)}; classes are 0 to "
                f"{n_classes - 1}."
            )
        given = {int(label): weight for label, weight in class_weight.items()}
        class_weight = [given.get(label, 1.0) for label in range(n_classes)]
    return checked_weights("class_weight", class_weight, {(n_classes,)}, "class")
