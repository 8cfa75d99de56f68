"""The host's random numbers, with which weights and shuffles are drawn."""

from __future__ import annotations

from operator import index

import numpy as np

from nnfs_xp.errors import ArgumentError


def host_generator(seed: int | None, *stream: int) -> np.random.Generator:
    """The host's random generator, which initial weights and shuffles are drawn from.

    Raises
    ------
    ArgumentError
        The seed is no whole number of at least 0.
    """
    if seed is None:
        return np.random.default_rng()
    try:
        number = -1 if isinstance(seed, bool) else index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise ArgumentError(f"`seed` must be a whole number of at least 0; got {seed!r}.")
    return np.random.default_rng([number, *stream] if stream else number)
