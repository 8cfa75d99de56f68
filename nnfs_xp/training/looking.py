"""When callbacks look at a training: when the time that a look takes has been earned.

A callback says which share of the training's time it may take. A look is expected to take as long
as the median of the last few did, so that one slow look changes little. The next one is due when
three things hold:

- The training has gone on long enough to pay for all looks so far and for this one.
- It has gone on long enough since the last look to pay for this one. So looks come evenly, and not
  in bursts, also after a time in which none was affordable.
- A 500th of the time so far has passed since the last look. So what looks write grows slowly.

At the end comes a last look, where it is paid for or expected to take at most 50 ms. So also a
training of a moment is looked at once.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from math import inf
from statistics import median
from time import monotonic

from nnfs_xp.training.accord import Accord
from nnfs_xp.training.callbacks import Callback
from nnfs_xp.training.sight import Sight

_EXPECTED = 0.01
"""Seconds that the first look is expected to take."""

_GRANTED = 0.05
"""Seconds that the last look may take without having been earned."""

_COSTS = 9
"""How many of the last looks say how long the next one takes."""

_SPACING_DIVISOR = 500
"""From one look to the next pass at least the seconds of the training so far, divided by this."""


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
        self._sight = sight
        self._accord = accord
        self._lookers = [_Looker(each) for each in accord.callbacks if each.look_share > 0]
        self.wanted = bool(self._lookers)
        self.due = inf

    def begin(self) -> None:
        """Tell them what there is to see; the time counts from here."""
        for each in self._lookers:
            begun = monotonic()
            self._accord.attempt(each.callback.begin_looking, self._sight)
            each.begin(begun, monotonic())
        self._plan()

    def look(self) -> None:
        """Have those look whose turn it is."""
        for each in self._lookers:
            start = monotonic()
            if each.due <= start:
                goes_on = self._accord.attempt(each.callback.look, self._sight)
                each.pay(start, monotonic(), goes_on=bool(goes_on))
        self._plan()

    def end(self) -> None:
        """Have those look for the last time whose look is cheap, or earned."""
        for each in self._lookers:
            if each.expected <= _GRANTED or each.earned <= monotonic():
                self._accord.attempt(partial(each.callback.look, last=True), self._sight)

    def _plan(self) -> None:
        self.due = min((each.due for each in self._lookers), default=inf)


class _Looker:
    """A callback that looks, and the time that it has taken.

    Attributes
    ----------
    due : float
        When it is its turn.
    """

    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        self.due = inf
        self._begun = self._spent = self._of_this_look = 0.0
        self._costs: deque[float] = deque(maxlen=_COSTS)

    def begin(self, begun: float, now: float) -> None:
        self._begun = begun
        self._spent = now - begun
        self._plan(now)

    def pay(self, start: float, end: float, *, goes_on: bool) -> None:
        """Count the time of a look, or of the first half of one that goes on."""
        self._spent += end - start
        self._of_this_look += end - start
        if goes_on:
            self.due = -inf
            return
        self._costs.append(self._of_this_look)
        self._of_this_look = 0.0
        self._plan(end)

    @property
    def expected(self) -> float:
        """The seconds that the next look will take."""
        return median(self._costs) if self._costs else _EXPECTED

    @property
    def earned(self) -> float:
        """From when on the next look is paid for."""
        return self._begun + (self._spent + self.expected) / self.callback.look_share

    def _plan(self, now: float) -> None:
        paid_since = now + self.expected / self.callback.look_share
        spaced = now + (now - self._begun) / _SPACING_DIVISOR
        self.due = max(self.earned, paid_since, spaced)
