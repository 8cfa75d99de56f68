"""A dense layer drawn as neurons, with a line for each weight."""

from __future__ import annotations

import numpy as np

from nnfs_xp.backend import to_numpy
from nnfs_xp.see.pen import EDGE, ROW, Event, Pen, Port, numbered, spread, units_of
from nnfs_xp.see.tracing import LayerTrace

_GAP = 150.0
_WIDEST = 5.0


class Neurons:
    """The neurons of a dense layer; the wider a line, the larger its weight.

    Blue lines are positive weights, and orange ones negative.
    """

    width = _GAP + 26 + EDGE

    def __init__(self, traced: LayerTrace, sample: int) -> None:
        self._name = traced.name
        weights = np.asarray(to_numpy(traced.parameters["weights"]), np.float64)
        self._n = weights.shape[1]
        self.height = self._n * ROW
        self.values = {
            **numbered(f"{self._name}.weights", weights),
            **numbered(f"{self._name}.output", units_of(traced.output, sample)),
            **numbered(f"{self._name}.dvalues", units_of(traced.dvalues, sample)),
        }
        largest = float(np.max(np.abs(np.nan_to_num(weights)), initial=0.0)) or 1.0
        self._widths = _WIDEST * np.abs(np.nan_to_num(weights)) / largest
        self._is_negative = weights < 0

    def forward(self) -> list[Event]:
        keys = tuple(f"{self._name}.output[{j}]" for j in range(self._n))
        return [Event(f"Layer {self._name}: each neuron adds up its weighted inputs.", keys)]

    def backward(self) -> list[Event]:
        return []

    def draw(self, pen: Pen, x: float, middle: float, ports: list[Port]) -> list[Port]:
        found = []
        for j, y in enumerate(spread(self._n, middle)):
            for i, port in enumerate(ports):
                kind = "see-negative" if self._is_negative[i, j] else "see-positive"
                key, width = f"{self._name}.weights[{i},{j}]", float(self._widths[i, j])
                pen.line(port.x, port.y, x + _GAP, y, kind, key=key, width=max(0.2, width))
            output = f"{self._name}.output[{j}]"
            pen.box(x + _GAP, y - 15, 26, 30)
            pen.words(x + _GAP + 13, y + 5, "+", "see-sign")
            end = pen.edge(x + _GAP + 26, y, output, f"{self._name}.dvalues[{j}]")
            found.append(Port(end, y))
        return found
