"""Products of two tall matrices: few numbers, each a long sum, by kernels of our own."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from test_cuda_kernels import BACKEND, EPS, agree, on_device, to_numpy
from test_kernels import normal

import nnfs_xp as nn
from nnfs_xp.kernels.cupy import CuPyKernels, cublaslt, products, tall
from nnfs_xp.kernels.cupy.tall import tall_product

xp = BACKEND.xp
kernels = CuPyKernels()

LONG = tall._LONG
SMALL = ((1, 1), (1, 3), (3, 1), (5, 7), (12, 24), (27, 64), (64, 64), (340, 12), (1, 511))


@pytest.fixture(params=EPS)
def dtype(request):
    return request.param


@pytest.fixture
def any_length(monkeypatch):
    """Sums of any length are taken."""
    monkeypatch.setattr(tall, "_LONG", 1)


@pytest.fixture
def launched(monkeypatch):
    """How many products the kernel has made."""
    counts, launch = Counter(), tall.launch

    def listening(*arguments):
        counts[arguments[1]] += 1
        launch(*arguments)

    monkeypatch.setattr(tall, "launch", listening)
    return counts


def whole(*shape, seed=0):
    """Whole numbers, whose products add up without any rounding."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype("float64")


def on_card(array, dtype):
    return BACKEND.asarray(array, dtype)


def check(x, y, dtype, out=None):
    """The exact sums, rounded once."""
    if out is None:
        out = on_card(np.full((x.shape[1], y.shape[1]), np.nan), dtype)
    assert tall_product(x.T, y, out)
    exact = to_numpy(x).astype("float64").T @ to_numpy(y).astype("float64")
    np.testing.assert_array_equal(to_numpy(out), to_numpy(on_card(exact, dtype)))


@pytest.mark.parametrize("rows", [1, 255, 2051])
@pytest.mark.parametrize("shape", SMALL, ids=str)
@pytest.mark.usefixtures("any_length")
def test_each_row_counts_once(shape, rows, dtype):
    m, n = shape
    check(on_card(whole(rows, m), dtype), on_card(whole(rows, n, seed=1), dtype), dtype)


@pytest.mark.parametrize("each", [1, 2, 300])
@pytest.mark.usefixtures("any_length")
def test_parts_of_any_number(each, dtype, monkeypatch):
    """One for all rows, several, and the last one shorter."""
    monkeypatch.setattr(tall, "_BLOCKS", each)
    monkeypatch.setattr(tall, "_ROWS", 1)
    monkeypatch.setattr(tall, "multiprocessors", lambda _: 1)
    check(on_card(whole(1003, 12), dtype), on_card(whole(1003, 24, seed=1), dtype), dtype)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.usefixtures("any_length")
def test_matrices_that_are_parts_of_wider_ones(offset, dtype):
    """Of groups of channels: their rows lie apart, and so do those of the result."""
    x, y = on_card(whole(777, 16), dtype), on_card(whole(777, 40, seed=1), dtype)
    room = on_card(np.full((9, 40), 5.0), dtype)
    out = room[:, offset : offset + 24]
    check(x[:, offset : offset + 9], y[:, offset : offset + 24], dtype, out)
    assert (to_numpy(room)[:, offset + 24 :] == 5).all()


@pytest.mark.usefixtures("any_length")
def test_matrices_that_start_anywhere(dtype):
    room = on_card(whole(500 * 12 + 1), dtype)
    x, y = room[1:].reshape(500, 12), on_card(whole(500, 8, seed=1), dtype)
    check(x, y, dtype)


def test_long_sums_lose_little(dtype):
    """Where one float32 after another would lose hundreds of units of the last place."""
    numbers = normal(100_000, 3) / 8 + 0.4, normal(100_000, 5, seed=1) / 8 + 0.4
    (x, y), exact = on_device(numbers, dtype)
    out = xp.empty((3, 5), dtype=x.dtype)
    assert tall_product(x.T, y, out)
    left, right = (each.astype(np.longdouble) for each in exact)
    agree([out], [np.sum(left[:, :, None] * right[:, None], axis=0)], dtype, 4)


@pytest.mark.parametrize(
    ("rows", "m", "n", "taken"),
    [
        (LONG, 12, 24, 1),
        (LONG - 1, 12, 24, 0),
        (LONG, 64, 65, 0),
        (LONG, 1, 512, 0),
    ],
)
def test_which_are_taken(rows, m, n, taken, launched):
    x, y = on_card(whole(rows, m), "float32"), on_card(whole(rows, n, seed=1), "float32")
    out = xp.empty((m, n), dtype=x.dtype)
    kernels.matmul_into(xp, x.T, y, out)
    np.testing.assert_array_equal(to_numpy(out), to_numpy(x).T @ to_numpy(y))
    assert launched["tall_product"] == taken


@pytest.mark.usefixtures("any_length")
def test_what_is_left_to_others(launched):
    """Matrices that lie column by column, or are of two types; and shapes that do not fit."""
    x, y = on_card(whole(50, 6), "float32"), on_card(whole(50, 4), "float32")
    out = on_card(np.full((6, 4), 7.0), "float32")
    turned = [on_card(np.ascontiguousarray(to_numpy(each).T), "float32").T for each in (x, y)]
    for a, b in (
        (turned[0].T, y),
        (x.T, turned[1]),
        (x[:, ::2].T, y),
        (on_card(whole(50, 6), "float64").T, y),
        (x.T, y[:40]),
        (x.T, y[:, :3]),
    ):
        assert not tall_product(a, b, out)
    assert not tall_product(on_card(whole(50, 0), "float32").T, y, out[:0])
    assert (to_numpy(out) == 7).all()
    assert not launched


def test_a_dense_layer_at_a_large_batch(dtype, launched, monkeypatch):
    """The sums for the biases come from a kernel of their own."""
    asked, product = [], cublaslt.product
    listening = lambda *of, **more: (asked.append(of), product(*of, **more))[1]  # noqa: E731
    monkeypatch.setattr(products.cublaslt, "product", listening)
    x, dvalues = whole(LONG + 3, 6), whole(LONG + 3, 10, seed=1)
    dweights, dbiases = (
        xp.empty(shape, dtype=BACKEND.dtype(dtype)) for shape in ((6, 10), (1, 10))
    )
    kernels.dense_gradients(xp, on_card(x, dtype), on_card(dvalues, dtype), dweights, dbiases)
    exact = x.T @ dvalues, dvalues.sum(axis=0, keepdims=True)
    for found, wanted in zip((dweights, dbiases), exact, strict=True):
        np.testing.assert_array_equal(to_numpy(found), to_numpy(on_card(wanted, dtype)))
    assert launched["tall_product"] == 1
    assert not asked


def test_the_same_bits_each_time(dtype):
    x, y = (on_device((normal(LONG + 1, n),), dtype)[0][0] for n in (12, 24))
    found = set()
    for _ in range(3):
        out = xp.empty((12, 24), dtype=x.dtype)
        assert tall_product(x.T, y, out)
        found.add(to_numpy(out).tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_recorded_steps(precision, launched, monkeypatch):
    """A network whose first convolution has such a gradient: recorded, and step by step."""
    monkeypatch.setattr(tall, "_LONG", 2**10)
    x, y = normal(64, 9, 9, 3).astype("float32"), np.arange(64) % 3
    found = []
    for graph in (True, False):
        layers = nn.Conv2D(3, 24, 2), nn.ReLU(), nn.Flatten(), nn.Dense(1536, 3)
        trainer = nn.Trainer(
            nn.Sequential(*layers, seed=0),
            nn.SoftmaxCategoricalCrossentropy(),
            nn.SGD(0.01),
            backend="cupy",
            precision=precision,
            seed=1,
            graph=graph,
        )
        history = trainer.fit(x, y, epochs=3, batch_size=32, progress=False)
        found.append((dict(history), to_numpy(trainer.model.flat.values).tobytes()))
        assert trainer.recorder.recordings == graph
        assert launched["tall_product"] > 0
        launched.clear()
    assert found[0] == found[1]
