"""The graph of a model as it grows: what the converters of layers add their nodes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.backend import to_numpy
from nnfs_xp.backend.importing import import_library
from nnfs_xp.errors import ArgumentError, NnfsError, NotReadyError, ShapeError
from nnfs_xp.interop.beneath import class_among
from nnfs_xp.layers import Layer
from nnfs_xp.layers.base import Shape

OPSET = 17
"""The lowest version that has all operators in use: the most programs can read it."""

Laid: TypeAlias = Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]
"""What lays out a parameter in another way."""


def import_onnx() -> Any:
    """ONNX, or `BackendError` where it is not installed."""
    return import_library("onnx", "pip install 'nnfs-xp[onnx]'")


class Graph:
    """An ONNX graph under construction.

    Values are known by their names: `add` and `parameter` give them, `add` takes them.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        That of all floating-point values within.
    converters : mapping of Layer class to function
        See `Converter`.
    without : Layer, optional
        One that is left out: it passes on what it is given.

    Attributes
    ----------
    nodes, initializers : list of onnx.NodeProto, list of onnx.TensorProto
        In an order in which they can run.
    names : set of str
        All names in use.
    shapes : dict of str to tuple
        The shape of one sample of a value, where it is known: see `is_row`.
    integers : dict of str to str
        From the floating-point values that were cast from integers to those integers.
    opset : int
        The version of the operators: see `OPSET`.
    n_axes : dict of str to int
        Of the values that were turned, how many axes are between those of batch and channels.

    Notes
    -----
    Many operators of ONNX take pictures with the channels first, and layers here have them last.
    `channels_first` and `channels_last` turn a value, and remember both sides of it: where an
    operator takes what another one gave, nothing is turned, and what nobody takes is dropped.
    """

    def __init__(
        self,
        dtype: str,
        converters: Mapping[type[Layer], Converter],
        without: Layer | None = None,
        *,
        opset: int = OPSET,
    ) -> None:
        self.dtype = dtype
        self.opset = opset
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.names: set[str] = set()
        self.integers: dict[str, str] = {}
        self.shapes: dict[str, Shape] = {}
        self._onnx = import_onnx()
        self._converters = converters
        self._without = without
        self._prefix = ""
        self._layer: Layer | None = None
        self._stored: dict[tuple[Layer, str, str, Laid | None], str] = {}
        self._places: dict[int, str] = {}
        self._first: dict[str, str] = {}
        self.n_axes: dict[str, int] = {}

    def convert(self, layer: Layer, inputs: str, index: int | None = None) -> str:
        """Add all nodes of a layer; return the name of its output.

        Parameters
        ----------
        layer : Layer
        inputs : str
        index : int, optional
            Its place among the children of the layer that is being converted; by default it
            is taken for a part of that layer, and names begin with the layer's.
        """
        if layer is self._without:
            return inputs
        if not self._places:
            self._places = {id(each): prefix for prefix, each in layer.walk()}
        outer = self._prefix, self._layer
        self._prefix = self._prefix if index is None else f"{self._prefix}{index}."
        self._layer = layer
        output = self._converted(layer, inputs)
        if not isinstance(output, str) or (output not in self.names and output != inputs):
            raise ArgumentError(
                f"the converter of {type(layer).__name__} must return the name of the layer's "
                f"output, which graph.add gave; it returned {shown(repr(output))}."
            )
        self._prefix, self._layer = outer
        if inputs in self.shapes and output not in self.shapes:
            with suppress(ShapeError, TypeError):  # of a layer of one's own
                self.shapes[output] = layer.output_shape(self.shapes[inputs])
        return output

    def _converted(self, layer: Layer, inputs: str) -> str:
        """What the layer's converter gives: with the channels first, where that is all the same."""
        convert = self._converter(layer)
        if not (layer.elementwise and self.is_turned(inputs)):
            return convert(self, layer, inputs)
        first = self._first[inputs]
        output = convert(self, layer, first)
        return inputs if output == first else self.channels_last(output, self.n_axes[inputs])

    def is_turned(self, *values: str) -> bool:
        """Whether there are nodes that give the values with the channels first."""
        return all(value in self._first for value in values)

    def channels_first(self, value: str, n_axes: int | None = None) -> str:
        """The value with its last axis behind that of the batch; `n_axes` are between the two."""
        if value not in self._first:
            assert n_axes is not None
            perm = [0, n_axes + 1, *range(1, n_axes + 1)]
            self._first[value] = self.add("Transpose", value, perm=perm)
            self.n_axes[value] = n_axes
        return self._first[value]

    def channels_last(self, first: str, n_axes: int) -> str:
        """The value as layers here give it, of one with the channels first."""
        value = self.add("Transpose", first, perm=[0, *range(2, n_axes + 2), 1])
        self._first[value], self.n_axes[value] = first, n_axes
        return value

    def join(self, operator: str, *values: str, **attributes: Any) -> str:
        """Add a node that takes several values of one layout; return the name of its output.

        An attribute ``axis`` is -1: that of the channels.
        """
        if not self.is_turned(*values) or len({self.n_axes[value] for value in values}) > 1:
            return self.add(operator, *values, **attributes)
        along = {name: 1 for name in attributes if name == "axis"}
        output = self.add(operator, *map(self.channels_first, values), **attributes | along)
        return self.channels_last(output, self.n_axes[values[0]])

    def reduce(self, operator: str, value: str, axes: list[int], *, keepdims: bool = False) -> str:
        """Add a node that reduces these axes: newer versions take them in another way."""
        if self.opset < 18:
            return self.add(operator, value, axes=axes, keepdims=int(keepdims))
        return self.add(operator, value, np.array(axes), keepdims=int(keepdims))

    def is_row(self, value: str) -> bool:
        """Whether each sample of the value is known to be a row of features."""
        return len(self.shapes.get(value, ())) == 1

    def add(self, operator: str, *inputs: Any, **attributes: Any) -> str:
        """Add a node; return the name of its output.

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
        try:
            node = self._onnx.helper.make_node(operator, names, [output], name=output, **attributes)
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"{output} cannot have the attributes {shown(attributes)}: {shown(error)}."
            ) from error
        self.nodes.append(node)
        return output

    def constant(self, value: Any, name: str = "constant") -> str:
        """Add a constant, as `add` does for a number or an array; return its name."""
        name = self._new_name(name)
        is_float = not isinstance(value, np.ndarray) or value.dtype.kind == "f"
        self._store(name, self._rounded(name, value) if is_float else value)
        return name

    def cast(self, value: str, dtype: str) -> str:
        """Add a conversion to a data type, by its name in NumPy; return the name of its output."""
        return self.add("Cast", value, to=self.element_type(dtype))

    def element_type(self, dtype: str) -> int:
        """ONNX's number for a data type, by its name in NumPy."""
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def cast_inputs(self, inputs: str, input_dtype: str) -> str:
        """Add the conversion of the model's inputs, if needed; keep integer ones in `integers`."""
        if input_dtype == self.dtype:
            return inputs
        value = self.cast(inputs, self.dtype)
        if np.dtype(input_dtype).kind in "iu":
            self.integers[value] = inputs
        return value

    def drop_unused(self) -> None:
        """Remove what nobody takes of the conversions of inputs, and of the values turned."""
        spare = {*self.integers, *self._first, *self._first.values()}
        used: set[str] = set()
        kept = []
        for node in reversed(self.nodes):
            if node.op_type in ("Cast", "Transpose") and spare - used >= set(node.output):
                continue
            used.update(node.input)
            kept.append(node)
        self.nodes[:] = kept[::-1]

    def name_output(self, value: str, name: str) -> None:
        """Rename a value: to the name of the output of the whole graph."""
        if not any(value in node.output for node in self.nodes):
            value = self.add("Identity", value)
        for node in self.nodes:
            node.input[:] = [name if each == value else each for each in node.input]
            node.output[:] = [name if each == value else each for each in node.output]

    def parameter(
        self, name: str, shape: tuple[int, ...] | None = None, laid: Laid | None = None
    ) -> str:
        """Add a parameter or buffer of the layer that is being converted, under its name there.

        Parameters
        ----------
        name : str
        shape : tuple of int, optional
            The shape that ONNX wants it in.
        laid : callable, optional
            Takes the values, as a NumPy array, and returns them as ONNX wants them.

        Returns
        -------
        str
            As in `Layer.parameters` of the whole model: ``"0.weights"``. A second layer at the
            same place, or a second shape, has names of its own.
        """
        layer = self._layer
        if layer is not None and name in layer._ties:
            return self._tied_parameter(layer, name, shape, laid)
        if layer is None:
            raise NotReadyError("there are parameters only while a layer is being converted.")
        known = (layer, name, repr(shape), laid)
        if known not in self._stored:
            full = self._take(self._prefix + name)
            try:
                values = to_numpy(getattr(layer, name))
                values = values if shape is None else values.reshape(shape)
                values = values if laid is None else laid(values)
            except (AttributeError, NnfsError, TypeError, ValueError) as error:
                raise ArgumentError(
                    f"the converter of {type(layer).__name__} asks for the parameter "
                    f"{shown(repr(name))}{'' if shape is None else f' of shape {shape}'}: "
                    f"{shown(error)}"
                ) from error
            self._store(full, self._rounded(full, values))
            self._stored[known] = full
        return self._stored[known]

    def _tied_parameter(
        self, layer: Layer, name: str, shape: tuple[int, ...] | None, laid: Laid | None
    ) -> str:
        """The other layer's parameter, which stands in the graph once."""
        tie = layer._ties[name]
        outer = self._prefix, self._layer
        self._prefix, self._layer = self._places.get(id(tie.layer), self._prefix), tie.layer
        value = self.parameter(tie.name, *(() if tie.transposed else (shape, laid)))
        self._prefix, self._layer = outer
        return self.add("Transpose", value, perm=[1, 0]) if tie.transposed else value

    def _rounded(self, name: str, value: Any) -> np.ndarray[Any, Any]:
        """Numbers in the graph's dtype, if that holds them."""
        try:
            numbers = np.asarray(value)
        except ValueError:  # rows of different lengths
            numbers = np.asarray(None)
        if numbers.dtype.kind not in "biuf":
            raise ArgumentError(f"`{name}` must be numbers; got {shown(repr(value))}.")
        with np.errstate(over="ignore"):
            rounded = numbers.astype(self.dtype)
        if np.any(np.isinf(rounded) & ~np.isinf(numbers)):
            raise ArgumentError(
                f"`{name}` has values beyond those of {self.dtype}. Export with dtype='float64'."
            )
        return rounded

    def _store(self, name: str, values: np.ndarray[Any, Any]) -> None:
        try:
            self.initializers.append(self._onnx.numpy_helper.from_array(values, name))
        except (NotImplementedError, TypeError, ValueError) as error:
            raise ArgumentError(f"ONNX cannot hold `{name}`: {shown(error)}.") from error

    def _new_name(self, part: str) -> str:
        """A name that tells the place and the class of the layer: ``"0.Dense/Gemm"``."""
        place = "" if self._layer is None else f"{self._prefix}{type(self._layer).__name__}/"
        return self._take(place + part)

    def _take(self, stem: str) -> str:
        """Take a name: the stem, with a number behind it if that is in use."""
        name, count = stem, 1
        while name in self.names:
            count += 1
            name = f"{stem}_{count}"
        self.names.add(name)
        return name

    def _converter(self, layer: Layer) -> Converter:
        known = class_among(self._converters, layer, "forward")
        if known is None:
            place = self._prefix.rstrip(".")
            where = f"layer {place}" if place else "the model"
            stands_in = hasattr(layer, "own")  # in nnfs_xp.book.Model, for what is no Layer
            kind = layer.kind if stands_in else type(layer).__name__
            raise ArgumentError(
                f"{where} is of the class {layer.kind}, which export_onnx cannot convert. Hand "
                f"over a function that can: custom_layers={{{kind}: function}}."
                + (f" For that, derive {kind} from nnfs_xp.Layer." if stands_in else "")
            )
        return self._converters[known]


Converter: TypeAlias = Callable[[Graph, Any, str], str]
"""What turns a layer into nodes: takes the graph, the layer and the name of its inputs, and
returns the name of its output."""
