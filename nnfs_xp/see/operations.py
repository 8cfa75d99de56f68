"""A dense layer drawn as the chapter draws it: a box for each multiplication and each sum."""

from __future__ import annotations

from functools import partial

import numpy as np

from nnfs_xp.backend import backend_of, to_numpy
from nnfs_xp.layers import Dense
from nnfs_xp.see.pen import EDGE, Event, Numbers, Pen, Port, numbered, spread, units_of
from nnfs_xp.see.scene import format_number
from nnfs_xp.see.tracing import LayerTrace

LABEL = 42.0
"""The width of a name before its edge."""

GAP = 64.0
"""Between the units of a layer and the layer behind: room for lines that cross."""


class Operations:
    """A dense layer as a box for each multiplication and each sum.

    Parameters
    ----------
    traced : LayerTrace
        Of a `Dense` layer and samples that are rows.
    sample : int
    first : bool
        Whether the layer's inputs are those of the network. A single neuron's are then drawn here.
    fine : bool
        Whether each operation has a frame of its own.
    """

    _PRODUCT, _BIAS, _BOX, _APART = 70.0, 44.0, 26.0, 17.0

    def __init__(self, traced: LayerTrace, sample: int, *, first: bool, fine: bool) -> None:
        self.name, self._fine = traced.name, fine
        self.n_inputs, self.n_neurons = traced.parameters["weights"].shape
        self._letter = "x" if first else "a"
        self.holds_inputs = first and self.n_neurons == 1
        self._gap = 0.0 if self.holds_inputs else GAP
        self.width = self._gap + LABEL + EDGE + self._BOX + EDGE + 30 + self._BOX + EDGE
        self._neuron = self.n_inputs * self._PRODUCT + self._BIAS
        self.height = self.n_neurons * self._neuron
        self.values = self._values(traced, sample)

    def _values(self, traced: LayerTrace, sample: int) -> dict[str, float]:
        """The layer's numbers, and the products within it, which the layer never forms.

        They are made sure of: they add up to what the layer computed.
        """
        weights = np.asarray(to_numpy(traced.parameters["weights"]), np.float64)
        biases = np.asarray(to_numpy(traced.parameters["biases"]), np.float64).ravel()
        inputs, output = units_of(traced.inputs, sample), units_of(traced.output, sample)
        assert inputs is not None
        assert output is not None
        products = inputs[:, None] * weights
        agree = partial(_assert_agree, traced)
        agree(products.sum(axis=0) + biases, output, np.abs(products).sum(axis=0))
        name = self.name
        values = {
            **numbered(f"{name}.weights", weights),
            **numbered(f"{name}.biases", biases),
            **numbered(f"{name}.products", products),
            **numbered(f"{name}.output", output),
        }
        if self.holds_inputs:
            values |= numbered(f"{name}.inputs", inputs)
        else:
            values |= numbered(f"{name}.copies", np.broadcast_to(inputs[:, None], weights.shape))
        if traced.dvalues is None:
            return values
        dvalues, dinputs = units_of(traced.dvalues, sample), units_of(traced.dinputs, sample)
        assert dvalues is not None
        assert dinputs is not None
        parts = weights * dvalues
        agree(parts.sum(axis=1), dinputs, np.abs(parts).sum(axis=1))
        dweights = np.asarray(to_numpy(traced.gradients["weights"]), np.float64)
        every = np.asarray(to_numpy(traced.inputs), np.float64)
        d_every = np.asarray(to_numpy(traced.dvalues), np.float64)
        # The penalty on a parameter that others are tied to is added to the sum of all of these.
        penalty = 0.0 if "weights" in traced.layer._sums else penalty_of(traced)
        agree(every.T @ d_every + penalty, dweights, np.abs(every).T @ np.abs(d_every))
        dbiases = np.asarray(to_numpy(traced.gradients["biases"]), np.float64).ravel()
        values |= {
            **numbered(f"{name}.dvalues", dvalues),
            **numbered(f"{name}.dproducts", np.broadcast_to(dvalues, weights.shape)),
            **numbered(f"{name}.dweights", dweights),
            **numbered(f"{name}.dbiases", dbiases),
        }
        if self.holds_inputs:
            return values | numbered(f"{name}.dinputs", dinputs)
        return values | numbered(f"{name}.dcopies", parts)

    def _input(self, i: int, j: int) -> tuple[str, str]:
        """The keys of an input of a product, and of its derivative."""
        if self.holds_inputs:
            return f"{self.name}.inputs[{i}]", f"{self.name}.dinputs[{i}]"
        return f"{self.name}.copies[{i},{j}]", f"{self.name}.dcopies[{i},{j}]"

    def _each(self) -> list[tuple[int, int]]:
        return [(i, j) for j in range(self.n_neurons) for i in range(self.n_inputs)]

    def _w(self, i: int, j: int) -> str:
        return f"w{i}" if self.n_neurons == 1 else f"w{i},{j}"

    def _text(self, key: str) -> str:
        return format_number(self.values[f"{self.name}.{key}"])

    def forward(self) -> list[Event]:
        name, v = self.name, self._text
        if not self._fine:
            products = tuple(f"{name}.products[{i},{j}]" for i, j in self._each())
            copies = tuple(self._input(i, j)[0] for i, j in self._each())
            inputs = () if self.holds_inputs else copies
            sums = tuple(f"{name}.output[{j}]" for j in range(self.n_neurons))
            return [
                Event(f"Layer {name}: multiply each input by its weight.", inputs + products),
                Event(f"Layer {name}: add up the products and the bias of each neuron.", sums),
            ]
        events = []
        for i, j in self._each():
            x, w = format_number(self.values[self._input(i, j)[0]]), v(f"weights[{i},{j}]")
            caption = (
                f"Multiply {self._letter}{i} by {self._w(i, j)}: {x} × {w} = "
                f"{v(f'products[{i},{j}]')}."
            )
            events.append(Event(caption, (f"{name}.products[{i},{j}]",)))
        for j in range(self.n_neurons):
            z = v(f"output[{j}]")
            caption = f"Add up the products and the bias: {z}."
            events.append(Event(caption, (f"{name}.output[{j}]",)))
        return events

    def backward(self) -> list[Event]:
        name, v = self.name, self._text
        pairs = [
            (f"{name}.dproducts[{i},{j}]", self._input(i, j)[1], f"{name}.dweights[{i},{j}]")
            for i, j in self._each()
        ]
        biases = tuple(f"{name}.dbiases[{j}]" for j in range(self.n_neurons))
        whole = tuple(f"{name}.dinputs[{i}]" for i in range(self.n_inputs))
        if not self._fine:
            factors = tuple(key for _, *keys in pairs for key in keys)
            return [
                Event(
                    f"Back through layer {name}: a sum passes its derivative on as it is.",
                    (*(product for product, _, _ in pairs), *biases),
                ),
                Event(
                    f"Back through layer {name}: a product passes it on times the other factor.",
                    factors + whole,
                ),
            ]
        events = []
        for i, j in self._each():
            caption = f"The sum passes its derivative on to product {i}: 1 × {v(f'dvalues[{j}]')}."
            events.append(Event(caption, (f"{name}.dproducts[{i},{j}]",)))
        events += [
            Event(f"The sum passes its derivative on to the bias: {v(f'dbiases[{j}]')}.", (key,))
            for j, key in enumerate(biases)
        ]
        for (i, j), (product, x, w) in zip(self._each(), pairs, strict=True):
            d = format_number(self.values[product])
            weight, given = v(f"weights[{i},{j}]"), format_number(self.values[self._input(i, j)[0]])
            events += [
                Event(
                    f"{self._letter}{i} gets the derivative times its weight: {d} × {weight}.", (x,)
                ),
                Event(f"{self._w(i, j)} gets the derivative times its input: {d} × {given}.", (w,)),
            ]
        return events

    def draw(self, pen: Pen, x: float, middle: float, ports: list[Port]) -> list[Port]:
        found = []
        for j, center in enumerate(spread(self.n_neurons, middle, self._neuron)):
            top = center - self._neuron / 2
            found.append(self._neuron_at(pen, x + self._gap, top, j, ports))
        return found

    def _neuron_at(self, pen: Pen, x: float, top: float, j: int, ports: list[Port]) -> Port:
        name, half, apart = self.name, self._BOX / 2, self._APART
        times_x = x + LABEL + EDGE
        plus_x = times_x + self._BOX + EDGE + 30
        plus_y = top + self._neuron / 2
        for i in range(self.n_inputs):
            y = top + i * self._PRODUCT + self._PRODUCT / 2
            product = f"{name}.products[{i},{j}]"
            value, derivative = self._input(i, j)
            for port in ports[i : i + 1]:
                pen.line(port.x, port.y, x + 4, y - apart, "see-wire", since=value)
            pen.words(
                x + LABEL - 6, y - apart + 4, f"{self._letter}{i}", "see-name", "end", since=value
            )
            pen.edge(x + LABEL, y - apart, value, derivative)
            pen.words(x + LABEL - 6, y + apart + 4, self._w(i, j), "see-name", "end")
            weight = f"{name}.weights[{i},{j}]"
            pen.edge(x + LABEL, y + apart, weight, f"{name}.dweights[{i},{j}]")
            pen.box(times_x, y - apart - 7, self._BOX, 2 * apart + 14, since=product)
            pen.words(times_x + half, y + 5, "×", "see-sign", since=product)
            end = pen.edge(times_x + self._BOX, y, product, f"{name}.dproducts[{i},{j}]")
            pen.line(end, y, plus_x, plus_y, since=product)
        y = top + self.n_inputs * self._PRODUCT + self._BIAS / 2 - 4
        pen.words(x + LABEL - 6, y + 4, "b" if self.n_neurons == 1 else f"b{j}", "see-name", "end")
        end = pen.edge(x + LABEL, y, f"{name}.biases[{j}]", f"{name}.dbiases[{j}]")
        output = f"{name}.output[{j}]"
        pen.line(end, y, plus_x - 30, y, since=output)
        pen.line(plus_x - 30, y, plus_x, plus_y, since=output)
        pen.box(plus_x, plus_y - 17, self._BOX, 34, since=output)
        pen.words(plus_x + half, plus_y + 5, "+", "see-sign", since=output)
        end = pen.edge(plus_x + self._BOX, plus_y, output, f"{name}.dvalues[{j}]")
        return Port(end, plus_y)


def is_dense(traced: LayerTrace) -> bool:
    """Whether the layer multiplies rows by weights and adds biases, as the chapter's does."""
    same = all(getattr(type(traced.layer), n) is getattr(Dense, n) for n in ("forward", "backward"))
    return isinstance(traced.layer, Dense) and same and traced.inputs.ndim == 2


def penalty_of(traced: LayerTrace) -> Numbers:
    """What a penalty adds to the gradient of the weights."""
    layer = traced.layer
    w = np.asarray(to_numpy(traced.parameters["weights"]), np.float64)
    assert isinstance(layer, Dense)
    l1, l2 = layer.weight_regularizer_l1, layer.weight_regularizer_l2
    # Of a frozen parameter there is none; that of a tied one is its owner's.
    if not (l1 or l2) or not layer.trains("weights") or "weights" in layer._ties:
        return np.zeros_like(w)
    return np.asarray(l1 * np.sign(w) + 2 * l2 * w)


def _assert_agree(traced: LayerTrace, here: Numbers, engine: Numbers, magnitude: Numbers) -> None:
    """Assert that numbers worked out here are the layer's, but for rounding.

    Parameters
    ----------
    traced : LayerTrace
    here, engine : ndarray
    magnitude : ndarray
        The sums of the absolute values of what was added up.
    """
    eps = float(backend_of(traced.output).xp.finfo(traced.output.dtype).eps)
    room = 64 * eps * max(traced.inputs.shape[0], 1) * (1 + magnitude + np.abs(engine))
    near = (np.abs(here - engine) <= room) | ~np.isfinite(engine) | ~np.isfinite(here)
    assert np.all(near), "the products do not add up to the layer's"
