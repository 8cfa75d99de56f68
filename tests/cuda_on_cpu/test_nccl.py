"""Sums over several devices: the stand-in for NCCL, and training over it in threads."""

import contextlib
import gc
import logging
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest

cupy = pytest.importorskip("cupy")
if "stand-in" not in cupy.__version__:
    pytest.skip("this CuPy is the real one", allow_module_level=True)

import ml_dtypes  # noqa: E402 - where the stand-in is
from cupy.cuda import nccl  # noqa: E402
from cupy.cuda.nccl import NcclCommunicator, NcclError  # noqa: E402

import nnfs_xp as nn  # noqa: E402
from nnfs_xp.backend import to_numpy  # noqa: E402
from nnfs_xp.distributed import Group  # noqa: E402
from nnfs_xp.distributed.nccl import version_text  # noqa: E402
from nnfs_xp.errors import ArgumentError, DistributedError  # noqa: E402
from nnfs_xp.learning import sender, sharing  # noqa: E402
from nnfs_xp.testing import fake_groups, in_threads  # noqa: E402
from nnfs_xp.testing.groups import FakeGroup  # noqa: E402

FLOAT, SUM = nccl.NCCL_FLOAT32, nccl.NCCL_SUM


@pytest.fixture(autouse=True)
def two_devices(monkeypatch):
    monkeypatch.setenv("CUDA_ON_CPU_DEVICES", "2")


def on_ranks(work, n=2):
    """Do the work on each rank, in a thread with its device; what it returned or raised."""
    name = nccl.get_unique_id()

    def run(rank):
        try:
            with cupy.cuda.Device(rank):
                return work(NcclCommunicator(n, name, rank))
        except Exception as error:
            return error.with_traceback(None)

    with ThreadPoolExecutor(n) as threads:
        return list(threads.map(run, range(n)))


def given(work):
    """What the work returned on each rank."""
    found = on_ranks(work)
    for each in found:
        if isinstance(each, Exception):
            raise each
    return found


def fails(work, text, kind=AssertionError):
    """Assert that all ranks fail like this."""
    found = on_ranks(work)
    for each in found:
        assert isinstance(each, kind), found
        assert text in str(each), found


def add(communicator, array, stream=None):
    stream = cupy.cuda.get_current_stream() if stream is None else stream
    here = array.data.ptr
    communicator.allReduce(here, here, array.size, FLOAT, SUM, stream.ptr)


@contextlib.contextmanager
def recording(to):
    """Records what is done within; hands the graph to `to`."""
    stream = cupy.cuda.Stream(non_blocking=True)
    with cupy.cuda.using_allocator(cupy.cuda.MemoryPool().malloc), stream:
        stream.begin_capture()
        try:
            yield
        finally:
            to.append(stream.end_capture())


class TestCollectives:
    @pytest.mark.parametrize(
        ("dtype", "number"),
        [
            (np.int32, nccl.NCCL_INT32),
            (np.int64, nccl.NCCL_INT64),
            (np.float16, nccl.NCCL_FLOAT16),
            (np.float32, nccl.NCCL_FLOAT32),
            (np.float64, nccl.NCCL_FLOAT64),
            (ml_dtypes.bfloat16, nccl.NCCL_BFLOAT16),
        ],
    )
    def test_each_does_what_it_says(self, dtype, number):
        def work(communicator):
            rank = communicator.rank_id()
            own = cupy.asarray(np.arange(4).astype(dtype)) + cupy.asarray(np.asarray(rank, dtype))
            found = {}

            def out(name, size, call):
                found[name] = cupy.zeros(size, dtype)
                call(own.data.ptr, found[name].data.ptr)

            c = communicator
            out("sum", 4, lambda a, b: c.allReduce(a, b, 4, number, SUM, 0))
            out("largest", 4, lambda a, b: c.allReduce(a, b, 4, number, nccl.NCCL_MAX, 0))
            out("gather", 8, lambda a, b: c.allGather(a, b, 4, number, 0))
            out("reduce", 4, lambda a, b: c.reduce(a, b, 4, number, SUM, 1, 0))
            out("broadcast", 4, lambda a, b: c.broadcast(a, b, 4, number, 1, 0))
            out("scatter", 2, lambda a, b: c.reduceScatter(a, b, 2, number, SUM, 0))
            c.bcast(own.data.ptr, 4, number, 1, 0)
            found["bcast"] = own
            c.check_async_error()
            assert (c.device_id(), c.rank_id(), c.size()) == (rank, rank, 2)
            c.destroy()
            return {k: v.get().astype(np.float64).tolist() for k, v in found.items()}

        first, second = given(work)
        assert first["sum"] == second["sum"] == [1, 3, 5, 7]
        assert first["largest"] == second["largest"] == [1, 2, 3, 4]
        assert first["gather"] == second["gather"] == [0, 1, 2, 3, 1, 2, 3, 4]
        assert (first["reduce"], second["reduce"]) == ([0] * 4, [1, 3, 5, 7])
        assert first["broadcast"] == second["broadcast"] == [1, 2, 3, 4]
        assert (first["scatter"], second["scatter"]) == ([1, 3], [5, 7])
        assert first["bcast"] == second["bcast"] == [1, 2, 3, 4]

    def test_a_capture_does_nothing_and_each_launch_does_it(self):
        def work(communicator):
            rank = communicator.rank_id()
            a, graphs = cupy.full(3, rank + 1, np.float32), []
            add(communicator, a)
            with recording(graphs):
                add(communicator, a)
                a += 1
            before = a.get().tolist()
            for _ in range(2):
                graphs[0].launch()
            after = a.get().tolist()
            add(communicator, a)  # also beside graphs
            graphs.clear()
            communicator.destroy()
            return before, after, a.get().tolist()

        assert given(work) == [([3.0] * 3, [15.0] * 3, [30.0] * 3)] * 2

    def test_calls_of_a_group_are_made_at_its_end(self):
        def work(communicator):
            rank = communicator.rank_id()
            a = cupy.full(3, rank + 1, np.float32)
            nccl.groupStart()
            nccl.groupStart()
            add(communicator, a)
            nccl.groupEnd()
            before = float(a[0])
            nccl.groupEnd()
            return before, float(a[0])

        assert given(work) == [(1.0, 3.0), (2.0, 3.0)]
        with pytest.raises(NcclError, match="without groupStart"):
            nccl.groupEnd()

    def test_nothing_is_summed_of_no_elements(self):
        given(lambda communicator: communicator.allReduce(0, 0, 0, FLOAT, SUM, 0))

    def test_its_version_is_told(self):
        assert version_text() == "NCCL 2.30.3"


class TestMisuse:
    @pytest.mark.parametrize(
        ("call", "text"),
        [
            (lambda c, a, b, s: c.allReduce(a, b, 9, FLOAT, SUM, s), "36 bytes"),
            (lambda c, a, b, s: c.allReduce(a + 4, b, 8, FLOAT, SUM, s), "has 28"),
            (lambda c, a, b, s: c.allReduce(a, b + 2, 4, FLOAT, SUM, s), "no place for float32"),
            (lambda c, a, b, s: c.allReduce(64, b, 8, FLOAT, SUM, s), "where no device memory"),
            (lambda c, a, b, s: c.allGather(a, b, 8, FLOAT, s), "writes 64 bytes"),
            (lambda c, a, b, s: c.reduceScatter(a, b, 8, FLOAT, SUM, s), "reads 64 bytes"),
        ],
    )
    def test_memory_that_is_too_short_or_none(self, call, text):
        def work(communicator):
            a, b = cupy.zeros(8, np.float32), cupy.zeros(8, np.float32)
            call(communicator, a.data.ptr, b.data.ptr, 0)

        fails(work, text)

    def test_memory_that_was_freed(self):
        def work(communicator):
            with cupy.cuda.using_allocator(cupy.cuda.MemoryPool().malloc):
                a = cupy.zeros(3, np.float32)
            there, pool = a.data.ptr, a.data.mem
            del a
            pool.free()
            communicator.allReduce(there, there, 3, FLOAT, SUM, 0)

        fails(work, "was freed")

    def test_memory_or_a_stream_of_another_device(self):
        def other_memory(communicator):
            rank = communicator.rank_id()
            with cupy.cuda.Device(1 - rank):
                a = cupy.zeros(3, np.float32)
            add(communicator, a)

        def other_stream(communicator):
            rank = communicator.rank_id()
            with cupy.cuda.Device(1 - rank):
                stream = cupy.cuda.Stream(non_blocking=True)
            add(communicator, cupy.zeros(3, np.float32), stream)

        fails(other_memory, "memory of device")
        fails(other_stream, "the stream is of device")

    @pytest.mark.parametrize(
        "other",
        [
            lambda c, a: c.allReduce(a, a, 3, FLOAT, SUM, 0),
            lambda c, a: c.allReduce(a, a, 4, nccl.NCCL_INT32, SUM, 0),
            lambda c, a: c.allReduce(a, a, 4, FLOAT, nccl.NCCL_MAX, 0),
            lambda c, a: c.bcast(a, 4, FLOAT, 0, 0),
            lambda c, a: c.reduce(a, a, 4, FLOAT, SUM, 0, 0),
        ],
    )
    def test_ranks_that_do_not_do_the_same(self, other):
        def work(communicator):
            rank = communicator.rank_id()
            a = cupy.zeros(4, np.float32)
            if rank:
                other(communicator, a.data.ptr)
            else:
                add(communicator, a)

        fails(work, "all must do the same")

    def test_roots_that_differ(self):
        def work(communicator):
            a = cupy.zeros(4, np.float32)
            communicator.bcast(a.data.ptr, 4, FLOAT, communicator.rank_id(), 0)

        fails(work, "all must do the same")

    def test_a_launch_that_meets_a_call(self):
        def work(communicator):
            rank = communicator.rank_id()
            a, graphs = cupy.zeros(4, np.float32), []
            add(communicator, a)
            if rank:
                add(communicator, a)
            else:
                with recording(graphs):
                    add(communicator, a)
                graphs[0].launch()

        fails(work, "launched by graphs or called")

    def test_a_rank_that_does_not_come(self, monkeypatch):
        monkeypatch.setattr(nccl, "_PATIENCE", 0.2)

        def work(communicator):
            rank = communicator.rank_id()
            a = cupy.zeros(4, np.float32)
            add(communicator, a)
            with contextlib.suppress(AssertionError):
                if rank:
                    add(communicator, a)
                else:
                    with recording([]):  # never launched
                        add(communicator, a)
                    return
            add(communicator, a)  # a group that fell apart stays so

        here, error = on_ranks(work)
        assert here is None
        assert "waited 0.2 s for rank 0 (captured 1) to come to NCCL call 2" in str(error)

    @pytest.mark.parametrize("end", ["destroy", "abort"])
    def test_a_rank_that_has_left(self, end):
        def work(communicator):
            rank = communicator.rank_id()
            a = cupy.zeros(4, np.float32)
            if rank:
                getattr(communicator, end)()
            add(communicator, a)

        waiting, left = on_ranks(work)
        assert isinstance(waiting, AssertionError)
        assert f"rank 1 {end.rstrip('y')}" in str(waiting)
        assert isinstance(left, NcclError)

    def test_a_capture_of_what_was_never_done(self):
        def first(communicator):
            with recording([]):
                add(communicator, cupy.zeros(4, np.float32))

        def work(communicator):
            a, b = cupy.zeros(4, np.float32), cupy.zeros(8, np.float32)
            add(communicator, a)
            with recording([]):
                stream = cupy.cuda.get_current_stream().ptr
                communicator.allGather(a.data.ptr, b.data.ptr, 4, FLOAT, stream)

        fails(first, "never done before")
        fails(work, "allGather is captured and was never done before")

    @pytest.mark.parametrize("end", ["destroy", "abort"])
    @pytest.mark.parametrize("launched", [True, False])
    def test_a_communicator_that_goes_before_its_graphs(self, end, launched):
        def work(communicator):
            a, graphs = cupy.zeros(4, np.float32), []
            add(communicator, a)
            with recording(graphs):
                add(communicator, a)
            if launched:
                graphs[0].launch()
            with pytest.raises(AssertionError, match="while graphs hold 1 of its collectives"):
                getattr(communicator, end)()
            graphs.clear()
            getattr(communicator, end)()

        given(work)

    @pytest.mark.parametrize("end", ["destroy", "abort"])
    def test_what_is_used_after_its_end(self, end):
        uses = [
            lambda c: add(c, cupy.zeros(4, np.float32)),
            lambda c: c.check_async_error(),
            lambda c: c.size(),
        ]

        def work(communicator):
            for _ in range(2):  # again does nothing
                getattr(communicator, end)()
            for use in uses:
                with pytest.raises(NcclError, match="invalid argument"):
                    use(communicator)

        given(work)

    def test_arguments_that_nccl_refuses(self):
        def work(communicator):
            a = cupy.zeros(4, np.float32).data.ptr
            for datatype, op, root in ((10, SUM, 0), (FLOAT, 9, 0), (FLOAT, SUM, 2)):
                with pytest.raises(NcclError, match="INVALID_ARGUMENT"):
                    communicator.reduce(a, a, 4, datatype, op, root, 0)

        given(work)
        with pytest.raises(ValueError, match="commId length"):
            NcclCommunicator(1, b"short", 0)
        with pytest.raises(NcclError, match="INVALID_ARGUMENT"):
            NcclCommunicator(1, nccl.get_unique_id(), 1)

    def test_two_ranks_on_one_device(self, monkeypatch):
        monkeypatch.setattr(nccl, "_PATIENCE", 0.2)
        name = nccl.get_unique_id()

        def connect(rank):
            try:
                NcclCommunicator(2, name, rank)
            except (AssertionError, NcclError) as error:
                return str(error)

        with ThreadPoolExecutor(2) as threads:
            first, second = sorted(threads.map(connect, range(2)))
        assert "two ranks have device 0" in first
        assert "to come to the connection" in second


# Training


RNG = np.random.default_rng(0)
X = RNG.standard_normal((391, 12)).astype(np.float32)
Y = (X[:, :3] + 0.3 * RNG.standard_normal((391, 3))).argmax(axis=1)
"""Six batches of 64, and one of 7."""


def network(norm=nn.BatchNorm, dropout=0.2):
    parts = [nn.Dense(12, 16), norm(16), nn.ReLU(), nn.Dropout(dropout), nn.Dense(16, 3)]
    return nn.Sequential(*parts, nn.Softmax(), seed=0)


class Trained:
    """What a training came to."""

    def __init__(self, trainer, history):
        self.weights = to_numpy(trainer.model.flat.values)
        self.loss = history["loss"][-1]
        self.accuracy = history["accuracy"][-1]
        self.recordings = trainer.recorder.recordings
        self.backend = trainer.backend.name

    def distance(self, other):
        return np.linalg.norm(self.weights - other.weights) / np.linalg.norm(other.weights)


def train(group=None, *, model=network, optimizer=None, backend="cupy", epochs=3, **settings):
    optimizer = nn.SGD(0.1, momentum=0.9) if optimizer is None else optimizer()
    loss = nn.CategoricalCrossentropy()
    trainer = nn.Trainer(model(), loss, optimizer, backend=backend, group=group, **settings)
    history = trainer.fit(X, Y, epochs=epochs, batch_size=64, progress=False)
    evaluated = trainer.evaluate(X, Y)
    if group is not None and group.size > 1:
        group.compare(evaluated=evaluated, history=history["loss"])
    found = Trained(trainer, history)
    if group is not None:
        group.close()
    return found


def train_all(n, *, shards=None, **settings):
    """Train in so many threads; what each came to, all with the same weights."""
    found = in_threads(fake_groups(n, shards=shards), lambda group: train(group, **settings))
    for each in found:
        np.testing.assert_array_equal(each.weights, found[0].weights)
    return found


class TestTraining:
    @pytest.mark.parametrize("graph", [True, False])
    def test_two_ranks_come_to_what_one_comes_to(self, graph, caplog):
        alone = train(graph=graph)
        with caplog.at_level(logging.WARNING, "nnfs_xp"):
            found = train_all(2, graph=graph)
        assert [each.backend for each in found] == ["cupy", "cupy:1"]
        for each in found:
            assert each.recordings == (2 if graph else 0)
            assert each.distance(alone) <= 1e-6
            assert each.loss == pytest.approx(alone.loss, rel=1e-6)
            assert each.accuracy == alone.accuracy
        assert not caplog.records

    def test_backends_may_be_named(self):
        def work(group):
            return train(group, backend=f"cupy:{1 - group.rank}")

        found = in_threads(fake_groups(2), work)
        assert [each.backend for each in found] == ["cupy:1", "cupy"]
        assert found[0].distance(train()) <= 1e-6

    def test_shards_give_the_same_bits_on_each_number_of_ranks(self):
        how = {
            "shards": 4,
            "model": lambda: network(nn.LayerNorm),
            "optimizer": lambda: nn.Adam(0.01),
        }
        (alone,), found = train_all(1, **how), train_all(2, **how)
        assert alone.recordings == found[0].recordings == 2
        np.testing.assert_array_equal(found[0].weights, alone.weights)
        assert found[0].loss == pytest.approx(alone.loss, rel=1e-6)

    @pytest.mark.parametrize("shards", [None, 4])
    @pytest.mark.parametrize("clip_norm", [None, 0.5])
    def test_an_optimizer_in_parts_gives_the_bits_of_a_whole_one(self, shards, clip_norm):
        how = {
            "shards": shards,
            "model": lambda: network(nn.LayerNorm),
            "optimizer": lambda: nn.Adam(0.01, clip_norm=clip_norm),
        }
        whole, parts = train_all(2, **how)[0], train_all(2, shard_optimizer=True, **how)[0]
        assert whole.recordings == parts.recordings == 2
        np.testing.assert_array_equal(parts.weights, whole.weights)

    @pytest.mark.parametrize("graph", [True, False])
    def test_gradients_are_sent_while_the_backward_pass_goes_on(self, graph, monkeypatch):
        whole = train_all(2, graph=graph)[0]
        sent = []
        begin = Group.begin_add

        def counted(group, array):
            sent.append(array.shape[0])
            begin(group, array)

        monkeypatch.setattr(Group, "begin_add", counted)
        monkeypatch.setattr(sender, "LEAST", 128)
        monkeypatch.setattr(sharing, "LEAST", 128)
        found = train_all(2, graph=graph)[0]
        np.testing.assert_array_equal(found.weights, whole.weights)
        n = network().flat.size
        assert max(sent) < n, "in several pieces"
        assert sum(sent) % n == 0, "all of them, each once a step"
        assert (found.recordings == 2) is graph

    @pytest.mark.parametrize("precision", ["float16", "bfloat16"])
    def test_half_precision(self, precision):
        how = {"precision": precision, "model": lambda: network(nn.LayerNorm, 0.0)}
        alone, found = train(**how), train_all(2, **how)
        assert found[0].recordings == 2
        # Products over 32 and over 64 rows are rounded to the narrow type, in each of 21 steps.
        assert found[0].distance(alone) < 4 * float(ml_dtypes.finfo(precision).eps)

    def test_steps_by_themselves(self):
        def work(group):
            trainer = nn.Trainer(
                network(), nn.CategoricalCrossentropy(), nn.SGD(0.1), backend="cupy", group=group
            )
            device = trainer.backend
            with device.active():
                batches = [(device.asarray(X[:64]), device.asarray(Y[:64])) for _ in range(4)]
                losses = [float(trainer.train_step(*batch)) for batch in batches]
            recordings = trainer.recorder.recordings
            group.close()
            return losses, recordings

        first, second = in_threads(fake_groups(2), work)
        (alone, _), *_ = in_threads(fake_groups(1), work)
        assert first == second
        assert first[1] == 1
        np.testing.assert_allclose(first[0], alone, rtol=1e-6)

    def test_two_trainings_one_after_the_other_in_a_group(self):
        def work(group):
            losses = []
            for _ in range(2):
                trainer = nn.Trainer(
                    network(),
                    nn.CategoricalCrossentropy(),
                    nn.SGD(0.1),
                    backend="cupy",
                    group=group,
                )
                losses += trainer.fit(X, Y, epochs=2, batch_size=64, progress=False)["loss"]
            group.close()
            return losses

        first, second = in_threads(fake_groups(2), work)
        assert first == second
        assert first[:2] == first[2:]

    def test_where_one_rank_cannot_record_none_does(self):
        class Waits(nn.ReLU):
            recordable = True
            rank = 0

            def forward(self, inputs, training=False):
                if self.rank == 1:
                    cupy.cuda.get_current_stream().synchronize()
                return super().forward(inputs, training)

        def work(group):
            layer = Waits()
            layer.rank = group.rank
            parts = [nn.Dense(12, 16), layer, nn.Dense(16, 3), nn.Softmax()]
            trainer = nn.Trainer(
                nn.Sequential(*parts, seed=0),
                nn.CategoricalCrossentropy(),
                nn.SGD(0.1),
                backend="cupy",
                group=group,
            )
            trainer.fit(X, Y, epochs=2, batch_size=64, progress=False)
            group.close()
            weights = to_numpy(trainer.model.flat.values)
            return trainer.recorder.recordings, trainer.recorder.refused, weights

        first, second = in_threads(fake_groups(2), work)
        assert first[0] == second[0] == 0
        assert first[1] == "another process of the group cannot record them"
        assert "cudaErrorStreamCapture" in second[1]
        np.testing.assert_array_equal(first[2], second[2])

    def test_a_rank_that_fails_ends_all(self):
        class Fails(nn.Callback):
            def __init__(self, rank):
                self.rank = rank

            def on_epoch_end(self, *_):
                if self.rank == 1:
                    raise ArithmeticError("planted")

        def work(group):
            trainer = nn.Trainer(
                network(), nn.CategoricalCrossentropy(), nn.SGD(0.1), backend="cupy", group=group
            )
            callbacks = [Fails(group.rank)]
            try:
                trainer.fit(X, Y, epochs=2, batch_size=64, progress=False, callbacks=callbacks)
            finally:
                group.close()

        with pytest.raises(DistributedError, match=r"rank 1 of 2 failed: ArithmeticError: planted"):
            in_threads(fake_groups(2), work)


class TestClosing:
    def test_a_group_gives_up_its_graphs_first(self):
        def work(group):
            trainer = nn.Trainer(
                network(), nn.CategoricalCrossentropy(), nn.SGD(0.1), backend="cupy", group=group
            )
            device = trainer.backend
            with device.active():
                for _ in range(3):
                    trainer.train_step(device.asarray(X[:64]), device.asarray(Y[:64]))
            communicator = group._device_sums._communicator
            with pytest.raises(AssertionError, match="while graphs hold"):
                communicator.destroy()
            group.close()
            group.close()
            with pytest.raises(NcclError, match="destroyed"):
                communicator.size()
            return trainer.recorder.recordings

        assert in_threads(fake_groups(2), work) == [1, 1]

    def test_nothing_is_left_of_a_training(self):
        gc.collect()
        before = len(nccl._boards)
        train_all(2, epochs=1)
        gc.collect()
        assert len(nccl._boards) == before


class TestSums:
    @pytest.mark.parametrize(
        ("dtype", "shards"),
        list(product(("float16", "bfloat16", "float32", "float64", "int64"), (None, 2))),
    )
    def test_each_type_and_order(self, dtype, shards):
        def work(group):
            with nn.get_backend(f"cupy:{group.rank}").active():
                xp = nn.get_backend(f"cupy:{group.rank}")
                array = xp.asarray(np.arange(6.0).reshape(2, 3) * (group.rank + 1), dtype)
                group.add(array)
                group.settle()
                group.close()
                return to_numpy(array).astype(np.float64).tolist()

        first, second = in_threads(fake_groups(2, shards=shards), work)
        assert first == second == [[0, 3, 6], [9, 12, 15]]

    def test_parts_are_summed_and_shared(self):
        def work(group):
            with nn.get_backend(f"cupy:{group.rank}").active():
                array = cupy.arange(5, dtype=np.float32) + group.rank
                place = group.add_part(array)
                part = array[place].get().tolist()
                group.share_parts(array)
                group.close()
                return part, array.get().tolist()

        whole = [1.0, 3, 5, 7, 9]
        assert in_threads(fake_groups(2), work) == [(whole[:3], whole), (whole[3:], whole)]

    def test_sums_in_the_background_are_recorded_too(self):
        def work(group):
            with nn.get_backend(f"cupy:{group.rank}").active():
                array, graphs = cupy.ones(4, np.float32), []

                def begun():
                    group.begin_add(array)
                    group.finish_adds()

                begun()
                with recording(graphs):
                    begun()
                    array += 1
                graphs[0].launch()
                graphs.clear()
                group.close()
                return array.get().tolist()

        assert in_threads(fake_groups(2), work) == [[5.0] * 4] * 2

    def test_the_device_is_that_of_the_array(self):
        def work(group):
            with cupy.cuda.Device(group.rank):
                array = cupy.ones(3, np.float32)
            group.add(array)
            group.begin_add(array)
            group.finish_adds()
            group.add_part(array)
            group.share_parts(array)
            group.settle()
            group.close()
            with cupy.cuda.Device(group.rank):
                return array.get().tolist()

        assert in_threads(fake_groups(2), work) == [[8.0] * 3] * 2

    @pytest.mark.parametrize("shards", [None, 2])
    def test_what_cannot_be_summed_in_place_is_refused(self, shards):
        def work(group):
            with cupy.cuda.Device(group.rank):
                array = cupy.ones((3, 2), np.float32)
                group.add(array)
                for wrong in (array.T, array[:, 0]):
                    with pytest.raises(ArgumentError, match="must be contiguous"):
                        group.add(wrong)
            with cupy.cuda.Device(1 - group.rank):
                elsewhere = cupy.ones(3, np.float32)
            with pytest.raises(ArgumentError, match="first used with"):
                group.add(elsewhere)
            group.close()

        in_threads(fake_groups(2, shards=shards), work)

    def test_two_processes_on_one_device_are_refused(self, monkeypatch):
        def work(group):
            array = cupy.ones(3, np.float32)
            group.add(array)
            group.close()
            return array.get().tolist()

        monkeypatch.setattr(FakeGroup, "_on_device", Group._on_device)  # as between processes
        with pytest.raises(DistributedError, match="2 processes have one GPU"):
            in_threads(fake_groups(2), work)
        monkeypatch.setenv("NCCL_MULTI_RANK_GPU_ENABLE", "1")
        assert in_threads(fake_groups(2), work) == [[2.0] * 3] * 2
