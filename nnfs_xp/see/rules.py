"""The learning rules, as in the optimizers' docstrings, with one weight's numbers filled in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from math import sqrt
from typing import NamedTuple

from nnfs_xp.optimizers import SGD, Adagrad, Adam, Lion, Lookahead, Muon, Optimizer, RMSprop
from nnfs_xp.see.scene import format_number as show


class Rule(NamedTuple):
    """How a step moves a weight.

    Attributes
    ----------
    lines : tuple of str
        The equations, with their numbers.
    after : float or None
        The weight that they come to; None where the rule is not known here.
    """

    lines: tuple[str, ...]
    after: float | None


def rule(
    optimizer: Optimizer,
    weight: float,
    gradient: float,
    rate: float,
    state: Mapping[str, float],
    *,
    whole: bool = False,
) -> Rule:
    """The rule of an optimizer for one weight.

    Parameters
    ----------
    optimizer : Optimizer
        As it is before the step.
    weight : float
        After it has decayed, if it does.
    gradient : float
        After clipping.
    rate : float
        The learning rate of this weight.
    state : mapping of str to float
        What the optimizer keeps for this weight, before the step.
    whole : bool
        Whether the weight is one of a matrix that the optimizer steps as a whole.
    """
    if isinstance(optimizer, Lookahead):
        return _looking_ahead(optimizer, weight, gradient, rate, state, whole=whole)
    if whole and isinstance(optimizer, Muon):
        return _of_matrix(optimizer, gradient, state)
    return _rule(optimizer, weight, gradient, rate, state)


@singledispatch
def _rule(
    optimizer: Optimizer, weight: float, gradient: float, rate: float, state: Mapping[str, float]
) -> Rule:
    del weight, rate, state
    return Rule((f"{type(optimizer).__name__} steps by its own rule, g = {show(gradient)}",), None)


@_rule.register
def _(
    optimizer: SGD, weight: float, gradient: float, rate: float, state: Mapping[str, float]
) -> Rule:
    if not optimizer.momentum:
        after = weight - rate * gradient
        line = f"w ← w − α·g = {show(weight)} − {show(rate)}·{_in(gradient)} = {show(after)}"
        return Rule((line,), after)
    old, beta = state["velocity"], optimizer.momentum
    v = beta * old - rate * gradient
    first = f"v ← β·v − α·g = {show(beta)}·{_in(old)} − {show(rate)}·{_in(gradient)} = {show(v)}"
    if optimizer.nesterov:
        after = weight + beta * v - rate * gradient
        line = (
            f"w ← w + β·v − α·g = {show(weight)} + {show(beta)}·{_in(v)} − "
            f"{show(rate)}·{_in(gradient)} = {show(after)}"
        )
        return Rule((first, line), after)
    after = weight + v
    return Rule((first, f"w ← w + v = {show(weight)} + {_in(v)} = {show(after)}"), after)


@_rule.register
def _(
    optimizer: Adagrad, weight: float, gradient: float, rate: float, state: Mapping[str, float]
) -> Rule:
    c = state["cache"] + gradient * gradient
    first = f"c ← c + g² = {show(state['cache'])} + {_in(gradient)}² = {show(c)}"
    return _divided(weight, gradient, rate, c, optimizer.epsilon, first)


@_rule.register
def _(
    optimizer: RMSprop, weight: float, gradient: float, rate: float, state: Mapping[str, float]
) -> Rule:
    rho, old = optimizer.rho, state["cache"]
    c = rho * old + (1 - rho) * gradient * gradient
    first = (
        f"c ← ρ·c + (1 − ρ)·g² = {show(rho)}·{show(old)} + {show(1 - rho)}·{_in(gradient)}² = "
        f"{show(c)}"
    )
    return _divided(weight, gradient, rate, c, optimizer.epsilon, first)


def _divided(
    weight: float, gradient: float, rate: float, c: float, epsilon: float, first: str
) -> Rule:
    after = weight - rate * gradient / (sqrt(c) + epsilon)
    line = (
        f"w ← w − α·g / (√c + ε) = {show(weight)} − {show(rate)}·{_in(gradient)} / "
        f"({show(sqrt(c))} + {show(epsilon)}) = {show(after)}"
    )
    return Rule((first, line), after)


@_rule.register(Adam)
@_rule.register(Muon)  # of what is in no matrix
def _(
    optimizer: Adam | Muon, weight: float, gradient: float, rate: float, state: Mapping[str, float]
) -> Rule:
    t, one, two = optimizer.iterations + 1, optimizer.beta_1, optimizer.beta_2
    m = one * state["momentum"] + (1 - one) * gradient
    c = two * state["cache"] + (1 - two) * gradient * gradient
    m_hat, largest = m / (1 - one**t), max(c, state.get("largest_cache", 0.0))
    c_hat = largest / (1 - two**t)
    after = weight - rate * m_hat / (sqrt(c_hat) + optimizer.epsilon)
    name = "max(c so far)" if "largest_cache" in state else "c"
    return Rule(
        (
            f"m ← β₁·m + (1 − β₁)·g = {show(one)}·{_in(state['momentum'])} + "
            f"{show(1 - one)}·{_in(gradient)} = {show(m)}",
            f"c ← β₂·c + (1 − β₂)·g² = {show(two)}·{show(state['cache'])} + "
            f"{show(1 - two)}·{_in(gradient)}² = {show(c)}",
            f"m̂ = m / (1 − β₁^{t}) = {show(m_hat)},  ĉ = {name} / (1 − β₂^{t}) = {show(c_hat)}",
            f"w ← w − α·m̂ / (√ĉ + ε) = {show(weight)} − {show(rate)}·{_in(m_hat)} / "
            f"({show(sqrt(c_hat))} + {show(optimizer.epsilon)}) = {show(after)}",
        ),
        after,
    )


@_rule.register
def _(
    optimizer: Lion, weight: float, gradient: float, rate: float, state: Mapping[str, float]
) -> Rule:
    one, two, m = optimizer.beta_1, optimizer.beta_2, state["momentum"]
    between = one * m + (1 - one) * gradient
    sign = (between > 0) - (between < 0)
    after, m_after = weight - rate * sign, two * m + (1 - two) * gradient
    return Rule(
        (
            f"d = β₁·m + (1 − β₁)·g = {show(one)}·{_in(m)} + {show(1 - one)}·{_in(gradient)} = "
            f"{show(between)}",
            f"w ← w − α·sign(d) = {show(weight)} − {show(rate)}·{_in(sign)} = {show(after)}",
            f"m ← β₂·m + (1 − β₂)·g = {show(m_after)}",
        ),
        after,
    )


def _of_matrix(optimizer: Muon, gradient: float, state: Mapping[str, float]) -> Rule:
    old, mu = state["momentum"], optimizer.momentum
    m = mu * old + gradient
    lines = [f"m ← μ·m + g = {show(mu)}·{_in(old)} + {_in(gradient)} = {show(m)}"]
    name = "m"
    if optimizer.nesterov:
        name, u = "u", gradient + mu * m
        lines.append(f"u = g + μ·m = {show(gradient)} + {show(mu)}·{_in(m)} = {show(u)}")
    lines.append(f"x = the matrix of all {name} with its singular values brought to about 1")
    lines.append("w loses α·√max(1, neurons / inputs)·x, of the whole matrix")
    return Rule(tuple(lines), None)


def _looking_ahead(
    optimizer: Lookahead,
    weight: float,
    gradient: float,
    rate: float,
    state: Mapping[str, float],
    *,
    whole: bool,
) -> Rule:
    ahead = rule(optimizer.optimizer, weight, gradient, rate, state, whole=whole)
    k, alpha, slow = optimizer.k, optimizer.alpha, state["slow"]
    left = k - 1 - optimizer.iterations % k
    if left:
        return Rule((*ahead.lines, f"in {left} more steps, a part of the way from s"), ahead.after)
    if ahead.after is None:
        return Rule(
            (*ahead.lines, f"then w becomes s + {show(alpha)}·(w − s), s = {show(slow)}"), None
        )
    after = slow + alpha * (ahead.after - slow)
    lines = [line.replace("w ← ", "ahead: w = ") for line in ahead.lines]
    lines.append(
        f"w ← s + {show(alpha)}·(w − s) = {show(slow)} + {show(alpha)}·"
        f"({show(ahead.after)} − {_in(slow)}) = {show(after)}"
    )
    return Rule(tuple(lines), after)


def _in(value: float) -> str:
    """A number within an equation: in brackets where it is negative."""
    return f"({show(value)})" if value < 0 else show(value)
