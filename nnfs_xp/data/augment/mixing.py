"""Augmentations that mix samples with each other, and their targets likewise."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._rows import one_hot
from nnfs_xp._typing import Array
from nnfs_xp.data.augment.base import Augmentation, check_floats, check_pictures
from nnfs_xp.data.augment.places import counted
from nnfs_xp.data.random import Random
from nnfs_xp.errors import ArgumentError


class Mixing(Augmentation):
    """Base class of those that mix each sample with another one of its batch.

    Parameters
    ----------
    alpha : float
        Shares of the sample are drawn from Beta(alpha, alpha): around a half where alpha is large,
        and near 0 and 1 where it is small.
    n_classes : int, optional
        Needed for labels that are class indices, which become shares of so many classes.

    Raises
    ------
    ArgumentError
        `alpha` or `n_classes` is out of its range. While training: `n_classes` is missing.
    """

    def __init__(self, alpha: float, n_classes: int | None = None) -> None:
        self.alpha = _checks.check_range("alpha", alpha, 0, open_low=True)
        self.n_classes = (
            n_classes if n_classes is None else _checks.check_count("n_classes", n_classes, least=2)
        )

    def __call__(self, batch: tuple[Any, ...], random: Random) -> tuple[Any, ...]:
        xp = random.xp
        x, *others = batch
        if others:
            others[0] = self._shares(others[0], x, random)
        order = random.permutation(x.shape[0])
        shares = xp.astype(random.beta((x.shape[0],), self.alpha), x.dtype, copy=False)
        mixed, shares = self.mixed(x, order, shares, random)
        return mixed, *(mean_of(each, order, shares, random) for each in others)

    @abstractmethod
    def mixed(self, x: Array, order: Array, shares: Array, random: Random) -> tuple[Array, Array]:
        """The samples, each with the one that the order names; and the share of each itself."""
        raise NotImplementedError

    def _shares(self, y: Array, x: Array, random: Random) -> Array:
        """The targets as floats, of class indices the shares of the classes."""
        xp, backend = random.xp, random.backend
        if backend.is_floating(y.dtype):
            return y
        if y.ndim == 1:
            if self.n_classes is None:
                raise ArgumentError(
                    f"{type(self).__name__} makes shares of the classes of labels that are class "
                    "indices. Give `n_classes`, how many there are."
                )
            y = one_hot(xp, y, self.n_classes)
        floats: Array = xp.astype(y, x.dtype)
        return floats


def mean_of(values: Array, order: Array, shares: Array, random: Random) -> Array:
    """Share times value plus the rest times that of the other sample, for each sample."""
    xp = random.xp
    shares = xp.reshape(shares, (-1, *(1,) * (values.ndim - 1)))
    shares = xp.astype(shares, values.dtype, copy=False)
    others = xp.take(values, order, axis=0)
    mean: Array = others + shares * (values - others)
    return mean


class Mixup(Mixing):
    """Each sample mixed with another one of the batch, and its targets likewise.

    Samples may have any shape. Weights of samples are mixed, too.

    Parameters
    ----------
    alpha : float
        Shares of the sample are drawn from Beta(alpha, alpha): around a half where alpha is large,
        and near 0 and 1 where it is small.
    n_classes : int, optional
        Needed for labels that are class indices, which become shares of so many classes. The loss
        must take shares, as `CategoricalCrossentropy` does.

    Raises
    ------
    ArgumentError
        `alpha` or `n_classes` is out of its range. While training: `n_classes` is missing.

    Notes
    -----
    x = share x_i + (1 - share) x_j and y likewise, with a share for each sample and j by a random
    order of the batch. Source: Zhang et al. 2018, *mixup: Beyond Empirical Risk Minimization*,
    equation 1 of section 2, which draws one share for the batch in its code.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.data.augment.Mixup(0.2, n_classes=10)
    Mixup(0.2, n_classes=10)
    """

    def mixed(self, x: Array, order: Array, shares: Array, random: Random) -> tuple[Array, Array]:
        check_floats(x, random)
        return mean_of(x, order, shares, random), shares


class CutMix(Mixing):
    """A rectangle of each picture replaced by that of another one of the batch.

    Targets are mixed by the share of the pixels that stay, and so are weights of samples.

    Parameters
    ----------
    alpha : float
        The share of the picture that is to stay is drawn from Beta(alpha, alpha).
    n_classes : int, optional
        As of `Mixup`.

    Raises
    ------
    ArgumentError
        `alpha` or `n_classes` is out of its range. While training: `n_classes` is missing.

    Notes
    -----
    The rectangle has sqrt(1 - share) of the height and of the width, and any pixel as its middle.
    What reaches beyond an edge is cut off, and the share becomes what is left of the picture.
    Source: Yun et al. 2019, *CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features*, equations 1 and 2.
    """

    def mixed(self, x: Array, order: Array, shares: Array, random: Random) -> tuple[Array, Array]:
        check_pictures(x, random)
        xp, n = random.xp, x.shape[0]
        sides = xp.sqrt(1 - shares)[:, None]
        inside = []
        for length in x.shape[1:3]:
            side = xp.astype(xp.floor(sides * length), xp.int64)
            first = random.integers(0, length, (n, 1)) - (side >> 1)
            places = counted(xp, length, random.backend.device)
            inside.append((places >= first) & (places < first + side))
        rows, columns = inside
        cut = rows[:, :, None, None] & columns[:, None, :, None]
        mixed = xp.where(cut, xp.take(x, order, axis=0), x)
        area = xp.sum(xp.astype(rows, x.dtype), axis=1) * xp.sum(
            xp.astype(columns, x.dtype), axis=1
        )
        return mixed, 1 - area / (x.shape[1] * x.shape[2])
