"""Views of pictures: what a prediction can be averaged over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnfs_xp._checks import quoted
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of
from nnfs_xp.data.augment.places import counted, reflected
from nnfs_xp.errors import ArgumentError, ShapeError


def mirrored(pictures: Array) -> Array:
    """The pictures mirrored, left and right exchanged.

    Parameters
    ----------
    pictures : array, shape (batch, height, width, channels)

    Raises
    ------
    ShapeError
        They are no pictures.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfs_xp.data import augment
    >>> augment.mirrored(np.arange(3.0).reshape(1, 1, 3, 1)).ravel()
    array([2., 1., 0.])
    """
    return _fetched(pictures, 0, 0, is_mirrored=True)


def shifted(rows: int, columns: int) -> Callable[[Array], Array]:
    """A function that moves pictures down by some rows and to the right by some columns.

    What comes in from beyond an edge is the picture mirrored there, the edge itself not repeated.

    Parameters
    ----------
    rows, columns : int
        Below 0, up and to the left.

    Raises
    ------
    ArgumentError
    ShapeError
        From the function: they are no pictures, or too small to be reflected so far.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfs_xp.data import augment
    >>> augment.shifted(0, 1)(np.arange(3.0).reshape(1, 1, 3, 1)).ravel()
    array([1., 0., 1.])
    """
    for name, value in (("rows", rows), ("columns", columns)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ArgumentError(f"`{name}` must be a whole number; got {quoted(value)}.")

    def move(pictures: Array) -> Array:
        return _fetched(pictures, rows, columns)

    move.__qualname__ = move.__name__ = f"shifted({rows}, {columns})"
    return move


def _fetched(pictures: Array, rows: int, columns: int, *, is_mirrored: bool = False) -> Array:
    xp: Any = backend_of(pictures).xp
    shape = tuple(pictures.shape)
    if len(shape) != 4:
        raise ShapeError(f"pictures must have shape (batch, height, width, channels); got {shape}.")
    found = pictures
    for axis, moved in ((1, rows), (2, columns)):
        n = shape[axis]
        if abs(moved) >= n:
            raise ShapeError(
                f"pictures of {shape[1]} x {shape[2]} have not enough pixels to be reflected when "
                f"they are moved by {moved}."
            )
        places = reflected(xp, counted(xp, n, pictures.device)[0, :] - moved, n)
        if axis == 2 and is_mirrored:
            places = n - 1 - places
        if moved or (axis == 2 and is_mirrored):
            found = xp.take(found, places, axis=axis)
    return found
