"""Checks that a layer or a loss keeps the contract, for tests of any project."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any
from unittest.mock import patch

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, backend_of, get_backend, to_numpy
from nnfs_xp.layers import Layer
from nnfs_xp.losses import Loss
from nnfs_xp.parameters import FlatParameters

_STEP = 1e-5
"""Of the central differences in float64, near the cube root of its eps: see `numeric_gradient`."""


def numeric_gradient(function: Callable[[Array], float], at: Array) -> np.ndarray[Any, Any]:
    """The gradient of a function of a float64 array by central differences.

    Parameters
    ----------
    function : callable
        From an array like `at` to a number.
    at : array of float64, any backend

    Returns
    -------
    ndarray of float64, of the same shape

    Notes
    -----
    (f(x + h) - f(x - h)) / 2h with h = 1e-5 for each element: the formula's error grows with
    h**2, rounding's with eps / h, and the two are about least together there.
    """
    backend = backend_of(at)
    center = np.array(to_numpy(at), dtype=np.float64)
    gradient = np.empty_like(center)
    for index in np.ndindex(*center.shape):
        ends = []
        for step in (_STEP, -_STEP):
            moved = center.copy()
            moved[index] += step
            ends.append(function(backend.asarray(moved)))
        gradient[index] = (ends[0] - ends[1]) / (2 * _STEP)
    return gradient


def check_layer(layer: Layer, inputs: Array) -> None:
    """Assert that a layer keeps the contract: shapes, dtypes, device, gradients, no waiting.

    The gradient of the inputs and of every parameter, penalties included, is held against
    central differences in float64 on the layer's backend. The layer itself is left as it was.

    Parameters
    ----------
    layer : Layer
    inputs : array, shape (batch, ...)
        On the layer's backend, in its data type. Choose values away from kinks, such as 0 for
        ReLU: the difference over a kink is no gradient.

    Raises
    ------
    AssertionError
        Saying what is broken.
    """
    layer = copy.deepcopy(layer)
    backend = backend_of(inputs)
    before = to_numpy(inputs).copy()

    fresh = copy.deepcopy(layer)
    output = fresh.forward(inputs)
    expected = tuple(layer.output_shape(tuple(inputs.shape[1:])))
    _check_array("output", output, backend, inputs.dtype, (inputs.shape[0], *expected))
    assert fresh._kept is None, "a forward pass with training=False must keep nothing"

    output = fresh.forward(inputs, training=True)
    _check_array("output", output, backend, inputs.dtype, (inputs.shape[0], *expected))
    dvalues = backend.asarray(_weights_like(output), inputs.dtype)
    dvalues_before = to_numpy(dvalues).copy()
    with no_synchronization():
        fresh.forward(inputs, training=True)
        dinputs = fresh.backward(dvalues)
    _check_array("dinputs", dinputs, backend, inputs.dtype, tuple(inputs.shape))
    for name, gradient in fresh.gradients().items():
        shape = tuple(fresh.parameters()[name].shape)
        _check_array(f"the gradient of {name}", gradient, backend, inputs.dtype, shape)
    assert np.array_equal(to_numpy(inputs), before, equal_nan=True), "forward wrote to its inputs"
    assert np.array_equal(to_numpy(dvalues), dvalues_before), "backward wrote to dvalues"

    _check_layer_gradients(layer, inputs)


def _check_layer_gradients(layer: Layer, inputs: Array) -> None:
    backend = backend_of(inputs)
    double = _to_float64(layer)
    point = backend.asarray(np.array(to_numpy(inputs), dtype=np.float64))
    trained = copy.deepcopy(double)
    output = trained.forward(point, training=True)
    dvalues = backend.asarray(_weights_like(output))
    dinputs = trained.backward(dvalues)

    def objective(candidate: Layer, at: Array) -> float:
        # A copy for each pass: a layer that draws random numbers draws the same each time.
        candidate = copy.deepcopy(candidate)
        result = float(np.sum(to_numpy(candidate.forward(at, training=True) * dvalues)))
        penalty = candidate.regularization_loss()
        return result if penalty is None else result + float(to_numpy(penalty))

    _assert_close("dinputs", dinputs, numeric_gradient(lambda at: objective(double, at), point))
    for name, gradient in trained.gradients().items():

        def of_parameter(values: Array, name: str = name) -> float:
            candidate = copy.deepcopy(double)
            candidate.parameters()[name][...] = values
            return objective(candidate, point)

        numeric = numeric_gradient(of_parameter, double.parameters()[name])
        _assert_close(f"the gradient of {name}", gradient, numeric)


def check_loss(loss: Loss, y_pred: Array, y_true: Array) -> None:
    """Assert that a loss keeps the contract: shapes, dtypes, device, gradients, no waiting.

    The gradient is held against central differences in float64, without and with weights of
    the samples.

    Parameters
    ----------
    loss : Loss
    y_pred : array, shape (batch, outputs)
    y_true : array
        On the same backend. Choose values away from kinks.

    Raises
    ------
    AssertionError
        Saying what is broken.
    """
    assert "sample_weight" in inspect.signature(loss.backward).parameters, (
        "backward must take sample_weight; for most losses `return self.weigh(dinputs, "
        "sample_weight)` is all that is to do with it"
    )
    backend = backend_of(y_pred)
    n = y_pred.shape[0]
    before = to_numpy(y_pred).copy(), to_numpy(y_true).copy()
    host_weights = np.linspace(0.5, 1.5, n)
    weights = backend.asarray(host_weights, y_pred.dtype)
    with no_synchronization():
        losses = loss.forward(y_pred, y_true)
        mean = loss.calculate(y_pred, y_true)
        weighted_mean = loss.calculate(y_pred, y_true, weights)
        dinputs = loss.backward(y_pred, y_true)
        weighted = loss.backward(y_pred, y_true, weights)
    _check_array("forward's result", losses, backend, y_pred.dtype, (n,))
    _check_array("calculate's result", mean, backend, y_pred.dtype, ())
    _check_array("dinputs", dinputs, backend, y_pred.dtype, tuple(y_pred.shape))
    _check_array("the weighted dinputs", weighted, backend, y_pred.dtype, tuple(y_pred.shape))
    _assert_close("calculate's result", mean, np.mean(to_numpy(losses)))
    expected = np.mean(host_weights * to_numpy(losses))
    _assert_close("calculate's result with weights", weighted_mean, expected)
    assert np.array_equal(to_numpy(y_pred), before[0]), "the loss wrote to y_pred"
    assert np.array_equal(to_numpy(y_true), before[1]), "the loss wrote to y_true"

    point = backend.asarray(np.array(to_numpy(y_pred), dtype=np.float64))
    if to_numpy(y_true).dtype.kind == "f":
        y_true = backend.asarray(np.array(to_numpy(y_true), dtype=np.float64))
    for what, weights_or_none in (
        ("dinputs", None),
        ("dinputs with weights", backend.asarray(host_weights)),
    ):

        def objective(at: Array, weights: Array | None = weights_or_none) -> float:
            return float(to_numpy(loss.calculate(at, y_true, weights)))

        numeric = numeric_gradient(objective, point)
        _assert_close(what, loss.backward(point, y_true, weights_or_none), numeric)


def _check_array(
    what: str, array: Array, backend: Backend, dtype: Any, shape: tuple[int, ...]
) -> None:
    assert backend.owns(array), f"{what} must be on {backend.name}; it is {type(array).__name__}"
    assert array.dtype == dtype, f"{what} must have dtype {dtype}; it has {array.dtype}"
    assert tuple(array.shape) == shape, f"{what} must have shape {shape}; it has {array.shape}"


def _weights_like(output: Array) -> np.ndarray[Any, Any]:
    """Numbers that differ, to weigh the elements of an output with: its incoming gradient."""
    size = prod(output.shape)
    return np.cos(np.arange(1, size + 1, dtype=np.float64)).reshape(tuple(output.shape))


def _assert_close(what: str, actual: Array, expected: Any) -> None:
    dtype = str(to_numpy(actual).dtype)
    # Central differences are good to about eps**(2/3) of the largest element; times 100.
    tolerance = 1e-7 if dtype == "float64" else 1e-5
    scale = max(1.0, float(np.max(np.abs(expected))))
    np.testing.assert_allclose(
        to_numpy(actual), expected, rtol=tolerance, atol=tolerance * scale, err_msg=what
    )


def _to_float64(layer: Layer) -> Layer:
    """A copy of the layer with float64 parameters and buffers, on the same backend."""
    double = copy.deepcopy(layer)
    if double._flat is not None:
        FlatParameters(double, double.flat.backend, "float64")
    for _, part in double.walk():
        for name, array in part._buffers.items():
            backend = backend_of(array)
            if backend.is_floating(array.dtype):
                part._buffers[name] = backend.asarray(array, "float64")
    return double


@contextmanager
def no_synchronization() -> Iterator[None]:
    """While it lasts, arrays of array_api_strict and PyTorch refuse to be read on the host.

    ``float``, ``int``, ``bool``, ``item`` and the like raise `AssertionError`: on a GPU each
    of them would wait for the device. NumPy's arrays and CuPy's cannot be made to refuse.
    """

    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise AssertionError("the value of an array was read: on a GPU this waits for the device")

    conversions = ("__bool__", "__float__", "__int__", "__index__", "__complex__", "__array__")
    reads = (*conversions, "item", "tolist", "cpu", "numpy")
    with ExitStack() as stack:
        for name in ("torch", "array_api_strict"):
            if name in sys.modules:  # else no array of it exists
                array_type = get_backend(name).array_type
                for read in reads:
                    if hasattr(array_type, read):
                        stack.enter_context(patch.object(array_type, read, refuse))
        yield
