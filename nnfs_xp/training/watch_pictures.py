"""Pictures of a training as bytes: the first layer's weights, and samples that it gets wrong."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from math import isqrt, prod
from typing import Any

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ShapeError
from nnfs_xp.layers import Layer

_LEAST_PIXELS = 16
"""Fewer features that make a square are taken for a table's columns."""

_MOST_SIDE = 32
"""Of larger images every second pixel is shown, or every third, and so on."""

_MOST_WEIGHTS, _MOST_WRONG = 16, 12

Images = np.ndarray[Any, Any]


def image_shape_of(
    x: Array, given: Sequence[int] | None, layers: Sequence[Layer]
) -> tuple[int, ...] | None:
    """The shape of the samples as images, (height, width) or with colours, or None.

    By default that of samples of shape (height, width, 1 or 3), or a square, if samples are rows of
    at least 16 numbers that make one, each with weights of its own.

    Raises
    ------
    ShapeError
        They make no images of the shape that is given.
    """
    shape = tuple(x.shape[1:])
    n = prod(shape)
    if given is not None:
        if prod(given) != n:
            raise ShapeError(
                f"`image_shape` {tuple(given)} is of {prod(given)} numbers; a sample has {n}."
            )
        return tuple(given)
    if len(shape) == 3 and shape[2] in (1, 3):
        return shape
    side = isqrt(n)
    weights = _first_weights(layers)
    is_square = len(shape) == 1 and n >= _LEAST_PIXELS and side * side == n
    has_rows = weights is not None and tuple(weights.shape[:-1]) == (n,)
    return (side, side) if is_square and has_rows else None


def shown_shape(shape: tuple[int, ...]) -> list[int]:
    """The height and the width of such images as they are shown."""
    step = _step(shape)
    return [-(-side // step) for side in shape[:2]]


def weight_images(layers: Sequence[Layer], shape: tuple[int, ...] | None) -> dict[str, Any] | None:
    """The weights into each of the first neurons as images; None where they make none.

    Of a convolution these are its first filters, of several channels their mean.

    Parameters
    ----------
    layers : sequence of Layer
        In the order in which they run.
    shape : tuple of int or None
        Of the samples as images.
    """
    weights = None if shape is None else _first_weights(layers)
    if shape is None or weights is None:
        return None
    if weights.ndim == 4:
        shape = tuple(weights.shape[:3])
    elif tuple(weights.shape[:-1]) != (prod(shape),):
        return None
    columns = np.array(to_numpy(weights[..., :_MOST_WEIGHTS])).reshape(prod(shape), -1)
    images = _shrunk(columns.T, shape)
    finite = images[np.isfinite(images)]
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    texts = [_text(image) for image in as_bytes(images, low, high)]
    return {"shape": shown_shape(shape), "low": low, "high": high, "images": texts}


def _first_weights(layers: Sequence[Layer]) -> Array | None:
    """The weights of the first layer that has any parameters, if they are called so."""
    first = next((layer for layer in layers if layer.parameters()), None)
    return None if first is None else first.parameters().get("weights")


class Wrong:
    """Finds the samples that are classified wrongly.

    Parameters
    ----------
    x, y : array
        Samples and their classes, as a loss takes them.
    shape : tuple of int or None
        Of the samples as images.
    classes : sequence of str, optional
        By default the labels themselves.
    counted : array, optional
        Which labels count; by default all.
    """

    def __init__(
        self,
        x: Array,
        y: Array,
        shape: tuple[int, ...] | None,
        classes: Sequence[str] | None = None,
        counted: Array | None = None,
    ) -> None:
        labels = np.array(to_numpy(y))
        if labels.ndim == 2:  # shares of the classes, or one answer for each sample
            labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
        self._labels = labels if labels.ndim == 1 else None
        self._counted = None if counted is None else np.array(to_numpy(counted))
        self._classes = classes
        self._images = None
        if shape is not None and self._labels is not None:
            images = _shrunk(np.array(to_numpy(x)).reshape(x.shape[0], -1), shape)
            self._images = as_bytes(images, float(images.min()), float(images.max()))

    def row(self, predictions: Array) -> dict[str, Any]:
        """What there is to say of these predictions: how many are wrong, and the first that are."""
        predicted = np.array(to_numpy(predictions))
        if predicted.shape[1:] == (1,):
            predicted = predicted[:, 0]
        if self._labels is None or predicted.shape != self._labels.shape:
            return {"misclassified": None, "n_wrong": None, "n_samples": len(predicted)}
        wrong = np.flatnonzero(predicted != self._labels)
        if self._counted is not None:
            wrong = wrong[self._counted[wrong]]
        found = [
            {
                "index": int(index),
                "true": self._name(self._labels[index]),
                "predicted": self._name(predicted[index]),
                "image": None if self._images is None else _text(self._images[index]),
            }
            for index in wrong[:_MOST_WRONG]
        ]
        return {"misclassified": found, "n_wrong": len(wrong), "n_samples": len(predicted)}

    def _name(self, label: Any) -> str:
        n = int(label)
        known = self._classes is not None and 0 <= n < len(self._classes)
        return str(self._classes[n]) if known and self._classes is not None else str(n)


def as_bytes(images: Images, low: float, high: float) -> Images:
    """The images in bytes: 0 for that lowest value, 255 for the highest."""
    with np.errstate(all="ignore"):
        scaled = (images.astype(np.float64) - low) * (255.0 / ((high - low) or 1.0))
    whole: Images = np.clip(np.nan_to_num(scaled), 0, 255).round().astype(np.uint8)
    return whole


def _step(shape: tuple[int, ...]) -> int:
    return -(-max(shape[:2]) // _MOST_SIDE)


def _shrunk(rows: Images, shape: tuple[int, ...]) -> Images:
    """Rows as images of one colour, and of few pixels."""
    images = rows.reshape(len(rows), *shape)
    if images.ndim == 4:
        images = images.mean(axis=3)
    step = _step(shape)
    return images[:, ::step, ::step]


def _text(image: Images) -> str:
    return b64encode(image.tobytes()).decode()
