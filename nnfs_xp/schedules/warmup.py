"""A rise before any schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._monitor import Directions
from nnfs_xp.errors import ArgumentError
from nnfs_xp.schedules.base import Schedule, check_rate


class Warmup(Schedule):
    """Rises in a straight line to the rate at which another schedule, or a number, takes over.

    Parameters
    ----------
    after : Schedule or float
        The schedule begins, at its step 0, when the warm-up ends. One that goes by figures sees
        those from then on.
    steps : int
        Of the warm-up.
    start : float
        Where the line begins, one step before the first.

    Raises
    ------
    ArgumentError
        A setting is out of its range, or `start` is above the rate that `after` begins at.

    Notes
    -----
    With r(step) the rate of `after`, rate = start + (r(0) - start) * (step + 1) / steps in the
    first steps, and r(step - steps) from then on. So the first step learns something with a
    start of 0, and the last step of the warm-up has the whole rate; the paper's line, and
    PyTorch's ``LinearLR``, lie one step later.

    Source: Goyal et al. 2017, *Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour*,
    section 2.2.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> schedule = nn.Warmup(nn.StepDecay(0.4, every=2), steps=4)
    >>> [round(schedule.rate(step), 3) for step in range(8)]
    [0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.04, 0.04]
    """

    def __init__(self, after: float | Schedule, steps: int, *, start: float = 0.0) -> None:
        self.after = after if isinstance(after, Schedule) else check_rate("after", after)
        self.steps = _checks.check_count("steps", steps)
        self.start = _checks.check_range("start", start, 0)
        if self.start > (top := self._rate_after(0)):
            raise ArgumentError(f"`start` must be at most {top!r}, where it ends; got {start!r}.")
        self._rises = False

    def rate(self, step: int) -> float:
        self._rises = step < self.steps
        if step >= self.steps:
            return self._rate_after(step - self.steps)
        return self.start + (self._rate_after(0) - self.start) * (step + 1) / self.steps

    def _rate_after(self, step: int) -> float:
        return self.after.rate(step) if isinstance(self.after, Schedule) else self.after

    def observe(self, figures: Mapping[str, float]) -> None:
        if isinstance(self.after, Schedule) and not self._rises:
            self.after.observe(figures)

    def check_figures(self, figures: Directions) -> None:
        if isinstance(self.after, Schedule):
            self.after.check_figures(figures)

    def state(self) -> dict[str, Any]:
        return self.after.state() if isinstance(self.after, Schedule) else {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        if isinstance(self.after, Schedule):
            self.after.load_state(state)
