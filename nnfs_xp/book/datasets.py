"""The book's data sets under the book's signatures."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp import data
from nnfs_xp._checks import check_count
from nnfs_xp.book._arrays import default_dtype


def spiral_data(
    samples: int, classes: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, np.dtype[np.uint8]]]:
    """`nnfs_xp.data.spiral_data` from NumPy's global random state, labels as uint8."""
    X, y = data.spiral_data(samples, classes, dtype=default_dtype())
    return X, y.astype(np.uint8)


def vertical_data(
    samples: int, classes: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, np.dtype[np.uint8]]]:
    """Clouds of points beside one another, normal with deviation 0.1 around (class / 3, 0.5).

    Source: *Neural Networks from Scratch*, chapter 6.
    """
    samples, classes = check_count("samples", samples), check_count("classes", classes)
    noise = np.random.standard_normal((classes, 2, samples))  # noqa: NPY002 # the scripts' state
    centers = np.stack([np.arange(classes) / 3, np.full(classes, 0.5)], axis=1)
    X = np.moveaxis(0.1 * noise + centers[:, :, None], 1, 2).reshape(-1, 2)
    return X.astype(default_dtype()), np.repeat(np.arange(classes), samples).astype(np.uint8)


def sine_data(samples: int = 1000) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """`nnfs_xp.data.sine_data`."""
    return data.sine_data(samples, dtype=default_dtype())
