"""Windows over pictures put together from slices: for float64, which few operators take.

The channels stay last.
"""

from __future__ import annotations

from functools import cache, partial, reduce
from itertools import product
from math import prod
from typing import Any

import numpy as np

from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.onnx.graph import Graph, Laid
from nnfs_xp.interop.windows import Sides, cut_off, of_axes, sides_for
from nnfs_xp.kernels.standard.windows import Pair
from nnfs_xp.layers.convolution import Convolution
from nnfs_xp.layers.transposed import TransposedConvolution
from nnfs_xp.layers.windowed import OnPictures, Windowed

_TO_THE_END = 2**63 - 1


def needs_size(layer: Windowed) -> ArgumentError:
    """What to say where the padding follows from a size that is not known."""
    return ArgumentError(
        f"the padding of {layer!r} follows from the size of its inputs, which `input_shape` leaves "
        "open; say it, as in input_shape=(32, 32, 3)."
    )


def _padded(graph: Graph, layer: OnPictures, value: str, sides: Sides) -> str:
    """The value with zeros around its pictures; without rows and columns where less than 0."""
    before, behind = zip(*of_axes(layer, sides), strict=True)
    pads = np.array([0, *before, 0, 0, *behind, 0])
    return graph.add("Pad", value, pads) if pads.any() else value


def _taps(graph: Graph, layer: Windowed, value: str, strides: Pair) -> list[str]:
    """What each tap of the window looks at, in pictures with their padding."""
    axes = np.arange(1, layer.n_axes + 1)
    size, dilation = of_axes(layer, layer._size), of_axes(layer, layer._dilation)
    found = []
    for tap in product(*map(range, size)):
        starts = [i * d for i, d in zip(tap, dilation, strict=True)]
        left = [d * (n - 1 - i) for i, d, n in zip(tap, dilation, size, strict=True)]
        ends = [-each if each else _TO_THE_END for each in left]
        steps = of_axes(layer, strides)
        found.append(
            graph.add("Slice", value, *map(np.array, (starts, ends)), axes, np.array(steps))
        )
    return found


def _products(graph: Graph, layer: Windowed, value: str, strides: Pair, laid: Laid) -> str:
    seen = _taps(graph, layer, value, strides)
    patches = seen[0] if len(seen) == 1 else graph.add("Concat", *seen, axis=-1)
    return graph.add("MatMul", patches, graph.parameter("weights", laid=laid))


def products(graph: Graph, layer: Convolution, inputs: str) -> str:
    """``patches @ weights``, those of all groups in one matrix."""
    sides = sides_for(layer, graph.shapes.get(inputs))
    if sides is None:
        raise needs_size(layer)
    padded = _padded(graph, layer, inputs, sides)
    return _products(graph, layer, padded, layer._strides, _matrix(layer.groups))


def products_back(graph: Graph, layer: TransposedConvolution, inputs: str) -> str:
    """The sum of ``inputs @ weights.T`` where the windows overlap.

    It is a convolution, with filters turned around, of the inputs with zeros between them.
    """
    value, sides = inputs, []
    cut, more = cut_off(layer)
    for axis in range(2):
        reach = layer._dilation[axis] * (layer._size[axis] - 1)
        stride, (before, behind) = layer._strides[axis], cut[axis]
        place = axis + layer.n_axes - 1
        if stride > 1:
            apart = graph.add("Unsqueeze", value, np.array([place + 1]))
            pads = np.zeros(2 * (layer.n_axes + 3), dtype=np.int64)
            pads[layer.n_axes + 3 + place + 1] = stride - 1
            value = _merged(graph, graph.add("Pad", apart, pads), place)
        sides.append((reach - before, reach - behind + more[axis] - (stride - 1)))
    padded = _padded(graph, layer, value, (sides[0], sides[1]))
    return _products(graph, layer, padded, (1, 1), _turned_matrix(layer.groups))


def means(graph: Graph, layer: Any, inputs: str) -> str:
    """The mean of each window."""
    sides = sides_for(layer, graph.shapes.get(inputs))
    if sides is None:
        raise needs_size(layer)
    total = _sum_of_taps(graph, layer, inputs, sides)
    if layer.counts_padding or not any(map(sum, sides)):
        return graph.add("Div", total, float(prod(layer._size)))
    shape = graph.add("Shape", inputs)
    ones = graph.add("Expand", graph.constant(np.ones(1)), shape)
    return graph.add("Div", total, _sum_of_taps(graph, layer, ones, sides))


def _sum_of_taps(graph: Graph, layer: Windowed, value: str, sides: Sides) -> str:
    seen = _taps(graph, layer, _padded(graph, layer, value, sides), layer._strides)
    return reduce(partial(graph.add, "Add"), seen)


def repeated(graph: Graph, layer: Any, inputs: str) -> str:
    """Each pixel as often as `size` says."""
    value = inputs
    for place, times in enumerate(layer._factors, 1):
        apart = graph.add("Unsqueeze", value, np.array([place + 1]))
        shape = np.array([times if axis == place + 1 else 1 for axis in range(5)])
        value = _merged(graph, graph.add("Expand", apart, shape), place)
    return value


def _merged(graph: Graph, value: str, place: int) -> str:
    """The value with the axis at that place and the one behind it made one."""
    before = graph.add("Shape", value, end=place)
    behind = graph.add("Shape", value, start=place + 2)
    shape = graph.add("Concat", before, graph.constant(np.array([-1])), behind, axis=0)
    return graph.add("Reshape", value, shape)


@cache
def _matrix(groups: int) -> Laid:
    """Filters as a matrix of patches by filters, 0 between groups."""

    def laid(weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        *taps, each, n_filters = weights.shape
        parts = weights.reshape(prod(taps), each, groups, n_filters // groups)
        whole = np.zeros((prod(taps), groups, each, groups, n_filters // groups), weights.dtype)
        for group in range(groups):
            whole[:, group, :, group, :] = parts[:, :, group, :]
        return whole.reshape(-1, n_filters)

    return laid


@cache
def _turned_matrix(groups: int) -> Laid:
    """The same of the filters of a transposed convolution, turned around."""

    def laid(weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        *taps, each, n_channels = weights.shape
        turned = weights[(slice(None, None, -1),) * len(taps)]
        parts = turned.reshape(*taps, each, groups, n_channels // groups)
        # (channels of a group, groups, filters of it), as the filters of a convolution lie
        parts = np.moveaxis(np.moveaxis(parts, -1, -3), -1, -2)
        return _matrix(groups)(parts.reshape(*taps, n_channels // groups, groups * each))

    return laid
