"""Watch a figure of the history: whether it got better, and for how long it has not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, isfinite, isinf, isnan, nan
from typing import Any, NoReturn

from nnfs_xp import _checks
from nnfs_xp._checks import shown
from nnfs_xp._settings import repr_of
from nnfs_xp.errors import ArgumentError

Directions = Mapping[str, str | None]
"""Of each figure of a history whether less or more is better: "min", "max", or None."""

_SIGNS = {"min": -1.0, "max": 1.0, None: 0.0}
_HOW = " Give validation_data; an estimator takes X_val and y_val, or early_stopping=True."

_WITHOUT_A_TRAINER = {"loss": "min", "val_loss": "min"}


class Monitor:
    """The best value so far of one figure.

    Parameters
    ----------
    name : str
        The figure's key in the history.
    mode : {"auto", "min", "max"}
        Whether less or more is better. ``"auto"``: as the figure's metric says, and less for
        losses.
    min_delta : float
        By how much a figure must be better to count.

    Attributes
    ----------
    best : float
        Infinite before the first figure, NaN before it is known which way is better.
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
        self._sign = _SIGNS[_WITHOUT_A_TRAINER.get(name) if mode == "auto" else mode]
        self.reset()

    __repr__ = repr_of

    def reset(self) -> None:
        """Forget all figures."""
        self.best = -self._sign * inf if self._sign else nan
        self.waited = 0

    def check(self, figures: Directions) -> None:
        """Refuse, before training, where the figure is not among these, or has no direction."""
        if self.name not in figures:
            validated = any(name.startswith("val_") for name in figures)
            lacks_data = self.name.startswith("val_") and not validated
            self._refuse(figures, _HOW if lacks_data else "")
        self._set_sign(figures[self.name] if self.mode == "auto" else self.mode)

    def _refuse(self, names: Iterable[str], hint: str = "") -> NoReturn:
        known = ", ".join(map(str, names)) or "none"
        raise ArgumentError(
            f"there is no figure {self.name!r} to monitor; there are {known}.{hint}"
        )

    def _set_sign(self, direction: str | None) -> None:
        sign = _SIGNS[direction]
        if not sign:
            raise ArgumentError(
                f"nothing tells whether less or more of {self.name!r} is better. Give mode='min' "
                "or mode='max', or set `direction` on the metric."
            )
        if sign != self._sign:
            known_best = not self._sign and not isnan(self.best)
            self._sign = sign
            if not known_best:
                self.reset()

    def observe(self, figures: Mapping[str, float]) -> bool:
        """Take the figure of an epoch; return whether it is the best so far.

        NaN and infinity never are.

        Raises
        ------
        ArgumentError
            There is no such figure, or it is no number, or nothing tells which way is better.
        """
        if self.name not in figures:
            self._refuse(figures)
        if not self._sign:
            self._set_sign(None)
        try:
            value = float(figures[self.name])
        except (TypeError, ValueError):
            raise ArgumentError(
                f"the figure {self.name!r} must be a number; got {shown(figures[self.name])}, "
                f"among {', '.join(map(str, figures))}."
            ) from None
        better = isfinite(value) and self._sign * (value - self.best) > self.min_delta
        if better:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return better

    def state(self) -> dict[str, Any]:
        """The best figure so far, and how many came since."""
        return {"best": self.best if self._sign else inf, "waited": self.waited}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        best = state["best"]
        if isinstance(best, bool) or not isinstance(best, (int, float)) or isnan(best):
            raise ArgumentError(f"the best {self.name} so far is no number: {best!r}.")
        waited = _checks.check_count("waited", state["waited"], least=0)
        self.reset()
        if not isinf(best):  # infinite, there was none, whichever way was then taken for better
            self.best = float(best)
        self.waited = waited
