"""Augmentations that move pixels: mirror images, shifts and crops."""

from __future__ import annotations

from typing import TypeAlias

from nnfs_xp import _checks
from nnfs_xp._checks import quoted
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.data.augment.base import Move
from nnfs_xp.data.augment.places import Places, counted, or_outside, reflected
from nnfs_xp.data.random import Random
from nnfs_xp.errors import ArgumentError, ShapeError
from nnfs_xp.kernels.standard import BITS


class Flip(Move):
    """Some pictures mirrored, left and right exchanged.

    Parameters
    ----------
    probability : float
        Of a picture to be mirrored.
    alternating : bool
        Whether each picture is mirrored in every second epoch: in the odd or the even ones, by
        chance. So two epochs see both of its sides.

    Raises
    ------
    ArgumentError
        The probability is none, or is given for an alternating flip.
    DataError
        While training: an alternating flip must know which sample each picture is, and the source
        of the batches does not tell. Arrays do, and so do the sources of `nn.data`; a source of
        your own does by a method ``samples(epoch, number)``.

    Notes
    -----
    Source of the alternating flip: Jordan 2024, *94% on CIFAR-10 in 3.29 Seconds on a Single GPU*,
    section 3.6.
    """

    def __init__(self, *, probability: float = 0.5, alternating: bool = False) -> None:
        self.probability = _checks.check_range("probability", probability, 0, 1, closed_high=True)
        self.alternating = _checks.check_bool("alternating", alternating)
        if self.alternating and self.probability != 0.5:
            raise ArgumentError(
                "an alternating flip mirrors each picture in every second epoch; got "
                f"`probability` {self.probability:g}. Leave it out."
            )

    def places(self, random: Random, n: int, height: int, width: int) -> Places:
        del height
        xp = random.xp
        columns = counted(xp, width, random.backend.device)
        if self.alternating:
            odd = random.bits_of_samples() >> (BITS - 1)
            mirrored = ((odd + random.epoch) & 1) == 1
        else:
            mirrored = random.choices(self.probability, n)
        return Places(columns=xp.where(mirrored[:, None], (width - 1) - columns, columns))


Sizes: TypeAlias = tuple[int, int]
"""The height and the width of a picture."""


class _Edged(Move):
    """Base of the moves that reach beyond the edges of a picture."""

    mode: str

    def _check_mode(self, mode: str) -> str:
        if mode not in ("reflect", "zeros"):
            raise ArgumentError(f"`mode` must be 'reflect' or 'zeros'; got {quoted(mode)}.")
        return mode

    def _at_the_edges(self, xp: Namespace, rows: Array, columns: Array, sizes: Sizes) -> Places:
        """The places, those beyond the edges as the mode has it."""
        find = reflected if self.mode == "reflect" else or_outside
        height, width = sizes
        return Places(find(xp, rows, height), find(xp, columns, width), self.mode == "zeros")

    def _check_room(self, name: str, most: int, height: int, width: int) -> None:
        if self.mode == "reflect" and most >= min(height, width):
            raise ShapeError(
                f"`{name}` must be below the height and the width, for there are no more pixels "
                f"to reflect; got {most} for pictures of {height} x {width}."
            )


class Shift(_Edged):
    """Each picture moved by a random number of pixels, up or down and left or right.

    Parameters
    ----------
    most : int
        Pixels. Each number from -most to most is as likely as another, in both directions.
    mode : {"reflect", "zeros"}
        What comes in from beyond an edge: the picture mirrored there, the edge itself not
        repeated; or 0.

    Raises
    ------
    ArgumentError
    ShapeError
        While training: a picture is too small to be reflected so far.
    """

    def __init__(self, most: int, *, mode: str = "reflect") -> None:
        self.most = _checks.check_count("most", most, least=0)
        self.mode = self._check_mode(mode)

    def places(self, random: Random, n: int, height: int, width: int) -> Places:
        self._check_room("most", self.most, height, width)
        xp, device = random.xp, random.backend.device
        moves = random.integers(-self.most, self.most + 1, (2, n, 1))
        rows = counted(xp, height, device) - moves[0, ...]
        columns = counted(xp, width, device) - moves[1, ...]
        return self._at_the_edges(xp, rows, columns, (height, width))


class Crop(_Edged):
    """A random part of each picture.

    Parameters
    ----------
    size : int or pair of int
        The height and the width of the part.
    padding : int
        Pixels that are put around the picture before.
    mode : {"zeros", "reflect"}
        What they are, as of `Shift`.

    Raises
    ------
    ArgumentError
    ShapeError
        While training: the padded picture is smaller than the part.
    """

    def __init__(self, size: int | tuple[int, int], *, padding: int = 0, mode: str = "zeros"):
        self.size = size
        pair = size if isinstance(size, (tuple, list)) else (size, size)
        if len(pair) != 2:
            raise ArgumentError(f"`size` must be a whole number or two; got {quoted(size)}.")
        self._sizes = tuple(_checks.check_count("size", each) for each in pair)
        self.padding = _checks.check_count("padding", padding, least=0)
        self.mode = self._check_mode(mode)

    def places(self, random: Random, n: int, height: int, width: int) -> Places:
        self._check_room("padding", self.padding, height, width)
        xp, device = random.xp, random.backend.device
        places = []
        for there, here in zip((height, width), self._sizes, strict=True):
            spare = there + 2 * self.padding - here
            if spare < 0:
                raise ShapeError(
                    f"`size` {self.size} is more than the pictures have, {height} x {width} with "
                    f"`padding` {self.padding}."
                )
            first = random.integers(-self.padding, spare - self.padding + 1, (n, 1))
            places.append(counted(xp, here, device) + first)
        return self._at_the_edges(xp, places[0], places[1], (height, width))
