"""Callbacks that write down the figures of each epoch: as CSV, and as TensorBoard reads them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from nnfs_xp.errors import BackendError, TrainingWarning
from nnfs_xp.interop.paths import check_writable, make_folder, path_of
from nnfs_xp.training.callbacks import Callback, Figures, Training
from nnfs_xp.training.history import write_table

_numbers = count()


class CSVLogger(Callback):
    """Writes the figures of all epochs to a CSV file after each epoch, whole each time.

    A further `fit` of the same training adds its epochs. A cell is empty where an epoch has no
    such figure. Where the file cannot be written, a warning says so, and the training goes on.

    Parameters
    ----------
    path : str or Path
        Its folder is made before the training begins.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path_of(path)
        self._epochs: dict[int, dict[str, float]] = {}

    def check_paths(self) -> Iterable[Path]:
        self.path = check_writable(self.path)
        return [self.path]

    def reset(self) -> None:
        self._epochs = {}

    def on_epoch_end(self, trainer: Training, figures: Figures) -> None:
        del figures
        history = trainer.history
        first = trainer.epoch - history.epochs + 1
        for epoch, values in enumerate(zip(*history.values(), strict=True), first):
            self._epochs[epoch] = dict(zip(history, values, strict=True))
        try:
            write_table(self.path, self._names(), self._rows())
        except OSError as error:
            warnings.warn(
                f"the training goes on, but its figures could not be written: {error}",
                TrainingWarning,
                stacklevel=2,
            )

    def _names(self) -> list[str]:
        return list({name: None for figures in self._epochs.values() for name in figures})

    def _rows(self) -> list[list[Any]]:
        names = self._names()
        return [
            [epoch, *map(figures.get, names)] for epoch, figures in sorted(self._epochs.items())
        ]

    def state(self) -> dict[str, Any]:
        return {"names": self._names(), "rows": self._rows()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        names = state.get("names", [])  # checkpoints from before it had a state hold none
        self._epochs = {
            int(epoch): {
                name: float(value)
                for name, value in zip(names, values, strict=True)
                if value is not None
            }
            for epoch, *values in state.get("rows", [])
        }


class TensorBoard(Callback):
    """Writes the figures of each epoch as TensorBoard reads them, with tensorboardX.

    Parameters
    ----------
    folder : str or Path
        Made before the training begins.

    Raises
    ------
    BackendError
        tensorboardX is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise BackendError(
                "TensorBoard needs tensorboardX; pip install 'nnfs-xp[tensorboard]'"
            ) from None
        self.folder = path_of(folder, "folder")
        self._open = SummaryWriter
        self._writer: Any = None

    def check_paths(self) -> Iterable[Path]:
        self.folder = make_folder(self.folder)
        return [self.folder]

    def on_train_begin(self, trainer: Training) -> None:
        # Files are called after the second, and one with a name that is taken is written over.
        suffix = f".{os.getpid()}.{next(_numbers)}"
        # What an interrupted run wrote of epochs that are trained again is hidden.
        self._writer = self._open(
            str(self.folder), purge_step=trainer.epoch + 1, filename_suffix=suffix
        )

    def on_epoch_end(self, trainer: Training, figures: Figures) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, trainer.epoch)
        self._writer.flush()

    def let_go(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
