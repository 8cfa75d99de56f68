"""Which recorded steps may be launched without comparing settings."""

from __future__ import annotations

from typing import Any

from nnfs_xp.learning.epoch import Batch, Epoch
from nnfs_xp.training.callbacks import Callback, acts_on


class Trust:
    """Tells in which steps of an epoch no setting can have changed since the like one before.

    Parameters
    ----------
    actors : list of Callback
        Those that may change one.
    data : Epoch
        Whose steps they are. Where it calls functions of the user, those may change one too.
    first : int
        The number of the first step.
    """

    def __init__(self, actors: list[Callback], data: Epoch, first: int) -> None:
        self._actors = actors
        self._is_watched = data.is_watched
        between = "on_epoch_begin", "on_epoch_end"
        self._changed = any(acts_on(each, hook) for each in actors for hook in between)
        self._first = first
        self._seen: set[Any] = set()

    def covers(self, index: int, group: tuple[Batch, ...]) -> bool:
        """Whether a recording of such a step holds without being looked at."""
        # Asked anew, for a hook may be set in the middle of an epoch.
        if self._is_watched or any(acts_on(each, "on_step_end") for each in self._actors):
            return False
        if self._changed:  # also of the kinds that come late, as the last batch
            form = tuple(
                (batch.whole, *((each.shape, each.dtype) for each in batch.arrays or ()))
                for batch in group
            )
            if form not in self._seen:
                self._seen.add(form)
                return False
        return index > self._first + 1
