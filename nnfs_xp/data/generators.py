"""Data sets that are computed: the book's spiral and sine."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp._checks import check_count, check_dtype
from nnfs_xp.backend import host_generator


def spiral_data(
    samples: int = 100, classes: int = 3, *, seed: int | None = None, dtype: str = "float32"
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Points on the arms of a spiral, one arm a class, which no straight line separates.

    Parameters
    ----------
    samples : int
        Number of points on each arm.
    classes : int
    seed : int, optional
        Of the noise. By default it is drawn from NumPy's global random state, so that a script
        that seeds this as in the book gets the book's points.
    dtype : {"float32", "float64"}

    Returns
    -------
    X : ndarray, shape (samples * classes, 2)
    y : ndarray of int64, shape (samples * classes,)

    Notes
    -----
    Point i of an arm lies at radius r = i / (samples - 1) and angle 2.5 t, where t goes along
    arm c from 4 c to 4 (c + 1), with normal noise of standard deviation 0.2.

    Source: *Neural Networks from Scratch*, chapter 3, after the Stanford course CS231n.
    """
    samples = check_count("samples", samples)
    classes = check_count("classes", classes)
    check_dtype(dtype)
    draw = np.random.standard_normal if seed is None else host_generator(seed).standard_normal
    arms = np.arange(classes)
    radius = np.linspace(0.0, 1.0, samples)
    t = np.linspace(4 * arms, 4 * (arms + 1), samples, axis=1)
    angle = 2.5 * (t + 0.2 * draw((classes, samples)))
    X = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=-1)
    y = np.repeat(np.arange(classes, dtype=np.int64), samples)
    return X.reshape(-1, 2).astype(dtype), y


def sine_data(
    samples: int = 1000, *, dtype: str = "float32"
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """One period of the sine, for regression.

    Returns
    -------
    X : ndarray, shape (samples, 1)
        From 0 up to, not including, 1.
    y : ndarray, shape (samples, 1)
        sin(2 pi X).

    Notes
    -----
    Source: *Neural Networks from Scratch*, chapter 17.
    """
    check_dtype(dtype)
    X = np.arange(check_count("samples", samples))[:, None] / samples
    return X.astype(dtype), np.sin(2 * np.pi * X).astype(dtype)
