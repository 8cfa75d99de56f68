"""The checks that `smoke` runs: each gives what it found, or raises an error that says it."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import cupy
import numpy as np

import nnfs_xp as nn
from benchmarks.gpu.contestants import our_update
from benchmarks.gpu.results import ROOT, is_rehearsal
from benchmarks.gpu.works import GPU_WORKS
from nnfs_xp.backend import to_numpy
from nnfs_xp.kernels.cupy import cublaslt
from nnfs_xp.kernels.standard import StandardKernels, Window

Found = dict[str, Any]

EPS = {
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "tf32": 2.0**-10,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
}

SHAPES = ((128, 784, 512), (128, 512, 10), (32, 512, 512), (19, 4, 10), (5, 3, 7), (33, 100, 61))
"""(n, k, m) of products (n, k) @ (k, m)."""

EPILOGUES = ("DEFAULT", "BIAS", "BGRADA")

AT = (-1.0, 0.0, 1.0, np.nan, -0.0, np.inf, -np.inf, 2.0)
"""Values at which one ReLU may differ from another."""

NEAR = 1e-5
"""How far gradients may be from NumPy's, relative to the largest of an array."""


def short(error: BaseException, most: int = 300) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {error}".replace("\n", " | ")[:most]


def versions() -> Found:
    """That cuBLASLt is there: without it nothing is recorded."""
    from nvmath.bindings import cublasLt

    found: Found = {"cuBLASLt": int(cublasLt.get_version()), "Python": sys.version.split()[0]}
    assert cublaslt.library() is not None, "cuBLASLt is there and yet not taken (the log says why)"
    if not is_rehearsal():
        with suppress(Exception):  # what it says is no condition
            from cuda.pathfinder import find_nvidia_header_directory

            found["headers"] = find_nvidia_header_directory("cudart")
            cupy.show_config()
    return found


def backend() -> Found:
    """Arrays of each data type go there and come back."""
    backend = nn.get_backend("cupy")
    values = np.arange(6.0).reshape(2, 3)
    for name in ("float32", "float64", "float16", "bfloat16", "int64"):
        x = backend.asarray(values, name)
        assert backend.owns(x)
        assert str(x.dtype) == name
        np.testing.assert_array_equal(backend.to_numpy(x), values)
    for precision in ("tf32", "bfloat16", "float16"):
        backend.check_precision(precision)
    backend.synchronize()
    backend.release_memory()
    assert backend.can_record, "steps cannot be recorded (the log says why)"
    return {"memory": str(backend.memory())}


def kernels(dtype: str) -> Found:
    """Each kernel beside its twin in float64, with the arguments of the project's tests."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "cuda")]
    import test_cuda_kernels as tests

    cases: list[tuple[str, str, Any]] = [
        (f"{name} {shape}", name, arguments(*shape))
        for shape in ((7, 5), (64, 130))
        for name, arguments in tests.LAYERS.items()
    ]
    cases += [(case, case, arguments(1000)) for case, arguments in tests.UPDATES.items()]
    failed = []
    for title, case, arguments in cases:
        try:
            tests.compare(case, arguments, dtype, 64)
        except Exception as error:
            print("---", title)
            traceback.print_exc()
            failed.append(f"{title}: {short(error, 200)}")
    right = len(cases) - len(failed)
    assert not failed, f"{right} right, {len(failed)} wrong: {' || '.join(failed)}"
    return {"right": right}


def epilogues(kind: str) -> Found:
    """Which there is an algorithm for, and how far its results are from float64's."""
    backend = nn.get_backend("cupy")
    dtype = "float32" if kind == "tf32" else kind
    generator = np.random.default_rng(0)

    def place(*shape: int) -> Any:
        return backend.asarray(generator.standard_normal(shape), dtype)

    def exact(array: Any) -> Any:
        return to_numpy(array).astype("float64")

    lacking, wrong, worst = [], [], 0.0
    for n, k, m in SHAPES:
        for epilogue in EPILOGUES:
            title = f"{n}x{k}x{m} {epilogue}"
            # Weights' gradients are the product of a transposed array and another.
            a = place(k, n).T if epilogue == "BGRADA" else place(n, k)
            b, vector, out = place(k, m), place(1, m), cupy.empty((n, m), a.dtype)
            expected = exact(a) @ exact(b)
            if epilogue == "BIAS":
                expected = expected + exact(vector)
            more = {} if epilogue == "DEFAULT" else {"epilogue": epilogue, "vector": vector}
            try:
                done = cublaslt.product(a, b, out, tf32=kind == "tf32", **more)
                backend.synchronize()
            except Exception as error:
                traceback.print_exc()
                wrong.append(f"{title}: {short(error, 150)}")
                continue
            if not done:
                lacking.append(title)
                continue
            apart = _apart(exact(out), expected)
            if epilogue == "BGRADA":
                apart = max(apart, _apart(exact(vector)[0], exact(b).sum(axis=0)))
            print(title, f"{apart / EPS[kind]:.2f} eps")
            worst = max(worst, apart / EPS[kind])
            if not apart < 64 * EPS[kind]:
                wrong.append(f"{title}: {apart:.1e}")
    found = {"no algorithm": lacking, "worst, in eps": round(worst, 2)}
    assert not wrong, f"wrong: {wrong[:6]}; {found}"
    return found


def _apart(found: Any, expected: Any) -> float:
    """The largest difference over the largest value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def relu_at_zero_and_nan() -> Found:
    """Dense and ReLU in one, at 0 and NaN, and what goes back there: as on NumPy."""
    backend, host = nn.get_backend("cupy"), nn.get_backend("numpy")
    standard = StandardKernels()
    z, ones = np.array([AT], dtype="float32"), np.ones((16, 1), dtype="float32")
    zeros, dvalues = np.zeros((1, 8), dtype="float32"), np.ones((16, 2), dtype="float32")
    two, wrong, cases = np.ones((8, 2), dtype="float32"), [], 0
    for dtype in ("float32", "bfloat16"):
        x, eye, biases = (backend.asarray(each, dtype) for each in (ones, z, zeros))
        d, weights = backend.asarray(dvalues, dtype), backend.asarray(two, dtype)
        dbiases, its_dbiases = backend.xp.zeros((1, 8), dtype=x.dtype), zeros.copy()
        output = backend.kernels.dense_relu(backend.xp, x, eye, biases)
        wanted = standard.dense_relu(host.xp, ones, z, zeros)
        dz = backend.kernels.dense_backward_relu(backend.xp, d, weights, output, dbiases)
        its_dz = standard.dense_backward_relu(host.xp, dvalues, two, wanted, its_dbiases)
        triples: tuple[tuple[str, Any, Any], ...] = (
            ("output", output, wanted),
            ("going back", dz, its_dz),
            ("dbiases", dbiases, its_dbiases),
        )
        for title, array, expected in triples:
            got = to_numpy(array).astype("float32")
            cases += 1
            print(dtype, title, got[0], expected[0])
            if not np.array_equal(got, expected, equal_nan=True):
                wrong.append(f"{dtype}, {title}: {got[0]}, not {expected[0]}")
    assert not wrong, " || ".join(wrong)
    return {"cases": cases}


def same_bits_each_time() -> Found:
    """Products with sums in them give the same bits in 20 runs: atomics would not."""
    backend = nn.get_backend("cupy")
    generator = np.random.default_rng(0)
    names = ("output", "dz", "dbiases behind a ReLU", "dweights", "dbiases")
    differing = []
    for dtype in ("float32", "bfloat16"):
        x, w, v, w2, d = (
            backend.asarray(generator.standard_normal(shape), dtype)
            for shape in ((2048, 784), (784, 512), (1, 512), (512, 512), (2048, 512))
        )
        runs = []
        for _ in range(20):
            output = backend.kernels.dense_relu(backend.xp, x, w, v)
            sums, last = cupy.zeros((1, 512), x.dtype), cupy.zeros((1, 512), x.dtype)
            dweights = cupy.zeros((784, 512), x.dtype)
            dz = backend.kernels.dense_backward_relu(backend.xp, d, w2, output, sums)
            backend.kernels.dense_gradients(backend.xp, x, d, dweights, last)
            runs.append([a.get().tobytes() for a in (output, dz, sums, dweights, last)])
        for name, bits in zip(names, zip(*runs, strict=True), strict=True):
            if len(set(bits)) > 1:
                differing.append(f"{dtype} {name}")
    assert not differing, f"not the same bits each time: {differing}"
    return {"runs": 20}


_kept: list[Any] = []
"""What the arrays of a graph that was launched lie in."""


def captured(work: Callable[[], Any], *, warm: bool = True) -> Any:
    """Record the work on a stream of its own, launch it, and give what it returned."""
    stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc), stream:
        if warm:
            work()
            stream.synchronize()
        stream.begin_capture()
        try:
            result = work()
        except BaseException:
            try:
                stream.end_capture()
            except Exception as error:
                print("the end of the capture:", short(error))
            raise
        graph = stream.end_capture()
    graph.launch()
    cupy.cuda.Stream.null.synchronize()
    _kept.append((graph, pool, stream))
    return result


def what_can_be_captured() -> Found:
    """Each operation that a step may consist of, recorded and launched."""
    backend = nn.get_backend("cupy")
    wrong, count = [], 0
    for name, work in _operations(backend):
        count += 1
        expected = backend.to_numpy(work()).astype("float64")
        try:
            found = backend.to_numpy(captured(work)).astype("float64")
        except Exception as error:
            traceback.print_exc()
            wrong.append(f"{name}: {short(error, 120)}")
            continue
        if not np.array_equal(found, expected, equal_nan=True):
            wrong.append(f"{name}: other values")
    assert not wrong, f"{len(wrong)} of {count}: {' || '.join(wrong)}"
    return {"captured": count}


def _operations(backend: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What they are called, and the operations."""
    xp, generator = backend.xp, np.random.default_rng(0)
    x = backend.asarray(generator.standard_normal((128, 10)), "float32")
    flat = backend.asarray(generator.standard_normal(5000), "float32")
    half = backend.asarray(generator.standard_normal((128, 10)), "bfloat16")
    labels = backend.asarray(generator.integers(0, 10, 128))
    number = backend.asarray(np.array(0.5), "float32")
    target = xp.zeros((128, 10), dtype=xp.float32)

    def fill(value: Any) -> Any:
        target[...] = value
        return target

    yield "x * 2 + 1", lambda: x * 2 + 1
    yield "x * 0-d array", lambda: x * number
    yield "where", lambda: xp.where(x > 0, x, 0.0)
    yield "maximum", lambda: xp.maximum(x, 0.0)
    yield "sum of all", lambda: xp.sum(x)
    yield "sum, axis 0", lambda: xp.sum(x, axis=0, keepdims=True)
    yield "sum, axis 1", lambda: xp.sum(x, axis=1)
    yield "mean, axis 1", lambda: xp.mean(x, axis=1)
    yield "max of all", lambda: xp.max(xp.abs(flat))
    yield "max, axis 1", lambda: xp.max(x, axis=1, keepdims=True)
    yield "argmax, axis 1", lambda: xp.argmax(x, axis=1)
    yield "argmax == labels", lambda: xp.astype(xp.argmax(x, axis=1) == labels, xp.float32)
    yield "all(isfinite)", lambda: xp.all(xp.isfinite(flat))
    yield "stack of two", lambda: xp.stack([xp.sum(x), xp.sum(flat)])
    yield "concat of three", lambda: xp.concat([flat, flat, flat])
    yield "take", lambda: xp.take(x, labels, axis=0)
    yield "to bfloat16", lambda: xp.astype(x, half.dtype)
    yield "from bfloat16", lambda: xp.astype(half, xp.float32)
    yield "copy", lambda: xp.asarray(x, copy=True)
    yield "ones", lambda: xp.ones((128,), dtype=xp.float32)
    yield "arange", lambda: xp.arange(10, dtype=xp.int64)
    yield "[...] = 0", lambda: fill(0)
    yield "[...] = 0.5", lambda: fill(0.5)
    yield "[...] = array", lambda: fill(x)
    yield "transposed copy", lambda: cupy.ascontiguousarray(x.T)
    yield "random bits", lambda: backend.random_bits((64,), seed=1, stream=2, step=3)
    yield "cuBLASLt", lambda: backend.kernels.dense_backward(xp, x, x)
    pictures = xp.reshape(x, (4, 4, 4, 20))
    window, filters = (
        Window((3, 3), (1, 1), ((1, 1), (1, 1))),
        xp.reshape(flat[:1440], (3, 3, 20, 8)),
    )
    convolve = backend.kernels.convolve
    yield "convolution", lambda: convolve(xp, pictures, filters, None, window, True)
    yield "max pool", lambda: backend.kernels.max_pool(xp, pictures, window)[0]
    yield (
        "softmax, cross-entropy",
        lambda: backend.kernels.softmax_cross_entropy(xp, x, labels, 0.0)[0],
    )


def first_time_in_a_capture() -> Found:
    """What is compiled, loaded or looked for while a stream is capturing.

    No answer is wrong: it matters only where a step finds something first when it is recorded.
    """
    backend = nn.get_backend("cupy")
    x = backend.asarray(np.random.default_rng(0).standard_normal((45, 77)), "float32")
    out = cupy.empty((45, 45), x.dtype)
    cublaslt.product(x, x.T, cupy.empty((45, 45), x.dtype), tf32=True)  # makes the handle
    works: dict[str, Callable[[], Any]] = {
        "an elementwise kernel": lambda: cupy.hypot(x, x + 3),
        "a reduction": lambda: cupy.prod(x, axis=0),
        "one of our sources": lambda: backend.kernels.relu_backward(backend.xp, x, x),
        "an algorithm of cuBLASLt": lambda: cublaslt.product(x, x.T, out, tf32=False),
    }
    found = {}
    for name, work in works.items():
        try:
            result = captured(work, warm=False)
            found[name] = "none is found" if result is False else "ok"
        except Exception as error:
            found[name] = short(error, 160)
    found["the algorithm, afterwards"] = str(cublaslt.product(x, x.T, out, tf32=False))
    return found


def _network() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Dense(8, 32), nn.ReLU(), nn.BatchNorm(32), nn.Dropout(0.1)),
        *(nn.Dense(32, 16), nn.ReLU(), nn.LayerNorm(16)),
        *(nn.Dense(16, 16), nn.ReLU(), nn.Dense(16, 3)),
        seed=0,
    )


def _samples(count: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    X = generator.standard_normal((count, 8)).astype("float32")
    return X, generator.integers(0, 3, count)


def _pictures(count: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    X = generator.standard_normal((count, 9, 10, 3)).astype("float32")
    return X, generator.integers(0, 3, count)


def _network_of_convolutions() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2D(3, 16, 3, padding="same"), nn.ReLU(), nn.MaxPool2D(2)),
        *(nn.Conv2D(16, 16, 3, strides=2, padding="same", groups=2, use_bias=False),),
        *(nn.BatchNorm(16, scale=False), nn.GELU()),
        *(nn.DepthwiseConv2D(16, 3, padding="same"), nn.AveragePool2D(2, padding="same")),
        *(nn.Conv2D(16, 8, 1), nn.ReLU(), nn.Flatten(), nn.Dense(16, 3)),
        seed=0,
    )


def recorded(precision: str) -> Found:
    """Recorded steps give the bits of steps that are not; in float32 nearly NumPy's numbers."""
    return _recorded(_network, *_samples(100), precision)


def recorded_convolutions(precision: str) -> Found:
    """The same of a network for pictures."""
    return _recorded(_network_of_convolutions, *_pictures(100), precision)


def _recorded(network: Callable[[], nn.Sequential], X: Any, y: Any, precision: str) -> Found:
    found: Found = {}
    ends: list[tuple[list[float], Any]] = []
    runs = [(True, "cupy"), (False, "cupy")]
    if precision == "float32":
        runs.append((False, "numpy"))
    for graph, name in runs:
        trainer = nn.Trainer(
            network(),
            nn.SoftmaxCategoricalCrossentropy(),
            nn.Adam(1e-2, clip_norm=1.0),
            backend=name,
            seed=3,
            graph=graph,
            precision=precision,
        )
        place = trainer.backend.asarray
        first: list[Any] = [trainer.train_step(place(X[:32]), place(y[:32])) for _ in range(6)]
        losses = [float(loss) for loss in first]
        history = trainer.fit(X, y, epochs=3, batch_size=32, progress=False)
        values = [to_numpy(each).ravel() for each in trainer.model.parameters().values()]
        ends.append((losses + history["loss"], np.concatenate(values)))
        if graph:
            found["refused"] = trainer.recorder.refused
            found["recordings"] = trainer.recorder.recordings
    (losses, values), (its_losses, its_values), *rest = ends
    found["first and last loss"] = [round(losses[0], 6), round(losses[-1], 6)]
    same = losses == its_losses and np.array_equal(values, its_values)
    if not same:
        found["recorded is apart by"] = float(np.abs(values - its_values).max())
    for numpy_losses, _ in rest:
        found["NumPy's loss is apart by"] = abs(losses[-1] - numpy_losses[-1])
    assert found["refused"] is None, f"not recorded: {found}"
    assert found["recordings"], f"not recorded: {found}"
    assert same, f"other bits: {found}"
    return found


def one_step_beside_numpy() -> Found:
    """The loss and the gradients of a step of 784-512-512-10."""
    found, wrong = {}, False
    for batch in (32, 128):
        loss, gradients, _ = our_update(GPU_WORKS["a"], batch, "cupy", "float32")
        its_loss, its_gradients, _ = our_update(GPU_WORKS["a"], batch, "numpy", "float32")
        pairs = zip(gradients, its_gradients, strict=True)
        apart = max(_apart(mine, its) for mine, its in pairs)
        losses = f"loss {loss:.6f} and {its_loss:.6f}"
        found[f"batch {batch}"] = f"{losses}, gradients apart {apart:.1e}"
        wrong = wrong or not (apart < NEAR and abs(loss - its_loss) < NEAR * abs(its_loss))
    assert not wrong, str(found)
    return found


def _fill(backend: Any) -> None:
    """Have the backend say, in this process, that the device's memory is full."""
    small = backend.memory()._replace(free=10)
    type(backend).memory = lambda _: small


def streamed_from_the_host() -> Found:
    """Data that do not fit, through pinned memory and a stream of their own."""
    backend = nn.get_backend("cupy")
    X, y = _samples(3000)
    losses = []
    for little in (False, True):
        if little:
            _fill(backend)
        loss = nn.SoftmaxCategoricalCrossentropy()
        trainer = nn.Trainer(_network(), loss, nn.Adam(), backend="cupy")
        losses.append(trainer.fit(X, y, epochs=3, batch_size=64, progress=False)["loss"])
        assert trainer.recorder.refused is None, trainer.recorder.refused
    assert losses[0] == losses[1], f"{losses[0]}, and streamed {losses[1]}"
    return {"losses": losses[0]}


def memory_given_back() -> Found:
    """MiB of the device that each recorded training leaves behind when it is dropped."""
    X, y = _samples(96)
    free, recordings = [], 0
    for _ in range(9):
        loss = nn.SoftmaxCategoricalCrossentropy()
        trainer = nn.Trainer(_network(), loss, nn.Adam(), backend="cupy")
        trainer.fit(X, y, epochs=2, batch_size=32, progress=False)
        recordings = trainer.recorder.recordings
        del trainer
        gc.collect()
        cupy.cuda.Stream.null.synchronize()
        cupy.get_default_memory_pool().free_all_blocks()
        free.append(cupy.cuda.runtime.memGetInfo()[0] / 2**20)
    lost = (free[2] - free[-1]) / (len(free) - 3)
    found = {"MiB lost each fit": round(lost, 1), "recordings each": recordings}
    assert lost < 4, f"the device's memory is not given back: {found}"
    return found
