"""Gradients of several batches, added up for one update."""

from __future__ import annotations

from typing import Any

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend


class GradientSums:
    """The gradients of the batches of one step, each times the number of losses it is a mean of.

    Parameters
    ----------
    backend : Backend
    gradients : array
        Like those that are to be added up: the flat buffer of a model.

    Notes
    -----
    With the gradient g_i of batch i, the mean over c_i losses, the step's gradient is
    sum(c_i g_i) / sum(c_i): that of all batches in one.
    """

    def __init__(self, backend: Backend, gradients: Array) -> None:
        xp = backend.xp
        self._xp = xp
        self._total: Array = xp.zeros_like(gradients)
        self._count: Array = xp.zeros((), dtype=gradients.dtype, device=backend.device)

    @property
    def arrays(self) -> tuple[Array, ...]:
        """What is added to, in place."""
        return self._total, self._count

    def add(self, gradients: Array, count: Any) -> None:
        """Add a batch's gradients, the mean over so many losses."""
        self._total += gradients * count
        self._count += count

    def give_mean(self, gradients: Array) -> None:
        """Write the mean over all losses to `gradients`, and begin anew."""
        gradients[...] = self._total / self._xp.maximum(self._count, 1.0)  # 0: of no loss
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._total[...] = 0.0
        self._count[...] = 0.0
