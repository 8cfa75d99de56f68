"""One weight from near: its gradient twice, what adds up to it, its loss curve, its next step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import log10, prod
from typing import Any

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of, to_numpy
from nnfs_xp.errors import ArgumentError
from nnfs_xp.flat_parameters import Part
from nnfs_xp.layers import Layer
from nnfs_xp.layers.stochastic import StochasticLayer
from nnfs_xp.learning import Chain
from nnfs_xp.losses import Loss
from nnfs_xp.optimizers import Optimizer
from nnfs_xp.see.operations import is_dense, penalty_of
from nnfs_xp.see.rules import rule
from nnfs_xp.see.scene import format_number as show
from nnfs_xp.see.tracing import Trace, left_as_it_is

N_POINTS = 61
"""Of a loss curve: so many forward passes."""

_KEY = re.compile(r"(?P<name>[\w.]{1,200})\[(?P<index>\d{1,9}(?:,\d{1,9}){0,3})\]")


@dataclass(frozen=True)
class Weight:
    """One number of a model's parameters.

    Attributes
    ----------
    key : str
        As pictures name it: ``"0.weights[1,2]"``, and ``"0.biases[2]"``, whose first axis is 1.
    name : str
        Of the parameter.
    index : tuple of int
    """

    key: str
    name: str
    index: tuple[int, ...]

    @classmethod
    def of(cls, model: Layer, key: object) -> Weight:
        """The weight of that key.

        Raises
        ------
        ArgumentError
            The model has none.
        """
        found = _KEY.fullmatch(key) if isinstance(key, str) else None
        parameters = model.parameters()
        if found is None or found["name"] not in parameters:
            raise ArgumentError(f"the model has no weight {shown(str(key))}.")
        index = tuple(map(int, found["index"].split(",")))
        shape = tuple(parameters[found["name"]].shape)
        if len(index) == len(shape) - 1 and shape[0] == 1:
            index = (0, *index)
        if len(index) != len(shape) or any(i >= n for i, n in zip(index, shape, strict=True)):
            raise ArgumentError(
                f"{found['name']} has the shape {shape}: there is no {shown(str(key))}."
            )
        return cls(str(key), found["name"], index)

    def read(self, arrays: dict[str, Array]) -> float:
        """The number of it in the parameters, or gradients, of a model."""
        return float(to_numpy(arrays[self.name][self.index]))

    def write(self, model: Layer, value: float) -> None:
        """Set it, in place."""
        array = model.parameters()[self.name]
        array[self.index] = value


def close_up(
    weight: Weight, model: Layer, loss: Loss, optimizer: Optimizer, seen: Trace
) -> dict[str, Any]:
    """All that the page shows of a weight; the model and the optimizer are left as they are.

    Parameters
    ----------
    weight : Weight
    model : Layer
        Its gradients are those of `seen`.
    loss : Loss
    optimizer : Optimizer
    seen : Trace

    Returns
    -------
    dict
        ``key``, ``value``; ``gradient``, ``numeric``, the ``digits`` that agree; ``parts``, what
        the samples add up to; ``rule``, lines of text; ``curve``, the losses ``y`` at weights
        ``x``. It takes `N_POINTS` forward passes and two.
    """
    value, gradient = weight.read(model.parameters()), weight.read(model.gradients())
    numeric = central_difference(weight, model, loss, seen)
    reach = max(1.0, 1.5 * abs(value))
    points = np.linspace(value - reach, value + reach, N_POINTS)
    points[N_POINTS // 2] = value
    return {
        "key": weight.key,
        "value": value,
        "gradient": gradient,
        "numeric": numeric,
        "digits": digits_agreeing(gradient, numeric),
        "parts": parts_of(weight, seen, gradient),
        "rule": next_step(weight, model, optimizer),
        "curve": {"x": points.tolist(), "y": losses_at(points, weight, model, loss, seen)},
    }


def losses_at(points: Any, weight: Weight, model: Layer, loss: Loss, seen: Trace) -> list[float]:
    """The loss of the batch of a trace, penalties included, for other values of a weight.

    Each is a training forward with the random numbers that the step draws, layers one by one.
    """
    before, chain = weight.read(model.parameters()), Chain(model.links(), fuse=False)
    assert seen.y_true is not None
    found = []
    try:
        for point in points:
            weight.write(model, float(point))
            with left_as_it_is(model):
                _draw_as_in_the_step(model)
                mean = loss.calculate(chain.forward(seen.inputs, True), seen.y_true)
            penalty = model.regularization_loss()
            total = mean if penalty is None else mean + penalty
            found.append(float(to_numpy(total)))
    finally:
        weight.write(model, before)
    return found


def _draw_as_in_the_step(model: Layer) -> None:
    """Have the layers draw again what the step that was traced drew: they have counted since."""
    for _, layer in model.walk():
        if isinstance(layer, StochasticLayer) and layer.step:
            layer.reseed(layer.seed, layer.stream, layer.step - 1)


def central_difference(weight: Weight, model: Layer, loss: Loss, seen: Trace) -> float:
    """The derivative of the loss by a weight, by a difference: (L(w + h) - L(w - h)) / 2h."""
    value = weight.read(model.parameters())
    eps = float(backend_of(seen.output).xp.finfo(seen.output.dtype).eps)
    h = eps ** (1 / 3) * max(1.0, abs(value))
    above, below = losses_at((value + h, value - h), weight, model, loss, seen)
    return float((above - below) / (2 * h))


def digits_agreeing(one: float, other: float) -> int:
    """How many decimal digits of two numbers agree, at most 16; 16 where both are 0."""
    if one == other:
        return 16
    size = max(abs(one), abs(other))
    share = abs(one - other) / size
    return int(max(0.0, min(16.0, -log10(share)))) if np.isfinite(share) else 0


def parts_of(weight: Weight, seen: Trace, gradient: float) -> dict[str, Any] | None:
    """What adds up to the gradient of a weight or bias of a dense layer; None for others.

    Returns
    -------
    dict or None
        ``parts``, what each sample adds; ``inputs`` and ``dvalues``, of which they are products;
        ``penalty``, and ``elsewhere``, what comes through layers that are tied to this one.
    """
    owner, _, short = weight.name.rpartition(".")
    traced = next((each for each in seen.layers if each.name == owner), None)
    if traced is None or not is_dense(traced) or traced.dvalues is None:
        return None
    dvalues = np.asarray(to_numpy(traced.dvalues[:, weight.index[-1]]), np.float64)
    found: dict[str, Any] = {"dvalues": dvalues.tolist()}
    parts, penalty = dvalues, 0.0
    if short == "weights":
        inputs = np.asarray(to_numpy(traced.inputs[:, weight.index[0]]), np.float64)
        parts, penalty = inputs * dvalues, float(penalty_of(traced)[weight.index])
        found["inputs"] = inputs.tolist()
    eps = float(backend_of(seen.output).xp.finfo(seen.output.dtype).eps)
    rest = gradient - float(parts.sum())
    rounding = 64 * eps * len(parts) * (float(np.abs(parts).sum()) + abs(gradient))
    elsewhere = rest - penalty if abs(rest - penalty) > rounding else 0.0
    return {**found, "parts": parts.tolist(), "penalty": penalty, "elsewhere": elsewhere}


def next_step(weight: Weight, model: Layer, optimizer: Optimizer) -> list[str]:
    """The learning rule with this weight's numbers, made sure of by a step that is undone."""
    place = _place_of(weight, model)
    if place is None:
        return ["The weight is frozen: no step moves it."]
    before, given = weight.read(model.parameters()), weight.read(model.gradients())
    parts = optimizer.parts_of(model.flat)
    part = next(p for p in parts if p.place.start <= place < p.place.stop)
    rate = optimizer.current_learning_rate * part.scale
    state = {name: float(to_numpy(array[place])) for name, array in optimizer.state(model).items()}
    lines = []
    with _undone(model, optimizer):
        optimizer.step(model)
        gradient, after = (
            float(to_numpy(model.flat.gradients[place])),
            weight.read(model.parameters()),
        )
    if abs(gradient - given) > 0:  # which NaN is not
        lines.append(f"g is clipped: {show(given)} → {show(gradient)}")
    decayed = before
    strength = _decay_at(place, part, optimizer.current_weight_decay)
    if strength:
        decayed = before - rate * strength * before
        lines.append(
            f"w decays: w − α·λ·w = {show(before)} − {show(rate)}·"
            f"{show(strength)}·{show(before)} = {show(decayed)}"
        )
    whole = bool(part.matrices) and not optimizer.works_in_parts
    found = rule(optimizer, decayed, gradient, rate, state, whole=whole)
    lines += found.lines
    if found.after is None:
        lines.append(f"w = {show(after)}")
    elif abs(found.after - after) > 1e-4 * max(1e-3, abs(after)):
        lines.append(f"then the layer's bounds hold: w = {show(after)}")
    return lines


def _decay_at(place: int, part: Part, weight_decay: float) -> float:
    """The weight decay of the parameter in that place, by the optimizer's."""
    n = place - part.place.start
    return next((weight_decay * m for each, m in part.decays if each.start <= n < each.stop), 0.0)


def _place_of(weight: Weight, model: Layer) -> int | None:
    """Where the weight lies among the trained parameters, None where it is none of them."""
    place, parameters = 0, model.parameters()
    for name in model.flat.layout:
        shape = tuple(parameters[name].shape)
        if name == weight.name:
            return place + int(np.ravel_multi_index(weight.index, shape))
        place += prod(shape)
    return None


@contextmanager
def _undone(model: Layer, optimizer: Optimizer) -> Iterator[None]:
    """Undo what is done to the parameters, the gradients and the optimizer meanwhile."""
    flat, state, xp = model.flat, optimizer.state(model), model.flat.backend.xp
    arrays = [flat.values, flat.gradients, *state.values()]
    kept = [xp.asarray(array, copy=True) for array in arrays]
    iterations = optimizer.iterations
    try:
        yield
    finally:
        for array, before in zip(arrays, kept, strict=True):
            array[...] = before
        optimizer.iterations = iterations
