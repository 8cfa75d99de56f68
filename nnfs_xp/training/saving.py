"""Callbacks that save the model: the best so far, and the one at hand when the time is up."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import isfinite
from pathlib import Path
from string import Formatter
from time import monotonic, time
from typing import Any, NoReturn

from nnfs_xp import _checks
from nnfs_xp._monitor import Directions, Monitor
from nnfs_xp.errors import ArgumentError, CheckpointError, TrainingWarning
from nnfs_xp.interop import save
from nnfs_xp.interop.paths import (
    absolute,
    check_possible,
    check_writable,
    make_folder,
    path_of,
    shown_path,
)
from nnfs_xp.layers import Layer
from nnfs_xp.training.callbacks import Callback, Figures, Training


class ModelCheckpoint(Callback):
    """Saves the model after each epoch in which a figure was the best so far.

    Parameters
    ----------
    path : str or Path
        Of the model file; its folder is made before the training begins. ``{epoch}`` in it stands
        for the epoch's number, and the name of a figure in braces for that figure, both with a
        format if you like: ``"{epoch:02d}-{val_loss:.2f}.safetensors"``. ``{{`` and ``}}`` stand
        for braces.
    monitor : str
        The figure's key in the history.
    save_best_only : bool
        False saves after every epoch.
    mode : {"auto", "min", "max"}
        See `EarlyStopping`.

    Raises
    ------
    ArgumentError
        The path cannot be filled in, or `mode` is none of these.

    Notes
    -----
    In a further `fit` of the same training the best so far stays: a worse model does not take the
    place of a better one.
    """

    def __init__(
        self,
        path: str | Path,
        monitor: str = "val_loss",
        *,
        save_best_only: bool = True,
        mode: str = "auto",
    ) -> None:
        self._target = _Target(path)
        self.path = str(path)
        self.monitor = Monitor(monitor, mode)
        self.save_best_only = _checks.check_bool("save_best_only", save_best_only)

    def check_figures(self, figures: Directions) -> None:
        self._target.check_names(figures)
        if self.save_best_only:
            self.monitor.check(figures)

    def check_paths(self) -> Iterable[Path]:
        return [self._target.check()]

    def reset(self) -> None:
        self.monitor.reset()

    def on_epoch_end(self, trainer: Training, figures: Figures) -> None:
        if not self.save_best_only or self.monitor.observe(figures):
            self._target.save(trainer.model, {**figures, "epoch": trainer.epoch})

    def on_train_end(self, trainer: Training) -> None:
        del trainer
        if self.save_best_only and not isfinite(self.monitor.best):
            warnings.warn(
                f"no model was saved at {shown_path(self.path)}: after no epoch was "
                f"{self.monitor.name!r} a finite number.",
                TrainingWarning,
                stacklevel=2,
            )

    def state(self) -> dict[str, Any]:
        return self.monitor.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.monitor.load_state(state)


class Timer(Callback):
    """Ends the training after the step in which the time is up: for machines lent for a while.

    `fit` then returns as ever, with a checkpoint saved if it keeps any, and can be resumed.

    Parameters
    ----------
    limit : float or timedelta, optional
        In seconds, from when the object is made.
    until : datetime, optional
        Without a time zone, of the machine's own.
    path : str or Path, optional
        Where to save the model then, the averages of its weights if the optimizer keeps any;
        ``{epoch}`` in it stands for the number of epochs done: see `ModelCheckpoint`.

    Raises
    ------
    ArgumentError
        Neither a limit nor an end is given, or one of them is none.
    """

    def __init__(
        self,
        limit: float | timedelta | None = None,
        *,
        until: datetime | None = None,
        path: str | Path | None = None,
    ) -> None:
        if limit is None and until is None:
            raise ArgumentError("give `limit`, in seconds, or `until`, a datetime.")
        self.limit = limit
        self.until = until
        self.path = None if path is None else str(path)
        self._target = None if path is None else _Target(path)
        if self._target is not None:
            self._target.check_names(())
        self._ends_after, self._ends_at = float("inf"), float("inf")
        if limit is not None:
            seconds = limit.total_seconds() if isinstance(limit, timedelta) else limit
            self._ends_after = monotonic() + _checks.check_range("limit", seconds, 0)
        if until is not None:
            self._ends_at = _seconds_of(until)

    def check_paths(self) -> Iterable[Path]:
        return [] if self._target is None else [self._target.check()]

    @property
    def is_up(self) -> bool:
        """Whether the time is up."""
        return monotonic() >= self._ends_after or time() >= self._ends_at

    def on_step_end(self, trainer: Training) -> None:
        if not self.is_up:
            return
        trainer.stop(now=True)
        if self._target is not None:
            with _averages(trainer):
                self._target.save(trainer.model, {"epoch": trainer.epoch})


@contextmanager
def _averages(trainer: Training) -> Iterator[None]:
    """Have the averages of the weights, if any are kept, in the model meanwhile."""
    optimizer, model = trainer.optimizer, trainer.model
    if optimizer.average_decay is None or optimizer.is_exchanged(model):
        yield
        return
    optimizer.exchange_average(model)
    try:
        yield
    finally:
        optimizer.exchange_average(model)


def _seconds_of(until: datetime) -> float:
    if not isinstance(until, datetime):
        raise ArgumentError(f"`until` must be a datetime; got {until!r}.")
    try:
        return until.timestamp()
    except (OverflowError, ValueError, OSError):  # beyond the calendar of the machine
        raise ArgumentError(f"`until` is too far away: {until!r}.") from None


class _Target:
    """A path to save models at, in which the epoch and figures can be filled in."""

    def __init__(self, path: str | Path) -> None:
        self._template = str(path_of(path))
        self._start = Path()
        self._names: set[str] = set()
        try:
            parts = list(Formatter().parse(self._template))
        except ValueError as error:
            self._refuse(f"{error}; write {{{{ and }}}} for braces")
        for _, name, form, conversion in parts:
            if name is not None:
                self._add(name, form or "", conversion)
        self._fixed = not self._names

    def _add(self, name: str, form: str, conversion: str | None) -> None:
        if not name or name.isdigit():
            self._refuse("braces need a name between them, 'epoch' or that of a figure")
        if set(name) & set(".[/\\") or conversion or set(form) & set("{/\\\0"):
            self._refuse(f"{{{name}}} may have a name and a format alone")
        try:
            format(_example(name), form)
        except ValueError as error:
            self._refuse(f"the format {form!r} does not fit {name!r}: {error}")
        self._names.add(name)

    def _refuse(self, reason: str) -> NoReturn:
        raise ArgumentError(
            f"`path` {_checks.shown(self._template)} cannot be filled in: {reason}."
        )

    def check_names(self, names: Collection[str]) -> None:
        """Refuse, before training, where a figure in the path is not among these."""
        unknown = self._names - {"epoch", *names}
        if unknown:
            known = ", ".join(dict.fromkeys(["epoch", *names]))
            self._refuse(f"there is no {min(unknown)!r}, but {known}")

    def check(self) -> Path:
        """Make the folder, or that of the folders with names to fill in; return the whole path."""
        self._start = absolute(self._start)
        if self._fixed:
            return check_writable(self._fill({}))
        path = Path(self._template)
        folder = self._start / path.anchor
        for part in path.parent.parts:
            if any(name is not None for _, name, _, _ in Formatter().parse(part)):
                break
            folder /= part.format()
        make_folder(folder)
        check_possible(self._fill({name: _example(name) for name in self._names}))
        return self._start / path

    def _fill(self, values: Mapping[str, float]) -> Path:
        self.check_names(values)
        try:
            return self._start / self._template.format(**values)
        except (TypeError, ValueError) as error:  # a figure may be anything in a loop of one's own
            self._refuse(str(error))

    def save(self, model: Layer, values: Mapping[str, float]) -> None:
        """Save the model at the path with these filled in."""
        path = self._fill(values)
        try:
            make_folder(path.parent)
        except ArgumentError as error:  # it is too late to call it a setting
            raise CheckpointError(str(error)) from error
        save(model, path)


def _example(name: str) -> float:
    """A number as the epoch's, or the figure's, could be."""
    return 1 if name == "epoch" else 0.5
