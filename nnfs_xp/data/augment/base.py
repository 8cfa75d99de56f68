"""What all augmentations share, and several in a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from nnfs_xp._settings import repr_of, settings_of
from nnfs_xp._typing import Array
from nnfs_xp.data.augment.places import Places, fetch
from nnfs_xp.data.random import Random
from nnfs_xp.data.transforms import OnHost, Transform, described
from nnfs_xp.errors import ArgumentError, DTypeError, ShapeError

_FEW_CHANNELS = 4


class Augmentation(ABC):
    """Base class of what changes the inputs of a batch, and maybe its targets.

    It is called with a batch, a tuple of arrays that it may write into, and a `Random`, and
    returns a batch.
    """

    @abstractmethod
    def __call__(self, batch: tuple[Any, ...], random: Random) -> tuple[Any, ...]:
        raise NotImplementedError

    def settings(self) -> Any:
        """The class and its arguments, as JSON can hold them."""
        return settings_of(self)

    __repr__ = repr_of


class PictureAugmentation(Augmentation):
    """Base class of those that change pictures alone: a subclass gives `changed`."""

    def __call__(self, batch: tuple[Any, ...], random: Random) -> tuple[Any, ...]:
        x, *others = batch
        check_pictures(x, random)
        return self.changed(x, random), *others

    @abstractmethod
    def changed(self, pictures: Array, random: Random) -> Array:
        """The pictures, (batch, height, width, channels), as they are to be."""
        raise NotImplementedError


class Move(PictureAugmentation):
    """Base class of those that only move pixels: a subclass gives `places`.

    `Compose` has moves that follow on each other fetch each pixel once.
    """

    def changed(self, pictures: Array, random: Random) -> Array:
        _, height, width, _ = pictures.shape
        return fetch(random.xp, pictures, self.places(random, pictures.shape[0], height, width))

    @abstractmethod
    def places(self, random: Random, n: int, height: int, width: int) -> Places:
        """Where the pixels of n new pictures lie in old ones of that height and width."""
        raise NotImplementedError


class Compose(Augmentation):
    """Several transforms, one after the other.

    Parameters
    ----------
    *transforms : callable (batch, random) -> batch

    Raises
    ------
    ArgumentError
        One is no function, or an `OnHost`: give ``OnHost(Compose(…))``.

    Examples
    --------
    >>> from nnfs_xp.data import augment
    >>> augment.Compose(augment.Flip(), augment.Shift(2))
    Compose(Flip(), Shift(2))
    """

    def __init__(self, *transforms: Transform) -> None:
        for each in transforms:
            if not callable(each):
                raise ArgumentError(f"`transforms` must be functions; got {each!r}.")
            if isinstance(each, OnHost):
                raise ArgumentError(
                    "`transforms` are run in one place; got OnHost. Give OnHost(Compose(...))."
                )
        self.transforms = transforms

    def settings(self) -> Any:
        return {"class": "Compose", "config": [described(each) for each in self.transforms]}

    def __call__(self, batch: tuple[Any, ...], random: Random) -> tuple[Any, ...]:
        moves: list[Move] = []
        for each in self.transforms:
            if isinstance(each, Move) and type(each).changed is Move.changed:
                moves.append(each)
                continue
            batch = each(_moved(batch, random, moves), random)
            moves = []
        return _moved(batch, random, moves)


def _moved(batch: tuple[Any, ...], random: Random, moves: list[Move]) -> tuple[Any, ...]:
    if not moves:
        return batch
    x, *others = batch
    check_pictures(x, random)
    n, height, width, _ = x.shape
    places = Places()
    for move in moves:
        sizes = places.sizes(height, width)
        places = places.before(random.xp, move.places(random, n, *sizes))
    return fetch(random.xp, x, places), *others


def check_pictures(x: Array, random: Random) -> None:
    """Refuse what is no batch of pictures, channels last.

    Raises
    ------
    ShapeError, DTypeError
    """
    shape = tuple(x.shape)
    if len(shape) != 4:
        raise ShapeError(
            f"pictures must have shape (batch, height, width, channels); got {shape}. Reshape "
            "them before the training; where the model takes rows, let it begin with Flatten()."
        )
    if shape[1] <= _FEW_CHANNELS < shape[3] and shape[2] > _FEW_CHANNELS:
        raise ShapeError(
            f"pictures must have shape (batch, height, width, channels); got {shape}; did you "
            "mean channels last?"
        )
    check_floats(x, random)


def check_floats(x: Array, random: Random) -> None:
    """Refuse inputs that are no floats.

    Raises
    ------
    DTypeError
    """
    if not random.backend.is_floating(x.dtype):
        raise DTypeError(f"inputs must have a floating dtype; got {x.dtype}. Convert them first.")
