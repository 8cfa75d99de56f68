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
