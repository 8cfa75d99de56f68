"""Activations where they are delicate: the error function, tails, settings."""

from __future__ import annotations

import math

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.kernels import standard

POINTS = np.concatenate(
    [np.linspace(-7, 7, 20011), np.logspace(-37, 3, 4001), -np.logspace(-37, 3, 4001)]
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erf_is_within_three_eps(backend, dtype):
    points = POINTS.astype(dtype)
    with np.errstate(under="ignore"):
        actual = nn.to_numpy(standard.erf(backend.xp, backend.asarray(points)))
    expected = np.array([math.erf(float(point)) for point in points])
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, expected, rtol=3 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erf_at_its_ends(backend, dtype):
    points = np.array([0.0, -0.0, np.inf, -np.inf, 30.0, -30.0, np.nan], dtype=dtype)
    actual = nn.to_numpy(standard.erf(backend.xp, backend.asarray(points)))
    np.testing.assert_array_equal(actual, [0, 0, 1, -1, 1, -1, np.nan])
    assert np.signbit(actual[:2]).tolist() == [False, True]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", [nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.ELU(), nn.SELU()])
def test_far_above_0_they_are_linear_and_far_below_flat(backend, dtype, layer):
    inputs = backend.asarray(np.array([[50.0, 1e4, -1e4, -200.0]]), dtype)
    output = layer.to(backend).forward(inputs, training=True)
    dinputs = nn.to_numpy(layer.backward(backend.xp.ones_like(inputs)))[0]
    output = nn.to_numpy(output)[0]
    slope = 1.0507009873554805 if isinstance(layer, nn.SELU) else 1.0
    floor = {nn.ELU: -1.0, nn.SELU: -1.7580993408473766}.get(type(layer), 0.0)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(
        output, [50 * slope, 1e4 * slope, floor, floor], rtol=4 * eps, atol=eps
    )
    np.testing.assert_allclose(dinputs, [slope, slope, 0, 0], rtol=4 * eps, atol=4 * eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softplus_is_exact_at_both_tails(backend, dtype):
    inputs = backend.asarray(np.array([[1e4, 100.0, -50.0, -80.0]]), dtype)
    layer = nn.Softplus().to(backend)
    output = nn.to_numpy(layer.forward(inputs, training=True))[0]
    eps = np.finfo(dtype).eps
    expected = [1e4, 100.0, math.exp(-50), math.exp(-80)]
    np.testing.assert_allclose(output, expected, rtol=100 * eps)
    dinputs = nn.to_numpy(layer.backward(backend.xp.ones_like(inputs)))[0]
    np.testing.assert_allclose(dinputs, [1, 1, *expected[2:]], rtol=100 * eps)


def test_elu_without_alpha_is_relu(backend):
    inputs = backend.asarray(np.array([[-2.0, -0.5, 0.5, 3.0]]))
    layers = nn.ELU(0).to(backend), nn.ReLU().to(backend)
    outputs = [nn.to_numpy(layer.forward(inputs, training=True)) for layer in layers]
    np.testing.assert_array_equal(*outputs)
    np.testing.assert_array_equal(*(nn.to_numpy(layer.backward(inputs)) for layer in layers))


def test_settings_out_of_range():
    with pytest.raises(nn.errors.ArgumentError, match="approximate"):
        nn.GELU("sigmoid")
    with pytest.raises(nn.errors.ArgumentError, match="alpha"):
        nn.ELU(-1.0)
