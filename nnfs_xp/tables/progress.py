"""What is seen of an estimator's training from outside: its progress, and its history."""

from __future__ import annotations

from math import ceil

from nnfs_xp.training import Callback, History
from nnfs_xp.training.callbacks import Figures, Training
from nnfs_xp.training.progress import Progress, Shown


class EpochLines(Callback):
    """Shows an estimator's training as `Trainer.fit` shows one, and keeps its history.

    Parameters
    ----------
    epochs, n_samples, batch_size : int
    shown : bool or "lines"
        See `Progress`.

    Attributes
    ----------
    history : History
        Of the epochs that were completed: also where Ctrl-C cut the training.
    ended : bool
        Whether the training came to its end.
    trainer : Training
        The estimator's, once the training has begun.
    """

    trainer: Training

    def __init__(self, epochs: int, n_samples: int, batch_size: int, *, shown: Shown) -> None:
        self._lines = Progress(epochs, ceil(n_samples / batch_size), n_samples, shown=shown)
        self._batch_size = batch_size
        self._n_samples = n_samples
        self._left = 0
        self.history = History()
        self.ended = False

    def on_train_begin(self, trainer: Training) -> None:
        self.trainer = trainer

    def on_epoch_begin(self, trainer: Training) -> None:
        self._left = self._n_samples
        self._lines.begin_epoch(trainer.epoch + 1)

    def on_step_end(self, trainer: Training) -> None:
        done = min(self._batch_size, self._left)
        self._left -= done
        self._lines.end_batch(done, trainer.figures_so_far)

    def on_epoch_end(self, trainer: Training, figures: Figures) -> None:
        del trainer
        figures = {name: value for name, value in figures.items() if name != "learning_rate"}
        self.history.append(figures)
        self._lines.end_epoch(figures)

    def on_train_end(self, trainer: Training) -> None:
        del trainer
        self.ended = True

    def close(self) -> None:
        """Show what was held back: also where Ctrl-C cut the training."""
        self._lines.close()
