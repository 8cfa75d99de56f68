"""Layers that change the shape of samples and no value."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.errors import ArgumentError, ShapeError
from nnfs_xp.layers.base import Layer, Shape
from nnfs_xp.layers.footprint import Footprint


class Flatten(Layer):
    """Lays out each sample as one row of features, the last axis fastest.

    Notes
    -----
    Forward: output = inputs in shape (batch, features), from (batch, ...).

    Backward: dinputs = dvalues in the inputs' shape.
    """

    passes_values = True
    works_in_half = True
    footprint = Footprint(
        keeps_inputs=False, keeps_output=False, makes_output=False, makes_dinputs=False, room=0
    )

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        shape = tuple(inputs.shape)
        output: Array = xp.reshape(inputs, (shape[0], prod(shape[1:])))
        if training:
            self.keep(output, shape)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, shape = self.recall(dvalues)
        self.dinputs = xp.reshape(dvalues, shape)
        return self.dinputs

    def output_shape(self, input_shape: Shape) -> Shape:
        known = [axis for axis in input_shape if axis is not None]
        return (prod(known) if len(known) == len(input_shape) else None,)


class Reshape(Layer):
    """Gives each sample another shape, its values in the same order, the last axis fastest.

    Parameters
    ----------
    shape : int or tuple of int
        Of a sample, without the batch. One axis may be -1: it is as long as it has to be.

    Raises
    ------
    ArgumentError
        `shape` is none.
    ShapeError
        From `forward`: a sample has not so many values.

    Notes
    -----
    Forward: output = inputs in the shape (batch, …) that ends in `shape`, from (batch, ...).

    Backward: dinputs = dvalues in the inputs' shape.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.Reshape((8, 8, -1)).output_shape((64,))
    (8, 8, 1)
    """

    passes_values = True
    works_in_half = True
    footprint = Flatten.footprint

    def __init__(self, shape: int | Sequence[int]) -> None:
        super().__init__()
        self.shape = _checked_shape(shape)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs)
        shape = tuple(inputs.shape)
        output: Array = xp.reshape(inputs, (shape[0], *self.output_shape(shape[1:])))
        if training:
            self.keep(output, shape)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, shape = self.recall(dvalues)
        self.dinputs = xp.reshape(dvalues, shape)
        return self.dinputs

    def output_shape(self, input_shape: Shape) -> Shape:
        n_known = prod(n for n in self.shape if n != -1)
        rest: int | None = None
        if None not in input_shape:
            rest, left = divmod(prod(input_shape), n_known)
            if left or (rest != 1 and -1 not in self.shape):
                wanted = "a multiple of " if -1 in self.shape else ""
                raise ShapeError(
                    f"{self!r} takes samples of {wanted}{n_known} values; got shape {input_shape}, "
                    f"{prod(input_shape)} values."
                )
        return tuple(rest if n == -1 else n for n in self.shape)


def _checked_shape(shape: Any) -> tuple[int, ...]:
    """Refuse what is no shape of a sample, in which one axis may be -1."""
    axes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not axes or sum(1 for n in axes if n == -1) > 1:
        raise ArgumentError(
            "`shape` must be the shape of a sample, in which one axis at most may be -1; got "
            f"{_checks.quoted(shape)}."
        )
    return tuple(-1 if n == -1 else _checks.check_count("shape", n) for n in axes)


class Columns(Layer):
    """Passes on some of each sample's features: those from one number up to another.

    With `Concatenate`, a model treats columns differently: numbers and codes, for example.

    Parameters
    ----------
    start, stop : int
        The first feature that is passed on, from 0 on, and the first behind them that is not.

    Raises
    ------
    ShapeError
        From `forward`: the samples have fewer features.

    Notes
    -----
    Forward: output = inputs[..., start:stop], shape (batch, …, stop - start).

    Backward: dinputs = dvalues where these features stand, and 0 elsewhere.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> numbers = nn.Sequential(nn.Columns(0, 5), nn.PeriodicEmbedding(5))
    >>> makes = nn.Sequential(nn.Columns(5, 6), nn.Embedding(30, 8), nn.Flatten())
    >>> cars = nn.Concatenate(numbers, makes, input_shape=6, seed=0)
    >>> cars.output_shape((6,))
    (28,)
    """

    passes_values = True
    footprint = Footprint(keeps_inputs=False, keeps_output=False, makes_output=False, room=0)

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start = _checks.check_count("start", start, least=0)
        self.stop = _checks.check_count("stop", stop)
        if self.stop <= self.start:
            raise ArgumentError(f"`stop` must be above `start`, {self.start}; got {self.stop}.")

    def forward(self, inputs: Array, training: bool = False) -> Array:
        self.check_inputs(inputs)
        self._check_width(tuple(inputs.shape))
        output: Array = inputs[..., self.start : self.stop]
        if training:
            self.keep(output, inputs.shape[-1])
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, width = self.recall(dvalues)
        shape = (*dvalues.shape[:-1], width)
        self.dinputs = xp.zeros(shape, dtype=dvalues.dtype, device=dvalues.device)
        self.dinputs[..., self.start : self.stop] = dvalues
        return self.dinputs

    def _check_width(self, shape: Shape) -> None:
        if shape[-1] is not None and shape[-1] < self.stop:
            raise ShapeError(
                f"{self!r} takes samples of at least {self.stop} features; got {shape[-1]}."
            )

    def output_shape(self, input_shape: Shape) -> Shape:
        self._check_width(input_shape)
        return (*input_shape[:-1], self.stop - self.start)
