"""Normalization layers: running statistics, evaluation, files and moves, beside PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from cases import BETA, GAMMA, INPUTS

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, ShapeError

BATCHES = np.random.default_rng(5).normal(3.0, 2.0, (6, 8, 4))


def batch_norm(dtype="float64", **keywords):
    layer = nn.BatchNorm(4, dtype=dtype, **keywords)
    layer.gamma, layer.beta = GAMMA, BETA
    return layer


def close(actual, expected, tolerance=1e-12):
    np.testing.assert_allclose(nn.to_numpy(actual), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["BatchNorm", "LayerNorm"])
def test_training_agrees_with_torch_over_several_steps(backend, kind):
    torch = pytest.importorskip("torch")
    if kind == "BatchNorm":
        layer = batch_norm(momentum=0.8).to(backend)
        twin = torch.nn.BatchNorm1d(4, momentum=0.2, dtype=torch.float64)
    else:
        layer = nn.LayerNorm(4, dtype="float64")
        layer.gamma, layer.beta = GAMMA, BETA
        layer.to(backend)
        twin = torch.nn.LayerNorm(4, dtype=torch.float64)
    with torch.no_grad():
        twin.weight.copy_(torch.tensor(GAMMA[0]))
        twin.bias.copy_(torch.tensor(BETA[0]))
    for values in BATCHES:
        x = torch.tensor(values, requires_grad=True)
        twin.zero_grad()
        expected = twin(x)
        expected.square().sum().backward()
        output = layer.forward(backend.asarray(values), training=True)
        layer.backward(2 * output)
        close(output, expected.detach().numpy())
        close(layer.dinputs, x.grad.numpy(), 1e-11)
        close(layer.dgamma[0, :], twin.weight.grad.numpy())
        close(layer.dbeta[0, :], twin.bias.grad.numpy())
        if kind == "BatchNorm":
            close(layer.running_mean[0, :], twin.running_mean.numpy())
            close(layer.running_variance[0, :], twin.running_var.numpy())
    twin.eval()
    close(layer.forward(backend.asarray(INPUTS)), twin(torch.tensor(INPUTS)).detach().numpy())


def test_the_running_averages_are_weighted_means_of_the_batches(backend):
    layer = batch_norm(momentum=0.75).to(backend)
    mean, variance = np.zeros(4), np.ones(4)
    for values in BATCHES:
        layer.forward(backend.asarray(values), training=True)
        mean = 0.75 * mean + 0.25 * values.mean(axis=0)
        variance = 0.75 * variance + 0.25 * values.var(axis=0, ddof=1)
    close(layer.running_mean, mean[None])
    close(layer.running_variance, variance[None])


def test_evaluation_changes_nothing_and_looks_at_each_sample_alone(backend):
    layer = batch_norm().to(backend)
    for values in BATCHES:
        layer.forward(backend.asarray(values), training=True)
    before = {name: nn.to_numpy(a).copy() for name, a in layer.buffers().items()}
    together = nn.to_numpy(layer.forward(backend.asarray(INPUTS)))
    alone = [nn.to_numpy(layer.forward(backend.asarray(row[None])))[0] for row in INPUTS]
    np.testing.assert_array_equal(together, alone)
    for name, array in layer.buffers().items():
        np.testing.assert_array_equal(nn.to_numpy(array), before[name])


def test_features_far_from_0_are_normalized_all_the_same(backend):
    inputs = (BATCHES[0] + 1e4).astype(np.float32)
    layer = nn.BatchNorm(4, momentum=0.0).to(backend)
    trained = nn.to_numpy(layer.forward(backend.asarray(inputs), training=True))
    evaluated = nn.to_numpy(layer.forward(backend.asarray(inputs)))
    double = inputs.astype(np.float64)
    expected = (double - double.mean(axis=0)) / double.std(axis=0)
    np.testing.assert_allclose(trained, expected, atol=2e-3)  # inputs are 1e-3 apart there
    np.testing.assert_allclose(evaluated, expected * np.sqrt(7 / 8), atol=2e-3)


@pytest.mark.parametrize("rows", [nn.BatchNorm, nn.LayerNorm])
def test_constant_inputs_give_the_shift(backend, rows):
    output = (
        rows(3)
        .to(backend)
        .forward(backend.asarray(np.full((2, 3), 7.0, dtype=np.float32)), training=True)
    )
    np.testing.assert_array_equal(nn.to_numpy(output), np.zeros((2, 3)))


def test_a_batch_of_one_cannot_be_trained_on(backend):
    layer = nn.BatchNorm(4).to(backend)
    one = backend.asarray(INPUTS[:1], "float32")
    with pytest.raises(ShapeError, match="batch of 1 sample"):
        layer.forward(one, training=True)
    assert (nn.to_numpy(layer.running_mean) == 0).all()
    layer.forward(one)
    nn.LayerNorm(4).to(backend).forward(one, training=True)


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: nn.BatchNorm(0), "n_features"),
        (lambda: nn.BatchNorm(4, momentum=1.0), "momentum"),
        (lambda: nn.BatchNorm(4, epsilon=0.0), "epsilon"),
        (lambda: nn.LayerNorm(4, epsilon=-1.0), "epsilon"),
        (lambda: nn.LayerNorm(4, dtype="float16"), "dtype"),
    ],
)
def test_settings_out_of_range(build, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        build()


@pytest.mark.parametrize("layer", [nn.BatchNorm(3), nn.LayerNorm(3)])
def test_shapes_that_do_not_fit(layer):
    with pytest.raises(ShapeError, match=r"\(batch, 3\)"):
        layer.forward(INPUTS.astype(np.float32))
    with pytest.raises(ShapeError, match="layer 1"):
        nn.Sequential(nn.Dense(4, 2), layer)
    assert nn.Sequential(layer).input_shape == (3,)


def test_buffers_move_with_the_model_and_are_saved(backend, tmp_path):
    model = nn.Sequential(nn.Dense(4, 4), nn.BatchNorm(4), nn.ReLU(), nn.Dense(4, 2), seed=0)
    inputs = BATCHES.astype(np.float32)
    for values in inputs:
        model.forward(values, training=True)
    expected = model.forward(inputs[0])
    assert list(model.buffers()) == ["1.running_mean", "1.running_variance"]
    assert model.flat.n_decayed == 16 + 8, "gamma and beta do not decay"
    model.to(backend)
    assert all(backend.owns(array) for array in model.buffers().values())
    nn.save(model, tmp_path / "model")
    loaded = nn.load(tmp_path / "model", backend)
    for copy in (model, loaded, model.to("numpy")):
        output = copy.forward(copy.backend.asarray(inputs[0]))
        np.testing.assert_allclose(nn.to_numpy(output), expected, rtol=1e-5, atol=1e-6)


def test_drawing_anew_starts_the_averages_anew():
    layer = nn.BatchNorm(4)
    layer.forward(BATCHES[0].astype(np.float32), training=True)
    assert layer.running_mean.any()
    nn.Sequential(layer, seed=0)
    assert not layer.running_mean.any()
    assert (layer.running_variance == 1).all()


def test_it_trains(backend):
    X, y, X_test, y_test = nn.data.load_digits()
    model = nn.Sequential(
        nn.Dense(64, 32), nn.BatchNorm(32), nn.ReLU(), nn.LayerNorm(32), nn.Dense(32, 10), seed=0
    )
    loss = nn.SoftmaxCategoricalCrossentropy()
    trainer = nn.Trainer(model, loss, nn.Adam(0.01), backend=backend)
    trainer.fit(X, y, epochs=3, batch_size=100, progress=False)
    assert trainer.evaluate(X_test, y_test)["accuracy"] > 0.9
