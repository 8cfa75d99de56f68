"""What a training shows to the callbacks that look at it, and let it be as it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from nnfs_xp._checks import of_argument
from nnfs_xp._typing import Array
from nnfs_xp.backend import as_dense, to_numpy
from nnfs_xp.data.batching import batches_of, own_copies
from nnfs_xp.layers import Layer
from nnfs_xp.learning import Learner
from nnfs_xp.learning.totals import Totals
from nnfs_xp.losses import Loss
from nnfs_xp.optimizers import Optimizer
from nnfs_xp.training.feeding import Evaluated, Fed, evaluation_of

_MOST_NUMBERS = 2**22
"""Of the samples that are looked at."""


@dataclass
class Sight:
    """A training as those see it who look at it.

    Nothing here asks another process of a group for anything.

    Parameters
    ----------
    learner : Learner
    fed : Fed
    validation : Evaluated or None
    totals : Totals
        Whose metrics samples must fit.
    steps_made : callable ()
        How many steps of the present epoch were made.

    Attributes
    ----------
    last_batches : int
        How many batches the last step was made on.
    """

    learner: Learner
    fed: Fed
    validation: Evaluated | None
    totals: Totals
    steps_made: Callable[[], int]

    def __post_init__(self) -> None:
        self.begin_epoch(0)

    @property
    def model(self) -> Layer:
        """What is trained."""
        return self.learner.model

    @property
    def loss(self) -> Loss:
        """The loss as it was given."""
        return self.learner.loss

    @property
    def optimizer(self) -> Optimizer:
        """What updates the weights."""
        return self.learner.optimizer

    @property
    def step(self) -> int:
        """The steps so far, those of an earlier `fit` included."""
        return self.learner.optimizer.iterations

    @property
    def batch_size(self) -> int | None:
        """The samples of a step, where they are known."""
        return self.fed.step_samples

    @property
    def steps_per_epoch(self) -> int | None:
        """Where they are known."""
        return self.fed.epoch.n_steps

    @property
    def gradients_are_whole(self) -> bool:
        """Whether this process has all gradients, and not those of its part alone."""
        return not self.learner.sharing.shards_optimizer or self.learner.needs_whole_gradients

    def predictions(self, outputs: list[Array]) -> Array:
        """What the loss makes of the outputs of the model's `links`: classes, or values."""
        return self.learner.fused_loss.predictions(outputs[len(self.learner.links) - 1])

    def samples(self, most: int, given: tuple[Any, Any] | None = None) -> tuple[Array, Array]:
        """Samples to look at on the device, at most so many, in arrays of their own.

        They are the first of those given; else of the validation's, where these are arrays; else
        of the training's, or of its first batch. In a group the first process has its part of them.

        Parameters
        ----------
        most : int
        given : (X, y), optional
            As `fit` takes them.

        Raises
        ------
        NnfsError
            Those given are unfit for the model or the loss.
        """
        learner, validation = self.learner, self.validation
        if given is not None:
            with of_argument("samples"):
                found = evaluation_of(learner, self.totals.anew(), *given)
            arrays = found.arrays
        elif validation is not None and validation.arrays:
            arrays = validation.arrays
        else:
            arrays = self.fed.first
        most = max(1, min(most, _MOST_NUMBERS // max(1, prod(arrays[0].shape[1:]))))
        with closing(batches_of(arrays[:2], learner.backend, most)) as batches:
            x, y = next(batches)
        own_x, own_y = own_copies((as_dense(x), y), learner.backend)
        return own_x, own_y

    def begin_epoch(self, step: int) -> None:
        """Note that an epoch begins, or goes on after that step of it."""
        self._first = step
        self.last_batches = self.fed.epoch.accumulate
        self._before = self.step - step
        self._n_batches: int | None = None
        self._kept: np.ndarray[Any, Any] | None = None

    def end_epoch(self) -> None:
        """Note that the epoch has had its last step."""
        self._n_batches = self._count_batches()

    def _count_batches(self) -> int:
        """How many batches of the epoch were trained on."""
        each = self.fed.epoch.accumulate
        return max(0, self.steps_made() * each - each + self.last_batches)

    def keep_losses(self) -> None:
        """Bring the losses of this epoch's steps to the host, before they are written over."""
        self._kept = self._read(self._first)

    def losses_from(self, step: int) -> tuple[int, np.ndarray[Any, Any]]:
        """The losses of the present epoch's steps from that one on, as `step` counts them.

        Where a step is made on several batches, the mean of theirs.

        Returns
        -------
        first : int
            The number of the first of these steps, from 0.
        losses : ndarray, shape (steps,)
        """
        first = max(step - self._before, self._first)
        if self._kept is not None:
            return self._before + first, self._kept[first - self._first :]
        return self._before + first, self._read(first)

    def _read(self, first: int) -> np.ndarray[Any, Any]:
        epoch = self.fed.epoch
        each = epoch.accumulate
        n = self._count_batches() if self._n_batches is None else self._n_batches
        if n <= first * each:
            return np.zeros(0)
        self.learner.group.settle()
        losses = to_numpy(epoch.losses[first * each : n])
        if each == 1:
            return losses
        starts = np.arange(0, len(losses), each)
        sums = np.add.reduceat(losses, starts)
        means: np.ndarray[Any, Any] = sums / np.diff(starts, append=len(losses))
        return means
