"""Weights that follow those of another optimizer, a few steps behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._typing import Namespace
from nnfs_xp.errors import ArgumentError
from nnfs_xp.flat_parameters import FlatParameters, Part
from nnfs_xp.optimizers.base import Optimizer, State

_SLOW = "slow"


def _of_the_inner(name: str) -> Any:
    """An attribute that is the inner optimizer's."""

    def read(self: Lookahead) -> Any:
        return getattr(self.optimizer, name)

    def write(self: Lookahead, value: Any) -> None:
        setattr(self.optimizer, name, value)

    return property(read, write)


class Lookahead(Optimizer):
    """Lets another optimizer go ahead for some steps, and then goes a part of the way after it.

    Parameters
    ----------
    optimizer : Optimizer
        A new one. Its settings are those of both: learning rate, clipping, decay and averages.
    k : int
        Steps that it goes ahead.
    alpha : float
        The part of the way, in (0, 1).

    Attributes
    ----------
    learning_rate, decay, clip_norm, clip_value, weight_decay, average_decay, iterations
        The other optimizer's.

    Raises
    ------
    ArgumentError
        It is no optimizer, or one that has stepped, or that gives more than `apply`.

    Notes
    -----
    values: the other optimizer's step. After every k steps, slow += alpha * (values - slow) and
    values = slow; slow starts as the first values.

    Source: Zhang et al. 2019, *Lookahead Optimizer: k steps forward, 1 step back*, algorithm 1.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.Lookahead(nn.SGD(0.1, momentum=0.9), k=10)
    Lookahead(SGD(learning_rate=0.1, momentum=0.9), k=10)
    """

    copied_names = (_SLOW,)

    learning_rate: Any = _of_the_inner("learning_rate")
    decay: Any = _of_the_inner("decay")
    clip_norm: Any = _of_the_inner("clip_norm")
    clip_value: Any = _of_the_inner("clip_value")
    weight_decay: Any = _of_the_inner("weight_decay")
    average_decay: Any = _of_the_inner("average_decay")
    iterations: Any = _of_the_inner("iterations")
    works_in_parts: Any = _of_the_inner("works_in_parts")
    _scale: Any = _of_the_inner("_scale")

    def __init__(self, optimizer: Optimizer, *, k: int = 5, alpha: float = 0.5) -> None:
        self.optimizer = _inner(optimizer)
        super().__init__(
            optimizer.learning_rate,
            optimizer.decay,
            clip_norm=optimizer.clip_norm,
            clip_value=optimizer.clip_value,
            weight_decay=optimizer.weight_decay,
            average_decay=optimizer.average_decay,
        )
        self.k = _checks.check_count("k", k)
        self.alpha = _checks.check_range("alpha", alpha, 0, 1, open_low=True)
        self.state_names = (*optimizer.state_names, _SLOW)

    def walk(self) -> Iterator[Optimizer]:
        yield self
        yield from self.optimizer.walk()

    @property
    def current_learning_rate(self) -> float:
        return self.optimizer.current_learning_rate

    @property
    def current_weight_decay(self) -> float:
        return self.optimizer.current_weight_decay

    def parts_of(self, flat: FlatParameters) -> tuple[Part, ...]:
        return self.optimizer.parts_of(flat)

    def apply(self, xp: Namespace, flat: Part, state: State) -> None:
        self.optimizer.apply(xp, flat, state)
        kernels, t = flat.backend.kernels, self.iterations + 1
        kernels.lookahead(xp, flat.values, state[_SLOW], t, self.k, self.alpha)


def _inner(optimizer: Any) -> Optimizer:
    """The other optimizer, if it is one that can be led."""
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"`optimizer` must be an Optimizer object; got {optimizer!r}.")
    kind = type(optimizer)
    if kind.update is not Optimizer.update or kind.step is not Optimizer.step:
        raise ArgumentError(
            f"{kind.__name__} has a `step` or an `update` of its own; give `apply` alone."
        )
    if _SLOW in optimizer.state_names:
        raise ArgumentError(f"{optimizer!r} keeps slow weights itself.")
    if optimizer.iterations:
        raise ArgumentError(f"{optimizer!r} has made steps already; hand over a new one.")
    return optimizer
