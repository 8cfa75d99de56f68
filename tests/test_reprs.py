"""What losses, metrics, optimizers, schedules and callbacks look like when they are printed."""

from __future__ import annotations

import copy
import datetime
from dataclasses import dataclass

import numpy as np
import pytest
from cases import LOSSES, METRICS, OPTIMIZERS
from test_contract import ids

import nnfs_xp as nn
from nnfs_xp._settings import settings_of

NAMES = {name: getattr(nn, name) for name in nn.__all__} | {"datetime": datetime}


def again(part):
    return eval(repr(part), dict(NAMES))  # noqa: S307 # the text is of the test's own object


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (nn.Adam(0.01), "Adam(learning_rate=0.01)"),
        (nn.Adam(0.001, clip_norm=1), "Adam(clip_norm=1.0)"),
        (nn.Adam(amsgrad=True, average_decay=0.9), "Adam(amsgrad=True, average_decay=0.9)"),
        (nn.AdamW(), "AdamW()"),
        (nn.Muon(0.1, others=["2.weights"]), "Muon(learning_rate=0.1, others=('2.weights',))"),
        (nn.Lookahead(nn.SGD(0.5), alpha=0.8), "Lookahead(SGD(learning_rate=0.5), alpha=0.8)"),
        (nn.AdamW(weight_decay=0.0), "AdamW(weight_decay=0.0)"),
        (nn.SGD(np.float32(0.5), momentum=0.9), "SGD(learning_rate=0.5, momentum=0.9)"),
        (nn.CosineDecay(0.1, np.int64(10)), "CosineDecay(0.1, 10)"),
        (
            nn.Adam(nn.Warmup(nn.StepDecay(0.4, every=2), 4)),
            "Adam(learning_rate=Warmup(StepDecay(0.4, 2), 4))",
        ),
        (
            nn.ReduceOnPlateau(0.1, monitor="loss", mode="min", cooldown=2),
            "ReduceOnPlateau(0.1, monitor='loss', cooldown=2, mode='min')",
        ),
        (nn.ReduceOnPlateau(0.1), "ReduceOnPlateau(0.1)"),
        (nn.MeanSquaredError(), "MeanSquaredError()"),
        (nn.Huber(2.0), "Huber(delta=2.0)"),
        (nn.PinballLoss([0.5]), "PinballLoss(quantiles=(0.5,))"),
        (
            nn.AdamW(weight_decay=nn.FlatCosine(0.1, 9)),
            "AdamW(weight_decay=FlatCosine(0.1, 9))",
        ),
        (
            nn.SoftmaxCategoricalCrossentropy(0.1, ignore_index=-1),
            "SoftmaxCategoricalCrossentropy(label_smoothing=0.1, ignore_index=-1)",
        ),
        (nn.ConfusionMatrix(3), "ConfusionMatrix(3)"),
        (nn.F1("macro"), "F1(average='macro')"),
        (nn.ROCAUC(), "ROCAUC()"),
        (nn.TopKAccuracy(3), "TopKAccuracy(k=3)"),
        (nn.RegressionAccuracy(), "RegressionAccuracy()"),
        (
            nn.EarlyStopping("val_loss", 3, mode="min", start_from_epoch=2),
            "EarlyStopping(patience=3, mode='min', start_from_epoch=2)",
        ),
        (nn.EarlyStopping("loss", min_delta=0.5), "EarlyStopping(monitor='loss', min_delta=0.5)"),
        (nn.ModelCheckpoint("m.safetensors"), "ModelCheckpoint('m.safetensors')"),
        (
            nn.ModelCheckpoint("m", monitor="loss", save_best_only=False),
            "ModelCheckpoint('m', monitor='loss', save_best_only=False)",
        ),
        (nn.CSVLogger("log.csv"), "CSVLogger('log.csv')"),
        (nn.GradientFlow(), "GradientFlow()"),
        (
            nn.ScheduleDropout(nn.CosLog(1.0, 9, cycles=2)),
            "ScheduleDropout(CosLog(1.0, 9, cycles=2))",
        ),
        (nn.Timer(60, path="m"), "Timer(limit=60, path='m')"),
        (
            nn.Timer(until=datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC)),
            "Timer(until=datetime.datetime(2030, 1, 2, 0, 0, tzinfo=datetime.timezone.utc))",
        ),
        (nn.Checkpoints("runs", every_steps=5), "Checkpoints('runs', every_steps=5)"),
    ],
)
def test_a_class_and_what_differs_from_its_defaults(part, text):
    assert repr(part) == text
    twin = again(part)
    assert type(twin) is type(part)
    assert repr(twin) == text
    assert settings_of(twin) == settings_of(part)


CASES = [*LOSSES, *METRICS, *OPTIMIZERS]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_a_repr_makes_the_same_again(case):
    part = case.loss if hasattr(case, "loss") else case.build()
    twin = again(part)
    assert type(twin) is type(part)
    assert settings_of(twin) == settings_of(part)


def test_functions_are_shown_by_their_names():
    def note(trainer):
        del trainer

    shown = repr(nn.LambdaCallback(on_step_end=note, on_train_begin=print))
    assert shown == (
        "LambdaCallback(on_step_end=test_functions_are_shown_by_their_names.<locals>.note, "
        "on_train_begin=print)"
    )


def test_tensorboard(monkeypatch, tmp_path):
    class Module:
        SummaryWriter = object

    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", Module)
    assert repr(nn.TensorBoard(tmp_path)) == f"TensorBoard({str(tmp_path)!r})"


class TestOfOnesOwn:
    def test_arguments_are_read_from_attributes_and_handed_on(self):
        class Signed(nn.Optimizer):
            def __init__(self, learning_rate=0.1, *, floor, **options):
                super().__init__(learning_rate, **options)
                self.floor = floor

        optimizer = Signed(floor=[1, 2], weight_decay=0.5)
        assert repr(optimizer) == "Signed(floor=[1, 2], weight_decay=0.5)"

        class Plain(nn.Loss):
            pass

        class Hidden(nn.Metric):
            def __init__(self, first, second, third=None):
                self._first, self.second, self.third = first, second, third

        assert repr(Plain()) == "Plain()"
        assert repr(Hidden(1, 2, object())) == "Hidden(second=2, third=<object>)"

    def test_what_takes_any_number(self):
        class Several(nn.Schedule):
            def __init__(self, *parts, **named):
                self.parts, self.named = parts, named

        assert (
            repr(Several(nn.StepDecay(0.1, 2), 3, a="b")) == "Several(StepDecay(0.1, 2), 3, a='b')"
        )

    def test_data_classes_have_that_of_data_classes(self):
        @dataclass
        class Note(nn.Callback):
            text: str = "here"

        assert repr(Note()).endswith("Note(text='here')")

    def test_nothing_long_and_no_array_is_read(self):
        class Keeping(nn.Loss):
            def __init__(self, values, more=None):
                self.values, self.more = values, more

        assert repr(Keeping(list(range(10**5)))) == "Keeping([0, 1, 2, 3, 4, 5, 6, 7, ...])"
        assert repr(Keeping(np.ones((1000, 3)))) == "Keeping(<ndarray of shape (1000, 3)>)"
        nested = [[["x" * 10**6] * 100] * 100] * 100
        assert len(repr(Keeping(nested, dict.fromkeys(range(100), nested)))) < 3000
        deep = nn.Warmup(0.1, 2)
        for _ in range(200):
            deep = nn.Warmup(deep, 2)
        assert len(repr(deep)) < 1000

    def test_it_never_raises(self):
        class Broken(nn.Schedule):
            def __init__(self, rate_at, other=None):
                self.rate_at, self.other = rate_at, other

            def __getattr__(self, name):
                raise ZeroDivisionError

        class Rude:
            def __repr__(self):
                raise ValueError

        assert repr(Broken.__new__(Broken)) == "Broken(...)"
        assert repr(Broken(1)) == "Broken(...)"
        twin = nn.Warmup(0.1, 2)
        twin.after = Rude()
        assert repr(twin) == "Warmup(<Rude>, 2)"
        circle = nn.Warmup(0.1, 2)
        circle.after = circle
        assert repr(circle) == "Warmup(..., 2)"
        for kind in (nn.Adam, nn.EarlyStopping, nn.ModelCheckpoint, nn.ReduceOnPlateau, nn.Timer):
            assert repr(kind.__new__(kind)) == f"{kind.__name__}()"

    def test_a_copy_looks_the_same(self):
        part = nn.ModelCheckpoint("m-{epoch}", "val_accuracy")
        assert repr(copy.deepcopy(part)) == repr(part)
