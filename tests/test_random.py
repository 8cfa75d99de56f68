"""One seed, one run: the generator that draws the same bits on every backend."""

from __future__ import annotations

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.kernels.standard import BITS, stream_keys

SIZE = 2**18


def bits(seed=0, stream=0, step=0, size=SIZE):
    drawn = nn.get_backend("numpy").random_bits((size,), seed=seed, stream=stream, step=step)
    return nn.to_numpy(drawn)


def reference(index, keys):
    """The hash again, in Python's unbounded integers."""
    mask = 2**32 - 1
    x = (index & mask) ^ keys[0]
    x ^= x >> 16
    x = (x * 0x21F0AAAD) & mask
    x ^= keys[1]
    x ^= x >> 15
    x = (x * 0x735A2D97) & mask
    x ^= x >> 15
    return x >> 8


def test_every_backend_draws_the_same(backend):
    drawn = backend.random_bits((37, 11), seed=2**63, stream=5, step=10**12)
    keys = stream_keys(2**63, 5, 10**12)
    expected = [reference(index, keys) for index in range(37 * 11)]
    assert backend.owns(drawn)
    np.testing.assert_array_equal(nn.to_numpy(drawn).ravel(), expected)


def test_uniform():
    counts = np.bincount(bits() >> (BITS - 8), minlength=256)
    chi_squared = ((counts - SIZE / 256) ** 2 / (SIZE / 256)).sum()
    assert 160 < chi_squared < 370  # 255 degrees of freedom, about five sigma


@pytest.mark.parametrize("change", [{"seed": 1}, {"stream": 1}, {"step": 1}])
def test_another_seed_stream_or_step_is_unrelated(change):
    first, second = (drawn / 2**BITS - 0.5 for drawn in (bits(), bits(**change)))
    correlation = 12 * np.mean(first * second)
    assert abs(correlation) < 5 / np.sqrt(SIZE)


@pytest.mark.parametrize("bit", range(BITS))
def test_every_bit_is_fair(bit):
    share = ((bits() >> bit) & 1).mean()
    assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(SIZE)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_dropout_drops_the_share_and_keeps_the_mean(backend, rate):
    inputs = backend.asarray(np.ones((100, 1000), dtype=np.float32))
    layer = nn.Dropout(rate, seed=0).to(backend)
    output = nn.to_numpy(layer.forward(inputs, training=True))
    deviation = np.sqrt(rate * (1 - rate) / output.size)
    assert abs((output == 0).mean() - rate) <= 5 * deviation
    np.testing.assert_allclose(output[output != 0], 1 / (1 - rate), rtol=1e-6)
    assert output.dtype == np.float32


@pytest.mark.parametrize("rate", [0.0, 1 / 3, 0.1234567, 0.004, 0.5, 1 - 2**-24])
def test_dropout_takes_its_rate_to_the_last_bit(rate):
    layer, n = nn.Dropout(rate, seed=4), 2**20
    draws = nn.get_backend("numpy").random_bits((1, n), seed=layer.seed, stream=0, step=0)
    output = layer.forward(np.ones((1, n), dtype=np.float32), training=True)
    np.testing.assert_array_equal(output == 0, draws < round(rate * 2**24))


def test_layers_draw_another_seed_each_time_unless_told():
    assert nn.Dropout(0.5).seed != nn.Dropout(0.5).seed
    assert nn.Dropout(0.5, seed=1).seed == nn.Dropout(0.5, seed=1).seed
    assert nn.Dropout(0.5, seed=1).seed != nn.Dropout(0.5, seed=2).seed
    model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5), seed=3)
    assert model.layers[0].seed != model.layers[1].seed


def test_a_step_is_counted_in_training_only():
    layer, ones = nn.Dropout(0.5, seed=0), np.ones((2, 3), dtype=np.float32)
    for training in (True, False, True):
        layer.forward(ones, training=training)
    assert layer.step == 2
    layer.reseed(7, stream=5, step=9)
    assert (layer.seed, layer.stream, layer.step) == (7, 5, 9)


def test_dropout_masks_differ_from_step_to_step_and_layer_to_layer():
    inputs = np.ones((8, 64), dtype=np.float32)
    trainer = nn.Trainer(
        nn.Sequential(nn.Dense(64, 64), nn.Dropout(0.5), nn.Dropout(0.5)),
        nn.MeanSquaredError(),
        nn.SGD(),
        backend="numpy",
    )
    _, first, second = trainer.model.layers
    masks = [layer.forward(inputs, training=True) for layer in (first, first, second)]
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert (masks[one] != masks[other]).any()


def test_the_same_seed_draws_the_same_weights(backend):
    def weights(seed):
        layers = nn.Dense(5, 4), nn.Dropout(0.1), nn.ReLU(), nn.Dense(4, 3)
        model = nn.Sequential(*layers, seed=seed)
        return [nn.to_numpy(a) for a in model.to(backend).parameters().values()]

    expected = np.random.default_rng(3).standard_normal((5, 4)) * np.sqrt(2 / 5)
    np.testing.assert_array_equal(weights(3)[0], expected.astype(np.float32))
    for one, other in zip(weights(3), weights(3), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (weights(3)[0] != weights(4)[0]).any()
