"""Random numbers for what is done to a batch: the same on every backend."""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import Any, TypeAlias

import numpy as np

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.kernels.standard import BITS, hashed, stream_keys

Samples: TypeAlias = "Callable[[], np.ndarray[Any, Any] | None]"

_FIRST_STREAM = 2**32
"""Streams below are those of layers."""

_STREAM_OF_SAMPLES = 2**33
"""The first of those for numbers that belong to samples."""


class Random:
    """Random numbers for one batch: the same on every backend, and again when a training resumes.

    They follow from a seed, the number of the batch and how many arrays of the batch were drawn
    before; nothing is kept. A `Trainer` makes one for each batch and hands it to the `transform`.

    Parameters
    ----------
    backend : Backend
        Where the arrays are to be.
    seed : int
    step : int
        The number of the batch in the training.
    dtype : {"float32", "float64"}
        Of floats.
    epoch : int
        That the batch is of, from 0 on.
    samples : callable (), optional
        Gives the number of each sample of the batch in its data set, or None where that is not
        known.

    Attributes
    ----------
    backend : Backend
    xp : namespace
        Of its arrays.
    epoch : int
    """

    def __init__(
        self,
        backend: Backend,
        seed: int,
        step: int,
        dtype: str = "float32",
        *,
        epoch: int = 0,
        samples: Samples = lambda: None,
    ) -> None:
        self.backend = backend
        self.xp = backend.xp
        self.epoch = epoch
        self._seed = seed
        self._step = step
        self._dtype = dtype
        self._samples = samples
        self._drawn = 0
        self._drawn_of_samples = 0

    @property
    def samples(self) -> Array:
        """The number of each sample of the batch in its data set, int64.

        Raises
        ------
        DataError
            The source of the batches does not tell it.
        """
        found = self._samples()
        if found is None:
            raise DataError(
                "the number of each sample is needed, which the source of batches does not tell. "
                "Train on arrays, or give the source a method samples(epoch, number) that returns "
                "the numbers of the samples of a batch."
            )
        samples: Array = self.backend.asarray(found, "int64")
        return samples

    def bits_of_samples(self) -> Array:
        """Whole numbers from 0 to 2**24 - 1, int64: one a sample, the same in each epoch.

        Raises
        ------
        DataError
            The source of the batches does not tell which samples they hold.
        """
        indices = self.backend.xp.asarray(self.samples, copy=True)
        stream = _STREAM_OF_SAMPLES + self._drawn_of_samples
        self._drawn_of_samples += 1
        first, second, _ = stream_keys(self._seed, stream, 0)
        return hashed(indices, first, second)

    def bits(self, shape: int | tuple[int, ...]) -> Array:
        """Whole numbers from 0 to 2**24 - 1, int64."""
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        stream = _FIRST_STREAM + self._drawn
        self._drawn += 1
        return self.backend.random_bits(shape, seed=self._seed, stream=stream, step=self._step)

    def uniform(self, shape: int | tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Array:
        """Floats in [low, high): low + (high - low) * k / 2**24 with random whole k."""
        shares = self._floats(self.bits(shape)) * 2.0**-BITS
        values: Array = low + (high - low) * shares
        return values

    def normal(
        self, shape: int | tuple[int, ...], mean: float = 0.0, deviation: float = 1.0
    ) -> Array:
        """Normal floats, none beyond 5.8 deviations; those of backends may differ in rounding.

        Notes
        -----
        Source: Box and Muller 1958, *A Note on the Generation of Random Normal Deviates*,
        equation 1.
        """
        xp = self.xp
        u = (self._floats(self.bits(shape)) + 1) * 2.0**-BITS
        v = self.uniform(shape)
        values: Array = mean + deviation * (xp.sqrt(-2 * xp.log(u)) * xp.cos(2 * pi * v))
        return values

    def beta(self, shape: int | tuple[int, ...], alpha: float) -> Array:
        """Floats of the distribution Beta(alpha, alpha); those of backends may differ in rounding.

        Parameters
        ----------
        shape : int or tuple of int
        alpha : float
            Above 0; for 1 they are uniform.

        Notes
        -----
        With u and v uniform, w = u^(1 / alpha), c = cos(2 pi v) and
        q = (1 - w) c^2 / (w + (1 - w) c^2) it is (1 + sqrt(q)) / 2 where c is positive, and else
        (1 - sqrt(q)) / 2, which is (1 - q) / (1 + sqrt(q)) / 2 with no digits lost.

        Source: Bailey 1994, *Polar Generation of Random Variates with the t-Distribution*; and
        Devroye 1996, *Random Variate Generation in One Line of Code*, on symmetric beta variates.
        """
        xp = self.xp
        alpha = _checks.check_range("alpha", alpha, 0, open_low=True)
        if alpha == 1:
            return self.uniform(shape)
        logarithms = xp.log((self._floats(self.bits(shape)) + 1) * 2.0**-BITS) / alpha
        w, rest = xp.exp(logarithms), -xp.expm1(logarithms)
        c = xp.cos(2 * pi * self.uniform(shape))
        squares = rest * c * c
        least = w / (w + squares) / (1 + xp.sqrt(squares / (w + squares))) / 2
        values: Array = xp.where(c < 0, least, 1 - least)
        return values

    def integers(self, low: int, high: int, shape: int | tuple[int, ...]) -> Array:
        """Whole numbers from low to high - 1, int64.

        Raises
        ------
        ArgumentError
            There are none, or more than 2**24.
        """
        n = high - low
        if not 0 < n <= 2**BITS:
            raise ArgumentError(
                f"`high` must be above `low`, by {2**BITS} at most; got {low} and {high}."
            )
        values: Array = low + ((self.bits(shape) * n) >> BITS)
        return values

    def choices(self, probability: float, shape: int | tuple[int, ...]) -> Array:
        """Booleans, each True with that probability."""
        probability = _checks.check_range("probability", probability, 0, 1, closed_high=True)
        chosen: Array = self.bits(shape) < round(probability * 2.0**BITS)
        return chosen

    def permutation(self, n: int) -> Array:
        """The numbers from 0 to n - 1 in a random order, int64."""
        xp = self.xp
        # No two keys are equal, so that every backend sorts them alike.
        keys = self.bits(n) * n + xp.arange(n, dtype=xp.int64, device=self.backend.device)
        order: Array = xp.astype(xp.argsort(keys), xp.int64, copy=False)
        return order

    def _floats(self, values: Array) -> Array:
        floats: Array = self.xp.astype(values, self.backend.dtype(self._dtype))
        return floats
