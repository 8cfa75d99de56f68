"""The layers for tables in ONNX: they take samples of any shape, as they do here."""

from __future__ import annotations

from math import pi

import numpy as np

from nnfs_xp import layers
from nnfs_xp.interop.onnx.graph import Graph

_LAST, _BEFORE_LAST = np.array([-1]), np.array([-2])


def scale(graph: Graph, layer: layers.Scale, inputs: str) -> str:
    """``inputs * scale``."""
    del layer
    return graph.add("Mul", inputs, graph.parameter("scale"))


def parametric(graph: Graph, layer: layers.ParametricActivation, inputs: str) -> str:
    """``inputs + alpha * (activation(inputs) - inputs)``."""
    alpha = graph.parameter("alpha")
    bent = graph.convert(layer.children[0], inputs, 0)
    return graph.add("Add", inputs, graph.add("Mul", graph.add("Sub", bent, inputs), alpha))


def periodic(graph: Graph, layer: layers.PeriodicEmbedding, inputs: str) -> str:
    """Each feature's ``cos(2π * frequencies * x + phases) @ weights + biases``, and x itself."""
    x = graph.add("Unsqueeze", inputs, _LAST)
    waves = graph.add("Mul", x, graph.add("Mul", graph.parameter("frequencies"), 2 * pi))
    cosines = _cosine(graph, graph.add("Add", waves, graph.parameter("phases")))
    learnt = graph.add("Add", _by_member(graph, cosines), graph.parameter("biases"))
    joined = graph.add("Concat", learnt, x, axis=-1)
    places = graph.add("Shape", inputs, end=-1)
    n_numbers = np.array([layer.n_features * layer.n_dimensions])
    return graph.add("Reshape", joined, graph.add("Concat", places, n_numbers, axis=0))


def _cosine(graph: Graph, angles: str) -> str:
    """Cosines; in float64 as sines, since older releases of onnxruntime have no other there."""
    if graph.dtype == "float32":
        return graph.add("Cos", angles)
    return graph.add("Sin", graph.add("Add", angles, pi / 2))


def _by_member(graph: Graph, inputs: str) -> str:
    """The rows on the last two axes, each times the matrix of its own in ``weights``."""
    rows = graph.add("Unsqueeze", inputs, _BEFORE_LAST)
    products = graph.add("MatMul", rows, graph.parameter("weights"))
    return graph.add("Squeeze", products, _BEFORE_LAST)


def member_dense(graph: Graph, layer: layers.MemberDense, inputs: str) -> str:
    """Each member's ``inputs @ weights + biases``."""
    del layer
    return graph.add("Add", _by_member(graph, inputs), graph.parameter("biases"))


def columns(graph: Graph, layer: layers.Columns, inputs: str) -> str:
    """``inputs[..., start:stop]``."""
    return graph.add("Slice", inputs, np.array([layer.start]), np.array([layer.stop]), _LAST)


def repeat(graph: Graph, layer: layers.Repeat, inputs: str) -> str:
    """The inputs for each member."""
    row = graph.add("Unsqueeze", inputs, _BEFORE_LAST)
    return graph.add("Expand", row, np.array([layer.n_members, 1]))
