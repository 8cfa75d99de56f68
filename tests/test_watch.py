"""A training that is watched: what is written of it, how seldom, and that it changes nothing."""

from __future__ import annotations

import base64
import errno
import http.client
import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, DivergenceError, ShapeError, TrainingWarning
from nnfs_xp.learning import Recorder
from nnfs_xp.learning.recorded_step import RecordedStep
from nnfs_xp.testing import fake_groups, in_threads
from nnfs_xp.training import looking, run, watch_file
from nnfs_xp.training.trust import Trust

X, Y, X_TEST, Y_TEST = nn.data.load_digits()
X, Y = X[:330], Y[:330]  # 6 batches of 50, and one of 30
VALIDATION = X_TEST[:120], Y_TEST[:120]


class Clock:
    """Stands in for the time: it goes on when it is told to, or a bit whenever it is read."""

    def __init__(self, tick=0.0):
        self.now, self.tick = 100.0, tick

    def __call__(self):
        self.now += self.tick
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(looking, "monotonic", clock)
    monkeypatch.setattr(run, "monotonic", clock)
    return clock


@pytest.fixture
def _always(clock, monkeypatch):
    """Each look costs nothing, so that there is one after every second step."""
    monkeypatch.setattr(looking, "_EXPECTED", 0.0)
    assert not clock.tick


def network():
    return nn.Sequential(
        *(nn.Dense(64, 24), nn.BatchNorm(24), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Residual(nn.Dense(24, 24), nn.ReLU()), nn.Dense(24, 10), nn.Softmax()),
        seed=0,
    )


def build(backend="numpy", model=None, optimizer=None, **settings):
    optimizer = optimizer or nn.SGD(nn.CosineDecay(0.05, 20), momentum=0.9)
    loss = settings.pop("loss", None) or nn.CategoricalCrossentropy()
    return nn.Trainer(model or network(), loss, optimizer, backend=backend, seed=3, **settings)


def fit(trainer, *callbacks, epochs=2, X=X, Y=Y, **settings):
    settings = {"batch_size": 50, "progress": False, **settings}
    if Y is None:
        del settings["batch_size"]
    return trainer.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **settings)


def rows(folder, kind=None):
    found = [json.loads(line) for line in (folder / "watch.jsonl").read_text().splitlines()]
    return [row for row in found if kind in (None, row["is"])]


def losses_of(folder):
    """The loss of each step, without those that were made again."""
    found = {}
    for row in rows(folder):
        if row["is"] == "run":
            found = {step: loss for step, loss in found.items() if step < row["step"]}
        if row["is"] == "steps":
            assert not found or row["first"] == max(found) + 1
            found |= dict(enumerate(row["losses"], row["first"]))
    assert list(found) == list(range(len(found)))
    return list(found.values())


def bits(trainer):
    return nn.to_numpy(trainer.model.flat.all_values).tobytes()


def image(text, shape):
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)


# What is written


@pytest.mark.usefixtures("_always")
def test_the_lines(tmp_path):
    names = [f"digit {n}" for n in range(10)]
    trainer = build(optimizer=nn.SGD(0.05, momentum=0.9))
    history = fit(
        trainer, nn.Watch(tmp_path / "new" / "a", classes=names), validation_data=VALIDATION
    )
    found = rows(tmp_path / "new" / "a")
    assert [row["is"] for row in found[:4]] == ["run", "steps", "look", "pictures"]
    assert found[-1]["is"] == "end"
    begun, end = found[0], found[-1]
    assert begun["version"] == 1
    assert begun["model"].startswith("Dense(64, 24) → BatchNorm(24) → ReLU() → Dropout(0.2) → Res")
    assert begun["loss"] == "CategoricalCrossentropy()"
    assert begun["optimizer"] == "SGD(learning_rate=0.05, momentum=0.9)"
    assert begun["n_parameters"] == sum(each.size for each in trainer.model.parameters().values())
    assert (begun["batch_size"], begun["steps_per_epoch"], begun["step"]) == (50, 7, 0)
    kinds = ["Dense", "BatchNorm", "ReLU", "Dropout", "Residual", "Dense", "Dense", "Softmax"]
    layers = ["0", "1", "2", "3", "4", "4.0", "5", "6"]
    assert begun["layers"] == [
        {"name": name, "kind": kind} for name, kind in zip(layers, kinds, strict=True)
    ]
    assert begun["classes"] == names
    assert begun["image_shape"] == [8, 8]
    assert (end["step"], end["how"]) == (14, "finished")

    epochs = [row for row in found if row["is"] == "epoch"]
    assert [(row["epoch"], row["step"]) for row in epochs] == [(1, 7), (2, 14)]
    for name, values in history.items():
        told = [row["figures"][name] for row in epochs]
        assert told == pytest.approx(values, rel=1e-6)

    looks = [row for row in found if row["is"] == "look"]
    assert [row["step"] for row in looks] == [2, 4, 6, 8, 10, 12, 14, 14]
    n_histograms = 0
    for row in looks:
        assert row["learning_rate"] == 0.05
        assert list(row["layers"]) == layers
        for name, figures in row["layers"].items():
            has_parameters = name in ("0", "1", "4.0", "5")
            assert ("gradient_norm" in figures) == ("weight_norm" in figures) == has_parameters
            assert ("update_size" in figures) == (has_parameters and row is not looks[-1])
            assert ("outputs" in figures) == ("units" in figures) == (name != "4.0")
            assert ("dead" in figures) == (name == "2")
            for histogram in {"gradients", "outputs"} & figures.keys():
                n_histograms += 1
                low, high, counts = figures[histogram]
                assert low <= high
                assert len(counts) == 30
                assert 0 < sum(counts) <= 2500
    assert n_histograms == 8 * (4 + 7)
    times = [row["time"] for row in found if "time" in row]
    assert len(times) == 1 + 8 + 2 + 1
    assert times == sorted(times)


@pytest.mark.usefixtures("_always")
def test_the_figures_are_those_of_the_step(backend, tmp_path):
    samples = X_TEST[:40], Y_TEST[:40]
    model = nn.Sequential(nn.Dense(64, 24), nn.ReLU(), nn.Dense(24, 10), seed=0)
    trainer = build(backend, model, loss=nn.SoftmaxCategoricalCrossentropy())
    weights, gradients = [], {}

    def copied(arrays):
        return {name: np.array(nn.to_numpy(array)) for name, array in arrays.items()}

    def keep(trainer):
        weights.append(copied(trainer.model.parameters()))
        gradients.update(copied(trainer.model.gradients()))
        if trainer.step == 2:
            trainer.stop(now=True)

    fit(trainer, nn.LambdaCallback(on_step_end=keep), nn.Watch(tmp_path, samples=samples))
    look = rows(tmp_path, "look")[0]
    before, after = weights
    for name in ("0", "2"):
        own = [f"{name}.weights", f"{name}.biases"]
        figures = look["layers"][name]
        for figure, arrays in (
            ("gradient_norm", [gradients[each] for each in own]),
            ("weight_norm", [after[each] for each in own]),
            ("update_size", [after[each] - before[each] for each in own]),
        ):
            wanted = math.sqrt(sum(np.sum(np.square(each, dtype=float)) for each in arrays))
            assert figures[figure] == pytest.approx(wanted, rel=1e-3)
        low, high, counts = figures["gradients"]
        values = np.concatenate([gradients[each].ravel() for each in own])
        assert values.size <= 2000  # so all are taken
        assert [low, high] == pytest.approx([values.min(), values.max()], rel=1e-5)
        assert sum(counts) == values.size
    output = np.maximum(samples[0] @ after["0.weights"] + after["0.biases"], 0)
    relu = look["layers"]["1"]
    assert relu["units"] == 24
    assert relu["dead"] == np.sum((output == 0).all(axis=0))
    assert relu["outputs"][:2] == pytest.approx([0, output.max()], rel=1e-4)
    (pictures,) = rows(tmp_path, "pictures")[:1]
    output = output @ after["2.weights"] + after["2.biases"]
    wrong = np.flatnonzero(output.argmax(axis=1) != samples[1])
    assert (pictures["n_wrong"], pictures["n_samples"]) == (len(wrong), 40)
    assert [each["index"] for each in pictures["misclassified"]] == wrong[:12].tolist()
    first = pictures["misclassified"][0]
    assert first["true"] == str(samples[1][wrong[0]])
    assert first["predicted"] == str(output[wrong[0]].argmax())
    pixels = image(first["image"], (8, 8)) / 255 * samples[0].max()
    np.testing.assert_allclose(pixels.ravel(), samples[0][wrong[0]], atol=0.003)
    shown = pictures["weights"]
    assert shown["shape"] == [8, 8]
    assert len(shown["images"]) == 16
    scale = shown["high"] - shown["low"]
    weights_of_first = image(shown["images"][0], 64) / 255 * scale + shown["low"]
    np.testing.assert_allclose(weights_of_first, after["0.weights"][:, 0], atol=scale / 500)


@pytest.mark.usefixtures("_always")
def test_a_dead_neuron_is_counted(tmp_path):
    model = nn.Sequential(nn.Dense(64, 6), nn.ReLU(), nn.Dense(6, 10), seed=0)
    model.layers[0].biases[0, :2] = -1000.0
    trainer = build(model=model, loss=nn.SoftmaxCategoricalCrossentropy())
    fit(trainer, nn.Watch(tmp_path), epochs=1)
    looks = rows(tmp_path, "look")
    assert looks
    assert all(row["layers"]["1"]["dead"] >= 2 for row in looks)


class Ramp(nn.Layer):
    """An activation of one's own: output = min(max(inputs, 0), 1)."""

    elementwise = True

    def forward(self, inputs, training=False):
        output = self.check_inputs(inputs).clip(inputs, 0.0, 1.0)
        if training:
            self.keep(output, output)
        return output

    def backward(self, dvalues):
        _, output = self.recall(dvalues)
        self.dinputs = dvalues * ((output > 0) & (output < 1))
        return self.dinputs


@pytest.mark.usefixtures("_always")
def test_which_layers_have_dead_neurons(tmp_path):
    """Elementwise ones that make something of their inputs, whoever wrote them."""
    found = {}
    for activation in (Ramp(), nn.GELU(), nn.LeakyReLU(), nn.Tanh(), nn.Dropout(0.5), nn.Softmax()):
        model = nn.Sequential(nn.Dense(64, 6), activation, nn.Dense(6, 10), seed=0)
        model.layers[0].biases[0, :2] = -1000.0
        trainer = build(model=model, loss=nn.SoftmaxCategoricalCrossentropy())
        name = type(activation).__name__
        fit(trainer, nn.Watch(tmp_path / name), epochs=1)
        found[name] = rows(tmp_path / name, "look")[-1]["layers"]["1"].get("dead")
    assert found.pop("Ramp") >= 2
    assert found == {"GELU": 2, "LeakyReLU": 0, "Tanh": 0, "Dropout": None, "Softmax": None}


@pytest.mark.parametrize("accumulate", [1, 3, 4])
@pytest.mark.usefixtures("_always")
def test_the_loss_of_each_step(tmp_path, accumulate):
    batches = [(X[n : n + 50], Y[n : n + 50]) for n in range(0, 330, 50)]
    seen = []
    for data in ((X, Y), (batches, None), (lambda: iter(batches), None)):
        folder = tmp_path / f"{len(seen)}"
        trainer = build()
        history = fit(
            trainer, nn.Watch(folder), X=data[0], Y=data[1], accumulate=accumulate, epochs=3
        )
        found = losses_of(folder)
        each = math.ceil(7 / accumulate)
        assert len(found) == 3 * each == trainer.optimizer.iterations
        if accumulate == 1:
            sizes = np.array([50] * 6 + [30])
            means = np.reshape(found, (3, 7)) @ sizes / 330
            if data[1] is None:
                np.testing.assert_allclose(means, history["loss"], rtol=1e-5)
        seen.append(found)
    assert seen[1] == seen[2]


@pytest.mark.usefixtures("_always")
def test_the_loss_of_a_step_on_several_batches_is_the_mean(tmp_path, monkeypatch):
    epochs = []

    class Noted(run.StepLosses):
        def __init__(self, learner, epoch, steps_made):
            epochs.append(epoch)
            super().__init__(learner, epoch, steps_made)

    monkeypatch.setattr(run, "StepLosses", Noted)
    fit(build(), nn.Watch(tmp_path), epochs=1, accumulate=3)
    each = np.array(epochs[0].losses)
    assert len(each) == 7
    means = [each[:3].mean(), each[3:6].mean(), each[6]]
    assert losses_of(tmp_path) == pytest.approx(means, rel=1e-6)


@pytest.mark.usefixtures("_always")
def test_images_of_other_shapes(tmp_path):
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, 40)
    for n, (shape, given, shown) in enumerate(
        [
            ((4800,), (40, 40, 3), [20, 20]),
            ((6, 5, 3), None, [6, 5]),
            ((20,), (4, 5), [4, 5]),
            ((20,), None, None),
            ((9,), None, None),
        ]
    ):
        x = generator.random((40, *shape), dtype=np.float32)
        layers = nn.Flatten(), nn.Dense(math.prod(shape), 2)
        trainer = build(
            model=nn.Sequential(*layers, input_shape=shape, seed=0),
            loss=nn.SoftmaxCategoricalCrossentropy(),
        )
        folder = tmp_path / f"{n}"
        fit(trainer, nn.Watch(folder, image_shape=given), X=x, Y=y, epochs=6, batch_size=20)
        assert rows(folder, "run")[0]["image_shape"] == shown
        pictures = rows(folder, "pictures")[-1]
        if shown is None:
            assert pictures["weights"] is None
        else:
            assert pictures["weights"]["shape"] == shown
            assert image(pictures["weights"]["images"][0], shown).size
        wrong = [each for row in rows(folder, "pictures") for each in row["misclassified"]]
        assert wrong
        for each in wrong:
            assert (each["image"] is None) == (shown is None)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_filters_of_a_convolution_are_shown(tmp_path, channels):
    x = np.random.default_rng(0).random((40, 6, 5, channels), dtype=np.float32)
    convolution = nn.Conv2D(channels, 20, (3, 2))
    layers = convolution, nn.ReLU(), nn.Flatten(), nn.Dense(4 * 4 * 20, 2)
    trainer = build(
        model=nn.Sequential(*layers, input_shape=x.shape[1:], seed=0),
        loss=nn.SoftmaxCategoricalCrossentropy(),
    )
    fit(trainer, nn.Watch(tmp_path), X=x, Y=np.arange(40) % 2, epochs=2, batch_size=20)
    found = rows(tmp_path, "pictures")[-1]["weights"]
    assert found["shape"] == [3, 2]
    assert len(found["images"]) == 16
    scale = (found["high"] - found["low"]) / 255
    shown = image(found["images"][5], (3, 2)) * scale + found["low"]
    filters = nn.to_numpy(convolution.weights).mean(axis=2)
    np.testing.assert_allclose(np.ravel(shown), filters[:, :, 5].ravel(), atol=scale)


@pytest.mark.usefixtures("_always")
def test_a_regression_has_no_misclassified_samples(tmp_path):
    model = nn.Sequential(nn.Dense(3, 5), nn.ReLU(), nn.Dense(5, 1), seed=0)
    trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(0.01), metrics=(), backend="numpy")
    fit(trainer, nn.Watch(tmp_path), X=X[:, :3], Y=X[:, 3] * 1.0)
    assert rows(tmp_path, "look")
    assert not rows(tmp_path, "pictures"), "there is nothing to show"


@pytest.mark.usefixtures("_always")
def test_yes_or_no_and_labels_that_do_not_count(tmp_path):
    several = np.stack([Y > 4, Y % 2 == 0], axis=1) * 1.0
    ignoring = nn.SoftmaxCategoricalCrossentropy(ignore_index=-1)
    for n, (y, outputs, loss, most) in enumerate(
        [
            ((Y > 4) * 1.0, 1, nn.SigmoidBinaryCrossentropy(), 200),
            (several, 2, nn.SigmoidBinaryCrossentropy(), None),
            (np.where(Y == 2, -1, Y), 10, ignoring, 200 - int((Y[:200] == 2).sum())),
            (np.eye(10)[Y], 10, nn.SoftmaxCategoricalCrossentropy(), 200),
        ]
    ):
        folder = tmp_path / f"{n}"
        trainer = build(model=nn.Dense(64, outputs, seed=0), loss=loss, metrics=())
        fit(trainer, nn.Watch(folder), Y=y)
        pictures = rows(folder, "pictures")
        assert pictures
        for row in pictures:
            if most is None:
                assert row["n_wrong"] is row["misclassified"] is None
            else:
                assert 0 < row["n_wrong"] <= most
                assert row["n_samples"] == 200
                assert all(each["true"] != each["predicted"] for each in row["misclassified"])
                assert "-1" not in [each["true"] for each in row["misclassified"]]


@pytest.mark.usefixtures("_always")
def test_sparse_samples_and_words(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    trainer = build(loss=nn.CategoricalCrossentropy())
    fit(trainer, nn.Watch(tmp_path / "a"), X=sparse.csr_array(np.where(X > 0.9, X, 0)))
    assert rows(tmp_path / "a", "look")
    assert rows(tmp_path / "a", "pictures")[0]["weights"]
    words = np.random.default_rng(0).integers(0, 9, (330, 16))
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Dense(64, 10), input_shape=(16,))
    trainer = build(model=model, loss=nn.SoftmaxCategoricalCrossentropy())
    fit(trainer, nn.Watch(tmp_path / "b"), X=words)
    assert rows(tmp_path / "b", "run")[0]["image_shape"] is None, "codes are no pixels"
    assert rows(tmp_path / "b", "look")[0]["layers"]["0"]["units"] == 4


@pytest.mark.usefixtures("_always")
def test_a_single_layer_and_frozen_ones(tmp_path):
    frozen = nn.Dense(64, 8, trainable=False)
    trainer = build(
        model=nn.Sequential(frozen, nn.Dense(8, 10), seed=0),
        loss=nn.SoftmaxCategoricalCrossentropy(),
    )
    fit(trainer, nn.Watch(tmp_path / "a"))
    figures = rows(tmp_path / "a", "look")[0]["layers"]
    assert "gradient_norm" not in figures["0"]
    assert figures["0"]["weight_norm"] > 0
    assert figures["1"]["update_size"] > 0
    alone = build(model=nn.Dense(64, 10, seed=0), loss=nn.SoftmaxCategoricalCrossentropy())
    fit(alone, nn.Watch(tmp_path / "b"))
    assert rows(tmp_path / "b", "run")[0]["layers"] == [{"name": "", "kind": "Dense"}]
    assert rows(tmp_path / "b", "look")[0]["layers"][""]["update_size"] > 0


@pytest.mark.usefixtures("_always")
def test_pictures_are_rare(tmp_path):
    fit(build(), nn.Watch(tmp_path), epochs=9)
    n = len(rows(tmp_path, "look"))
    assert n == 9 * 7 // 2 + 1
    assert len(rows(tmp_path, "pictures")) == math.ceil((n - 1) / 10) + 1


# What it leaves as it is


OTHERS = {
    "SGD": {},
    "averages": {"optimizer": lambda: nn.Adam(0.01, average_decay=0.9, clip_norm=1.0)},
    "narrow": {"precision": "bfloat16"},
    "no graph": {"graph": False},
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.usefixtures("_always")
def test_a_watched_training_has_the_same_bits(backend, name, tmp_path):
    if name == "narrow" and not backend.name.startswith("cupy"):
        pytest.skip("it takes long without a GPU that has the type")
    found = []
    for watched in (False, True):
        settings = {key: value for key, value in OTHERS[name].items() if key != "optimizer"}
        optimizer = OTHERS[name].get("optimizer", lambda: None)()
        trainer = build(backend, optimizer=optimizer, **settings)
        callbacks = [nn.Watch(tmp_path, share=1.0)] if watched else []
        history = fit(trainer, *callbacks, epochs=3, validation_data=VALIDATION)
        buffers = [nn.to_numpy(each).tobytes() for each in trainer.model.buffers().values()]
        found.append((dict(history), bits(trainer), buffers, trainer.learner.count))
    assert len(rows(tmp_path, "look")) > 5
    assert found[0] == found[1]


def test_recorded_steps_stay_as_they_are(backend, tmp_path, monkeypatch):
    asked, told = [], []
    holds, step = RecordedStep.holds, Recorder.step_in_epoch

    def count_holds(self, *arguments):
        asked.append(self)
        return holds(self, *arguments)

    def note(self, *arguments, unwatched=False):
        told.append(unwatched)
        return step(self, *arguments, unwatched=unwatched)

    monkeypatch.setattr(RecordedStep, "holds", count_holds)
    monkeypatch.setattr(Recorder, "step_in_epoch", note)
    found = {}
    for name, callbacks in {
        "nothing": [],
        "watched": [nn.Watch(tmp_path)],
        "epochs": [nn.EarlyStopping("loss", patience=9), nn.CSVLogger(tmp_path / "log.csv")],
        "steps": [nn.GradientFlow()],
        "a function": [nn.LambdaCallback(on_step_end=lambda trainer: None)],
    }.items():
        asked.clear()
        told.clear()
        trainer = build(backend)
        fit(trainer, *callbacks, epochs=4)
        found[name] = len(asked), list(told), trainer.recorder.recordings, trainer.recorder.refused
    n_asked, plain, *recorded = found["nothing"]
    assert plain == [False, False, True, True, True, True, True] * 4
    assert found["watched"] == found["nothing"]
    assert found["epochs"][1] == [False, False, True, True, True, True, False] * 4
    assert not any(found["steps"][1])
    assert not any(found["a function"][1])
    if trainer.recorder.records:
        assert recorded[0] == 2, "whole batches and the last one"
        assert n_asked < found["epochs"][0] < found["steps"][0]
    assert all(each[2:] == tuple(recorded) for each in found.values())


def test_a_setting_that_changes_between_epochs_is_seen(backend):
    """Also by the recording of the last batch, which is a smaller one."""

    class Louder(nn.Callback):
        def on_epoch_end(self, trainer, figures):
            if trainer.epoch == 3:  # by then both are recorded
                trainer.model.layers[3].rate = 0.6

    found = []
    for graph in (True, False):
        trainer = build(backend, graph=graph)
        found.append((dict(fit(trainer, Louder(), epochs=5)), bits(trainer)))
    assert found[0] == found[1]


def test_checkpoints_say_nothing_of_it(tmp_path):
    whole = build()
    expected = fit(whole, epochs=3)
    for first, then in ((True, False), (False, True), (True, True)):
        folder = tmp_path / f"{first}{then}"
        seen = [[nn.Watch(folder / "watched")] if each else [] for each in (first, then)]
        fit(build(), *seen[0], epochs=1, checkpoint=folder / "kept")
        trainer = build()
        found = fit(trainer, *seen[1], epochs=3, checkpoint=folder / "kept", resume=True)
        assert found == expected
        assert bits(trainer) == bits(whole)


class Stop(nn.Callback):
    """Ends a training as Ctrl-C does where nothing else is to be done."""

    def on_step_end(self, trainer):
        if (trainer.epoch, trainer.step) == (1, 4):
            raise KeyboardInterrupt


class Stays(nn.Callback):
    """Stands for the other when the training goes on."""


Stays.__name__ = "Stop"


def test_a_resumed_training_begins_where_it_goes_on(tmp_path):
    kept = nn.Checkpoints(tmp_path / "kept", every_steps=3)
    with pytest.raises(KeyboardInterrupt):
        fit(build(), Stop(), nn.Watch(tmp_path), epochs=3, checkpoint=kept)
    assert len(losses_of(tmp_path)) == 11, "all steps that were made"
    assert not rows(tmp_path, "end")
    again = build()
    fit(again, Stays(), nn.Watch(tmp_path), epochs=3, checkpoint=kept, resume=True)
    assert [row["step"] for row in rows(tmp_path, "run")] == [0, 10]
    folder = tmp_path / "whole"
    fit(build(), nn.Watch(folder), epochs=3)
    assert losses_of(tmp_path) == losses_of(folder)
    assert [row["epoch"] for row in rows(tmp_path, "epoch")] == [1, 2, 3]
    assert rows(tmp_path, "end")[0]["step"] == 21


def test_a_further_fit_goes_on_and_a_new_one_begins_anew(tmp_path):
    watch = nn.Watch(tmp_path)
    trainer = build()
    fit(trainer, watch, epochs=1)
    fit(trainer, watch, epochs=2)
    assert [row["step"] for row in rows(tmp_path, "run")] == [0, 7]
    assert [row["epoch"] for row in rows(tmp_path, "epoch")] == [1, 2, 3]
    assert len(losses_of(tmp_path)) == 21
    fit(build(), watch, epochs=1)
    assert rows(tmp_path, "run")[-1]["step"] == 0
    assert len(losses_of(tmp_path)) == 7


def test_two_trainings_that_take_turns(tmp_path):
    trainers = build(), build()
    for _ in range(2):
        for n, trainer in enumerate(trainers):
            fit(trainer, nn.Watch(tmp_path / f"{n}"), epochs=1)
    assert losses_of(tmp_path / "0") == losses_of(tmp_path / "1")
    assert len(losses_of(tmp_path / "0")) == 14


# What goes wrong


@pytest.mark.usefixtures("_always")
def test_what_is_not_finite_is_null(tmp_path):
    trainer = build(
        model=nn.Sequential(nn.Dense(64, 8), nn.Dense(8, 10), seed=0),
        optimizer=nn.SGD(1e30),
        loss=nn.SoftmaxCategoricalCrossentropy(),
    )
    with pytest.raises(DivergenceError), np.errstate(all="ignore"):
        fit(trainer, nn.Watch(tmp_path))
    found = losses_of(tmp_path)
    assert len(found) == 7, "those after the bad one too"
    assert math.isfinite(found[0])
    assert None in found
    figures = rows(tmp_path, "look")[-1]["layers"]["0"]
    assert figures["weight_norm"] is None
    assert "outputs" not in figures
    assert not rows(tmp_path, "end")


def test_a_disk_that_is_full_for_a_while(tmp_path, monkeypatch):
    write, tries = os.write, []

    def full(descriptor, content):
        tries.append(len(content))
        if 3 <= len(tries) <= 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content[: max(1, len(content) // 2)])

    monkeypatch.setattr(watch_file.os, "write", full)
    with pytest.warns(TrainingWarning, match="goes on, but what is watched could not be") as found:
        history = fit(build(), nn.Watch(tmp_path), epochs=4)
    assert len(found) == 1
    assert history.epochs == 4
    assert len(losses_of(tmp_path)) == 28
    assert len(rows(tmp_path, "epoch")) == 4


def test_a_disk_that_stays_full(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(watch_file.os, "write", full)
    monkeypatch.setattr(watch_file, "_MOST_UNWRITTEN", 100)
    watch = nn.Watch(tmp_path)
    with pytest.warns(TrainingWarning, match="could not be written") as found:
        assert fit(build(), watch, epochs=4).epochs == 4
    assert len(found) == 1
    assert not (tmp_path / "watch.jsonl").read_bytes()


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    trainer = build()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ArgumentError, match="cannot write"):
            fit(trainer, nn.Watch(folder))
    (tmp_path / "a" / "watch.jsonl").mkdir(parents=True)
    with pytest.raises(ArgumentError, match="it is a folder"):
        fit(trainer, nn.Watch(tmp_path / "a"))
    with pytest.raises(ArgumentError, match=r"Watch and Watch both write to .*watch\.jsonl"):
        fit(trainer, nn.Watch(tmp_path), nn.Watch(tmp_path / "a" / ".."))
    assert trainer.optimizer.iterations == 0


class Shy(nn.Layer):
    """Fails where it is looked at."""

    def forward(self, inputs, training=False):
        if not training and inputs.shape[0] not in (1, 50):
            raise ZeroDivisionError("not now")
        if training:
            self.keep(inputs)
        return inputs

    def backward(self, dvalues):
        self.recall(dvalues)
        self.dinputs = dvalues
        return dvalues


@pytest.mark.usefixtures("_always")
def test_a_layer_that_cannot_be_looked_at_ends_no_training(tmp_path):
    model = nn.Sequential(nn.Dense(64, 10), Shy(), seed=0)
    trainer = build(model=model, loss=nn.SoftmaxCategoricalCrossentropy())
    with pytest.warns(TrainingWarning, match="not looked at: ZeroDivisionError: not now") as found:
        fit(trainer, nn.Watch(tmp_path))
    assert len(found) == 1
    assert len(losses_of(tmp_path)) == 14
    assert not rows(tmp_path, "look")


@pytest.mark.usefixtures("_always")
def test_a_look_of_ones_own_that_fails_ends_the_training():
    class Looks(nn.Callback):
        only_watches, look_share = True, 0.5

        def look(self, sight, *, last=False):
            raise ZeroDivisionError(f"after step {sight.step}")

    with pytest.raises(ZeroDivisionError, match="after step 1"):
        fit(build(), Looks())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 0}, "`share` must be above 0"),
        ({"share": 1.5}, "`share` must be at most 1; got 1.5"),
        ({"share": "much"}, "`share` must be"),
        ({"samples": X}, r"`samples` must be \(X, y\)"),
        ({"classes": "abc"}, "`classes` must be a sequence of names; got 'abc'"),
        ({"image_shape": (3,)}, "`image_shape` must be"),
        ({"image_shape": (8, 0)}, "`image_shape` must be"),
        ({"image_shape": (8, 8, 2)}, "`image_shape` must be"),
        ({"folder": 3}, "`folder` must be a string"),
        ({"folder": ""}, "`folder` must not be empty"),
    ],
)
def test_settings_that_are_none_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        nn.Watch(**{"folder": "runs", **settings})


def test_samples_that_do_not_fit_are_refused(tmp_path):
    trainer = build()
    with pytest.raises(ShapeError, match=r"`image_shape` \(4, 4\) is of 16 numbers; a sample has"):
        fit(trainer, nn.Watch(tmp_path, image_shape=(4, 4)))
    with pytest.raises(ShapeError, match="samples"):
        fit(trainer, nn.Watch(tmp_path, samples=(X[:, :5], Y)))
    assert trainer.optimizer.iterations == 0


def test_its_repr():
    assert repr(nn.Watch("runs/a")) == "Watch('runs/a')"
    text = repr(nn.Watch("runs/a", share=0.1, image_shape=(8, 8), samples=(X, Y)))
    assert text.startswith("Watch('runs/a', share=0.1, samples=(<ndarray of shape (330, 64)>, ")


# When it looks


def spending(seconds, clock, noted):
    """A callback that looks, and takes so long each time: a number, or a function's answer."""

    class Looks(nn.Callback):
        only_watches = True
        look_share = 0.1

        def look(self, sight, *, last=False):
            clock.now += seconds() if callable(seconds) else seconds
            noted.append((clock.now, last))
            return False

    return Looks()


def passing(clock, seconds):
    return nn.LambdaCallback(on_step_end=lambda trainer: setattr(clock, "now", clock.now + seconds))


def test_a_short_training_is_looked_at_in_the_end(tmp_path):
    fit(build(), nn.Watch(tmp_path), epochs=2)  # less than a second
    (look,) = rows(tmp_path, "look")
    assert look["step"] == 14
    first = look["layers"]["0"]
    assert first["gradient_norm"] > 0
    assert first["weight_norm"] > 0
    assert sum(first["gradients"][2]) > 0
    assert sum(first["outputs"][2]) > 0
    (pictures,) = rows(tmp_path, "pictures")
    assert len(pictures["weights"]["images"]) == 16
    assert pictures["misclassified"]
    assert pictures["n_wrong"] >= len(pictures["misclassified"])


def test_no_look_before_it_was_earned(clock, tmp_path):
    fit(build(), passing(clock, 0.1), nn.Watch(tmp_path / "a"), epochs=2)  # 1.4 seconds
    (last,) = rows(tmp_path / "a", "look")
    assert last["step"] == 14, "but for the last one"
    fit(build(), passing(clock, 0.2), nn.Watch(tmp_path / "b"), epochs=2)  # 2.8 seconds
    first, *_ = rows(tmp_path / "b", "look")
    assert first["step"] == 12, "2 seconds had passed before step 11, and a look takes two steps"


def test_a_last_look_that_costs_much_must_be_earned(clock, monkeypatch):
    """A training of 7 seconds; where a look of 0.06 s is earned, it is so in the last step."""
    for expected, share, is_made in [
        (0.05, 0.001, True),
        (0.06, 0.001, False),
        (0.06, 0.0087, True),
    ]:
        monkeypatch.setattr(looking, "_EXPECTED", expected)
        noted = []
        looks = spending(expected, clock, noted)
        looks.look_share = share
        fit(build(), passing(clock, 0.5), looks, epochs=2)
        assert [last for _, last in noted] == [True] * is_made


def test_no_more_time_is_spent_than_was_earned(clock):
    noted, begun = [], clock.now
    looks = spending(0.5, clock, noted)
    fit(build(), passing(clock, 0.4), looks, epochs=30)  # 84 seconds
    assert len(noted) > 10
    for n, (time, _) in enumerate(noted[1:], 2):
        assert 0.5 * n <= 0.1 * (time - begun)


def test_one_slow_look_changes_little(clock):
    noted = []
    costs = [0.1, 0.1, 0.1, 20.0]
    looks = spending(lambda: costs.pop(0) if costs else 0.1, clock, noted)
    fit(build(), passing(clock, 0.05), looks, epochs=1000)  # 350 seconds
    times = [time for time, _ in noted]
    gaps = np.diff(times)
    assert gaps[2] == pytest.approx(21, rel=0.1), "the slow look itself"
    assert gaps[3] == pytest.approx(203 - (times[3] - 100), rel=0.1), "it is earned, and no more"
    assert len(gaps) > 50
    assert max(gaps[4:]) < 1.3, "then all is as before"


def test_looks_come_evenly_after_a_time_without(clock):
    """A validation, say, in which none can be made."""
    noted = []

    def wait(trainer):
        clock.now += 100.0 if trainer.step == 1 else 0.1

    looks = spending(0.1, clock, noted)
    fit(build(), nn.LambdaCallback(on_step_end=wait), looks, epochs=2, batch_size=5)  # 132 steps
    gaps = np.diff([time for time, _ in noted])
    assert len(gaps) > 5
    assert min(gaps[:-1]) >= 1.0


def test_a_look_that_costs_nothing_is_made_at_intervals(clock):
    noted = []
    fit(build(), passing(clock, 1.0), spending(0.0, clock, noted), epochs=600)  # 4200 seconds
    assert 1000 < len(noted) < 1700  # 500 while the time grows by the factor e
    late = [time for time, last in noted if time > 4000 and not last]
    assert min(np.diff(late)) >= 7


@pytest.mark.usefixtures("_always")
def test_a_look_goes_on_after_the_next_step():
    class Looks(nn.Callback):
        only_watches, look_share = True, 1.0

        def __init__(self):
            self.steps = []

        def look(self, sight, *, last=False):
            self.steps.append((sight.step, last))
            return len(self.steps) % 2 == 1

    looks = Looks()
    fit(build(), looks, epochs=1)
    assert looks.steps == [(n, False) for n in range(1, 8)] + [(7, True)]


def test_a_watch_alone_has_no_hook_called_in_a_step(monkeypatch, tmp_path):
    called = []
    call = run.Accord.call

    def note(self, hook, *arguments):
        called.append(hook)
        call(self, hook, *arguments)

    monkeypatch.setattr(run.Accord, "call", note)
    fit(build(), nn.Watch(tmp_path), epochs=1)
    assert "on_step_end" not in called
    fit(build(), nn.GradientFlow(), epochs=1)
    assert called.count("on_step_end") == 7
    late = nn.Callback()
    late.on_step_end = lambda trainer: None
    fit(build(), late, epochs=1)
    assert called.count("on_step_end") == 14


# Several processes


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.usefixtures("_always")
def test_only_the_first_process_writes(tmp_path, sharded):
    def work(group):
        folder = tmp_path / f"{group.rank}"
        trainer = build(
            group=group,
            shard_optimizer=sharded,
            model=nn.Sequential(nn.Dense(64, 16), nn.ReLU(), nn.Dense(16, 10), seed=0),
            loss=nn.SoftmaxCategoricalCrossentropy(),
        )
        history = fit(trainer, nn.Watch(folder), validation_data=VALIDATION)
        return dict(history), bits(trainer)

    found = in_threads(fake_groups(2), work)
    assert found[0] == found[1]
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    assert len(losses_of(tmp_path / "0")) == 14
    figures = rows(tmp_path / "0", "look")[0]["layers"]["0"]
    assert figures["update_size"] > 0
    assert ("gradient_norm" in figures) == (not sharded)


def test_processes_that_differ_in_it_are_refused(tmp_path):
    def work(group):
        callbacks = [nn.Watch(tmp_path)] if group.rank else []
        fit(build(group=group), *callbacks)

    with pytest.raises(nn.errors.DistributedError, match="callbacks"):
        in_threads(fake_groups(2), work)


# The command


@pytest.fixture
def page(monkeypatch):
    import nnfs_xp.see

    noted = []

    class Page:
        url = "http://127.0.0.1:1/secret/"
        done = noted

        def __init__(self, folder, *, port, allow_hosts):
            self.done.append(("open", folder, port, tuple(allow_hosts)))

        def wait(self):
            self.done.append("wait")

        def close(self):
            self.done.append("close")

    monkeypatch.setattr(nnfs_xp.see, "watch", Page, raising=False)
    monkeypatch.setattr("nnfs_xp.cli.datasets.draw_pictures", lambda *_: None)
    return Page


def test_the_command_serves_a_page_meanwhile(page, tmp_path, capsys):
    from nnfs_xp.cli import main

    common = "--hidden", "8", "--backend", "numpy", "--out", str(tmp_path / "a")
    assert main(["train", "--epochs", "1", *common, "--watch"]) == 0
    out = capsys.readouterr().out
    assert f"watch it at {page.url}\n" in out
    assert out.endswith(f"see how it went: nnfs-xp watch {tmp_path / 'a'}\n")
    assert page.done == [("open", tmp_path / "a", 0, ()), "close"]
    begun = rows(tmp_path / "a", "run")[0]
    assert begun["classes"] == list("0123456789")
    assert begun["image_shape"] == [8, 8]
    assert main(["train", "--epochs", "2", *common, "--resume"]) == 0, "without it"
    assert "watch" not in capsys.readouterr().out


def test_on_a_terminal_the_page_stays(page, tmp_path, capsys, monkeypatch):
    from nnfs_xp.cli import main

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    command = ["train", "--epochs", "1", "--hidden", "8", "--backend", "numpy"]
    address = ["--port", "8123", "--allow-host", "a.example", "--allow-host", "b.example"]
    assert main([*command, "--out", str(tmp_path / "a"), "--watch", *address]) == 0
    opened = "open", tmp_path / "a", 8123, ("a.example", "b.example")
    assert page.done == [opened, "wait", "close"]
    assert capsys.readouterr().out.endswith(f"the page stays at {page.url}\nCtrl-C ends it\n")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
def test_ctrl_c_ends_the_page_after_the_training(tmp_path):
    import pty
    import signal

    parent, child = pty.openpty()
    command = [sys.executable, "-m", "nnfs_xp", "train", "--epochs", "1", "--hidden", "8"]
    process = subprocess.Popen(
        [*command, "--backend", "numpy", "--out", str(tmp_path / "a"), "--watch"],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.DEVNULL,
        stdout=child,
        stderr=subprocess.DEVNULL,
    )
    os.close(child)
    said = b""
    try:
        while b"Ctrl-C ends it" not in said:
            said += os.read(parent, 1000)
        assert b"test accuracy" in said
        url = urlsplit(said.split(b"the page stays at ")[1].split()[0].decode())
        connection = http.client.HTTPConnection("127.0.0.1", url.port, timeout=30)
        connection.request("GET", url.path)
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(parent)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", url.port), timeout=30)


def test_a_port_that_is_taken_is_refused_before_the_training(tmp_path, capsys):
    from nnfs_xp.cli import main

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = ["train", "--backend", "numpy", "--out", str(tmp_path / "a"), "--watch"]
        assert main([*command, "--port", port]) == 2
    assert port in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("option", ["--port 0", "--allow-host a.example"])
def test_options_of_the_page_need_it(option, tmp_path, capsys):
    from nnfs_xp.cli import main

    name, value = option.split()
    assert main(["train", name, value, "--out", str(tmp_path / "a")]) == 2
    assert capsys.readouterr().err == (
        f"nnfs-xp: error: {name} needs --watch, whose page it is for.\n"
    )
    assert main(["train", "table.csv", "--target", "b", name, value]) == 2
    assert capsys.readouterr().err == f"nnfs-xp: error: {name} does not go with a file.\n"
    assert list(tmp_path.iterdir()) == []


def test_the_command_refuses_to_watch_what_it_cannot(tmp_path, capsys):
    from nnfs_xp.cli import main

    assert main(["train", "--ray", "2", "--watch"]) == 2
    assert "--watch does not go with --ray" in capsys.readouterr().err
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n")
    assert main(["train", str(table), "--target", "b", "--watch"]) == 2
    assert "--watch does not go with a file" in capsys.readouterr().err


def test_the_benchmark():
    command = [sys.executable, "-m", "benchmarks", "watching", "--works", "b", "--batches", "9"]
    done = subprocess.run(
        [*command, "--rounds", "1", "--seconds", "0.1", "--epochs", "2"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("| b | 9 |")]
    assert float(line.split("|")[4]) > 0


def test_the_losses_of_an_epoch_that_diverged_are_kept(tmp_path):
    """The steps are made again to find the first that is not finite, and its losses are others."""
    X = np.random.default_rng(0).normal(size=(64, 3))
    model = nn.Sequential(nn.Dense(3, 8), nn.ReLU(), nn.Dense(8, 1), seed=0)
    trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(1e10), backend="numpy")
    settings = {"epochs": 3, "batch_size": 16, "callbacks": [nn.Watch(tmp_path)], "progress": False}
    with pytest.raises(DivergenceError), np.errstate(all="ignore"):
        trainer.fit(X, X[:, :1], **settings)
    losses = [loss for row in rows(tmp_path, "steps") for loss in row["losses"]]
    assert losses[0] > 0
    assert losses[-1] is None


def test_a_hook_that_is_set_in_the_middle_of_an_epoch_is_called():
    calls, later = [], nn.Callback()

    def set_it(trainer):
        if trainer.step == 3:
            later.on_step_end = lambda trainer: calls.append(trainer.step)

    fit(build(), nn.LambdaCallback(on_step_end=set_it), later, epochs=1)
    assert calls[0] in (3, 4)
    assert len(calls) > 3


def test_a_watch_is_for_one_fit_at_a_time(tmp_path):
    watch = nn.Watch(tmp_path)

    class Within(nn.Callback):
        def on_epoch_end(self, trainer, figures):
            with pytest.raises(ArgumentError, match="watches another fit"):
                fit(build(), watch)

    with pytest.raises(ArgumentError, match="let go by another fit"):
        fit(build(), Within(), watch)
    fit(build(), watch)


def test_a_hook_that_is_set_in_the_middle_of_an_epoch_ends_the_trust():
    actor, data = nn.Callback(), SimpleNamespace(is_watched=False)
    trust = Trust([actor], data, first=0)
    assert [trust.covers(index, ()) for index in range(4)] == [False, False, True, True]
    actor.on_step_end = lambda trainer: None
    assert not trust.covers(4, ())
