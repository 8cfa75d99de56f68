"""When an estimator stops: scikit-learn's rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnfs_xp.interop.model_file import fill, host_arrays
from nnfs_xp.schedules import Schedule
from nnfs_xp.sklearn.parameters import Parameters
from nnfs_xp.sklearn.rates import EpochRate
from nnfs_xp.training import Callback
from nnfs_xp.training.callbacks import Figures, Training


class Records(Parameters):
    """An estimator's parameters, and what scikit-learn's estimators say of their epochs."""

    n_iter_: int
    t_: int
    loss_: float
    loss_curve_: list[float]
    best_loss_: Any
    validation_scores_: list[float] | None
    best_validation_score_: Any


class Convergence(Callback):
    """Keeps an estimator's records of its epochs, and ends the training when it has converged.

    Parameters
    ----------
    estimator : Records
    score : callable, optional
        The score of the validation samples now. It decides with `early_stopping`, and is only
        recorded without, where the training loss does.
    rate : Schedule or float
        The learning rate; an `EpochRate` changes between the epochs.
    n_samples, waited : int
        Of an epoch; epochs without improvement, before and so far.
    """

    def __init__(
        self,
        estimator: Records,
        score: Callable[[], float] | None,
        rate: Schedule | float,
        n_samples: int,
        waited: int,
    ) -> None:
        self.estimator = estimator
        self.score = score
        self.learning_rate = rate if isinstance(rate, EpochRate) else None
        self.n_samples, self.waited = n_samples, waited
        self._best: dict[str, np.ndarray[Any, Any]] = {}

    def on_train_begin(self, trainer: Training) -> None:
        if self.estimator.early_stopping:  # what an earlier training left is the best so far
            self._best = self._weights(trainer)

    def on_epoch_end(self, trainer: Training, figures: Figures) -> None:
        estimator = self.estimator
        estimator.n_iter_ += 1
        estimator.t_ += self.n_samples
        estimator.loss_ = figures["loss"]
        estimator.loss_curve_.append(estimator.loss_)
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
        improved = self.score is not None and self._record_score(self.score(), trainer)
        if not estimator.early_stopping:
            improved = estimator.loss_ <= estimator.best_loss_ - estimator.tol
            estimator.best_loss_ = min(estimator.best_loss_, estimator.loss_)
        self.waited = 0 if improved else self.waited + 1
        rate = self.learning_rate
        if rate is not None:
            rate.after_epoch(estimator.t_)
        if self.waited > estimator.n_iter_no_change:
            if rate is None or not rate.lower():
                trainer.stop()
            else:
                self.waited = 0

    def _record_score(self, score: float, trainer: Training) -> bool:
        """Record the score of an epoch; return whether it is better by the tolerance."""
        estimator = self.estimator
        best: float = estimator.best_validation_score_
        assert estimator.validation_scores_ is not None
        estimator.validation_scores_.append(score)
        if estimator.verbose:
            print(f"Validation score: {score:.6f}")
        if score > best:
            estimator.best_validation_score_ = score
            if estimator.early_stopping:
                self._best = self._weights(trainer)
        return score >= best + estimator.tol

    def restore_best(self, trainer: Training) -> None:
        """Give the model the weights of the best score, where the score decides."""
        if self._best:
            fill(trainer.model, self._best)

    @staticmethod
    def _weights(trainer: Training) -> dict[str, np.ndarray[Any, Any]]:
        return {name: np.array(values) for name, values in host_arrays(trainer.model).items()}
