"""What is done to batches before a step, and the random numbers for it."""

from __future__ import annotations

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.data import OnHost, Random
from nnfs_xp.errors import ArgumentError, DataError

RNG = np.random.default_rng(2)
X = RNG.standard_normal((150, 6)).astype("float32")
Y = (X[:, 1] > 0).astype(np.int64)


def random_on(backend, step=3, dtype="float32"):
    return Random(nn.get_backend(backend) if isinstance(backend, str) else backend, 5, step, dtype)


class TestRandom:
    def test_the_same_on_every_backend(self, backend):
        here, there = random_on(backend), random_on("numpy")
        for draw in (
            lambda random: random.bits((3, 4)),
            lambda random: random.uniform(7, -1, 1),
            lambda random: random.integers(-3, 9, (2, 5)),
            lambda random: random.choices(0.3, 40),
            lambda random: random.permutation(31),
        ):
            found = draw(here)
            assert backend.owns(found)
            np.testing.assert_array_equal(nn.to_numpy(found), draw(there))
        np.testing.assert_allclose(
            nn.to_numpy(here.normal((50,))), there.normal((50,)), rtol=1e-4, atol=1e-6
        )

    def test_each_draw_batch_and_seed_has_numbers_of_its_own(self):
        random = random_on("numpy")
        draws = [random.bits(1000), random.bits(1000), random_on("numpy", step=4).bits(1000)]
        draws.append(Random(nn.get_backend("numpy"), 6, 3).bits(1000))
        for one in range(4):
            for other in range(one):
                assert np.mean(draws[one] == draws[other]) < 0.01
        np.testing.assert_array_equal(random_on("numpy").bits(1000), draws[0])

    def test_distributions(self):
        random = random_on("numpy")
        n = 200_000
        uniform = random.uniform(n, 2, 5)
        assert uniform.dtype == np.float32
        assert 2 <= uniform.min() < 2.001
        assert 4.999 < uniform.max() < 5
        assert uniform.mean() == pytest.approx(3.5, abs=0.01)
        normal = random.normal(n, 1, 2)
        assert (normal.mean(), normal.std()) == pytest.approx((1, 2), abs=0.02)
        counts = np.bincount(random.integers(0, 6, n))
        assert counts.tolist() == pytest.approx([n / 6] * 6, rel=0.03)
        assert random.choices(0.2, n).mean() == pytest.approx(0.2, abs=0.005)
        assert random.choices(0.0, n).sum() == 0
        assert random.choices(1.0, n).sum() == n
        firsts = [random.permutation(4)[0] for _ in range(4000)]
        assert np.bincount(firsts).tolist() == pytest.approx([1000] * 4, rel=0.15)
        assert sorted(random.permutation(100)) == list(range(100))
        assert random_on("numpy", dtype="float64").uniform(3).dtype == np.float64

    @pytest.mark.parametrize(("low", "high"), [(3, 3), (4, 3), (0, 2**24 + 1)])
    def test_no_such_numbers(self, low, high):
        with pytest.raises(ArgumentError, match="`high` must be above `low`"):
            random_on("numpy").integers(low, high, 3)

    @pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan"), "x"])
    def test_no_such_probability(self, probability):
        with pytest.raises(ArgumentError, match="`probability`"):
            random_on("numpy").choices(probability, 3)


def mirrored(batch, random):
    """A sample or its mirror image, and a little noise."""
    x, y, *weights = batch
    xp = random.xp
    mirror = random.choices(0.5, (x.shape[0], 1))
    return xp.where(mirror, xp.flip(x, axis=1), x) + 0.1 * random.uniform(x.shape), y, *weights


def new_trainer(backend="numpy", **settings):
    model = nn.Sequential(nn.Dense(6, 8), nn.ReLU(), nn.Dense(8, 2), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    return nn.Trainer(model, loss, nn.Adam(0.01), backend=backend, seed=9, **settings)


def batches():
    for start in range(0, 150, 32):
        yield X[start : start + 32], Y[start : start + 32]


@pytest.mark.parametrize("transform", [mirrored, OnHost(mirrored)], ids=["device", "host"])
def test_the_same_training_wherever_it_runs(backend, transform):
    settings = {"epochs": 3, "progress": False}
    arrays = {"batch_size": 32, "shuffle": False}
    wanted = new_trainer().fit(X, Y, transform=mirrored, **arrays, **settings)
    plain = new_trainer().fit(X, Y, **arrays, **settings)
    assert abs(wanted["loss"][-1] - plain["loss"][-1]) > 1e-3
    for data, more in (((X, Y), arrays), ((batches,), {}), ((list(batches()),), {})):
        found = new_trainer(backend).fit(*data, transform=transform, **more, **settings)
        np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-5)


def test_it_trains_on_what_the_transform_gives():
    """With numbers worked out by hand."""
    seen = []

    def kept(batch, random):
        found = mirrored(batch, random)
        seen.append(found)
        return found

    trainer = new_trainer()
    trainer.fit(X, Y, transform=kept, batch_size=64, epochs=2, progress=False)
    twin = new_trainer()
    for x, y in seen:
        twin.train_step(x, y)
    assert len(seen) == 6
    np.testing.assert_array_equal(twin.model.flat.values, trainer.model.flat.values)


@pytest.mark.parametrize("transform", [mirrored, OnHost(mirrored)], ids=["device", "host"])
@pytest.mark.parametrize("data", [(X, Y), (list(batches()),)], ids=["arrays", "batches"])
def test_the_same_draws_after_a_resume(tmp_path, transform, data):
    def stop(trainer):
        if (trainer.epoch, trainer.step) == (1, 2):
            trainer.stop(now=True)

    settings = {"epochs": 3, "transform": transform, "progress": False}
    whole, cut, resumed = (new_trainer() for _ in range(3))
    wanted = whole.fit(*data, **settings)
    settings |= {"checkpoint": tmp_path}
    cut.fit(*data, callbacks=[nn.LambdaCallback(on_step_end=stop)], **settings)
    assert (cut.epoch, cut.step) == (1, 2)
    idle = nn.LambdaCallback(on_step_end=lambda trainer: None)
    assert resumed.fit(*data, resume=True, callbacks=[idle], **settings) == wanted
    np.testing.assert_array_equal(resumed.model.flat.values, whole.model.flat.values)


def test_another_transform_is_another_run(tmp_path):
    new_trainer().fit(X, Y, transform=mirrored, checkpoint=tmp_path, progress=False)
    with pytest.raises(nn.errors.CheckpointError, match="transform"):
        new_trainer().fit(X, Y, checkpoint=tmp_path, resume=True, progress=False)


def test_targets_may_become_shares(backend):
    def mixed(batch, random):
        x, y = batch
        xp = random.xp
        one_hot = xp.astype(y[:, None] == xp.arange(2, device=x.device), x.dtype)
        order, share = random.permutation(x.shape[0]), random.uniform((x.shape[0], 1))
        other = [xp.take(each, order, axis=0) for each in (x, one_hot)]
        return share * x + (1 - share) * other[0], share * one_hot + (1 - share) * other[1]

    trainer = new_trainer(backend)
    history = trainer.fit(X, Y, transform=mixed, epochs=12, progress=False)
    assert history["loss"][-1] < history["loss"][0]
    assert trainer.evaluate(X, Y)["accuracy"] > 0.8


def test_weights_go_through_it():
    weights = RNG.uniform(0, 2, 150)
    one = new_trainer().fit(X, Y, sample_weight=weights, transform=mirrored, progress=False)
    other = new_trainer().fit(X, Y, transform=mirrored, progress=False)
    assert one["loss"] != other["loss"]


def test_it_is_not_for_validation():
    trainer = new_trainer()
    history = trainer.fit(X, Y, transform=mirrored, validation_data=(X, Y), progress=False)
    assert history["val_loss"][-1] == trainer.evaluate(X, Y)["loss"]


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (lambda batch, random: None, "must return a tuple of 2 arrays.*got NoneType"),
        (lambda batch, random: batch[:1], "got 1 parts"),
        (lambda batch, random: (batch[0][:3], batch[1]), r"different lengths: \(3, 6\), \(32,\)"),
        (lambda batch, random: 1 / 0, "`transform` failed: ZeroDivisionError"),
    ],
)
@pytest.mark.parametrize("place", [lambda f: f, OnHost], ids=["device", "host"])
def test_what_it_may_not_do(transform, message, place):
    with pytest.raises(DataError, match=message):
        new_trainer().fit(X, Y, transform=place(transform), progress=False)


@pytest.mark.parametrize("transform", [3, "flip", object()])
def test_what_is_no_transform(transform):
    with pytest.raises(ArgumentError, match="`transform` must be a function"):
        new_trainer().fit(X, Y, transform=transform, progress=False)
    with pytest.raises(ArgumentError, match="`transform` must be a function"):
        OnHost(transform)


def test_inputs_that_the_model_cannot_take_are_named(backend):
    def narrow(batch, _):
        x, y = batch
        return x[:, :4], y

    model = nn.Sequential(nn.Dense(6, 2), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    trainer = nn.Trainer(model, loss, nn.SGD(0.1), backend=backend)
    with pytest.raises(DataError, match=r"`transform` returned what the model cannot take: .*6"):
        trainer.fit(X, Y, transform=narrow, accumulate=4, progress=False)
    assert trainer.learner.count == 0


def test_a_transform_that_gives_labels_that_are_none():
    def other(batch, _):
        return batch[0], batch[1] + 7

    model = nn.Sequential(nn.Dense(6, 2), seed=0)
    trainer = nn.Trainer(model, nn.SoftmaxCategoricalCrossentropy(), nn.SGD(0.1), backend="numpy")
    with pytest.raises(nn.errors.DivergenceError, match="a label that is no class makes the loss"):
        trainer.fit(X, Y, transform=other, progress=False)
    assert np.isfinite(nn.to_numpy(model.flat.values)).all()


def test_two_walks_at_once_draw_the_same_on_the_host():
    def noisy(batch, random):
        return (batch[0] + random.uniform(batch[0].shape, -1, 1),)

    found = []
    for transform in (noisy, OnHost(noisy)):
        walk = nn.data.batches(X, batch_size=50, backend="numpy", transform=transform)
        found.append([part for pair in zip(walk, walk, strict=True) for (part,) in pair])
    assert len(found[0]) == 6
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
