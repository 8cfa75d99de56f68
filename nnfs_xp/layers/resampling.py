"""Pictures made larger: each pixel repeated, or zeros put around them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nnfs_xp._typing import Array
from nnfs_xp.errors import ArgumentError
from nnfs_xp.kernels.standard.windows import Pair
from nnfs_xp.layers.base import Shape
from nnfs_xp.layers.footprint import Footprint
from nnfs_xp.layers.windowed import OnPictures, are_pairs, checked_sides


class Upsample2D(OnPictures):
    """Repeats each pixel of pictures, so that they become larger by a whole factor.

    Parameters
    ----------
    size : int or pair of int
        By what height and width are multiplied; a number stands for both.

    Attributes
    ----------
    dinputs : array, shape (batch, height, width, channels)

    Raises
    ------
    ArgumentError
        `size` is none.
    ShapeError, DTypeError, BackendError
        From `forward` and `backward`: arrays that do not fit the layer.
    NotReadyError
        From `backward` without a training `forward` before it.

    Notes
    -----
    Forward: output[n, y * a + i, x * b + j, c] = inputs[n, y, x, c] for all i < a and j < b, with
    the size (a, b).

    Backward: dinputs[n, y, x, c] = the sum of dvalues[n, y * a + i, x * b + j, c] over i and j.

    Source: Odena, Dumoulin and Olah 2016, *Deconvolution and Checkerboard Artifacts*, where a
    convolution behind it takes the place of a transposed one.

    Examples
    --------
    >>> import numpy as np
    >>> import nnfs_xp as nn
    >>> pictures = np.array([1.0, 2.0]).reshape(1, 1, 2, 1)
    >>> nn.Upsample2D(2).forward(pictures)[0, :, :, 0]
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.]])
    """

    works_in_half = True
    passes_values = True
    footprint = Footprint(keeps_inputs=False, keeps_output=False, room=0)

    def __init__(self, size: Any = 2) -> None:
        super().__init__()
        self._factors = self._pair("size", size)
        self.size = self._said(self._factors)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_pictures(inputs)
        shape = (inputs.shape[0], *self.output_shape(tuple(inputs.shape[1:])))
        output: Array = xp.empty(shape, dtype=inputs.dtype, device=inputs.device)
        for rows, columns in self._copies():
            output[:, rows, columns, :] = inputs
        if training:
            self.keep(output)
        return output

    def backward(self, dvalues: Array) -> Array:
        (xp,) = self.recall(dvalues)
        n, height, width, channels = dvalues.shape
        a, b = self._factors
        shape = (n, height // a, width // b, channels)
        self.dinputs = xp.zeros(shape, dtype=dvalues.dtype, device=dvalues.device)
        for rows, columns in self._copies():
            self.dinputs += dvalues[:, rows, columns, :]
        return self.dinputs

    def _copies(self) -> Iterator[tuple[slice, slice]]:
        """The rows and columns of the output where each of a pixel's copies lies."""
        a, b = self._factors
        for i in range(a):
            for j in range(b):
                yield slice(i, None, a), slice(j, None, b)

    def output_shape(self, input_shape: Shape) -> Shape:
        height, width, channels = self.check_sample(input_shape)
        a, b = self._factors
        return (
            None if height is None else a * height,
            None if width is None else b * width,
            channels,
        )


class ZeroPad2D(OnPictures):
    """Puts rows and columns of zeros around pictures.

    Parameters
    ----------
    padding : int or ((top, bottom), (left, right))
        How many rows above and below, and how many columns left and right; a number stands for
        all four.

    Attributes
    ----------
    dinputs : array, shape (batch, height, width, channels)

    Raises
    ------
    ArgumentError
        `padding` is none.
    ShapeError, DTypeError, BackendError
        From `forward` and `backward`: arrays that do not fit the layer.
    NotReadyError
        From `backward` without a training `forward` before it.

    Notes
    -----
    Forward: output = the inputs with zeros around them, shape (batch, top + height + bottom,
    left + width + right, channels).

    Backward: dinputs = dvalues without what belongs to the zeros.

    Source: Dumoulin and Visin 2016, *A Guide to Convolution Arithmetic for Deep Learning*, section
    2.2.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.ZeroPad2D(((1, 0), (2, 2))).output_shape((28, 28, 1))
    (29, 32, 1)
    """

    works_in_half = True
    passes_values = True
    footprint = Footprint(keeps_inputs=False, keeps_output=False, makes_dinputs=False, room=0)

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self._sides = _sides(padding)
        (top, bottom), (left, right) = self._sides
        is_even = top == bottom == left == right
        self.padding: int | tuple[Pair, Pair] = top if is_even else self._sides

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_pictures(inputs)
        shape = (inputs.shape[0], *self.output_shape(tuple(inputs.shape[1:])))
        output: Array = xp.zeros(shape, dtype=inputs.dtype, device=inputs.device)
        rows, columns = self._within(shape)
        output[:, rows, columns, :] = inputs
        if training:
            self.keep(output)
        return output

    def backward(self, dvalues: Array) -> Array:
        self.recall(dvalues)
        rows, columns = self._within(tuple(dvalues.shape))
        self.dinputs = dvalues[:, rows, columns, :]
        return self.dinputs

    def _within(self, shape: Shape) -> tuple[slice, slice]:
        """The rows and columns of the output where the pictures lie."""
        (top, bottom), (left, right) = self._sides
        return slice(top, shape[1] - bottom), slice(left, shape[2] - right)

    def output_shape(self, input_shape: Shape) -> Shape:
        height, width, channels = self.check_sample(input_shape)
        down, across = (sum(pair) for pair in self._sides)
        return (
            None if height is None else height + down,
            None if width is None else width + across,
            channels,
        )


def _sides(padding: Any) -> tuple[Pair, Pair]:
    if isinstance(padding, (tuple, list)):
        if not are_pairs(padding):
            raise ArgumentError(
                "`padding` must be a whole number or ((top, bottom), (left, right)); got "
                f"{padding!r}."
            )
        return checked_sides(padding)
    return checked_sides(((padding, padding), (padding, padding)))
