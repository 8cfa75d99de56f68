"""Batches from anywhere, transforms and accumulated gradients, in recorded steps."""

from __future__ import annotations

import copy
import importlib
import threading

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.data import OnHost

RNG = np.random.default_rng(1)
X = RNG.standard_normal((250, 6)).astype("float32")
Y = np.digitize(X[:, 0] + X[:, 3], [-0.7, 0.7])
BATCHES = [(X[n : n + 40], Y[n : n + 40]) for n in range(0, 250, 40)]


def shaken(batch, random):
    x, y = batch
    keep = random.choices(0.8, x.shape)
    return random.xp.where(keep, x, random.uniform(x.shape, -1, 1)), y


def trained(backend, *data, layers=None, graph=True, **settings):
    layers = layers or [nn.Dense(6, 16), nn.ReLU(), nn.Dropout(0.2), nn.Dense(16, 3)]
    trainer = nn.Trainer(
        nn.Sequential(*layers, seed=0),
        nn.SoftmaxCategoricalCrossentropy(),
        nn.Adam(0.01),
        metrics=("accuracy", nn.F1()),
        backend=backend,
        seed=4,
        graph=graph,
    )
    settings = {"epochs": 3, "progress": False, **settings}
    return trainer, trainer.fit(*data, **settings)


SOURCES = {"arrays": (X, Y), "list": (BATCHES,), "generator": (lambda: iter(BATCHES),)}
WAYS = {
    "plain": {},
    "accumulate": {"accumulate": 3},
    "transform": {"transform": shaken},
    "on the host": {"transform": OnHost(shaken)},
    "both": {"transform": shaken, "accumulate": 2},
    "both on the host": {"transform": OnHost(shaken), "accumulate": 4},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("data", SOURCES.values(), ids=SOURCES)
def test_the_same_training_as_on_the_cpu(data, way):
    more = {"batch_size": 40} if len(data) > 1 else {}
    here, found = trained(
        "cupy", *data, validation_data=data[0] if len(data) == 1 else data, **way, **more
    )
    _, wanted = trained(
        "numpy", *data, validation_data=data[0] if len(data) == 1 else data, **way, **more
    )
    assert here.recorder.refused is None
    # A full batch and a smaller one; in steps of several, those that update and those that do not.
    assert here.recorder.recordings >= (3 if "accumulate" in way else 2)
    for name, figures in wanted.items():
        np.testing.assert_allclose(found[name], figures, rtol=1e-4, err_msg=name)
    names = [thread.name for thread in threading.enumerate()]
    assert "nnfs_xp reading ahead" not in names


def test_a_recorded_step_is_the_one_made_as_it_is():
    recorded, one = trained("cupy", BATCHES, accumulate=3)
    plain, other = trained("cupy", BATCHES, accumulate=3, graph=False)
    assert recorded.recorder.recordings
    assert not plain.recorder.recordings
    assert one == other
    np.testing.assert_array_equal(
        nn.to_numpy(recorded.model.flat.values), nn.to_numpy(plain.model.flat.values)
    )


def test_more_batches_than_there_was_room_for_losses(monkeypatch):
    from nnfs_xp.learning import epoch

    monkeypatch.setattr(epoch, "_ROOM", 2)
    source = SOURCES["generator"]
    trainer, found = trained("cupy", *source)
    assert found["loss"] == trained("cupy", BATCHES)[1]["loss"]
    assert trainer.recorder.recordings > 2, "recorded again when the room grew"


def test_batches_of_many_shapes():
    layers = [nn.Embedding(9, 4), nn.Dense(4, 3)]
    batches = [
        (RNG.integers(0, 9, (n, places)), RNG.integers(0, 3, (n, places)))
        for n, places in ((4, 7), (3, 2), (5, 11), (4, 7), (3, 2))
    ]
    here, found = trained("cupy", lambda: iter(batches), layers=layers, epochs=5)
    _, wanted = trained("numpy", batches, layers=layers, epochs=5)
    assert here.recorder.refused is None
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-4)


@pytest.fixture(params=["cupy", "cupy:1"])
def name(request):
    if importlib.import_module("cupy").cuda.runtime.getDeviceCount() <= int(request.param[5:] or 0):
        pytest.skip("one device only; the session on the stand-in has two")
    return request.param


def made_there():
    """Each batch in arrays of its own."""
    cupy = importlib.import_module("cupy")
    for x, y in BATCHES:
        yield cupy.asarray(x), cupy.asarray(y)


def written_over():
    """All batches in the same arrays, one after the other."""
    cupy = importlib.import_module("cupy")
    places = cupy.empty((40, 6), "float32"), cupy.empty(40, "int64")
    for batch in BATCHES:
        for place, part in zip(places, batch, strict=True):
            place[: len(part)] = cupy.asarray(part)
        yield tuple(place[: len(batch[0])] for place in places)


def waits():
    """Batches on the host that the device worked on."""
    cupy = importlib.import_module("cupy")
    for x, y in BATCHES:
        there = cupy.asarray(x) * 1
        cupy.cuda.Device().synchronize()
        yield there.get(), y


def walked():
    """Batches that are read ahead already, on the device where they are to be."""
    cupy = importlib.import_module("cupy")
    return nn.data.batches(BATCHES, backend=f"cupy:{cupy.cuda.runtime.getDevice()}")


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("source", [made_there, written_over, waits, walked])
def test_a_source_may_work_on_the_device(name, source, accumulate):
    trainer, found = trained(name, source, accumulate=accumulate)
    _, wanted = trained(name, BATCHES, accumulate=accumulate)
    assert found == wanted
    assert trainer.recorder.refused is None
    assert trainer.recorder.recordings


def test_a_source_works_on_the_stream_of_the_training(name):
    cupy = importlib.import_module("cupy")
    streams = []

    def source():
        for batch in BATCHES:
            streams.append(cupy.cuda.get_current_stream())
            yield batch

    with nn.get_backend(name).active(), cupy.cuda.Stream(non_blocking=True) as stream:
        trained(name, source)
        for _ in nn.data.batches(source, backend=name):
            pass
    assert len(streams) == 4 * len(BATCHES)
    assert set(streams) == {stream}


def test_predictions_of_batches_that_are_written_over(name):
    trainer, _ = trained(name, BATCHES)
    found = trainer.predict(lambda: (x for x, _ in written_over()))
    np.testing.assert_array_equal(found, trainer.predict(X))


def test_batches_that_are_on_the_device_stay_there():
    backend = nn.get_backend("cupy")
    there = [(backend.asarray(x), backend.asarray(y)) for x, y in BATCHES]
    for (x, _), (wanted, _) in zip(nn.data.batches(there, backend="cupy"), BATCHES, strict=True):
        assert backend.owns(x)
        np.testing.assert_array_equal(nn.to_numpy(x), wanted)


def test_batches_in_a_loop_of_ones_own():
    walk = nn.data.batches(X, Y, batch_size=64, backend="cupy", transform=shaken, seed=2)
    here = [nn.to_numpy(x).copy() for x, _ in walk]
    there = nn.data.batches(X, Y, batch_size=64, backend="numpy", transform=shaken, seed=2)
    for found, (wanted, _) in zip(here, there, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("where", ["transform", "source"])
def test_a_setting_that_users_code_changes_between_steps(where):
    found = []
    for graph in (True, False):
        dropout = nn.Dropout(0.2)
        calls = [0]

        def change(dropout=dropout, calls=calls):
            calls[0] += 1
            if calls[0] == 9:
                dropout.rate = 0.9

        def transform(batch, _, change=change):
            change()
            return batch

        def source(change=change):
            for batch in BATCHES:
                change()
                yield batch

        layers = [nn.Dense(6, 16), dropout, nn.Dense(16, 3)]
        data = (X, Y) if where == "transform" else (source,)
        more = {"transform": transform, "batch_size": 40} if where == "transform" else {}
        trainer, history = trained("cupy", *data, layers=layers, graph=graph, **more)
        found.append(history["loss"])
        assert trainer.recorder.recordings > 2 or not graph
    if where == "transform":  # a thread reads ahead, by as much as it happens to
        assert found[0] == found[1]


def test_diagnosis_and_copies_on_a_device_that_is_not_active(name):
    trainer, _ = trained(name, BATCHES)
    assert nn.diagnose(trainer, X, Y) == "nothing: all values are finite"
    other = copy.deepcopy(trainer)
    one, two = (each.fit(BATCHES, progress=False)["loss"] for each in (trainer, other))
    assert one == two
    assert other.model.flat.values.device == trainer.model.flat.values.device
