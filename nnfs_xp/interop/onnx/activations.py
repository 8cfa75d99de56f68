"""Activation functions in ONNX.

onnxruntime has float64 for the common operators only: in float64, the others are put together
from these.
"""

from __future__ import annotations

from math import pi, sqrt

from nnfs_xp.interop.onnx.graph import Graph
from nnfs_xp.kernels.standard.functions import _ERF_COEFFICIENTS
from nnfs_xp.layers import ELU, GELU, Layer, LeakyReLU
from nnfs_xp.layers.smooth_activations import SELU_ALPHA, SELU_SCALE


def leaky_relu(graph: Graph, layer: LeakyReLU, inputs: str) -> str:
    """``max(inputs, slope * inputs)``, the slope being below 1."""
    if graph.dtype == "float32":
        return graph.add("LeakyRelu", inputs, alpha=layer.negative_slope)
    return graph.add("Max", inputs, graph.add("Mul", inputs, layer.negative_slope))


def elu(graph: Graph, layer: ELU, inputs: str) -> str:
    """``max(inputs, 0) + alpha * (exp(min(inputs, 0)) - 1)``."""
    if graph.dtype == "float32":
        return graph.add("Elu", inputs, alpha=layer.alpha)
    below = graph.add("Sub", graph.add("Exp", graph.add("Min", inputs, 0.0)), 1.0)
    return graph.add("Add", graph.add("Relu", inputs), graph.add("Mul", below, layer.alpha))


def selu(graph: Graph, layer: Layer, inputs: str) -> str:
    """The scale times `ELU` with SELU's alpha."""
    del layer
    if graph.dtype == "float32":
        return graph.add("Selu", inputs, alpha=SELU_ALPHA, gamma=SELU_SCALE)
    return graph.add("Mul", elu(graph, ELU(SELU_ALPHA), inputs), SELU_SCALE)


def softplus(graph: Graph, layer: Layer, inputs: str) -> str:
    """``max(inputs, 0) + log(1 + exp(-abs(inputs)))``."""
    del layer
    if graph.dtype == "float32":
        return graph.add("Softplus", inputs)
    small = graph.add("Exp", graph.add("Neg", graph.add("Abs", inputs)))
    return graph.add("Add", graph.add("Relu", inputs), graph.add("Log", graph.add("Add", small, 1)))


def silu(graph: Graph, layer: Layer, inputs: str) -> str:
    """``inputs * sigmoid(inputs)``."""
    del layer
    return graph.add("Mul", inputs, graph.add("Sigmoid", inputs))


def mish(graph: Graph, layer: Layer, inputs: str) -> str:
    """``inputs * tanh(log(1 + exp(inputs)))``."""
    return graph.add("Mul", inputs, graph.add("Tanh", softplus(graph, layer, inputs)))


def gelu(graph: Graph, layer: GELU, inputs: str) -> str:
    """``inputs * (1 + erf(inputs / sqrt(2))) / 2``, or with a tanh in place of erf."""
    if layer.approximate == "tanh":
        square = graph.add("Mul", inputs, inputs)
        bend = graph.add("Add", graph.add("Mul", square, 0.044715), 1.0)
        u = graph.add("Mul", graph.add("Mul", inputs, sqrt(2 / pi)), bend)
        inner = graph.add("Tanh", u)
    else:
        inner = _erf(graph, graph.add("Mul", inputs, sqrt(0.5)))
    share = graph.add("Mul", graph.add("Add", inner, 1.0), 0.5)
    return graph.add("Mul", inputs, share)


def _erf(graph: Graph, inputs: str) -> str:
    """The error function; in float64 as in `nnfs_xp.kernels.standard.functions.erf`."""
    if graph.dtype == "float32":
        return graph.add("Erf", inputs)
    largest, numerator, denominator = _ERF_COEFFICIENTS["float64"]
    t = graph.add("Min", graph.add("Abs", inputs), largest)
    quotient = graph.add(
        "Div", _polynomial(graph, t, numerator), _polynomial(graph, t, denominator)
    )
    power = graph.add("Exp", graph.add("Neg", graph.add("Mul", t, quotient)))
    return graph.add("Mul", graph.add("Sign", inputs), graph.add("Sub", 1.0, power))


def _polynomial(graph: Graph, t: str, coefficients: tuple[float, ...]) -> str:
    """The polynomial with these coefficients, lowest power first, by Horner's rule."""
    value = graph.constant(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = graph.add("Add", graph.add("Mul", value, t), coefficient)
    return value
