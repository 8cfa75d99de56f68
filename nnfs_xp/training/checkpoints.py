"""Checkpoints: a folder that a training can go on from, whatever ended it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from time import monotonic
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._settings import repr_of
from nnfs_xp.errors import ArgumentError, CheckpointError, TrainingWarning
from nnfs_xp.interop.paths import make_folder, path_of, shown_path
from nnfs_xp.interop.tensor_file import Arrays, read_tensors, write_tensors

_KIND = "nnfs_xp checkpoint"
_NAME = re.compile(r"checkpoint-([0-9]{6,})-([0-9]{9,})\.safetensors")
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.tmp")


class Checkpoints:
    """The checkpoints of one training: the newest, and the one before it.

    Hand one to `Trainer.fit` where its settings matter; the folder alone means one checkpoint
    at the end of each epoch.

    Parameters
    ----------
    folder : str or Path
        Files of other names in it are left alone.
    every_steps : int, optional
        Steps from one checkpoint within an epoch to the next.
    every_seconds : float, optional
        Seconds from one checkpoint within an epoch to the next.
    least_seconds : float
        An epoch that ends sooner than this after the last checkpoint makes none: for epochs
        that take less time than a checkpoint. The last epoch always makes one.
    keep : int
        How many are kept. With 2 or more, a damaged one does not cost the training.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        every_steps: int | None = None,
        every_seconds: float | None = None,
        least_seconds: float = 0.0,
        keep: int = 2,
    ) -> None:
        self.folder = path_of(folder, "folder")
        self.every_steps = (
            None if every_steps is None else _checks.check_count("every_steps", every_steps)
        )
        self.every_seconds = (
            None
            if every_seconds is None
            else _checks.check_range("every_seconds", every_seconds, 0, open_low=True)
        )
        self.least_seconds = _checks.check_range("least_seconds", least_seconds, 0)
        self.keep = _checks.check_count("keep", keep)
        self._saved_at = monotonic()

    __repr__ = repr_of

    def open(self) -> None:
        """Make the folder, and clear away what a killed process left unfinished.

        Raises
        ------
        CheckpointError
            It cannot be made, or read, or written into.
        """
        try:
            self.folder = make_folder(self.folder)
            for path in self.folder.iterdir():
                if _UNFINISHED.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                    path.unlink(missing_ok=True)
        except ArgumentError as error:
            raise CheckpointError(f"cannot keep checkpoints: {error}") from error
        except OSError as error:
            raise CheckpointError(
                f"cannot keep checkpoints in {shown_path(self.folder)}: {error.strerror}."
            ) from error
        self._saved_at = monotonic()

    def files(self) -> list[Path]:
        """The checkpoints that are there, the newest first."""
        found = {
            (int(match[1]), int(match[2])): path
            for path in self.folder.glob("checkpoint-*")
            if (match := _NAME.fullmatch(path.name)) and not path.is_dir()
        }
        return [found[place] for place in sorted(found, reverse=True)]

    def due(self, step: int) -> bool:
        """Whether a checkpoint is due after so many steps of the epoch."""
        if self.every_steps is not None and step % self.every_steps == 0:
            return True
        return self.every_seconds is not None and monotonic() - self._saved_at >= self.every_seconds

    def due_at_epoch_end(self) -> bool:
        """Whether a checkpoint is due at the end of an epoch that is not the last."""
        return monotonic() - self._saved_at >= self.least_seconds

    def save(
        self, epoch: int, step: int, description: dict[str, Any], arrays: Arrays
    ) -> Path | None:
        """Write one, then remove those beyond `keep`.

        Returns
        -------
        Path or None
            None where it could not be written, which a warning says: training goes on, and so do
            the older checkpoints.
        """
        path = self.folder / f"checkpoint-{epoch:06d}-{step:09d}.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_tensors(path, _KIND, description, arrays)
            others = [each for each in self.files() if each != path]
            for old in others[self.keep - 1 :]:
                old.unlink(missing_ok=True)
        except (CheckpointError, OSError) as error:
            warnings.warn(
                f"the training goes on, but no checkpoint could be kept: {error}",
                TrainingWarning,
                stacklevel=2,
            )
            return None
        finally:
            self._saved_at = monotonic()
        return path

    def load(self) -> tuple[dict[str, Any], Arrays, Path] | None:
        """The newest checkpoint that is whole, or None where there is none at all.

        A damaged one is passed over with a warning.

        Raises
        ------
        CheckpointError
            There are checkpoints, and all are damaged.
        """
        damage: CheckpointError | None = None
        for path in self.files():
            try:
                return *read_tensors(path, _KIND), path
            except CheckpointError as error:
                damage = error
                warnings.warn(
                    f"passed over a checkpoint for the one before it: {error}",
                    TrainingWarning,
                    stacklevel=2,
                )
        if damage is not None:
            raise CheckpointError(
                f"no checkpoint in {shown_path(self.folder)} is whole: {damage}"
            ) from damage
        return None
