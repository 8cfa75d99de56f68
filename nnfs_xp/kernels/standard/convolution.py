"""Convolutions: patches of pictures times weights, and what goes back through that.

Arrays are pictures of shape (batch, height, width, channels). The layers in `nnfs_xp.layers` say
what the names mean, and where the formulas are from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from nnfs_xp.kernels.standard.layers import DenseKernels
from nnfs_xp.kernels.standard.windows import Window

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Namespace


class ConvolutionKernels(DenseKernels, Protocol):
    """The passes of `Conv2D` and of the layers that are made of it.

    A convolution works through a batch piece by piece, so that its patches take little room.
    Groups are convolutions of their own; where each channel is a group, they need no products.
    """

    most_patch_numbers: int = 2**20
    """How many numbers the patches of a piece of a batch have at most, if a sample has no more."""

    def patches(self, xp: Namespace, inputs: Array, window: Window) -> Array:
        """What each window sees of the pictures, one row for each.

        Returns
        -------
        array, shape (batch * windows, taps * channels)
            The channels of a tap lie side by side.
        """
        _, height, width, channels = inputs.shape
        if window.is_pixel:
            return reshaped(xp, inputs, (-1, channels))
        around = padded(xp, inputs, window)
        seen = [around[:, rows, columns, :] for rows, columns in window.taps(height, width)]
        return reshaped(xp, xp.concat(seen, axis=3), (-1, len(seen) * channels))

    def add_patches(
        self, xp: Namespace, dpatches: Array, window: Window, shape: tuple[int, ...]
    ) -> Array:
        """The gradient of pictures of a shape: each pixel's sum over the windows that see it."""
        n, height, width, channels = shape
        if window.is_pixel:
            return reshaped(xp, dpatches, shape)
        places = window.places(height, width)
        dseen = reshaped(xp, dpatches, (n, *places, -1))
        around = empty_around(xp, dpatches, window, shape)
        for tap, (rows, columns) in enumerate(window.taps(height, width)):
            around[:, rows, columns, :] += dseen[..., tap * channels : (tap + 1) * channels]
        return without_padding(around, window, height, width)

    def convolve(
        self,
        xp: Namespace,
        inputs: Array,
        weights: Array,
        biases: Array | None,
        window: Window,
        relu: bool = False,
    ) -> Array:
        """Compute the products of patches and weights, and max(…, 0) of them if `relu`.

        Parameters
        ----------
        inputs : array, shape (batch, height, width, channels)
        weights : array, shape (taps down, taps across, channels / groups, filters)
        biases : array or None, shape (1, filters)
        window : Window
        relu : bool

        Returns
        -------
        array, shape (batch, windows down, windows across, filters)
        """
        each, n_filters = weights.shape[2:]
        n, height, width, channels = inputs.shape
        if each < channels:
            if each == 1:
                output = self.depthwise(xp, inputs, weights, window)
            else:
                parts = [
                    self.convolve(xp, inputs[..., a], weights[..., b], None, window)
                    for a, b in groups(channels, each, n_filters)
                ]
                output = xp.concat(parts, axis=3)
            return self._completed(xp, output, biases, relu)
        shape = (n, *window.places(height, width), n_filters)
        matrix = reshaped(xp, weights, (-1, n_filters))
        if window.is_pixel:
            rows = self._product(xp, self.patches(xp, inputs, window), matrix, biases, relu)
            return reshaped(xp, rows, shape)
        output = empty(xp, inputs, shape)
        for piece in self._pieces(inputs, weights, window):
            patches = self.patches(xp, inputs[piece, ...], window)
            rows = self._product(xp, patches, matrix, biases, relu)
            output[piece, ...] = reshaped(xp, rows, (-1, *shape[1:]))
        return output

    def convolve_gradients(
        self,
        xp: Namespace,
        inputs: Array,
        dvalues: Array,
        dweights: Array,
        dbiases: Array | None,
        window: Window,
    ) -> None:
        """Write patches.T @ dvalues to `dweights`, and the sum of dvalues to `dbiases`.

        The shapes are those of `convolve`.
        """
        each, n_filters = dweights.shape[2:]
        channels = inputs.shape[3]
        if dbiases is not None:
            rows = reshaped(xp, dvalues, (-1, n_filters))
            dbiases[...] = xp.sum(rows, axis=0, keepdims=True)
        if each == 1 < channels:
            self.depthwise_gradient(xp, inputs, dvalues, dweights, window)
            return
        if each < channels:
            for a, b in groups(channels, each, n_filters):
                part = xp.empty_like(dweights[..., b])
                self.convolve_gradients(xp, inputs[..., a], dvalues[..., b], part, None, window)
                dweights[..., b] = part
            return
        matrix = reshaped(xp, dweights, (-1, n_filters))
        room = None
        for piece in self._pieces(inputs, dweights, window):
            patches = self.patches(xp, inputs[piece, ...], window)
            rows = reshaped(xp, dvalues[piece, ...], (-1, n_filters))
            if room is None:
                self.matmul_into(xp, patches.T, rows, matrix)
                room = xp.empty_like(matrix)
            else:
                self.matmul_into(xp, patches.T, rows, room)
                matrix += room
        dweights[...] = reshaped(xp, matrix, dweights.shape)

    def convolve_backward(
        self,
        xp: Namespace,
        dvalues: Array,
        weights: Array,
        window: Window,
        shape: tuple[int, ...],
    ) -> Array:
        """The gradient of a convolution's inputs, which have the given shape."""
        each, n_filters = weights.shape[2:]
        channels = shape[3]
        if each == 1 < channels:
            return self.depthwise_backward(xp, dvalues, weights, window, shape)
        if each < channels:
            part = (*shape[:3], each)
            parts = [
                self.convolve_backward(xp, dvalues[..., b], weights[..., b], window, part)
                for _, b in groups(channels, each, n_filters)
            ]
            joined: Array = xp.concat(parts, axis=3)
            return joined
        matrix = reshaped(xp, weights, (-1, n_filters))
        if window.is_pixel:
            rows = self.product(xp, reshaped(xp, dvalues, (-1, n_filters)), matrix.T)
            return reshaped(xp, rows, shape)
        dinputs = empty(xp, dvalues, shape)
        for piece in self._pieces(dinputs, weights, window):
            rows = reshaped(xp, dvalues[piece, ...], (-1, n_filters))
            dpatches = self.product(xp, rows, matrix.T)
            part = (piece.stop - piece.start, *shape[1:])
            dinputs[piece, ...] = self.add_patches(xp, dpatches, window, part)
        return dinputs

    def depthwise(self, xp: Namespace, inputs: Array, weights: Array, window: Window) -> Array:
        """Compute the sum over the taps of what each channel's windows see, times its weights.

        Parameters
        ----------
        inputs : array, shape (batch, height, width, channels)
        weights : array, shape (taps down, taps across, 1, channels * filters of each)
        window : Window

        Returns
        -------
        array, shape (batch, windows down, windows across, channels * filters of each)
        """
        _, height, width, channels = inputs.shape
        factors = reshaped(xp, weights, (-1, channels, weights.shape[3] // channels))
        around = padded(xp, inputs, window)
        output = None
        for tap, (rows, columns) in enumerate(window.taps(height, width)):
            term = around[:, rows, columns, :, None] * factors[tap, ...]
            output = term if output is None else output + term
        assert output is not None
        return reshaped(xp, output, (*output.shape[:3], -1))

    def depthwise_gradient(
        self, xp: Namespace, inputs: Array, dvalues: Array, dweights: Array, window: Window
    ) -> None:
        """Write the sums of dvalues times what each tap saw to `dweights`."""
        _, height, width, channels = inputs.shape
        n_each = dweights.shape[3] // channels
        around = padded(xp, inputs, window)
        dproducts = reshaped(xp, dvalues, (*dvalues.shape[:3], channels, n_each))
        sums = [
            xp.sum(dproducts * around[:, rows, columns, :, None], axis=(0, 1, 2))
            for rows, columns in window.taps(height, width)
        ]
        dweights[...] = reshaped(xp, xp.stack(sums), dweights.shape)

    def depthwise_backward(
        self,
        xp: Namespace,
        dvalues: Array,
        weights: Array,
        window: Window,
        shape: tuple[int, ...],
    ) -> Array:
        """The gradient of `depthwise`'s inputs, which have the given shape."""
        _, height, width, channels = shape
        n_each = weights.shape[3] // channels
        factors = reshaped(xp, weights, (-1, channels, n_each))
        dproducts = reshaped(xp, dvalues, (*dvalues.shape[:3], channels, n_each))
        around = empty_around(xp, dvalues, window, shape)
        for tap, (rows, columns) in enumerate(window.taps(height, width)):
            around[:, rows, columns, :] += xp.sum(dproducts * factors[tap, ...], axis=4)
        return without_padding(around, window, height, width)

    def _product(
        self, xp: Namespace, patches: Array, matrix: Array, biases: Array | None, relu: bool
    ) -> Array:
        if biases is None:
            product = self.product(xp, patches, matrix)
            return self._completed(xp, product, None, relu)
        dense = self.dense_relu if relu else self.dense
        return dense(xp, patches, matrix, biases)

    def _completed(self, xp: Namespace, output: Array, biases: Array | None, relu: bool) -> Array:
        """What a convolution without biases gave, with biases and ReLU; may write to it."""
        if relu and biases is not None:
            rows = self.bias_relu(xp, reshaped(xp, output, (-1, output.shape[-1])), biases)
            return reshaped(xp, rows, tuple(output.shape))
        if biases is not None:
            output += biases
        if relu:
            # In bfloat16, CuPy's maximum gives float32.
            completed: Array = xp.astype(xp.maximum(output, 0.0), output.dtype, copy=False)
            return completed
        return output

    def _pieces(self, inputs: Array, weights: Array, window: Window) -> Iterator[slice]:
        """The parts of a batch that a convolution works on one after the other."""
        down, across = window.places(*inputs.shape[1:3])
        numbers = down * across * weights.shape[0] * weights.shape[1] * weights.shape[2]
        n, size = inputs.shape[0], max(1, self.most_patch_numbers // numbers)
        for start in range(0, n, size):
            yield slice(start, min(start + size, n))


def reshaped(xp: Namespace, array: Array, shape: tuple[int, ...]) -> Array:
    """The array in another shape, typed."""
    result: Array = xp.reshape(array, shape)
    return result


def empty(xp: Namespace, like: Array, shape: tuple[int, ...]) -> Array:
    """An array of that shape, to be written."""
    result: Array = xp.empty(shape, dtype=like.dtype, device=like.device)
    return result


def groups(channels: int, each: int, n_filters: int) -> Iterator[tuple[slice, slice]]:
    """The channels of each group, and its filters."""
    n_groups = channels // each
    filters = n_filters // n_groups
    for group in range(n_groups):
        yield (
            slice(group * each, (group + 1) * each),
            slice(group * filters, (group + 1) * filters),
        )


def padded(xp: Namespace, inputs: Array, window: Window, value: float = 0.0) -> Array:
    """The pictures with their padding around them."""
    if not any(map(sum, window.padding)):
        return inputs
    n, height, width, channels = inputs.shape
    shape = (n, *window.padded(height, width), channels)
    around: Array = xp.full(shape, value, dtype=inputs.dtype, device=inputs.device)
    (top, _), (left, _) = window.padding
    around[:, top : top + height, left : left + width, :] = inputs
    return around


def empty_around(xp: Namespace, like: Array, window: Window, shape: tuple[int, ...]) -> Array:
    """Pictures of a shape with their padding, all 0."""
    n, height, width, channels = shape
    shape = (n, *window.padded(height, width), channels)
    around: Array = xp.zeros(shape, dtype=like.dtype, device=like.device)
    return around


def without_padding(around: Array, window: Window, height: int, width: int) -> Array:
    """The pictures within their padding."""
    (top, _), (left, _) = window.padding
    inner: Array = around[:, top : top + height, left : left + width, :]
    return inner
