"""The learning rates of ``solver="sgd"``: scikit-learn's rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnfs_xp.schedules import Schedule

_LOWEST_RATE = 1e-6


class EpochRate(Schedule):
    """A learning rate that changes between epochs only.

    Parameters
    ----------
    initial_rate : float
    kind : {"constant", "invscaling", "adaptive"}
    power : float
        Of ``"invscaling"``.

    Notes
    -----
    ``"invscaling"``: rate = initial_rate / (samples + 1)**power, with the samples seen in the
    epochs before. ``"adaptive"``: a fifth of itself, each time that the training would stop.
    """

    def __init__(self, initial_rate: float, kind: str, power: float) -> None:
        self.initial_rate = self.value = initial_rate
        self.kind = kind
        self.power = power

    def rate(self, step: int) -> float:
        del step
        return self.value

    def state(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.value = state["value"]

    def after_epoch(self, n_samples: int) -> None:
        """Set the rate by the number of samples seen so far."""
        if self.kind == "invscaling":
            self.value = float(self.initial_rate / (n_samples + 1) ** self.power)

    def lower(self) -> bool:
        """Lower the rate if it can be lower; return whether it could."""
        if self.kind != "adaptive" or self.value <= _LOWEST_RATE:
            return False
        self.value /= 5
        return True
