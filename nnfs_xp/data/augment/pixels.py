"""Augmentations that give pixels other values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnfs_xp import _checks
from nnfs_xp._checks import quoted
from nnfs_xp._typing import Array
from nnfs_xp.data.augment.base import PictureAugmentation
from nnfs_xp.data.augment.places import counted
from nnfs_xp.data.random import Random
from nnfs_xp.errors import ArgumentError, ShapeError


class Cutout(PictureAugmentation):
    """A square of each picture blotted out.

    Its middle is any pixel, so that it may reach beyond the edges.

    Parameters
    ----------
    size : int
        The side of the square in pixels.
    fill : float
        What its pixels become.

    Notes
    -----
    Source: DeVries and Taylor 2017, *Improved Regularization of Convolutional Neural Networks with
    Cutout*, section 3.2.
    """

    def __init__(self, size: int, *, fill: float = 0.0) -> None:
        self.size = _checks.check_count("size", size)
        self.fill = _checks.check_finite_number("fill", fill)

    def changed(self, pictures: Array, random: Random) -> Array:
        xp, n = random.xp, pictures.shape[0]
        inside = []
        for length in pictures.shape[1:3]:
            first = random.integers(0, length, (n, 1)) - self.size // 2
            places = counted(xp, length, random.backend.device)
            inside.append((places >= first) & (places < first + self.size))
        rows, columns = inside
        cut = rows[:, :, None, None] & columns[:, None, :, None]
        blotted: Array = xp.where(cut, self.fill, pictures)
        return blotted


class Normalize(PictureAugmentation):
    """Pictures less the mean, over the deviation: of all channels, or of each.

    `Trainer.evaluate` and `Trainer.predict` see the pictures as they are given, and no transform.
    Give those normalised likewise, or all, and leave this to loops of your own. A `BatchNorm` as
    the first layer learns the figures by itself.

    Parameters
    ----------
    mean, deviation : float or sequence of float
        A number, or one for each channel; deviations above 0.

    Raises
    ------
    ArgumentError
        They are no such numbers, or not as many.
    ShapeError
        While training: the pictures have another number of channels.
    """

    def __init__(self, mean: float | Sequence[float], deviation: float | Sequence[float]) -> None:
        self.mean = _numbers("mean", mean)
        self.deviation = _numbers("deviation", deviation)
        for each in _listed(self.deviation):
            _checks.check_range("deviation", each, 0, open_low=True)
        lengths = {len(each) for each in (self.mean, self.deviation) if isinstance(each, tuple)}
        if len(lengths) > 1:
            raise ArgumentError(
                "`mean` and `deviation` must be of as many channels; got "
                f"{len(_listed(self.mean))} and {len(_listed(self.deviation))}."
            )
        self._n_channels = lengths.pop() if lengths else None

    def changed(self, pictures: Array, random: Random) -> Array:
        if self._n_channels not in (None, pictures.shape[3]):
            raise ShapeError(
                f"`mean` and `deviation` are of {self._n_channels} channels; got pictures of "
                f"shape {tuple(pictures.shape)}."
            )
        # One product and one sum for each pixel.
        factors = 1 / np.asarray(_listed(self.deviation))
        offsets = -np.asarray(_listed(self.mean)) * factors
        asarray = random.backend.asarray
        normalized: Array = pictures * asarray(factors, pictures.dtype)
        normalized += asarray(offsets, pictures.dtype)
        return normalized


def _listed(value: Any) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def _numbers(name: str, value: Any) -> float | tuple[float, ...]:
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return _checks.check_finite_number(name, value)
    if not len(value):
        raise ArgumentError(
            f"`{name}` must be a number, or one for each channel; got {quoted(value)}."
        )
    return tuple(_checks.check_finite_number(name, each) for each in value)
