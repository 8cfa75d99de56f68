"""The embedding: kinds of codes, codes out of range, and what passes the check on."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CODES, TABLE

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, DataError, DTypeError, ShapeError
from nnfs_xp.testing import no_synchronization


@pytest.fixture
def layer(backend):
    layer = nn.Embedding(5, 3, seed=0)
    layer.weights = TABLE
    return layer.to(backend)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "float32"])
def test_codes_of_integer_types_and_of_the_layers_own(backend, layer, dtype):
    codes = backend.asarray(CODES.astype(dtype))
    output = layer.forward(codes, training=True)
    np.testing.assert_array_equal(nn.to_numpy(output), TABLE.astype(np.float32)[CODES.astype(int)])
    dinputs = layer.backward(output)
    assert dinputs.dtype == output.dtype
    np.testing.assert_array_equal(nn.to_numpy(dinputs), np.zeros((3, 2)))


def test_the_table_may_be_larger_than_the_type_of_the_codes(backend):
    layer = nn.Embedding(300, 2, seed=0).to(backend)
    codes = backend.asarray(np.array([[200], [3]], dtype=np.uint8))
    expected = nn.to_numpy(layer.weights)[[[200], [3]]]
    np.testing.assert_array_equal(nn.to_numpy(layer.forward(codes)), expected)
    layer.check_values(codes)


def test_gradients_of_a_code_are_summed_like_torchs(backend, layer):
    torch = pytest.importorskip("torch")
    twin = torch.nn.Embedding(5, 3)
    with torch.no_grad():
        twin.weight.copy_(torch.tensor(TABLE))
    twin(torch.tensor(CODES).long()).square().sum().backward()
    output = layer.forward(backend.asarray(CODES, "float32"), training=True)
    layer.backward(2 * output)
    np.testing.assert_allclose(nn.to_numpy(layer.dweights), twin.weight.grad, rtol=1e-6)


@pytest.mark.parametrize("bad", [-1, 5, 1000])
@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_a_code_out_of_range_gives_nan_and_waits_for_nothing(backend, layer, bad, dtype):
    codes = backend.asarray(np.array([[bad, 1], [2, 3]]), dtype)
    with no_synchronization():
        output = layer.forward(codes, training=True)
        layer.backward(output)
    output = nn.to_numpy(output)
    assert np.isnan(output[0, 0]).all()
    np.testing.assert_array_equal(output[0, 1], TABLE[1].astype(np.float32))
    assert np.isfinite(output[1]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_what_is_no_number_gives_nan(backend, layer, bad):
    output = layer.forward(backend.asarray(np.array([[bad, 1.0]], dtype=np.float32)))
    assert np.isnan(nn.to_numpy(output)[0, 0]).all()
    assert np.isfinite(nn.to_numpy(output)[0, 1]).all()


@pytest.mark.parametrize(
    ("codes", "complaint"),
    [
        ([[0, 5]], "0 to 4; got values from 0 to 5"),
        ([[-1, 2]], "got values from -1 to 2"),
        ([[0.5, 2.0]], "from 0.5 to 2, not all of them whole"),
        ([[np.nan, 2.0]], "not all of them whole"),
        ([[np.inf, 2.0]], "from 2 to inf"),
    ],
)
def test_check_values(backend, layer, codes, complaint):
    codes = backend.asarray(np.array(codes))
    for model in (
        layer,
        nn.Sequential(layer, nn.Flatten()),
        nn.Concatenate(nn.Linear(), layer),
        nn.Residual(nn.Sequential(layer)),
    ):
        model.check_values(backend.asarray(CODES))
        model.check_values(backend.asarray(CODES.astype(np.int32)))
        with pytest.raises(DataError, match=complaint):
            model.check_values(codes)
    nn.Sequential(nn.Linear(), layer).check_values(codes)  # what comes to it nobody knows yet
    nn.Dense(2, 2).check_values(codes)


def test_codes_of_the_host_are_looked_at_behind_other_layers(backend, layer):
    model = nn.Sequential(nn.Flatten(), layer).to(backend)
    model.check_values(CODES.astype("float32")[:, None, :])
    with pytest.raises(DataError, match="got values from 7 to 7"):
        model.check_values(np.full((2, 1, 3), 7, "float32"))


def test_values_are_checked_wherever_they_are(layer):
    with pytest.raises(DataError, match="whole numbers from 0 to 4"):
        layer.check_values(np.array([[7]]))


def test_shapes_and_types(backend, layer):
    with pytest.raises(ShapeError, match="batch"):
        layer.forward(backend.asarray(np.zeros(3, dtype=np.int64)))
    with pytest.raises(DTypeError, match="float32"):
        layer.forward(backend.asarray(np.zeros((2, 3))))
    with pytest.raises(DTypeError):
        layer.forward([[1, 2]])
    for build in (lambda: nn.Embedding(0, 2), lambda: nn.Embedding(2, 0)):
        with pytest.raises(ArgumentError, match="at least 1"):
            build()


def test_the_table_decays_and_starts_normal():
    layer = nn.Embedding(400, 50, seed=0)
    assert layer.flat.n_decayed == 20000
    assert abs(layer.weights.std() - 1) < 0.05
    assert not nn.Embedding(4, 5, initializer=None).weights.any()


def test_a_model_learns_from_codes(backend):
    generator = np.random.default_rng(0)
    X = generator.integers(0, 8, (400, 2))
    y = (X[:, 0] * 5 + X[:, 1] * 3) % 2  # which no linear function of the codes tells
    model = nn.Sequential(
        nn.Embedding(8, 3), nn.Flatten(), nn.Dense(6, 16), nn.ReLU(), nn.Dense(16, 2), seed=0
    )
    loss = nn.SoftmaxCategoricalCrossentropy()
    trainer = nn.Trainer(model, loss, nn.Adam(0.02), backend=backend)
    trainer.fit(X, y, epochs=15, progress=False)
    assert trainer.evaluate(X, y)["accuracy"] == 1.0
