"""Convolutions: the same weights at each place of a picture, or of a sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnfs_xp._typing import Array
from nnfs_xp.layers.activations import ReLU
from nnfs_xp.layers.base import Shape
from nnfs_xp.layers.filters import WithFilters
from nnfs_xp.layers.footprint import Held, Need, Sizes
from nnfs_xp.layers.stages import Stage
from nnfs_xp.parameters import Parameter


class Convolution(WithFilters):
    """Base class of the convolutions: see `Conv2D`, whose arguments it takes."""

    def forward(self, inputs: Array, training: bool = False) -> Array:
        return self._forward(inputs, training, relu=False)

    def _forward(self, inputs: Array, training: bool, *, relu: bool) -> Array:
        xp = self.check_pictures(inputs, self.n_channels)
        pictures = self.as_pictures(xp, inputs)
        window = self.window_of(pictures)
        biases = self.biases if self.use_bias else None
        output = self.as_given(
            xp,
            self.kernels_for(inputs).convolve(xp, pictures, self._filters, biases, window, relu),
        )
        if training:
            self.keep(output, pictures, window)
        return output

    def backward(self, dvalues: Array) -> Array:
        self.backward_parameters(dvalues)
        return self._backward_inputs(dvalues)

    def backward_parameters(self, dvalues: Array) -> None:
        self._gradients_from(dvalues, self.dbiases if self.use_bias else None)

    def _gradients_from(self, dvalues: Array, dbiases: Array | None) -> None:
        """Set the gradient of the weights, and that of the biases where it is wanted."""
        xp, pictures, window = self.recall(dvalues)
        dpictures = self.as_pictures(xp, dvalues)
        # dweights = patches.T @ dvalues, dbiases = the sum of dvalues over batch and places
        # A layer that is frozen as a whole gives all gradients, as any layer does.
        if self.trains("weights") or not self.trained:
            self.kernels_for(dvalues).convolve_gradients(
                xp, pictures, dpictures, self._dfilters, dbiases, window
            )
        elif dbiases is not None:  # only the weights are frozen: a whitening layer, say
            rows = xp.reshape(dpictures, (-1, self.n_filters))
            dbiases[...] = xp.sum(rows, axis=0, keepdims=True)
        self.add_penalties()

    def _backward_inputs(self, dvalues: Array) -> Array:
        xp, pictures, window = self.recall(dvalues)
        # dpatches = dvalues @ weights.T, and dinputs = their sum where they overlap
        dinputs = self.kernels_for(dvalues).convolve_backward(
            xp, self.as_pictures(xp, dvalues), self._filters, window, tuple(pictures.shape)
        )
        self.dinputs = self.as_given(xp, dinputs)
        return self.dinputs

    def extended(self, following: Any, *, keeps_dinputs: bool = True) -> Stage | None:
        del keeps_dinputs
        if self._runs_as_shown and type(following) is ReLU:
            return ConvolutionReLU(self, following)
        return None

    @property
    def _runs_as_shown(self) -> bool:
        """Whether its passes are those of this class."""
        kind, passes = type(self), ("forward", "backward", "backward_parameters")
        return all(getattr(kind, name) is getattr(Convolution, name) for name in passes)

    def output_shape(self, input_shape: Shape) -> Shape:
        picture = self.check_sample(input_shape, self.n_channels)
        return (*self.output_places(picture), self.n_filters)


class Conv2D(Convolution):
    """A convolution of pictures: each filter weighs what a window sees, at each place alike.

    Parameters
    ----------
    n_channels, n_filters : int
        Of the inputs, and of the output.
    kernel_size : int or pair of int
        Height and width of the windows; a number stands for both.
    strides : int or pair of int
        Rows, and columns, from one window to the next.
    padding : {"valid", "same"} or ((top, bottom), (left, right))
        Rows and columns of zeros around the pictures: none; as many as give ceil(height / stride)
        windows; or so many.
    dilation : int or pair of int
        Rows, and columns, from one weight of a filter to the next.
    groups : int
        The channels, and the filters, fall into so many groups; a filter sees only the channels of
        its own group.
    use_bias : bool
        Whether there are biases. Before a `BatchNorm` they are of no use.
    initializer : callable or None
        Draws the weights as a matrix of shape (height * width * channels / groups, filters): see
        `nnfs_xp.initializers`. None leaves them 0, to be assigned. Biases start at 0.
    seed : int, optional
        Of the initial weights; by default they differ from run to run.
    dtype : {"float32", "float64"}
    **options
        Of the weights and biases: `weight_regularizer_l1`, `weight_regularizer_l2`,
        `bias_regularizer_l1`, `bias_regularizer_l2`, `max_norm` (of each filter), `trainable`,
        `weight_decay`, `learning_rate_scale`. `Layer` says what they mean.

    Attributes
    ----------
    weights, dweights : array, shape (height, width, n_channels / groups, n_filters)
    biases, dbiases : array, shape (1, n_filters)
        None without `use_bias`.
    dinputs : array, shape (batch, height, width, n_channels)

    Raises
    ------
    ArgumentError
        `groups` does not divide the channels and the filters, or a setting is none.
    ShapeError, DTypeError, BackendError
        From `forward` and `backward`: arrays that do not fit the layer.
    NotReadyError
        From `backward` without a training `forward` before it.

    Notes
    -----
    Forward: output[n, y, x, k] = biases[k] + the sum over i, j, c of
    inputs[n, y * s + i * d, x * s + j * d, c] * weights[i, j, c, k], with the strides s and the
    dilation d, the inputs padded. With patches, a row of what a window sees for each window:
    output = patches @ weights + biases, as in `Dense`.

    Backward: dweights = patches.T @ dvalues, dbiases = the sum of dvalues over the batch and all
    places, dpatches = dvalues @ weights.T; dinputs = for each pixel the sum of its dpatches in all
    windows that see it.

    The filter is not turned around, so it is a cross-correlation, as in all libraries of the kind.

    Source: LeCun et al. 1998, *Gradient-Based Learning Applied to Document Recognition*, section
    II; as a product of matrices: Chellapilla, Puri and Simard 2006, *High Performance
    Convolutional Neural Networks for Document Processing*, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> import nnfs_xp as nn
    >>> layer = nn.Conv2D(3, 16, 3, padding="same", seed=0)
    >>> layer.forward(np.ones((2, 32, 32, 3), dtype=np.float32)).shape
    (2, 32, 32, 16)
    """


class Conv1D(Convolution):
    """A convolution of sequences: each filter weighs what a window sees, at each place alike.

    Parameters
    ----------
    n_channels, n_filters : int
        Of the inputs, and of the output.
    kernel_size : int
        Steps that a window sees.
    strides : int
        Steps from one window to the next.
    padding : {"valid", "same"} or (before, behind)
        Zeros before and behind the sequences: none; as many as give ceil(length / stride) windows;
        or so many.
    dilation : int
        Steps from one weight of a filter to the next.
    groups, use_bias, initializer, seed, dtype, **options
        As in `Conv2D`.

    Attributes
    ----------
    weights, dweights : array, shape (kernel_size, n_channels / groups, n_filters)
    biases, dbiases : array, shape (1, n_filters)
        None without `use_bias`.
    dinputs : array, shape (batch, length, n_channels)

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, BackendError, NotReadyError
        As by `Conv2D`.

    Notes
    -----
    Forward: output[n, t, k] = biases[k] + the sum over i, c of
    inputs[n, t * s + i * d, c] * weights[i, c, k], with the strides s and the dilation d.

    Backward: as in `Conv2D`, of pictures of one row.

    Source: Waibel et al. 1989, *Phoneme Recognition Using Time-Delay Neural Networks*, section II.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.Conv1D(8, 16, 5, strides=2).output_shape((100, 8))
    (48, 16)
    """

    n_axes = 1
    weights = Parameter(decay=True, norm_axis=(0, 1), is_matrix=True)


class ConvolutionReLU:
    """A convolution and the ReLU behind it, run as one: the same numbers in fewer passes.

    Parameters
    ----------
    convolution : Convolution
    relu : ReLU

    Notes
    -----
    Forward: output = max(patches @ weights + biases, 0).

    Backward: dz = dvalues where output > 0, else 0, and then that of the convolution.
    """

    works_in_half = True

    def __init__(self, convolution: Convolution, relu: ReLU) -> None:
        self.convolution = convolution
        self.relu = relu

    def on(self, replace: Callable[[Any], Any]) -> Stage:
        return ConvolutionReLU(replace(self.convolution), self.relu)

    def extended(self, following: Any, *, keeps_dinputs: bool = True) -> Stage | None:
        del following, keeps_dinputs
        return None

    @property
    def trained(self) -> bool:
        """Whether any of the parameters is trained."""
        return self.convolution.trained

    def _held(self, sizes: Sizes, need: Need) -> Held:
        layer, relu = self.convolution, self.relu
        dinputs = sizes.inputs(layer) if need.backward and need.dinputs else 0.0
        output = sizes.output(layer) * (1 + need.backward)
        return Held({id(layer): dinputs, id(relu): output}, keeps_inputs=True)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        output = self.convolution._forward(inputs, training, relu=True)
        if training:
            self.relu.keep(output, output)
        return output

    def backward(self, dvalues: Array) -> Array:
        return self.convolution._backward_inputs(self._backward(dvalues))

    def backward_parameters(self, dvalues: Array) -> None:
        self._backward(dvalues)

    def _backward(self, dvalues: Array) -> Array:
        """Set the gradients of the parameters; return dz."""
        layer = self.convolution
        xp, output = self.relu.recall(dvalues)
        kernels = layer.kernels_for(dvalues)
        shape = (-1, layer.n_filters)
        rows, outputs = xp.reshape(dvalues, shape), xp.reshape(output, shape)
        if layer.use_bias:
            dz = kernels.relu_backward_biases(xp, rows, outputs, layer.dbiases)
        else:
            dz = kernels.relu_backward(xp, rows, outputs)
        self.relu.dinputs = xp.reshape(dz, dvalues.shape)
        layer._gradients_from(self.relu.dinputs, None)
        return self.relu.dinputs
