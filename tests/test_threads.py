"""On how many threads work is done: measured, unless users say; and a pool that shares it out."""

import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import nnfs_xp as nn
from nnfs_xp.backend import get_backend
from nnfs_xp.errors import ArgumentError
from nnfs_xp.kernels.threads import SETTINGS, Threads, numpys_blas
from nnfs_xp.learning.pace import Choice


class Machine:
    """Makes steps in a time of its own, which other programs can make longer."""

    def __init__(self, *taken, noise=0.0):
        self.taken = dict(enumerate(taken, 1))
        self.now = 0.0
        self.generator = np.random.default_rng(0)
        self.noise = noise

    def run(self, choice, seconds):
        """Make steps for so long; the number of threads of each, and what each took."""
        stop, numbers, times = self.now + seconds, [], []
        while self.now < stop:
            number = choice.number
            begin = self.now
            self.now += self.taken[number] * (1 + self.noise * self.generator.random())
            choice.note(begin, self.now)
            numbers.append(number)
            times.append(self.now - begin)
        return numbers, times


def share(numbers, number):
    return numbers.count(number) / len(numbers)


@pytest.mark.parametrize("step", [0.0004, 0.003, 0.05, 0.4])
def test_two_threads_are_kept_where_they_are_faster(step):
    choice = Choice((1, 2))
    machine = Machine(1.7 * step, step, noise=0.2)
    machine.run(choice, 2 + 20 * step)
    _, times = machine.run(choice, 60 + 100 * step)
    best = step * 1.1  # with the noise
    assert choice.best == 2
    assert np.mean(times) < 1.03 * best


@pytest.mark.parametrize("step", [0.0004, 0.003, 0.05])
def test_one_thread_is_taken_where_two_wait_for_each_other(step):
    choice = Choice((1, 2))
    machine = Machine(step, 6 * step, noise=0.2)
    machine.run(choice, 1.5 + 30 * step)
    assert choice.best == 1
    _, times = machine.run(choice, 60 + 100 * step)
    assert np.mean(times) < 1.05 * step * 1.1


def test_it_follows_what_else_the_machine_does():
    choice, machine = Choice((1, 2)), Machine(0.003, 0.002)
    machine.run(choice, 30)
    assert choice.best == 2
    machine.taken[2] = 0.012  # another program has begun
    machine.run(choice, 1.0)
    assert choice.best == 1
    machine.taken[2] = 0.002
    machine.run(choice, 10)
    assert choice.best == 2


def test_equals_do_not_change_places():
    choice, machine = Choice((1, 2)), Machine(0.002, 0.002, noise=0.5)
    seen = set()
    for _ in range(60):
        machine.run(choice, 1)
        seen.add(choice.best)
    assert seen == {2}


def test_the_number_between_is_found():
    choice, machine = Choice((1, 2, 4)), Machine(0.008, 0.003, 1.0, 0.006)
    machine.run(choice, 20)
    assert choice.best == 2


def test_a_single_number_stays():
    choice, machine = Choice((2,)), Machine(0.001, 0.002)
    numbers, _ = machine.run(choice, 5)
    assert share(numbers, 2) == 1


class Counted:
    """Stands for a BLAS of four threads."""

    most = 4
    number = 4


@pytest.fixture
def untold(monkeypatch):
    """An environment that says nothing of threads."""
    for name in (*SETTINGS, "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("untold")
def test_threads_are_put_back():
    blas = Counted()
    threads = Threads(blas)
    assert threads.are_free
    threads.enter(2)
    assert blas.number == 2
    threads.set(3)
    assert blas.number == threads.number == 3
    assert threads.are_free
    threads.leave()
    assert blas.number == 4


@pytest.mark.usefixtures("untold")
def test_each_of_several_workers_has_one_thread():
    blas = Counted()
    threads = Threads(blas)
    threads.enter(4)
    threads.enter(4)
    assert blas.number == threads.number == 1
    threads.leave()
    threads.set(4)
    assert blas.number == 4
    threads.leave()
    assert blas.number == 4


@pytest.mark.usefixtures("untold")
def test_what_users_set_is_left_alone(monkeypatch):
    blas = Counted()
    blas.number = 2  # by threadpoolctl, for example
    assert not Threads(blas).are_free
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert not Threads(Counted()).are_free


@pytest.mark.usefixtures("untold")
def test_processes_of_one_mpi_job_share_the_cores(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2")
    assert Threads(Counted()).most == 2
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "64")
    threads = Threads(Counted())
    assert threads.most == 1
    assert not threads.are_free


def test_a_number_of_threads_is_checked():
    model = nn.Sequential(nn.Dense(2, 3))
    for wrong in (0, -1, 1.5, "2", True):
        with pytest.raises(ArgumentError, match="`threads` must be a whole number of at least"):
            nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(0.1), threads=wrong, backend="numpy")


def wide_trainer(**settings):
    model = nn.Sequential(nn.Dense(300, 256), nn.ReLU(), nn.Dense(256, 10), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    return nn.Trainer(model, loss, nn.Adam(0.001), backend="numpy", **settings)


def images(n=600):
    generator = np.random.default_rng(0)
    return generator.random((n, 300), dtype=np.float32), generator.integers(10, size=n)


def test_the_blas_has_its_threads_again_after_fit_and_after_an_error():
    blas = numpys_blas()
    if blas is None:
        pytest.skip("NumPy's BLAS here has no number of threads")
    before = blas.number
    trainer = wide_trainer()
    X, y = images()
    trainer.fit(X, y, epochs=2, batch_size=64, progress=False)
    trainer.predict(X)
    assert blas.number == before

    class Fails(nn.Callback):
        def on_step_end(self, training):
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        trainer.fit(X, y, batch_size=64, progress=False, callbacks=[Fails()])
    assert blas.number == before
    assert get_backend("numpy").kernels.threads._workers == 0


def test_any_thread_may_be_the_last_to_leave():
    blas = numpys_blas()
    if blas is None or blas.most == 1:
        found = run(f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
import test_threads
from nnfs_xp.kernels.threads import numpys_blas
if numpys_blas().most > 1:
    test_threads.test_any_thread_may_be_the_last_to_leave()
print("done")
""")
        assert found == ["done"]
        return
    trainer = wide_trainer()
    X, y = images()
    trainer.predict(X)  # here first
    ended = []

    def predict():
        while not ended:
            trainer.predict(X)

    workers = [threading.Thread(target=predict) for _ in range(2)]
    for each in workers:
        each.start()
    trainer.fit(X, y, epochs=3, batch_size=64, progress=False)
    ended.append(True)
    for each in workers:
        each.join(60)
    assert blas.number == blas.most
    assert trainer.backend.kernels.threads._workers == 0


def test_threadpoolctl_wins():
    class Looks(nn.Callback):
        seen = ()

        def on_step_end(self, training):
            self.seen = (*self.seen, numpys_blas().number)

    looks = Looks()
    with threadpool_limits(1, "blas"):
        wide_trainer().fit(*images(), batch_size=64, progress=False, callbacks=[looks])
        assert numpys_blas() is None or numpys_blas().number == 1
    assert numpys_blas() is None or set(looks.seen) == {1}


def run(code, **environment):
    """What a fresh process prints that no variable tells of threads."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


TRAIN = """
import sys, numpy as np
sys.path.insert(0, {tests!r})
from test_threads import images, wide_trainer
trainer = wide_trainer({settings})
trainer.fit(*images(), epochs=3, batch_size=64, progress=False)
print(trainer.model.flat.values.tobytes().hex()[:4000])
print(trainer.recorder.learner.backend.kernels.threads.keeps_bits)
"""


def test_trainings_without_a_word_on_threads_give_the_same_bits():
    pytest.importorskip("numba")
    tests = os.path.dirname(__file__)
    found = [
        run(TRAIN.format(tests=tests, settings=each)) for each in ("", "threads=1", "threads=2")
    ]
    if found[0][1] != "True":
        pytest.skip("no pool on this system: rounding depends on the number of threads")
    assert found[0] == found[1] == found[2]


@pytest.fixture(scope="module")
def pooled():
    """Kernels that share out what they do among two threads, whatever this machine has."""
    pytest.importorskip("numba")
    from nnfs_xp.kernels.numba import NumbaKernels, pool
    from nnfs_xp.kernels.numba.products import PoolThreads

    blas = numpys_blas()
    compiled = None if blas is None else pool.compile_for(blas)
    if compiled is None:
        pytest.skip("no semaphores, or a BLAS that is not NumPy's own")
    threads = PoolThreads(blas, compiled)
    threads.most = 3
    return NumbaKernels(), threads


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(32, 300, 200), (600, 90, 70), (145, 101, 99), (7, 999, 500)])
def test_shared_products_are_products(pooled, dtype, shape):
    kernels, threads = pooled
    n, k, m = shape
    generator = np.random.default_rng(0)
    x = generator.standard_normal((n, k)).astype(dtype)
    w = generator.standard_normal((k, m)).astype(dtype)
    d = generator.standard_normal((n, m)).astype(dtype)
    pairs = (x, w), (x.T, d), (d, w.T), (w.T, x.T)
    found = {}
    for number in (1, 2, 3):
        threads.enter(number)
        try:
            found[number] = [kernels.product(np, a, b) for a, b in pairs]
        finally:
            threads.leave()
    for number in (1, 2, 3):
        for (a, b), one, other in zip(pairs, found[number], found[1], strict=True):
            wanted = a.astype(np.float64) @ b.astype(np.float64)
            assert np.allclose(one, wanted, atol=50 * np.finfo(dtype).eps * k**0.5)
            assert np.array_equal(one, other)


def test_products_that_cannot_be_shared_are_made_as_ever(pooled):
    kernels, threads = pooled
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((400, 400)), generator.standard_normal((400, 400))
    threads.enter(2)
    try:
        assert np.allclose(kernels.product(np, a[::2, ::2], b[::2]), a[::2, ::2] @ b[::2])
        whole = np.zeros((400, 800))
        kernels.matmul_into(np, a, b, whole[:, ::2])
        assert np.allclose(whole[:, ::2], a @ b)
        mixed = kernels.product(np, a.astype(np.float32), b)
        assert mixed.dtype == np.float64
        own = a.copy()
        kernels.matmul_into(np, own, b, own)
        assert np.allclose(own, a @ b)
        with pytest.raises(ValueError, match="matmul"):
            kernels.product(np, a, b[:399])
    finally:
        threads.leave()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_shared_update_is_the_update(pooled, dtype):
    kernels, threads = pooled
    generator = np.random.default_rng(0)
    state = [generator.random(100_003).astype(dtype) for _ in range(4)]
    state[1][5], state[1][99_999] = np.nan, np.inf
    numbers = 3, 0.01, 0.9, 0.999, 1e-7
    expected = [each.copy() for each in state]
    kernels.adam(np, *expected, *numbers)
    for number in (1, 3):
        mine = [each.copy() for each in state]
        threads.enter(number)
        try:
            kernels.adam(np, *mine, *numbers)
        finally:
            threads.leave()
        for one, other in zip(mine, expected, strict=True):
            assert np.array_equal(one, other, equal_nan=True)


def test_many_threads_use_the_pool_at_once(pooled):
    kernels, threads = pooled
    generator = np.random.default_rng(0)
    factors = [generator.standard_normal((200, 200)) for _ in range(8)]
    expected = [each @ each.T for each in factors]
    wrong = []

    def work(number):
        for _ in range(100):
            threads.enter(3)
            try:
                if not np.allclose(
                    kernels.product(np, factors[number], factors[number].T), expected[number]
                ):
                    wrong.append(number)
            finally:
                threads.leave()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for each in workers:
        each.start()
    for each in workers:
        each.join(60)
    assert not any(each.is_alive() for each in workers)
    assert not wrong


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_a_pool_of_its_own(pooled):
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no processes are forked on this system")
    kernels, threads = pooled
    a = np.random.default_rng(0).standard_normal((300, 300))

    def product():
        threads.enter(3)
        try:
            return kernels.product(np, a, a.T)
        finally:
            threads.leave()

    expected = product()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=lambda: answers.put(product()))
    child.start()
    found = answers.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    assert np.array_equal(found, expected)


LEAVE = """
import sys, threading, time
sys.path.insert(0, {tests!r})
from test_threads import images, wide_trainer
trainer = wide_trainer()
fit = lambda: trainer.fit(*images(6000), epochs=10**6, batch_size=128, progress=False)
threading.Thread(target=fit, daemon=True).start()
while not trainer.learner.count:
    time.sleep(0.01)
print("leaves")
"""


def test_a_program_may_end_while_the_pool_is_at_work():
    assert run(LEAVE.format(tests=os.path.dirname(__file__))) == ["leaves"]


def test_many_threads_predict_at_once():
    trainer = wide_trainer()
    X, _ = images(2000)
    expected = trainer.predict_proba(X)
    found = {}

    def predict(number):
        found[number] = [trainer.predict_proba(X) for _ in range(5)]

    workers = [threading.Thread(target=predict, args=(number,)) for number in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join(60)
    assert sorted(found) == [0, 1, 2, 3]
    for answers in found.values():
        for each in answers:
            assert np.allclose(each, expected, atol=1e-6)


def test_a_copy_of_a_trainer_has_threads_of_its_own():
    import copy
    import pickle

    trainer = wide_trainer(threads=1)
    X, y = images()
    trainer.fit(X, y, batch_size=64, progress=False)
    for other in (copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer))):  # ours
        assert other.recorder.pace._wanted == 1
        other.fit(X, y, batch_size=64, progress=False)
