"""Write a model as an ONNX file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp import __version__
from nnfs_xp._checks import check_count, check_dtype, check_sample_shape, shown
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.atomic import write_file
from nnfs_xp.interop.beneath import HasNetwork, layer_of
from nnfs_xp.interop.onnx.converters import CONVERTERS
from nnfs_xp.interop.onnx.endings import change_of_ending
from nnfs_xp.interop.onnx.graph import OPSET, Converter, Graph, import_onnx
from nnfs_xp.interop.paths import path_of
from nnfs_xp.layers import Layer
from nnfs_xp.layers.base import Shape

_MOST_BYTES = 2**31 - 2**20  # what protobuf can write, less room for all but weights


def export_onnx(
    model: Layer | HasNetwork,
    path: str | Path,
    *,
    output: str = "model",
    input_name: str = "inputs",
    output_name: str | None = None,
    input_shape: Iterable[int | None] | None = None,
    input_dtype: str | None = None,
    dtype: str | None = None,
    opset: int = OPSET,
    custom_layers: Mapping[type[Layer], Converter] | None = None,
) -> None:
    """Write the model as an ONNX file, whole or not at all: what it does outside training.

    The file takes batches of any size.

    Parameters
    ----------
    model : Layer, or nnfs_xp.book.Model
        On any backend.
    path : str or Path
        By custom ending in ``.onnx``.
    output : {"model", "logits", "probabilities", "sigmoid"}
        What the file gives. "model": what the model gives. "logits": that without a final
        `Softmax` or `Sigmoid`. "probabilities": that with a softmax behind it, or a sigmoid behind
        a single output, unless there is one already. "sigmoid": that with a sigmoid behind it,
        unless there is one already, for several outputs that are each a yes or no.
    input_name, output_name : str
        What the file calls them. The output is called "output", "logits" or "probabilities" by
        default.
    input_shape : tuple of int, optional
        Of one sample, None for an axis of any length; needed where the model leaves it open, as
        one that begins with `Flatten`, `Embedding` or `Conv2D` does.
    input_dtype : str, optional
        That of the inputs; by default that of the model. "int64", say, for codes and pixels.
    dtype : {"float32", "float64"}, optional
        That of the computation; by default that of the parameters, or float32 if there are none.
    opset : int
        The version of ONNX's operators, from 17 on.
    custom_layers : mapping of Layer class to function, optional
        For each class of your own that the model contains, a function that takes the `Graph`,
        the layer and the name of its inputs, adds what the layer does to the graph, and returns
        the name of its output.

    Raises
    ------
    BackendError
        ONNX is not installed.
    ArgumentError
        A setting is out of range, or a layer cannot be converted.
    ShapeError
        The model cannot take samples of `input_shape`.
    CheckpointError
        The file cannot be written.
    """
    model = layer_of(model)
    path, onnx = path_of(path), import_onnx()
    opset = checked_opset(onnx, opset)
    shape = _sample_shape(model, input_shape)
    output_shape = model.output_shape(shape)
    without, behind = change_of_ending(model, output, output_shape)
    dtype = model.dtype or "float32" if dtype is None else check_dtype(dtype)
    input_dtype = dtype if input_dtype is None else _checked_input_dtype(input_dtype)
    if output_name is None:
        output_name = {"model": "output", "sigmoid": "probabilities"}.get(output, output)
    _check_names(model, input_name, output_name)
    _check_size(model, dtype)

    graph = Graph(dtype, CONVERTERS | checked_custom(custom_layers), without, opset=opset)
    graph.names |= {input_name, output_name}
    inputs = graph.cast_inputs(input_name, input_dtype)
    graph.shapes[inputs] = shape
    value = graph.convert(model, inputs)
    if behind is not None:
        value = graph.convert(behind, value)
    graph.name_output(value, output_name)
    graph.drop_unused()

    describe = onnx.helper.make_tensor_value_info
    versions = [onnx.helper.make_opsetid("", opset)]
    proto = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            type(model).__name__,
            [describe(input_name, graph.element_type(input_dtype), _axes(shape, "length"))],
            [describe(output_name, graph.element_type(dtype), _axes(output_shape, "out"))],
            graph.initializers,
        ),
        opset_imports=versions,
        ir_version=onnx.helper.find_min_ir_version_for(versions),
        producer_name="nnfs_xp",
        producer_version=__version__,
    )
    write_model(onnx, proto, path)


def write_model(onnx: Any, proto: Any, path: Path) -> None:
    """Check an ONNX model and write it, whole or not at all.

    Raises
    ------
    ArgumentError
        The model is not valid: the converter of a layer of one's own may have made it so.
    CheckpointError
        The file cannot be written.
    """
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ArgumentError(f"the model would be no valid ONNX: {shown(error, 500)}.") from error
    write_file(path, proto.SerializeToString())


def _sample_shape(model: Layer, input_shape: Iterable[int | None] | None) -> Shape:
    if input_shape is not None:
        return check_sample_shape(input_shape)
    shape = model.input_shape
    if shape is None or (None in shape and not model.says_input_shape):
        example = (28, 28) if shape is None else tuple(axis or 32 for axis in shape)
        sizes = "" if shape is None else " None stands for an axis of any length."
        raise ArgumentError(
            "the model leaves open which shape a sample has; say it, without the batch axis, as "
            f"in input_shape={example}.{sizes}"
        )
    return shape


def _axes(shape: Shape, name: str) -> list[int | str]:
    """The axes of an input or output; one of any length has a name."""
    of_samples = [f"{name}_{n}" if axis is None else axis for n, axis in enumerate(shape, 1)]
    return ["batch", *of_samples]


def checked_opset(onnx: Any, opset: int) -> int:
    """Refuse a version of the operators that is too old, or that ONNX does not know."""
    newest = onnx.defs.onnx_opset_version()
    if check_count("opset", opset, least=OPSET) > newest:
        raise ArgumentError(
            f"`opset` must be at most {newest}, the newest that onnx {onnx.__version__} knows; "
            f"got {opset}."
        )
    return opset


def _checked_input_dtype(dtype: str) -> str:
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = np.dtype(object)
    if found.kind not in "biuf" or found.itemsize > 8:
        raise ArgumentError(f"`input_dtype` must name a type of numbers; got {dtype!r}.")
    return found.name


def checked_custom(
    custom_layers: Mapping[type[Layer], Converter] | None,
) -> dict[type[Layer], Converter]:
    """Refuse what does not map classes of layers to functions."""
    if custom_layers is None:
        return {}
    if not isinstance(custom_layers, Mapping):
        raise ArgumentError(
            "`custom_layers` must map classes of layers to functions, as in "
            f"{{MyLayer: function}}; got {custom_layers!r}."
        )
    for layer, converter in custom_layers.items():
        if not (isinstance(layer, type) and issubclass(layer, Layer) and callable(converter)):
            raise ArgumentError(
                "`custom_layers` must map classes of layers to functions; got "
                f"{layer!r}: {converter!r}."
            )
    return dict(custom_layers)


def _check_names(model: Layer, input_name: str, output_name: str) -> None:
    """Refuse names that are none, or that the file needs for something else."""
    taken = {*model.parameters(), *model.buffers()}
    for argument, name in (("input_name", input_name), ("output_name", output_name)):
        if not isinstance(name, str) or not name:
            raise ArgumentError(f"`{argument}` must be a name; got {name!r}.")
        if any("\ud800" <= character <= "\udfff" for character in name):  # half of a pair
            raise ArgumentError(f"`{argument}` has characters that no file holds; got {name!r}.")
        if name in taken:
            raise ArgumentError(f"`{argument}` must differ from all other names; got {name!r}.")
        taken.add(name)


def _check_size(model: Layer, dtype: str) -> None:
    n_values = sum(prod(each.shape) for each in (model.parameters() | model.buffers()).values())
    if n_values * np.dtype(dtype).itemsize > _MOST_BYTES:
        raise ArgumentError(
            f"an ONNX file holds at most 2 GiB; {n_values:,} values of {dtype} take more."
        )
