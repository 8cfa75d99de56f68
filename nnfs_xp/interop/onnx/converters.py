"""The table of converters: a small function for each layer, of what it does outside training."""

from __future__ import annotations

from math import nan
from typing import Any

import numpy as np

from nnfs_xp import layers
from nnfs_xp.interop.onnx import activations, pictures, tabular
from nnfs_xp.interop.onnx.graph import Converter, Graph
from nnfs_xp.interop.translation import check_codes
from nnfs_xp.layers import Layer


def _one(operator: str, **attributes: Any) -> Converter:
    """The converter of a layer that is one operator of ONNX."""

    def convert(graph: Graph, layer: Layer, inputs: str) -> str:
        del layer
        return graph.add(operator, inputs, **attributes)

    return convert


def dense(graph: Graph, layer: layers.Dense, inputs: str) -> str:
    """``inputs @ weights + biases``."""
    del layer
    if not graph.is_row(inputs):  # Gemm takes nothing else
        products = graph.add("MatMul", inputs, graph.parameter("weights"))
        return graph.add("Add", products, graph.parameter("biases"))
    return graph.add("Gemm", inputs, graph.parameter("weights"), graph.parameter("biases"))


def batch_norm(graph: Graph, layer: layers.BatchNorm, inputs: str) -> str:
    """``gamma * (inputs - running_mean) / sqrt(running_variance + epsilon) + beta``."""
    row, turned = graph.is_row(inputs), graph.is_turned(inputs)
    if graph.dtype == "float32" and (row or turned):  # else it takes axis 1 for the features
        scales = scale_and_shift(graph, layer, (layer.n_features,))
        averages = [graph.parameter(f"running_{name}", (-1,)) for name in ("mean", "variance")]
        first = graph.channels_first(inputs) if turned else inputs
        vectors = [*scales, *averages]
        output = graph.add("BatchNormalization", first, *vectors, epsilon=layer.epsilon)
        return graph.channels_last(output, graph.n_axes[inputs]) if turned else output
    mean, variance = map(graph.parameter, ("running_mean", "running_variance"))
    centered = graph.add("Sub", inputs, mean)
    return _scaled(graph, layer, centered, variance)


def scale_and_shift(graph: Graph, layer: Any, shape: tuple[int, ...]) -> list[str]:
    """The scale and the shift of a normalization, 1 and 0 where there is none."""
    return [
        graph.parameter(name, shape)
        if name in layer._shapes
        else graph.constant(np.full(shape, float(name == "gamma")))
        for name in ("gamma", "beta")
    ]


def layer_norm(graph: Graph, layer: layers.LayerNorm, inputs: str) -> str:
    """``gamma * normalized + beta``, with mean and variance over each sample's features."""
    n = layer.n_features
    if graph.dtype == "float32":
        vectors = scale_and_shift(graph, layer, (n,))
        return graph.add("LayerNormalization", inputs, *vectors, axis=-1, epsilon=layer.epsilon)
    average = graph.constant(np.full((n, 1), 1 / n), "average")
    centered = graph.add("Sub", inputs, graph.add("MatMul", inputs, average))
    variance = graph.add("MatMul", graph.add("Mul", centered, centered), average)
    return _scaled(graph, layer, centered, variance)


def _scaled(graph: Graph, layer: Any, centered: str, variance: str) -> str:
    """``gamma * centered / sqrt(variance + epsilon) + beta``.

    It is for float64, where ONNX's own operators would round epsilon, and perhaps more, to float32.
    """
    deviation = graph.add("Sqrt", graph.add("Add", variance, layer.epsilon))
    output = graph.add("Div", centered, deviation)
    if layer.scale:
        output = graph.add("Mul", output, graph.parameter("gamma"))
    return graph.add("Add", output, graph.parameter("beta")) if layer.center else output


def embedding(graph: Graph, layer: layers.Embedding, inputs: str) -> str:
    """``weights[inputs]``, NaN for a code out of range, which Gather alone would not take."""
    if inputs in graph.integers:
        codes, dtype = graph.cast(graph.integers[inputs], "int64"), "int64"
    else:
        check_codes(layer, graph.dtype)
        codes, dtype = graph.add("Round", inputs), graph.dtype
    first, end = np.array(0, dtype), np.array(layer.n_values, dtype)
    known = graph.add(
        "And", graph.add("GreaterOrEqual", codes, first), graph.add("Less", codes, end)
    )
    places = graph.cast(graph.add("Where", known, codes, first), "int64")
    rows = graph.add("Gather", graph.parameter("weights"), places, axis=0)
    return graph.add("Where", graph.add("Unsqueeze", known, np.array([-1])), rows, nan)


def identity(graph: Graph, layer: Layer, inputs: str) -> str:
    """The inputs as they are: for `Linear`, and for layers that are random in training."""
    del graph, layer
    return inputs


def row(graph: Graph, layer: Layer, inputs: str) -> str:
    """The layers within, each taking what the one before gives."""
    for index, child in enumerate(layer.children):
        inputs = graph.convert(child, inputs, index)
    return inputs


def residual(graph: Graph, layer: Layer, inputs: str) -> str:
    """The inputs, and what the layers within make of them, added."""
    return graph.join("Add", inputs, row(graph, layer, inputs))


def concatenate(graph: Graph, layer: Layer, inputs: str) -> str:
    """What the branches make of the inputs, joined along the last axis."""
    outputs = [graph.convert(child, inputs, index) for index, child in enumerate(layer.children)]
    return graph.join("Concat", *outputs, axis=-1)


CONVERTERS: dict[type[Layer], Converter] = {
    layers.Dense: dense,
    layers.ReLU: _one("Relu"),
    layers.LeakyReLU: activations.leaky_relu,
    layers.Sigmoid: _one("Sigmoid"),
    layers.Tanh: _one("Tanh"),
    layers.Softmax: _one("Softmax", axis=-1),
    layers.GELU: activations.gelu,
    layers.SiLU: activations.silu,
    layers.Mish: activations.mish,
    layers.ELU: activations.elu,
    layers.SELU: activations.selu,
    layers.Softplus: activations.softplus,
    layers.Linear: identity,
    layers.Dropout: identity,
    layers.AlphaDropout: identity,
    layers.GaussianNoise: identity,
    layers.BatchNorm: batch_norm,
    layers.LayerNorm: layer_norm,
    layers.Scale: tabular.scale,
    layers.ParametricActivation: tabular.parametric,
    layers.Embedding: embedding,
    layers.PeriodicEmbedding: tabular.periodic,
    layers.Repeat: tabular.repeat,
    layers.MemberDense: tabular.member_dense,
    layers.Columns: tabular.columns,
    layers.Flatten: _one("Flatten", axis=1),
    layers.Reshape: pictures.reshape,
    layers.Conv1D: pictures.convolution,
    layers.Conv2D: pictures.convolution,
    layers.DepthwiseConv2D: pictures.convolution,
    layers.Conv1DTranspose: pictures.transposed,
    layers.Conv2DTranspose: pictures.transposed,
    layers.MaxPool1D: pictures.max_pool,
    layers.MaxPool2D: pictures.max_pool,
    layers.AveragePool1D: pictures.average_pool,
    layers.AveragePool2D: pictures.average_pool,
    layers.GlobalAveragePool: pictures.global_average,
    layers.GlobalMaxPool: pictures.global_max,
    layers.Upsample2D: pictures.upsample,
    layers.ZeroPad2D: pictures.zero_pad,
    layers.GroupNorm: pictures.group_norm,
    layers.Sequential: row,
    layers.Residual: residual,
    layers.Concatenate: concatenate,
}
"""The converter of each public layer; `export_onnx` adds those in its ``custom_layers``."""
