"""Samples of any shape, from training to prediction: features last, everything before is batch."""

from __future__ import annotations

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, LabelError, ShapeError

rng = np.random.default_rng(3)
X = rng.normal(size=(30, 5, 4)).astype("float32")
Y = rng.integers(0, 3, (30, 5))
IGNORED = np.where(rng.random((30, 5)) < 0.3, -100, Y)
ROWS = X.reshape(-1, 4), Y.reshape(-1)


def network(*, dtype="float32"):
    return nn.Sequential(
        nn.Dense(4, 8, dtype=dtype),
        nn.BatchNorm(8, dtype=dtype),
        nn.ReLU(),
        nn.Dense(8, 3, dtype=dtype),
        seed=0,
    )


def trainer(model=None, loss=None, backend="numpy", **settings):
    loss = loss or nn.SoftmaxCategoricalCrossentropy()
    model = model or network()
    return nn.Trainer(model, loss, nn.Adam(0.02), backend=backend, **settings)


def weights(trained):
    return {name: nn.to_numpy(a) for name, a in trained.model.parameters().items()}


def assert_same_weights(one, other, rtol=1e-5, atol=1e-6):
    for name, values in weights(one).items():
        np.testing.assert_allclose(values, weights(other)[name], rtol=rtol, atol=atol)


def test_a_training_on_sequences_is_one_on_their_rows(backend):
    sequences, rows = trainer(backend=backend), trainer(backend=backend)
    settings = {"epochs": 3, "shuffle": False, "progress": False}
    one = sequences.fit(X, Y, batch_size=6, validation_data=(X, Y), **settings)
    other = rows.fit(*ROWS, batch_size=30, validation_data=ROWS, **settings)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5)
    assert_same_weights(sequences, rows)
    assert sequences.predict(X).shape == (30, 5)
    assert sequences.predict_proba(X).shape == (30, 5, 3)
    np.testing.assert_array_equal(sequences.predict(X).ravel(), rows.predict(ROWS[0]))
    pictures = X.reshape(6, 5, 5, 4), Y.reshape(6, 5, 5)
    found, expected = sequences.evaluate(*pictures), rows.evaluate(*ROWS)
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (nn.MeanSquaredError(), rng.normal(size=(30, 5, 3))),
        (nn.SigmoidBinaryCrossentropy(), rng.integers(0, 2, (30, 5, 3))),
        (nn.CategoricalCrossentropy(), np.eye(3)[Y]),
        (nn.FocalLoss(alpha=(1.0, 2.0, 0.5), ignore_index=7), Y),
        (nn.CategoricalHinge(ignore_index=-1), np.where(Y == 2, -1, Y)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_losses_of_all_kinds(backend, loss, y):
    model = network()
    if isinstance(loss, nn.CategoricalCrossentropy):
        model = nn.Sequential(*model.layers, nn.Softmax())
    trained = trainer(model, loss, backend, metrics=())
    history = trained.fit(X, y, epochs=5, progress=False)
    assert history["loss"][-1] < history["loss"][0]
    assert trained.predict(X).shape[:2] == (30, 5)


def test_one_output_for_each_place(backend):
    y = X[..., 0] * 2
    trained = trainer(nn.Sequential(nn.Dense(4, 1), seed=0), nn.MeanSquaredError(), backend)
    trained.fit(X, y, epochs=60, batch_size=3, progress=False)
    found = trained.predict(X)
    assert found.shape == y.shape
    np.testing.assert_allclose(found, y, atol=0.5)


class TestIgnoredLabels:
    def test_torch_agrees(self, backend):
        torch = pytest.importorskip("torch")
        z = rng.normal(size=(6, 5, 3))
        y = IGNORED[:6]
        x = torch.tensor(z, requires_grad=True)
        expected = torch.nn.functional.cross_entropy(
            x.flatten(0, 1), torch.tensor(y).flatten(), ignore_index=-100
        )
        expected.backward()
        loss = nn.SoftmaxCategoricalCrossentropy(ignore_index=-100)
        mine = backend.asarray(z), backend.asarray(y)
        np.testing.assert_allclose(nn.to_numpy(loss.calculate(*mine)), expected.detach())
        for gradient in (loss.backward(*mine), loss.calculate_and_backward(*mine)[1]):
            np.testing.assert_allclose(nn.to_numpy(gradient), x.grad, rtol=1e-9, atol=1e-12)

    def test_figures_are_those_of_the_labels_that_count(self, backend):
        loss = nn.SoftmaxCategoricalCrossentropy(ignore_index=-100)
        metrics = ("accuracy", nn.F1(), nn.TopKAccuracy(2), nn.ConfusionMatrix(3))
        trained = trainer(loss=loss, backend=backend, metrics=metrics)
        trained.fit(X, IGNORED, epochs=2, progress=False)
        counted = IGNORED.ravel() != -100
        rows = ROWS[0][counted], ROWS[1][counted]
        plain = trainer(
            trained.model, nn.SoftmaxCategoricalCrossentropy(), backend, metrics=metrics
        )
        expected = plain.evaluate(*rows)
        # In batches in which different numbers of labels count.
        found = trained.evaluate(X, IGNORED, batch_size=7)
        for name, figure in expected.items():
            np.testing.assert_allclose(found[name], figure, rtol=1e-5, err_msg=name)

    def test_it_is_a_training_without_them(self, backend):
        loss = nn.SoftmaxCategoricalCrossentropy(ignore_index=-100)
        model = lambda: nn.Sequential(nn.Dense(4, 8), nn.Tanh(), nn.Dense(8, 3), seed=0)  # noqa: E731
        with_them = trainer(model(), loss, backend)
        history = with_them.fit(X, IGNORED, epochs=3, batch_size=30, progress=False)
        counted = IGNORED.ravel() != -100
        without = trainer(model(), None, backend)
        rows = ROWS[0][counted], ROWS[1][counted]
        expected = without.fit(*rows, epochs=3, batch_size=len(rows[1]), progress=False)
        for name in ("loss", "accuracy"):
            np.testing.assert_allclose(history[name], expected[name], rtol=1e-4)
        assert_same_weights(with_them, without, rtol=1e-3, atol=1e-5)

    def test_what_lies_there_does_not_matter(self, backend):
        spoilt = rng.normal(size=(4, 3, 3))
        labels = np.array([[0, 1, -1]] * 4)
        clean = spoilt.copy()
        spoilt[:, 2] = np.nan
        for loss in (
            nn.SoftmaxCategoricalCrossentropy(ignore_index=-1),
            nn.FocalLoss(ignore_index=-1),
            nn.CategoricalHinge(ignore_index=-1),
        ):
            one = loss.calculate(backend.asarray(spoilt), backend.asarray(labels))
            other = loss.calculate(backend.asarray(clean), backend.asarray(labels))
            assert float(one) == float(other)
            gradient = nn.to_numpy(loss.backward(backend.asarray(spoilt), backend.asarray(labels)))
            assert (gradient[:, 2] == 0).all()

    def test_a_batch_in_which_none_counts_changes_nothing(self, backend):
        loss = nn.SoftmaxCategoricalCrossentropy(ignore_index=-100)
        z, y = backend.asarray(rng.normal(size=(2, 3, 3))), np.full((2, 3), -100)
        total, gradient = loss.calculate_and_backward(z, backend.asarray(y))
        assert float(total) == 0
        assert not nn.to_numpy(gradient).any()

    def test_labels_without_a_sign(self):
        loss = nn.SoftmaxCategoricalCrossentropy(ignore_index=255)
        y = np.where(IGNORED < 0, 255, IGNORED).astype(np.uint8)
        expected = trainer(loss=nn.SoftmaxCategoricalCrossentropy(ignore_index=-100))
        found = trainer(loss=loss)
        for each, labels in ((found, y), (expected, IGNORED)):
            each.fit(X, labels, epochs=1, progress=False)
        assert_same_weights(found, expected, rtol=0, atol=0)

    def test_balanced_classes_are_of_those_that_count(self):
        loss = nn.SoftmaxCategoricalCrossentropy(ignore_index=-100)
        y = np.full((30, 5), -100)
        y[:, 0] = (np.arange(30) == 0).astype(int)  # 29 of class 0, 1 of class 1
        trained = trainer(loss=loss)
        history = trained.fit(X, y, epochs=1, class_weight="balanced", progress=False)
        assert np.isfinite(history["loss"][0])

    @pytest.mark.parametrize(
        ("loss", "y", "error", "message"),
        [
            (
                nn.SoftmaxCategoricalCrossentropy(ignore_index=1),
                Y,
                ArgumentError,
                "is one of the 3",
            ),
            (
                nn.CategoricalCrossentropy(ignore_index=-1),
                np.full((30, 5), -1),
                LabelError,
                "every label of `y` is -1",
            ),
            (nn.SoftmaxCategoricalCrossentropy(), IGNORED, LabelError, "from -100 to 2"),
            (nn.SoftmaxCategoricalCrossentropy(ignore_index=-1), IGNORED, LabelError, "-100"),
        ],
    )
    def test_what_is_refused_before_the_first_step(self, loss, y, error, message):
        trained = trainer(loss=loss)
        before = weights(trained)
        with pytest.raises(error, match=message):
            trained.fit(X, y, progress=False)
        assert all((before[n] == a).all() for n, a in weights(trained).items())

    def test_what_it_cannot_be(self):
        for index in (1.5, "no"):
            with pytest.raises(ArgumentError, match="`ignore_index` must be a whole number"):
                nn.CategoricalCrossentropy(ignore_index=index)


class TestShares:
    def test_torch_agrees(self, backend):
        torch = pytest.importorskip("torch")
        z = rng.normal(size=(8, 3))
        t = rng.dirichlet(np.ones(3), 8)
        loss = nn.SoftmaxCategoricalCrossentropy()
        expected = torch.nn.functional.cross_entropy(torch.tensor(z), torch.tensor(t)).item()
        found = loss.calculate(backend.asarray(z), backend.asarray(t))
        np.testing.assert_allclose(float(found), expected)

    @pytest.mark.parametrize(
        "loss", [nn.SoftmaxCategoricalCrossentropy(), nn.FocalLoss()], ids=["", "focal"]
    )
    def test_mixed_samples_are_learnt(self, backend, loss):
        share = rng.beta(0.4, 0.4, (30, 1, 1)).astype("float32")
        other = rng.permutation(30)
        mixed = share * X + (1 - share) * X[other]
        one_hot = np.eye(3, dtype="float32")
        shares = share * one_hot[Y] + (1 - share) * one_hot[Y[other]]
        history = trainer(loss=loss, backend=backend).fit(mixed, shares, epochs=5, progress=False)
        assert history["loss"][-1] < history["loss"][0]
        assert 0 < history["accuracy"][-1] <= 1

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (np.full((30, 5, 3), 0.3), r"1 in sum; row 0 is \(0.3, 0.3, 0.3\)"),
            (np.full((30, 5, 3), [1.2, -0.2, 0.0]), "at least 0"),
            (np.full((30, 5, 3), np.nan), "row 0"),
            (np.full((30, 5, 2), 0.5), r"\(30, 5\).*or \(30, 5, 3\); got \(30, 5, 2\)"),
        ],
    )
    def test_what_they_cannot_be(self, y, message):
        with pytest.raises(LabelError, match=message):
            trainer().fit(X, y, progress=False)
        with pytest.raises(LabelError, match="one 1 and otherwise 0"):
            trainer(loss=nn.CategoricalHinge()).fit(X, np.full((30, 5, 3), 1 / 3), progress=False)


class TestWeights:
    def test_those_of_samples_and_of_places(self, backend):
        of_samples = rng.uniform(0.5, 2.0, 30)
        of_places = np.repeat(of_samples[:, None], 5, axis=1)
        runs = [trainer(backend=backend) for _ in range(3)]
        settings = {"epochs": 2, "shuffle": False, "progress": False}
        histories = [
            runs[0].fit(X, Y, sample_weight=of_samples, batch_size=6, **settings),
            runs[1].fit(X, Y, sample_weight=of_places, batch_size=6, **settings),
            runs[2].fit(*ROWS, sample_weight=of_places.ravel(), batch_size=30, **settings),
        ]
        for each, history in zip(runs[1:], histories[1:], strict=True):
            np.testing.assert_allclose(history["loss"], histories[0]["loss"], rtol=1e-5)
            assert_same_weights(each, runs[0])

    def test_those_of_classes(self):
        runs = [trainer(), trainer()]
        settings = {"epochs": 2, "shuffle": False, "class_weight": "balanced", "progress": False}
        runs[0].fit(X, Y, batch_size=6, **settings)
        runs[1].fit(*ROWS, batch_size=30, **settings)
        assert_same_weights(*runs)

    def test_other_shapes(self):
        for wrong in (np.ones(29), np.ones((30, 4)), np.ones((30, 5, 1))):
            with pytest.raises(ArgumentError, match=r"must have shape \(30,\) or \(30, 5\)"):
                trainer().fit(X, Y, sample_weight=wrong, progress=False)


def test_a_checkpoint_within_an_epoch_goes_on_with_metrics_that_collect(tmp_path):
    pytest.importorskip("sklearn")

    class StopError(Exception):
        pass

    def build():
        loss = nn.SoftmaxCategoricalCrossentropy(ignore_index=-100)
        return trainer(loss=loss, metrics=("accuracy", nn.ROCAUC()))

    def fit(trained, folder, **settings):
        checkpoints = nn.Checkpoints(tmp_path / folder, every_steps=1)
        return trained.fit(
            X, IGNORED, epochs=2, batch_size=8, checkpoint=checkpoints, progress=False, **settings
        )

    whole = build()
    expected = fit(whole, "whole")

    def stop(trained):
        if (trained.epoch, trained.step) == (1, 2):
            raise StopError

    with pytest.raises(StopError):
        fit(build(), "cut", callbacks=[nn.LambdaCallback(on_step_end=stop)])
    again = build()
    nothing = nn.LambdaCallback(on_step_end=lambda _: None)
    history = fit(again, "cut", resume=True, callbacks=[nothing])
    assert dict(history) == dict(expected)
    assert_same_weights(again, whole, rtol=0, atol=0)


def test_a_batch_norm_counts_places():
    trained = trainer()
    trained.fit(X[:1], Y[:1], batch_size=1, progress=False)
    with pytest.raises(ArgumentError, match="a batch would have 1"):
        trained.fit(X[:3, 0], Y[:3, 0], batch_size=1, progress=False)


class TestShapes:
    def test_what_does_not_fit_is_said_before_there_are_data(self):
        with pytest.raises(ShapeError, match=r"layer 1 .*Dense\(5, 2\) takes .*\(…, 5\)"):
            nn.Sequential(nn.Embedding(9, 4), nn.Dense(5, 2))
        with pytest.raises(ShapeError, match=r"layer 2 .*Dense\(9, 2\) takes .*\(9,\); got \(8,\)"):
            nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Dense(9, 2), input_shape=(2,))
        with pytest.raises(ShapeError, match="layer 0 does not fit `input_shape`"):
            nn.Sequential(nn.Dense(4, 2), input_shape=(2, 5))
        with pytest.raises(ShapeError, match="say their shape: input_shape"):
            nn.Sequential(nn.Dense(4, 8), nn.Flatten(), nn.Dense(24, 1))
        for wrong in ((), (0,), (2.5,), "ab"):
            with pytest.raises(ArgumentError, match="input_shape"):
                nn.Sequential(nn.Dense(4, 2), input_shape=wrong)

    def test_a_layer_that_counts_with_each_axis_is_asked_when_they_are_known(self):
        class Total(nn.Layer):
            def output_shape(self, input_shape):
                return (sum(input_shape),)

        model = nn.Sequential(nn.Embedding(9, 4), Total(), nn.ReLU())
        assert "(batch, …)" in model.summary()
        assert model.output_shape((3,)) == (7,)
        with pytest.raises(ShapeError, match="layer 2"):
            nn.Sequential(nn.Embedding(9, 4), Total(), nn.Dense(8, 2), input_shape=(3,))

    def test_an_input_shape_is_kept_and_asked_for(self, tmp_path):
        model = nn.Sequential(
            nn.Dense(4, 8), nn.Flatten(), nn.Dense(40, 3), input_shape=(5, 4), seed=0
        )
        assert model.input_shape == (5, 4)
        assert "input_shape=(5, 4)" in repr(model)
        nn.save(model, tmp_path / "model")
        loaded = nn.load(tmp_path / "model", "numpy")
        assert loaded.input_shape == (5, 4)
        trained = trainer(loaded)
        trained.fit(X, Y[:, 0], progress=False)
        for wrong in (X[:, :4], X[:, 0]):
            with pytest.raises(ShapeError, match=r"must have shape \(samples, 5, 4\)"):
                trained.predict(wrong)
        free = nn.Sequential(nn.Dense(4, 3), nn.Tanh(), input_shape=(None, 4))
        assert free.output_shape((None, 4)) == (None, 3)
        assert "(batch, …, 3)" in free.summary()

    def test_samples_that_some_layer_cannot_take(self):
        model = nn.Sequential(nn.Dense(4, 8), nn.Flatten(), nn.Dense(8, 3), seed=0)
        with pytest.raises(ShapeError, match=r"got \(30, 5, 4\): Dense\(8, 3\) takes"):
            trainer(model).fit(X, Y[:, 0], progress=False)

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (Y[:, 0], r"`y` must have shape \(30, 5\)"),
            (Y[:, :4], r"`y` must have shape \(30, 5\)"),
            (Y[..., None, None], r"got \(30, 5, 1, 1\)"),
            (Y[:29], "one entry for each of the 30 samples"),
        ],
    )
    def test_labels_of_other_places(self, y, message):
        with pytest.raises(LabelError, match=message):
            trainer().fit(X, y, progress=False)
