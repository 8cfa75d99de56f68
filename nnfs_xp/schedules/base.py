"""What every schedule is: the rate of each step, given the number of steps before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._monitor import Directions
from nnfs_xp._settings import repr_of


class Schedule:
    """Base class of the schedules; derive from it to write one of your own.

    A schedule gives `rate`. One that learns from the figures of each epoch also gives
    `observe`, and `state` and `load_state` so that a checkpoint can hold what it learnt.
    """

    __repr__ = repr_of

    def rate(self, step: int) -> float:
        """The learning rate of the step that `step` steps came before."""
        raise NotImplementedError

    def observe(self, figures: Mapping[str, float]) -> None:
        """Learn from the figures of an epoch, which a `Trainer` hands over at its end."""

    def check_figures(self, figures: Directions) -> None:
        """Refuse, before training, where a figure that `observe` needs is not among these.

        Parameters
        ----------
        figures : mapping of str to {"min", "max"} or None
            The history's keys, and whether less or more of each is better, if that is known.
        """

    def state(self) -> dict[str, Any]:
        """What `observe` has learnt, as numbers, strings and lists."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave, or raise where it cannot have given that."""


def check_rate(name: str, value: float) -> float:
    """Refuse a rate that is not above 0."""
    return _checks.check_range(name, value, 0, open_low=True)
