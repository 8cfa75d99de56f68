"""The layers for pictures and sequences in ONNX, whose operators take the channels first."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp import layers
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.onnx import taps
from nnfs_xp.interop.onnx.graph import Graph
from nnfs_xp.interop.windows import Sides, cut_off, of_axes, sides_for
from nnfs_xp.layers.convolution import Convolution
from nnfs_xp.layers.transposed import TransposedConvolution
from nnfs_xp.layers.windowed import OnPictures, Windowed


def convolution(graph: Graph, layer: Convolution, inputs: str) -> str:
    """``patches @ weights + biases``."""
    if graph.dtype == "float64":  # for which onnxruntime has no Conv
        return _with_biases(graph, layer, taps.products(graph, layer, inputs))
    first = graph.channels_first(inputs, layer.n_axes)
    settings = _window(graph, layer, inputs)
    output = graph.add("Conv", first, *_filters(graph, layer), group=layer.groups, **settings)
    return graph.channels_last(output, layer.n_axes)


def transposed(graph: Graph, layer: TransposedConvolution, inputs: str) -> str:
    """The sum of ``inputs @ weights.T`` where the windows overlap, and the biases."""
    if graph.dtype == "float64":
        return _with_biases(graph, layer, taps.products_back(graph, layer, inputs))
    first = graph.channels_first(inputs, layer.n_axes)
    sides, more = cut_off(layer)
    output = graph.add(
        "ConvTranspose",
        first,
        *_filters(graph, layer),
        group=layer.groups,
        output_padding=of_axes(layer, more),
        pads=_pads(layer, sides),
        **_sizes(layer),
    )
    return graph.channels_last(output, layer.n_axes)


def _filters(graph: Graph, layer: Convolution | TransposedConvolution) -> list[str]:
    """The weights as ONNX wants them, and the biases if there are any."""
    weights = graph.parameter("weights", laid=filters_first)
    return [weights, *([graph.parameter("biases", (-1,))] if layer.use_bias else [])]


def filters_first(weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The last two axes in front, the last one first."""
    return np.ascontiguousarray(np.moveaxis(weights, (-1, -2), (0, 1)))


def _with_biases(graph: Graph, layer: Convolution | TransposedConvolution, products: str) -> str:
    return graph.add("Add", products, graph.parameter("biases")) if layer.use_bias else products


def _sizes(layer: Windowed) -> dict[str, list[int]]:
    return {
        "kernel_shape": of_axes(layer, layer._size),
        "strides": of_axes(layer, layer._strides),
        "dilations": of_axes(layer, layer._dilation),
    }


def _pads(layer: OnPictures, sides: Sides) -> list[int]:
    """Those before all axes, and then those behind them."""
    return [side[place] for place in (0, 1) for side in of_axes(layer, sides)]


def _window(graph: Graph, layer: Windowed, inputs: str) -> dict[str, Any]:
    """The window of a layer as attributes of an operator."""
    sides = sides_for(layer, graph.shapes.get(inputs))
    if sides is not None:
        return {**_sizes(layer), "pads": _pads(layer, sides)}
    if max(layer._dilation) > 1:
        raise taps.needs_size(layer)
    return {**_sizes(layer), "auto_pad": "SAME_UPPER"}


def max_pool(graph: Graph, layer: Windowed, inputs: str) -> str:
    """The largest number of each window, for each channel."""
    first = graph.channels_first(inputs, layer.n_axes)
    output = graph.add("MaxPool", first, **_window(graph, layer, inputs))
    return graph.channels_last(output, layer.n_axes)


def average_pool(graph: Graph, layer: Any, inputs: str) -> str:
    """The mean of each window, for each channel."""
    if graph.dtype == "float64":
        return taps.means(graph, layer, inputs)
    first = graph.channels_first(inputs, layer.n_axes)
    settings = _window(graph, layer, inputs)
    del settings["dilations"]  # which are 1, and new in version 19
    settings["count_include_pad"] = int(layer.counts_padding)
    return graph.channels_last(graph.add("AveragePool", first, **settings), layer.n_axes)


def global_average(graph: Graph, layer: layers.GlobalAveragePool, inputs: str) -> str:
    """The mean over all places, for each channel."""
    return _over_places(graph, layer, inputs, "ReduceMean")


def global_max(graph: Graph, layer: layers.GlobalMaxPool, inputs: str) -> str:
    """The largest number of all places, for each channel."""
    return _over_places(graph, layer, inputs, "ReduceMax")


def _over_places(graph: Graph, layer: Any, inputs: str, operator: str) -> str:
    n_axes = _n_axes(graph, layer, inputs)
    if not n_axes:
        return inputs
    if graph.is_turned(inputs):
        return graph.reduce(operator, graph.channels_first(inputs), [*range(2, n_axes + 2)])
    return graph.reduce(operator, inputs, [*range(1, n_axes + 1)])


def _n_axes(graph: Graph, layer: Any, inputs: str) -> int:
    """How many axes there are between that of the batch and that of the channels."""
    if inputs not in graph.shapes:
        raise ArgumentError(
            f"the shape of the samples that come to {layer!r} is not known: a layer of one's own "
            "before it needs an `output_shape`."
        )
    return len(graph.shapes[inputs]) - 1


def upsample(graph: Graph, layer: layers.Upsample2D, inputs: str) -> str:
    """Each pixel as often as `size` says."""
    if graph.dtype == "float64":
        return taps.repeated(graph, layer, inputs)
    first = graph.channels_first(inputs, 2)
    scales = np.array([1.0, 1.0, *layer._factors])
    settings = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    output = graph.add("Resize", first, "", scales, mode="nearest", **settings)
    return graph.channels_last(output, 2)


def zero_pad(graph: Graph, layer: layers.ZeroPad2D, inputs: str) -> str:
    """The pictures, and zeros around them."""
    (top, bottom), (left, right) = layer._sides
    if graph.is_turned(inputs):
        pads = np.array([0, 0, top, left, 0, 0, bottom, right])
        return graph.channels_last(graph.add("Pad", graph.channels_first(inputs), pads), 2)
    return graph.add("Pad", inputs, np.array([0, top, left, 0, 0, bottom, right, 0]))


def reshape(graph: Graph, layer: layers.Reshape, inputs: str) -> str:
    """Each sample in another shape."""
    return graph.add("Reshape", inputs, np.array([0, *layer.shape]))


def group_norm(graph: Graph, layer: layers.GroupNorm, inputs: str) -> str:
    """``gamma * normalized + beta``, with mean and variance over the groups of each sample."""
    n_axes = _n_axes(graph, layer, inputs)
    first = graph.channels_first(inputs, n_axes)
    groups = graph.add("Reshape", first, np.array([0, layer.n_groups, -1]))
    centered = graph.add("Sub", groups, graph.reduce("ReduceMean", groups, [2], keepdims=True))
    squares = graph.add("Mul", centered, centered)
    variance = graph.reduce("ReduceMean", squares, [2], keepdims=True)
    deviation = graph.add("Sqrt", graph.add("Add", variance, layer.epsilon))
    normalized = graph.add("Div", centered, deviation)
    output = graph.add("Reshape", normalized, graph.add("Shape", first))
    shape = (layer.n_features, *(1,) * n_axes)
    if layer.scale:
        output = graph.add("Mul", output, graph.parameter("gamma", shape))
    if layer.center:
        output = graph.add("Add", output, graph.parameter("beta", shape))
    return graph.channels_last(output, n_axes)
