"""Every public layer, loss, optimizer and metric, held to one contract on every backend."""

from __future__ import annotations

import inspect
from dataclasses import replace
from inspect import signature
from math import prod

import numpy as np
import pytest
from cases import INPUTS, LAYERS, LOSSES, METRICS, OPTIMIZERS, SAMPLES, shaped

import nnfs_xp as nn
from nnfs_xp.errors import ShapeError
from nnfs_xp.layers import Layer
from nnfs_xp.learning.totals import Totals
from nnfs_xp.testing import check_layer, check_loss, no_synchronization
from nnfs_xp.training.preparation import prepare_targets

DTYPES = ["float32", "float64"]
OF_ANY_SHAPE = [  # the axes of a sample, and the data type
    pytest.param(axes, dtype, id=f"{name}-{dtype}")
    for name, axes, dtypes in (
        ("rows", SAMPLES["rows"], DTYPES),
        ("sequences", SAMPLES["sequences"], ["float64"]),
        ("grids", SAMPLES["grids"], ["float32"]),
    )
    for dtype in dtypes
]
WITHOUT_ORACLE = {"Dense", "Dropout", "AlphaDropout", "GaussianNoise"}
WITHOUT_ORACLE |= {"Sequential", "Block", "Residual", "Concatenate"}

WITHOUT_TORCH = {"SGD", "Lion", "Lookahead", "Muon"}
"""The losses and optimizers of which PyTorch may lack a row's like; the row says why."""


def ids(cases):
    return [f"{case.name}-{number}" for number, case in enumerate(cases)]


def make(backend, values, dtype=None):
    """The values on the backend; on NumPy read-only, so that a write would raise."""
    array = backend.asarray(np.array(values), dtype)
    if isinstance(array, np.ndarray):
        array = array.copy()
        array.flags.writeable = False
    return array


def make_targets(backend, values, dtype):
    return make(backend, values, dtype if values.dtype.kind == "f" else None)


def assert_close(actual, expected, dtype, factor=50):
    """Equal but for the rounding of some tens of operations in the data type."""
    eps = np.finfo(dtype).eps
    expected = np.asarray(expected)
    atol = factor * eps * max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(nn.to_numpy(actual), expected, rtol=factor * eps, atol=atol)


def _expected(case, inputs):
    """What a row's reference says of samples of any shape."""
    if not case.of_rows:
        return case.reference(inputs)
    expected = case.reference(inputs.reshape(-1, inputs.shape[-1]))
    return expected.reshape(*inputs.shape[:-1], -1)


@pytest.mark.parametrize(("axes", "dtype"), OF_ANY_SHAPE)
@pytest.mark.parametrize("case", LAYERS, ids=ids(LAYERS))
class TestLayersOnSamplesOfAnyShape:
    def test_values(self, backend, case, axes, dtype):
        layer, inputs = case.build(dtype).to(backend), case.samples(axes)
        if axes and not case.of_any_shape:
            with pytest.raises(ShapeError, match=r"`inputs` must have shape \(batch"):
                layer.forward(make(backend, inputs, dtype))
            with pytest.raises(ShapeError, match="takes samples of shape"):
                layer.output_shape(inputs.shape[1:])
            return
        output = layer.forward(make(backend, inputs, dtype))
        assert tuple(output.shape[1:]) == layer.output_shape(inputs.shape[1:])
        assert_close(output, _expected(case, inputs), dtype)

    def test_contract(self, backend, case, axes, dtype):
        if axes and not case.of_any_shape:
            return  # refused: see test_values
        inputs = make(backend, case.samples(axes), dtype)
        check_layer(case.build(dtype).to(backend), inputs)

    def test_torch_agrees(self, backend, case, axes, dtype):
        if case.torch is None:
            assert case.name in WITHOUT_ORACLE  # have tests of their own
            return
        if axes and not case.of_any_shape:
            return  # refused: see test_values
        torch = pytest.importorskip("torch")
        inputs = case.samples(axes)
        x = torch.tensor(inputs, dtype=getattr(torch, dtype), requires_grad=True)
        module = case.torch(torch)
        rows = x.reshape(-1, x.shape[-1]) if case.of_rows else x
        expected = (module.to(x.dtype) if hasattr(module, "to") else module)(rows)
        if case.of_rows:
            expected = expected.reshape(*x.shape[:-1], -1)
        weights = torch.linspace(-1, 1, expected.numel(), dtype=x.dtype).reshape(expected.shape)
        (expected * weights).sum().backward()
        layer = case.build(dtype).to(backend)
        output = layer.forward(make(backend, inputs, dtype), training=True)
        dinputs = layer.backward(make(backend, weights.numpy()))
        assert_close(output, expected.detach().numpy(), dtype)
        assert_close(dinputs, x.grad.numpy(), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", LAYERS, ids=ids(LAYERS))
class TestLayers:
    def test_backward_survives_an_evaluation_between(self, backend, case, dtype):
        layer = case.build(dtype).to(backend)
        inputs = make(backend, case.inputs, dtype)
        output = layer.forward(inputs, training=True)
        layer.forward(inputs[:2, ...])
        assert tuple(layer.backward(output).shape) == case.inputs.shape

    def test_backward_needs_a_training_forward(self, backend, case, dtype):
        layer = case.build(dtype).to(backend)
        output = layer.forward(make(backend, case.inputs, dtype))
        with pytest.raises(nn.errors.NotReadyError, match="training=True"):
            layer.backward(output)

    def test_config_builds_an_equal_layer(self, backend, case, dtype):
        layer = case.build(dtype)
        if layer.children:
            own = {"name", "n_features", "dtype"} | layer.default_options().keys()
            if not layer.takes_layers():
                own |= signature(type(layer)).parameters.keys()
            assert layer.config().keys() <= own  # its layers describe it: see test_files
            return
        twin = type(layer)(**layer.config())
        assert twin.config() == layer.config()
        assert {k: v.shape for k, v in twin.parameters().items()} == {
            k: v.shape for k, v in layer.parameters().items()
        }
        assert twin.to(backend).backend == backend


@pytest.mark.parametrize(("axes", "dtype"), OF_ANY_SHAPE)
@pytest.mark.parametrize("case", LOSSES, ids=ids(LOSSES))
class TestLosses:
    def test_values(self, backend, case, axes, dtype):
        y_pred = make(backend, shaped(case.y_pred, axes), dtype)
        y_true = make_targets(backend, shaped(case.y_true, axes), dtype)
        expected = shaped(np.array(case.expected), axes)
        assert_close(case.loss.forward(y_pred, y_true), expected, dtype)
        assert_close(case.loss.calculate(y_pred, y_true), np.mean(expected), dtype)

    def test_contract(self, backend, case, axes, dtype):
        y_pred = make(backend, shaped(case.y_pred, axes), dtype)
        check_loss(case.loss, y_pred, make_targets(backend, shaped(case.y_true, axes), dtype))

    def test_torch_agrees(self, backend, case, axes, dtype):
        if isinstance(case.torch, str):
            assert case.name in WITHOUT_TORCH
            assert case.torch, "the row must say why"
            return
        torch = pytest.importorskip("torch")
        y_pred, y_true = shaped(case.y_pred, axes), shaped(case.y_true, axes)
        places = y_pred.ndim - 1
        x = torch.tensor(y_pred, dtype=getattr(torch, dtype), requires_grad=True)
        floats = case.y_true.dtype.kind == "f"
        targets = torch.tensor(y_true, dtype=x.dtype if floats else None)
        expected = case.torch(torch, x.flatten(0, places - 1), targets.flatten(0, places - 1))
        expected.backward()
        mine = make(backend, y_pred, dtype), make_targets(backend, y_true, dtype)
        assert_close(case.loss.calculate(*mine), expected.detach().numpy(), dtype)
        assert_close(case.loss.backward(*mine), x.grad.numpy(), dtype)
        together = case.loss.calculate_and_backward(*mine)
        assert_close(together[0], expected.detach().numpy(), dtype)
        assert_close(together[1], x.grad.numpy(), dtype)

    def test_prepared_targets_mean_the_same(self, backend, case, axes, dtype):
        y_pred = make(backend, shaped(case.y_pred, axes), dtype)
        y_true = make_targets(backend, shaped(case.y_true, axes), dtype)
        prepared = prepare_targets(case.loss, y_true, tuple(y_pred.shape), y_pred.dtype)
        expected = nn.to_numpy(case.loss.forward(y_pred, y_true))
        assert_close(case.loss.forward(y_pred, prepared), expected, dtype)


def _stepped(case, backend, dtype, gradients):
    """A layer after a step of the optimizer for each gradient, weights and biases flattened."""
    layer = nn.Dense(2, 2, seed=7, dtype=dtype).to(backend)
    start = np.concatenate([nn.to_numpy(a).ravel() for a in layer.parameters().values()])
    optimizer = case.build()
    with no_synchronization():
        for gradient in gradients:
            layer.dweights[...] = make(backend, gradient[:4].reshape(2, 2), dtype)
            layer.dbiases[...] = make(backend, gradient[4:].reshape(1, 2), dtype)
            optimizer.step(layer)
    assert optimizer.iterations == len(gradients)
    end = np.concatenate([nn.to_numpy(a).ravel() for a in layer.parameters().values()])
    return start, end


GRADIENTS = np.random.default_rng(1).normal(size=(5, 6))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", OPTIMIZERS, ids=ids(OPTIMIZERS))
class TestOptimizers:
    def test_values(self, backend, case, dtype):
        start, end = _stepped(case, backend, dtype, GRADIENTS)
        if case.matrix is not None:
            weights, memory = start[:4].astype(np.float64).reshape(2, 2), {}
            for t, gradient in enumerate(GRADIENTS[:, :4], start=1):
                weights = case.matrix(weights, gradient.reshape(2, 2), t, memory)
            # Newton-Schulz multiplies what rounding does to small singular values by 3.44 a step.
            np.testing.assert_allclose(
                end[:4], weights.ravel(), rtol=1e-4 if "32" in dtype else 1e-12
            )
        for index, value in enumerate(start.astype(np.float64)):
            if case.matrix is not None and index < 4:
                continue
            memory = {}
            for t, gradient in enumerate(GRADIENTS[:, index], start=1):
                value = case.reference(value, gradient, t, memory, index < 4)
            assert_close(end[index], value, dtype)

    def test_torch_agrees(self, backend, case, dtype):
        if isinstance(case.torch, str):
            assert case.name in WITHOUT_TORCH
            assert case.torch, "the row must say why"
            return
        torch = pytest.importorskip("torch")
        start, end = _stepped(case, backend, dtype, GRADIENTS)
        parameters = [torch.nn.Parameter(torch.tensor(part)) for part in (start[:4], start[4:])]
        optimizer = case.torch(torch, parameters)
        for gradient in GRADIENTS:
            for parameter, part in zip(parameters, (gradient[:4], gradient[4:]), strict=True):
                parameter.grad = torch.tensor(part, dtype=parameter.dtype)
            optimizer.step()
        expected = np.concatenate([parameter.detach().numpy() for parameter in parameters])
        assert_close(end, expected, dtype)

    def test_state_is_the_optimizers_own(self, backend, case, dtype):
        layers = [nn.Dense(2, 2, seed=seed, dtype=dtype).to(backend) for seed in (0, 1)]
        optimizer = case.build()
        for layer in layers:
            layer.dweights[...] = 1.0
            optimizer.update(layer)
        first, second = (optimizer.state(layer) for layer in layers)
        assert first.keys() == second.keys()
        assert all(first[name] is not second[name] for name in first)

    def test_state_follows_the_model(self, backend, case, dtype):
        runs = []
        for places in (["numpy", backend], ["numpy", "numpy"]):
            layer, optimizer = nn.Dense(2, 2, seed=0, dtype=dtype), case.build()
            for place in places:
                layer.to(place)
                layer.dweights[...] = 1.0
                optimizer.step(layer)
            runs.append(nn.to_numpy(layer.weights))
        assert_close(runs[0], runs[1], dtype)


def _totals(case, backend, dtype, parts, sample_weight=None, axes=()):
    """The figure of a case whose samples come in batches, and on the device until it is read."""
    metric = case.build()
    arrays = (
        make(backend, shaped(case.y_pred, axes), dtype),
        make_targets(backend, shaped(case.y_true, axes), dtype),
        None if sample_weight is None else make(backend, sample_weight, dtype),
    )
    totals = Totals([metric], backend)
    totals.try_out(arrays[0], arrays[1])
    totals.prepare(arrays[1])
    loss = backend.asarray(np.array(0.0), dtype)
    batches = [[None if array is None else array[part, ...] for array in arrays] for part in parts]
    with no_synchronization():
        for y_pred, y_true, weights in batches:
            totals.add(loss, y_pred, y_true, weights)
    return totals.read()[metric.name]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", METRICS, ids=ids(METRICS))
class TestMetrics:
    @pytest.fixture(autouse=True)
    def needs(self, case):
        if case.name == "ROCAUC":
            pytest.importorskip("sklearn")  # its values are computed by it

    def test_values(self, backend, case, dtype):
        assert_close(_totals(case, backend, dtype, [slice(None)]), case.figure, dtype)

    @pytest.mark.parametrize("axes", SAMPLES.values(), ids=SAMPLES)
    def test_samples_of_any_shape(self, backend, case, axes, dtype):
        figure = np.array(case.figure)
        if case.name == "ConfusionMatrix":
            figure = figure * prod(axes)
        assert_close(_totals(case, backend, dtype, [slice(None)], axes=axes), figure, dtype)
        metric = case.build()  # by itself, too
        y_true = make_targets(backend, shaped(case.y_true, axes), dtype)
        sums = metric.accumulate(make(backend, shaped(case.y_pred, axes), dtype), y_true)
        assert_close(metric.result(nn.to_numpy(sums).astype(np.float64)), figure, dtype)

    def test_values_of_samples(self, backend, case, dtype):
        if case.per_sample is None:
            assert case.name not in ("CategoricalAccuracy", "BinaryAccuracy", "TopKAccuracy")
            return
        y_pred = make(backend, case.y_pred, dtype)
        values = case.build().forward(y_pred, make_targets(backend, case.y_true, dtype))
        assert_close(values, case.per_sample, dtype)

    def test_batches_add_up(self, backend, case, dtype):
        parts = [slice(0, 1), slice(1, 2), slice(2, None)]
        assert_close(_totals(case, backend, dtype, parts), case.figure, dtype)

    def test_a_weight_is_a_number_of_repetitions(self, backend, case, dtype):
        weights = np.arange(len(case.y_true)) % 3 + 1
        repeated = replace(
            case,
            y_pred=np.repeat(case.y_pred, weights, axis=0),
            y_true=np.repeat(case.y_true, weights, axis=0),
        )
        weighted = _totals(case, backend, dtype, [slice(0, 2), slice(2, None)], weights)
        assert_close(weighted, _totals(repeated, backend, dtype, [slice(None)]), dtype)

    def test_sklearn_agrees(self, case, dtype):
        if case.sklearn is None:
            return
        metrics = pytest.importorskip("sklearn.metrics")
        expected = case.sklearn(metrics, case.y_pred, case.y_true)
        assert_close(case.figure, expected, "float64")
        figure = _totals(case, nn.get_backend("numpy"), dtype, [slice(None)])
        assert_close(figure, expected, dtype)


@pytest.mark.parametrize(
    ("base", "cases"),
    [(Layer, LAYERS), (nn.Loss, LOSSES), (nn.Optimizer, OPTIMIZERS), (nn.Metric, METRICS)],
    ids=["layers", "losses", "optimizers", "metrics"],
)
def test_every_public_class_has_a_row(base, cases):
    public = {
        getattr(nn, name).__name__
        for name in nn.__all__
        if inspect.isclass(getattr(nn, name)) and issubclass(getattr(nn, name), base)
    } - {base.__name__, "StochasticLayer"}
    assert public
    assert public == {case.name for case in cases}


def test_dense_agrees_with_torch(backend):
    torch = pytest.importorskip("torch")
    layer = nn.Dense(4, 3, seed=0, dtype="float64").to(backend)
    twin = torch.nn.Linear(4, 3, dtype=torch.float64)
    with torch.no_grad():
        twin.weight.copy_(torch.tensor(nn.to_numpy(layer.weights)).T)
        twin.bias.copy_(torch.tensor(nn.to_numpy(layer.biases))[0])
    x = torch.tensor(INPUTS, requires_grad=True)
    expected = twin(x)
    expected.square().sum().backward()
    output = layer.forward(make(backend, INPUTS), training=True)
    layer.backward(2 * output)
    assert_close(output, expected.detach().numpy(), "float64")
    assert_close(layer.dinputs, x.grad.numpy(), "float64")
    assert_close(layer.dweights, twin.weight.grad.numpy().T, "float64")
    assert_close(layer.dbiases[0, :], twin.bias.grad.numpy(), "float64")
