"""Pooling: each window's largest number, or its mean, in one pass."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from nnfs_xp.kernels.cupy.compilation import Array
from nnfs_xp.kernels.cupy.windows import fits, go_over, is_countable, pitch_of
from nnfs_xp.kernels.standard import StandardKernels
from nnfs_xp.kernels.standard.windows import Window

_MOST_TAPS = 256
"""That a byte tells apart."""


def _windows_fit(window: Window, shape: tuple[int, ...], windows: Array) -> bool:
    """Whether kernels take an array of windows over pictures of a shape."""
    n, height, width, channels = shape
    places = (n, *window.places(height, width), channels)
    return (
        fits(window, windows, windows) and windows.shape == places and is_countable(window, shape)
    )


def _counts_all(window: Window, counts_padding: bool) -> np.int32:
    return np.int32(counts_padding or not any(map(sum, window.padding)))


class PoolingKernels(StandardKernels):
    """Pools, forward and backward."""

    def max_pool(self, xp: Any, inputs: Array, window: Window) -> tuple[Array, Array]:
        if not fits(window, inputs) or window.size[0] * window.size[1] > _MOST_TAPS:
            return super().max_pool(xp, inputs, window)
        n, height, width, channels = inputs.shape
        shape = (n, *window.places(height, width), channels)
        output, which = cupy.empty(shape, inputs.dtype), cupy.empty(shape, np.uint8)
        arrays = inputs, output, which
        pitch = pitch_of(inputs)
        go_over("pooling", "max_pool", window, inputs.shape, *arrays, pitch=pitch)
        return output, which

    def max_pool_backward(
        self, xp: Any, dvalues: Array, which: Array, window: Window, shape: tuple[int, ...]
    ) -> Array:
        small = which.dtype == np.uint8 and which.flags.c_contiguous
        if not (_windows_fit(window, shape, dvalues) and small):
            return super().max_pool_backward(xp, dvalues, which, window, shape)
        dinputs = cupy.empty(shape, dvalues.dtype)
        arrays = dvalues, which, dinputs
        go_over("pooling", "max_pool_backward", window, shape, *arrays, pixels=True)
        return dinputs

    def average_pool(self, xp: Any, inputs: Array, window: Window, counts_padding: bool) -> Array:
        if not fits(window, inputs):
            return super().average_pool(xp, inputs, window, counts_padding)
        n, height, width, channels = inputs.shape
        output = cupy.empty((n, *window.places(height, width), channels), inputs.dtype)
        arguments = _counts_all(window, counts_padding), inputs, output
        pitch = pitch_of(inputs)
        go_over("pooling", "average_pool", window, inputs.shape, *arguments, pitch=pitch)
        return output

    def average_pool_backward(
        self,
        xp: Any,
        dvalues: Array,
        window: Window,
        shape: tuple[int, ...],
        counts_padding: bool,
    ) -> Array:
        if not _windows_fit(window, shape, dvalues):
            return super().average_pool_backward(xp, dvalues, window, shape, counts_padding)
        dinputs = cupy.empty(shape, dvalues.dtype)
        arguments = _counts_all(window, counts_padding), dvalues, dinputs
        go_over("pooling", "average_pool_backward", window, shape, *arguments, pixels=True)
        return dinputs
