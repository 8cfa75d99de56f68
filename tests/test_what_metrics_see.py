"""Metrics are of what `predict` and `predict_proba` say, whatever the model puts out."""

from __future__ import annotations

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError

RNG = np.random.default_rng(8)
X = RNG.standard_normal((240, 4)).astype("float32")
YES = (X[:, 0] - 0.4 * X[:, 2] + 0.5 * RNG.standard_normal(240) > 0.6).astype(int)
THREE = np.digitize(X[:, 1] + 0.3 * RNG.standard_normal(240), [-0.4, 0.5])
COUNTS = RNG.poisson(np.exp(0.5 * X[:, 0] + 0.3))


def fitted(n_outputs, loss, y, metrics, backend, end=()):
    model = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, n_outputs), *end, seed=0)
    trainer = nn.Trainer(model, loss, nn.Adam(0.01), metrics=metrics, backend=backend)
    trainer.fit(X, y, epochs=12, progress=False)
    return trainer, trainer.evaluate(X, y)


def scores_by_hand(truth, predicted):
    hits = np.sum(truth & predicted)
    precision, recall = hits / np.sum(predicted), hits / np.sum(truth)
    return precision, recall, 2 * hits / (np.sum(predicted) + np.sum(truth))


BINARY = {
    "logits": (nn.SigmoidBinaryCrossentropy, ()),
    "smoothed logits": (lambda: nn.SigmoidBinaryCrossentropy(label_smoothing=0.2), ()),
    "probabilities": (nn.BinaryCrossentropy, (nn.Sigmoid(),)),
    "hinge": (nn.Hinge, ()),
}


@pytest.mark.parametrize(("loss", "end"), BINARY.values(), ids=BINARY)
def test_yes_or_no(backend, loss, end):
    metrics = (
        *("accuracy", nn.Precision(), nn.Recall(), nn.F1()),
        nn.ConfusionMatrix(2),
    )
    trainer, found = fitted(1, loss(), YES, metrics, backend, end)
    predicted = trainer.predict(X).ravel() == 1
    assert 0.1 < predicted.mean() < 0.9
    wanted = scores_by_hand(YES == 1, predicted)
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx(wanted)
    assert found["accuracy"] == pytest.approx(np.mean(predicted == (YES == 1)))
    matrix = [[np.sum((t == YES) & (p == predicted)) for p in (0, 1)] for t in (0, 1)]
    np.testing.assert_array_equal(found["confusion_matrix"], matrix)


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_a_threshold_is_one_of_probabilities(backend, kind):
    loss, end = BINARY[kind]
    own = nn.BinaryAccuracy(threshold=0.3)
    own.name = "own"
    metrics = nn.F1(threshold=0.3), own
    trainer, found = fitted(1, loss(), YES, metrics, backend, end)
    predicted = trainer.predict_proba(X).ravel() > 0.3
    assert found["f1"] == pytest.approx(scores_by_hand(YES == 1, predicted)[2])
    assert found["own"] == pytest.approx(np.mean(predicted == (YES == 1)))
    assert np.any(predicted != (trainer.predict(X).ravel() == 1))


def test_a_threshold_of_scores_where_there_are_no_probabilities(backend):
    trainer, found = fitted(1, nn.Hinge(), YES, (nn.Recall(threshold=-0.5),), backend)
    scores = nn.to_numpy(trainer.model.forward(trainer.backend.asarray(X))).ravel()
    assert found["recall"] == pytest.approx(np.mean(scores[YES == 1] > -0.5))


@pytest.mark.parametrize("threshold", [0.0, 1.0, -2.0])
def test_a_threshold_of_logits_is_refused(threshold):
    model = nn.Sequential(nn.Dense(4, 1), seed=0)
    metrics = (nn.F1(threshold=threshold),)
    with pytest.raises(ArgumentError, match=r"`threshold` of f1 must be between 0 and 1"):
        nn.Trainer(model, nn.SigmoidBinaryCrossentropy(), nn.Adam(), metrics, backend="numpy")


class Seen(nn.Metric):
    """The mean of the first column of what it sees."""

    def __init__(self, sees):
        self.sees, self.name = sees, f"mean_of_{sees}"

    def forward(self, y_pred, y_true):
        del y_true
        return y_pred[:, 0]


CLASSES = {
    "logits": (nn.SoftmaxCategoricalCrossentropy, ()),
    "probabilities": (nn.CategoricalCrossentropy, (nn.Softmax(),)),
    "hinge": (nn.CategoricalHinge, ()),
}


@pytest.mark.parametrize(("loss", "end"), CLASSES.values(), ids=CLASSES)
def test_classes(backend, loss, end):
    metrics = "accuracy", nn.F1(), nn.TopKAccuracy(2), Seen("probabilities"), Seen("outputs")
    trainer, found = fitted(3, loss(), THREE, metrics, backend, end)
    predicted = trainer.predict(X)
    wanted = [scores_by_hand(k == THREE, predicted == k)[2] for k in range(3)]
    assert found["f1"] == pytest.approx(np.mean(wanted))
    assert found["accuracy"] == pytest.approx(np.mean(predicted == THREE))
    outputs = nn.to_numpy(trainer.model.forward(trainer.backend.asarray(X)))
    assert found["mean_of_outputs"] == pytest.approx(outputs[:, 0].mean(), rel=1e-4)
    seen = outputs if loss is nn.CategoricalHinge else trainer.predict_proba(X)
    assert found["mean_of_probabilities"] == pytest.approx(seen[:, 0].mean(), rel=1e-4)


def test_the_accuracy_of_classes_on_one_output(backend):
    """It is that of yes and no, whatever the shape of the targets."""
    for y in (YES, YES[:, None]):
        trainer, found = fitted(
            1, nn.SigmoidBinaryCrossentropy(), y, (nn.CategoricalAccuracy(),), backend
        )
        predicted = trainer.predict(X).ravel()
        assert found["accuracy"] == pytest.approx(np.mean(predicted == YES))
        assert 0.1 < predicted.mean() < 0.9


def test_the_best_of_one_output_is_refused():
    model = nn.Sequential(nn.Dense(4, 1), seed=0)
    metrics = (nn.TopKAccuracy(1),)
    loss = nn.SigmoidBinaryCrossentropy()
    trainer = nn.Trainer(model, loss, nn.Adam(), metrics, backend="numpy")
    with pytest.raises(ArgumentError, match="the model has one output"):
        trainer.fit(X, YES, progress=False)
    assert trainer.optimizer.iterations == 0


LABELS = np.stack([YES, YES, X[:, 3] > 0], axis=1).astype(int)


@pytest.mark.parametrize("loss", [nn.SigmoidBinaryCrossentropy, nn.Hinge])
def test_several_labels(backend, loss):
    roc_auc_score = pytest.importorskip("sklearn.metrics").roc_auc_score
    trainer, found = fitted(3, loss(), LABELS, ("accuracy", nn.ROCAUC()), backend)
    predicted = trainer.predict(X)
    assert found["accuracy"] == pytest.approx(np.mean(predicted == LABELS))
    scores = nn.to_numpy(trainer.model.forward(trainer.backend.asarray(X)))
    assert found["roc_auc"] == pytest.approx(roc_auc_score(LABELS, scores))
    assert predicted[:, 0].mean() < 0.9


@pytest.mark.parametrize(
    "metric",
    [nn.CategoricalAccuracy(), nn.TopKAccuracy(1), nn.F1(), nn.ConfusionMatrix(3)],
    ids=repr,
)
def test_several_labels_are_no_class(metric):
    model = nn.Sequential(nn.Dense(4, 3), seed=0)
    loss = nn.SigmoidBinaryCrossentropy()
    trainer = nn.Trainer(model, loss, nn.Adam(), (metric,), backend="numpy")
    one_each = np.eye(3, dtype=int)[THREE]
    with pytest.raises(ArgumentError, match="each of the 3 outputs says yes or no by itself"):
        trainer.fit(X, one_each, progress=False)
    assert trainer.optimizer.iterations == 0


@pytest.mark.parametrize(("loss", "end"), CLASSES.values(), ids=CLASSES)
def test_outputs_of_classes_that_are_right(backend, loss, end):
    """At 0.5 they are those of `predict`, at another threshold those of the probabilities."""
    rows = np.eye(3, dtype="float32")[THREE]
    often = nn.BinaryAccuracy(0.3)
    often.name = "often"
    trainer, found = fitted(3, loss(), rows, (nn.BinaryAccuracy(), often), backend, end)
    said = np.eye(3)[trainer.predict(X)]
    assert found["accuracy"] == pytest.approx(np.mean(said == rows))
    if loss is nn.CategoricalHinge:
        seen = nn.to_numpy(trainer.model.forward(trainer.backend.asarray(X)))
    else:
        seen = trainer.predict_proba(X)
    assert found["often"] == pytest.approx(np.mean((seen > 0.3) == (rows == 1)))


def test_shares_of_classes(backend):
    """The true class is that of the largest share, and an output is right above a half."""
    shares = (0.6 * np.eye(3)[THREE] + 0.4 * np.eye(3)[THREE[::-1]]).astype("float32")
    largest = shares.argmax(axis=1)
    metrics = "accuracy", nn.TopKAccuracy(1), nn.TopKAccuracy(2), nn.F1(), nn.BinaryAccuracy(0.4)
    metrics[-1].name = "outputs"
    loss = nn.SoftmaxCategoricalCrossentropy()
    trainer, found = fitted(3, loss, shares, metrics, backend)
    predicted, probable = trainer.predict(X), trainer.predict_proba(X)
    assert found["accuracy"] == found["top_1_accuracy"]
    assert found["accuracy"] == pytest.approx(np.mean(predicted == largest))
    second = np.argsort(probable, axis=1)[:, 1:] == largest[:, None]
    assert found["top_2_accuracy"] == pytest.approx(second.any(axis=1).mean())
    wanted = [scores_by_hand(k == largest, predicted == k)[2] for k in range(3)]
    assert found["f1"] == pytest.approx(np.mean(wanted))
    assert found["outputs"] == pytest.approx(np.mean((probable > 0.4) == (shares > 0.5)))


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_a_threshold_for_two_classes(backend, kind):
    loss, end = CLASSES[kind]
    metrics = nn.Recall("binary", threshold=0.2), nn.ConfusionMatrix(2, threshold=0.2)
    trainer, found = fitted(2, loss(), YES, metrics, backend, end)
    predicted = trainer.predict_proba(X)[:, 1] > 0.2
    assert found["recall"] == pytest.approx(scores_by_hand(YES == 1, predicted)[1])
    matrix = [[np.sum((t == YES) & (p == predicted)) for p in (0, 1)] for t in (0, 1)]
    np.testing.assert_array_equal(found["confusion_matrix"], matrix)
    assert np.any(predicted != (trainer.predict(X) == 1))


def test_a_threshold_for_more_classes_is_refused():
    model = nn.Sequential(nn.Dense(4, 3), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    trainer = nn.Trainer(model, loss, nn.Adam(), (nn.F1(threshold=0.2),), backend="numpy")
    with pytest.raises(ArgumentError, match=r"`threshold` of f1 is for one output, or for two"):
        trainer.fit(X, THREE, progress=False)


def test_what_is_predicted_of_classes(backend):
    trainer, found = fitted(
        3, nn.SoftmaxCategoricalCrossentropy(), THREE, (Seen("predictions"),), backend
    )
    assert found["mean_of_predictions"] == pytest.approx(np.mean(trainer.predict(X) == 0))


class Zero(nn.Metric):
    """A figure that is an array."""

    name = "zero"

    def forward(self, y_pred, y_true):
        del y_true
        return 0 * y_pred[:, 0]

    def result(self, sums):
        return np.asarray(sums[0] / sums[1])


def test_an_array_of_one_figure_is_that_figure(backend):
    trainer, found = fitted(3, nn.SoftmaxCategoricalCrossentropy(), THREE, (Zero(),), backend)
    assert found["zero"] == 0
    assert trainer.fit(X, THREE, progress=False)["zero"] == [0.0]


def test_a_metric_that_gives_no_array():
    class Plain(Zero):
        def forward(self, y_pred, y_true):
            return 0.5

    model = nn.Sequential(nn.Dense(4, 3), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    trainer = nn.Trainer(model, loss, nn.Adam(), (Plain(),), backend="numpy")
    with pytest.raises(nn.errors.ShapeError, match=r"one number for each sample.*got float"):
        trainer.fit(X, THREE, progress=False)


def test_counts(backend):
    metrics = "accuracy", nn.MAE(), nn.RMSE(), nn.R2()
    trainer, found = fitted(1, nn.Poisson(), COUNTS, metrics, backend)
    rates = trainer.predict(X).ravel().astype("float64")
    errors = COUNTS - rates
    assert found["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    assert found["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-5)
    r2 = 1 - (errors**2).sum() / ((COUNTS - COUNTS.mean()) ** 2).sum()
    assert found["r2"] == pytest.approx(r2, rel=1e-3)
    assert found["accuracy"] == pytest.approx(np.mean(np.abs(errors) < COUNTS.std() / 250))


def test_validation_and_the_epochs_too(backend):
    model = nn.Sequential(nn.Dense(4, 1), seed=0)
    loss = nn.SigmoidBinaryCrossentropy()
    trainer = nn.Trainer(model, loss, nn.Adam(0.05), (nn.F1(),), backend=backend)
    data = {"validation_data": (X, YES), "batch_size": 240, "shuffle": False}
    before = trainer.predict(X).ravel() == 1
    history = trainer.fit(X, YES, progress=False, **data)
    after = trainer.predict(X).ravel() == 1
    assert history["f1"] == pytest.approx([scores_by_hand(YES == 1, before)[2]])
    assert history["val_f1"] == pytest.approx([scores_by_hand(YES == 1, after)[2]])


def test_a_loss_of_ones_own(backend):
    """One that says what its outputs stand for, and one that does not."""

    class Exponential(nn.Loss):
        def forward(self, y_pred, y_true):
            xp = nn.get_backend(trainer_backend).xp
            return xp.mean((xp.exp(y_pred) - y_true[:, None]) ** 2, axis=-1)

        def backward(self, y_pred, y_true, sample_weight=None):
            xp = nn.get_backend(trainer_backend).xp
            rates = xp.exp(y_pred)
            dinputs = 2 * (rates - y_true[:, None]) * rates / y_pred.shape[0]
            return self.weigh(dinputs, sample_weight)

        def predictions(self, y_pred):
            return nn.get_backend(trainer_backend).xp.exp(y_pred)

    trainer_backend = backend.name
    y = COUNTS.astype("float32")
    metrics = (Seen("probabilities"), Seen("predictions"), Seen("outputs"))
    trainer, found = fitted(1, Exponential(), y, metrics, backend)
    rates = trainer.predict(X).ravel()
    assert found["mean_of_predictions"] == pytest.approx(rates.mean(), rel=1e-4)
    assert found["mean_of_probabilities"] == found["mean_of_predictions"]
    assert found["mean_of_outputs"] == pytest.approx(np.log(rates).mean(), rel=1e-3)


def test_a_kind_that_is_none():
    model = nn.Sequential(nn.Dense(4, 1), seed=0)
    with pytest.raises(ArgumentError, match=r"Seen\.sees must be 'probabilities'"):
        nn.Trainer(model, nn.MeanSquaredError(), nn.Adam(), (Seen("logits"),), backend="numpy")
