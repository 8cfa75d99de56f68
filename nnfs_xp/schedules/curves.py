"""Schedules that follow a curve: the rate depends on the step alone."""

from __future__ import annotations

from math import cos, log2, pi

from nnfs_xp import _checks
from nnfs_xp.errors import ArgumentError
from nnfs_xp.schedules.base import Schedule, check_rate


class InverseTimeDecay(Schedule):
    """The book's decay.

    Parameters
    ----------
    initial_rate : float
    decay : float

    Notes
    -----
    rate = initial_rate / (1 + decay * step).

    Source: *Neural Networks from Scratch*, chapter 10.
    """

    def __init__(self, initial_rate: float, decay: float) -> None:
        self.initial_rate = check_rate("initial_rate", initial_rate)
        self.decay = _checks.check_range("decay", decay, 0)

    def rate(self, step: int) -> float:
        return self.initial_rate * (1 / (1 + self.decay * step))


class StepDecay(Schedule):
    """Multiplies the rate by a factor every so many steps.

    Parameters
    ----------
    initial_rate : float
    every : int
        Steps from one drop to the next.
    factor : float
        In (0, 1).

    Notes
    -----
    rate = initial_rate * factor**floor(step / every).
    """

    def __init__(self, initial_rate: float, every: int, factor: float = 0.1) -> None:
        self.initial_rate = check_rate("initial_rate", initial_rate)
        self.every = _checks.check_count("every", every)
        self.factor = _checks.check_range("factor", factor, 0, 1, open_low=True)

    def rate(self, step: int) -> float:
        drops = step // self.every
        return float(self.initial_rate * self.factor**drops)


class ExponentialDecay(Schedule):
    """Shrinks the rate a little with each step.

    Parameters
    ----------
    initial_rate : float
    factor : float
        In (0, 1): what is left of the rate after `per` steps.
    per : int

    Notes
    -----
    rate = initial_rate * factor**(step / per).
    """

    def __init__(self, initial_rate: float, factor: float, per: int = 1) -> None:
        self.initial_rate = check_rate("initial_rate", initial_rate)
        self.factor = _checks.check_range("factor", factor, 0, 1, open_low=True)
        self.per = _checks.check_count("per", per)

    def rate(self, step: int) -> float:
        return float(self.initial_rate * self.factor ** (step / self.per))


class CosineDecay(Schedule):
    """Falls along half a cosine, after a linear warm-up if asked, and again if asked.

    Parameters
    ----------
    initial_rate : float
        At the top of the cosine.
    steps : int
        From there to the bottom, the warm-up not counted.
    final_rate : float
        At the bottom, and from then on if there are no restarts.
    warmup_steps : int
        Steps in which the rate first rises in a straight line: to initial_rate / warmup_steps
        in the first, to initial_rate after the last.
    restarts : bool
        Whether to begin at the top again at each bottom.
    growth : float
        The length of each cycle over that of the one before it, at least 1.

    Notes
    -----
    rate = final_rate + (initial_rate - final_rate) * (1 + cos(pi * t)) / 2, with t from 0 to 1
    the share of the cycle that is done.

    Source: Loshchilov and Hutter 2017, *SGDR: Stochastic Gradient Descent with Warm Restarts*,
    equation 5.
    """

    def __init__(
        self,
        initial_rate: float,
        steps: int,
        *,
        final_rate: float = 0.0,
        warmup_steps: int = 0,
        restarts: bool = False,
        growth: float = 1.0,
    ) -> None:
        self.initial_rate = check_rate("initial_rate", initial_rate)
        self.steps = _checks.check_count("steps", steps)
        self.final_rate = _checks.check_range("final_rate", final_rate, 0)
        if self.final_rate > self.initial_rate:
            raise ArgumentError(
                f"`final_rate` must be at most {initial_rate!r}, the initial; got {final_rate!r}."
            )
        self.warmup_steps = _checks.check_count("warmup_steps", warmup_steps, least=0)
        self.restarts = _checks.check_bool("restarts", restarts)
        self.growth = _checks.check_range("growth", growth, 1)

    def rate(self, step: int) -> float:
        if step < self.warmup_steps:
            return self.initial_rate * (step + 1) / self.warmup_steps
        done, length = float(step - self.warmup_steps), float(self.steps)
        if self.restarts and self.growth == 1:
            done %= length
        elif self.restarts:
            while done >= length:
                done -= length
                length *= self.growth
        return _along_cosine(self.initial_rate, self.final_rate, min(done / length, 1.0))


class OneCycle(Schedule):
    """Rises to a peak and falls far below the start, all in one cycle, along cosines.

    Parameters
    ----------
    peak_rate : float
    steps : int
        Of the whole training; afterwards the rate stays at its end.
    rising_share : float
        The share of the steps in which the rate rises, in (0, 1).
    start_divisor : float
        The rate starts at peak_rate / start_divisor.
    final_divisor : float
        The rate ends at peak_rate / start_divisor / final_divisor.

    Notes
    -----
    As PyTorch's ``OneCycleLR`` with its defaults, but the momentum stays as it is.

    Source: Smith and Topin 2018, *Super-Convergence: Very Fast Training of Neural Networks
    Using Large Learning Rates*, section 3.
    """

    def __init__(
        self,
        peak_rate: float,
        steps: int,
        *,
        rising_share: float = 0.3,
        start_divisor: float = 25.0,
        final_divisor: float = 1e4,
    ) -> None:
        self.peak_rate = check_rate("peak_rate", peak_rate)
        self.steps = _checks.check_count("steps", steps, least=2)
        self.rising_share = _checks.check_range("rising_share", rising_share, 0, 1, open_low=True)
        self.start_divisor = _checks.check_range("start_divisor", start_divisor, 1)
        self.final_divisor = _checks.check_range("final_divisor", final_divisor, 1)

    def rate(self, step: int) -> float:
        start = self.peak_rate / self.start_divisor
        top, end = self.rising_share * self.steps - 1, self.steps - 1
        if step < top:
            return _along_cosine(start, self.peak_rate, step / top)
        t = min((step - top) / (end - top), 1.0)
        return _along_cosine(self.peak_rate, start / self.final_divisor, t)


class FlatCosine(Schedule):
    """Stays at the rate at first, then falls along half a cosine.

    Parameters
    ----------
    initial_rate : float
    steps : int
        Of the whole training; afterwards the rate stays at its end.
    flat_share : float
        The share of the steps in which the rate stays, in [0, 1).
    final_rate : float
        Where the cosine ends, at most `initial_rate`.

    Notes
    -----
    With t = step / steps, rate = initial_rate while t <= flat_share, and then
    final_rate + (initial_rate - final_rate) * (1 + cos(pi * (t - flat_share) / (1 - flat_share)))
    / 2, at most until t = 1.

    Source: the schedule of ``Learner.fit_flat_cos`` in fastai (Howard and Gugger 2020, *fastai: A
    Layered API for Deep Learning*), whose default stays for three quarters.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> schedule = nn.FlatCosine(0.1, steps=8)
    >>> [round(schedule.rate(step), 4) for step in range(9)]
    [0.1, 0.1, 0.1, 0.1, 0.1, 0.0854, 0.05, 0.0146, 0.0]
    """

    def __init__(
        self,
        initial_rate: float,
        steps: int,
        *,
        flat_share: float = 0.5,
        final_rate: float = 0.0,
    ) -> None:
        self.initial_rate = check_rate("initial_rate", initial_rate)
        self.steps = _checks.check_count("steps", steps)
        self.flat_share = _checks.check_range("flat_share", flat_share, 0, 1)
        self.final_rate = _checks.check_range("final_rate", final_rate, 0)
        if self.final_rate > self.initial_rate:
            raise ArgumentError(
                f"`final_rate` must be at most {initial_rate!r}, the initial; got {final_rate!r}."
            )

    def rate(self, step: int) -> float:
        t = min(step / self.steps, 1.0)
        falling = max(t - self.flat_share, 0.0) / (1 - self.flat_share)
        return _along_cosine(self.initial_rate, self.final_rate, falling)


class CosLog(Schedule):
    """Rises from 0 to the peak and falls back to 0 several times, each time more slowly.

    Parameters
    ----------
    peak_rate : float
    steps : int
        Of the whole training; afterwards the rate stays at 0.
    cycles : int
        How often it rises. Each cycle is about twice as long as the one before.

    Notes
    -----
    rate = peak_rate * (1 - cos(2 * pi * log2(1 + (2**cycles - 1) * t))) / 2, with t = step / steps
    in [0, 1]. The first step, at t = 0, has a rate of 0.

    Source: Holzmüller, Grinsztajn and Steinwart 2024, *Better by Default: Strong Pre-Tuned MLPs and
    Boosted Trees on Tabular Data*, section 3 (``coslog4`` is that of 4 cycles).

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> schedule = nn.CosLog(0.1, steps=30)
    >>> [round(schedule.rate(step), 4) for step in (0, 1, 2, 4, 6, 9, 14, 21, 30)]
    [0.0, 0.093, 0.0, 0.093, 0.0, 0.0984, 0.0, 0.0995, 0.0]
    """

    def __init__(self, peak_rate: float, steps: int, *, cycles: int = 4) -> None:
        self.peak_rate = check_rate("peak_rate", peak_rate)
        self.steps = _checks.check_count("steps", steps)
        self.cycles = _checks.check_count("cycles", cycles)

    def rate(self, step: int) -> float:
        t = min(step / self.steps, 1.0)
        turns = log2(1 + (2**self.cycles - 1) * t)
        return self.peak_rate * (1 - cos(2 * pi * turns)) / 2


def _along_cosine(start: float, end: float, t: float) -> float:
    """From start, at t = 0, to end, at t = 1."""
    return end + (start - end) * (1 + cos(pi * t)) / 2
