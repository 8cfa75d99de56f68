"""Layers that draw random numbers in training."""

from __future__ import annotations

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
    for each layer.

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

    def draw_bits(self, inputs: Array, shape: tuple[int, ...]) -> Array:
        """Random integers in [0, 2**24) on the device of the inputs, and the step counted."""
        backend = self.backend or backend_of(inputs)
        bits = backend.random_bits(shape, seed=self.seed, stream=self.stream, step=self.step)
        self.step += 1
        return bits

    def draw_keys(self) -> Keys:
        """The keys of this forward's random numbers, for the kernels; and the step counted."""
        keys = stream_keys(self.seed, self.stream, self.step)
        self.step += 1
        return keys
