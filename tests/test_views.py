"""Predictions averaged over several views of each sample."""

from __future__ import annotations

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.data import augment
from nnfs_xp.errors import ArgumentError, NnfsError, ShapeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 6, 5, 2)).astype("float32")
Y = RNG.integers(0, 3, 30)
VIEWS = (augment.mirrored, augment.shifted(1, -2))


def trainer(backend, loss=None, last=3, *others, **settings):
    model = nn.Sequential(nn.Conv2D(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dense(48, last), *others)
    model.initialize(np.random.default_rng(1))
    loss = loss or nn.SoftmaxCategoricalCrossentropy()
    return nn.Trainer(model, loss, nn.SGD(0.1), backend=backend, **settings)


def seen(x):
    """The samples as they are and by each view, by NumPy alone."""
    moved = np.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0)), mode="reflect")[:, :6, 2:, :]
    return x, x[:, :, ::-1, :], moved


def softmax(z):
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def logits_of(made, x):
    return nn.to_numpy(made.model.forward(made.backend.asarray(np.ascontiguousarray(x))))


def test_pictures_are_moved(backend):
    for view, expected in zip(VIEWS, seen(X)[1:], strict=True):
        given = backend.asarray(X)
        np.testing.assert_array_equal(nn.to_numpy(view(given)), expected)
        np.testing.assert_array_equal(nn.to_numpy(given), X)
    up = nn.to_numpy(augment.shifted(-5, 0)(backend.asarray(X)))
    np.testing.assert_array_equal(up, np.pad(X, ((0, 0), (0, 5), (0, 0), (0, 0)), "reflect")[:, 5:])


def test_logits_are_averaged(backend):
    made = trainer(backend)
    mean = np.mean([logits_of(made, x) for x in seen(X)], axis=0)
    found = made.predict_proba(X, views=VIEWS, batch_size=8)
    np.testing.assert_allclose(found, softmax(mean), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(made.predict(X, views=list(VIEWS)), mean.argmax(axis=1))
    figures = made.evaluate(X, Y, views=VIEWS, batch_size=7)
    loss = -np.log(softmax(mean)[np.arange(30), Y]).mean()
    assert figures["loss"] == pytest.approx(loss, rel=1e-4)
    assert figures["accuracy"] == pytest.approx((mean.argmax(axis=1) == Y).mean())
    np.testing.assert_array_equal(made.predict_proba(X, views=()), made.predict_proba(X))


def test_a_softmax_that_the_loss_takes_in_has_logits_too():
    plain, ended = (
        trainer("numpy"),
        trainer("numpy", nn.CategoricalCrossentropy(), 3, nn.Softmax()),
    )
    found, expected = (each.predict_proba(X, views=VIEWS) for each in (ended, plain))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_values_of_a_regression_are_averaged(backend):
    made = trainer(backend, nn.MeanSquaredError(), 2, metrics=())
    mean = np.mean([logits_of(made, x) for x in seen(X)], axis=0)
    np.testing.assert_allclose(made.predict(X, views=VIEWS), mean, rtol=1e-4, atol=1e-5)
    with pytest.raises(NnfsError, match="has no probabilities"):
        made.predict_proba(X, views=VIEWS)


def test_batches_from_anywhere():
    made = trainer("numpy")
    expected = made.predict(X, views=VIEWS)
    batches = [(X[:20], Y[:20]), (X[20:], Y[20:])]
    np.testing.assert_array_equal(made.predict(lambda: iter(batches), views=VIEWS), expected)
    figures = made.evaluate(batches, views=VIEWS)
    assert figures["accuracy"] == pytest.approx((expected == Y).mean())


def test_rows_and_views_of_ones_own():
    X = nn.data.spiral_data(samples=20, classes=3, seed=0)[0]
    model = nn.Sequential(nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 3), seed=0)
    made = nn.Trainer(model, nn.SoftmaxCategoricalCrossentropy(), nn.SGD(0.1), backend="numpy")
    plain, turned = (logits_of(made, x.astype("float32")) for x in (X, -X))
    found = made.predict_proba(X, views=[lambda x: -x])
    np.testing.assert_allclose(found, softmax((plain + turned) / 2), rtol=1e-5)


def test_what_is_refused(backend):
    made = trainer(backend)
    for views, message in (
        (augment.mirrored, "`views` must be a list or a tuple of functions"),
        ([augment.mirrored, 3], "`views` must be a list or a tuple of functions"),
        ([lambda x: x[:2, ...]], r"a view must return .*\(30, 6, 5, 2\).* of shape \(2, 6, 5, 2\)"),
        ([lambda x: None], "returned NoneType"),
        ([lambda x: x > 0], "a view must return an array of shape"),
    ):
        for ask in (made.predict, made.predict_proba, lambda x, **w: made.evaluate(x, Y, **w)):
            with pytest.raises(ArgumentError, match=message):
                ask(X, views=views)
    with pytest.raises(ShapeError, match=r"pictures of 6 x 5 have not enough pixels"):
        made.predict(X, views=[augment.shifted(0, 5)])
    with pytest.raises(ShapeError, match=r"pictures must have shape .* got \(30, 60\)"):
        augment.mirrored(backend.asarray(X.reshape(30, -1)))
    with pytest.raises(ArgumentError, match=r"`columns` must be a whole number; got 0\.5"):
        augment.shifted(1, 0.5)
