"""Rows of pixels as images."""

from __future__ import annotations

from math import isqrt, prod
from typing import Any

import numpy as np

from nnfs_xp.errors import ShapeError

_LEAST_SIDE = 7
"""Fewer features than a square of this side are taken for a table's columns, not for pixels."""


def find_image_shape(
    n_features: int, image_shape: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    """The shape of images of so many pixels: the given one, else a square, else None.

    Raises
    ------
    ShapeError
        `image_shape` is no (height, width) or (height, width, 3) of so many numbers.
    """
    if image_shape is None:
        side = isqrt(n_features)
        return (side, side) if side >= _LEAST_SIDE and side * side == n_features else None
    shape = tuple(image_shape)
    if len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)) or prod(shape) != n_features:
        raise ShapeError(
            "`image_shape` must be (height, width), or with 1 or 3 colours (height, width, "
            f"colours), of {n_features} numbers in all; got {shape}."
        )
    return shape[:2] if shape[2:] == (1,) else shape


def between_0_and_1(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The images scaled together, so that the darkest pixel is 0 and the lightest is 1."""
    images = images.astype(np.float64)
    low, high = np.nanmin(images), np.nanmax(images)
    scaled: np.ndarray[Any, Any] = (images - low) / (high - low if high > low else 1.0)
    return scaled
