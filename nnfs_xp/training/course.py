"""Where a training is: its epoch and step, and what it has reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nnfs_xp.errors import ArgumentError
from nnfs_xp.learning.totals import Totals
from nnfs_xp.metrics import Metric
from nnfs_xp.optimizers import Optimizer
from nnfs_xp.schedules import Schedule
from nnfs_xp.training.callbacks import Callback
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
    cut : bool
        Whether the present step is the last one.
    history : History
        Of the present `fit`, or the last.
    figure_names : list of str
        The keys that the history has.
    mark : object
        What callbacks and schedules that took part carry; a copy of a training has another.
    """

    totals: Totals
    epoch: int = 0
    step: int = 0
    stopping: bool = False
    cut: bool = False
    history: History = field(default_factory=History)
    figure_names: list[str] = field(default_factory=list)
    mark: object = field(default_factory=object, repr=False, compare=False)

    def begin(self) -> None:
        """Begin a `fit`, which goes on from the epochs before."""
        self.history, self.stopping, self.step = History(), False, 0
        self.totals.clear()

    def figures(self, *, validated: bool) -> dict[str, str | None]:
        """The history's keys, and whether less or more of each is better: "min", "max" or None.

        Raises
        ------
        ArgumentError
            A metric's direction is none of these.
        """
        directions: dict[str, str | None] = {"loss": "min"}
        directions |= {each.name: _direction_of(each) for each in self.totals.metrics}
        names = self.totals.names
        found = {name: directions[name] for name in names}
        if validated:
            found |= {f"val_{name}": directions[name] for name in names}
        return {**found, "learning_rate": None}

    def begin_callbacks(self, callbacks: Sequence[Callback]) -> None:
        """Have those go on that took part in this training last, and the others begin anew."""
        for callback in callbacks:
            if vars(callback).get(_MARK) is self.mark:
                callback.go_on()
            else:
                callback.reset()
        self.mark_callbacks(callbacks)

    def mark_callbacks(self, callbacks: Sequence[Callback]) -> None:
        """Note that these take part."""
        for callback in callbacks:
            vars(callback)[_MARK] = self.mark  # for it may be a frozen data class

    def mark_schedules(self, optimizer: Optimizer) -> None:
        """Note that the optimizer's schedules have learnt from this training, by this optimizer."""
        for each in (optimizer, *_schedules(optimizer)):
            vars(each)[_MARK] = self.mark

    def check_schedules(self, optimizer: Optimizer) -> None:
        """Refuse a schedule that has learnt from another training, by another optimizer.

        Raises
        ------
        ArgumentError
        """
        known = self.mark, vars(optimizer).get(_MARK)
        for each in _schedules(optimizer):
            if each.state() and vars(each).get(_MARK, self.mark) not in known:
                raise ArgumentError(
                    f"the optimizer's {each!r} has learnt from another training, and would "
                    "begin at the rate that it came to. Make one for each training."
                )

    def end_epoch(self, figures: dict[str, float]) -> None:
        """Note the figures of an epoch, and begin the next one."""
        self.history.append(figures)
        self.epoch += 1
        self.step = 0
        self.totals.clear()


_MARK = "_mark_of_training"


def _schedules(part: Optimizer | Schedule) -> Iterator[Schedule]:
    """The schedules of an optimizer, and those that they are made of."""
    for each in vars(part).values():
        if isinstance(each, Schedule):
            yield each
            yield from _schedules(each)


def _direction_of(metric: Metric) -> str | None:
    direction = metric.direction
    if direction not in ("min", "max", None):
        raise ArgumentError(
            f"{type(metric).__name__}.direction must be 'min', 'max' or None; got {direction!r}."
        )
    return direction
