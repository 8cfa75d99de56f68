"""The losses of the present epoch's steps, which stay on the device until they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnfs_xp.backend import to_numpy
from nnfs_xp.learning import Learner
from nnfs_xp.learning.epoch import Epoch


class StepLosses:
    """Knows which steps the losses in an `Epoch` belong to, as the training tells it.

    Parameters
    ----------
    learner : Learner
    epoch : Epoch
        Has the losses of its batches.
    steps_made : callable ()
        How many steps of the present epoch were made.

    Attributes
    ----------
    last_batches : int
        How many batches the last step was made on.
    """

    def __init__(self, learner: Learner, epoch: Epoch, steps_made: Callable[[], int]) -> None:
        self._learner = learner
        self._epoch = epoch
        self._steps_made = steps_made
        self.begin_epoch(0)

    def begin_epoch(self, n_passed: int) -> None:
        """Note that an epoch begins, or goes on where so many of its steps were made before."""
        self._first = n_passed
        self._before = self._learner.optimizer.iterations - n_passed
        self.last_batches = self._epoch.accumulate
        self._n_batches: int | None = None
        self._kept: np.ndarray[Any, Any] | None = None

    def end_epoch(self) -> None:
        """Note that the epoch has had its last step."""
        self._n_batches = self._count_batches()

    def keep(self) -> None:
        """Bring the losses of this epoch's steps to the host, before they are written over."""
        self._kept = np.array(self._read(self._first))  # a copy: NumPy's would be a view

    def from_step(self, step: int) -> tuple[int, np.ndarray[Any, Any]]:
        """The losses from that step on, counted over all epochs: see `Sight.losses_from`."""
        first = max(step - self._before, self._first)
        if self._kept is not None:
            return self._before + first, self._kept[first - self._first :]
        return self._before + first, self._read(first)

    def _count_batches(self) -> int:
        """How many batches of the epoch were trained on."""
        each = self._epoch.accumulate
        return max(0, self._steps_made() * each - each + self.last_batches)

    def _read(self, first: int) -> np.ndarray[Any, Any]:
        """The losses from that step of the epoch on."""
        each = self._epoch.accumulate
        n = self._count_batches() if self._n_batches is None else self._n_batches
        if n <= first * each:
            return np.zeros(0)
        self._learner.group.settle()
        losses = to_numpy(self._epoch.losses[first * each : n])
        if each == 1:
            return losses
        starts = np.arange(0, len(losses), each)
        sums = np.add.reduceat(losses, starts)
        means: np.ndarray[Any, Any] = sums / np.diff(starts, append=len(losses))
        return means
