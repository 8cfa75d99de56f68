"""Checks that a layer or a loss keeps the contract, for tests of any project."""

from __future__ import annotations

import copy
import inspect
from math import prod
from typing import Any

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, backend_of, to_numpy
from nnfs_xp.errors import NotReadyError
from nnfs_xp.flat_parameters import FlatParameters
from nnfs_xp.layers import Layer
from nnfs_xp.learning import is_recordable
from nnfs_xp.losses import Loss
from nnfs_xp.testing.gradients import assert_gradient, numeric_gradient
from nnfs_xp.testing.synchronization import no_synchronization


def check_layer(layer: Layer, inputs: Array) -> None:
    """Assert that a layer keeps the contract.

    - Shapes, data types and device are right; inputs and dvalues are not written to; nothing in
      a training step waits for the device.
    - A forward pass with ``training=False`` keeps nothing and changes nothing. With
      ``training=True`` it may change buffers and what counts steps, not the parameters.
    - `backward` without a training forward raises `NotReadyError`. Else it sets `dinputs` to what
      it returns, sets the gradients, whatever stood there, and changes no parameter or buffer.
    - The gradient of the inputs and of every parameter, penalties included, is that of central
      differences in float64; `backward_parameters` sets the same.
    - A layer whose class says `recordable` keeps what that asks for: buffers stay the same arrays,
      nothing else lasts from one step to the next, and what is drawn follows from `reseed`.

    The layer itself is left as it was.

    Parameters
    ----------
    layer : Layer
    inputs : array, shape (batch, …, features)
        On the layer's backend, in its data type. Choose values away from kinks, such as 0 for
        ReLU: the difference over a kink is no gradient.

    Raises
    ------
    AssertionError
        Saying what is broken.
    """
    _check_inference(copy.deepcopy(layer), inputs)
    _check_refusal(copy.deepcopy(layer), inputs)
    _check_training_step(copy.deepcopy(layer), inputs)
    _check_gradients_are_set(layer, inputs)
    _check_layer_gradients(layer, inputs)
    if is_recordable(layer):
        _check_recordable(copy.deepcopy(layer), inputs)


def _check_inference(layer: Layer, inputs: Array) -> None:
    before, inputs_before = _memory(layer), _snapshot(inputs)
    output = layer.forward(inputs)
    _check_output(layer, inputs, output)
    assert _same(_snapshot(inputs), inputs_before), "forward wrote to its inputs"
    changed = _changes(before, _memory(layer))
    assert not changed, (
        "a forward pass with training=False must keep nothing and change nothing; it did in "
        f"{changed}"
    )


def _check_refusal(layer: Layer, inputs: Array) -> None:
    dvalues = _dvalues(layer.forward(inputs))
    for name in ("backward", "backward_parameters"):
        raised: Exception | None = None
        try:
            getattr(layer, name)(dvalues)
        except Exception as error:
            raised = error
        assert isinstance(raised, NotReadyError), (
            f"{name} without a forward pass with training=True must raise NotReadyError; it "
            f"raised {raised!r}"
        )


def _check_training_step(layer: Layer, inputs: Array) -> None:
    backend = backend_of(inputs)
    parameters, inputs_before = _snapshot(layer.parameters()), _snapshot(inputs)
    with no_synchronization():
        output = layer.forward(inputs, training=True)
        penalty = layer.regularization_loss()
    _check_output(layer, inputs, output)
    if penalty is not None:
        _check_array("the penalty", penalty, backend, inputs.dtype, ())
    assert _same(_snapshot(inputs), inputs_before), "forward wrote to its inputs"
    changed = _changes(parameters, _snapshot(layer.parameters()))
    assert not changed, f"forward changed the parameters {changed}"

    dvalues = _dvalues(output)
    arrays, dvalues_before = _snapshot(layer.parameters() | layer.buffers()), _snapshot(dvalues)
    with no_synchronization():
        dinputs = layer.backward(dvalues)
    _check_array("dinputs", dinputs, backend, inputs.dtype, tuple(inputs.shape))
    assert _same(_snapshot(getattr(layer, "dinputs", None)), _snapshot(dinputs)), (
        "backward must set the attribute dinputs, to what it returns"
    )
    for name, gradient in layer.gradients().items():
        shape = tuple(layer.parameters()[name].shape)
        _check_array(f"the gradient of {name}", gradient, backend, inputs.dtype, shape)
    assert _same(_snapshot(inputs), inputs_before), "backward wrote to the layer's inputs"
    assert _same(_snapshot(dvalues), dvalues_before), "backward wrote to dvalues"
    changed = _changes(arrays, _snapshot(layer.parameters() | layer.buffers()))
    assert not changed, f"backward changed {changed}, and not only gradients"


def _check_gradients_are_set(layer: Layer, inputs: Array) -> None:
    found = []
    for former in (0.0, 1.0):
        candidate = copy.deepcopy(layer)
        for gradient in candidate.gradients().values():
            gradient[...] = former
        candidate.backward(_dvalues(candidate.forward(inputs, training=True)))
        found.append(_snapshot(candidate.gradients()))
    for name, gradient in found[0].items():
        assert np.allclose(gradient, found[1][name], rtol=1e-4, atol=1e-4, equal_nan=True), (
            f"backward must set the gradient of {name}, and not add to what stood there"
        )


def _check_recordable(layer: Layer, inputs: Array) -> None:
    """A step that has been recorded does the same each time: it runs none of the layer's Python."""
    kind = type(layer).__name__
    known = {*vars(layer), *layer.default_options(), "dtype"}
    unkept = [name for name in layer.config() if name not in known]
    assert not unkept, f"{kind} is `recordable`; `config` must name attributes, not {unkept}"

    def step() -> tuple[dict[str, Any], dict[str, Array], Any]:
        for stream, (_, part) in enumerate(layer.walk()):
            part.reseed(3, stream, 5)
        output = layer.forward(inputs, training=True)
        layer.backward(_dvalues(output))
        lasting = {name: value for name, value in _memory(layer).items() if _lasts(name, layer)}
        return lasting, layer.buffers(), _snapshot(output)

    first, buffers, drawn = step()
    second, same_buffers, drawn_again = step()
    changed = _changes(first, second)
    assert not changed, (
        f"{kind} is `recordable`; what changes from step to step belongs into a Buffer, or in "
        f"`keep`: not {changed}"
    )
    assert all(buffers[name] is same_buffers[name] for name in buffers), (
        f"{kind} is `recordable`; write into its buffers: another array takes the place of one"
    )
    assert layer.buffers() or _same(drawn, drawn_again), (
        f"{kind} is `recordable`; what it draws must follow from `reseed`, and from nothing else"
    )


def _lasts(name: str, layer: Layer) -> bool:
    """Whether what a layer holds by that name is to be the same after each step."""
    own = name.rpartition(".")[2]
    passing = own in ("_kept", "dinputs") or name.startswith("the gradient of ")
    return not passing and name not in layer.buffers()


def _check_layer_gradients(layer: Layer, inputs: Array) -> None:
    backend = backend_of(inputs)
    double = _to_float64(layer)
    point = backend.asarray(np.array(to_numpy(inputs), dtype=np.float64))
    trained, alone = copy.deepcopy(double), copy.deepcopy(double)
    dvalues = _dvalues(trained.forward(point, training=True))
    dinputs = trained.backward(dvalues)
    alone.forward(point, training=True)
    alone.backward_parameters(dvalues)

    def terms(candidate: Layer, at: Array) -> np.ndarray[Any, Any]:
        # A copy for each pass: a layer that draws random numbers draws the same each time.
        candidate = copy.deepcopy(candidate)
        weighted = to_numpy(candidate.forward(at, training=True) * dvalues).ravel()
        penalty = candidate.regularization_loss()
        return weighted if penalty is None else np.append(weighted, to_numpy(penalty))

    magnitude = float(np.sum(np.abs(terms(double, point))))
    numeric = numeric_gradient(lambda at: float(np.sum(terms(double, at))), point)
    assert_gradient("dinputs", dinputs, numeric, magnitude)
    for name, gradient in trained.gradients().items():

        def of_parameter(values: Array, name: str = name) -> float:
            candidate = copy.deepcopy(double)
            candidate.parameters()[name][...] = values
            return float(np.sum(terms(candidate, point)))

        numeric = numeric_gradient(of_parameter, double.parameters()[name])
        what = f"the gradient of {name}"
        assert_gradient(what, gradient, numeric, magnitude)
        what += ", as backward_parameters sets it"
        assert_gradient(what, alone.gradients()[name], numeric, magnitude)


def check_loss(loss: Loss, y_pred: Array, y_true: Array) -> None:
    """Assert that a loss keeps the contract: shapes, dtypes, device, gradients, no waiting.

    The gradient is held against central differences in float64, without and with weights of
    the samples.

    Parameters
    ----------
    loss : Loss
    y_pred : array, shape (batch, …, outputs)
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
    weights = np.linspace(0.5, 1.5, y_pred.shape[0])
    _check_loss_arrays(loss, y_pred, y_true, None)
    before = _snapshot(vars(loss))  # the first step may find out what it needs
    _check_loss_arrays(loss, y_pred, y_true, weights)
    changed = _changes(before, _snapshot(vars(loss)))
    assert not changed or not is_recordable(loss), (
        f"{type(loss).__name__} is `recordable`; nothing may last from step to step: not {changed}"
    )
    for sample_weight in (None, weights):
        _check_loss_gradient(loss, y_pred, y_true, sample_weight)


def _check_loss_arrays(
    loss: Loss, y_pred: Array, y_true: Array, host_weights: np.ndarray[Any, Any] | None
) -> None:
    backend = backend_of(y_pred)
    weights = None if host_weights is None else backend.asarray(host_weights, y_pred.dtype)
    arrays = {"y_pred": y_pred, "y_true": y_true, "sample_weight": weights}
    before = _snapshot(arrays)
    with no_synchronization():
        losses = loss.forward(y_pred, y_true)
        mean = loss.calculate(y_pred, y_true, weights)
        dinputs = loss.backward(y_pred, y_true, weights)
    changed = _changes(before, _snapshot(arrays))
    assert not changed, f"the loss wrote to {changed}"
    _check_array("forward's result", losses, backend, y_pred.dtype, tuple(y_pred.shape[:-1]))
    _check_array("calculate's result", mean, backend, y_pred.dtype, ())
    _check_array("dinputs", dinputs, backend, y_pred.dtype, tuple(y_pred.shape))
    terms = to_numpy(losses)
    if host_weights is not None:
        terms = terms * host_weights.reshape(-1, *(1,) * (terms.ndim - 1))
    rounding = 1e-5 * float(np.mean(np.abs(terms)))
    assert np.isclose(to_numpy(mean), np.mean(terms), rtol=1e-5, atol=rounding), (
        "calculate's result must be the mean of forward's, each times its weight"
    )


def _check_loss_gradient(
    loss: Loss, y_pred: Array, y_true: Array, host_weights: np.ndarray[Any, Any] | None
) -> None:
    backend = backend_of(y_pred)
    weights = None if host_weights is None else backend.asarray(host_weights)
    point = backend.asarray(np.array(to_numpy(y_pred), dtype=np.float64))
    if to_numpy(y_true).dtype.kind == "f":
        y_true = backend.asarray(np.array(to_numpy(y_true), dtype=np.float64))

    def objective(at: Array) -> float:
        return float(to_numpy(loss.calculate(at, y_true, weights)))

    magnitude = float(np.mean(np.abs(to_numpy(loss.forward(point, y_true)))))
    what = "dinputs" if weights is None else "dinputs with weights"
    numeric = numeric_gradient(objective, point)
    assert_gradient(what, loss.backward(point, y_true, weights), numeric, magnitude)


def _check_output(layer: Layer, inputs: Array, output: Array) -> None:
    expected = tuple(layer.output_shape(tuple(inputs.shape[1:])))
    shape = (inputs.shape[0], *expected)
    _check_array("output", output, backend_of(inputs), inputs.dtype, shape)


def _check_array(
    what: str, array: Array, backend: Backend, dtype: Any, shape: tuple[int, ...]
) -> None:
    assert backend.owns(array), f"{what} must be on {backend.name}; it is {type(array).__name__}"
    assert array.dtype == dtype, f"{what} must have dtype {dtype}; it has {array.dtype}"
    assert tuple(array.shape) == shape, f"{what} must have shape {shape}; it has {array.shape}"


def _dvalues(output: Array) -> Array:
    """An incoming gradient for an output: numbers that differ, to weigh its elements with."""
    size = prod(output.shape)
    numbers = np.cos(np.arange(1, size + 1, dtype=np.float64)).reshape(tuple(output.shape))
    return backend_of(output).asarray(numbers, output.dtype)


def _memory(layer: Layer) -> dict[str, Any]:
    """All that the layer and those within it hold, by name."""
    storage = ("_flat", "_values", "_gradients", "_buffers")
    held = {
        prefix + name: value
        for prefix, part in layer.walk()
        for name, value in vars(part).items()
        if name not in storage
    }
    gradients = {f"the gradient of {name}": array for name, array in layer.gradients().items()}
    memory: dict[str, Any] = _snapshot(held | layer.parameters() | gradients | layer.buffers())
    return memory


def _snapshot(value: Any) -> Any:
    """The value with every array within it copied to the host."""
    if isinstance(value, dict):
        return {name: _snapshot(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_snapshot(part) for part in value]
    if isinstance(value, type) or not (hasattr(value, "dtype") and hasattr(value, "shape")):
        return value
    return to_numpy(value).copy()


def _same(one: Any, other: Any) -> bool:
    """Whether two snapshots are equal."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    if isinstance(one, dict) and isinstance(other, dict):
        return not _changes(one, other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one is other or (type(one) is type(other) and bool(one == other))


def _changes(before: dict[str, Any], after: dict[str, Any]) -> str:
    """The names of what was added, taken away or changed from one snapshot to another."""
    names = before.keys() | after.keys()
    missing = object()
    return ", ".join(
        sorted(n for n in names if not _same(before.get(n, missing), after.get(n, missing)))
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
