"""What a training shows to the callbacks that look at it, and let it be as it is."""

from __future__ import annotations

from contextlib import closing
from math import prod
from typing import Any

import numpy as np

from nnfs_xp._checks import of_argument
from nnfs_xp._typing import Array
from nnfs_xp.backend import as_dense
from nnfs_xp.data.batching import batches_of, own_copies
from nnfs_xp.layers import Layer
from nnfs_xp.learning import Learner
from nnfs_xp.learning.totals import Totals
from nnfs_xp.losses import Loss
from nnfs_xp.optimizers import Optimizer
from nnfs_xp.training.feeding import Evaluated, Fed, evaluation_of
from nnfs_xp.training.step_losses import StepLosses

_MOST_NUMBERS = 2**22
"""Of the samples that are looked at."""


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
    losses : StepLosses
    """

    def __init__(
        self,
        learner: Learner,
        fed: Fed,
        validation: Evaluated | None,
        totals: Totals,
        losses: StepLosses,
    ) -> None:
        self._learner = learner
        self._fed = fed
        self._validation = validation
        self._totals = totals
        self._losses = losses

    @property
    def model(self) -> Layer:
        """What is trained."""
        return self._learner.model

    @property
    def loss(self) -> Loss:
        """The loss as it was given."""
        return self._learner.loss

    @property
    def optimizer(self) -> Optimizer:
        """What updates the weights."""
        return self._learner.optimizer

    @property
    def step(self) -> int:
        """The steps so far, those of an earlier `fit` included."""
        return self._learner.optimizer.iterations

    @property
    def batch_size(self) -> int | None:
        """The samples of a step, where they are known."""
        return self._fed.step_samples

    @property
    def steps_per_epoch(self) -> int | None:
        """Where they are known."""
        return self._fed.epoch.n_steps

    @property
    def gradients_are_whole(self) -> bool:
        """Whether this process has all gradients, and not those of its part alone."""
        return not self._learner.sharing.shards_optimizer or self._learner.needs_whole_gradients

    def predictions(self, outputs: list[Array]) -> Array:
        """What the loss makes of the outputs of the model's `links`: classes, or values."""
        return self._learner.fused_loss.predictions(outputs[len(self._learner.links) - 1])

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
        learner, validation = self._learner, self._validation
        if given is not None:
            with of_argument("samples"):
                found = evaluation_of(learner, self._totals.anew(), *given)
            arrays = found.arrays
        elif validation is not None and validation.arrays:
            arrays = validation.arrays
        else:
            arrays = self._fed.first
        most = max(1, min(most, _MOST_NUMBERS // max(1, prod(arrays[0].shape[1:]))))
        with closing(batches_of(arrays[:2], learner.backend, most)) as batches:
            x, y = next(batches)
        own_x, own_y = own_copies((as_dense(x), y), learner.backend)
        return own_x, own_y

    def losses_from(self, step: int) -> tuple[int, np.ndarray[Any, Any]]:
        """The losses of the present epoch's steps from that one on, as `step` counts them.

        Where a step is made on several batches, the mean of theirs.

        Returns
        -------
        first : int
            The number of the first of these steps, from 0.
        losses : ndarray, shape (steps,)
        """
        return self._losses.from_step(step)
