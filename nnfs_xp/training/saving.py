"""Callbacks that save the model: the best so far, and the one at hand when the time is up."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from string import Formatter
from time import monotonic, time
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._monitor import Directions, Monitor
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop import save
from nnfs_xp.interop.paths import check_writable, make_folder, path_of
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
        self.save_best_only = bool(save_best_only)

    def check_figures(self, figures: Directions) -> None:
        self._target.check_names(figures)
        if self.save_best_only:
            self.monitor.check(figures)

    def check_paths(self) -> None:
        self._target.check()

    def reset(self) -> None:
        self.monitor.reset()

    def on_epoch_end(self, trainer: Training, figures: Figures) -> None:
        if not self.save_best_only or self.monitor.observe(figures):
            self._target.save(trainer.model, {**figures, "epoch": trainer.epoch})

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

    def check_paths(self) -> None:
        if self._target is not None:
            self._target.check()

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
        if set(name) & set(".[/\\") or conversion or set(form) & set("{/\\"):
            self._refuse(f"{{{name}}} may have a name and a format alone")
        try:
            format(1 if name == "epoch" else 0.5, form)
        except ValueError as error:
            self._refuse(f"the format {form!r} does not fit {name!r}: {error}")
        self._names.add(name)

    def _refuse(self, reason: str) -> None:
        raise ArgumentError(
            f"`path` {_checks.shown(self._template)} cannot be filled in: {reason}."
        )

    def check_names(self, names: Collection[str]) -> None:
        """Refuse, before training, where a figure in the path is not among these."""
        unknown = self._names - {"epoch", *names}
        if unknown:
            known = ", ".join(["epoch", *names])
            self._refuse(f"there is no {min(unknown)!r}, but {known}")

    def check(self) -> None:
        """Make the folder, or that of the folders with names to fill in."""
        path = Path(self._template)
        if self._fixed:
            check_writable(Path(self._template.format()))
            return
        folder = Path(path.anchor)
        for part in path.parent.parts:
            if any(name is not None for _, name, _, _ in Formatter().parse(part)):
                break
            folder /= part.format()
        make_folder(folder)

    def save(self, model: Layer, values: Mapping[str, float]) -> None:
        """Save the model at the path with these filled in."""
        path = Path(self._template.format(**values))
        path.parent.mkdir(parents=True, exist_ok=True)
        save(model, path)
