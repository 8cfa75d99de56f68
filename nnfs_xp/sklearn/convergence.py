"""When an estimator stops: scikit-learn's rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnfs_xp.interop.model_file import fill, host_arrays
from nnfs_xp.sklearn.rates import EpochRate
from nnfs_xp.training import Callback
from nnfs_xp.training.callbacks import Figures, Training


class Convergence(Callback):
    """Keeps an estimator's records of its epochs, and ends the training when it has converged.

    Parameters
    ----------
    estimator : BaseMLP
        Its `n_iter_`, `t_`, `loss_`, `loss_curve_` and those of the scores are kept.
    score : callable, optional
        The score of the validation samples now. Without it the training loss decides.
    decides : bool
        Whether the score does, or is only recorded.
    rate : EpochRate, optional
    n_samples : int
    waited : int
        Epochs without improvement, before and so far.

    Attributes
    ----------
    converged : bool
    """

    def __init__(
        self,
        estimator: Any,
        score: Callable[[], float] | None,
        *,
        decides: bool,
        rate: EpochRate | None,
        n_samples: int,
        waited: int,
    ) -> None:
        self.estimator = estimator
        self.score = score
        self.decides = decides
        self.learning_rate = rate
        self.n_samples = n_samples
        self.waited = waited
        self.converged = False
        self._best: dict[str, np.ndarray[Any, Any]] = {}

    def on_train_begin(self, trainer: Training) -> None:
        if self.decides:  # what an earlier training left is the best so far
            self._best = self._weights(trainer)

    def on_epoch_end(self, trainer: Training, figures: Figures) -> None:
        estimator = self.estimator
        estimator.n_iter_ += 1
        estimator.t_ += self.n_samples
        estimator.loss_ = figures["loss"]
        estimator.loss_curve_.append(estimator.loss_)
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
        score = None if self.score is None else self.score()
        if score is not None:
            estimator.validation_scores_.append(score)
            if estimator.verbose:
                print(f"Validation score: {score:.6f}")
        if score is not None and not self.decides:
            estimator.best_validation_score_ = max(estimator.best_validation_score_, score)
        if self.decides:
            better = score >= estimator.best_validation_score_ + estimator.tol
            if score > estimator.best_validation_score_:
                estimator.best_validation_score_ = score
                self._best = self._weights(trainer)
        else:
            better = estimator.loss_ <= estimator.best_loss_ - estimator.tol
            estimator.best_loss_ = min(estimator.best_loss_, estimator.loss_)
        self.waited = 0 if better else self.waited + 1
        rate = self.learning_rate
        if rate is not None:
            rate.after_epoch(estimator.t_)
        if self.waited > estimator.n_iter_no_change:
            if rate is not None and rate.lower():
                self.waited = 0
            else:
                self.converged = True
                trainer.stop()
        if not self.converged and trainer.stopping:  # as a callback of the user's has asked
            self.converged = True

    def restore_best(self, trainer: Training) -> None:
        """Give the model the weights of the best score, where the score decides."""
        if self._best:
            fill(trainer.model, self._best)

    @staticmethod
    def _weights(trainer: Training) -> dict[str, np.ndarray[Any, Any]]:
        return {name: np.array(values) for name, values in host_arrays(trainer.model).items()}
