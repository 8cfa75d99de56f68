"""Pooling: the largest number of each window, or the mean of it."""

from __future__ import annotations

from math import prod
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers.base import Shape
from nnfs_xp.layers.footprint import Footprint
from nnfs_xp.layers.windowed import Windowed


class Pool(Windowed):
    """Base class of the layers that pool what windows see: see `MaxPool2D` for the arguments."""

    footprint = Footprint(keeps_inputs=False, keeps_output=False, room=2)

    def __init__(self, size: Any, *, strides: Any = None, padding: Any = "valid") -> None:
        super().__init__(size, size if strides is None else strides, padding, 1)
        self.size = self._said(self._size)
        if not isinstance(self._padding, str):
            for sides, length in zip(self._padding, self._size, strict=True):
                if max(sides) >= length:
                    raise ArgumentError(
                        "`padding` must be smaller than the windows, or one sees nothing else; "
                        f"got {self.padding} around windows of {self.size}."
                    )

    def config(self) -> dict[str, Any]:
        config = super().config()
        return {**config, "strides": None} if self.strides == self.size else config

    def output_shape(self, input_shape: Shape) -> Shape:
        picture = self.check_sample(input_shape)
        return (*self.output_places(picture), picture[-1])


class MaxPool(Pool):
    """Base class of the layers that take the largest number: see `MaxPool2D`."""

    works_in_half = True
    passes_values = True

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_pictures(inputs)
        pictures = self.as_pictures(xp, inputs)
        window = self.window_of(pictures)
        output, which = self.kernels_for(inputs).max_pool(xp, pictures, window)
        output = self.as_given(xp, output)
        if training:
            self.keep(output, which, window, tuple(pictures.shape))
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, which, window, shape = self.recall(dvalues)
        dinputs = self.kernels_for(dvalues).max_pool_backward(
            xp, self.as_pictures(xp, dvalues), which, window, shape
        )
        self.dinputs = self.as_given(xp, dinputs)
        return self.dinputs

    def kept_bytes(self, input_shape: Shape, n_bytes: int) -> int:
        del n_bytes
        n_taps = self._size[0] * self._size[1]
        return (1 if n_taps <= 256 else 8) * prod(self.output_shape(input_shape))  # which


class MaxPool2D(MaxPool):
    """Takes the largest number that each window sees of a channel of pictures.

    Parameters
    ----------
    size : int or pair of int
        Height and width of the windows; a number stands for both.
    strides : int or pair of int, optional
        Rows, and columns, from one window to the next; by default the size, so that windows lie
        side by side.
    padding : {"valid", "same"} or ((top, bottom), (left, right))
        Rows and columns around the pictures, in which nothing is the largest: none; as many as
        give ceil(height / stride) windows; or so many, fewer than a window has.

    Attributes
    ----------
    dinputs : array, shape (batch, height, width, channels)

    Raises
    ------
    ArgumentError
        A setting is none of those above.
    ShapeError, DTypeError, BackendError
        From `forward` and `backward`: arrays that do not fit the layer.
    NotReadyError
        From `backward` without a training `forward` before it.

    Notes
    -----
    Forward: output[n, y, x, c] = the largest of inputs[n, y * s + i, x * s + j, c] over i and j,
    with the strides s. A window that sees NaN gives NaN.

    Backward: dinputs = for each pixel the sum of dvalues over the windows whose largest number it
    was. Of several that are equal, it is the first, row by row.

    Source: Ranzato, Huang, Boureau and LeCun 2007, *Unsupervised Learning of Invariant Feature
    Hierarchies with Applications to Object Recognition*, section 2; Scherer, Müller and Behnke
    2010, *Evaluation of Pooling Operations in Convolutional Architectures for Object Recognition*,
    section 3.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.MaxPool2D(2).output_shape((32, 32, 16))
    (16, 16, 16)
    >>> nn.MaxPool2D(3, strides=2, padding="same").output_shape((28, 28, 8))
    (14, 14, 8)
    """


class MaxPool1D(MaxPool):
    """Takes the largest number that each window sees of a channel of sequences.

    Parameters
    ----------
    size : int
        Steps that a window sees.
    strides : int, optional
        Steps from one window to the next; by default the size.
    padding : {"valid", "same"} or (before, behind)
        As in `MaxPool2D`.

    Attributes
    ----------
    dinputs : array, shape (batch, length, channels)

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, BackendError, NotReadyError
        As by `MaxPool2D`.

    Notes
    -----
    Forward: output[n, t, c] = the largest of inputs[n, t * s + i, c] over i, with the strides s.

    Backward: as in `MaxPool2D`, of pictures of one row.

    Source: Collobert et al. 2011, *Natural Language Processing (Almost) from Scratch*, section
    3.2.2, where one window sees all steps.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.MaxPool1D(2).output_shape((100, 8))
    (50, 8)
    """

    n_axes = 1


class AveragePool(Pool):
    """Base class of the layers that take means: see `AveragePool2D`."""

    works_in_half = True

    def __init__(
        self,
        size: Any,
        *,
        strides: Any = None,
        padding: Any = "valid",
        counts_padding: bool = False,
    ) -> None:
        super().__init__(size, strides=strides, padding=padding)
        self.counts_padding = _checks.check_bool("counts_padding", counts_padding)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_pictures(inputs)
        pictures = self.as_pictures(xp, inputs)
        window = self.window_of(pictures)
        means = self.kernels_for(inputs).average_pool(xp, pictures, window, self.counts_padding)
        output = self.as_given(xp, means)
        if training:
            self.keep(output, window, tuple(pictures.shape))
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, window, shape = self.recall(dvalues)
        dinputs = self.kernels_for(dvalues).average_pool_backward(
            xp, self.as_pictures(xp, dvalues), window, shape, self.counts_padding
        )
        self.dinputs = self.as_given(xp, dinputs)
        return self.dinputs


class AveragePool2D(AveragePool):
    """Takes the mean of what each window sees of a channel of pictures.

    Parameters
    ----------
    size : int or pair of int
        Height and width of the windows; a number stands for both.
    strides : int or pair of int, optional
        Rows, and columns, from one window to the next; by default the size, so that windows lie
        side by side.
    padding : {"valid", "same"} or ((top, bottom), (left, right))
        Rows and columns of zeros around the pictures: none; as many as give ceil(height / stride)
        windows; or so many, fewer than a window has.
    counts_padding : bool
        Whether the zeros count in the means. Keras leaves them out; PyTorch counts them, unless
        told otherwise.

    Attributes
    ----------
    dinputs : array, shape (batch, height, width, channels)

    Raises
    ------
    ArgumentError
        A setting is none of those above.
    ShapeError, DTypeError, BackendError
        From `forward` and `backward`: arrays that do not fit the layer.
    NotReadyError
        From `backward` without a training `forward` before it.

    Notes
    -----
    Forward: output[n, y, x, c] = the sum of inputs[n, y * s + i, x * s + j, c] over i and j,
    divided by their number m[y, x], with the strides s.

    Backward: dinputs = for each pixel the sum of dvalues / m over the windows that see it.

    Source: LeCun et al. 1998, *Gradient-Based Learning Applied to Document Recognition*, section
    II, where a factor and a bias follow.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.AveragePool2D(2).output_shape((32, 32, 16))
    (16, 16, 16)
    """


class AveragePool1D(AveragePool):
    """Takes the mean of what each window sees of a channel of sequences.

    Parameters
    ----------
    size : int
        Steps that a window sees.
    strides : int, optional
        Steps from one window to the next; by default the size.
    padding : {"valid", "same"} or (before, behind)
    counts_padding : bool
        As in `AveragePool2D`.

    Attributes
    ----------
    dinputs : array, shape (batch, length, channels)

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, BackendError, NotReadyError
        As by `AveragePool2D`.

    Notes
    -----
    Forward: output[n, t, c] = the mean of inputs[n, t * s + i, c] over i, with the strides s.

    Backward: as in `AveragePool2D`, of pictures of one row.

    Source: that of `AveragePool2D`.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.AveragePool1D(5, strides=1, padding="same").output_shape((100, 8))
    (100, 8)
    """

    n_axes = 1
