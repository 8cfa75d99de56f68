"""Watch a figure of the history: whether it got better, and for how long it has not."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isnan
from typing import Any

from nnfs_xp import _checks
from nnfs_xp.errors import ArgumentError

_LESS_IS_BETTER = ("loss", "mae", "rmse")


class Monitor:
    """The best value so far of one figure.

    Parameters
    ----------
    name : str
        The figure's key in the history.
    mode : {"auto", "min", "max"}
        Which way is better. ``"auto"``: less for losses, ``mae`` and ``rmse``, more for the
        rest.
    min_delta : float
        By how much a figure must be better to count.

    Attributes
    ----------
    best : float
        Infinite before the first figure.
    waited : int
        Figures since the best.
    """

    def __init__(self, name: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        if not isinstance(name, str) or not name:
            raise ArgumentError(f"`monitor` must be the name of a figure; got {name!r}.")
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f"`mode` must be 'auto', 'min' or 'max'; got {mode!r}.")
        self.name = name
        self.mode = mode
        self.min_delta = _checks.check_range("min_delta", min_delta, 0)
        less = name.removeprefix("val_") in _LESS_IS_BETTER if mode == "auto" else mode == "min"
        self._sign = -1.0 if less else 1.0
        self.reset()

    def reset(self) -> None:
        """Forget all figures."""
        self.best = -self._sign * inf
        self.waited = 0

    def check(self, names: list[str]) -> None:
        """Refuse, before training, where the figure is not among these."""
        if self.name not in names:
            hint = " Give validation_data." if self.name.startswith("val_") else ""
            raise ArgumentError(
                f"there is no figure {self.name!r} to monitor; there are {', '.join(names)}.{hint}"
            )

    def observe(self, figures: Mapping[str, float]) -> bool:
        """Take the figure of an epoch; return whether it is the best so far. NaN never is."""
        value = figures[self.name]
        better = self._sign * (value - self.best) > self.min_delta
        if better:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return better

    def state(self) -> dict[str, Any]:
        """The best figure so far, and how many came since."""
        return {"best": self.best, "waited": self.waited}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        best = state["best"]
        if isinstance(best, bool) or not isinstance(best, (int, float)) or isnan(best):
            raise ArgumentError(f"the best {self.name} so far is no number: {best!r}.")
        waited = _checks.check_count("waited", state["waited"], least=0)
        self.best, self.waited = float(best), waited
