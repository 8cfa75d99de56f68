"""Pooling over all places: the largest number of each channel, or the mean."""

from __future__ import annotations

from math import prod

from nnfs_xp._typing import Array, Namespace
from nnfs_xp.errors import ShapeError
from nnfs_xp.layers.base import Layer, Shape
from nnfs_xp.layers.footprint import Footprint


class GlobalPool(Layer):
    """Base class of the layers that leave one number of each channel."""

    footprint = Footprint(keeps_inputs=False, keeps_output=False, room=1)

    def check_inputs(self, inputs: Array, n_features: int | None = None) -> Namespace:
        shape = tuple(inputs.shape)
        if len(shape) < 3:
            raise ShapeError(
                f"`inputs` must have shape (batch, …, channels), with places between; got {shape}."
            )
        return super().check_inputs(inputs, n_features)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 2:
            raise ShapeError(
                f"{self!r} takes samples of shape (…, channels), with places before the channels; "
                f"got {input_shape}."
            )
        return input_shape[-1:]


class GlobalAveragePool(GlobalPool):
    """Takes the mean of each channel over all places of a sample.

    It makes one row of features of pictures, or sequences, of any size.

    Attributes
    ----------
    dinputs : array, shape (batch, …, channels)

    Raises
    ------
    ShapeError, DTypeError, BackendError
        From `forward` and `backward`: arrays that do not fit the layer.
    NotReadyError
        From `backward` without a training `forward` before it.

    Notes
    -----
    Forward: output = the mean of the inputs over the m places between batch and channels, shape
    (batch, channels), from (batch, …, channels).

    Backward: dinputs = dvalues / m at each place.

    Source: Lin, Chen and Yan 2014, *Network In Network*, section 3.2.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.GlobalAveragePool().output_shape((8, 8, 64))
    (64,)
    """

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        output: Array = xp.mean(_places(xp, inputs), axis=1)
        if training:
            self.keep(output, tuple(inputs.shape))
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, shape = self.recall(dvalues)
        n_places = prod(shape[1:-1])
        size = (shape[0], n_places, shape[-1])
        dinputs = xp.empty(size, dtype=dvalues.dtype, device=dvalues.device)
        dinputs[...] = (dvalues / n_places)[:, None, :]
        self.dinputs = xp.reshape(dinputs, shape)
        return self.dinputs


class GlobalMaxPool(GlobalPool):
    """Takes the largest number of each channel over all places of a sample.

    It makes one row of features of pictures, or sequences, of any size.

    Attributes
    ----------
    dinputs : array, shape (batch, …, channels)

    Raises
    ------
    ShapeError, DTypeError, BackendError, NotReadyError
        As by `GlobalAveragePool`.

    Notes
    -----
    Forward: output = the largest of the inputs over the places between batch and channels, shape
    (batch, channels), from (batch, …, channels). NaN anywhere gives NaN.

    Backward: dinputs = dvalues where that number stood, and 0 elsewhere. Of several places that
    are equal, it is the first.

    Source: Collobert et al. 2011, *Natural Language Processing (Almost) from Scratch*, section
    3.2.2; for pictures, Oquab, Bottou, Laptev and Sivic 2015, *Is Object Localization for Free?*,
    section 3.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.GlobalMaxPool().output_shape((100, 16))
    (16,)
    """

    passes_values = True

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        places = _places(xp, inputs)
        output: Array = xp.max(places, axis=1)
        if training:
            largest = (places == output[:, None, :]) | (places != places)  # NaN is no largest
            which = xp.argmax(xp.astype(largest, xp.uint8), axis=1)
            self.keep(output, which, tuple(inputs.shape))
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, which, shape = self.recall(dvalues)
        numbers = xp.arange(prod(shape[1:-1]), dtype=which.dtype, device=which.device)
        here = numbers[None, :, None] == which[:, None, :]
        self.dinputs = xp.reshape(xp.where(here, dvalues[:, None, :], 0.0), shape)
        return self.dinputs

    def kept_bytes(self, input_shape: Shape, n_bytes: int) -> int:
        del n_bytes
        return 8 * prod(self.output_shape(input_shape))  # which, of int64


def _places(xp: Namespace, inputs: Array) -> Array:
    """The inputs in shape (batch, places, channels)."""
    places: Array = xp.reshape(inputs, (inputs.shape[0], -1, inputs.shape[-1]))
    return places
