"""The device's memory: reported, explained where it runs out, and given back."""

from __future__ import annotations

import gc
import re
import weakref

import cupy
import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.backend import to_numpy
from nnfs_xp.data.batching import place
from nnfs_xp.errors import OutOfMemoryError
from nnfs_xp.kernels.cupy import graphs

BACKEND = nn.get_backend("cupy")
X = np.random.default_rng(0).standard_normal((20_000, 8)).astype("float32")
Y = np.random.default_rng(1).integers(0, 3, 20_000)


@pytest.fixture
def little_memory():
    """As much as a model and its data need, and 96 MiB."""
    gc.collect()
    BACKEND.release_memory()
    pool = cupy.get_default_memory_pool()
    before = pool.get_limit()
    pool.set_limit(size=pool.used_bytes() + 96 * 2**20)
    yield
    pool.set_limit(size=before)
    BACKEND.release_memory()


def trainer(**settings):
    model = nn.Sequential(nn.Dense(8, 2048), nn.ReLU(), nn.Dense(2048, 3), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    return nn.Trainer(model, loss, nn.Adam(), backend="cupy", **settings)


def test_what_is_reported():
    gc.collect()
    before = BACKEND.memory()
    trained = trainer()
    trained.fit(X[:500], Y[:500], epochs=3, batch_size=100, progress=False)
    memory = trained.memory()
    assert memory.used - before.used >= 4 * 4 * trained.model.flat.size
    assert before.total == memory.total >= memory.reserved >= memory.used
    assert 0 < memory.free < memory.total
    x, y = BACKEND.asarray(X[:100]), BACKEND.asarray(Y[:100])
    for _ in range(3):
        trained.train_step(x, y)
    recorded = trained.recorder.memory
    assert recorded > 0
    assert trained.memory().used - BACKEND.memory().used == recorded
    assert (
        nn.Trainer(
            nn.Sequential(nn.Dense(2, 2)), nn.MeanSquaredError(), nn.SGD(0.1), (), backend="numpy"
        ).memory()
        is None
    )


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("call", ["fit", "train_step", "evaluate", "predict"])
def test_running_out_says_what_would_fit_and_loses_nothing(graph, call):
    trained = trainer(graph=graph)
    trained.fit(X[:64], Y[:64], epochs=3, batch_size=32, progress=False)
    weights = to_numpy(trained.model.flat.values).copy()
    steps = trained.optimizer.iterations

    def run(batch_size):
        if call == "fit":
            trained.fit(X, Y, epochs=2, batch_size=batch_size, progress=False)
        elif call == "train_step":
            x, y = BACKEND.asarray(X[:batch_size]), BACKEND.asarray(Y[:batch_size])
            for _ in range(3):
                trained.train_step(x, y)
        else:
            data = (X, Y) if call == "evaluate" else (X,)
            getattr(trained, call)(*data, batch_size=batch_size)

    with pytest.raises(OutOfMemoryError) as caught:
        run(20_000)
    message = str(caught.value)
    assert message.startswith("cupy has not enough memory for a batch of 20000 samples: Out of mem")
    assert re.search(r"allocating [\d,]+ bytes.*; [\d.]+ MiB of [\d.]+ \w+ are free", message)
    np.testing.assert_array_equal(to_numpy(trained.model.flat.values), weights)
    assert trained.optimizer.iterations == steps
    assert BACKEND.memory().reserved < 64 * 2**20, "the rest was given back"
    advised = int(re.search(r"A `batch_size` of (\d+) should fit", message).group(1))
    assert 256 <= advised <= 10_000
    run(advised)


def test_other_errors_of_memory_are_the_callers():
    class Greedy(nn.Callback):
        def on_step_end(self, trained):
            raise MemoryError("no room on the host")

    with pytest.raises(MemoryError, match=r"^no room on the host$"):
        trainer().fit(X[:64], Y[:64], callbacks=[Greedy()], progress=False)


def test_a_training_that_is_over_keeps_no_data():
    gc.collect()
    BACKEND.release_memory()
    before = BACKEND.memory().used
    trained = trainer()
    trained.fit(np.zeros((20_000, 8), "float32"), Y, epochs=1, batch_size=5000, progress=False)
    gc.collect()
    used = BACKEND.memory().used - before
    assert used < 8 * 4 * trained.model.flat.size + 2**20
    reference = weakref.ref(trained)
    gc.disable()
    try:
        del trained
        assert reference() is None, "no cycle keeps it"
    finally:
        gc.enable()


@pytest.mark.usefixtures("little_memory")
def test_a_model_that_is_too_large_itself():
    model = nn.Sequential(nn.Dense(4000, 4000), nn.Dense(4000, 3), seed=0)
    weights = model.layers[0].weights
    loss = nn.SoftmaxCategoricalCrossentropy()
    with pytest.raises(OutOfMemoryError, match=r"for 16,016,003 parameters .* Out of memory alloc"):
        nn.Trainer(model, loss, nn.Adam(), backend="cupy")
    assert model.backend.name == "numpy"
    assert model.layers[0].weights is weights


@pytest.mark.usefixtures("little_memory")
def test_data_that_do_not_fit_are_streamed():
    images = np.random.default_rng(0).standard_normal((20_000, 784)).astype("float32")  # 60 MiB
    assert isinstance(place(images, BACKEND), np.ndarray)
    loss = nn.SoftmaxCategoricalCrossentropy()
    found = {}
    for backend in ("cupy", "numpy"):
        twin = nn.Sequential(nn.Dense(784, 8), nn.ReLU(), nn.Dense(8, 3), seed=0)
        trained = nn.Trainer(twin, loss, nn.SGD(0.01), backend=backend)
        data = images, Y
        history = trained.fit(
            *data, epochs=1, batch_size=2048, validation_data=data, progress=False
        )
        found[backend] = history["loss"][0], history["val_loss"][0]
    np.testing.assert_allclose(found["cupy"], found["numpy"], rtol=1e-5)


def reserved():
    """Bytes in all pools, and, on the stand-in, where nobody else takes any, of the device."""
    gc.collect()
    BACKEND.synchronize()
    BACKEND.release_memory()
    pools = [cupy.get_default_memory_pool(), *(pool for _, pool in graphs._left)]
    found = [sum(pool.total_bytes() for pool in pools)]
    if "stand-in" in cupy.__version__:
        free, total = cupy.cuda.runtime.memGetInfo()
        found.append(total - free)
    return found


@pytest.mark.parametrize("by", ["fit", "train_step"])
def test_recorded_steps_that_are_dropped_give_their_memory_back(by):
    """CuPy's pools lose what is free in them when they are dropped: cupy/cupy#9437."""
    after = []
    kept = None
    for _ in range(20):
        model = nn.Sequential(nn.Dense(8, 16), nn.ReLU(), nn.Dense(16, 3), seed=0)
        loss = nn.SoftmaxCategoricalCrossentropy()
        trained = nn.Trainer(model, loss, nn.Adam(), backend="cupy")
        if by == "fit":
            trained.fit(X[:96], Y[:96], epochs=2, batch_size=32, progress=False)
        else:
            x, y = BACKEND.asarray(X[:32]), BACKEND.asarray(Y[:32])
            kept = [trained.train_step(x, y) for _ in range(3)]
        assert trained.recorder.recordings == 1
        after.append(reserved())
    assert kept is None or len(kept) == 3
    for column in zip(*after, strict=True):
        assert column[-1] <= column[1]
    del trained, model, kept
    reserved()
    assert not graphs._left, "an array is still there"


def test_memory_of_a_trainer_that_is_gone_is_free_when_it_is_asked_for():
    gc.collect()
    BACKEND.release_memory()
    before = len(graphs._left)
    trained = trainer()
    x, y = BACKEND.asarray(X[:4000]), BACKEND.asarray(Y[:4000])
    for _ in range(3):
        trained.train_step(x, y)
    (step,) = trained.recorder._recorded.values()
    pool = step.graph._pool
    assert trained.recorder.recordings
    assert pool.total_bytes() > 32 * 2**20
    del step, trained
    gc.collect()
    BACKEND.memory()
    assert pool.total_bytes() == 0
    assert len(graphs._left) == before


def test_memory_that_runs_out_while_recording_spoils_the_graph():
    """The pool then gives free blocks back to the device, which the recorded work writes to."""
    for limit, fits in ((2**16, True), (5 * 2**10, False)):
        graph, results = graphs.Graph(), []
        graph._pool.set_limit(size=limit)

        def work(results=results):
            small = cupy.zeros(2**9, "float32")
            small += 1
            results.append(small[:1].copy())
            del small
            return cupy.ones(2**10, "float32")

        if fits:
            graph.record(work)
            graph.launch()
        else:
            # By a limit, CuPy's own pools just raise.
            # On a card, freeing their blocks while recording is an argument that is not valid.
            match = r"memory ran out|Out of memory|invalid argument"
            with pytest.raises((RuntimeError, MemoryError), match=match):
                graph.record(work)
            assert graph._graph is None
        graph.close()
