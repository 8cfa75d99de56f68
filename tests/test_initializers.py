"""Initializers: what they draw, and which one suits what follows."""

from __future__ import annotations

import math

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp import initializers
from nnfs_xp.errors import ArgumentError

SHAPE = (300, 200)


def draw(initializer, shape=SHAPE, seed=0):
    return initializer(np.random.default_rng(seed), shape)


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("he_normal", 2 / 300),
        ("he_uniform", 2 / 300),
        ("glorot_normal", 2 / 500),
        ("glorot_uniform", 2 / 500),
        ("lecun_normal", 1 / 300),
        ("lecun_uniform", 1 / 300),
        ("standard_normal", 1.0),
        ("book_normal", 1e-4),
    ],
)
def test_variances(name, variance):
    weights = draw(getattr(initializers, name))
    n = weights.size
    assert weights.shape == SHAPE
    assert abs(weights.mean()) < 5 * math.sqrt(variance / n)
    assert abs(weights.var() / variance - 1) < 5 * math.sqrt(2 / n)
    if name.endswith("uniform"):
        bound = math.sqrt(3 * variance)
        assert 0.999 * bound < np.abs(weights).max() < bound
    else:  # the fourth moment of a normal
        assert abs((weights**4).mean() / variance**2 - 3) < 5 * math.sqrt(96 / n)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (1, 3), (3, 1)])
def test_orthogonal(shape):
    weights = draw(initializers.orthogonal, shape)
    assert weights.shape == shape
    product = weights @ weights.T if shape[0] < shape[1] else weights.T @ weights
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-14)


def test_orthogonal_is_uniform():
    # Without the signs, the first column's first element would always be negative.
    firsts = [draw(initializers.orthogonal, (3, 3), seed)[0, 0] for seed in range(2000)]
    assert abs(np.mean(firsts)) < 5 * math.sqrt(1 / 3 / 2000)
    assert abs(np.var(firsts) - 1 / 3) < 0.05


def test_zeros_and_none_leave_weights_0():
    for initializer in (initializers.zeros, None):
        layer = nn.Dense(3, 2, initializer=initializer)
        assert not layer.weights.any()
        nn.Sequential(layer, nn.ReLU(), seed=0)
        assert not layer.weights.any()


@pytest.mark.parametrize("initializer", ["he", 1.0, [[1.0]]])
def test_what_draws_nothing_is_refused(initializer):
    for build in (nn.Dense, nn.Embedding):
        with pytest.raises(ArgumentError, match=r"`initializer` must be a function .* or None"):
            build(3, 2, initializer=initializer)


def test_a_dense_layer_alone_draws_he_normal():
    expected = draw(initializers.he_normal, (4, 3)).astype(np.float32)
    np.testing.assert_array_equal(nn.Dense(4, 3, seed=0).weights, expected)
    unseeded = nn.Sequential(nn.Dense(4, 3, seed=0), nn.Tanh())
    np.testing.assert_array_equal(unseeded.layers[0].weights, expected)


@pytest.mark.parametrize(
    ("following", "expected"),
    [
        *[
            ([activation()], "he_normal")
            for activation in (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus)
        ],
        *[([a()], "glorot_uniform") for a in (nn.Tanh, nn.Sigmoid, nn.Softmax, nn.Linear)],
        ([nn.SELU()], "lecun_normal"),
        ([], "glorot_uniform"),
        ([nn.Dense(6, 2), nn.ReLU()], "glorot_uniform"),
        ([nn.BatchNorm(6), nn.Dropout(0.5), nn.ReLU()], "he_normal"),
        ([nn.Sequential(nn.Dropout(0.5), nn.SELU())], "lecun_normal"),
        ([nn.Residual(nn.ReLU(), nn.Dense(6, 6))], "he_normal"),
        ([nn.Concatenate(nn.ReLU(), nn.Tanh())], "he_normal"),
        ([nn.Concatenate(nn.Dropout(0.5)), nn.ReLU()], "he_normal"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda x: x, nn.Sequential, nn.Residual, nn.Concatenate])
def test_the_default_suits_what_follows(following, expected, wrap):
    first = nn.Dense(6, 6)
    nn.Sequential(wrap(first), *following, seed=5)
    weights = draw(getattr(initializers, expected), (6, 6), seed=5)
    np.testing.assert_array_equal(first.weights, weights.astype(np.float32))


def test_an_initializer_that_was_asked_for_is_used():
    layer = nn.Dense(4, 3, initializer=initializers.lecun_uniform)
    nn.Sequential(layer, nn.ReLU(), seed=5)
    expected = draw(initializers.lecun_uniform, (4, 3), seed=5).astype(np.float32)
    np.testing.assert_array_equal(layer.weights, expected)
