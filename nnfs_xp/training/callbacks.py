"""What a training calls at its turns, and two of these: stopping early, and calling functions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nnfs_xp import _checks
from nnfs_xp._monitor import Directions, Monitor
from nnfs_xp._settings import repr_of
from nnfs_xp.errors import ArgumentError, CheckpointError
from nnfs_xp.interop.model_file import check_fit, fill, host_arrays
from nnfs_xp.interop.paths import shown_path
from nnfs_xp.layers import Layer
from nnfs_xp.optimizers import Optimizer
from nnfs_xp.training.history import History
from nnfs_xp.training.sight import Sight

Figures = Mapping[str, float]


class Training(Protocol):
    """What callbacks use of a `Trainer`, which hands itself to them and says what each is."""

    @property
    def model(self) -> Layer: ...
    @property
    def optimizer(self) -> Optimizer: ...
    @property
    def epoch(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def history(self) -> History: ...
    @property
    def figure_names(self) -> list[str]: ...
    @property
    def stopping(self) -> bool: ...
    def figures_so_far(self) -> dict[str, Any]: ...
    def stop(self, now: bool = False) -> None: ...


class Callback:
    """Base class of the callbacks; derive from it to write one of your own.

    Each hook does nothing by itself. One that raises ends the training when the other callbacks
    have been called, with a checkpoint saved if there are any. A callback must not read arrays in
    `on_step_end` if a GPU is not to wait for it.

    A callback that learns while it is called gives `state` and `load_state`, so that a training
    that goes on from a checkpoint goes on with it, and `reset`. One that writes files gives
    `check_paths`, so that a training does not end for a folder that is missing.
    """

    __repr__ = repr_of

    on_rank_0: bool | None = None
    """Whether only the first of several processes that train together calls it.

    None: so where it writes files, as `check_paths` says; others see the same figures in all
    processes, and so decide alike.
    """

    only_watches: bool = False
    """Whether it promises to change nothing of the training, and has no `state`.

    Then a GPU launches recorded steps as if it were not there, and checkpoints say nothing of it:
    a training can go on with it or without it.
    """

    look_share: float = 0.0
    """The share of the training's time that `look` may take, at most 1; 0: it is not called."""

    def begin_looking(self, sight: Sight) -> None:
        """Before the first step, where `look_share` is above 0: what there will be to see."""

    def look(self, sight: Sight, *, last: bool = False) -> bool:
        """After a step, as often as `look_share` allows; gradients are still there.

        `last`: it is the end of the training, where there was time left.

        Returns
        -------
        bool
            Whether it is to be called again after the next step, to end this look.
        """
        del sight, last
        return False

    def on_train_begin(self, trainer: Training) -> None:
        """Before the first step. `trainer.figure_names` are those of the epochs to come."""

    def on_epoch_begin(self, trainer: Training) -> None:
        """Before an epoch, `trainer.epoch` counting those before it."""

    def on_step_end(self, trainer: Training) -> None:
        """After a step, the `trainer.step`-th of the epoch; gradients are still there."""

    def on_epoch_end(self, trainer: Training, figures: Figures) -> None:
        """After an epoch and its validation. `trainer.stop()` makes it the last."""

    def on_train_end(self, trainer: Training) -> None:
        """After the last epoch; not after an error."""

    def let_go(self) -> None:
        """Close what is open: last of all, however the training ended."""

    def check_figures(self, figures: Directions) -> None:
        """Refuse, before anything is touched, where a figure that is needed is not among these.

        Parameters
        ----------
        figures : mapping of str to {"min", "max"} or None
            The history's keys, and whether less or more of each is better, if that is known.
        """

    def check_paths(self) -> Iterable[Path] | None:
        """Make the folders that are written to, or refuse, before anything is trained.

        Returns
        -------
        iterable of Path, optional
            What is written: no other callback of the training may name the same.
        """
        return None

    def reset(self) -> None:
        """Forget what another training taught: a new one begins, and none is resumed."""

    def go_on(self) -> None:
        """A further `fit` of the same training begins: called in place of `reset`."""

    def state(self) -> dict[str, Any]:
        """What has been learnt: numbers, strings, lists and NumPy arrays by name."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave, or raise where it cannot have given that."""

    def check_state(self, trainer: Training, state: Mapping[str, Any]) -> None:
        """Raise where what `load_state` is to take up does not fit this training."""


def is_called_on(rank: int, callback: Callback) -> bool:
    """Whether that one of several processes calls it."""
    writes = type(callback).check_paths is not Callback.check_paths
    alone = writes if callback.on_rank_0 is None else callback.on_rank_0
    return rank == 0 or not alone


def acts_on(callback: Callback, hook: str) -> bool:
    """Whether it has a hook of its own, by its class or by itself."""
    own = getattr(type(callback), hook) is not getattr(Callback, hook)
    return own or hook in vars(callback)


def check_all_paths(callbacks: Sequence[Callback]) -> None:
    """Have each check its paths; refuse two that write to one, and one that is given twice.

    Raises
    ------
    ArgumentError
    """
    if len({id(callback) for callback in callbacks}) < len(callbacks):
        twice = next(each for n, each in enumerate(callbacks) if _holds(callbacks[:n], each))
        raise ArgumentError(f"`callbacks` has {twice!r} twice. Give each callback once.")
    writers: dict[str, Callback] = {}
    for callback in callbacks:
        for path in callback.check_paths() or ():
            other = writers.setdefault(os.path.realpath(path), callback)
            if other is not callback:
                raise ArgumentError(
                    f"{type(other).__name__} and {type(callback).__name__} both write to "
                    f"{shown_path(path)}. Give each a path of its own."
                )


def _holds(callbacks: Sequence[Callback], callback: Callback) -> bool:
    return any(each is callback for each in callbacks)


class EarlyStopping(Callback):
    """Ends the training when a figure has not got better for some epochs.

    Parameters
    ----------
    monitor : str
        The figure's key in the history.
    patience : int
        Epochs without improvement after which training ends.
    min_delta : float
        By how much a figure must be better to count.
    restore_best : bool
        Whether the model has the weights of the best epoch in the end.
    mode : {"auto", "min", "max"}
        Whether less or more is better. ``"auto"``: as the figure's metric says by its
        `direction`, and less for losses.
    start_from_epoch : int
        So many epochs of the training at first do not count, and are not kept as the best. In a
        loop of your own, so many calls of `on_epoch_end`.

    Notes
    -----
    In a further `fit` of the same training the best so far stays, and the patience begins anew.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best: bool = True,
        *,
        mode: str = "auto",
        start_from_epoch: int = 0,
    ) -> None:
        self.monitor = Monitor(monitor, mode, min_delta)
        self.start_from_epoch = _checks.check_count("start_from_epoch", start_from_epoch, least=0)
        self.patience = _checks.check_count("patience", patience)
        self.restore_best = _checks.check_bool("restore_best", restore_best)
        self._best: dict[str, np.ndarray[Any, Any]] = {}
        self._calls = 0

    def check_figures(self, figures: Directions) -> None:
        self.monitor.check(figures)

    def reset(self) -> None:
        self.monitor.reset()
        self._best, self._calls = {}, 0

    def go_on(self) -> None:
        self.monitor.waited = 0

    def on_train_begin(self, trainer: Training) -> None:
        if self.monitor.waited >= self.patience:  # it is resumed where it had ended
            trainer.stop()

    def on_epoch_end(self, trainer: Training, figures: Figures) -> None:
        self._calls += 1
        if max(trainer.epoch, self._calls) <= self.start_from_epoch:
            return
        if self.monitor.observe(figures):
            if self.restore_best:
                self._best = {k: np.array(v) for k, v in host_arrays(trainer.model).items()}
        elif self.monitor.waited >= self.patience:
            trainer.stop()

    def on_train_end(self, trainer: Training) -> None:
        if self._best:
            fill(trainer.model, self._best)

    def state(self) -> dict[str, Any]:
        return {**self.monitor.state(), **self._best}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.monitor.load_state(state)
        self._best = _arrays(state) if self.restore_best else {}

    def check_state(self, trainer: Training, state: Mapping[str, Any]) -> None:
        if best := _arrays(state):
            check_fit(trainer.model, best)
            if not all(np.isfinite(best[name]).all() for name in trainer.model.parameters()):
                raise CheckpointError("the best weights are not finite.")


def _arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    return {name: value for name, value in state.items() if isinstance(value, np.ndarray)}


class LambdaCallback(Callback):
    """Calls functions at the hooks of the same names.

    Parameters
    ----------
    **hooks : callable
        ``on_train_begin``, ``on_epoch_begin``, ``on_step_end``, ``on_train_end``, each called with
        the trainer, and ``on_epoch_end``, called with the trainer and the figures.

    Raises
    ------
    ArgumentError
        There is no hook of that name, or it is no function.
    """

    def __init__(self, **hooks: Callable[..., None]) -> None:
        for name, hook in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                known = ", ".join(each for each in vars(Callback) if each.startswith("on_"))
                raise ArgumentError(f"there is no hook {name!r}; there are {known}.")
            if not callable(hook):
                raise ArgumentError(f"`{name}` must be a function; got {hook!r}.")
            setattr(self, name, hook)
        self.hooks = hooks
