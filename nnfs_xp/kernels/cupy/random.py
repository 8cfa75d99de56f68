"""Random numbers without a state, and masks that are made again instead of kept."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import cupy
import numpy as np

from nnfs_xp.kernels.cupy.compilation import (
    ANY_DTYPE,
    THREADS,
    Array,
    alike,
    blocks_for,
    count,
    launch,
    sweep,
    wide,
)
from nnfs_xp.kernels.standard import StandardKernels
from nnfs_xp.kernels.standard.counts import DeviceKeys
from nnfs_xp.kernels.standard.random import Keys


class Mask(NamedTuple):
    """The numbers that a dropout mask is made from."""

    threshold: int
    keys: Keys


def _arguments(keys: Keys) -> tuple[Any, ...]:
    if isinstance(keys, DeviceKeys):
        words = np.uint64(keys.seed), np.uint64(keys.stream)
        return *count(keys.step), *words, np.uint32(0), np.uint32(0), np.uint32(keys.start)
    words = np.uint64(0), np.uint64(0)
    return *count(0), *words, *map(np.uint32, keys)


def _dropout(values: Array, mask: Mask, scale: float) -> Array:
    output = cupy.empty(values.shape, values.dtype)
    numbers = wide(values.dtype)(scale), np.uint32(mask.threshold), *_arguments(mask.keys)
    sweep("random", "dropout", (values, output), *numbers)
    return output


class RandomKernels(StandardKernels):
    """Random bits, and dropout."""

    def random_bits(self, xp: Any, shape: tuple[int, ...], keys: Keys, device: Any) -> Array:
        bits = cupy.empty(shape, np.int64)
        size = prod(shape)
        numbers = np.int64(size), *_arguments(keys)
        if size:
            launch(
                "random", "random_bits", ANY_DTYPE, (blocks_for(size),), (THREADS,), *numbers, bits
            )
        return bits

    def dropout(
        self, xp: Any, inputs: Array, threshold: int, scale: float, keys: Keys, device: Any
    ) -> tuple[Array, Any]:
        mask = Mask(threshold, keys)
        return self.dropout_backward(xp, inputs, mask, scale), mask

    def dropout_backward(self, xp: Any, dvalues: Array, kept: Any, scale: float) -> Array:
        """Dvalues times scale where kept, else 0; `kept` is a `Mask` of `dropout`, or an array."""
        if isinstance(kept, Mask):
            if alike(dvalues):
                return _dropout(dvalues, kept, scale)
            kept = self.random_bits(xp, dvalues.shape, kept.keys, None) >= kept.threshold
        return super().dropout_backward(xp, dvalues, kept, scale)
