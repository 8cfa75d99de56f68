"""The networks that the command line trains."""

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError
from nnfs_xp.networks import build_cnn, build_residual_cnn, build_whitened_cnn, whiten

SHAPE = (10, 12, 3)


def pictures():
    """Neighbouring pixels, and the colours of a pixel, have much in common."""
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(400, *SHAPE)) + 2 * generator.normal(size=(400, 10, 12, 1))
    smooth = noise + np.roll(noise, 1, axis=1) + np.roll(noise, 1, axis=2)
    return (0.5 + 0.1 * smooth).astype("float32")


@pytest.mark.parametrize("build", [build_cnn, build_residual_cnn, build_whitened_cnn])
def test_they_give_probabilities_of_classes(build):
    model = build(SHAPE, (4, 6), 5, 0.1, 0)
    output = model.forward(pictures()[:3])
    assert output.shape == (3, 5)
    np.testing.assert_allclose(output.sum(axis=1), 1, rtol=1e-5)
    assert model.output_shape(SHAPE) == (5,)


@pytest.mark.parametrize("build", [build_cnn, build_residual_cnn, build_whitened_cnn])
def test_pictures_that_are_too_small_for_the_stages_are_refused(build):
    with pytest.raises(ArgumentError, match="stages need images of at least"):
        build((4, 4, 1), (4, 4, 4), 5, 0.0, 0)


def test_the_first_layer_tells_apart_what_is_independent():
    X = pictures()
    model = build_whitened_cnn(SHAPE, (4, 6), 5, 0.0, 0)
    first = model.layers[0]
    assert first.trainable == ("biases",)
    whiten(model, X)
    found = first.forward(X).reshape(-1, 24)
    np.testing.assert_allclose(found[:, :12], -found[:, 12:], atol=1e-4)  # and its opposite
    directions = found[:, :12].astype("float64")
    # Borders have their windows less often, so the means and variances are those of all but nearly.
    np.testing.assert_allclose(directions.mean(axis=0), 0, atol=0.05)
    correlations = np.corrcoef(directions.T) - np.eye(12)
    before = np.lib.stride_tricks.sliding_window_view(X, (2, 2), axis=(1, 2)).reshape(-1, 12)
    assert abs(correlations).max() < 0.05 < abs(np.corrcoef(before.T) - np.eye(12)).max()
    assert directions.std(axis=0).max() < 1.05


def test_a_training_leaves_the_whitening_as_it_is():
    X, y = pictures()[:40], np.arange(40) % 5
    model = build_whitened_cnn(SHAPE, (4, 6), 5, 0.0, 0)
    whiten(model, X)
    weights, biases = model.layers[0].weights.copy(), model.layers[0].biases.copy()
    trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), nn.SGD(0.1), backend="numpy")
    trainer.fit(X, y, epochs=1, batch_size=20, progress=False)
    np.testing.assert_array_equal(model.layers[0].weights, weights)
    assert not np.array_equal(model.layers[0].biases, biases)
