"""Pooling: the largest number, or the mean, of what each window sees of a channel.

Arrays are pictures of shape (batch, height, width, channels).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from nnfs_xp.kernels.standard.convolution import empty_around, padded, without_padding
from nnfs_xp.kernels.standard.windows import Window

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Namespace


class PoolingKernels(Protocol):
    """The passes of `MaxPool2D`, `AveragePool2D` and of the layers that are made of them."""

    def max_pool(self, xp: Namespace, inputs: Array, window: Window) -> tuple[Array, Array]:
        """The largest number that each window sees, and the tap that sees it.

        Of several taps that do, it is the first. Where a window sees NaN, that is the largest.

        Returns
        -------
        output : array, shape (batch, windows down, windows across, channels)
        which : array of uint8, or of int64 where there are more taps, of the same shape
            For `max_pool_backward`.
        """
        _, height, width, _ = inputs.shape
        dtype = tap_dtype(xp, window)
        around = padded(xp, inputs, window, -inf)
        output = which = None
        for tap, (rows, columns) in enumerate(window.taps(height, width)):
            seen = around[:, rows, columns, :]
            if output is None or which is None:
                output = xp.asarray(seen, copy=True)
                which = xp.zeros(seen.shape, dtype=dtype, device=seen.device)
                continue
            larger = (seen > output) | (seen != seen)  # NaN is no larger number
            output = xp.where(larger, seen, output)
            which = xp.where(larger, xp.asarray(tap, dtype=dtype, device=seen.device), which)
        assert output is not None
        assert which is not None
        return output, which

    def max_pool_backward(
        self, xp: Namespace, dvalues: Array, which: Array, window: Window, shape: tuple[int, ...]
    ) -> Array:
        """The gradient of `max_pool`'s inputs, which have the given shape."""
        _, height, width, _ = shape
        around = empty_around(xp, dvalues, window, shape)
        for tap, (rows, columns) in enumerate(window.taps(height, width)):
            around[:, rows, columns, :] += xp.where(which == tap, dvalues, 0.0)
        return without_padding(around, window, height, width)

    def average_pool(
        self, xp: Namespace, inputs: Array, window: Window, counts_padding: bool
    ) -> Array:
        """The mean of what each window sees, of the padding too if `counts_padding`."""
        _, height, width, _ = inputs.shape
        around = padded(xp, inputs, window)
        seen = [around[:, rows, columns, :] for rows, columns in window.taps(height, width)]
        total = sum(seen[1:], seen[0])
        means: Array = total * shares(xp, inputs, window, inputs.shape, counts_padding)
        return means

    def average_pool_backward(
        self,
        xp: Namespace,
        dvalues: Array,
        window: Window,
        shape: tuple[int, ...],
        counts_padding: bool,
    ) -> Array:
        """The gradient of `average_pool`'s inputs, which have the given shape."""
        _, height, width, _ = shape
        dtotal = dvalues * shares(xp, dvalues, window, shape, counts_padding)
        around = empty_around(xp, dvalues, window, shape)
        for rows, columns in window.taps(height, width):
            around[:, rows, columns, :] += dtotal
        return without_padding(around, window, height, width)


def tap_dtype(xp: Namespace, window: Window) -> Any:
    """The data type that holds the number of a tap."""
    return xp.uint8 if window.size[0] * window.size[1] <= 256 else xp.int64


def shares(
    xp: Namespace, like: Array, window: Window, shape: tuple[int, ...], counts_padding: bool
) -> Any:
    """What one number of those that a window sees counts in their mean."""
    if counts_padding or not any(map(sum, window.padding)):
        return 1 / (window.size[0] * window.size[1])
    down, across = window.n_seen(*shape[1:3])
    each = [[[1 / max(rows * columns, 1)] for columns in across] for rows in down]
    array: Array = xp.asarray(each, dtype=like.dtype, device=like.device)
    return array
