"""Convolutions in which each channel has filters of its own, and those made of them."""

from __future__ import annotations

from typing import Any, Unpack

from nnfs_xp import _checks
from nnfs_xp.initializers import Initializer, by_what_follows
from nnfs_xp.layers.convolution import Conv2D, Convolution
from nnfs_xp.layers.sequential import Block
from nnfs_xp.parameters import WeightAndBiasOptions


class DepthwiseConv2D(Convolution):
    """A convolution of pictures in which each filter sees one channel only.

    Parameters
    ----------
    n_channels : int
    kernel_size : int or pair of int
        Height and width of the windows; a number stands for both.
    multiplier : int
        How many filters there are for each channel: those of the first channel come first.
    strides, padding, dilation
        As in `Conv2D`.
    use_bias : bool
    initializer : callable or None
        Draws the weights as a matrix of shape (height * width, n_channels * multiplier): see
        `nnfs_xp.initializers`. None leaves them 0, to be assigned. Biases start at 0.
    seed, dtype, **options
        As in `Conv2D`.

    Attributes
    ----------
    weights, dweights : array, shape (height, width, 1, n_channels * multiplier)
    biases, dbiases : array, shape (1, n_channels * multiplier)
        None without `use_bias`.
    dinputs : array, shape (batch, height, width, n_channels)

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, BackendError, NotReadyError
        As by `Conv2D`.

    Notes
    -----
    Forward: output[n, y, x, k] = biases[k] + the sum over i, j of
    inputs[n, y * s + i * d, x * s + j * d, c] * weights[i, j, 0, k], with c = k // multiplier, the
    strides s and the dilation d, the inputs padded. It is a `Conv2D` whose groups have one channel
    each; so there are no products of matrices.

    Backward: dweights[i, j, 0, k] = the sum over n, y, x of dvalues[n, y, x, k] and what it was
    multiplied by; dbiases = the sum of dvalues over the batch and all places; dinputs = for each
    pixel the sum of dvalues times weights over all windows that see it, and over the filters of its
    channel.

    Source: Sifre 2014, *Rigid-Motion Scattering for Image Classification*, section 6.2; Chollet
    2017, *Xception: Deep Learning with Depthwise Separable Convolutions*, section 1.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> layer = nn.DepthwiseConv2D(8, 3, multiplier=2, padding="same", seed=0)
    >>> layer.weights.shape, layer.output_shape((32, 32, 8))
    ((3, 3, 1, 16), (32, 32, 16))
    """

    def __init__(
        self,
        n_channels: int,
        kernel_size: Any,
        *,
        multiplier: int = 1,
        strides: Any = 1,
        padding: Any = "valid",
        dilation: Any = 1,
        use_bias: bool = True,
        initializer: Initializer | None = by_what_follows,
        seed: int | None = None,
        dtype: str = "float32",
        **options: Unpack[WeightAndBiasOptions],
    ) -> None:
        n_channels = _checks.check_count("n_channels", n_channels)
        self.multiplier = _checks.check_count("multiplier", multiplier)
        super().__init__(
            n_channels,
            n_channels * self.multiplier,
            kernel_size,
            strides=strides,
            padding=padding,
            dilation=dilation,
            groups=n_channels,
            use_bias=use_bias,
            initializer=initializer,
            seed=seed,
            dtype=dtype,
            **options,
        )

    def config(self) -> dict[str, Any]:
        implied = "n_filters", "groups"
        return {name: value for name, value in super().config().items() if name not in implied}


class SeparableConv2D(Block):
    """A convolution in two steps: within each channel, and then across channels at each pixel.

    Parameters
    ----------
    n_channels, n_filters : int
        Of the inputs, and of the output.
    kernel_size : int or pair of int
        Height and width of the windows; a number stands for both.
    multiplier : int
        How many channels the first step makes of each.
    strides, padding, dilation
        Of the first step, as in `Conv2D`.
    use_bias : bool
        Whether the second step has biases; the first has none.
    initializer : callable or None
        Of both steps: see `DepthwiseConv2D` and `Conv2D`.
    seed : int, optional
        Draws the parameters of both anew, from one generator.
    dtype : {"float32", "float64"}
    **options
        Of the weights of both steps, and of the biases: see `Conv2D`.

    Attributes
    ----------
    layers : tuple of Layer
        A `DepthwiseConv2D`, and a `Conv2D` with windows of one pixel.
    dinputs : array, shape (batch, height, width, n_channels)

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, BackendError, NotReadyError
        As by `Conv2D`.

    Notes
    -----
    Forward: output = pointwise(depthwise(inputs)). With k x k windows it multiplies
    multiplier * n_channels * (k * k + n_filters) times at each place, and not
    k * k * n_channels * n_filters times as a `Conv2D` does.

    Backward: that of the two layers, one after the other.

    Source: Chollet 2017, *Xception: Deep Learning with Depthwise Separable Convolutions*, section
    1; Howard et al. 2017, *MobileNets*, section 3.1, equations 2 to 5.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> layer = nn.SeparableConv2D(32, 64, 3, padding="same", seed=0)
    >>> [part.weights.shape for part in layer.layers]
    [(3, 3, 1, 32), (1, 1, 32, 64)]
    """

    def __init__(
        self,
        n_channels: int,
        n_filters: int,
        kernel_size: Any,
        *,
        multiplier: int = 1,
        strides: Any = 1,
        padding: Any = "valid",
        dilation: Any = 1,
        use_bias: bool = True,
        initializer: Initializer | None = by_what_follows,
        seed: int | None = None,
        dtype: str = "float32",
        **options: Unpack[WeightAndBiasOptions],
    ) -> None:
        of_weights: Any = {k: v for k, v in options.items() if not k.startswith("bias_")}
        depthwise = DepthwiseConv2D(
            n_channels,
            kernel_size,
            multiplier=multiplier,
            strides=strides,
            padding=padding,
            dilation=dilation,
            use_bias=False,
            initializer=initializer,
            dtype=dtype,
            **of_weights,
        )
        pointwise = Conv2D(
            depthwise.n_filters,
            n_filters,
            1,
            use_bias=use_bias,
            initializer=initializer,
            dtype=dtype,
            **options,
        )
        super().__init__(depthwise, pointwise, seed=seed)
        self.n_channels, self.n_filters = depthwise.n_channels, pointwise.n_filters
        self.kernel_size, self.multiplier = depthwise.kernel_size, depthwise.multiplier
        self.strides, self.padding = depthwise.strides, depthwise.padding
        self.dilation, self.use_bias = depthwise.dilation, pointwise.use_bias

    @classmethod
    def takes_layers(cls) -> bool:
        return False
