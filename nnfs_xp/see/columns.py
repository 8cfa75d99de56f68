"""The columns of a picture beside dense layers: inputs, other layers, the loss."""

from __future__ import annotations

import copy
from math import prod

import numpy as np

from nnfs_xp.backend import backend_of, to_numpy
from nnfs_xp.layers.stochastic import StochasticLayer
from nnfs_xp.see.pen import EDGE, ROW, Event, Numbers, Pen, Port, numbered, spread, units_of
from nnfs_xp.see.scene import CHARACTER, format_number
from nnfs_xp.see.tracing import LayerTrace, Trace, gradient_name

MOST_LISTED = 12
"""Numbers of a parameter that are written out in a layer's box."""

MOST_DEPENDENT = 6
"""Inputs and outputs of which a layer's Jacobian is written out."""


class Inputs:
    """The features of the sample, each with the derivative that comes back to it."""

    width = 34 + EDGE

    def __init__(self, first: LayerTrace, sample: int) -> None:
        self._name = first.name
        self.values = {
            **numbered(f"{first.name}.inputs", units_of(first.inputs, sample)),
            **numbered(f"{first.name}.dinputs", units_of(first.dinputs, sample)),
        }
        self._n = prod(first.inputs.shape[1:])
        self.height = self._n * ROW

    def forward(self) -> list[Event]:
        return []

    def backward(self) -> list[Event]:
        return []  # the first layer's way back is what shows them

    def draw(self, pen: Pen, x: float, middle: float, ports: list[Port]) -> list[Port]:
        del ports
        found = []
        for i, y in enumerate(spread(self._n, middle)):
            pen.words(x + 28, y + 4, f"x{i}", "see-name", "end")
            value, derivative = f"{self._name}.inputs[{i}]", f"{self._name}.dinputs[{i}]"
            found.append(Port(pen.edge(x + 34, y, value, derivative), y))
        return found


class Units:
    """A layer that works on each number by itself, a box for each."""

    def __init__(self, traced: LayerTrace, sample: int, *, fine: bool) -> None:
        self._name, self._kind, self._fine = traced.name, traced.layer.kind, fine
        self._n = prod(traced.output.shape[1:])
        self._box = max(54.0, len(self._kind) * CHARACTER + 10)
        self.width = 16 + self._box + EDGE
        self.height = self._n * ROW
        self.values = {
            **numbered(f"{self._name}.output", units_of(traced.output, sample)),
            **numbered(f"{self._name}.dvalues", units_of(traced.dvalues, sample)),
        }

    def forward(self) -> list[Event]:
        keys = tuple(f"{self._name}.output[{i}]" for i in range(self._n))
        if self._fine:
            return [
                Event(f"{self._kind} gives {format_number(self.values[key])}.", (key,))
                for key in keys
            ]
        return [Event(f"Layer {self._name}: {self._kind} of each number.", keys)]

    def backward(self) -> list[Event]:
        return []  # what comes out of it is shown where it arrives: see `graphs`

    def draw(self, pen: Pen, x: float, middle: float, ports: list[Port]) -> list[Port]:
        del middle
        found = []
        for i, port in enumerate(ports):
            output = f"{self._name}.output[{i}]"
            pen.line(port.x, port.y, x + 16, port.y, since=output)
            pen.box(x + 16, port.y - 15, self._box, 30, since=output)
            pen.words(x + 16 + self._box / 2, port.y + 4, self._kind, since=output)
            end = pen.edge(x + 16 + self._box, port.y, output, f"{self._name}.dvalues[{i}]")
            found.append(Port(end, port.y))
        return found


class Block:
    """Any other layer: one box, with its parameters and its Jacobian where they are small."""

    _CELL, _LINE = 9 * CHARACTER, 17.0

    def __init__(self, traced: LayerTrace, sample: int) -> None:
        self._name, self._kind = traced.name, traced.layer.kind
        self._n_in, self._n = (prod(a.shape[1:]) for a in (traced.inputs, traced.output))
        self.values = {
            **numbered(f"{self._name}.output", units_of(traced.output, sample)),
            **numbered(f"{self._name}.dvalues", units_of(traced.dvalues, sample)),
        }
        self._rows: list[tuple[str, tuple[str, ...]]] = []
        self._notes: list[str] = []
        for name, value in traced.parameters.items():
            self._list(name, value, traced.gradients.get(name))
        self._jacobian = jacobian_of(traced, sample)
        if self._jacobian is not None:
            self.values |= numbered(f"{self._name}.jacobian", self._jacobian)
        self._lay_out()

    def _list(self, name: str, value: object, gradient: object) -> None:
        """Write a parameter out in the box, or its shape where it is large."""
        numbers = np.asarray(to_numpy(value), np.float64)
        if numbers.size > MOST_LISTED:
            self._notes.append(f"{name} {numbers.shape}")
            return
        numbers = numbers.ravel() if numbers.shape[:1] == (1,) else numbers
        values = numbered(f"{self._name}.{name}", numbers)
        derivatives: dict[str, float] = {}
        if gradient is not None:
            d = np.asarray(to_numpy(gradient), np.float64).reshape(numbers.shape)
            derivatives = numbered(f"{self._name}.{gradient_name(name)}", d)
        self.values |= values | derivatives
        keys = list(derivatives)
        for n, key in enumerate(values):
            self._rows.append((key.removeprefix(self._name + "."), (key, *keys[n : n + 1])))

    def _lay_out(self) -> None:
        labels = [label for label, _ in self._rows]
        label = max((len(each) for each in labels), default=0) * CHARACTER + 8
        wide = max(len(self._kind), *(len(note) for note in self._notes), 8) * CHARACTER + 20
        if self._rows:
            wide = max(wide, label + 2 * self._CELL + 16)
        n_lines = 1 + len(self._rows) + len(self._notes)
        if self._jacobian is not None:
            wide = max(wide, self._jacobian.shape[1] * self._CELL + 16, 22 * CHARACTER + 16)
            n_lines += 1 + len(self._jacobian)
        self._label, self._wide = label, wide
        self._lines = n_lines * self._LINE + 14
        self.width = 30 + wide + EDGE
        self.height = max(max(self._n, self._n_in) * ROW, self._lines) + 10

    def forward(self) -> list[Event]:
        keys = (f"{self._name}.output[{i}]" for i in range(self._n))
        jacobian = (key for key in self.values if key.startswith(f"{self._name}.jacobian"))
        parameters = (keys[0] for _, keys in self._rows)
        return [Event(f"Layer {self._name}: {self._kind}.", (*keys, *jacobian, *parameters))]

    def backward(self) -> list[Event]:
        keys = tuple(key for _, row in self._rows for key in row[1:])
        return [Event(f"Back through layer {self._name}, {self._kind}.", keys)]

    def draw(self, pen: Pen, x: float, middle: float, ports: list[Port]) -> list[Port]:
        output = f"{self._name}.output[0]"
        top, left = middle - self.height / 2 + 5, x + 30
        for port in ports:
            y = min(max(port.y, top + 8), top + self.height - 18)
            pen.line(port.x, port.y, left, y, "see-wire", since=output)
        pen.box(left, top, self._wide, self.height - 10, since=output)
        y = middle - self._lines / 2 + self._LINE
        pen.words(left + self._wide / 2, y, self._kind, "see-title", since=output)
        for note in self._notes:
            y += self._LINE
            pen.words(left + self._wide / 2, y, note, "see-quiet", since=output)
        for label, keys in self._rows:
            y += self._LINE
            pen.words(left + 8, y, label, "see-name", "start", since=output)
            for n, key in enumerate(keys):
                at = left + self._label + (n + 1) * self._CELL
                pen.number(at, y, key, "see-derivative" if n else "see-value", "end")
        if self._jacobian is not None:
            y += self._LINE
            pen.words(left + self._wide / 2, y, "∂ output / ∂ input", "see-quiet", since=output)
            for i in range(len(self._jacobian)):
                y += self._LINE
                for k in range(self._jacobian.shape[1]):
                    key = f"{self._name}.jacobian[{i},{k}]"
                    pen.number(left + (k + 1) * self._CELL + 4, y, key, "see-value", "end")
        found = []
        for i, y in enumerate(spread(self._n, middle)):
            end = pen.edge(
                left + self._wide, y, f"{self._name}.output[{i}]", f"{self._name}.dvalues[{i}]"
            )
            found.append(Port(end, y))
        return found


class Loss:
    """The loss of the sample, and the mean over all samples, which derivatives are of."""

    def __init__(self, traced: Trace, sample: int) -> None:
        assert traced.losses is not None
        losses = np.asarray(to_numpy(traced.losses), np.float64)
        self.values = {"loss.sample": float(losses[sample].sum()), "loss": traced.mean or 0.0}
        self._n = traced.n_samples
        self._kind = type(traced.loss).__name__
        target = units_of(traced.y_true, sample)
        assert target is not None
        self._target = [f"target {i}" if len(target) > 1 else "target" for i in range(len(target))]
        self._target = self._target[:MOST_DEPENDENT]
        self.values |= numbered("target", target[:MOST_DEPENDENT])
        # "loss of the sample", and a number of 8 characters.
        wide = max(len(self._kind), 18 + 1 + 8) * CHARACTER + 16
        self._wide, self.width = wide, 40 + wide
        self.height = 17.0 * (len(self._target) + 3) + 24

    def forward(self) -> list[Event]:
        what = "its" if self._n == 1 else f"the mean of {self._n} samples"
        caption = f"The loss of the sample is {format_number(self.values['loss.sample'])}"
        targets = (key for key in self.values if key.startswith("target"))
        rest = "." if self._n == 1 else f"; {what}, {format_number(self.values['loss'])}."
        return [Event(caption + rest, ("loss.sample", "loss", *targets))]

    def backward(self) -> list[Event]:
        return []

    def draw(self, pen: Pen, x: float, middle: float, ports: list[Port]) -> list[Port]:
        top, left, key = middle - self.height / 2, x + 40, "loss.sample"
        for port in ports:
            y = min(max(port.y, top + 8), top + self.height - 8)
            pen.line(port.x, port.y, left, y, "see-wire", since=key)
        pen.box(left, top, self._wide, self.height, since=key)
        y = top + 22
        pen.words(left + self._wide / 2, y, self._kind, "see-title", since=key)
        rows = [(each, f"target[{i}]") for i, each in enumerate(self._target)]
        for label, each in (*rows, ("loss of the sample", key), ("mean loss", "loss")):
            y += 17
            pen.words(left + 8, y, label, "see-name", "start", since=key)
            pen.number(left + self._wide - 8, y, each, "see-value", "end")
        return []


def jacobian_of(traced: LayerTrace, sample: int) -> Numbers | None:
    """The derivatives of each output by each input, row by row as `backward` gives them.

    None where the layer is large, has parameters, looks at other samples or draws random numbers.
    """
    layer, inputs, output = traced.layer, traced.inputs, traced.output
    n_in, n = prod(inputs.shape[1:]), prod(output.shape[1:])
    alone = layer.smallest_batch == 1 and not isinstance(layer, StochasticLayer)
    simple = alone and not traced.parameters and not layer.children
    if traced.dvalues is None or not simple or max(n_in, n) > MOST_DEPENDENT or inputs.ndim != 2:
        return None
    layer, backend = copy.deepcopy(layer), backend_of(output)
    rows = []
    for unit in np.eye(n):
        layer.forward(inputs[sample : sample + 1, ...], True)
        dvalues = backend.asarray(unit.reshape(1, *output.shape[1:]), output.dtype)
        rows.append(np.asarray(to_numpy(layer.backward(dvalues)), np.float64).ravel())
    return np.stack(rows)
