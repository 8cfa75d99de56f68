"""When callbacks look at a training: when the time that a look takes has been earned."""

from __future__ import annotations

from functools import partial
from math import inf
from time import monotonic

from nnfs_xp.training.accord import Accord
from nnfs_xp.training.callbacks import Callback
from nnfs_xp.training.sight import Sight

_EXPECTED = 0.01
"""Seconds that the first look is expected to take."""

_SPACING = 500
"""No look comes sooner after another than this part of the time so far: so files grow slowly."""


class Looking:
    """Calls the callbacks that look, each as often as its share of the time allows.

    Parameters
    ----------
    accord : Accord
        Of the callbacks.
    sight : Sight
        Handed to them.

    Attributes
    ----------
    wanted : bool
        Whether there is one that looks.
    due : float
        From which time on one of them looks, by the clock `time.monotonic`.
    """

    def __init__(self, accord: Accord, sight: Sight) -> None:
        self.sight = sight
        self._accord = accord
        self._lookers = [_Looker(each) for each in accord.callbacks if each.look_share > 0]
        self.wanted = bool(self._lookers)
        self.due = inf

    def begin(self) -> None:
        """Tell them what there is to see; the time counts from here."""
        for each in self._lookers:
            begun = monotonic()
            self._accord.attempt(each.callback.begin_looking, self.sight)
            each.begin(begun, monotonic())
        self._plan()

    def look(self) -> None:
        """Have those look whose turn it is."""
        for each in self._lookers:
            start = monotonic()
            if each.due <= start:
                goes_on = self._accord.attempt(each.callback.look, self.sight)
                each.pay(start, monotonic(), goes_on=bool(goes_on))
        self._plan()

    def end(self) -> None:
        """Have those look for the last time who have time left."""
        for each in self._lookers:
            if each.last_due <= monotonic():
                self._accord.attempt(partial(each.callback.look, last=True), self.sight)

    def _plan(self) -> None:
        self.due = min((each.due for each in self._lookers), default=inf)


class _Looker:
    """A callback that looks, and the time that it has taken.

    Attributes
    ----------
    due : float
        When it is its turn, so that there is time for the last look too.
    last_due : float
        From when on there is time for the last look.
    """

    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        self.due = self.last_due = inf

    def begin(self, begun: float, now: float) -> None:
        self._begun = begun
        self._spent = now - begun
        self._of_this_look = 0.0
        self._plan(_EXPECTED)

    def pay(self, start: float, end: float, *, goes_on: bool) -> None:
        """Count the time of a look, or of the first half of one that goes on."""
        self._spent += end - start
        self._of_this_look += end - start
        if goes_on:
            self.due = -inf
            return
        self._plan(self._of_this_look)
        self.due = max(self.due, end + (end - self._begun) / _SPACING)
        self._of_this_look = 0.0

    def _plan(self, expected: float) -> None:
        share = self.callback.look_share
        self.last_due = self._begun + (self._spent + expected) / share
        self.due = self.last_due + expected / share
