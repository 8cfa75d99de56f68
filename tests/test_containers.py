"""Layers made of layers: nesting, gradients, shapes, places."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from cases import INPUTS

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, NotReadyError, ShapeError
from nnfs_xp.testing import check_layer


def nested(dtype="float32"):
    """Each kind within each other."""
    block = nn.Residual(
        nn.Sequential(nn.Dense(4, 3, dtype=dtype, weight_regularizer_l2=0.1), nn.Tanh()),
        nn.Concatenate(
            nn.Residual(nn.Dense(3, 3, dtype=dtype), nn.Concatenate(nn.Sigmoid())),
            nn.Sequential(nn.Dense(3, 1, dtype=dtype), nn.GELU()),
        ),
        nn.LayerNorm(4, dtype=dtype),
    )
    return nn.Sequential(block, nn.Concatenate(nn.Linear(), nn.Dense(4, 2, dtype=dtype)), seed=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nested_containers_keep_the_contract(backend, dtype):
    check_layer(nested(dtype).to(backend), backend.asarray(INPUTS, dtype))


def test_all_parameters_share_one_buffer(backend):
    model = nested().to(backend)
    assert list(model.parameters())[:2] == ["0.0.0.weights", "0.0.0.biases"]
    assert "0.1.0.0.weights" in model.parameters()
    model.flat.values[...] = 3.0
    assert all((nn.to_numpy(array) == 3).all() for array in model.parameters().values())
    assert {layer._flat for _, layer in model.walk() if layer._flat} == {model.flat}
    assert {layer.backend for _, layer in model.walk()} == {backend}


def test_a_copy_in_float64_loses_nothing_on_the_way():
    model = nested("float64")
    twin = copy.deepcopy(model)
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(twin.parameters()[name], array)


def test_saved_and_loaded(backend, tmp_path):
    model = nested().to(backend)
    nn.save(model, tmp_path / "model")
    loaded = nn.load(tmp_path / "model", backend)
    assert [(p, type(layer)) for p, layer in loaded.walk()] == [
        (p, type(layer)) for p, layer in model.walk()
    ]
    inputs = backend.asarray(INPUTS, "float32")
    outputs = [nn.to_numpy(each.forward(inputs)) for each in (model, loaded)]
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("build", [nn.Residual, nn.Concatenate, nn.Sequential])
def test_first_layers_set_the_same_gradients_without_dinputs(build):
    inputs = INPUTS.astype(np.float32)
    model = build(nn.Dense(4, 4, seed=0), nn.Dense(4, 4, seed=1))
    output = model.forward(inputs, training=True)
    model.backward_parameters(output)
    gradients = {name: array.copy() for name, array in model.gradients().items()}
    model.flat.gradients[...] = 0.0
    model.backward(output)
    for name, array in model.gradients().items():
        assert array.any()
        np.testing.assert_array_equal(gradients[name], array)


@pytest.mark.parametrize("build", [nn.Residual, nn.Concatenate])
def test_fit_works(backend, build):
    X, y, X_test, y_test = nn.data.load_digits()
    middle = build(nn.Sequential(nn.Dense(32, 32), nn.ReLU(), nn.BatchNorm(32)))
    model = nn.Sequential(nn.Dense(64, 32), nn.ReLU(), middle, nn.Dense(32, 10), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    trainer = nn.Trainer(model, loss, nn.Adam(0.01), backend=backend)
    trainer.fit(X, y, epochs=3, batch_size=100, progress=False)
    assert trainer.evaluate(X_test, y_test)["accuracy"] > 0.9


def test_the_penalties_within_are_counted():
    model = nested()
    weights = model.parameters()["0.0.0.weights"]
    np.testing.assert_allclose(model.regularization_loss(), 0.1 * (weights**2).sum(), rtol=1e-6)
    assert nn.Concatenate(nn.ReLU(), nn.Dense(2, 2)).regularization_loss() is None


def test_constraints_within_are_kept():
    model = nn.Residual(nn.Concatenate(nn.Dense(2, 2, max_norm=0.5, seed=0)))
    model.parameters()["0.0.weights"][...] = 3.0
    model.constrain()
    norms = np.linalg.norm(model.parameters()["0.0.weights"], axis=0)
    np.testing.assert_allclose(norms, 0.5, rtol=1e-5)


@pytest.mark.parametrize("build", [nn.Sequential, nn.Residual, nn.Concatenate])
def test_a_seed_draws_anew(build):
    first, second, third = (build(nn.Dense(3, 3), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.flat.values, second.flat.values)
    assert (first.flat.values != third.flat.values).any()


@pytest.mark.parametrize("build", [nn.Sequential, nn.Residual, nn.Concatenate])
def test_what_is_no_set_of_layers_is_refused(build):
    with pytest.raises(ArgumentError, match=f"{build.__name__} needs at least one layer"):
        build()
    with pytest.raises(ArgumentError, match=f"{build.__name__} takes layers"):
        build([nn.ReLU()])
    layer = nn.ReLU()
    with pytest.raises(ArgumentError, match="appears twice"):
        build(layer, nn.Sequential(layer))


def test_a_residual_must_keep_the_shape(backend):
    with pytest.raises(ShapeError, match=r"\(4,\) became \(3,\)"):
        nn.Residual(nn.Dense(4, 3), nn.ReLU())
    with pytest.raises(ShapeError, match="layer 1 does not fit"):
        nn.Residual(nn.Dense(4, 3), nn.Dense(4, 4))
    unknown = nn.Residual(nn.Flatten())
    with pytest.raises(ShapeError, match=r"\(2, 1\) became \(2,\)"):
        unknown.forward(backend.asarray(np.ones((2, 2, 1))))
    with pytest.raises(ShapeError, match=r"\(2, 3\) became \(6,\)"):
        nn.Sequential(unknown).output_shape((2, 3))


@pytest.mark.parametrize("kind", [nn.Sequential, nn.Residual])
def test_a_layer_of_rows_takes_the_pictures_that_one_behind_it_asks_for(kind):
    model = kind(nn.BatchNorm(4), nn.ReLU(), nn.Conv2D(4, 4, 3, padding="same"))
    assert model.input_shape == (None, None, 4)
    assert model.output_shape((5, 6, 4)) == (5, 6, 4)
    assert nn.Sequential(nn.Dense(4, 3), nn.Conv1D(3, 2, 1)).input_shape == (None, 4)
    rows = nn.Sequential(nn.Dense(4, 8), nn.Reshape((2, 2, 2)), nn.Conv2D(2, 1, 1))
    assert rows.input_shape == (4,)
    with pytest.raises(ShapeError, match="layer 2 does not fit"):
        nn.Sequential(nn.BatchNorm(4), nn.Dense(4, 3), nn.Conv2D(4, 4, 3))


def test_branches_must_fit_together(backend):
    with pytest.raises(ShapeError, match=r"branch 1 does not fit the others: Dense\(3, 2\)"):
        nn.Concatenate(nn.Dense(4, 2), nn.Dense(3, 2))
    mixed = nn.Concatenate(nn.Linear(), nn.Flatten())
    with pytest.raises(ShapeError, match=r"samples of shapes \(2, 3\), \(6,\)"):
        mixed.forward(backend.asarray(np.ones((1, 2, 3))))


def test_concatenate_joins_along_the_last_axis_whatever_stands_before(backend):
    model = nn.Concatenate(nn.Linear(), nn.ReLU())
    inputs = backend.asarray(np.linspace(-1, 1, 12).reshape(2, 3, 2))
    output = model.forward(inputs, training=True)
    assert tuple(output.shape) == (2, *model.output_shape((3, 2))) == (2, 3, 4)
    expected = nn.to_numpy(inputs) + np.where(nn.to_numpy(inputs) > 0, 1.0, 0.0)
    dvalues = np.concatenate([nn.to_numpy(inputs), np.ones((2, 3, 2))], axis=-1)
    np.testing.assert_array_equal(nn.to_numpy(model.backward(backend.asarray(dvalues))), expected)


def test_backward_needs_a_training_forward_also_after_a_move(backend):
    for model in (nn.Residual(nn.Tanh()), nn.Concatenate(nn.Tanh())):
        inputs = backend.asarray(INPUTS)
        model.to(backend).forward(inputs, training=True)
        model.to(backend)
        with pytest.raises(NotReadyError):
            model.backward(inputs)
