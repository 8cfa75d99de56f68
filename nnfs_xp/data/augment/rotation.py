"""Pictures turned by random angles."""

from __future__ import annotations

from math import pi

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.data.augment.base import PictureAugmentation
from nnfs_xp.data.augment.places import counted, pixels
from nnfs_xp.data.random import Random


class Rotation(PictureAugmentation):
    """Each picture turned about its middle by a random angle.

    Between pixels values are interpolated; beyond the edges they are 0. Those of backends may
    differ in rounding.

    Parameters
    ----------
    degrees : float
        Angles are drawn from -degrees to degrees.

    Notes
    -----
    The pixel of the new picture (i, j), counted from its middle, is at y = i cos(a) - j sin(a),
    x = i sin(a) + j cos(a) of the old one; and the value there is the mean of the four pixels
    around, each weighted by (1 - abs(dy)) (1 - abs(dx)) with its distances dy and dx.
    """

    def __init__(self, degrees: float) -> None:
        self.degrees = _checks.check_range("degrees", degrees, 0, 360, closed_high=True)

    def changed(self, pictures: Array, random: Random) -> Array:
        xp, dtype, device = random.xp, pictures.dtype, random.backend.device
        n, height, width, _ = pictures.shape
        most = self.degrees * pi / 180
        angles = xp.astype(random.uniform((n, 1, 1), -most, most), dtype, copy=False)
        cos, sin = xp.cos(angles), xp.sin(angles)
        i = xp.astype(counted(xp, height, device), dtype)[:, :, None] - (height - 1) / 2
        j = xp.astype(counted(xp, width, device), dtype)[:, None, :] - (width - 1) / 2
        y = i * cos - j * sin + (height - 1) / 2
        x = i * sin + j * cos + (width - 1) / 2
        top, left = xp.floor(y), xp.floor(x)
        first = counted(xp, n, device).T[:, :, None] * (height * width)
        turned: Array = xp.zeros_like(pictures)
        for down in (0, 1):
            for across in (0, 1):
                row, column = top + down, left + across
                share = (1 - xp.abs(y - row)) * (1 - xp.abs(x - column))
                inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
                share = xp.where(inside, share, 0.0)
                number = xp.where(inside, row * width + column, 0.0)
                found = pixels(xp, pictures, first + xp.astype(number, xp.int64))
                turned += share[..., None] * found
        return turned
