"""Batches from anywhere, transforms and accumulated gradients, in recorded steps."""

from __future__ import annotations

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


def test_batches_that_are_on_the_device_stay_there():
    backend = nn.get_backend("cupy")
    there = [(backend.asarray(x), backend.asarray(y)) for x, y in BATCHES]
    _, found = trained("cupy", lambda: iter(there))
    _, wanted = trained("cupy", BATCHES)
    assert found == wanted
    walk = nn.data.batches(there, backend="cupy")
    assert all(x is given for (x, _), (given, _) in zip(walk, there, strict=True))


def test_batches_in_a_loop_of_ones_own():
    walk = nn.data.batches(X, Y, batch_size=64, backend="cupy", transform=shaken, seed=2)
    here = [nn.to_numpy(x).copy() for x, _ in walk]
    there = nn.data.batches(X, Y, batch_size=64, backend="numpy", transform=shaken, seed=2)
    for found, (wanted, _) in zip(here, there, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
