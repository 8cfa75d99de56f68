"""One network's training: where, how it is shown and kept, by which rule it learns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from nnfs_xp.layers import Sequential
from nnfs_xp.losses import Loss, MeanSquaredError, SoftmaxCategoricalCrossentropy
from nnfs_xp.optimizers import AdamW
from nnfs_xp.schedules import CosLog
from nnfs_xp.tables.scoring import EnsembleLoss
from nnfs_xp.tables.settings import Plan
from nnfs_xp.training import Checkpoints, EarlyStopping, History, Trainer
from nnfs_xp.training.progress import Shown

_DECAY = 0.02
"""The weight decay of a rate of 1."""

_SMOOTHING = 0.1
"""What labels of classes lose to the other classes."""


@dataclass(frozen=True)
class Course:
    """How a training goes: where, how it is shown, where its state is kept.

    Attributes
    ----------
    backend : str
    progress : bool or "lines"
    checkpoint : Path, optional
        A folder: see `Trainer.fit`.
    resume : bool
        Whether to go on from what the folder holds.
    """

    backend: str = "auto"
    progress: Shown = True
    checkpoint: Path | None = None
    resume: bool = False

    def part(self, number: int, folds: int | None) -> Course:
        """The course of one of several networks, which keeps its state in a folder of its own."""
        if self.checkpoint is None or folds == 1:
            return self
        return replace(self, checkpoint=self.checkpoint / f"{number + 1}")

    @property
    def checkpoints(self) -> Checkpoints | None:
        """What `Trainer.fit` is told."""
        if self.checkpoint is None:
            return None
        return Checkpoints(self.checkpoint, every_seconds=60, least_seconds=1)


def train(
    network: Sequential,
    data: Any,
    validation: Any,
    plan: Plan,
    course: Course,
    n_classes: int,
    *,
    n_rows: int | None = None,
) -> tuple[History, bool]:
    """Train the network, on arrays or on a source of batches of so many rows, and keep the best.

    Returns
    -------
    history : History
    ended : bool
        Whether it was not cut by Ctrl-C.

    Notes
    -----
    Source: Holzmüller, Grinsztajn and Steinwart 2024, *Better by Default*, table A.1.
    """
    n_rows = len(data[0]) if n_rows is None else n_rows
    steps = plan.epochs * ceil(n_rows / plan.batch_size)
    rate = CosLog(plan.learning_rate, steps)
    loss: Loss = MeanSquaredError()
    if n_classes:
        loss = SoftmaxCategoricalCrossentropy(label_smoothing=_SMOOTHING)
    trainer = Trainer(
        network,
        loss,
        AdamW(rate, weight_decay=_DECAY, beta_2=0.95),
        [EnsembleLoss(plan.ensemble, classifies=bool(n_classes), label_smoothing=_SMOOTHING)],
        backend=course.backend,
        seed=plan.seed,
    )
    stopping = EarlyStopping("val_error", plan.patience)
    ended = True
    try:
        trainer.fit(
            *data,
            epochs=plan.epochs,
            batch_size=plan.batch_size,
            validation_data=validation,
            progress=course.progress,
            callbacks=[] if validation is None else [stopping],
            checkpoint=course.checkpoints,
            resume=course.resume,
        )
    except KeyboardInterrupt:
        if course.checkpoint is not None or not trainer.history.epochs:
            raise
        ended = False
        stopping.on_train_end(trainer)  # for the best weights
    return trainer.history, ended
