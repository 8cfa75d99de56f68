"""On how many threads steps are the faster: measured while they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from threading import get_ident
from time import perf_counter
from typing import Any, TypeVar

from nnfs_xp.kernels.threads import LEAST_PRODUCT, LEAST_UPDATE, MOST_ALONE, Threads
from nnfs_xp.learning.learner import Learner

Result = TypeVar("Result")

_SOON, _LATE = 0.25, 8.0
"""Seconds from one trial to the next: the first wait, and the longest."""

_LONG = 0.02
"""Seconds that a number of threads is measured for in a trial, and three steps at least."""

_GAIN = 0.93
"""What is better takes less than this share of the other's time."""

_SUSPECT = 1.4
"""Steps that take so many times what they took call for a trial at once."""

_HOPELESS, _ENOUGH = 1.5, 0.005
"""A number of threads on which steps take so many times as long, for so many seconds, is not tried
any further."""


class Choice:
    """One of several numbers of threads, by what steps of one kind take on each.

    Now and then a trial makes some steps on another number, and some on the present one. Where the
    other is better, a second trial follows at once, and where it is better in both together, it
    takes over. The trials grow rarer as they change nothing, and come at once when steps begin to
    take longer than they did.

    Parameters
    ----------
    numbers : tuple of int
        Those to choose from, in order; begins with the last one.
    settle : float
        Seconds until steps on another number show what they take.

    Attributes
    ----------
    number : int
        On how many threads to make the next step.
    best : int
        The one that was found best so far.
    """

    def __init__(self, numbers: tuple[int, ...], settle: float = 0.0) -> None:
        self.numbers = numbers
        self.number = self.best = numbers[-1]
        self._settle = settle
        self._turn = 0
        self._steps = 0
        self._usual = 0.0  # what a step takes, lately
        self._reference = 0.0  # what it took in the last trial
        self._wait = _SOON
        self._last = self._next = -1.0  # when trials ended, and when one is due
        self._taken: dict[int, list[float]] = {}  # in the present trial
        self._before: dict[int, list[float]] = {}  # in the one that it is to confirm
        self._skip_until = 0.0

    def note(self, begin: float, end: float) -> None:
        """Note when a step on `number` began and ended, in seconds; set the next step's number."""
        if len(self.numbers) == 1:
            return
        seconds = end - begin
        if self._taken:
            self._note_trial(begin, end, seconds)
            return
        self._steps += 1
        if self._steps <= 2:  # the first ones make ready what later ones find
            return
        self._usual += 0.1 * (seconds - self._usual) if self._usual else seconds
        if self._next < 0:
            self._last, self._next = begin, begin
        suspect = self._reference and self._usual > _SUSPECT * self._reference
        if end >= self._next or (suspect and end >= self._last + 2 * _SOON):
            self._begin_trial(end)

    def _begin_trial(self, now: float) -> None:
        place = self.numbers.index(self.best)
        others = self.numbers[max(place - 1, 0) : place] + self.numbers[place + 1 : place + 2]
        other = others[self._turn % len(others)]
        self._taken = {other: [], self.best: []}
        self._turn_to(other, now)

    def _turn_to(self, number: int, now: float) -> None:
        self.number = number
        self._skip_until = now + self._settle

    def _note_trial(self, begin: float, end: float, seconds: float) -> None:
        if begin < self._skip_until and seconds < self._settle:
            return
        taken = self._taken[self.number]
        taken.append(seconds)
        tried = self.number != self.best
        slow = sum(taken) > max(_HOPELESS * len(taken) * self._usual, _ENOUGH)
        hopeless = tried and len(taken) > 1 and slow
        enough = sum(taken) >= (_LONG if len(taken) >= 3 else 5 * _LONG)
        if hopeless or (enough and not tried):
            self.number = self.best
            self._end_trial(end)
        elif enough:
            self._turn_to(self.best, end)

    def _end_trial(self, now: float) -> None:
        taken, before, self._taken, self._before = self._taken, self._before, {}, {}
        (other, theirs), (_, mine) = taken.items()
        present = _mean(mine) or self._usual
        lost = sum(theirs) - len(theirs) * present
        theirs, mine = theirs + before.get(other, []), mine + before.get(self.best, [])
        wins = bool(mine) and _mean(theirs) < _GAIN * _mean(mine)
        wait = 0.0
        if wins and not before:
            self._before = taken
        elif wins:
            self.number = self.best = other
            present, wait, self._wait = _mean(theirs), _SOON, _SOON
        else:
            self._turn += 1
            wait = max(self._wait, 100 * lost)
            self._wait = min(2 * self._wait, _LATE)
        self._reference = self._usual = present
        self._last, self._next = now, now + wait


def _mean(seconds: list[float]) -> float:
    return sum(seconds) / len(seconds) if seconds else 0.0


class Pace:
    """Runs a learner's work on as many threads as are best for it.

    Where a user says how many there are to be, by the environment or by threadpoolctl, they stay as
    they are.

    Parameters
    ----------
    learner : Learner
    wanted : int, optional
        So many threads always, or as many as there are, if these are fewer.
    """

    def __init__(self, learner: Learner, wanted: int | None = None) -> None:
        self._learner = learner
        _ = self._threads  # made ready here, so that no step waits for it
        self._wanted = wanted
        self._choices: dict[tuple[str, int], Choice | None] = {}
        self._holder = 0  # the thread that is at work all the time
        self._leaves_alone = False

    @contextmanager
    def held(self, *, repeatable: bool) -> Iterator[None]:
        """While it lasts, this thread is at work, and need not begin and end with each step.

        Parameters
        ----------
        repeatable : bool
            Whether another run must give the same bits. Then a number of threads that would change
            them is left as it is.
        """
        threads = self._threads
        if threads is None or self._holder:
            yield
            return
        chosen = self._wanted is not None or (
            threads.are_free and (threads.keeps_bits or not repeatable)
        )
        self._holder, self._leaves_alone = get_ident(), not chosen
        if chosen:
            threads.enter(threads.most)
        try:
            yield
        finally:
            self._holder, self._leaves_alone = 0, False
            if chosen:
                threads.leave()

    def run(
        self, kind: str, n_rows: int, work: Callable[..., Result], *arguments: Any, **options: Any
    ) -> Result:
        """Do the work on a batch of so many rows; return what it returns.

        Parameters
        ----------
        kind : str
            Works of one kind, on batches of like sizes, take a like time.
        n_rows : int
        work : callable
        *arguments, **options
            Of the work.
        """
        key = kind, n_rows.bit_length()
        if key not in self._choices:
            self._choices[key] = self._choice(kind, n_rows)
        choice = self._choices[key]
        if choice is None or self._leaves_alone:
            return work(*arguments, **options)
        threads = self._threads
        assert threads is not None
        is_held = self._holder == get_ident()
        if is_held:
            if threads.number != choice.number:
                threads.set(choice.number)
        elif self._wanted is not None or threads.are_free:
            threads.enter(choice.number)
        else:
            return work(*arguments, **options)
        number, begin = choice.number, perf_counter()
        try:
            result = work(*arguments, **options)
            if threads.is_alone and threads.number == number:
                choice.note(begin, perf_counter())
        finally:
            if not is_held:
                threads.leave()
        return result

    @property
    def _threads(self) -> Threads | None:
        return self._learner.backend.kernels.threads

    @property
    def _widest(self) -> int:
        """The elements of the largest matrix that inputs are multiplied by."""
        parameters = self._learner.model.parameters().values()
        return max((prod(p.shape) for p in parameters if p.ndim == 2), default=0)

    def _choice(self, kind: str, n_rows: int) -> Choice | None:
        """What chooses the number for such work; None where it makes no difference."""
        threads, flat = self._threads, self._learner.model._flat
        if threads is None:
            return None
        if self._wanted is not None:
            return Choice((min(self._wanted, threads.most),))
        of_all = kind in ("step", "update")
        updates = of_all and flat is not None and flat.size >= LEAST_UPDATE
        size = n_rows * self._widest
        if size < LEAST_PRODUCT and not updates:
            # Products that no pool shares: the BLAS' threads take longer than one, and round anew.
            return Choice((1,)) if size > MOST_ALONE and threads.keeps_bits else None
        numbers = [2**n for n in range(threads.most.bit_length()) if 2**n < threads.most]
        settle = 0.002 if threads.keeps_bits else 0.03  # OpenBLAS' threads wait a while for work
        return Choice((*numbers, threads.most), settle)
