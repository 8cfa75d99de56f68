"""A schedule that goes by a figure of the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._monitor import Directions, Monitor
from nnfs_xp.errors import ArgumentError
from nnfs_xp.schedules.base import Schedule, check_rate


class ReduceOnPlateau(Schedule):
    """Shrinks the rate when a figure has not got better for some epochs.

    Parameters
    ----------
    initial_rate : float
    monitor : str
        The figure's key in the history.
    factor : float
        In (0, 1).
    patience : int
        Epochs without improvement that are let pass.
    cooldown : int
        Epochs after a cut that do not count as waiting.
    min_delta : float
        By how much a figure must be better to count.
    min_rate : float
        The rate never falls below it.
    mode : {"auto", "min", "max"}
        Whether less or more is better: see `EarlyStopping`. Without a `Trainer`, ``"auto"`` knows
        of ``loss`` and ``val_loss`` alone.

    Raises
    ------
    ArgumentError
        A setting is out of its range, or ``"auto"`` does not know which way is better.
    """

    later_settings = ("cooldown",)

    def __init__(
        self,
        initial_rate: float,
        *,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        cooldown: int = 0,
        min_delta: float = 1e-4,
        min_rate: float = 0.0,
        mode: str = "auto",
    ) -> None:
        self.initial_rate = check_rate("initial_rate", initial_rate)
        self.factor = _checks.check_range("factor", factor, 0, 1, open_low=True)
        self.patience = _checks.check_count("patience", patience, least=0)
        self.cooldown = _checks.check_count("cooldown", cooldown, least=0)
        self.min_rate = _checks.check_range("min_rate", min_rate, 0)
        if self.min_rate > self.initial_rate:
            raise ArgumentError(
                f"`min_rate` must be at most {initial_rate!r}, the initial; got {min_rate!r}."
            )
        self.monitor = Monitor(monitor, mode, min_delta)
        self._rate, self._cooling = self.initial_rate, 0

    def rate(self, step: int) -> float:
        del step
        return self._rate

    def observe(self, figures: Mapping[str, float]) -> None:
        self.monitor.observe(figures)
        if self._cooling:
            self._cooling -= 1
            self.monitor.waited = 0
        if self.monitor.waited > self.patience:
            self._rate = max(self._rate * self.factor, self.min_rate)
            self.monitor.waited, self._cooling = 0, self.cooldown

    def check_figures(self, figures: Directions) -> None:
        self.monitor.check(figures)

    def state(self) -> dict[str, Any]:
        return {"rate": self._rate, "cooling": self._cooling, **self.monitor.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        rate = _checks.check_range("rate", state["rate"], 0)
        if not self.min_rate <= rate <= self.initial_rate:
            raise ArgumentError(
                f"`rate` must be between {self.min_rate} and the initial {self.initial_rate}."
            )
        # Checkpoints from before there was a cooldown have none.
        cooling = _checks.check_count("cooling", state.get("cooling", 0), least=0)
        self.monitor.load_state(state)
        self._rate, self._cooling = rate, cooling
