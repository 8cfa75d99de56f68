"""Learning-rate schedules: the rate of each step, given the number of steps before it.

An optimizer takes one in place of a number: ``nn.Adam(nn.CosineDecay(1e-3, steps=10_000))``.
Lengths are in steps, of which an epoch has ceil(samples / batch_size).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, pi
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._monitor import Directions, Monitor
from nnfs_xp._settings import repr_of
from nnfs_xp.errors import ArgumentError

__all__ = [
    "CosineDecay",
    "ExponentialDecay",
    "InverseTimeDecay",
    "OneCycle",
    "ReduceOnPlateau",
    "Schedule",
    "StepDecay",
    "Warmup",
]


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
        self.initial_rate = _rate("initial_rate", initial_rate)
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
        self.initial_rate = _rate("initial_rate", initial_rate)
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
        self.initial_rate = _rate("initial_rate", initial_rate)
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
        self.initial_rate = _rate("initial_rate", initial_rate)
        self.steps = _checks.check_count("steps", steps)
        self.final_rate = _checks.check_range("final_rate", final_rate, 0)
        if self.final_rate > self.initial_rate:
            raise ArgumentError(
                f"`final_rate` must be at most {initial_rate!r}, the initial; got {final_rate!r}."
            )
        self.warmup_steps = _checks.check_count("warmup_steps", warmup_steps, least=0)
        self.restarts = bool(restarts)
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
        self.peak_rate = _rate("peak_rate", peak_rate)
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
        self.initial_rate = _rate("initial_rate", initial_rate)
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


class Warmup(Schedule):
    """Rises in a straight line to the rate at which another schedule, or a number, takes over.

    Parameters
    ----------
    after : Schedule or float
        The schedule begins, at its step 0, when the warm-up ends.
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
        self.after = after if isinstance(after, Schedule) else _rate("after", after)
        self.steps = _checks.check_count("steps", steps)
        self.start = _checks.check_range("start", start, 0)
        if self.start > (top := self._rate_after(0)):
            raise ArgumentError(f"`start` must be at most {top!r}, where it ends; got {start!r}.")

    def rate(self, step: int) -> float:
        if step >= self.steps:
            return self._rate_after(step - self.steps)
        return self.start + (self._rate_after(0) - self.start) * (step + 1) / self.steps

    def _rate_after(self, step: int) -> float:
        return self.after.rate(step) if isinstance(self.after, Schedule) else self.after

    def observe(self, figures: Mapping[str, float]) -> None:
        if isinstance(self.after, Schedule):
            self.after.observe(figures)

    def check_figures(self, figures: Directions) -> None:
        if isinstance(self.after, Schedule):
            self.after.check_figures(figures)

    def state(self) -> dict[str, Any]:
        return self.after.state() if isinstance(self.after, Schedule) else {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        if isinstance(self.after, Schedule):
            self.after.load_state(state)


def _rate(name: str, value: float) -> float:
    return _checks.check_range(name, value, 0, open_low=True)


def _along_cosine(start: float, end: float, t: float) -> float:
    """From start, at t = 0, to end, at t = 1."""
    return end + (start - end) * (1 + cos(pi * t)) / 2
