"""What skl2onnx calls to learn of an estimator: which outputs it has, and which nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.onnx.graph import Converter, Graph, import_onnx
from nnfs_xp.layers import Layer, Sigmoid, Softmax
from nnfs_xp.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    FocalLoss,
    Loss,
    Poisson,
    SigmoidBinaryCrossentropy,
    SoftmaxCategoricalCrossentropy,
)
from nnfs_xp.losses.targets import BinaryLoss
from nnfs_xp.sklearn.base import BaseMLP
from nnfs_xp.sklearn.classifier import MLPClassifier
from nnfs_xp.sklearn.regressor import MLPRegressor

_ACTIVATIONS: dict[Callable[..., Any], type[Layer] | None] = {
    CategoricalCrossentropy.probabilities: None,
    BinaryCrossentropy.probabilities: None,
    SoftmaxCategoricalCrossentropy.probabilities: Softmax,
    FocalLoss.probabilities: Softmax,
    SigmoidBinaryCrossentropy.probabilities: Sigmoid,
}
"""The activation by which a loss turns the network's output into probabilities."""


def convert(
    end: Callable[[Graph, Any, str], list[str]],
    converters: dict[type[Layer], Converter],
    scope: Any,
    operator: Any,
    container: Any,
) -> None:
    """Add an estimator's network, and the nodes that turn its output into answers, to a graph."""
    estimator = operator.raw_operator
    graph = Graph(_dtype_of(operator), converters)
    graph.names |= {each.full_name for each in (*operator.inputs, *operator.outputs)}
    columns = [
        each.full_name
        if isinstance(each.type, tensor_type(graph.dtype))
        else graph.cast(each.full_name, graph.dtype)
        for each in operator.inputs
    ]
    inputs = columns[0] if len(columns) == 1 else graph.add("Concat", *columns, axis=1)
    answers = end(graph, estimator, graph.convert(estimator.network_, inputs))
    for answer, output in zip(answers, operator.outputs, strict=True):
        graph.name_output(answer, output.full_name)
    _move(graph, scope, operator, container)


def classify(graph: Graph, estimator: MLPClassifier, output: str) -> list[str]:
    """The labels, and the probabilities of all classes."""
    loss = estimator._loss()
    if type(loss).probabilities not in _ACTIVATIONS:
        raise ArgumentError(
            f"a classifier in ONNX gives probabilities; {type(loss).__name__} has none, or its own."
        )
    activation = _ACTIVATIONS[type(loss).probabilities]
    probabilities = output if activation is None else graph.convert(activation(), output)
    if isinstance(loss, BinaryLoss):
        found = graph.cast(graph.add("Greater", output, loss.threshold), "int64")
        if estimator._kind == "multilabel":
            return [found, probabilities]
        found = graph.add("Squeeze", found, np.array([1]))
        if len(estimator.classes_) == 1:
            probabilities = graph.add("Max", probabilities, 1.0)  # of the only class there is
        else:
            others = graph.add("Sub", 1.0, probabilities)
            probabilities = graph.add("Concat", others, probabilities, axis=1)
    else:
        found = graph.add("ArgMax", output, axis=1, keepdims=0)
    classes = graph.constant(_classes_of(estimator), "classes")
    return [graph.add("Gather", classes, found, axis=0), probabilities]


def estimate(graph: Graph, estimator: MLPRegressor, output: str) -> list[str]:
    """The predicted values."""
    loss = estimator._loss()
    if isinstance(loss, Poisson):
        return [graph.add("Exp", output) if loss.log_input else output]
    if type(loss).predictions is not Loss.predictions:
        raise ArgumentError(
            f"{type(loss).__name__} makes predictions of its own, which ONNX cannot be told."
        )
    return [output]


def _classes_of(estimator: MLPClassifier) -> np.ndarray[Any, Any]:
    """The classes as ONNX can hold them: strings, or integers.

    Where there is one only it stands twice: for both sides of the threshold.
    """
    classes = np.asarray(estimator.classes_)
    if all(isinstance(each, str) for each in classes):
        classes = classes.astype(object)
    elif classes.dtype.kind in "biuf" and np.all(classes == classes.astype(np.int64)):
        classes = classes.astype(np.int64)
    else:
        raise ArgumentError(
            f"classes in ONNX are strings or whole numbers; got {shown(classes.tolist())}."
        )
    return classes if len(classes) > 1 else np.repeat(classes, 2)


def classifier_shapes(operator: Any) -> None:
    """Say which types and shapes a classifier's two outputs have."""
    from skl2onnx.common.data_types import Int64TensorType, StringTensorType

    estimator = operator.raw_operator
    batch, width = operator.inputs[0].get_first_dimension(), _width_of(estimator)
    kind = StringTensorType if _classes_of(estimator).dtype == object else Int64TensorType
    several = estimator._kind == "multilabel"
    operator.outputs[0].set_type(kind([batch, width] if several else [batch]))
    n_probabilities = width if several or width > 1 else len(estimator.classes_)
    operator.outputs[1].set_type(_floats(operator, [batch, n_probabilities]))


def regressor_shapes(operator: Any) -> None:
    """Say which type and shape a regressor's output has."""
    batch, width = operator.inputs[0].get_first_dimension(), _width_of(operator.raw_operator)
    operator.outputs[0].set_type(_floats(operator, [batch, width]))


def _width_of(estimator: BaseMLP) -> int:
    return int(estimator.network_.output_shape((estimator.n_features_in_,))[0])


def _dtype_of(operator: Any) -> str:
    """The data type to compute in."""
    doubles = (isinstance(each.type, tensor_type("float64")) for each in operator.inputs)
    return "float64" if any(doubles) else "float32"


def tensor_type(dtype: str) -> Any:
    """The type that skl2onnx has for tensors of ``"float32"`` or ``"float64"``."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    return DoubleTensorType if dtype == "float64" else FloatTensorType


def _floats(operator: Any, shape: list[Any]) -> Any:
    return tensor_type(_dtype_of(operator))(shape)


def _move(graph: Graph, scope: Any, operator: Any, container: Any) -> None:
    """Move all nodes to the graph that skl2onnx builds, under names that are free there."""
    onnx = import_onnx()
    names = {each.full_name: each.full_name for each in (*operator.inputs, *operator.outputs)}
    for tensor in graph.initializers:
        names[tensor.name] = scope.get_unique_variable_name(tensor.name)
        tensor.name = names[tensor.name]
        container.initializers.append(tensor)
    for node in graph.nodes:
        for output in node.output:
            names.setdefault(output, scope.get_unique_variable_name(output))
        container.add_node(
            node.op_type,
            [names[each] for each in node.input],
            [names[each] for each in node.output],
            name=scope.get_unique_operator_name(node.name),
            **{each.name: onnx.helper.get_attribute_value(each) for each in node.attribute},
        )
