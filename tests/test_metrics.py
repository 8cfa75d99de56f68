"""Metrics beyond their contract, and the totals that add them up."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest
from cases import METRICS
from test_contract import ids, make, make_targets

import nnfs_xp as nn
from nnfs_xp.errors import (
    ArgumentError,
    BackendError,
    CheckpointError,
    DTypeError,
    LabelError,
    NotReadyError,
    ShapeError,
)
from nnfs_xp.learning.totals import Totals


class MeanScore(nn.Metric):
    """A metric of one's own: a mean over the samples."""

    name = "mean_score"

    def forward(self, y_pred, y_true):
        del y_true
        return y_pred[:, 0]


class LargestError(nn.Metric):
    """A metric of one's own that keeps a row for each sample."""

    name = "largest_error"
    collects = True

    def accumulate(self, y_pred, y_true, sample_weight=None):
        del sample_weight
        return y_pred - y_true[:, None]

    def result(self, sums):
        return abs(sums).max()


SCORES = np.array([[0.25, 0.5], [0.75, 0.125], [0.5, 0.0625], [0.125, 1.0]])
LABELS = np.array([1, 0, 1, 1])


def widths_of(state):
    """How many sums or columns each metric has, as a trainer knows it."""
    return {k.removeprefix("metric."): v.shape[-1] for k, v in state.items() if v.ndim}


class TestTotals:
    def test_the_loss_and_metrics_of_ones_own(self, backend):
        totals = Totals([MeanScore(), LargestError()], backend)
        y = np.array([1.0, 2.0, 3.0, 4.0])
        for part, loss in ((slice(0, 3), 2.0), (slice(3, 4), 6.0)):
            arrays = [backend.asarray(a[part, ...]) for a in (SCORES, y)]
            totals.add(backend.asarray(np.array(loss)), *arrays)
        figures = totals.read()
        assert figures == {"loss": 3.0, "mean_score": SCORES[:, 0].mean(), "largest_error": 3.875}
        assert totals.read() == figures
        assert type(figures["loss"]) is float

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_a_state_in_the_middle_goes_on_bit_for_bit(self, backend, dtype):
        rng = np.random.default_rng(0)
        scores, labels = rng.normal(size=(30, 3)).astype(dtype), rng.integers(0, 3, 30)
        weights, losses = rng.uniform(size=30).astype(dtype), rng.uniform(size=10).astype(dtype)

        def metrics():
            found = [nn.CategoricalAccuracy(), nn.F1(), nn.ConfusionMatrix(3)]
            return [*found, Rows()]

        class Rows(nn.ROCAUC):
            name = "rows"

            def result(self, sums):
                return sums.tolist()

        def add(totals, batches):
            for i in batches:
                part = slice(3 * i, 3 * i + 3)
                arrays = [backend.asarray(a[part]) for a in (scores, labels, weights)]
                totals.add(backend.asarray(np.array(losses[i])), *arrays)
            return totals

        whole = add(Totals(metrics(), backend), range(10))
        half = add(Totals(metrics(), backend), range(4))
        state = half.state()
        assert all(type(array) is np.ndarray for array in state.values())
        assert {str(state[name].dtype) for name in state if name != "count"} == {dtype}
        add(half, range(4, 10))  # the state is a copy: nothing that comes later is in it
        again = Totals(metrics(), backend)
        again.load_state(state, widths_of(state))
        add(again, range(4, 10))
        assert again.read() == whole.read() == half.read()
        for name, array in whole.state().items():
            np.testing.assert_array_equal(again.state()[name], array)

    def test_a_state_of_nothing(self, backend):
        totals = Totals([MeanScore()], backend)
        again = Totals([MeanScore()], backend)
        again.load_state(totals.state(), {})
        with pytest.raises(NotReadyError, match="nothing was added"):
            again.read()
        arrays = backend.asarray(SCORES), backend.asarray(LABELS)
        again.add(backend.asarray(np.array(1.0)), *arrays)
        assert again.read()["loss"] == 1.0

    def test_a_state_of_other_metrics(self):
        totals = Totals([MeanScore()], nn.get_backend("numpy"))
        totals.add(np.array(1.0), SCORES, LABELS)
        for metrics in ([], [nn.F1()], [MeanScore(), nn.F1()]):
            with pytest.raises(CheckpointError, match="no sums of the loss and the metrics"):
                Totals(metrics, nn.get_backend("numpy")).load_state(totals.state(), {})
        with pytest.raises(CheckpointError):
            Totals([], nn.get_backend("numpy")).load_state({}, {})

    @pytest.mark.parametrize(
        "forged",
        [
            {"count": np.array(-1.0)},
            {"count": np.array(1.5)},
            {"count": np.array(np.inf)},
            {"count": np.array([3.0])},
            {"loss": np.array(np.nan)},
            {"loss": np.array(3)},
            {"metric.mean_score": np.zeros(3)},
            {"metric.more": np.zeros(2)},
        ],
    )
    def test_a_forged_state_changes_nothing(self, forged):
        totals = Totals([MeanScore()], nn.get_backend("numpy"))
        totals.add(np.array(1.0), SCORES, LABELS)
        before = totals.read()
        with pytest.raises(CheckpointError):
            totals.load_state(totals.state() | forged, {"mean_score": 2})
        assert totals.read() == before

    @pytest.mark.parametrize("name", ["", None, 5, ["accuracy"]])
    def test_names_that_are_no_text(self, name):
        metric = MeanScore()
        metric.name = name
        with pytest.raises(ArgumentError, match="must be a text, and not empty"):
            Totals([metric], nn.get_backend("numpy"))

    def test_a_metric_without_a_name(self):
        with pytest.raises(ArgumentError, match=r"Metric\.name must be a text"):
            Totals([nn.Metric()], nn.get_backend("numpy"))

    def test_names_given_twice(self):
        one, two = nn.F1(), nn.F1("macro")
        with pytest.raises(ArgumentError, match="two figures are called 'f1'"):
            Totals([one, two], nn.get_backend("numpy"))
        two.name = "loss"
        with pytest.raises(ArgumentError, match="two figures are called 'loss'"):
            Totals([one, two], nn.get_backend("numpy"))
        two.name = "f1_macro"
        Totals([one, two], nn.get_backend("numpy"))

    @pytest.mark.parametrize(
        ("names", "twice"),
        [
            (["epoch"], "epoch"),
            (["learning_rate"], "learning_rate"),
            (["val_loss"], "val_loss"),
            (["val_accuracy", "accuracy"], "val_accuracy"),
            (["accuracy", "val_accuracy"], "val_accuracy"),
            (["val_f1", "val_val_f1"], "val_val_f1"),
        ],
    )
    def test_names_of_other_columns_of_a_history(self, names, twice):
        metrics = [MeanScore() for _ in names]
        for metric, name in zip(metrics, names, strict=True):
            metric.name = name
        with pytest.raises(ArgumentError, match=f"two figures are called '{twice}'"):
            Totals(metrics, nn.get_backend("numpy"))

    def test_a_name_that_only_begins_like_one(self):
        metrics = [MeanScore(), MeanScore()]
        metrics[0].name, metrics[1].name = "val_score", "value"
        totals = Totals(metrics, nn.get_backend("numpy"))
        totals.add(np.array(2.0), SCORES, LABELS)
        assert list(totals.read()) == ["loss", "val_score", "value"]

    def test_the_loss_alone_works_out_no_metric(self, backend):
        class Refusing(MeanScore):
            def result(self, sums):
                raise AssertionError

        totals = Totals([Refusing()], backend)
        with pytest.raises(NotReadyError, match="nothing was added"):
            totals.read_loss()
        for part, loss in ((slice(0, 3), 2.0), (slice(3, 4), 6.0)):
            arrays = [backend.asarray(a[part, ...]) for a in (SCORES, LABELS)]
            totals.add(backend.asarray(np.array(loss)), *arrays)
        assert totals.read_loss() == 3.0
        assert type(totals.read_loss()) is float
        with pytest.raises(AssertionError):
            totals.read()
        totals.clear()
        with pytest.raises(NotReadyError):
            totals.read_loss()

    @pytest.mark.parametrize(
        ("answers", "collects"),
        [
            ([np.array(1.0)], False),
            ([np.ones((4, 2))], False),
            ([np.ones(2), np.ones(3)], False),
            ([np.ones(2), np.ones(1)], False),
            ([np.ones(4)], True),
            ([np.ones((3, 2))], True),
            ([np.ones((4, 2)), np.ones((4, 3))], True),
        ],
    )
    def test_sums_of_the_wrong_shape(self, answers, collects):
        class Answers(nn.Metric):
            name = "answers"

            def accumulate(self, *_):
                return answers[self.number]

        metric = Answers()
        metric.collects = collects
        totals = Totals([metric], nn.get_backend("numpy"))
        for metric.number in range(len(answers) - 1):
            totals.add(np.array(1.0), SCORES, LABELS)
        metric.number = len(answers) - 1
        with pytest.raises(ShapeError, match=r"Answers\.accumulate must give shape"):
            totals.add(np.array(1.0), SCORES, LABELS)

    @pytest.mark.parametrize("index", [0, slice(0, 3), (slice(None), None)])
    def test_numbers_that_are_not_one_a_sample(self, backend, index):
        class Wrong(MeanScore):
            def forward(self, y_pred, y_true):
                return super().forward(y_pred, y_true)[index]

        with pytest.raises(ShapeError, match=r"Wrong.forward must give one number .* \(4,\)"):
            Wrong().accumulate(backend.asarray(SCORES), backend.asarray(LABELS))

    def test_booleans_will_do(self, backend):
        class Sure(nn.Metric):
            name = "sure"

            def forward(self, y_pred, y_true):
                del y_true
                return y_pred[:, 0] > 0.3

        sums = Sure().accumulate(backend.asarray(SCORES), backend.asarray(LABELS))
        assert Sure().result(nn.to_numpy(sums)) == 0.5


@pytest.mark.parametrize("case", METRICS, ids=ids(METRICS))
class TestBadInput:
    def test_nothing_is_broadcast(self, backend, case):
        y_pred = make(backend, case.y_pred)
        n, k = case.y_pred.shape
        for shape in {(n - 1,), (1,), (n, k + 1), (n + 1, k), (1, k), (n, n), (n, 1, 1), ()}:
            if shape in ((n, k), (n,)):
                continue
            y_true = backend.asarray(np.zeros(shape, dtype=np.int64))
            with pytest.raises(LabelError):
                case.build().accumulate(y_pred, y_true)

    def test_outputs(self, backend, case):
        y_true = make_targets(backend, case.y_true, "float64")
        for y_pred, error in [
            (make(backend, np.stack([case.y_pred] * 2)), LabelError),
            (make(backend, case.y_pred)[:, 0], ShapeError),
            (make(backend, case.y_pred.astype(int)), DTypeError),
        ]:
            with pytest.raises(error):
                case.build().accumulate(y_pred, y_true)

    def test_weights_and_devices(self, backend, case):
        y_pred, y_true = make(backend, case.y_pred), make_targets(backend, case.y_true, "float64")
        other = nn.get_backend("numpy" if backend.name != "numpy" else "array_api_strict")
        n = len(case.y_true)
        for weights, error in [
            (backend.asarray(np.ones(n + 1)), ShapeError),
            (backend.asarray(np.ones((n, 1))), ShapeError),
            (backend.asarray(np.ones(n), "float32"), DTypeError),
            (other.asarray(np.ones(n)), BackendError),
        ]:
            with pytest.raises(error, match="`sample_weight`"):
                case.build().accumulate(y_pred, y_true, weights)
        with pytest.raises(BackendError, match="one device"):
            case.build().accumulate(y_pred, make_targets(other, case.y_true, "float64"))


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.TopKAccuracy(0),
        lambda: nn.TopKAccuracy(1.5),
        lambda: nn.ConfusionMatrix(1),
        lambda: nn.Precision("weighted"),
        lambda: nn.F1(average=None),
        lambda: nn.BinaryAccuracy("a"),
        lambda: nn.BinaryAccuracy("0.5"),
        lambda: nn.BinaryAccuracy(None),
        lambda: nn.BinaryAccuracy(True),
        lambda: nn.Precision(threshold="x"),
        lambda: nn.Recall(threshold=float("nan")),
        lambda: nn.F1(threshold=float("inf")),
        lambda: nn.ConfusionMatrix(2, threshold=[0.5]),
    ],
)
def test_settings_out_of_range(build):
    with pytest.raises(ArgumentError):
        build()


def test_metrics_that_do_not_fit_the_model(backend):
    z, y = backend.asarray(np.zeros((2, 3))), backend.asarray(np.array([0, 1]))
    for metric, message in [
        (nn.TopKAccuracy(), "`k` must be at most 3"),
        (nn.ConfusionMatrix(2), "`n_classes` is 2, but the model tells 3 apart"),
        (nn.Recall("binary"), "is for two classes; the model tells 3 apart"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            metric.accumulate(z, y)


@pytest.mark.parametrize("metric", [nn.Precision(), nn.Recall(), nn.F1(), nn.ConfusionMatrix(3)])
def test_several_classes_a_sample_are_found_before_training(backend, metric):
    with pytest.raises(LabelError, match="one class a sample"):
        metric.prepare(backend.asarray(np.array([[1, 0, 0], [1, 1, 0]])))
    metric.prepare(backend.asarray(np.eye(3)))
    metric.prepare(backend.asarray(np.array([0, 5])))


def test_scores_of_nan_are_not_among_the_highest(backend):
    z = backend.asarray(np.array([[np.nan, 1.0, 2.0], [np.nan, 1.0, 2.0]]))
    hits = nn.TopKAccuracy(2).forward(z, backend.asarray(np.array([0, 2])))
    np.testing.assert_array_equal(nn.to_numpy(hits), [0, 1])


def test_r2_of_targets_far_from_zero_in_float32(backend):
    """Sums of squares of 10,000 leave no digit for a variance of 1."""
    rng = np.random.default_rng(0)
    y = 10_000 + rng.normal(size=2000).round(2)
    y_pred = (y + rng.normal(size=2000).round(2))[:, None]
    expected = 1 - np.square(y_pred[:, 0] - y).sum() / np.square(y - y.mean()).sum()
    for prepared in (True, False):
        metric = nn.R2()
        if prepared:
            metric.prepare(backend.asarray(y, "float32"))
        totals = Totals([metric], backend)
        for start in range(0, 2000, 100):
            arrays = (backend.asarray(a[start : start + 100], "float32") for a in (y_pred, y))
            totals.add(backend.asarray(np.array(0.0), "float32"), *arrays)
        assert totals.read()["r2"] == pytest.approx(expected, abs=2e-3)
    # and the same object in another place
    numpy = nn.get_backend("numpy")
    totals = Totals([metric], numpy)
    totals.add(np.array(0.0), y_pred, y)
    assert totals.read()["r2"] == pytest.approx(expected, rel=1e-9)


def test_r2_of_equal_targets_after_others():
    metric = nn.R2()
    metric.prepare(np.array([1.0, 2.0, 4.0], dtype=np.float32))
    y = np.full(7, 0.1, dtype=np.float32)
    assert metric.result(metric.accumulate(y[:, None], y)) == 1.0
    assert metric.result(metric.accumulate(y[:, None] + 1, y)) == 0.0


def r2_of(backend, dtype, y_pred, y, trained_on=None, size=100):
    """R2 in batches, on rounded data, and by its formula in float64."""
    y_pred, y = y_pred.astype(dtype), y.astype(dtype)
    metric = nn.R2()
    if trained_on is not None:
        metric.prepare(backend.asarray(trained_on.astype(dtype)))
    totals = Totals([metric], backend)
    for start in range(0, len(y), size):
        arrays = (backend.asarray(a[start : start + size, ...]) for a in (y_pred, y))
        totals.add(backend.asarray(np.array(0.0, dtype)), *arrays)
    y_pred, y = y_pred.astype(float).reshape(len(y), -1), y.astype(float).reshape(len(y), -1)
    residual = np.square(y_pred - y).sum(axis=0)
    expected = np.mean(1 - residual / np.square(y - y.mean(axis=0)).sum(axis=0))
    return totals.read()["r2"], expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shift", [1e3, -1e4, 1e5])
def test_r2_of_targets_far_from_those_of_the_training(backend, dtype, shift):
    """That the mean is far from the shift is no rounding: the targets still vary."""
    rng = np.random.default_rng(0)
    y, guesses = shift + rng.normal(size=(600, 2)), rng.normal(size=(600, 2))
    figure, expected = r2_of(backend, dtype, guesses, y, rng.normal(size=(50, 2)))
    assert expected < -9e5
    assert figure == pytest.approx(expected, rel=1e-4)
    close = y + 0.5 * rng.normal(size=(600, 2))
    figure, expected = r2_of(backend, dtype, close, y, rng.normal(size=(50, 2)))
    assert 0.6 < expected < 0.9
    assert figure == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shift", [0.0, 2.3, 1e3, -1e6])
def test_r2_of_equal_targets_far_from_those_of_the_training(backend, dtype, shift):
    trained_on, y = np.array([1.0, 2.0, 4.1]), np.full(1001, shift + 0.1)
    for y_pred, figure in ((y[:, None], 1.0), (y[:, None] + 1, 0.0)):
        with np.errstate(all="ignore"):
            found, _ = r2_of(backend, dtype, y_pred, y, trained_on, size=7)
        assert found == figure


def test_r2_of_batches_with_means_of_their_own():
    rng = np.random.default_rng(0)
    y = np.repeat(1e3 + np.arange(10.0), 100)  # all alike within a batch
    figure, expected = r2_of(
        nn.get_backend("numpy"), "float32", y[:, None] + 1, y, rng.normal(size=9)
    )
    assert figure == pytest.approx(expected, rel=1e-6)
    assert expected == pytest.approx(1 - 1 / 8.25)


def test_r2_of_samples_without_weight():
    y = np.array([1.0, 2.0, 4.0, 9.0])
    y_pred, weights = y[:, None] + 1, np.array([1.0, 1.0, 0.0, 0.0])
    totals = Totals([nn.R2()], nn.get_backend("numpy"))
    for part in (slice(0, 2), slice(2, 4)):
        totals.add(np.array(0.0), y_pred[part], y[part], weights[part])
    assert totals.read()["r2"] == pytest.approx(1 - 2 / 0.5)


@pytest.mark.parametrize("metric", [nn.R2(), nn.RMSE(), nn.MAE()])
def test_sums_that_are_infinite_are_no_figure(metric):
    y = np.array([-2e38, 3e38, 1e38, -3e38], dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        y_pred = np.full((4, 1), np.inf, dtype=np.float32)
        assert np.isnan(metric.result(metric.accumulate(y_pred, y).astype(np.float64)))


def test_large_targets_in_float32(backend):
    rng = np.random.default_rng(0)
    y = 1e30 * rng.normal(size=200)
    y_pred = (y + 1e29 * rng.normal(size=200))[:, None]
    figure, expected = r2_of(backend, "float32", y_pred, y, y)
    assert figure == pytest.approx(expected, rel=1e-6)
    assert 0.98 < expected < 1
    metric = nn.RegressionAccuracy()
    metric.prepare(backend.asarray(y, "float32"))  # its standard deviation is 1e30, not infinite
    arrays = backend.asarray(y_pred, "float32"), backend.asarray(y, "float32")
    right = np.abs(y_pred[:, 0] - y) < y.std() / 250
    figure = metric.result(nn.to_numpy(metric.accumulate(*arrays)).astype(float))
    assert figure == pytest.approx(right.mean())
    assert 0 < figure < 0.2


class TestROCAUC:
    def test_rows(self, backend):
        rows = nn.ROCAUC().accumulate(
            backend.asarray(SCORES), backend.asarray(LABELS), backend.asarray(np.arange(4.0))
        )
        expected = np.column_stack([SCORES, np.eye(SCORES.shape[1])[LABELS], np.arange(4)])
        np.testing.assert_array_equal(nn.to_numpy(rows), expected)

    def test_without_scikit_learn(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
        with pytest.raises(ArgumentError, match="pip install scikit-learn"):
            nn.ROCAUC().prepare(LABELS)
        trainer = nn.Trainer(
            nn.Sequential(nn.Dense(2, 1)),
            nn.SigmoidBinaryCrossentropy(),
            nn.SGD(),
            metrics=[nn.ROCAUC()],
            backend="numpy",
        )
        with pytest.raises(ArgumentError, match="pip install scikit-learn"):
            trainer.fit(SCORES, LABELS)
        assert trainer.optimizer.iterations == 0

    def test_where_there_is_no_curve(self):
        pytest.importorskip("sklearn")
        ones = np.ones((4, 1))
        for scores, labels, weights in [
            (SCORES[:, :1], np.ones((4, 1)), ones),  # one class only
            (SCORES[:, :1], LABELS[:, None], ones * [[0], [1], [0], [0]]),  # or of any weight
            (SCORES[:, :1] * [[np.nan], [1], [1], [1]], LABELS[:, None], ones),
        ]:
            assert np.isnan(nn.ROCAUC().result(np.concatenate([scores, labels, weights], axis=1)))


def test_the_trainer_reports_them(backend):
    X, y, X_test, y_test = nn.data.load_digits()
    X, y = X[:200], y[:200]
    model = nn.Sequential(nn.Dense(64, 10), seed=0)
    metrics = ["accuracy", nn.TopKAccuracy(3), nn.F1(), nn.ConfusionMatrix(10)]
    trainer = nn.Trainer(
        model, nn.SoftmaxCategoricalCrossentropy(), nn.Adam(0.01), metrics=metrics, backend=backend
    )
    history = trainer.fit(X, y, epochs=3, validation_data=(X_test[:60], y_test[:60]))
    names = {"loss", "accuracy", "top_3_accuracy", "f1"}
    assert set(history) == names | {f"val_{name}" for name in names} | {"learning_rate"}
    assert all(type(value) is float for values in history.values() for value in values)
    assert history["top_3_accuracy"][-1] > history["accuracy"][-1]
    figures = trainer.evaluate(X_test, y_test, batch_size=100)
    matrix = np.array(figures["confusion_matrix"])
    np.testing.assert_array_equal(matrix.sum(axis=1), np.bincount(y_test, minlength=10))
    assert matrix.trace() / matrix.sum() == pytest.approx(figures["accuracy"])
    again = np.zeros((10, 10))
    np.add.at(again, (y_test, trainer.predict(X_test)), 1)
    np.testing.assert_array_equal(matrix, again)


def test_two_trainers_with_one_metric_do_not_share_what_it_learns():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)).astype(np.float32), rng.normal(size=60).astype(np.float32)
    metrics = [nn.RegressionAccuracy(), nn.R2(), MeanScore()]

    def trainer():
        model = nn.Sequential(nn.Dense(2, 1, seed=0))
        return nn.Trainer(
            model, nn.MeanSquaredError(), nn.SGD(0.01), metrics=metrics, backend="numpy"
        )

    one, other = trainer(), trainer()
    one.fit(X, y, progress=False)
    before = one.evaluate(X, y)
    assert 0 <= before["accuracy"] < 0.5
    other.fit(X, 1e4 * y, progress=False)  # its precision is 1e4 times as wide
    assert one.evaluate(X, y) == before
    assert other.evaluate(X, y)["accuracy"] > before["accuracy"]
    again = pickle.loads(pickle.dumps(one))
    assert again.evaluate(X, y) == before
    alone = trainer()  # and what it learnt elsewhere is not what a new trainer begins with
    assert alone.evaluate(X, y) == trainer().evaluate(X, y)


def test_what_is_set_on_a_metric_that_learns_counts_from_the_next_fit():
    class Shifted(MeanScore):
        by = 0.0

        def prepare(self, y_true):
            self.mean = y_true.mean() + self.by

        def forward(self, y_pred, y_true):
            del y_true
            return 0 * y_pred[:, 0] + self.mean

    metric = Shifted()
    trainer = nn.Trainer(
        nn.Sequential(nn.Dense(2, 1, seed=0)),
        nn.MeanSquaredError(),
        nn.SGD(0.01),
        metrics=[metric],
        backend="numpy",
    )
    metric.mean = 0.0  # for the batch that is tried out
    for metric.by in (0.0, 10.0):
        trainer.fit(SCORES, np.arange(4.0), progress=False)
        assert trainer.evaluate(SCORES, np.ones(4))["mean_score"] == 1.5 + metric.by
    assert metric.mean == 0.0


class TestDirections:
    def test_each_metric_says_whether_less_or_more_is_better(self):
        less, neither = {"MAE", "RMSE"}, {"ConfusionMatrix", "Metric"}
        found = {name: getattr(nn.metrics, name).direction for name in nn.metrics.__all__}
        assert found == {
            name: "min" if name in less else None if name in neither else "max" for name in found
        }
        assert len(found) > 10

    @pytest.mark.parametrize("direction", ["min", "max"])
    def test_callbacks_and_schedules_go_by_it(self, direction):
        metric = MeanScore()
        metric.direction = direction
        given = []

        class Looking(nn.Callback):
            def check_figures(self, figures):
                given.append((list(figures), dict(figures), "mean_score" in figures))

        stopping = nn.EarlyStopping("val_mean_score", patience=50)
        X, y, *_ = nn.data.load_digits()
        X, y = X[:60].astype(np.float32), y[:60]
        schedule = nn.ReduceOnPlateau(0.1, monitor="mean_score", patience=0)
        trainer = nn.Trainer(
            nn.Sequential(nn.Dense(64, 10), seed=0),
            nn.SoftmaxCategoricalCrossentropy(),
            nn.SGD(schedule),
            metrics=[metric, nn.RMSE(), nn.ConfusionMatrix(10)][:1],
            backend="numpy",
        )
        history = trainer.fit(
            X, y, epochs=6, validation_data=(X, y), callbacks=[stopping, Looking()], progress=False
        )
        best = {"min": min, "max": max}[direction]
        assert stopping.monitor.best == best(history["val_mean_score"])
        assert schedule.monitor.best == best(history["mean_score"])
        figures = {
            "loss": "min",
            "mean_score": direction,
            "val_loss": "min",
            "val_mean_score": direction,
            "learning_rate": None,
        }
        assert given == [(list(figures), figures, True)]

    def trainer(self, metric, optimizer=None):
        return nn.Trainer(
            nn.Sequential(nn.Dense(2, 2), seed=0),
            nn.SoftmaxCategoricalCrossentropy(),
            optimizer or nn.SGD(0.1),
            metrics=[metric],
            backend="numpy",
        )

    def test_a_metric_that_says_nothing_needs_a_mode(self):
        for trainer, callbacks in (
            (self.trainer(MeanScore()), [nn.EarlyStopping("mean_score")]),
            (self.trainer(MeanScore()), [nn.ModelCheckpoint("model", "mean_score")]),
            (self.trainer(MeanScore()), [nn.EarlyStopping("learning_rate")]),
            (
                self.trainer(MeanScore(), nn.SGD(nn.ReduceOnPlateau(0.1, monitor="mean_score"))),
                [],
            ),
        ):
            with pytest.raises(ArgumentError, match="nothing tells whether less or more of"):
                trainer.fit(SCORES, LABELS, callbacks=callbacks, progress=False)
            assert trainer.optimizer.iterations == 0
        stopping = nn.EarlyStopping("mean_score", mode="min")
        trainer = self.trainer(MeanScore())
        history = trainer.fit(SCORES, LABELS, epochs=3, callbacks=[stopping], progress=False)
        assert stopping.monitor.best == min(history["mean_score"])

    @pytest.mark.parametrize("direction", ["down", "", 1, True])
    def test_a_direction_that_is_none(self, direction):
        metric = MeanScore()
        metric.direction = direction
        trainer = self.trainer(metric)
        with pytest.raises(
            ArgumentError, match=r"MeanScore.direction must be 'min', 'max' or None"
        ):
            trainer.fit(SCORES, LABELS, progress=False)
        assert trainer.optimizer.iterations == 0


def test_sums_of_whole_numbers_are_added_up_anew(backend):
    class Samples(nn.Metric):
        name = "samples"

        def accumulate(self, y_pred, y_true, sample_weight=None):
            return backend.asarray(np.array([y_pred.shape[0]]))

        def result(self, sums):
            return float(sums[0])

    totals = Totals([Samples()], backend)
    arrays = [backend.asarray(each, "float32") for each in (np.zeros((4, 2)), np.zeros((4, 2)))]
    for _ in range(2):
        for _ in range(3):
            totals.add(backend.asarray(np.array(1.0), "float32"), *arrays)
        assert totals.read() == {"loss": 1.0, "samples": 12.0}
        totals.clear()


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(
    "metric", [nn.CategoricalAccuracy(), nn.BinaryAccuracy(), nn.RegressionAccuracy(0.3)]
)
def test_no_weights_are_weights_of_one(backend, metric, outputs):
    rng = np.random.default_rng(0)
    y_pred, y_true = rng.random((40, outputs)), rng.integers(0, 2, (40, outputs)).astype(float)
    arguments = backend.asarray(y_pred), backend.asarray(y_true)
    plain = nn.to_numpy(metric.accumulate(*arguments))
    ones = nn.to_numpy(metric.accumulate(*arguments, backend.asarray(np.ones(40))))
    np.testing.assert_allclose(plain, ones, rtol=1e-14)
    assert plain[1] == 40
    right = {
        "CategoricalAccuracy": y_pred.argmax(axis=1) == y_true.argmax(axis=1),
        "BinaryAccuracy": ((y_pred > 0.5) == y_true).mean(axis=1),
        "RegressionAccuracy": (abs(y_pred - y_true) < 0.3).mean(axis=1),
    }[type(metric).__name__]
    if outputs == 1 and isinstance(metric, nn.CategoricalAccuracy):
        right = (y_pred > 0.5)[:, 0] == y_true[:, 0]
    assert plain[0] == pytest.approx(right.sum())
    assert 0 < plain[0] < 40
