"""Convolutions: patches gathered and added up by kernels, around products by cuBLASLt."""

from __future__ import annotations

from math import prod
from typing import Any

import cupy
import numpy as np

from nnfs_xp.kernels.cupy.compilation import TILE, Array, alike, launch, multiprocessors, wide
from nnfs_xp.kernels.cupy.layers import add_biases, add_parts, column_sums
from nnfs_xp.kernels.cupy.products import ProductKernels
from nnfs_xp.kernels.cupy.windows import fits, go_over, is_countable, numbers_of, pitch_of
from nnfs_xp.kernels.standard.convolution import groups
from nnfs_xp.kernels.standard.windows import Window


class ConvolutionKernels(ProductKernels):
    """Convolutions, forward and backward.

    A batch is rarely large enough to be worked on in pieces. Each product is written where it
    belongs, that of a group between those of the others.
    """

    most_patch_numbers = 2**27

    def patches(self, xp: Any, inputs: Array, window: Window) -> Array:
        if window.is_pixel or not fits(window, inputs):
            return super().patches(xp, inputs, window)
        n, height, width, channels = inputs.shape
        rows, length = n * prod(window.places(height, width)), prod(window.size) * channels
        patches = cupy.empty((rows, length), inputs.dtype)
        pitch = pitch_of(inputs)
        go_over("convolution", "patches", window, inputs.shape, inputs, patches, pitch=pitch)
        return patches

    def add_patches(
        self, xp: Any, dpatches: Array, window: Window, shape: tuple[int, ...]
    ) -> Array:
        if window.is_pixel or not (alike(dpatches) and is_countable(window, shape)):
            return super().add_patches(xp, dpatches, window, shape)
        dinputs = cupy.empty(shape, dpatches.dtype)
        _add_patches_into(dpatches, window, dinputs)
        return dinputs

    def convolve(
        self,
        xp: Any,
        inputs: Array,
        weights: Array,
        biases: Array | None,
        window: Window,
        relu: bool = False,
    ) -> Array:
        each, n_filters = weights.shape[2:]
        n, height, width, channels = inputs.shape
        if each == 1 < channels or not (fits(window, inputs) and alike(weights)):
            return super().convolve(xp, inputs, weights, biases, window, relu)
        shape = (n, *window.places(height, width), n_filters)
        output = cupy.empty(shape, inputs.dtype)
        matrix = weights.reshape(-1, n_filters)
        several = each < channels
        for piece in self._pieces(inputs, weights, window):
            rows = output[piece].reshape(-1, n_filters)
            for a, b in groups(channels, each, n_filters):
                patches = self.patches(xp, inputs[piece][..., a], window)
                if several or biases is None:
                    self.matmul_into(xp, patches, matrix[:, b], rows[:, b])
                else:
                    self._dense_into(xp, patches, matrix, biases, rows, relu=relu)
        if several and biases is not None:
            add_biases(output.reshape(-1, n_filters), biases, with_relu=relu)
        return self._completed(xp, output, None, relu and biases is None)

    def convolve_gradients(
        self,
        xp: Any,
        inputs: Array,
        dvalues: Array,
        dweights: Array,
        dbiases: Array | None,
        window: Window,
    ) -> None:
        each, n_filters = dweights.shape[2:]
        channels = inputs.shape[3]
        if each == 1 < channels or not (fits(window, inputs, dvalues) and alike(dweights)):
            super().convolve_gradients(xp, inputs, dvalues, dweights, dbiases, window)
            return
        pieces = list(self._pieces(inputs, dweights, window))
        several = each < channels or len(pieces) > 1
        matrix = dweights.reshape(-1, n_filters)
        if several and dbiases is not None:
            column_sums(xp, dvalues.reshape(-1, n_filters), dbiases)
        for piece in pieces:
            rows = dvalues[piece].reshape(-1, n_filters)
            product = matrix if piece.start == 0 else cupy.empty_like(matrix)
            for a, b in groups(channels, each, n_filters):
                patches = self.patches(xp, inputs[piece][..., a], window)
                if several or dbiases is None:
                    self.matmul_into(xp, patches.T, rows[:, b], product[:, b])
                else:
                    self.dense_gradients(xp, patches, rows, matrix, dbiases)
            if product is not matrix:
                matrix += product

    def convolve_backward(
        self,
        xp: Any,
        dvalues: Array,
        weights: Array,
        window: Window,
        shape: tuple[int, ...],
    ) -> Array:
        each, n_filters = weights.shape[2:]
        channels = shape[3]
        if each == 1 < channels or not (alike(dvalues, weights) and is_countable(window, shape)):
            return super().convolve_backward(xp, dvalues, weights, window, shape)
        dinputs = cupy.empty(shape, dvalues.dtype)
        matrix = weights.reshape(-1, n_filters)
        for piece in self._pieces(dinputs, weights, window):
            rows, part = dvalues[piece].reshape(-1, n_filters), dinputs[piece]
            for a, b in groups(channels, each, n_filters):
                if window.is_pixel:
                    pixels = part.reshape(-1, channels)[:, a]
                    self.matmul_into(xp, rows[:, b], matrix[:, b].T, pixels)
                else:
                    dpatches = self.product(xp, rows[:, b], matrix[:, b].T)
                    _add_patches_into(dpatches, window, part[..., a])
        return dinputs

    def depthwise(self, xp: Any, inputs: Array, weights: Array, window: Window) -> Array:
        if not fits(window, inputs, inputs, weights):
            return super().depthwise(xp, inputs, weights, window)
        n, height, width, channels = inputs.shape
        n_filters = weights.shape[3]
        output = cupy.empty((n, *window.places(height, width), n_filters), inputs.dtype)
        each = n_filters // channels
        arguments = np.int32(each), inputs, weights, output
        go_over("convolution", "depthwise", window, inputs.shape, *arguments, filters=each)
        return output

    def depthwise_gradient(
        self, xp: Any, inputs: Array, dvalues: Array, dweights: Array, window: Window
    ) -> None:
        taps = prod(window.size)
        fit = fits(window, inputs, inputs, dvalues, dweights) and taps <= _MOST_TAPS
        if not fit:
            super().depthwise_gradient(xp, inputs, dvalues, dweights, window)
            return
        channels, n_filters = inputs.shape[3], dweights.shape[3]
        windows = prod(dvalues.shape[:3])
        columns = -(-n_filters // TILE[0])
        device = cupy.cuda.runtime.getDevice()
        wanted = max(1, 4 * multiprocessors(device) // (columns * taps))
        part = max(4 * TILE[1], -(-windows // wanted))
        parts = max(1, -(-windows // part))
        sums = cupy.empty((parts, taps * n_filters), wide(inputs.dtype))
        numbers = np.uint32(windows), np.uint32(part), *numbers_of(window, inputs.shape)
        arguments = np.int32(n_filters // channels), inputs, dvalues, sums
        grid = (columns, parts, taps)
        name = "depthwise_gradient"
        launch("convolution", name, inputs.dtype, grid, TILE, *numbers, *arguments)
        add_parts(sums, dweights)

    def depthwise_backward(
        self,
        xp: Any,
        dvalues: Array,
        weights: Array,
        window: Window,
        shape: tuple[int, ...],
    ) -> Array:
        if not (alike(dvalues, weights) and is_countable(window, shape)):
            return super().depthwise_backward(xp, dvalues, weights, window, shape)
        dinputs = cupy.empty(shape, dvalues.dtype)
        each = weights.shape[3] // shape[3]
        arguments = np.int32(each), dvalues, weights, dinputs
        more = {"pixels": True, "filters": each}
        go_over("convolution", "depthwise_backward", window, shape, *arguments, **more)
        return dinputs


_MOST_TAPS = 65535
"""Blocks along the last axis of a grid."""


def _add_patches_into(dpatches: Array, window: Window, dinputs: Array) -> None:
    """Write to pictures, or to some of their channels, what `add_patches` gives."""
    arrays, pitch = (dpatches, dinputs), pitch_of(dinputs)
    go_over("convolution", "add_patches", window, dinputs.shape, *arrays, pitch=pitch, pixels=True)
