"""Layers that draw random numbers in training."""

from __future__ import annotations

from math import prod
from typing import Any

from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of, host_generator
from nnfs_xp.errors import NotReadyError
from nnfs_xp.kernels.standard.random import Keys, stream_keys
from nnfs_xp.layers.base import Layer


class StochasticLayer(Layer):
    """Base class of the layers that draw random numbers in each training forward.

    They are drawn on the device, by hashing (seed, stream, step, element): the same on every
    backend, and the same again when a run continues. A `Trainer` sets the seed, and a stream
    for each layer. Where several processes train on a batch, each draws what one alone would draw
    for its rows.

    Parameters
    ----------
    seed : int, optional
        By default the numbers differ from run to run.

    Attributes
    ----------
    step : int
        Training forwards so far: what the next numbers depend on besides seed and stream.
    """

    def __init__(self, *, seed: int | None = None) -> None:
        super().__init__()
        self.initialize(host_generator(seed))

    def initialize(self, generator: Any) -> None:
        """Draw the seed."""
        self.reseed(int(generator.integers(2**63)), stream=0)

    def reseed(self, seed: int, stream: int, step: int = 0) -> None:
        self.seed, self.stream, self.step = seed, stream, step

    def silence(self) -> None:
        """Draw nothing any more that changes the inputs: training then does what inference does.

        Raises
        ------
        NotReadyError
            The class does not say how: it is to override this.
        """
        raise NotReadyError(f"{type(self).__name__} does not say how to `silence` it.")

    def draw_bits(self, inputs: Array, shape: tuple[int, ...], *, per_sample: bool = True) -> Array:
        """Random integers in [0, 2**24) on the device of the inputs, and the step counted.

        Parameters
        ----------
        inputs : array, shape (batch, …)
        shape : tuple of int
            (batch, …), or that of the inputs with more axes before it.
        per_sample : bool
            False where the numbers belong to no sample: a mask for all of them, say.
        """
        backend = self.backend or backend_of(inputs)
        keys = {"seed": self.seed, "stream": self.stream, "step": self.step}
        self.step += 1
        axis = _batch_axis(tuple(inputs.shape), shape) if per_sample else None
        if self.share is None or axis is None:
            return backend.random_bits(shape, **keys)
        n, size = shape[axis], prod(shape[axis + 1 :])
        first, whole = self.share.first_of(n), self.share.rows(n)
        starts = [(place * whole + first) * size for place in range(prod(shape[:axis]))]
        parts = [backend.random_bits(shape[axis:], start=start, **keys) for start in starts]
        xp = backend.xp
        bits: Array = xp.reshape(xp.stack(parts), shape) if axis else parts[0]
        return bits

    def draw_keys(self, inputs: Array) -> Keys:
        """The keys of this forward's random numbers, for the kernels; and the step counted.

        Parameters
        ----------
        inputs : array, shape (batch, …)
            A number is drawn for each of its elements.
        """
        n = inputs.shape[0]
        start = 0 if self.share is None else self.share.first_of(n) * prod(inputs.shape[1:])
        keys = stream_keys(self.seed, self.stream, self.step, start)
        self.step += 1
        return keys


def _batch_axis(inputs: tuple[int, ...], shape: tuple[int, ...]) -> int | None:
    """Which axis of what is drawn for the inputs is that of samples."""
    axis = len(shape) - len(inputs)
    if axis >= 0 and shape[axis:] == inputs:
        return axis
    return 0 if shape[:1] == inputs[:1] else None
