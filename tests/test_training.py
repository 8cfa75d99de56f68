"""The Trainer: what it reports, that it repeats, and that it waits for nothing in a step."""

from __future__ import annotations

import gc
import io
import sys
import weakref

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.backend import Memory
from nnfs_xp.testing import no_synchronization
from nnfs_xp.training import progress

X, Y, X_TEST, Y_TEST = nn.data.load_digits()
X, Y = X[:300], Y[:300]


def classifier(dtype="float32", end=nn.Softmax, dropout=0.2):
    return nn.Sequential(
        nn.Dense(64, 16, dtype=dtype),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Dense(16, 10, dtype=dtype, weight_regularizer_l2=1e-4),
        *([end()] if end else []),
        seed=1,
    )


def trained(backend, steps_per_epoch=20, epochs=1, dtype="float64", **keywords):
    trainer = nn.Trainer(
        classifier(dtype), nn.CategoricalCrossentropy(), nn.Adam(0.01), backend=backend, seed=5
    )
    samples = slice(0, 15 * steps_per_epoch)
    history = trainer.fit(X[samples], Y[samples], epochs=epochs, batch_size=15, **keywords)
    return trainer, history


def flat(model):
    return np.concatenate([nn.to_numpy(a).ravel() for a in model.parameters().values()])


def test_backends_agree_after_twenty_steps(backend):
    trainer, history = trained(backend, progress=False)
    expected, expected_history = trained("numpy", progress=False)
    assert trainer.optimizer.iterations == 20
    np.testing.assert_allclose(flat(trainer.model), flat(expected.model), rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(history["loss"], expected_history["loss"], rtol=1e-5)


def test_the_same_seed_repeats_bit_for_bit(backend):
    (one, first), (other, second) = (trained(backend, epochs=2) for _ in range(2))
    assert first == second
    np.testing.assert_array_equal(flat(one.model), flat(other.model))


def test_two_fits_go_on_like_one(backend):
    once, first = trained(backend, epochs=2)
    twice, _ = trained(backend, epochs=1)
    second = twice.fit(X, Y, batch_size=15)
    np.testing.assert_array_equal(flat(once.model), flat(twice.model))
    assert first["loss"][1:] == second["loss"]
    assert twice.epoch == 2


def test_another_seed_shuffles_otherwise():
    runs = []
    for seed in (0, 1):
        model = classifier(dropout=0.0)
        trainer = nn.Trainer(
            model, nn.CategoricalCrossentropy(), nn.SGD(0.1), backend="numpy", seed=seed
        )
        trainer.fit(X, Y, batch_size=10)
        runs.append(flat(model))
    assert (runs[0] != runs[1]).any()


class Recorder(nn.Metric):
    """Remembers the order in which the samples came."""

    name = "recorder"

    def __init__(self):
        self.seen = []

    def forward(self, y_pred, y_true):
        self.seen.extend(nn.to_numpy(y_true).tolist())
        return y_pred[:, 0]


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_epoch_takes_all_samples_in_the_order_of_its_own(backend, shuffle):
    recorder = Recorder()
    trainer = nn.Trainer(
        nn.Sequential(nn.Dense(1, 40)),
        nn.SoftmaxCategoricalCrossentropy(),
        nn.SGD(0.1),
        metrics=[recorder],
        backend=backend,
        seed=9,
    )
    trainer.fit(np.ones((40, 1)), np.arange(40), epochs=3, batch_size=7, shuffle=shuffle)
    seen = recorder.seen[-120:]  # after a look at the first sample
    epochs = [seen[start : start + 40] for start in (0, 40, 80)]
    assert all(sorted(epoch) == list(range(40)) for epoch in epochs)
    for number, epoch in enumerate(epochs):
        expected = np.random.default_rng([9, number]).permutation(40) if shuffle else range(40)
        assert epoch == list(expected)
    assert (epochs[0] == epochs[1]) is not shuffle


def test_a_step_waits_for_nothing(backend):
    trainer = nn.Trainer(classifier(), nn.CategoricalCrossentropy(), nn.Adam(0.01), backend=backend)
    x, y = backend.asarray(X[:10]), backend.asarray(Y[:10])
    with no_synchronization():
        loss = trainer.train_step(x, y)
        trainer.train_step(x, y)
    assert backend.owns(loss)
    assert tuple(loss.shape) == ()


def test_the_guard_against_waiting_bites(backend):
    if backend.name.startswith(("numpy", "cupy")):
        assert nn.to_numpy(backend.asarray([1.0]))[0] == 1  # these cannot be made to refuse
        return
    number = backend.xp.sum(backend.asarray([1.0]))
    for read in (float, bool, nn.to_numpy):
        with no_synchronization(), pytest.raises(AssertionError, match="waits for the device"):
            read(number)
    assert float(number) == 1


@pytest.mark.parametrize(
    ("end", "loss", "fused", "y"),
    [
        (nn.Softmax, nn.CategoricalCrossentropy, nn.SoftmaxCategoricalCrossentropy, Y),
        (nn.Sigmoid, nn.BinaryCrossentropy, nn.SigmoidBinaryCrossentropy, np.eye(10)[Y]),
    ],
)
def test_a_final_activation_is_fused_with_its_loss(backend, end, loss, fused, y):
    """The same weights as without the layer and with the fused loss; the same answers."""
    runs = []
    for model, criterion in (
        (classifier("float64", end), loss()),
        (classifier("float64", None), fused()),
    ):
        trainer = nn.Trainer(model, criterion, nn.SGD(0.1), backend=backend)
        history = trainer.fit(X[:60], y[:60], batch_size=20)
        runs.append((flat(model), history, trainer.predict_proba(X[:9]), trainer.predict(X[:9])))
    for one, other in zip(*runs, strict=True):
        if isinstance(one, dict):
            assert one == other
        else:
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)


def test_the_fused_gradient_is_that_of_the_two_layers(backend):
    model = classifier("float64", dropout=0.0).to(backend)
    x, y = backend.asarray(X[:20], "float64"), backend.asarray(Y[:20])
    loss = nn.CategoricalCrossentropy()
    model.backward(loss.backward(model.forward(x, training=True), y))
    apart = nn.to_numpy(model.flat.gradients).copy()
    nn.Trainer(model, loss, nn.SGD(1e-9), backend=backend).train_step(x, y)
    np.testing.assert_allclose(nn.to_numpy(model.flat.gradients), apart, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("end", "loss", "y", "expected"),
    [
        (nn.Softmax, nn.CategoricalCrossentropy, np.array([1]), [[0.5, -0.5]]),
        (nn.Sigmoid, nn.BinaryCrossentropy, np.array([[0, 1]]), [[0.25, -0.25]]),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fused_it_learns_where_the_output_is_sure_and_wrong(backend, end, loss, y, expected, dtype):
    """Apart, the probability's gradient is 0 there, and so is all that is behind it."""
    dense = nn.Dense(1, 2, initializer=None, dtype=dtype)
    trainer = nn.Trainer(nn.Sequential(dense, end()), loss(), nn.SGD(0.5), backend=backend)
    dense.biases = [[200.0, -200.0]]
    x = backend.asarray(np.zeros((1, 1)), dtype)
    loss = trainer.train_step(x, backend.asarray(y))
    assert float(nn.to_numpy(loss)) == pytest.approx(400.0 if end is nn.Softmax else 200.0)
    moved = np.array([[200.0, -200.0]]) - nn.to_numpy(dense.biases)
    np.testing.assert_allclose(moved, expected, rtol=1e-4)


def test_a_subclass_of_a_final_activation_is_not_taken_for_it():
    class Half(nn.Softmax):
        def forward(self, inputs, training=False):
            return super().forward(inputs, training) / 2

    class HalfSigmoid(nn.Sigmoid):
        def forward(self, inputs, training=False):
            return super().forward(inputs, training) / 2

    for end, loss, y in (
        (Half(), nn.CategoricalCrossentropy(), np.array([0])),
        (HalfSigmoid(), nn.BinaryCrossentropy(), np.array([[1.0, 1.0]])),
    ):
        model = nn.Sequential(nn.Dense(1, 2, initializer=None), end)
        trainer = nn.Trainer(model, loss, nn.SGD(), backend="numpy")
        figures = trainer.evaluate(np.zeros((1, 1)), y)
        assert figures["loss"] == pytest.approx(np.log(4))


def test_the_seed_of_the_trainer_rules_the_masks(backend):
    def masks(seed):
        model = nn.Sequential(nn.Dense(4, 32), nn.Dropout(0.5), nn.Dropout(0.5), seed=0)
        nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(), backend=backend, seed=seed)
        ones = backend.asarray(np.ones((8, 32), dtype=np.float32))
        return [nn.to_numpy(layer.forward(ones, training=True)) for layer in model.layers[1:]]

    for one, other in zip(masks(1), masks(1), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(masks(1), masks(2), strict=True):
        assert (one != other).any()


def test_the_precision_of_a_regressions_accuracy_is_that_of_the_training_targets(backend):
    x = np.zeros((8, 1))
    y = np.array([-500.0, 500.0] * 4)  # standard deviation 500, so the precision is 2
    model = nn.Sequential(nn.Dense(1, 1, initializer=None))
    trainer = nn.Trainer(
        model,
        nn.MeanSquaredError(),
        nn.SGD(1e-30),
        metrics=[nn.RegressionAccuracy()],
        backend=backend,
    )
    trainer.fit(x, y, batch_size=2)
    close = np.array([1.9, -1.9, 2.1, -2.1, 0.0, 1.0, 3.0, 4.0])
    assert trainer.evaluate(x, close)["accuracy"] == pytest.approx(0.5)
    validation = np.linspace(-1e6, 1e6, 8)
    history = trainer.fit(x, y, validation_data=(x, validation))
    assert history["val_accuracy"] == [0.0]
    assert trainer.evaluate(x, close)["accuracy"] == pytest.approx(0.5)


def test_a_step_gives_the_loss_before_it_with_penalties(backend):
    dense = nn.Dense(1, 1, initializer=None, weight_regularizer_l2=0.5, dtype="float64")
    trainer = nn.Trainer(nn.Sequential(dense), nn.MeanSquaredError(), nn.SGD(0.1), backend=backend)
    dense.weights = [[2.0]]
    x, y = (backend.asarray(np.array(values)) for values in ([[1.0]], [[5.0]]))
    assert float(nn.to_numpy(trainer.train_step(x, y))) == 9.0 + 0.5 * 4.0
    assert float(nn.to_numpy(dense.weights)[0, 0]) == pytest.approx(2 - 0.1 * (-6.0 + 2.0))


def test_history_and_evaluation(backend):
    trainer = nn.Trainer(
        classifier(dropout=0.0),
        nn.CategoricalCrossentropy(),
        nn.Adam(0.01, decay=0.1),
        backend=backend,
    )
    validation = (X_TEST[:50], Y_TEST[:50])
    history = trainer.fit(X, Y, epochs=3, batch_size=64, validation_data=validation)
    assert set(history) == {"loss", "accuracy", "learning_rate", "val_loss", "val_accuracy"}
    assert all(len(values) == 3 for values in history.values())
    assert all(type(value) is float for values in history.values() for value in values)
    figures = trainer.evaluate(*validation)
    assert figures == {"loss": history["val_loss"][-1], "accuracy": history["val_accuracy"][-1]}
    rates = [0.01 * (1 / (1 + 0.1 * 5 * epoch)) for epoch in (1, 2, 3)]  # the book's formula
    assert history["learning_rate"] == rates

    p = trainer.predict_proba(validation[0])
    losses = -np.log(p[np.arange(50), validation[1]].astype(float))
    penalty = 1e-4 * np.square(nn.to_numpy(trainer.model.layers[3].weights)).sum()
    assert figures["loss"] == pytest.approx(losses.mean() + penalty, rel=1e-4)
    assert figures["accuracy"] == (p.argmax(axis=1) == validation[1]).mean()
    np.testing.assert_array_equal(trainer.predict(validation[0]), p.argmax(axis=1))
    assert trainer.evaluate(*validation, batch_size=7)["loss"] == pytest.approx(figures["loss"])


def test_the_last_batch_may_be_smaller(backend):
    trainer, history = trained(backend)
    assert trainer.fit(X[:31], Y[:31], batch_size=15).epochs == 1
    assert trainer.optimizer.iterations == 20 + 3
    assert history.epochs == 1


@pytest.mark.parametrize("targets", [(-1,), (-1, 1)], ids=["flat", "column"])
def test_regression(backend, targets):
    x, y = nn.data.sine_data(200)
    model = nn.Sequential(nn.Dense(1, 32), nn.Tanh(), nn.Dense(32, 1), nn.Linear(), seed=0)
    trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.Adam(0.05), backend=backend)
    y = y.reshape(targets)
    history = trainer.fit(x, y, epochs=200, batch_size=50)
    assert history["loss"][-1] < 0.02 < history["loss"][0]
    assert trainer.predict(x).shape == y.shape
    assert np.mean(np.square(trainer.predict(x) - y)) < 0.02
    with pytest.raises(nn.NnfsError, match="no probabilities"):
        trainer.predict_proba(x)


def test_accuracy_of_a_regression_counts_what_is_close(backend):
    model = nn.Sequential(nn.Dense(1, 1, dtype="float64")).to(backend)
    model.layers[0].weights = [[1.0]]
    y = np.linspace(0, 10, 11)
    x = (y + np.where(y < 4, 0.001, 1.0))[:, None]
    trainer = nn.Trainer(model, nn.MeanAbsoluteError(), nn.SGD(), backend=backend)
    assert trainer.evaluate(x, y)["accuracy"] == pytest.approx(4 / 11)
    assert trainer.evaluate(x, y)["loss"] == pytest.approx((4 * 0.001 + 7) / 11)


def test_yes_or_no_outputs(backend):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    y = (x > 0).astype(int)
    model = nn.Sequential(nn.Dense(2, 2), nn.Sigmoid(), seed=0)
    trainer = nn.Trainer(model, nn.BinaryCrossentropy(), nn.Adam(0.1), backend=backend)
    history = trainer.fit(x, y, epochs=30, batch_size=50)
    assert 0.95 < history["accuracy"][-1] <= 1
    assert (trainer.predict(x) == y).mean() > 0.95
    assert trainer.predict_proba(x).shape == (200, 2)


@pytest.mark.parametrize("kind", ["lists", "float64", "uint8", "other backends"])
def test_data_of_every_kind(backend, kind):
    x, y = (X[:20] * 16).astype(np.float32), Y[:20]
    sources = {
        "lists": [(x.tolist(), y.tolist())],
        "float64": [(x.astype(np.float64), y.astype(np.int32))],
        "uint8": [(x.astype(np.uint8), y.astype(np.uint8))],
        "other backends": [
            (nn.get_backend(name).asarray(x), nn.get_backend(name).asarray(y))
            for name in ("numpy", "array_api_strict", "array_api_strict:device1")
        ],
    }[kind]
    weights = []
    for source in [(x, y), *sources]:
        trainer = nn.Trainer(
            classifier(), nn.CategoricalCrossentropy(), nn.SGD(0.01), backend=backend
        )
        trainer.fit(*source)
        weights.append(flat(trainer.model))
    for other in weights[1:]:
        np.testing.assert_array_equal(weights[0], other)


def test_a_data_set_that_does_not_fit_is_moved_batch_by_batch(monkeypatch):
    whole, _ = trained("array_api_strict")
    strict = nn.get_backend("array_api_strict")
    monkeypatch.setattr(type(strict), "memory", lambda _: Memory(0, 0, 1000, 1000))
    streamed, _ = trained("array_api_strict")
    np.testing.assert_array_equal(flat(whole.model), flat(streamed.model))


def test_metrics_of_ones_own(backend):
    class Confidence(nn.Metric):
        name = "confidence"

        def forward(self, y_pred, y_true):
            del y_true
            return nn.get_backend(backend).xp.max(y_pred, axis=1)

    trainer = nn.Trainer(
        classifier(end=None),
        nn.SoftmaxCategoricalCrossentropy(),
        nn.SGD(0.01),
        metrics=[Confidence(), "accuracy"],
        backend=backend,
    )
    history = trainer.fit(X, Y)
    assert {"confidence", "accuracy"} < set(history)


def test_inference_keeps_nothing_and_serves_many_threads():
    from concurrent.futures import ThreadPoolExecutor

    model = classifier(dropout=0.5)
    expected = [model.forward(X[i : i + 1]) for i in range(100)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: model.forward(X[i : i + 1]), range(100)))
    np.testing.assert_array_equal(found, expected)
    assert all(layer._kept is None for _, layer in model.walk())


def test_divergence_is_named():
    trainer = nn.Trainer(classifier(), nn.CategoricalCrossentropy(), nn.SGD(1e30), backend="numpy")
    with np.errstate(all="ignore"), pytest.raises(nn.errors.DivergenceError, match="in epoch 1"):
        trainer.fit(X, Y, epochs=3)


def test_a_loss_that_is_infinite_and_not_yet_nan_is_divergence(backend):
    dense = nn.Dense(1, 1, initializer=None)
    trainer = nn.Trainer(
        nn.Sequential(dense), nn.MeanSquaredError(), nn.SGD(1e-30), backend=backend
    )
    dense.biases = [[1e25]]  # its square is beyond float32
    with (
        np.errstate(over="ignore"),
        pytest.raises(nn.errors.DivergenceError, match="the loss became inf in epoch 1"),
    ):
        trainer.fit(np.ones((4, 1)), np.zeros(4))
    assert np.isfinite(flat(trainer.model)).all()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_progress_line_looks_at_the_figures_when_due_only(monkeypatch):
    now, reads = [0.0], []
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])

    def read():
        reads.append(now[0])
        return {"loss": 1.0}

    with progress.Progress(1, 1000, 1000, shown=True) as bar:
        bar.begin_epoch(1)
        for _ in range(900):
            now[0] += 0.001
            bar.end_batch(1, read)
        assert reads == pytest.approx([0.2, 0.4, 0.6, 0.8], abs=0.0051)
        bar.end_epoch({"loss": 0.5})
    assert "loss 0.5" in sys.stderr.getvalue()


def test_summary():
    text = classifier().summary()
    assert "Dense" in text
    assert "(batch, 16)" in text
    assert "1,210 parameters, float32, on numpy" in text
    assert "no parameters" in nn.Sequential(nn.ReLU()).summary()


def test_digits_are_learnt(backend):
    trainer = nn.Trainer(classifier(), nn.CategoricalCrossentropy(), nn.Adam(0.01), backend=backend)
    split = nn.data.load_digits()
    trainer.fit(split.X_train, split.y_train, epochs=12)
    assert trainer.evaluate(split.X_test, split.y_test)["accuracy"] > 0.92


class Halves(nn.Layer):
    """Keeps every other feature: a layer that changes the shape, and takes any."""

    def forward(self, inputs, training=False):
        self.check_inputs(inputs)
        output = inputs[:, ::2]
        if training:
            self.keep(output, inputs)
        return output

    def backward(self, dvalues):
        xp, inputs = self.recall(dvalues)
        self.dinputs = xp.zeros_like(inputs)
        self.dinputs[:, ::2] = dvalues
        return self.dinputs

    def output_shape(self, input_shape):
        return (input_shape[0] // 2,)


def test_a_layer_of_any_input_may_come_first():
    model = nn.Sequential(Halves(), nn.Dense(2, 3), nn.ReLU(), nn.Dense(3, 1), seed=0)
    assert model.input_shape is None
    trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(0.1), backend="numpy")
    X = np.random.default_rng(0).normal(size=(20, 4))
    history = trainer.fit(X, X[:, 0], epochs=20, progress=False)
    assert history["loss"][-1] < history["loss"][0]
    assert nn.Sequential(nn.ReLU(), nn.Dense(4, 3)).input_shape == (4,)
    with pytest.raises(nn.errors.ShapeError, match="layer 2 does not fit"):
        nn.Sequential(Halves(), nn.Dense(2, 3), nn.Dense(4, 1))


def test_what_only_becomes_an_array_is_taken(backend):
    class Table:
        """Like a data frame: a shape, no slices of its own, and values when asked."""

        shape = (3, 2)

        def __array__(self, dtype=None, copy=None):
            return np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=dtype)

    model = nn.Sequential(nn.Dense(2, 1), seed=0)
    trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(0.001), backend=backend)
    trainer.fit(Table(), [1, 2, 3], progress=False)
    expected = trainer.predict(np.asarray(Table()))
    assert np.array_equal(trainer.predict(Table()), expected)
    assert np.array_equal(trainer.predict([[1, 2], [3, 4], [5, 6]]), expected)


def test_a_rest_too_small_for_batch_norm_is_refused_before_the_first_step():
    model = nn.Sequential(nn.Dense(2, 3), nn.BatchNorm(3), nn.Dense(3, 1), seed=0)
    trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(0.01), backend="numpy")
    with pytest.raises(nn.errors.ArgumentError, match=r"a batch would have 1; a layer .* needs 2"):
        trainer.fit(np.ones((9, 2)), np.ones(9), batch_size=4, progress=False)
    assert trainer.optimizer.iterations == 0
    assert trainer.fit(np.ones((9, 2)), np.ones(9), batch_size=3, progress=False).epochs == 1


def test_codes_out_of_range_are_refused_before_the_first_step(backend):
    model = nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.Dense(6, 1), seed=0)
    trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(0.01), backend=backend)
    codes = np.array([[0, 1, 4], [3, 2, 1]])
    trainer.fit(codes, [1.0, 2.0], epochs=2, progress=False)
    for call in (lambda: trainer.fit(codes + 1, [1.0, 2.0]), lambda: trainer.predict(codes - 1)):
        with pytest.raises(nn.errors.DataError):
            call()
    assert trainer.optimizer.iterations == 2


def test_weights_of_samples_and_classes(backend):
    X, y = nn.data.spiral_data(20, 3, seed=0)

    def run(X, y, **weights):
        model = nn.Sequential(
            nn.Dense(2, 8, dtype="float64"),
            nn.ReLU(),
            nn.Dense(8, 3, dtype="float64"),
            nn.Softmax(),
            seed=0,
        )
        trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), nn.SGD(0.5), backend=backend)
        history = trainer.fit(X, y, epochs=5, batch_size=len(X), shuffle=False, **weights)
        return history["loss"], nn.to_numpy(model.flat.values)

    plain = run(X, y)
    same = run(X, y, sample_weight=np.full(60, 7.0))
    np.testing.assert_allclose(same[0], plain[0])
    np.testing.assert_allclose(same[1], plain[1])
    doubled = run(np.concatenate([X, X[y == 1]]), np.concatenate([y, y[y == 1]]))
    for weights in (
        {"class_weight": {1: 2.0}},
        {"class_weight": [1, 2, 1]},
        {"sample_weight": np.where(y == 1, 2.0, 1.0)},
    ):
        found = run(X, y, **weights)
        np.testing.assert_allclose(found[0], doubled[0])
        np.testing.assert_allclose(found[1], doubled[1])
    balanced = run(X[:50], y[:50], class_weight="balanced")
    by_hand = run(X[:50], y[:50], class_weight=[1, 1, 2])
    np.testing.assert_allclose(balanced[1], by_hand[1])


@pytest.mark.parametrize(
    "weights",
    [
        {"sample_weight": np.ones(3)},
        {"sample_weight": -np.ones(60)},
        {"sample_weight": np.full(60, np.nan)},
        {"sample_weight": np.zeros(60)},
        {"class_weight": {7: 1.0}},
        {"class_weight": [1, 2]},
        {"class_weight": "even"},
    ],
)
def test_weights_that_are_none(weights):
    X, y = nn.data.spiral_data(20, 3, seed=0)
    model = nn.Sequential(nn.Dense(2, 3), nn.Softmax(), seed=0)
    trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), nn.SGD(0.5), backend="numpy")
    with pytest.raises(nn.errors.ArgumentError):
        trainer.fit(X, y, **weights)
    assert trainer.optimizer.iterations == 0


def test_metrics_that_do_not_fit_are_refused_before_the_first_step():
    X, y = nn.data.spiral_data(20, 3, seed=0)
    model = nn.Sequential(nn.Dense(2, 3), nn.Softmax(), seed=0)
    trainer = nn.Trainer(
        model, nn.CategoricalCrossentropy(), nn.SGD(0.5), [nn.TopKAccuracy(9)], backend="numpy"
    )
    with pytest.raises(nn.NnfsError):
        trainer.fit(X, y)
    assert trainer.optimizer.iterations == 0


def test_all_metrics_in_one_training(backend):
    X, y = nn.data.spiral_data(40, 3, seed=0)
    model = nn.Sequential(nn.Dense(2, 16), nn.ReLU(), nn.Dense(16, 3), nn.Softmax(), seed=0)
    metrics = [
        "accuracy",
        nn.TopKAccuracy(2),
        nn.Precision(),
        nn.Recall(),
        nn.F1(),
        nn.ConfusionMatrix(3),
    ]
    trainer = nn.Trainer(
        model, nn.CategoricalCrossentropy(), nn.Adam(0.05), metrics, backend=backend
    )
    history = trainer.fit(X, y, epochs=3, validation_data=(X, y), progress=False)
    figures = trainer.evaluate(X, y)
    matrix = np.asarray(figures.pop("confusion_matrix"))
    assert matrix.sum() == 120
    assert np.trace(matrix) / 120 == pytest.approx(figures["accuracy"])
    assert all(history[f"val_{name}"][-1] == value for name, value in figures.items())
    assert "confusion_matrix" not in history


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_trainer_that_nobody_needs_is_gone_at_once(precision):
    model = classifier(end=None)
    trainer = nn.Trainer(
        model,
        nn.SoftmaxCategoricalCrossentropy(),
        nn.SGD(0.1),
        backend="numpy",
        precision=precision,
    )
    trainer.fit(X_TEST, Y_TEST, progress=False)
    reference = weakref.ref(trainer)
    gc.disable()
    try:
        del trainer
        assert reference() is None
    finally:
        gc.enable()
