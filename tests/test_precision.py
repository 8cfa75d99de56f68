"""Steps in half precision, on weights that are kept in float32."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError, BackendError, CheckpointError
from nnfs_xp.learning import HalfPrecisionLearner

RNG = np.random.default_rng(0)
X = RNG.standard_normal((96, 8)).astype("float32")
Y = RNG.integers(0, 3, 96)


def layers():
    return [
        nn.Dense(8, 16, weight_regularizer_l2=1e-2, bias_regularizer_l1=1e-3),
        nn.ReLU(),
        nn.BatchNorm(16),
        nn.Dropout(0.1),
        nn.Dense(16, 16),
        nn.Tanh(),
        nn.LayerNorm(16),
        nn.Dense(16, 3),
    ]


def trainer(precision="float16", parts=None, optimizer=None, **settings):
    model = nn.Sequential(*(parts or layers()), seed=0)
    loss = settings.pop("loss", nn.SoftmaxCategoricalCrossentropy())
    optimizer = optimizer or nn.Adam(1e-2)
    backend = settings.pop("backend", "numpy")
    return nn.Trainer(model, loss, optimizer, backend=backend, precision=precision, **settings)


def weights(trained):
    return to_numpy(trained.model.flat.values)


def fit(trained, **settings):
    return trained.fit(X, Y, **{"epochs": 5, "batch_size": 32, "progress": False, **settings})


def test_training_takes_nearly_the_course_of_float32():
    half, full = trainer(), trainer("float32")
    history, exact = fit(half, validation_data=(X, Y)), fit(full, validation_data=(X, Y))
    np.testing.assert_allclose(history["loss"], exact["loss"], rtol=0.02)
    np.testing.assert_allclose(history["val_loss"], exact["val_loss"], rtol=0.02)
    assert half.model.dtype == "float32"
    assert weights(half).dtype == "float32"
    for name, buffer in half.model.buffers().items():
        assert buffer.dtype == "float32"
        exactly = to_numpy(full.model.buffers()[name])
        np.testing.assert_allclose(to_numpy(buffer), exactly, rtol=0.05, atol=0.02)


def test_weights_move_by_less_than_float16_can_tell():
    parts = [nn.Dense(8, 3)]
    trained = trainer(parts=parts, optimizer=nn.SGD(1e-6))
    before = weights(trained).copy()
    fit(trained, epochs=1)
    moved = weights(trained) - before
    assert np.count_nonzero(moved[:24]) == 24
    assert np.max(np.abs(moved)) < 1e-5


def test_gradients_are_those_of_float32_with_penalties():
    half, full = trainer(), trainer("float32")
    half.train_step(X[:32], Y[:32])
    full.train_step(X[:32], Y[:32])
    for name, gradient in half.model.gradients().items():
        exact = to_numpy(full.model.gradients()[name])
        scale = np.max(np.abs(exact))
        np.testing.assert_allclose(to_numpy(gradient), exact, atol=0.02 * scale, err_msg=name)


def test_penalties_are_added_once(monkeypatch):
    """Without a scale, beside which a penalty that was added too early would be small."""
    monkeypatch.setattr(HalfPrecisionLearner, "first_scale", 1.0)
    parts = [nn.Dense(8, 3, weight_regularizer_l2=10.0, bias_regularizer_l1=10.0)]
    half, full = trainer(parts=parts), trainer("float32", parts=copy.deepcopy(parts))
    half.train_step(X[:32], Y[:32])
    full.train_step(X[:32], Y[:32])
    for name, gradient in half.model.gradients().items():
        exact = to_numpy(full.model.gradients()[name])
        np.testing.assert_allclose(to_numpy(gradient), exact, rtol=0.01, atol=0.01, err_msg=name)


def test_small_gradients_do_not_vanish():
    """Gradients near 1e-9 are 0 in float16, and are not when they are scaled up."""
    trained = trainer(parts=[nn.Dense(8, 1)], loss=nn.MeanSquaredError(), metrics=())
    x = np.full((32, 8), 1e-5, "float32")
    y = np.full((32, 1), -1e-4, "float32")
    trained.model.layers[0].weights = 0.0 * to_numpy(trained.model.layers[0].weights)
    trained.train_step(x, y)
    np.testing.assert_allclose(to_numpy(trained.model.layers[0].dweights), 2e-9, rtol=0.01)


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_a_step_that_overflows_changes_nothing_and_halves_the_scale():
    trained = trainer(parts=[nn.Dense(8, 3)], loss=nn.MeanSquaredError(), metrics=())
    learner = trained.learner
    y = np.full((32, 3), 500.0, "float32")
    before = weights(trained).copy()
    first = float(learner.scale)
    trained.train_step(X[:32], y)
    np.testing.assert_array_equal(weights(trained), before)
    assert not np.isfinite(to_numpy(trained.model.flat.gradients)).all()
    for array in trained.optimizer.state(trained.model).values():
        assert not to_numpy(array).any()
    assert float(learner.scale) == first / 2
    for _ in range(12):
        trained.train_step(X[:32], y)
    assert (weights(trained) != before).any()
    assert np.isfinite(weights(trained)).all()


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_the_scale_grows_again(monkeypatch):
    monkeypatch.setattr(HalfPrecisionLearner, "interval", 3)
    monkeypatch.setattr(HalfPrecisionLearner, "first_scale", 256.0)
    trained = trainer(parts=[nn.Dense(8, 3)])
    scales = []
    for _ in range(7):
        trained.train_step(X[:32], Y[:32])
        scales.append(float(trained.learner.scale) / HalfPrecisionLearner.first_scale)
    assert scales == [1, 1, 2, 2, 2, 4, 4]


def test_training_is_the_same_twice_and_when_it_is_cut(tmp_path):
    whole, again, cut = trainer(), trainer(), trainer()
    fit(whole)
    fit(again)
    np.testing.assert_array_equal(weights(whole), weights(again))
    fit(cut, epochs=2, checkpoint=tmp_path)
    resumed = trainer()
    fit(resumed, checkpoint=tmp_path, resume=True)
    np.testing.assert_array_equal(weights(whole), weights(resumed))
    assert float(resumed.learner.scale) == float(whole.learner.scale)
    with pytest.raises(CheckpointError, match="precision"):
        fit(trainer("float32"), checkpoint=tmp_path, resume=True)


def test_masks_are_those_of_float32():
    parts = [nn.Dropout(0.5), nn.Dense(8, 3)]
    half, full = trainer(parts=parts), trainer("float32", parts=copy.deepcopy(parts))
    x = np.ones((32, 8), "float32")
    for _ in range(3):
        half.train_step(x, Y[:32])
        full.train_step(x, Y[:32])
    np.testing.assert_allclose(weights(half), weights(full), atol=1e-3)


def test_codes_of_an_embedding_are_not_rounded():
    codes = np.array([[2047.0], [2049.0], [3001.0]], "float32")
    parts = [nn.Embedding(4000, 4), nn.Flatten(), nn.Dense(4, 3)]
    trained = trainer(parts=parts)
    trained.train_step(codes, np.array([0, 1, 2]))
    rows = np.flatnonzero(to_numpy(trained.model.layers[0].dweights).any(axis=1))
    np.testing.assert_array_equal(rows, [2047, 2049, 3001])
    with pytest.raises(ArgumentError, match="Embedding"):
        trainer(parts=[nn.Flatten(), nn.Embedding(40, 4), nn.Flatten(), nn.Dense(4, 3)])


def test_a_trainer_is_copied_with_its_precision():
    trained = trainer()
    fit(trained, epochs=1)
    twin = copy.deepcopy(trained)
    fit(trained)
    fit(twin)
    np.testing.assert_array_equal(weights(twin), weights(trained))


@pytest.mark.parametrize(
    ("settings", "error", "complaint"),
    [
        ({"precision": "half"}, ArgumentError, "must be one of"),
        ({"precision": "tf32"}, BackendError, "CUDA GPUs with CuPy; got numpy"),
        ({"precision": "bfloat16"}, BackendError, "numpy has no data type 'bfloat16'"),
        (
            {"parts": [nn.Dense(8, 3, dtype="float64")]},
            ArgumentError,
            "float32 parameters; got float64",
        ),
        ({"backend": "array_api_strict"}, BackendError, "no data type 'float16'"),
    ],
)
def test_what_cannot_be_had_is_refused(settings, error, complaint):
    if settings.get("backend"):
        pytest.importorskip("array_api_strict")
    with pytest.raises(error, match=complaint):
        trainer(**settings)


def test_bfloat16_on_torch():
    torch = pytest.importorskip("torch", reason="nox -s tests-torch runs this")
    trained = trainer("bfloat16", backend="torch")
    full = trainer("float32", backend="torch")
    np.testing.assert_allclose(fit(trained)["loss"], fit(full)["loss"], rtol=0.05)
    assert trained.model.flat.values.dtype == torch.float32


@pytest.mark.parametrize("first", [nn.BatchNorm, nn.LayerNorm])
def test_inputs_of_a_first_layer_in_float32_are_not_rounded(first):
    def run(precision):
        trained = trainer(precision, parts=[first(8), nn.Dense(8, 3)])
        return trained.fit(X + 2000, Y, epochs=5, batch_size=32, progress=False)["loss"]

    np.testing.assert_allclose(run("float16"), run("float32"), rtol=0.01)


def test_settings_that_change_are_followed():
    def run(precision):
        trained = trainer(precision, parts=[nn.Dense(8, 16), nn.Dropout(0.1), nn.Dense(16, 3)])
        trained.train_step(X[:32], Y[:32])
        trained.model.layers[1].rate = 0.9
        trained.model.layers[0].weight_regularizer_l2 = 0.1
        trained.train_step(X[:32], Y[:32])
        return weights(trained)

    np.testing.assert_allclose(run("float16"), run("float32"), atol=2e-3)


def test_running_averages_stay_the_models():
    trained = trainer()
    fit(trained, epochs=1)
    trainer_of_the_same = nn.Trainer(
        trained.model, nn.SoftmaxCategoricalCrossentropy(), nn.Adam(), backend="numpy"
    )
    before = to_numpy(trained.model.layers[2].running_mean).copy()
    trained.train_step(X[:32], Y[:32])
    assert (to_numpy(trained.model.layers[2].running_mean) != before).any()
    assert trainer_of_the_same.evaluate(X, Y) == trained.evaluate(X, Y)


def test_a_penalty_that_a_layer_adds_by_itself_is_refused_where_gradients_are_scaled():
    class Penalized(nn.Linear):
        def regularization_loss(self):
            return np.float32(1.0)

    class Dense(nn.Dense):
        def regularization_loss(self):
            return np.float32(1.0)

    for parts in ([nn.Dense(8, 3), Penalized()], [Dense(8, 3)]):
        with pytest.raises(
            ArgumentError, match=r"the penalty that (Penalized|Dense) adds by itself"
        ):
            trainer(parts=parts)


def test_noise_is_not_drawn_in_half_precision():
    trained = trainer(parts=[nn.Dense(8, 3), nn.GaussianNoise(0.1)])
    assert np.isfinite(fit(trained)["loss"]).all()
