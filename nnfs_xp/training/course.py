"""Where a training is: its epoch and step, and what it has reported."""

from __future__ import annotations

from dataclasses import dataclass, field

from nnfs_xp.metrics.totals import Totals
from nnfs_xp.training.history import History


@dataclass
class Course:
    """Where a training is.

    Attributes
    ----------
    totals : Totals
        Of the present epoch.
    epoch : int
        Epochs done so far.
    step : int
        Steps done so far in the present epoch.
    stopping : bool
        Whether the present epoch is the last one.
    history : History
        Of the present `fit`, or the last.
    figure_names : list of str
        The keys that the history has.
    """

    totals: Totals
    epoch: int = 0
    step: int = 0
    stopping: bool = False
    history: History = field(default_factory=History)
    figure_names: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Begin a `fit`, which goes on from the epochs before."""
        self.history, self.stopping, self.step = History(), False, 0
        self.totals.clear()

    def end_epoch(self, figures: dict[str, float]) -> None:
        """Note the figures of an epoch, and begin the next one."""
        self.history.append(figures)
        self.epoch += 1
        self.step = 0
        self.totals.clear()
