"""The graph of a model as it grows: what the converters of layers add their nodes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from nnfs_xp.backend import to_numpy
from nnfs_xp.backend.importing import import_library
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import Layer


def import_onnx() -> Any:
    """ONNX, or `BackendError` where it is not installed."""
    return import_library("onnx", "pip install 'nnfs-xp[onnx]'")


class Graph:
    """An ONNX graph under construction.

    Values are known by their names: `add` and `parameter` give them, `add` takes them.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Of all floating-point values within.
    converters : mapping of Layer class to function
        See `Converter`.
    without : Layer, optional
        One that is left out: it passes on what it is given.

    Attributes
    ----------
    nodes, initializers : list of onnx.NodeProto, list of onnx.TensorProto
        In an order in which they can run.
    names : set of str
        All that are taken.
    """

    def __init__(
        self, dtype: str, converters: Mapping[type[Layer], Converter], without: Layer | None = None
    ) -> None:
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.names: set[str] = set()
        self._onnx = import_onnx()
        self._converters = converters
        self._without = without
        self._prefix = ""
        self._layer: Layer | None = None

    def convert(self, layer: Layer, inputs: str, index: int | None = None) -> str:
        """Add all nodes of a layer; returns the name of its output.

        Parameters
        ----------
        layer : Layer
        inputs : str
        index : int, optional
            Its place among the children of the layer that is being converted.
        """
        if layer is self._without:
            return inputs
        outer = self._prefix, self._layer
        self._prefix = "" if index is None else f"{self._prefix}{index}."
        self._layer = layer
        output = self._converter(layer)(self, layer, inputs)
        if output not in self.names and output != inputs:
            raise ArgumentError(
                f"the converter of {type(layer).__name__} must return the name of the layer's "
                f"output, which graph.add gave; it returned {output!r}."
            )
        self._prefix, self._layer = outer
        return output

    def add(self, operator: str, *inputs: Any, **attributes: Any) -> str:
        """Add a node; returns the name of its output.

        Parameters
        ----------
        operator : str
            Its name in ONNX: ``"Mul"``.
        *inputs : str, float or array
            Names of values. A number or an array becomes a constant, of the graph's dtype
            unless it is an array of integers, truth values or strings.
        **attributes
            As ONNX has them for the operator.
        """
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        output = self._new_name(operator)
        node = self._onnx.helper.make_node(operator, names, [output], name=output, **attributes)
        self.nodes.append(node)
        return output

    def constant(self, value: Any, name: str = "constant") -> str:
        """Add a constant, as `add` does for a number or an array; returns its name."""
        exact = isinstance(value, np.ndarray) and value.dtype.kind != "f"
        name = self._new_name(name)
        self._store(name, np.asarray(value, dtype=None if exact else self.dtype))
        return name

    def cast(self, value: str, dtype: str) -> str:
        """Add a conversion to a data type that NumPy names so; returns the name of its output."""
        return self.add("Cast", value, to=self.element_type(dtype))

    def element_type(self, dtype: str) -> int:
        """ONNX's number for a data type that NumPy names so."""
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def name_output(self, value: str, name: str) -> None:
        """Call a value by the name that it is to have as the output of the whole graph."""
        if not any(value in node.output for node in self.nodes):
            value = self.add("Identity", value)
        for node in self.nodes:
            node.input[:] = [name if each == value else each for each in node.input]
            node.output[:] = [name if each == value else each for each in node.output]

    def parameter(self, name: str, shape: tuple[int, ...] | None = None) -> str:
        """Add a parameter or buffer of the layer that is being converted, under its name there.

        Parameters
        ----------
        name : str
        shape : tuple of int, optional
            In which ONNX wants it.

        Returns
        -------
        str
            As in `Layer.parameters` of the whole model: ``"0.weights"``.
        """
        full = self._prefix + name
        if full not in self.names:
            values = to_numpy(getattr(self._layer, name)).astype(self.dtype)
            self._store(full, values if shape is None else values.reshape(shape))
        return full

    def _store(self, name: str, values: np.ndarray[Any, Any]) -> None:
        self.names.add(name)
        self.initializers.append(self._onnx.numpy_helper.from_array(values, name))

    def _new_name(self, part: str) -> str:
        """A name that tells the place and the class of the layer: ``"0.Dense/Gemm"``."""
        place = "" if self._layer is None else f"{self._prefix}{type(self._layer).__name__}/"
        stem = place + part
        name, count = stem, 1
        while name in self.names:
            count += 1
            name = f"{stem}_{count}"
        self.names.add(name)
        return name

    def _converter(self, layer: Layer) -> Converter:
        known = class_among(self._converters, layer)
        if known is None:
            kind, place = type(layer).__name__, self._prefix.rstrip(".")
            where = f"layer {place}" if place else "the model"
            raise ArgumentError(
                f"{where} is of the class {kind}, which export_onnx cannot convert. Hand over a "
                f"function that can: custom_layers={{{kind}: function}}."
            )
        return self._converters[known]


Converter: TypeAlias = Callable[[Graph, Any, str], str]
"""What turns a layer into nodes: takes the graph, the layer and the name of its inputs, and
returns the name of its output."""


def class_among(classes: Mapping[type[Layer], Any], layer: Layer) -> type[Layer] | None:
    """Which of the classes the layer is of, having the same `forward`; None if none."""
    for each in type(layer).__mro__:
        if each in classes and issubclass(each, Layer):
            return each if type(layer).forward is each.forward else None
    return None
