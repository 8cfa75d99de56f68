"""Layers that draw noise: its statistics, and that every backend draws the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

import nnfs_xp as nn

SHAPE = (500, 400)
N = SHAPE[0] * SHAPE[1]
LAYERS = [nn.AlphaDropout(0.3, seed=4), nn.GaussianNoise(0.5, seed=4)]


def normal(seed=0, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(dtype)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_backend_draws_the_same(backend, layer, dtype):
    inputs = normal(dtype=dtype)[:20]
    runs = []
    for place in ("numpy", backend):
        layer.to(place).reseed(2**40, 3, 7)
        moved = layer.backend.asarray(inputs)
        runs.append([nn.to_numpy(layer.forward(moved, training=True)) for _ in range(2)])
    # To the last bits of `log` and `cos`, which each library computes in its own way.
    np.testing.assert_allclose(*runs, rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-6)
    assert (runs[0][0] != runs[0][1]).any(), "each step draws anew"
    assert layer.step == 9


@pytest.mark.parametrize("layer", LAYERS)
def test_nothing_happens_outside_of_training(backend, layer):
    inputs = backend.asarray(normal()[:3])
    step = layer.step
    layer.to(backend)
    np.testing.assert_array_equal(nn.to_numpy(layer.forward(inputs)), nn.to_numpy(inputs))
    assert layer.step == step


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.3, 0.9])
def test_alpha_dropout_keeps_mean_and_variance(rate):
    inputs = normal()
    output = nn.AlphaDropout(rate, seed=0).forward(inputs, training=True)
    assert output.dtype == np.float32
    fourth = np.mean((output - output.mean()) ** 4, dtype=np.float64)
    assert abs(output.mean(dtype=np.float64)) < 5 / math.sqrt(N)
    assert abs(output.var(dtype=np.float64) - 1) < 5 * math.sqrt(fourth / N)
    lowest, count = np.unique(output[output == np.median(output)], return_counts=True)
    if rate == 0.9:  # then the median is what was dropped
        assert len(lowest) == 1
        assert abs(count[0] / N - 0.9) < 5 * math.sqrt(0.09 / N)


def test_alpha_dropout_drops_to_where_selu_saturates():
    rate, layer = 0.25, nn.AlphaDropout(0.25, seed=0)
    inputs = normal(dtype="float64")
    output = layer.forward(inputs, training=True)
    dinputs = layer.backward(np.ones_like(inputs))
    kept, low = dinputs != 0, -1.7580993408473766
    a = ((1 - rate) * (1 + rate * low**2)) ** -0.5
    b = -a * rate * low
    np.testing.assert_allclose(output, a * np.where(kept, inputs, low) + b, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(dinputs, np.where(kept, a, 0), rtol=1e-12)
    assert abs(1 - kept.mean() - rate) < 5 * math.sqrt(rate * (1 - rate) / N)


def test_selu_networks_normalize_themselves():
    layers = []
    for _ in range(20):
        layers += [nn.Dense(400, 400), nn.SELU(), nn.AlphaDropout(0.05)]
    output = nn.Sequential(*layers, seed=0).forward(3 * normal(), training=True)
    assert abs(output.mean()) < 0.1
    assert abs(output.var() - 1) < 0.1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gaussian_noise_is_normal(dtype):
    layer = nn.GaussianNoise(0.5, seed=1)
    inputs = normal(dtype=dtype)
    output = layer.forward(inputs, training=True)
    assert output.dtype == dtype
    noise = np.sort(((output - inputs).astype(np.float64) / 0.5).ravel())
    assert abs(noise.mean()) < 5 / math.sqrt(N)
    assert abs(noise.std() - 1) < 5 / math.sqrt(2 * N)
    # Kolmogorov and Smirnov: the largest distance between the shares below each value.
    expected = 0.5 * (1 + np.vectorize(math.erf)(noise / math.sqrt(2)))
    assert np.abs(expected - (np.arange(N) + 0.5) / N).max() < 2 / math.sqrt(N)
    assert np.isfinite(noise).all()
    neighbours = ((output - inputs)[:, 1:] * (output - inputs)[:, :-1]).mean() / 0.25
    assert abs(neighbours) < 5 / math.sqrt(N)


@pytest.mark.parametrize("bits", [0, 2**24 - 1])
def test_the_extremes_of_the_bits_give_finite_noise(bits, monkeypatch):
    layer = nn.GaussianNoise(1.0)
    monkeypatch.setattr(layer, "draw_bits", lambda _, shape: np.full(shape, bits))
    for dtype in ("float32", "float64"):
        noise = layer.forward(np.zeros((1, 2), dtype=dtype), training=True)
        assert np.isfinite(noise).all()
        assert np.abs(noise).max() < 5.8


def test_settings_out_of_range():
    for build in (lambda: nn.AlphaDropout(1.0), lambda: nn.GaussianNoise(-0.1)):
        with pytest.raises(nn.errors.ArgumentError, match="must be at least 0"):
            build()
