"""Gradients by differences, and how close to them a right gradient is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of, to_numpy

_STEP = 1e-5
"""The h of central differences in float64, near the cube root of eps: see `numeric_gradient`."""

_NOISE = 10 * float(np.finfo(np.float64).eps) / _STEP
"""The share of a function's magnitude by which rounding moves its differences, with a margin."""


def numeric_gradient(function: Callable[[Array], float], at: Array) -> np.ndarray[Any, Any]:
    """The gradient of a function of a float64 array by central differences.

    Parameters
    ----------
    function : callable
        From an array like `at` to a number.
    at : array of float64, any backend

    Returns
    -------
    ndarray of float64, of the same shape

    Notes
    -----
    (f(x + h) - f(x - h)) / 2h with h = 1e-5 for each element: the formula's error grows with
    h**2, rounding's with eps / h, and the two are about least together there.
    """
    backend = backend_of(at)
    center = np.array(to_numpy(at), dtype=np.float64)
    gradient = np.empty_like(center)
    for index in np.ndindex(*center.shape):
        ends = []
        for step in (_STEP, -_STEP):
            moved = center.copy()
            moved[index] += step
            ends.append(function(backend.asarray(moved)))
        gradient[index] = (ends[0] - ends[1]) / (2 * _STEP)
    return gradient


def assert_gradient(what: str, actual: Array, numeric: Any, magnitude: float) -> None:
    """Assert that a float64 gradient is that of central differences, as far as they can tell.

    Parameters
    ----------
    what : str
    actual : array
    numeric : ndarray
        From `numeric_gradient`.
    magnitude : float
        The sum of the absolute values of the terms that the function adds up. However small the
        gradient, its differences are no better than this times eps / h.
    """
    # Central differences are good to about eps**(2/3) of the largest element; times 1000.
    largest = float(np.max(np.abs(numeric), initial=0.0))
    np.testing.assert_allclose(
        to_numpy(actual),
        numeric,
        rtol=1e-7,
        atol=1e-7 * largest + _NOISE * magnitude,
        err_msg=what,
    )
