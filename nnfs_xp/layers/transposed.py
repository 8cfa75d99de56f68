"""Transposed convolutions, which make pictures and sequences larger."""

from __future__ import annotations

from typing import Any, Unpack

from nnfs_xp._typing import Array
from nnfs_xp.backend import get_backend
from nnfs_xp.errors import ArgumentError, ShapeError
from nnfs_xp.initializers import Initializer, by_what_follows
from nnfs_xp.kernels.standard.windows import Pair
from nnfs_xp.layers.base import Shape
from nnfs_xp.layers.filters import WithFilters
from nnfs_xp.parameters import Parameter, WeightAndBiasOptions


class TransposedConvolution(WithFilters):
    """Base class of the transposed convolutions: see `Conv2DTranspose`, whose arguments it takes.

    The window of such a layer is that of the convolution which it is the way back of: it goes over
    the output, and has a place for each pixel of the inputs.
    """

    weights = Parameter(decay=True, norm_axis=(0, 1, 3))

    def __init__(
        self,
        n_channels: int,
        n_filters: int,
        kernel_size: Any,
        *,
        strides: Any = 1,
        padding: Any = "valid",
        output_padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        use_bias: bool = True,
        initializer: Initializer | None = by_what_follows,
        seed: int | None = None,
        dtype: str = "float32",
        **options: Unpack[WeightAndBiasOptions],
    ) -> None:
        super().__init__(
            n_channels,
            n_filters,
            kernel_size,
            strides=strides,
            padding=padding,
            dilation=dilation,
            groups=groups,
            use_bias=use_bias,
            initializer=initializer,
            seed=seed,
            dtype=dtype,
            **options,
        )
        self._more = self._pair("output_padding", output_padding, least=0)
        self.output_padding = self._said(self._more)
        if any(more >= stride for more, stride in zip(self._more, self._strides, strict=True)):
            raise ArgumentError(
                f"`output_padding` must be less than `strides`, {self.strides}; got "
                f"{self.output_padding}."
            )
        if self._padding == "same" and any(self._more):
            raise ArgumentError(
                "with padding='same' the output has the inputs' size times `strides`, and no "
                f"`output_padding`; got {self.output_padding}."
            )

    @property
    def arranged_shape(self) -> tuple[int, ...]:
        *taps, _, n_filters = self.drawn_shape
        return (*taps, n_filters // self.groups, self.n_channels)

    def arranged(self, drawn: Any) -> Any:
        xp = get_backend("numpy").xp
        *taps, each, n_filters = self.drawn_shape
        # (channels of a group, groups, filters of it) to (filters of it, groups, channels of it)
        apart = xp.reshape(drawn, (*taps, each, self.groups, n_filters // self.groups))
        turned = xp.moveaxis(xp.moveaxis(apart, -3, -1), -2, -3)
        return xp.reshape(turned, self.arranged_shape)

    def _norms(self, parameter: Parameter, values: Array) -> Array:
        """As of any layer; a filter has the channels of its own group."""
        del parameter  # the weights are the only one that is bounded
        *taps, n_each, channels = self.arranged_shape
        xp, shape = self.xp, (*taps, n_each, self.groups, channels // self.groups)
        axes = (*range(len(taps)), -1)
        squares = xp.sum(xp.reshape(values * values, shape), axis=axes, keepdims=True)
        repeated = xp.repeat(xp.sqrt(squares), shape[-1], axis=-1)
        norms: Array = xp.reshape(repeated, (*(1,) * len(taps), n_each, channels))
        return norms

    def output_size(self, height: int, width: int) -> Pair:
        """Height and width of the output for pictures of that height and width.

        Raises
        ------
        ShapeError
            The padding leaves nothing of it.
        """
        if self._padding == "same":
            return height * self._strides[0], width * self._strides[1]
        sides = ((0, 0), (0, 0)) if isinstance(self._padding, str) else self._padding
        size = self._size_of(0, height, sides[0]), self._size_of(1, width, sides[1])
        if min(size) < 1:
            raise ShapeError(f"{self!r} cuts off all of its output.")
        return size

    def _size_of(self, axis: int, length: int, sides: Pair) -> int:
        reach = self._dilation[axis] * (self._size[axis] - 1) + 1
        return (length - 1) * self._strides[axis] + reach + self._more[axis] - sum(sides)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_pictures(inputs, self.n_channels)
        pictures = self.as_pictures(xp, inputs)
        size = self.output_size(*pictures.shape[1:3])
        window, shape = self.window(*size), (pictures.shape[0], *size, self.n_filters)
        # products = inputs @ weights, and output = their sum where they overlap, + biases
        output = self.kernels_for(inputs).convolve_backward(
            xp, pictures, self._filters, window, shape
        )
        if self.use_bias:
            output += self.biases
        output = self.as_given(xp, output)
        if training:
            self.keep(output, pictures, window)
        return output

    def backward(self, dvalues: Array) -> Array:
        self.backward_parameters(dvalues)
        xp, _, window = self.recall(dvalues)
        # dinputs = patches of dvalues @ weights.T
        dinputs = self.kernels_for(dvalues).convolve(
            xp, self.as_pictures(xp, dvalues), self._filters, None, window
        )
        self.dinputs = self.as_given(xp, dinputs)
        return self.dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        xp, pictures, window = self.recall(dvalues)
        # dweights = (patches of dvalues).T @ inputs, dbiases = the sum over batch and places
        self.kernels_for(dvalues).convolve_gradients(
            xp, self.as_pictures(xp, dvalues), pictures, self._dfilters, None, window
        )
        if self.use_bias:
            rows = xp.reshape(dvalues, (-1, self.n_filters))
            self.dbiases[...] = xp.sum(rows, axis=0, keepdims=True)
        self.add_penalties()

    def output_shape(self, input_shape: Shape) -> Shape:
        height, width, _ = self.check_sample(input_shape, self.n_channels)
        # An axis that is not known takes the place of one from which something is left.
        sizes = self.output_size(height or self._leaves(0), width or self._leaves(1))
        places = tuple(
            None if known is None else size
            for known, size in zip((height, width), sizes, strict=True)
        )
        return (*places[2 - self.n_axes :], self.n_filters)

    def _leaves(self, axis: int) -> int:
        return 1 if isinstance(self._padding, str) else 1 + sum(self._padding[axis])


class Conv2DTranspose(TransposedConvolution):
    """A convolution's way back, from a small picture to a large one.

    Each pixel of the inputs adds its filters' windows to the output, weighted by its channels:
    what a convolution's backward pass does with its dvalues.

    Parameters
    ----------
    n_channels, n_filters : int
        Of the inputs, and of the output.
    kernel_size : int or pair of int
        Height and width of the windows; a number stands for both.
    strides : int or pair of int
        Rows, and columns, of the output from the window of one pixel to that of the next.
    padding : {"valid", "same"} or ((top, bottom), (left, right))
        Rows and columns that are cut off the output: none; as many as leave height * stride rows;
        or so many.
    output_padding : int or pair of int
        Rows at the bottom, and columns on the right, that the output has more: a stride leaves
        open of which size it is. Less than the strides.
    dilation : int or pair of int
        Rows, and columns, from one weight of a filter to the next.
    groups : int
        The channels, and the filters, fall into so many groups; a filter sees only the channels of
        its own group.
    use_bias : bool
    initializer : callable or None
        Draws the weights as a matrix of shape (height * width * channels / groups, filters): see
        `nnfs_xp.initializers`. None leaves them 0, to be assigned. Biases start at 0.
    seed, dtype, **options
        As in `Conv2D`.

    Attributes
    ----------
    weights, dweights : array, shape (height, width, n_filters / groups, n_channels)
        Those of the convolution that this is the way back of: so the two can be tied.
    biases, dbiases : array, shape (1, n_filters)
        None without `use_bias`.
    dinputs : array, shape (batch, height, width, n_channels)

    Raises
    ------
    ArgumentError
        As by `Conv2D`, or `output_padding` is not less than the strides.
    ShapeError, DTypeError, BackendError, NotReadyError
        As by `Conv2D`.

    Notes
    -----
    Forward: products = inputs @ weights.T, a window for each pixel; output = for each pixel of the
    output the sum of the products of all windows that it lies in, + biases. Without padding its
    height is (height - 1) * stride + dilation * (kernel - 1) + 1 + output_padding.

    Backward: with patches of dvalues, a row for each window, dinputs = patches @ weights,
    dweights = patches.T @ inputs, dbiases = the sum of dvalues over the batch and all places. So
    dinputs is a convolution of dvalues.

    Source: Zeiler et al. 2010, *Deconvolutional Networks*, section 3; Dumoulin and Visin 2016, *A
    guide to convolution arithmetic for deep learning*, chapter 4.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.Conv2DTranspose(16, 3, 4, strides=2, padding="same").output_shape((8, 8, 16))
    (16, 16, 3)
    """


class Conv1DTranspose(TransposedConvolution):
    """A convolution's way back, from a short sequence to a long one: see `Conv2DTranspose`.

    Parameters
    ----------
    n_channels, n_filters : int
        Of the inputs, and of the output.
    kernel_size : int
        Steps of a window.
    strides : int
        Steps of the output from one window to the next.
    padding : {"valid", "same"} or (before, behind)
        Steps that are cut off the output: none; as many as leave length * stride; or so many.
    output_padding : int
        Steps that the output has more at its end; less than the stride.
    dilation : int
        Steps from one weight of a filter to the next.
    groups, use_bias, initializer, seed, dtype, **options
        As in `Conv2DTranspose`.

    Attributes
    ----------
    weights, dweights : array, shape (kernel_size, n_filters / groups, n_channels)
    biases, dbiases : array, shape (1, n_filters)
        None without `use_bias`.
    dinputs : array, shape (batch, length, n_channels)

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, BackendError, NotReadyError
        As by `Conv2DTranspose`.

    Notes
    -----
    Forward and backward: as in `Conv2DTranspose`, of pictures of one row.

    Source: Dumoulin and Visin 2016, *A guide to convolution arithmetic for deep learning*, chapter
    4.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.Conv1DTranspose(8, 4, 3, strides=2).output_shape((10, 8))
    (21, 4)
    """

    n_axes = 1
    weights = Parameter(decay=True, norm_axis=(0, 2))
