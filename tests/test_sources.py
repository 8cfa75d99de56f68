"""Batches from anywhere: what is walked, read ahead, refused, and gone on with."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.data import reading
from nnfs_xp.data.reading import paused, read_ahead
from nnfs_xp.data.sources import Source, is_source
from nnfs_xp.errors import ArgumentError, DataError, LabelError, NnfsError, ShapeError

RNG = np.random.default_rng(7)
X = RNG.standard_normal((210, 5)).astype("float32")
Y = (X @ np.array([1.0, -2.0, 0.5, 0.0, 1.0]) > 0).astype(np.int64) + (X[:, 3] > 0.5)
BATCHES = [(X[start : start + 40], Y[start : start + 40]) for start in range(0, 210, 40)]


def readers():
    """The threads that read ahead."""
    return [thread for thread in threading.enumerate() if "reading ahead" in thread.name]


@pytest.fixture(autouse=True)
def no_thread_left():
    yield
    assert not readers()


def new_trainer(backend="numpy", layers=(), optimizer=None, **settings):
    layers = layers or (nn.Dense(5, 8), nn.ReLU(), nn.Dropout(0.1), nn.Dense(8, 3))
    return nn.Trainer(
        nn.Sequential(*layers, seed=3),
        nn.SoftmaxCategoricalCrossentropy(),
        optimizer or nn.Adam(0.01),
        backend=backend,
        seed=11,
        **settings,
    )


def flat(trainer):
    return nn.to_numpy(trainer.model.flat.values)


class Numbered:
    """A sequence that is no list: batches by number."""

    def __init__(self, batches=BATCHES):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, number):
        return self.batches[number]


class Walked:
    """Something to walk, of unknown length, that counts its walks."""

    def __init__(self, batches=BATCHES):
        self.batches = batches
        self.walks = 0

    def __iter__(self):
        self.walks += 1
        yield from self.batches


def generated():
    yield from BATCHES


SOURCES = {
    "list": BATCHES,
    "tuple": tuple(BATCHES),
    "lists": [list(batch) for batch in BATCHES],
    "generator function": generated,
    "sequence": Numbered(),
    "iterable": Walked(),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_source_trains_as_its_arrays_do(backend, source):
    arrays, batches = new_trainer(backend), new_trainer(backend)
    settings = {"epochs": 3, "progress": False}
    wanted = arrays.fit(X, Y, batch_size=40, shuffle=False, validation_data=(X, Y), **settings)
    found = batches.fit(source, validation_data=source, **settings)
    assert found["loss"] == wanted["loss"]
    np.testing.assert_allclose(found["val_loss"], wanted["val_loss"], rtol=1e-5)
    np.testing.assert_array_equal(flat(batches), flat(arrays))
    assert batches.evaluate(source) == arrays.evaluate(X, Y, batch_size=40)
    np.testing.assert_array_equal(batches.predict(source), arrays.predict(X))
    np.testing.assert_allclose(
        batches.predict_proba(source), arrays.predict_proba(X, batch_size=40), rtol=1e-6
    )


def test_inputs_alone_are_predicted():
    trainer = new_trainer()
    wanted = trainer.predict(X)
    for inputs in (
        [x for x, _ in BATCHES],
        [(x,) for x, _ in BATCHES],
        lambda: (x for x, _ in BATCHES),
        Numbered([x for x, _ in BATCHES]),
    ):
        np.testing.assert_array_equal(trainer.predict(inputs), wanted)
    np.testing.assert_array_equal(trainer.predict(X.tolist()), wanted)
    np.testing.assert_array_equal(trainer.predict(list(X)), wanted)


def test_a_list_that_has_to_be_cast_is_not_held_twice(tmp_path):
    """Whole numbers, or memory maps, are cast a batch at a time."""
    pixels = RNG.integers(0, 256, (210, 5)).astype("uint8")
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    wanted = new_trainer().fit(pixels, Y, batch_size=40, shuffle=False, progress=False)
    for array in (pixels, mapped):
        batches = [(array[n : n + 40], Y[n : n + 40]) for n in range(0, 210, 40)]
        assert new_trainer().fit(batches, progress=False)["loss"] == wanted["loss"]
        assert Source(batches).is_held == (array is pixels)
        assert not Source(batches).is_ready("float32")
    assert Source(BATCHES).is_held
    assert Source(BATCHES).is_ready("float32")
    assert not Source(BATCHES).is_ready("float64")


def test_what_is_a_source_and_what_is_an_array():
    for source in SOURCES.values():
        assert is_source(source)
    for data in (X, X.tolist(), list(X), [], (), None, "X", {"x": X}, 3, (X, Y), [X, Y]):
        assert not is_source(data)


def test_weights_in_batches_are_taken_as_they_are():
    weights = RNG.uniform(0.5, 3.0, 210)
    weights *= 210 / weights.sum()  # as `sample_weight` makes them
    batches = [(x, y, weights[n * 40 : n * 40 + len(x)]) for n, (x, y) in enumerate(BATCHES)]
    arrays, found, doubled = new_trainer(), new_trainer(), new_trainer(optimizer=nn.SGD(0.1))
    settings = {"epochs": 2, "progress": False}
    wanted = arrays.fit(X, Y, sample_weight=weights, batch_size=40, shuffle=False, **settings)
    assert found.fit(batches, **settings)["loss"] == pytest.approx(wanted["loss"], rel=1e-6)
    np.testing.assert_allclose(flat(found), flat(arrays), rtol=1e-4, atol=1e-6)
    assert found.evaluate(batches) == pytest.approx(
        arrays.evaluate(X, Y, sample_weight=weights, batch_size=40)
    )
    twice = [(x, y, np.full(len(x), 2.0)) for x, y in BATCHES]
    single = new_trainer(optimizer=nn.SGD(0.2))
    doubled.fit(twice, epochs=1, progress=False)
    single.fit(BATCHES, epochs=1, progress=False)
    np.testing.assert_allclose(flat(doubled), flat(single), rtol=1e-5)


def test_weights_of_classes_are_taken_as_they_are():
    of_classes = {0: 0.5, 2: 3.0}
    by_hand = [(x, y, np.array([0.5, 1.0, 3.0])[y]) for x, y in BATCHES]
    one, other = new_trainer(), new_trainer()
    losses = one.fit(generated, class_weight=of_classes, epochs=2, progress=False)["loss"]
    assert other.fit(by_hand, epochs=2, progress=False)["loss"] == losses
    with pytest.raises(ArgumentError, match="needs the labels of all samples"):
        one.fit(generated, class_weight="balanced", progress=False)


def test_each_epoch_walks_once():
    source = Walked()
    new_trainer().fit(source, epochs=4, progress=False)
    assert source.walks == 4


def test_metrics_that_do_not_fit_leave_no_thread():
    trainer = new_trainer(metrics=(nn.TopKAccuracy(9),))
    for way in (trainer.fit, trainer.evaluate):
        with pytest.raises(ArgumentError, match="`k` must be at most 3") as kept:
            way(generated)
        assert not readers(), kept


def test_validation_walks_once_an_epoch():
    source = Walked()
    new_trainer().fit(X, Y, validation_data=source, epochs=3, progress=False)
    assert source.walks == 3


def test_an_order_for_each_epoch():
    epochs = []

    class Ordered(Numbered):
        def set_epoch(self, epoch):
            epochs.append(epoch)

    trainer = new_trainer()
    trainer.fit(Ordered(), epochs=2, progress=False)
    trainer.fit(Ordered(), epochs=1, progress=False)
    assert epochs == [0, 1, 2]


REFUSED = {
    "a generator": (lambda: generated(), ArgumentError, "can be walked once only"),
    "an iterator": (lambda: iter(BATCHES), ArgumentError, "list_iterator can be walked once"),
    "arrays without targets": (lambda: X, ArgumentError, "`y` is missing, and `X` is a ndarray"),
    "a list of rows": (lambda: X.tolist(), ArgumentError, "`y` is missing, and `X` is a list"),
    "nothing": (lambda: None, ArgumentError, "`y` is missing, and `X` is None"),
    "a dict": (lambda: {"x": X, "y": Y}, ArgumentError, "`y` is missing, and `X` is a dict"),
    "no batches": (lambda: lambda: (), DataError, "gave no batch in epoch 1"),
    "a function of nothing": (lambda: lambda: None, ArgumentError, "got NoneType"),
    "no targets": (lambda: lambda: [(X[:4],)], DataError, "batch 1 of epoch 1: it has 1 parts"),
    "four parts": (lambda: [*BATCHES, (X, Y, Y, Y)], DataError, "batch 7 .* it has 4 parts"),
    "no parts": (lambda: [*BATCHES, ()], DataError, "batch 7 of epoch 1: it has 0 parts"),
    "dicts": (lambda: lambda: [{"x": X}], DataError, "batch 1 of epoch 1: it is of type dict"),
    "single samples": (
        lambda: lambda: zip(X, Y, strict=True),
        ShapeError,
        r"batch 1 of epoch 1: `X` must have shape \(samples, features\)",
    ),
    "other lengths": (
        lambda: lambda: [BATCHES[0], (X[:4], Y[:3])],
        LabelError,
        "batch 2 of epoch 1: `y` must have one entry for each of the 4 samples",
    ),
    "other features": (
        lambda: [*BATCHES, (X[:4, :3], Y[:4])],
        ShapeError,
        r"batch 7 of epoch 1: `X` must have shape \(samples, 5\); got \(4, 3\)",
    ),
    "other parts": (
        lambda: [*BATCHES, (X[:4], Y[:4], np.ones(4))],
        DataError,
        "batch 7 of epoch 1: it has 3 parts, and those before it 2",
    ),
    "NaN": (
        lambda: [*BATCHES, (X[:4] * np.nan, Y[:4])],
        DataError,
        "batch 7 of epoch 1: `X` holds NaN or infinity",
    ),
    "too large": (
        lambda: [*BATCHES, (X[:4].astype("float64") * 1e60, Y[:4])],
        DataError,
        "more than float32 can hold",
    ),
    "labels of no class": (
        lambda: [*BATCHES, (X[:4], Y[:4] + 9)],
        LabelError,
        "batch 7 of epoch 1: `y` must hold class indices from 0 to 2",
    ),
    "negative weights": (
        lambda: lambda: [(X[:4], Y[:4], -np.ones(4))],
        ArgumentError,
        "batch 1 of epoch 1: `sample_weight` must hold finite numbers of at least 0",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_is_refused(case):
    make, kind, message = case
    trainer = new_trainer()
    with pytest.raises(kind, match=message):
        trainer.fit(make(), progress=False)
    if "batch 2" not in message:
        assert not trainer.optimizer.iterations
    with pytest.raises(NnfsError):
        trainer.evaluate(make())
    assert trainer.fit(BATCHES, progress=False).epochs == 1


def test_targets_or_weights_beside_a_source():
    trainer = new_trainer()
    with pytest.raises(ArgumentError, match="`X` gives batches, being a function"):
        trainer.fit(generated, Y, progress=False)
    with pytest.raises(ArgumentError, match="does not go with a source of batches"):
        trainer.fit(generated, sample_weight=np.ones(210), progress=False)


@pytest.mark.parametrize("data", [5, (X,), (X, Y, Y, Y), "X", [X, Y, Y, Y]])
def test_validation_data_that_are_none(data):
    with pytest.raises(ArgumentError, match="`validation_data` must be"):
        new_trainer().fit(X, Y, validation_data=data, progress=False)


def test_validation_data_with_weights():
    weights = RNG.uniform(0, 2, 210)
    trainer = new_trainer()
    history = trainer.fit(X, Y, validation_data=(X, Y, weights), progress=False)
    wanted = trainer.evaluate(X, Y, sample_weight=weights)
    assert history["val_loss"][-1] == wanted["loss"]
    assert history["val_accuracy"][-1] == wanted["accuracy"]


class Failing(Walked):
    """Fails at one batch of one of its walks."""

    def __init__(self, walk, number, how):
        super().__init__()
        self.walk, self.number, self.how = walk, number, how

    def __iter__(self):
        self.walks += 1
        for number, batch in enumerate(self.batches):
            if self.walks == self.walk and number == self.number:
                if self.how == "ends":
                    return
                if self.how == "shape":
                    batch = X[:4, :2], Y[:4]
                else:
                    raise OSError("the disk is gone")
            yield batch

    def __len__(self):
        return len(self.batches)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raises", "failed at batch 3 of epoch 2: OSError: the disk is gone"),
        ("ends", "has 6 by its length, but ended after 2 in epoch 2"),
        ("shape", "batch 3 of epoch 2: `X` must have shape"),
    ],
)
def test_a_source_that_fails_loses_nothing(tmp_path, caplog, how, message):
    failing = new_trainer()
    with pytest.raises(NnfsError, match=message) as raised:
        failing.fit(Failing(2, 2, how), epochs=3, checkpoint=tmp_path, progress=False)
    assert (failing.epoch, failing.step) == (1, 2)
    if how == "raises":
        assert isinstance(raised.value.__cause__, OSError)
    resumed = new_trainer()
    caplog.set_level(logging.INFO)
    history = resumed.fit(Walked(), epochs=3, checkpoint=tmp_path, resume=True, progress=False)
    assert "after step 2 of epoch 2: at the start of that epoch" in caplog.text
    assert history.epochs == 3
    assert resumed.optimizer.iterations == 6 + 2 + 2 * 6


def test_a_sequence_goes_on_in_the_middle(tmp_path, caplog):
    whole = new_trainer()
    wanted = whole.fit(Numbered(), epochs=3, progress=False)

    class Fails(Numbered):
        def __getitem__(self, number):
            if number == 4:
                raise OSError("the disk is gone")
            return super().__getitem__(number)

    with pytest.raises(DataError, match="batch 5 of epoch 1"):
        new_trainer().fit(Fails(), epochs=3, checkpoint=tmp_path, progress=False)
    resumed = new_trainer()
    caplog.set_level(logging.INFO)
    found = resumed.fit(Numbered(), epochs=3, checkpoint=tmp_path, resume=True, progress=False)
    assert "epoch 1, after step 4" in caplog.text
    assert found == wanted
    np.testing.assert_array_equal(flat(resumed), flat(whole))


def test_a_failure_while_it_is_evaluated_or_predicted():
    trainer = new_trainer()
    with pytest.raises(DataError, match="the disk is gone") as kept:
        trainer.evaluate(Failing(1, 2, "raises"))
    assert not readers(), kept
    with pytest.raises(DataError, match="the disk is gone"):
        trainer.predict(Failing(1, 3, "raises"))
    with pytest.raises(DataError, match="the disk is gone"):
        trainer.fit(X, Y, validation_data=Failing(1, 5, "raises"), progress=False)


def test_no_thread_is_left_while_the_error_is_kept():
    def blocks():
        yield BATCHES[0]
        yield BATCHES[1]
        yield X[:4, :2], Y[:4]

    with pytest.raises(ShapeError) as kept:
        new_trainer().fit(blocks, validation_data=generated, progress=False)
    assert not readers(), kept


def test_callbacks_that_stop_or_raise_close_the_source():
    closed = []

    def source():
        try:
            yield from itertools.cycle(BATCHES)
        finally:
            closed.append(True)

    def stop(trainer):
        if trainer.step == 9:
            trainer.stop(now=True)

    trainer = new_trainer()
    trainer.fit(source, callbacks=[nn.LambdaCallback(on_step_end=stop)], progress=False)
    assert (trainer.step, closed) == (9, [True])

    def fail(_):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        trainer.fit(source, callbacks=[nn.LambdaCallback(on_step_end=fail)], progress=False)
    assert closed == [True, True]


def test_a_trainer_that_was_cut_goes_on(tmp_path):
    def stop(trainer):
        if (trainer.epoch, trainer.step, trainer.optimizer.iterations) == (1, 2, 8):
            trainer.stop(now=True)

    settings = {"epochs": 3, "callbacks": [nn.LambdaCallback(on_step_end=stop)], "progress": False}
    whole, cut = new_trainer(), new_trainer()
    wanted = whole.fit(BATCHES, epochs=3, progress=False)
    cut.fit(BATCHES, checkpoint=tmp_path, **settings)
    assert (cut.epoch, cut.step) == (1, 2)
    assert cut.fit(BATCHES, checkpoint=tmp_path, resume=True, **settings) == wanted
    again = new_trainer()
    again.stop(now=True)  # of no training that runs
    assert again.fit(BATCHES, epochs=3, progress=False) == wanted


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_divergence_is_found_in_batches():
    trainer = new_trainer(layers=(nn.Dense(5, 3),), optimizer=nn.SGD(1e38))
    with pytest.raises(nn.errors.DivergenceError, match=r"epoch 1, step \d: first in"):
        trainer.fit(generated, epochs=2, progress=False)
    assert np.isfinite(flat(trainer)).all()


def test_batches_of_many_sizes_and_lengths(backend):
    layers = nn.Embedding(9, 4), nn.Dense(4, 6), nn.ReLU(), nn.Dense(6, 3)
    batches = [
        (RNG.integers(0, 9, (n, places)), RNG.integers(0, 3, (n, places)))
        for n, places in ((4, 7), (3, 2), (5, 11), (1, 7))
    ]
    trainer = new_trainer(backend, layers, metrics=())
    history = trainer.fit(lambda: batches, epochs=6, progress=False)
    assert history["loss"][-1] < history["loss"][0]
    wrong = [*batches, (batches[0][0], batches[0][1][:, :3])]
    with pytest.raises(LabelError, match=r"batch 5 of epoch 1: `y` must have shape \(4, 7\)"):
        trainer.fit(wrong, progress=False)


def test_a_batch_too_small_for_a_layer():
    layers = nn.Dense(5, 4), nn.BatchNorm(4), nn.Dense(4, 3)
    with pytest.raises(DataError, match=r"batch 7 of epoch 1: it has 1 samples; a layer .* 2"):
        new_trainer(layers=layers).fit([*BATCHES, (X[:1], Y[:1])], progress=False)
    trainer = new_trainer(layers=layers)
    trainer.fit(BATCHES, validation_data=[(X[:1], Y[:1])], progress=False)


def test_targets_of_a_regression_in_batches():
    def build():
        model = nn.Sequential(nn.Dense(5, 1), seed=0)
        metrics = "accuracy", nn.R2(), nn.MAE()
        return nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(0.05), metrics, backend="numpy")

    t = X[:, 0] * 2 - 1
    batches = [(X[n : n + 40], t[n : n + 40]) for n in range(0, 210, 40)]
    one, other = build(), build()
    wanted = one.fit(X, t, batch_size=40, shuffle=False, epochs=3, progress=False)
    found = other.fit(lambda: batches, epochs=3, progress=False)
    assert found["loss"] == wanted["loss"]
    assert found["mae"] == wanted["mae"]
    np.testing.assert_allclose(found["r2"], wanted["r2"], rtol=1e-5)
    assert other.predict(X).shape == one.predict(X).shape == (210,)


class TestReadingAhead:
    def test_order_and_end(self):
        assert list(read_ahead(lambda: iter(range(50)))) == list(range(50))

    def test_it_is_ahead_and_no_more_than_told(self):
        made = []

        def make():
            for number in range(20):
                made.append(number)
                yield number

        reader = read_ahead(make, 3)
        assert next(reader) == 0
        until = time.monotonic() + 5
        while len(made) < 5 and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.05)
        assert made == list(range(5))  # one used, three that wait, one in hand
        reader.close()

    def test_what_is_raised_is_raised_there(self):
        def make():
            yield 1
            raise KeyError("gone")

        reader = read_ahead(make)
        assert next(reader) == 1
        with pytest.raises(KeyError, match="gone"):
            next(reader)

    def test_closing_closes_the_iterator_in_its_thread(self):
        closed = []

        def make():
            try:
                yield from itertools.count()
            finally:
                closed.append(threading.current_thread().name)

        reader = read_ahead(make)
        next(reader)
        reader.close()
        assert closed == ["nnfs_xp reading ahead"]

    def test_nothing_is_fetched_in_a_pause(self):
        made = []

        def make():
            for number in range(1000):
                made.append(number)
                yield number

        reader = read_ahead(make, 1000)
        for _ in range(20):
            next(reader)
            with paused():
                before = len(made)
                time.sleep(0.002)
                assert len(made) == before
        assert list(reader) == list(range(20, 1000))

    def test_a_pause_while_one_reads_what_another_one_reads(self):
        def slow():
            for number in range(20):
                time.sleep(0.005)
                yield number

        reader = read_ahead(lambda: read_ahead(slow))
        for number in range(20):
            assert next(reader) == number
            with paused():
                assert not reading._turns._fetching
        reader.close()

    def test_a_pause_that_cannot_begin(self, monkeypatch):
        monkeypatch.setattr(reading, "_PATIENCE", 0.05)
        begun, go_on = threading.Event(), threading.Event()

        def stuck():
            yield 1
            begun.set()
            go_on.wait(20)
            yield 2

        reader = read_ahead(stuck)
        assert next(reader) == 1
        assert begun.wait(20)
        with pytest.raises(TimeoutError, match="still being read"), paused():
            pytest.fail("it began")
        reader.close()
        (left,) = readers()
        with paused():  # what was given up is waited for no longer
            go_on.set()
        left.join(20)

    def test_what_is_fetched_may_pause_the_others(self):
        def make():
            with paused():
                number = 1
            yield number

        assert list(read_ahead(make)) == [1]


class TestBatches:
    def test_arrays_in_a_loop_of_ones_own(self, backend):
        walk = nn.data.batches(X, Y, batch_size=64, backend=backend)
        assert len(walk) == 4
        found = []
        for batch in walk:
            assert all(backend.owns(array) for array in batch)
            found.append([nn.to_numpy(array).copy() for array in batch])
        assert [x.shape for x, _ in found] == [(64, 5)] * 3 + [(18, 5)]
        np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), X)
        np.testing.assert_array_equal(np.concatenate([y for _, y in found]), Y)

    def test_shuffled_anew_in_each_walk_and_again_by_its_number(self):
        walk = nn.data.batches(X, Y, batch_size=50, shuffle=True, seed=4, backend="numpy")
        one, two = ([x.copy() for x, _ in walk] for _ in range(2))
        assert not np.array_equal(one[0], two[0])
        for rows in (one, two):
            ordered = np.concatenate(rows)
            np.testing.assert_array_equal(ordered[np.lexsort(ordered.T)], X[np.lexsort(X.T)])
        walk.set_epoch(1)
        np.testing.assert_array_equal(next(iter(walk))[0], two[0])
        labels = {tuple(row): label for row, label in zip(X, Y, strict=True)}
        assert all(
            labels[tuple(row)] == label for x, y in walk for row, label in zip(x, y, strict=True)
        )

    def test_a_source_a_transform_and_a_type(self):
        def shifted(batch, random):
            x, y = batch
            return x + random.uniform(x.shape), y

        walk = nn.data.batches(
            generated, backend="numpy", dtype="float64", transform=shifted, seed=3
        )
        first = [x for x, _ in walk]
        assert first[0].dtype == np.float64
        moved = np.concatenate(first) - X
        assert 0 <= moved.min() < 0.01
        assert 0.99 < moved.max() < 1
        with pytest.raises(TypeError, match="does not tell how many"):
            len(walk)
        assert not np.array_equal(next(iter(walk))[0], first[0])

    def test_it_is_a_source_itself(self):
        walk = nn.data.batches(X, Y, batch_size=40, backend="numpy")
        one, other = new_trainer(), new_trainer()
        wanted = other.fit(BATCHES, epochs=2, progress=False)
        assert one.fit(walk, epochs=2, progress=False) == wanted

    def test_what_is_refused(self):
        with pytest.raises(LabelError, match="must have as many samples"):
            nn.data.batches(X, Y[:-1])
        with pytest.raises(ArgumentError, match="walked once only"):
            nn.data.batches(generated())
        with pytest.raises(ArgumentError, match="whose batches hold it"):
            nn.data.batches(generated, sample_weight=np.ones(3))
        with pytest.raises(ArgumentError, match="`batch_size`"):
            nn.data.batches(X, Y, batch_size=0)
        with pytest.raises(DataError, match="batch 1 of epoch 1: it is of type str"):
            list(nn.data.batches(lambda: ["x"], backend="numpy"))


class TestFolders:
    def save(self, folder, **arrays):
        folder.mkdir(exist_ok=True)
        for name, array in arrays.items():
            np.save(folder / f"{name.replace('__', '-')}.npy", array)
        return folder

    def test_one_array_on_the_disk(self, tmp_path):
        self.save(tmp_path, X=X, y=Y)
        source = nn.data.npy_batches(tmp_path, 40)
        assert (len(source), source.n_samples) == (6, 210)
        one, other = new_trainer(), new_trainer()
        wanted = one.fit(BATCHES, epochs=2, progress=False)
        found = other.fit(source, epochs=2, validation_data=source, progress=False)
        assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-6)
        np.testing.assert_array_equal(other.predict(source), one.predict(X))

    def test_several_with_weights_shuffled(self, tmp_path):
        weights = RNG.uniform(0, 1, 210)
        parts = {"000": slice(0, 90), "001": slice(90, 210)}
        arrays = {f"X__{name}": X[part] for name, part in parts.items()}
        arrays |= {f"y__{name}": Y[part] for name, part in parts.items()}
        arrays |= {f"sample_weight__{name}": weights[part] for name, part in parts.items()}
        self.save(tmp_path, **arrays)
        source = nn.data.npy_batches(tmp_path, 32, shuffle=True, seed=1)
        seen = []
        for epoch in range(3):
            source.set_epoch(epoch)
            batches = [source[number] for number in range(len(source))]
            rows = np.concatenate([x for x, _, _ in batches])
            assert len(rows) == 210
            of_rows = {tuple(row): (y, w) for row, y, w in zip(X, Y, weights, strict=True)}
            for x, y, w in batches:
                assert [of_rows[tuple(row)] for row in x] == list(zip(y, w, strict=True))
            seen.append(rows)
        assert not np.array_equal(seen[0], seen[1])
        assert np.array_equal(np.sort(seen[0], axis=0), np.sort(X, axis=0))
        new_trainer().fit(source, epochs=2, progress=False)

    def test_a_shuffled_folder_goes_on_in_the_middle(self, tmp_path):
        self.save(tmp_path / "data", X=X, y=Y)

        def source():
            return nn.data.npy_batches(tmp_path / "data", 30, shuffle=True)

        def stop(trainer):
            if (trainer.epoch, trainer.step) == (1, 3):
                trainer.stop(now=True)

        whole, cut, resumed = (new_trainer() for _ in range(3))
        wanted = whole.fit(source(), epochs=3, progress=False)
        kept = {"checkpoint": tmp_path / "kept", "epochs": 3, "progress": False}
        cut.fit(source(), callbacks=[nn.LambdaCallback(on_step_end=stop)], **kept)
        assert (cut.epoch, cut.step) == (1, 3)
        idle = nn.LambdaCallback(on_step_end=lambda trainer: None)
        assert resumed.fit(source(), resume=True, callbacks=[idle], **kept) == wanted
        np.testing.assert_array_equal(flat(resumed), flat(whole))

    def test_what_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="there is no folder"):
            nn.data.npy_batches(tmp_path / "none")
        with pytest.raises(DataError, match=r"holds no X\.npy"):
            nn.data.npy_batches(tmp_path)
        self.save(tmp_path / "a", X=X)
        with pytest.raises(DataError, match=r"has no y\.npy"):
            nn.data.npy_batches(tmp_path / "a")
        self.save(tmp_path / "b", X=X, y=Y[:-1])
        with pytest.raises(DataError, match="different lengths: 209, 210"):
            nn.data.npy_batches(tmp_path / "b")
        self.save(tmp_path / "c", X=np.array(["a", "b"]), y=Y[:2])
        with pytest.raises(DataError, match="is no array of numbers"):
            nn.data.npy_batches(tmp_path / "c")
        self.save(tmp_path / "d", X=X, y=Y)
        (tmp_path / "d" / "X.npy").write_bytes(b"something else")
        with pytest.raises(DataError, match="cannot be read as an array"):
            nn.data.npy_batches(tmp_path / "d")


class Slow:
    """A sequence whose batches are made with care; it may end the process that makes one."""

    def __init__(self, n=5, killed=None):
        self.n, self.killed, self.epoch = n, killed, 0

    def __len__(self):
        return self.n

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __getitem__(self, number):
        if number == self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        generator = np.random.default_rng([self.epoch, number])
        x = generator.standard_normal((20, 5)).astype("float32")
        return x, (x[:, 0] > 0).astype(np.int64)


class Growing(Slow):
    """One that has more batches in later epochs, and then fewer."""

    def __len__(self):
        return (4, 9, 2)[self.epoch]


class Opening(Slow):
    """One that opens what cannot go to another process, when the epoch is known."""

    def set_epoch(self, epoch):
        super().set_epoch(epoch)
        self.opened = threading.Lock()


class TestProcesses:
    def test_a_length_of_each_epoch(self):
        one, other = new_trainer(), new_trainer()
        wanted = one.fit(Growing(), epochs=3, progress=False)
        assert other.fit(nn.data.InProcesses(Growing(), 2), epochs=3, progress=False) == wanted
        assert one.optimizer.iterations == other.optimizer.iterations == 15

    def test_what_an_epoch_opens_stays_in_its_process(self):
        one, other = new_trainer(), new_trainer()
        wanted = one.fit(Opening(), epochs=2, progress=False)
        source = nn.data.InProcesses(Opening(), 2)
        assert other.fit(source, epochs=2, progress=False) == wanted
        assert not hasattr(source._batches, "opened")

    def test_the_same_batches_in_the_same_order(self):
        one, other = new_trainer(), new_trainer()
        wanted = one.fit(Slow(), epochs=2, progress=False)
        assert other.fit(nn.data.InProcesses(Slow(), 2), epochs=2, progress=False) == wanted

    def test_a_process_that_is_killed(self, tmp_path):
        trainer = new_trainer()
        source = nn.data.InProcesses(Slow(12, killed=9), 2)
        with pytest.raises(DataError, match=r"source of batches failed at batch .* of epoch 1"):
            trainer.fit(source, checkpoint=tmp_path, progress=False)
        step = trainer.step
        assert step == trainer.optimizer.iterations
        resumed = new_trainer()
        resumed.fit(Slow(12), checkpoint=tmp_path, resume=bool(step), progress=False)
        assert resumed.optimizer.iterations == 12

    def test_what_is_refused(self):
        with pytest.raises(ArgumentError, match="must be a sequence"):
            nn.data.InProcesses(generated)
        with pytest.raises(ArgumentError, match="cannot be handed to other processes"):
            nn.data.InProcesses(Numbered([lambda: None]))


class TestWhatIsShared:
    """Nothing that the source goes on using is trained on later, and nothing of it is changed."""

    def test_a_buffer_that_is_used_again(self, backend):
        def reused():
            x, y = np.empty((35, 5), "float32"), np.empty(35, "int64")
            for start in range(0, 210, 35):
                x[:], y[:] = X[start : start + 35], Y[start : start + 35]
                yield x, y

        one, other = new_trainer(backend), new_trainer(backend)
        wanted = one.fit(X, Y, batch_size=35, shuffle=False, epochs=3, progress=False)
        assert other.fit(reused, epochs=3, progress=False)["loss"] == wanted["loss"]
        assert other.evaluate(reused) == one.evaluate(X, Y, batch_size=35)
        np.testing.assert_array_equal(other.predict(reused), one.predict(X))
        walk = [nn.to_numpy(x).copy() for x, _ in nn.data.batches(reused, backend=backend)]
        np.testing.assert_array_equal(np.concatenate(walk), X)

    @pytest.mark.parametrize("accumulate", [1, 3])
    @pytest.mark.parametrize("place", [lambda f: f, nn.data.OnHost], ids=["device", "host"])
    def test_a_transform_that_writes_into_its_batch(self, backend, place, accumulate):
        def doubled(batch, random):
            del random
            x, y = batch
            x *= 2
            y[...] = 2 - y
            return x, y

        x, y = X.copy(), Y.copy()
        parts = [(x[n : n + 40], y[n : n + 40]) for n in range(0, 210, 40)]
        settings = {"epochs": 2, "accumulate": accumulate, "progress": False}
        twice = [(2 * x, 2 - y) for x, y in parts]
        wanted = new_trainer(backend).fit(twice, **settings)["loss"]
        for data in ((x, y), (parts,), (Numbered(parts),), (lambda: iter(parts),)):
            sizes = {"batch_size": 40, "shuffle": False} if len(data) == 2 else {}
            trainer = new_trainer(backend)
            found = trainer.fit(*data, transform=place(doubled), **sizes, **settings)
            assert found["loss"] == wanted
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(y, Y)

    @pytest.mark.parametrize("place", [lambda f: f, nn.data.OnHost], ids=["device", "host"])
    def test_a_transform_with_a_buffer_of_its_own(self, place):
        kept = np.empty((40, 5), "float32")

        def into(batch, random):
            del random
            x, y = batch
            return np.multiply(x, 3, out=kept[: len(x)]), y

        settings = {"batch_size": 40, "shuffle": False, "accumulate": 2, "progress": False}
        wanted = new_trainer().fit(3 * X, Y, **settings)
        found = new_trainer().fit(X, Y, transform=place(into), **settings)
        assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-6)

    @pytest.mark.parametrize("ahead", [0, 2])
    def test_a_loop_of_ones_own_that_writes_into_its_batch(self, ahead):
        x, y = X.copy(), Y.copy()
        for a, b in nn.data.batches(x, y, backend="numpy", ahead=ahead):
            a *= 2
            b += 1
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(y, Y)

    def test_two_walks_of_one_source(self, tmp_path):
        np.save(tmp_path / "X.npy", X)
        np.save(tmp_path / "y.npy", Y)
        source = nn.data.npy_batches(tmp_path, 16, shuffle=True)
        walk = nn.data.batches(X, Y, shuffle=True, backend="numpy")
        for pairs in (
            zip(source.walk(0), source.walk(1), strict=True),
            zip(walk, walk, strict=True),
        ):
            one, other = (np.concatenate([x for x, _ in each]) for each in zip(*pairs, strict=True))
            for rows in (one, other):
                np.testing.assert_array_equal(rows[np.lexsort(rows.T)], X[np.lexsort(X.T)])
            assert not np.array_equal(one, other)
        one, other = new_trainer(), new_trainer()
        peeked = nn.LambdaCallback(on_step_end=lambda _: one.predict(source))
        found = one.fit(source, epochs=2, callbacks=[peeked], progress=False)
        assert found == other.fit(source, epochs=2, progress=False)


def test_what_is_on_the_device_is_checked_too(backend):
    def there(x, y, *weights):
        return [tuple(map(backend.asarray, (x, y, *weights)))]

    one, other = new_trainer(backend), new_trainer(backend)
    weighted = {"class_weight": {0: 0.5, 2: 3.0}, "progress": False}
    wanted = one.fit([(X, Y)], **weighted)["loss"]
    assert other.fit(lambda: there(X, Y), **weighted)["loss"] == pytest.approx(wanted, rel=1e-6)
    for batch, kind, message in (
        (there(X[:9], Y[:9], -np.ones(9)), ArgumentError, "`sample_weight` must hold finite"),
        (there(X[:9], Y[:9] + 7), LabelError, "must hold class indices from 0 to 2"),
        (there(X[:9] * np.nan, Y[:9]), DataError, "holds NaN or infinity"),
    ):
        with pytest.raises(kind, match=rf"batch 1 of epoch \d: .*{message}"):
            one.fit(lambda batch=batch: batch, progress=False)
    wide = there(X[:20].astype("float64"), Y[:20], np.ones(20))
    assert np.isfinite(one.fit(lambda: wide, progress=False)["loss"][0])


def test_sparse_rows_and_rows_backwards(backend):
    sparse = pytest.importorskip("scipy.sparse")
    batches = [(sparse.csr_array(x), y) for x, y in BATCHES]
    one, other = new_trainer(backend), new_trainer(backend)
    assert one.fit(lambda: batches, progress=False) == other.fit(BATCHES, progress=False)
    backwards = [(X[::-1][:1], Y[::-1][:1])]
    trainer = new_trainer(backend)
    assert trainer.fit(lambda: backwards, progress=False).epochs == 1
    np.testing.assert_array_equal(trainer.predict(X[::-1][:1]), trainer.predict(X[-1:].copy()))


def test_a_sequence_that_grows():
    class Growing(Numbered):
        def set_epoch(self, epoch):
            self.batches = BATCHES[: 2 + epoch]

    trainer = new_trainer()
    trainer.fit(Growing(BATCHES[:2]), epochs=3, progress=False)
    assert trainer.optimizer.iterations == 2 + 3 + 4


def test_a_sequence_that_can_only_be_walked():
    """As a stream of PyTorch's, which has the method of a base class."""

    class Stream(Walked):
        def __len__(self):
            return len(self.batches)

        def __getitem__(self, number):
            raise NotImplementedError

    one, other = new_trainer(), new_trainer()
    assert one.fit(Stream(), epochs=2, progress=False) == other.fit(
        BATCHES, epochs=2, progress=False
    )


@pytest.mark.parametrize("length", [-1, 10**30, "x"])
def test_a_length_that_is_none(length):
    class Odd(Walked):
        def __len__(self):
            return length

    assert new_trainer().fit(Odd(), progress=False).epochs == 1


def test_targets_that_are_lists():
    batches = [(x, y.tolist()) for x, y in BATCHES]
    one, other = new_trainer(), new_trainer()
    wanted = other.fit(BATCHES, validation_data=BATCHES, progress=False)
    assert one.fit(batches, validation_data=batches, progress=False) == wanted


def test_files_of_other_names_are_left(tmp_path):
    for name, array in (("X-0", X), ("y-0", Y), ("X_test", X), ("y_test", Y)):
        np.save(tmp_path / f"{name}.npy", array)
    assert nn.data.npy_batches(tmp_path).n_samples == 210


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_source_keeps_it_waiting(tmp_path, number):
    """The state is kept, and the program ends as the signal says, without the source."""
    held = threading.Event()

    def slow():
        yield from BATCHES[:3]
        threading.Timer(1, os.kill, (os.getpid(), number)).start()
        held.wait(20)

    trainer = new_trainer()
    begin = time.monotonic()
    ends = KeyboardInterrupt if number == signal.SIGINT else SystemExit
    threading.Timer(4, held.set).start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nn.errors.TrainingWarning)
        with pytest.raises(ends):
            trainer.fit(slow, checkpoint=tmp_path, progress=False)
    assert time.monotonic() - begin < 10
    assert trainer.step == 3
    resumed = new_trainer()
    resumed.fit(BATCHES, checkpoint=tmp_path, resume=True, progress=False)
    assert resumed.optimizer.iterations == 6


def test_a_list_that_takes_another_order_in_each_epoch():
    class Ordered(list):
        def set_epoch(self, epoch):
            epochs.append(epoch)
            self[:] = [BATCHES[(place + epoch) % len(BATCHES)] for place in range(len(BATCHES))]

    epochs = []
    one, other = new_trainer(), new_trainer()
    found = one.fit(Ordered(BATCHES), epochs=3, progress=False)
    assert epochs[-3:] == [0, 1, 2]

    def walked():
        first = other.epoch
        yield from (BATCHES[(place + first) % len(BATCHES)] for place in range(len(BATCHES)))

    assert other.fit(walked, epochs=3, progress=False) == found


@pytest.mark.parametrize("place", [0, 1, 5])
def test_a_masked_array_is_refused_wherever_it_comes(place):
    batches = list(BATCHES)
    x, y = batches[place]
    batches[place] = np.ma.masked_array(x, mask=x > 2), y
    match = f"batch {place + 1} of epoch 1: X: expected numbers; got a masked array"
    with pytest.raises(nn.errors.DTypeError, match=match):
        new_trainer().fit(lambda: iter(batches), progress=False)


def test_another_number_of_parts_in_a_later_epoch():
    walks = itertools.count()

    def source():
        weights = () if next(walks) < 1 else (np.ones(40, dtype="float32"),)
        yield X[:40], Y[:40], *weights

    with pytest.raises(DataError, match="batch 1 of epoch 2: it has 3 parts, and those before"):
        new_trainer().fit(source, epochs=2, progress=False)


def test_batches_in_which_no_label_counts(backend):
    batches = [(x, np.full_like(y, -1) if n % 2 else y) for n, (x, y) in enumerate(BATCHES)]
    loss = nn.SoftmaxCategoricalCrossentropy(ignore_index=-1)
    model = nn.Sequential(nn.Dense(5, 3), seed=0)
    trainer = nn.Trainer(model, loss, nn.SGD(1e-9), backend=backend)
    wanted = trainer.evaluate(
        np.concatenate([x for x, _ in batches[::2]]), np.hstack([y for _, y in batches[::2]])
    )["loss"]
    history = trainer.fit(lambda: iter(batches), validation_data=batches, progress=False)
    assert history["loss"] == pytest.approx([wanted], rel=1e-5)
    assert history["val_loss"] == pytest.approx([wanted], rel=1e-5)
    assert len(list(nn.data.batches(batches, backend=backend))) == len(batches)


def test_the_accuracy_of_a_regression_is_that_of_all_targets_of_a_list():
    y = np.sort(X[:, :1] * 3 + 1, axis=0)
    batches = [(X[n : n + 40], y[n : n + 40]) for n in range(0, 210, 40)]

    def accuracy(*data):
        model = nn.Sequential(nn.Dense(5, 1), seed=0)
        accuracy = (nn.RegressionAccuracy(),)
        trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(1e-9), accuracy, "numpy")
        trainer.fit(*data, progress=False)
        return trainer.course.totals.metrics[0]._deduced

    assert accuracy(batches) == pytest.approx(accuracy(X, y)) == pytest.approx(y.std() / 250)
    assert accuracy(lambda: iter(batches)) != pytest.approx(y.std() / 250, rel=0.1)


class TestListsOfArrays:
    """Batches where they have the axes of a batch, whatever their lengths, and else samples."""

    @pytest.mark.parametrize("cut", [105, 80])
    @pytest.mark.parametrize("fitted", [True, False])
    def test_batches(self, backend, cut, fitted):
        trainer = new_trainer(backend)
        if fitted:
            trainer.fit(X, Y, progress=False)
        parts = [X[:cut], X[cut:]]
        np.testing.assert_array_equal(trainer.predict(parts), trainer.predict(X))
        np.testing.assert_array_equal(trainer.predict(tuple(parts[:1])), trainer.predict(X[:cut]))
        found = trainer.predict_proba(parts)
        np.testing.assert_allclose(found, trainer.predict_proba(X), rtol=1e-5)

    def test_samples(self, backend):
        trainer = new_trainer(backend)
        np.testing.assert_array_equal(trainer.predict(list(X)), trainer.predict(X))

    def test_samples_of_several_places(self):
        trainer = new_trainer()
        sequences = RNG.standard_normal((6, 7, 5)).astype("float32")
        trainer.fit(sequences, RNG.integers(0, 3, (6, 7)), progress=False)
        wanted = trainer.predict(sequences)
        np.testing.assert_array_equal(trainer.predict(list(sequences)), wanted)
        parts = [sequences[:3], sequences[3:]]
        np.testing.assert_array_equal(trainer.predict(parts), wanted)


def test_what_no_batch_is_in_a_loop_of_ones_own(backend):
    with pytest.raises(DataError, match="batch 2 of epoch 1: it has a part that is a number"):
        list(nn.data.batches(lambda: iter([(X[:3], Y[:3]), (X[:3], 4)]), backend=backend))


def test_lists_in_batches_are_named():
    with pytest.raises(ArgumentError, match="batches that begin with a list, where arrays"):
        new_trainer().fit([(X[:9].tolist(), Y[:9].tolist())])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((X * np.nan, Y), DataError, r"^validation_data: `X` holds NaN"),
        ((X[:, :3], Y), ShapeError, r"^validation_data: `X` must have shape"),
        ((X, Y + 7), LabelError, r"^validation_data: `y` must hold class indices"),
        ((X, Y, np.ones(3)), ArgumentError, r"^validation_data: `sample_weight` must have"),
        ([(X[:9], Y[:9]), (X[:9], Y[:9] + 7)], LabelError, r"^validation_data: batch 2 of epoch 1"),
    ],
)
def test_errors_name_the_validation_data(given, error, message):
    with pytest.raises(error, match=message):
        new_trainer().fit(X, Y, validation_data=given, progress=False)


def test_a_second_fit_while_one_goes_on():
    class Again(nn.Callback):
        def on_step_end(self, training):
            training.fit(X, Y, progress=False)

    trainer = new_trainer()
    with pytest.raises(ArgumentError, match="this trainer is in a `fit` already"):
        trainer.fit(X, Y, callbacks=[Again()], progress=False)
    trainer.fit(X, Y, progress=False)  # and no longer


def test_a_signal_while_validation_keeps_it_waiting(tmp_path):
    held = threading.Event()
    walks = itertools.count()

    def slow():
        yield from BATCHES[:2]
        if next(walks):  # after the epoch
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
            threading.Timer(4, held.set).start()
            held.wait(20)

    begin = time.monotonic()
    trainer = new_trainer()
    settings = {"checkpoint": tmp_path, "epochs": 4, "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nn.errors.TrainingWarning)
        with pytest.raises(SystemExit):
            trainer.fit(BATCHES, validation_data=slow, **settings)
    assert time.monotonic() - begin < 15
    assert list(tmp_path.iterdir())
