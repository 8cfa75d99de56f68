"""Callbacks, divergence, averages of the weights, and many threads at once."""

from __future__ import annotations

import copy
import csv
import json
import math
import pickle
import threading
import tracemalloc
import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest
from test_checkpoints import (
    X_TEST,
    Y_TEST,
    CutError,
    X,
    Y,
    build,
    cut_at,
    fit,
    idle,
    weights,
)

import nnfs_xp as nn

VALIDATION = (X_TEST[:100], Y_TEST[:100])


class Recorder(nn.Callback):
    def __init__(self):
        self.calls = []

    def on_train_begin(self, trainer):
        self.calls.append(("train_begin", trainer.epoch))
        self.names = list(trainer.figure_names)

    def on_epoch_begin(self, trainer):
        self.calls.append(("epoch_begin", trainer.epoch))

    def on_step_end(self, trainer):
        self.calls.append(("step_end", trainer.step))

    def on_epoch_end(self, trainer, figures):
        self.calls.append(("epoch_end", trainer.epoch))
        self.figures = dict(figures)

    def on_train_end(self, trainer):
        self.calls.append(("train_end", trainer.epoch))


def test_hooks_are_called_in_order():
    recorder = Recorder()
    history = build().fit(
        X[:100],
        Y[:100],
        epochs=2,
        batch_size=50,
        progress=False,
        callbacks=[recorder],
        validation_data=VALIDATION,
    )
    epochs = [
        [("epoch_begin", n), ("step_end", 1), ("step_end", 2), ("epoch_end", n + 1)] for n in (0, 1)
    ]
    assert recorder.calls == [("train_begin", 0), *epochs[0], *epochs[1], ("train_end", 2)]
    assert recorder.figures == {name: values[-1] for name, values in history.items()}
    assert recorder.names == list(recorder.figures)


def test_early_stopping_ends_and_restores_the_best():
    class Figures(nn.Callback):
        """Puts figures of its own in the place of the epoch's."""

        def __init__(self, values):
            self.values, self.weights = values, []

        def on_epoch_end(self, trainer, figures):
            figures["val_loss"] = self.values[trainer.epoch - 1]
            self.weights.append(weights(trainer))

    for restore in (True, False):
        figures = Figures([3, 2, 2.5, 1.99, 2.4, 0])
        stopping = nn.EarlyStopping("val_loss", patience=3, min_delta=0.1, restore_best=restore)
        trainer = build()
        history = fit(trainer, 20, validation_data=VALIDATION, callbacks=[figures, stopping])
        assert history.epochs == 5
        assert np.array_equal(weights(trainer), figures.weights[1 if restore else -1])
        assert stopping.monitor.best == 2
        assert trainer.fit(X[:50], Y[:50], epochs=1, progress=False).epochs == 1, "it can go on"


@pytest.mark.parametrize(
    "callback",
    [
        nn.EarlyStopping("val_loss"),
        nn.EarlyStopping("nothing"),
        nn.ModelCheckpoint("model", "val_accuracy"),
    ],
)
def test_a_figure_that_does_not_exist_is_refused_before_the_first_step(callback):
    trainer = build()
    with pytest.raises(
        nn.errors.ArgumentError, match=r"there is no figure .* to monitor; there are"
    ):
        fit(trainer, callbacks=[callback])
    assert trainer.optimizer.iterations == 0


def test_a_schedule_that_monitors_what_does_not_exist_is_refused():
    trainer = build(optimizer=nn.Adam(nn.ReduceOnPlateau(0.01)))
    with pytest.raises(nn.errors.ArgumentError, match=r"'val_loss' .* Give validation_data"):
        fit(trainer)
    assert trainer.optimizer.iterations == 0


def test_model_checkpoint_keeps_the_best_model(tmp_path):
    trainer = build()
    callbacks = [
        nn.ModelCheckpoint(tmp_path / "best.safetensors", "val_accuracy"),
        nn.ModelCheckpoint(tmp_path / "{epoch}.safetensors", save_best_only=False),
    ]
    history = fit(trainer, 4, validation_data=VALIDATION, callbacks=callbacks)
    best = int(np.argmax(history["val_accuracy"])) + 1
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"best.safetensors", *(f"{n}.safetensors" for n in range(1, 5))}
    values = [
        nn.load(tmp_path / f"{name}.safetensors", "numpy").flat.values for name in ("best", best)
    ]
    assert np.array_equal(*values)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


class Noting(nn.Callback):
    def __init__(self):
        self.calls = []

    def reset(self):
        self.calls.append("reset")

    def go_on(self):
        self.calls.append("go on")


class TestAFurtherFit:
    """Called again, a training goes on, and with it its callbacks."""

    def test_a_worse_model_does_not_take_the_place_of_a_better_one(self, tmp_path):
        keep = nn.ModelCheckpoint(tmp_path / "best", "val_loss")
        trainer = build()
        history = fit(trainer, 3, validation_data=VALIDATION, callbacks=[keep])
        best, written = keep.monitor.best, (tmp_path / "best").read_bytes()
        assert best == min(history["val_loss"])
        other = fit(
            trainer, 1, validation_data=(VALIDATION[0], 9 - VALIDATION[1]), callbacks=[keep]
        )
        assert other["val_loss"][0] > best
        assert keep.monitor.best == best
        assert (tmp_path / "best").read_bytes() == written
        more = fit(trainer, 5, validation_data=VALIDATION, callbacks=[keep])
        assert keep.monitor.best == min(more["val_loss"]) < best
        assert (tmp_path / "best").read_bytes() != written

    def test_early_stopping_keeps_its_best_and_waits_anew(self):
        stopping = nn.EarlyStopping("val_loss", patience=3)
        trainer = build()
        fit(trainer, 4, validation_data=VALIDATION, callbacks=[stopping])
        best, best_weights = stopping.monitor.best, weights(trainer)
        worse = (VALIDATION[0], 9 - VALIDATION[1])
        for _ in range(2):
            history = fit(trainer, 10, validation_data=worse, callbacks=[stopping])
            assert history.epochs == 3, "it waits for so many epochs in each fit"
            assert min(history["val_loss"]) > best == stopping.monitor.best
            assert np.array_equal(weights(trainer), best_weights)

    def test_a_training_that_had_stopped_stays_so_when_it_is_resumed(self, tmp_path):
        def run(resume):
            stopping = nn.EarlyStopping("val_loss", patience=3, min_delta=100.0)
            trainer, options = build(), {"checkpoint": tmp_path / "kept", "resume": resume}
            fit(trainer, 10, validation_data=VALIDATION, callbacks=[stopping], **options)
            return trainer.history.epochs, weights(trainer)

        epochs, kept = run(resume=False)
        assert epochs == 4
        again, resumed = run(resume=True)
        assert again == epochs
        assert np.array_equal(resumed, kept)

    def test_csv_logger_keeps_the_rows_of_the_fits_before(self, tmp_path):
        log = nn.CSVLogger(tmp_path / "log.csv")
        trainer = build()
        first = fit(trainer, 2, callbacks=[log])
        second = fit(trainer, 2, validation_data=VALIDATION, callbacks=[log])
        third = fit(trainer, 1, callbacks=[log])
        rows = rows_of(tmp_path / "log.csv")
        assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5"]
        losses = [*first["loss"], *second["loss"], *third["loss"]]
        assert [float(row["loss"]) for row in rows] == losses
        validated = [row["val_loss"] for row in rows]
        assert validated == ["", "", *map(str, second["val_loss"]), ""]

    def test_another_training_begins_anew(self, tmp_path):
        noting, log = Noting(), nn.CSVLogger(tmp_path / "log.csv")
        first, second = build(), build()
        for trainer in (first, first, second, second, first):
            fit(trainer, 1, callbacks=[noting, log])
        assert noting.calls == ["reset", "go on", "reset", "go on", "reset"]
        assert [row["epoch"] for row in rows_of(tmp_path / "log.csv")] == ["3"]
        noting.calls.clear()
        fit(copy.deepcopy(first), 1, callbacks=[copy.copy(noting)])
        assert noting.calls == ["reset"], "a copy of a training is another"
        for make_copy in (copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))):
            noting.calls.clear()
            twin, copied = make_copy((first, noting))
            fit(twin, 1, callbacks=[copied])
            assert copied.calls == ["go on"], "copied together, they belong together"

    def test_frozen_data_classes_serve(self):
        @dataclass(frozen=True)
        class Frozen(nn.Callback):
            calls: list[str] = field(default_factory=list)

            def go_on(self):
                self.calls.append("go on")

        frozen, trainer = Frozen(), build()
        for _ in range(2):
            fit(trainer, 1, callbacks=[frozen])
        assert frozen.calls == ["go on"]

    def test_a_fit_that_is_refused_resets_nothing(self):
        stopping = nn.EarlyStopping("loss")
        fit(build(), 2, callbacks=[stopping])
        best = stopping.monitor.best
        with pytest.raises(nn.errors.ArgumentError):
            fit(build(), callbacks=[stopping, nn.EarlyStopping("nothing")])
        assert stopping.monitor.best == best

    def test_the_gradients_norms_are_added_to(self):
        flow, trainer = nn.GradientFlow(), build()
        fit(trainer, 1, callbacks=[flow])
        before = flow.norms()
        trainer.model.layers[0].trainable = False
        other = nn.Trainer(trainer.model, trainer.loss, nn.SGD(0.1), backend="numpy")
        fit(trainer := build(), 1, callbacks=[flow])
        fit(trainer, 2, callbacks=[flow])
        norms = flow.norms()
        assert {len(values) for values in norms.values()} == {18}
        assert {name: values[:6] for name, values in norms.items()} == before
        assert flow.norms() == norms
        fit(other, 1, callbacks=[flow])
        assert set(flow.norms()) == {"3.weights", "3.biases"}
        assert {len(values) for values in flow.norms().values()} == {6}


class TestResumedCallbacks:
    def run(self, folder, callbacks, **cut):
        trainer = build()
        return fit(
            trainer,
            4,
            validation_data=VALIDATION,
            checkpoint=folder,
            callbacks=[*callbacks(), cut_at(**cut) if cut else idle()],
            resume=not cut,
        )

    def test_csv_logger_has_all_rows(self, tmp_path):
        def build_it(name):
            return lambda: [nn.CSVLogger(tmp_path / name)]

        self.run(tmp_path / "whole", build_it("whole.csv"))
        with pytest.raises(CutError):
            self.run(tmp_path / "cut", build_it("cut.csv"), epoch=2, step=3)
        (tmp_path / "cut.csv").unlink()
        self.run(tmp_path / "cut", build_it("cut.csv"))
        assert (tmp_path / "cut.csv").read_text() == (tmp_path / "whole.csv").read_text()
        assert len(rows_of(tmp_path / "cut.csv")) == 4

    def test_csv_logger_has_the_rows_of_an_earlier_fit_too(self, tmp_path):
        def two_fits(resumed):
            trainer, log = build(), nn.CSVLogger(tmp_path / "log.csv")
            fit(trainer, 2, callbacks=[log])
            options = {"checkpoint": tmp_path / "cut", "validation_data": VALIDATION}
            if resumed:
                trainer, log = build(), nn.CSVLogger(tmp_path / "log.csv")
                return fit(trainer, 2, callbacks=[log, idle()], resume=True, **options)
            return fit(trainer, 2, callbacks=[log, cut_at(3, 2)], **options)

        with pytest.raises(CutError):
            two_fits(resumed=False)
        before = rows_of(tmp_path / "log.csv")
        (tmp_path / "log.csv").unlink()
        two_fits(resumed=True)
        rows = rows_of(tmp_path / "log.csv")
        assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
        assert rows[:3] == before
        assert [bool(row["val_loss"]) for row in rows] == [False, False, True, True]

    def test_the_gradients_norms_are_those_of_a_training_that_was_not_cut(self, tmp_path):
        whole, cut, resumed = nn.GradientFlow(), nn.GradientFlow(), nn.GradientFlow()
        self.run(tmp_path / "whole", lambda: [whole])
        with pytest.raises(CutError):
            self.run(tmp_path / "cut", lambda: [cut], epoch=2, step=3)
        self.run(tmp_path / "cut", lambda: [resumed])
        assert resumed.norms() == whole.norms()
        assert {len(values) for values in whole.norms().values()} == {24}

    def test_states_from_before_there_were_any(self, tmp_path):
        log, flow = nn.CSVLogger(tmp_path / "log.csv"), nn.GradientFlow()
        trainer = build()
        fit(trainer, 2, callbacks=[log, flow])
        log.load_state({})
        flow.load_state({})
        assert flow.norms() == {}
        log.on_epoch_end(trainer, {})
        assert [row["epoch"] for row in rows_of(tmp_path / "log.csv")] == ["1", "2"]


class TestStartingLater:
    def test_epochs_before_it_do_not_count(self):
        class Figures(nn.Callback):
            def on_epoch_end(self, trainer, figures):
                figures["val_loss"] = [1, 1.5, 3, 4, 2, 5, 5, 5][trainer.epoch - 1]

        stopping = nn.EarlyStopping("val_loss", patience=3, start_from_epoch=2)
        history = fit(build(), 20, validation_data=VALIDATION, callbacks=[Figures(), stopping])
        assert stopping.monitor.best == 2
        assert history.epochs == 8

    def test_without_one_that_counts_the_last_weights_stay(self):
        stopping = nn.EarlyStopping("loss", patience=1, start_from_epoch=5)
        trainer, plain = build(), build()
        assert fit(trainer, 3, callbacks=[stopping]) == fit(plain, 3)
        assert np.array_equal(weights(trainer), weights(plain))
        with pytest.raises(nn.errors.ArgumentError, match="`start_from_epoch` must be a whole"):
            nn.EarlyStopping(start_from_epoch=-1)

    @pytest.mark.parametrize("start", [0, 2])
    def test_in_a_loop_of_ones_own(self, start):
        stopping = nn.EarlyStopping(patience=3, start_from_epoch=start)
        trainer, stops = build(), []
        for epoch in range(10):
            stopping.on_epoch_end(trainer, {"val_loss": 1.0 + epoch})
            stops.append(trainer.stopping)
        assert stops == [False] * (3 + start) + [True] * (7 - start)
        assert stopping.monitor.best == 1.0 + start
        if start:
            stopping.reset()
            stopping.on_epoch_end(trainer, {"val_loss": 0.0})
            assert stopping.monitor.best == math.inf


class TestFiguresThatDoNotFit:
    """In a loop of one's own, in which nothing is checked before."""

    @pytest.mark.parametrize(
        ("figures", "complaint"),
        [
            ({"loss": 1, "accuracy": 1}, "no figure 'val_loss' to monitor; there are loss, acc"),
            ({}, r"no figure 'val_loss' to monitor; there are none\."),
            ({"loss": 1, "val_loss": None}, "'val_loss' must be a number; got None, among loss, v"),
            ({"val_loss": "a"}, "'val_loss' must be a number; got a, among val_loss"),
        ],
    )
    def test_they_are_named(self, figures, complaint):
        for observe in (
            nn.ReduceOnPlateau(0.1).observe,
            nn.Warmup(nn.ReduceOnPlateau(0.1), 2).observe,
            lambda figures: nn.EarlyStopping().on_epoch_end(build(), figures),
            lambda figures: nn.ModelCheckpoint("best").on_epoch_end(build(), figures),
        ):
            with pytest.raises(nn.errors.ArgumentError, match=complaint):
                observe(figures)

    def test_numbers_of_all_kinds_will_do(self):
        plateau = nn.ReduceOnPlateau(0.1)
        for value in (3, np.float32(2.5), np.array(2.0), True):
            plateau.observe({"val_loss": value})
            assert plateau.state()["best"] == float(value)

    @pytest.mark.parametrize("mode", ["min", "max"])
    def test_what_is_infinite_is_never_the_best(self, mode):
        stopping = nn.EarlyStopping("mine", mode=mode)
        trainer = build()
        for value in (math.inf, -math.inf, math.nan):
            stopping.on_epoch_end(trainer, {"mine": value})
        assert stopping.monitor.waited == 3
        stopping.on_epoch_end(trainer, {"mine": 0.5})
        assert (stopping.monitor.best, stopping.monitor.waited) == (0.5, 0)


def test_validation_data_are_asked_for_only_where_there_are_none():
    stopping = nn.EarlyStopping("val_los")
    with pytest.raises(nn.errors.ArgumentError, match=r"learning_rate\. Give validation_data; an"):
        fit(build(), callbacks=[stopping])
    with pytest.raises(nn.errors.ArgumentError, match=r"val_accuracy, learning_rate\.$"):
        fit(build(), validation_data=VALIDATION, callbacks=[stopping])


class TestASharedSchedule:
    def plateau(self):
        return nn.ReduceOnPlateau(0.1, monitor="loss", patience=0, min_delta=1e9, factor=0.5)

    @pytest.mark.parametrize("wrap", [lambda each: each, lambda each: nn.Warmup(each, 1)])
    def test_one_that_has_learnt_from_another_training_is_refused(self, wrap):
        schedule = self.plateau()
        fit(build(optimizer=nn.SGD(wrap(schedule))), 3)
        assert schedule.rate(0) == 0.025
        trainer = build(optimizer=nn.SGD(wrap(schedule)))
        with pytest.raises(nn.errors.ArgumentError, match=r"ReduceOnPlateau\(.* has learnt"):
            fit(trainer)
        trainer.train_step(X[:50].astype(np.float32), Y[:50])
        with pytest.raises(nn.errors.ArgumentError, match="Make one for each training"):
            fit(trainer)
        assert trainer.optimizer.iterations == 1

    def test_the_same_training_and_copies_of_it_go_on(self):
        trainer = build(optimizer=nn.SGD(self.plateau()))
        fit(trainer, 2)
        for make_copy in (copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
            twin = make_copy(trainer)
            fit(twin, 1)
            assert twin.optimizer.learning_rate.rate(0) == 0.025
        assert fit(trainer, 1)["learning_rate"] == [0.05]
        again = nn.Trainer(trainer.model, trainer.loss, trainer.optimizer, backend="numpy")
        assert fit(again, 1)["learning_rate"] == [0.025], "the optimizer goes on"
        assert fit(trainer, 1)["learning_rate"] == [0.0125]

    def test_another_optimizer_of_the_same_training_goes_on(self):
        trainer = build(optimizer=nn.SGD(self.plateau()))
        fit(trainer, 2)
        trainer.optimizer = nn.Adam(trainer.optimizer.learning_rate)
        assert fit(trainer, 1)["learning_rate"] == [0.05]

    def test_what_learns_nothing_or_has_learnt_nothing_is_shared(self, tmp_path):
        schedule, unused = nn.CosineDecay(0.1, 10), self.plateau()
        for each in (schedule, unused):
            first, second = (build(optimizer=nn.SGD(each)) for _ in range(2))
            if each is schedule:
                fit(first, 1)
            fit(second, 1)
        resumed = {"checkpoint": tmp_path, "resume": True}
        first = build(optimizer=nn.SGD(self.plateau()))
        fit(first, 2, **resumed)
        second = build(optimizer=nn.SGD(first.optimizer.learning_rate))
        assert fit(second, 3, **resumed)["learning_rate"] == [0.1, 0.1, 0.05]


def test_the_loss_is_looked_at_without_the_metrics():
    class Counted(nn.Metric):
        name, calls = "counted", 0

        def forward(self, y_pred, y_true):
            del y_true
            return y_pred[:, 0]

        def result(self, sums):
            type(self).calls += 1
            return float(sums[0])

    trainer = build(metrics=[Counted()])
    fit(trainer, 1)
    first, Counted.calls = Counted.calls, 0
    fit(trainer, 3)
    assert (first, Counted.calls) == (2, 4), "once to try it out, and once for each epoch"


class Undefined(nn.Metric):
    name = "undefined"
    direction = "max"

    def forward(self, y_pred, y_true):
        del y_true
        return y_pred[:, 0]

    def result(self, sums):
        return float("nan")


def test_a_figure_that_is_nan_is_warned_about_once():
    trainer = build(metrics=["accuracy", Undefined()])
    stopping = nn.EarlyStopping("val_undefined", patience=3)
    for first in (1, 4):
        with pytest.warns(nn.errors.TrainingWarning) as caught:
            history = fit(trainer, 5, validation_data=VALIDATION, callbacks=[stopping])
        assert history.epochs == 3
        assert [str(each.message) for each in caught] == [
            f"`{name}` is NaN after epoch {first}: callbacks that watch it see no improvement."
            for name in ("undefined", "val_undefined")
        ]


def test_csv_logger_writes_the_history(tmp_path):
    history = fit(build(), 3, callbacks=[nn.CSVLogger(tmp_path / "log.csv")])
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == history["loss"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]


def test_tensorboard_writes_events(tmp_path):
    pytest.importorskip("tensorboardX")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # protobuf's, within tensorboardX
        fit(build(), 2, callbacks=[nn.TensorBoard(tmp_path)])
    (events,) = tmp_path.glob("events.*")
    assert b"accuracy" in events.read_bytes()


def test_tensorboard_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(nn.errors.BackendError, match=r"nnfs-xp\[tensorboard\]"):
        nn.TensorBoard(tmp_path)


@pytest.mark.parametrize("hooks", [{"on_fit": print}, {"state": print}, {"on_step_end": 3}])
def test_hooks_that_do_not_exist(hooks):
    with pytest.raises(nn.errors.ArgumentError):
        nn.LambdaCallback(**hooks)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
class TestDivergence:
    def test_the_step_and_the_layer_are_named_and_the_weights_kept(self, backend):
        trainer = build(backend)
        before = []

        def poison(trainer):
            if trainer.epoch == 1 and trainer.step == 0:
                before.append(weights(trainer))

        def spoil(trainer):
            if (trainer.epoch, trainer.step) == (1, 3):
                trainer.model.layers[3].weights[...] = 1e38

        callbacks = [nn.LambdaCallback(on_epoch_begin=poison, on_step_end=spoil)]
        with pytest.raises(nn.errors.DivergenceError, match=r"epoch 2, step [45]") as caught:
            fit(trainer, 3, callbacks=callbacks)
        assert "The model has its weights from before that epoch" in str(caught.value)
        assert np.array_equal(weights(trainer), before[0])
        assert trainer.epoch == 1
        assert trainer.history.epochs == 1

    def test_a_learning_rate_beyond_reason(self, backend):
        trainer = build(backend, nn.SGD(1e30))
        with pytest.raises(
            nn.errors.DivergenceError,
            match=r"step 2: first in the output of layer 3 \(Dense\)",
        ):
            fit(trainer)
        assert np.isfinite(weights(trainer)).all()

    def test_a_last_step_that_ruins_the_weights_is_seen(self):
        model = nn.Sequential(nn.Dense(4, 2), seed=0)
        trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(3e38), backend="numpy")
        data = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32) * 100
        with pytest.raises(nn.errors.DivergenceError, match="the step of the weights of layer 0"):
            trainer.fit(data, data[:, :2], batch_size=50, progress=False)

    def test_a_validation_loss_that_is_infinite(self):
        model = nn.Sequential(nn.Dense(4, 2), seed=0)
        trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(1e30), backend="numpy")
        data = np.random.default_rng(0).normal(size=(50, 4))
        with pytest.raises(nn.errors.DivergenceError, match="validation loss became inf"):
            trainer.fit(
                data,
                data[:, :2],
                batch_size=50,
                validation_data=(data, data[:, :2]),
                progress=False,
            )

    def test_diagnose_names_where(self):
        trainer = build()
        assert nn.diagnose(trainer, X[:5], Y[:5]) == "nothing: all values are finite"
        before = weights(trainer)
        assert nn.diagnose(trainer, X[:5] * np.nan, Y[:5]) == "the inputs"
        trainer.model.layers[3].biases[0, 2] = np.inf
        assert nn.diagnose(trainer, X[:5], Y[:5]) == "the biases of layer 3 (Dense)"
        trainer.model.layers[3].biases[0, 2] = 0
        trainer.model.layers[0].weights[...] = 3e38
        assert nn.diagnose(trainer, X[:5], Y[:5]) == "the output of layer 0 (Dense)"
        assert trainer.learner.count == 0
        assert len(before) == trainer.model.flat.size


def test_averages_are_evaluated_and_left_in_the_model(backend):
    def run(average_decay):
        trainer = build(backend, nn.SGD(0.1, average_decay=average_decay))
        history = fit(trainer, 3, validation_data=VALIDATION)
        return trainer, history

    averaged, history = run(0.9)
    plain, plain_history = run(None)
    np.testing.assert_allclose(history["loss"], plain_history["loss"], rtol=1e-12)
    assert history["val_loss"] != plain_history["val_loss"]
    assert averaged.evaluate(*VALIDATION)["loss"] == history["val_loss"][-1]
    assert not np.array_equal(weights(averaged), weights(plain))
    more, plain_more = fit(averaged, 2), fit(plain, 2)
    np.testing.assert_allclose(more["loss"], plain_more["loss"], rtol=1e-12)
    averaged.train_step(*(averaged.backend.asarray(a) for a in (X[:50], Y[:50])))
    plain.train_step(*(plain.backend.asarray(a) for a in (X[:50], Y[:50])))
    assert np.array_equal(weights(averaged), weights(plain))


def test_metrics_see_what_the_model_puts_out():
    class Highest(nn.Metric):
        name = "highest"

        def forward(self, y_pred, y_true):
            del y_true
            return nn.to_numpy(y_pred).max(axis=1)

    trainer = build(metrics=["accuracy", Highest()])
    history = fit(trainer, 3)
    assert 0 < history["highest"][-1] <= 1
    assert history["accuracy"] == fit(build(), 3)["accuracy"]


@pytest.mark.parametrize("metrics", [None, "accuracy", 3, ["speed"], ["accuracy", "accuracy"]])
def test_metrics_that_are_none(metrics):
    with pytest.raises(nn.errors.ArgumentError):
        build(metrics=metrics)


def test_a_last_activation_within_a_model_within_is_fused_too():
    logits = nn.Dense(2, 3, initializer=None)
    logits.biases = [[200.0, -200.0, 0.0]]  # certain, and wrong
    model = nn.Sequential(nn.Sequential(logits, nn.Sequential(nn.Softmax())))
    trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), nn.SGD(0.0001), backend="numpy")
    loss = trainer.train_step(np.ones((4, 2), dtype=np.float32), np.array([1, 1, 1, 1]))
    assert float(loss) == pytest.approx(400)
    assert logits.dbiases[0].tolist() == pytest.approx([1, -1, 0])


def test_a_second_trainer_leaves_the_masks_of_the_first_alone():
    first, alone = build(), build()
    fit(alone, 1)
    fit(first, 1)
    nn.Trainer(first.model, nn.CategoricalCrossentropy(), nn.SGD(0.1), backend="numpy", seed=9)
    assert fit(first, 1) == fit(alone, 1)


def test_many_threads_get_the_answers_of_one():
    trainer = build()
    fit(trainer, 3)
    expected = trainer.predict_proba(X_TEST)
    wrong = []

    def ask(number):
        for turn in range(20):
            start = (37 * number + 11 * turn) % 200
            found = trainer.predict_proba(X_TEST[start : start + 100], batch_size=7 + number)
            # The product of other batch shapes may round otherwise.
            if not np.allclose(found, expected[start : start + 100], rtol=1e-4, atol=1e-6):
                wrong.append((number, turn))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert np.array_equal(trainer.predict_proba(X_TEST), expected)


def test_the_same_seed_is_the_same_run_bit_for_bit(backend):
    runs = [(fit(trainer, 3), weights(trainer)) for trainer in (build(backend), build(backend))]
    assert json.dumps(runs[0][0]) == json.dumps(runs[1][0])
    assert np.array_equal(runs[0][1], runs[1][1])


def test_inputs_larger_than_memory_are_predicted_in_pieces(tmp_path):
    trainer = build()
    rows = 200_000
    path = tmp_path / "large"
    large = np.memmap(path, dtype=np.uint8, mode="w+", shape=(rows, 64))
    large[:] = np.arange(64)
    large.flush()
    as_floats = rows * 64 * 4
    tracemalloc.start()
    labels = trainer.predict(np.memmap(path, dtype=np.uint8, mode="r", shape=(rows, 64)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert labels.shape == (rows,)
    assert peak < as_floats / 4


def test_a_callback_serves_one_training_after_another(tmp_path):
    stopping = nn.EarlyStopping("val_loss", patience=2)
    keeping = nn.ModelCheckpoint(tmp_path / "best", "val_loss")
    found = []
    for _ in range(2):
        trainer = build()
        (tmp_path / "best").unlink(missing_ok=True)
        fit(trainer, 6, validation_data=VALIDATION, callbacks=[stopping, keeping])
        found.append((dict(trainer.history), weights(trainer).tolist(), stopping.monitor.state()))
        assert (tmp_path / "best").exists()
    assert found[0] == found[1]


def test_matrices_have_no_history_and_cannot_be_monitored(tmp_path):
    class Narrow(nn.Metric):
        name = "narrow"

        def forward(self, y_pred, y_true):
            del y_true
            return y_pred[:, 0]

        def result(self, sums):
            return np.float32(sums[0] / sums[1])

    def run(epochs):
        trainer = build(metrics=["accuracy", nn.ConfusionMatrix(10), Narrow()])
        seen = Recorder()
        history = fit(trainer, epochs, checkpoint=tmp_path, resume=True, callbacks=[seen])
        assert set(history) == set(seen.names) == {"loss", "accuracy", "narrow", "learning_rate"}
        assert seen.figures.keys() == set(history)
        return history

    run(1)
    assert run(3).epochs == 3
    trainer = build(metrics=[nn.ConfusionMatrix(10)])
    with pytest.raises(nn.errors.ArgumentError, match="no figure 'confusion_matrix'"):
        fit(trainer, callbacks=[nn.EarlyStopping("confusion_matrix")])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_validation_that_diverges_leaves_weights_and_averages_in_their_places():
    optimizer = nn.SGD(1e-4, average_decay=0.9)
    model = nn.Sequential(nn.Dense(4, 1), seed=0)
    trainer = nn.Trainer(model, nn.MeanSquaredError(), optimizer, backend="numpy")
    data = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    trainer.fit(data, data[:, 0], epochs=2, progress=False)
    trainer.learner.use_averages(False)
    raw = weights(trainer)
    trainer.learner.use_averages(True)
    with pytest.raises(nn.errors.DivergenceError):
        trainer.fit(data, data[:, 0], validation_data=(data * 1e38, data[:, 0]), progress=False)
    assert np.array_equal(weights(trainer), raw)
    assert not optimizer.is_exchanged(model)


def test_a_new_trainer_goes_on_with_the_weights_and_not_their_averages():
    first = build(optimizer=nn.SGD(0.1, average_decay=0.9))
    fit(first, 1)
    twin = copy.deepcopy(first)
    assert twin.optimizer.is_exchanged(twin.model)
    again = nn.Trainer(twin.model, twin.loss, twin.optimizer, backend="numpy")
    again.learner.use_averages(False)
    first.learner.use_averages(False)
    assert np.array_equal(weights(again), weights(first))


def test_what_is_refused_at_first_touches_nothing(tmp_path):
    trainer = build(optimizer=nn.SGD(0.1, average_decay=0.9))
    fit(trainer, 1)
    before, history = weights(trainer), dict(trainer.history)
    with pytest.raises(nn.errors.ArgumentError, match="no figure 'val_los'"):
        fit(trainer, checkpoint=tmp_path / "new", callbacks=[nn.EarlyStopping("val_los")])
    assert np.array_equal(weights(trainer), before)
    assert trainer.history == history
    assert not (tmp_path / "new").exists()


def test_other_callbacks_see_the_epoch_in_which_one_raises():
    recorder = Recorder()

    def fail(trainer, figures):
        del trainer, figures
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(build(), callbacks=[nn.LambdaCallback(on_epoch_end=fail), recorder])
    assert recorder.calls[-1] == ("epoch_end", 1)


def test_an_optimizer_serves_one_model():
    optimizer = nn.Adam(0.01)
    first = build(optimizer=optimizer)
    fit(first, 1)
    fit(nn.Trainer(first.model, first.loss, optimizer, backend="numpy"), 1)
    with pytest.raises(nn.errors.ArgumentError, match="stepped another model"):
        fit(build(optimizer=optimizer), 1)


def test_numbers_of_numpy_will_do_in_a_checkpoint(tmp_path):
    trainer = build(seed=np.int64(3))
    fit(trainer, np.int64(1), shuffle=np.bool_(True), checkpoint=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("callbacks", [nn.EarlyStopping(), (c for c in ())])
def test_callbacks_are_a_list(callbacks):
    with pytest.raises(nn.errors.ArgumentError, match="must be a list or a tuple"):
        fit(build(), callbacks=callbacks)


def test_gradients_too_large_to_square_are_clipped_all_the_same(backend):
    layer = nn.Dense(1, 2, initializer=None).to(backend)
    layer.dweights = [[3e25, 4e25]]
    nn.SGD(1.0, clip_norm=1.0).step(layer)
    np.testing.assert_allclose(nn.to_numpy(layer.weights), [[-0.6, -0.8]], rtol=1e-5)
    layer.dweights = [[0.0, 0.0]]
    nn.SGD(1.0, clip_norm=1.0).step(layer)
    np.testing.assert_allclose(nn.to_numpy(layer.weights), [[-0.6, -0.8]], rtol=1e-5)


class TestScheduleDropout:
    @staticmethod
    def trained(**options):
        model = nn.Sequential(
            nn.Dense(64, 16, seed=0),
            nn.SELU(),
            nn.AlphaDropout(0.1),
            nn.Sequential(nn.Dense(16, 10, seed=1), nn.Dropout(0.4)),
        )
        loss = nn.SoftmaxCategoricalCrossentropy()
        return nn.Trainer(model, loss, nn.Adam(0.01), backend="numpy", **options)

    @staticmethod
    def rates(trainer):
        return [layer.rate for _, layer in trainer.model.walk() if hasattr(layer, "rate")]

    def test_each_epoch_has_its_rate(self):
        seen = []
        note = nn.LambdaCallback(on_step_end=lambda trainer: seen.append(self.rates(trainer)))
        trainer = self.trained()
        dropping = nn.ScheduleDropout(nn.StepDecay(1.0, every=2, factor=0.5))
        fit(trainer, 4, callbacks=[dropping, note], batch_size=150)
        whole, half = [0.1, 0.4], [0.05, 0.2]
        assert seen == [whole] * 4 + [half] * 4, "two steps of each epoch"
        assert self.rates(trainer) == whole
        fit(trainer, 1, callbacks=[dropping, note], batch_size=150)
        assert seen[8:] == [[0.025, 0.1]] * 2, "the epochs before count"

    @pytest.mark.parametrize("precision", ["float32", "float16"])
    def test_without_dropout_it_is_a_training_without(self, precision):
        found = []
        for callbacks, share in (((), 0.0), ((nn.ScheduleDropout(nn.FlatCosine(1.0, 1)),), 1.0)):
            trainer = self.trained(precision=precision)
            fit(trainer, 1)
            for _, layer in trainer.model.walk():
                if hasattr(layer, "rate"):
                    layer.rate *= share
            fit(trainer, 2, callbacks=callbacks)  # the schedule is at its end, which is 0
            found.append(weights(trainer))
        np.testing.assert_array_equal(*found)
        assert self.rates(trainer) == [0.1, 0.4]

    @pytest.mark.parametrize("anew", [True, False], ids=["anew", "the same"])
    def test_a_training_that_was_cut_goes_on_bit_for_bit(self, tmp_path, anew):
        def dropping():
            return nn.ScheduleDropout(nn.CosineDecay(1.0, 5))

        whole = self.trained()
        expected = fit(whole, 3, callbacks=[dropping(), idle()])
        cut = self.trained()
        with pytest.raises(CutError):
            fit(cut, 3, checkpoint=tmp_path, callbacks=[dropping(), cut_at(1, 3)])
        assert self.rates(cut) == [0.1, 0.4]
        resumed = self.trained() if anew else cut
        history = fit(resumed, 3, checkpoint=tmp_path, resume=True, callbacks=[dropping(), idle()])
        assert history == expected
        np.testing.assert_array_equal(weights(resumed), weights(whole))

    def test_what_is_refused(self):
        with pytest.raises(nn.errors.ArgumentError, match="`schedule` must be a Schedule"):
            nn.ScheduleDropout(0.5)
        trainer = self.trained()
        with pytest.raises(nn.errors.ArgumentError, match=r"`rate` must be .*got 1\.2"):
            fit(trainer, callbacks=[nn.ScheduleDropout(nn.StepDecay(3.0, every=2))])
        assert self.rates(trainer) == [0.1, 0.4]
