"""Each kernel in CUDA C++ or cuBLASLt does what its twin of the standard does."""

from __future__ import annotations

import re

import cupy
import numpy as np
import pytest
from test_kernels import (
    FLAT,
    KEYS,
    LAYERS,
    SHAPES,
    STANDARD,
    TABLES,
    UPDATES,
    check_overrides,
    codes_and_sums,
    normal,
)

import nnfs_xp as nn
from nnfs_xp.backend import to_numpy
from nnfs_xp.kernels import standard
from nnfs_xp.kernels.cupy import CuPyKernels, cublaslt, layers, products
from nnfs_xp.kernels.cupy.random import Mask

BACKEND = nn.get_backend("cupy")
xp = BACKEND.xp
kernels = CuPyKernels()

EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


@pytest.fixture(params=EPS)
def dtype(request):
    return request.param


def on_device(arguments, dtype):
    """The arguments rounded to the dtype: on the device, and, in float64, on the host."""
    found, exact = [], []
    for a in arguments:
        if isinstance(a, np.ndarray):
            array = BACKEND.asarray(np.array(a, "float64"), dtype) if a.dtype.kind == "f" else a
            found.append(BACKEND.asarray(array))
            exact.append(to_numpy(found[-1]).astype("float64") if a.dtype.kind == "f" else a)
        else:
            found.append(BACKEND.device if a == "cpu" else a)
            exact.append(a)
    return found, exact


def results(result, arguments, name):
    """What a kernel returned and what it wrote to, as arrays."""
    given = [] if result is None else list(result) if isinstance(result, tuple) else [result]
    if name == "dropout":
        given = given[:1]  # the mask is for its partner alone
    kept = [a for a in arguments if isinstance(a, (np.ndarray, cupy.ndarray))]
    return given + (kept[1:] if name == "bias_relu" else kept)


def agree(found, exact, dtype, factor):
    assert len(found) == len(exact) > 0
    eps = EPS[dtype]
    for one, other in zip(found, exact, strict=True):
        assert one.shape == other.shape
        one, other = to_numpy(one).astype("float64"), np.asarray(other, "float64")
        assert (np.isnan(one) == np.isnan(other)).all()
        scale = np.max(np.abs(other[np.isfinite(other)]), initial=1e-30)
        np.testing.assert_allclose(one, other, rtol=factor * eps, atol=factor * eps * scale)


def compare(case, arguments, dtype, factor=32):
    name = case.partition(",")[0]
    found, exact = on_device(arguments, dtype)
    if name == "dropout_backward":
        found[1] = BACKEND.asarray(arguments[1])
    got = results(getattr(kernels, name)(xp, *found), found, name)
    wanted = getattr(STANDARD, name)(np_xp(), *exact)
    agree(got, results(wanted, exact, name), dtype, factor)


def np_xp():
    return nn.get_backend("numpy").xp


def test_the_set_overrides_what_it_does_better():
    check_overrides(CuPyKernels)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, shape, dtype):
    if shape == (200, 33) and dtype in ("float16", "bfloat16") and "norm" in name:
        compare(name, LAYERS[name](*shape), dtype, factor=64)  # sums of many rounded factors
    else:
        compare(name, LAYERS[name](*shape), dtype)


@pytest.mark.parametrize("size", FLAT[:4])
@pytest.mark.parametrize("case", UPDATES)
def test_updates(case, size, dtype):
    compare(case, UPDATES[case](size), dtype)


@pytest.mark.parametrize("name", ["relu_backward_biases", "layer_norm_backward", "batch_norm"])
def test_batches_that_are_summed_in_parts(name):
    compare(name, LAYERS[name](3000, 40), "float32", factor=256)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("k", [1024, 1022, 1021])
@pytest.mark.parametrize("name", ["relu_backward_biases", "dense_gradients"])
def test_large_arrays_are_summed_several_columns_at_once(name, k, offset, dtype, monkeypatch):
    monkeypatch.setattr(layers, "_LARGE", 2**10)
    monkeypatch.setattr(products, "_EPILOGUES", False)
    launch, launched = layers.launch, []
    listening = lambda *of, **more: (launched.append(of[1]), launch(*of, **more))  # noqa: E731
    monkeypatch.setattr(layers, "launch", listening)
    n = 70
    room = on_device((normal(n * k + 1),), dtype)[0][0]
    dvalues = room[offset : offset + n * k].reshape(n, k)
    dbiases = xp.empty((1, k), dtype=dvalues.dtype)
    exact = to_numpy(dvalues).astype("float64")
    if name == "relu_backward_biases":
        output = on_device((np.maximum(normal(n, k, seed=1), 0),), dtype)[0][0]
        exact = exact * (to_numpy(output) > 0)
        found = kernels.relu_backward_biases(xp, dvalues, output, dbiases)
        np.testing.assert_array_equal(to_numpy(found).astype("float64"), exact)
    else:
        inputs = on_device((normal(n, 3),), dtype)[0][0]
        kernels.dense_gradients(xp, inputs, dvalues, xp.empty((3, k), dtype=room.dtype), dbiases)
    agree([dbiases], [exact.sum(axis=0, keepdims=True)], dtype, 64)
    itemsize = dvalues.dtype.itemsize
    several = not k * itemsize % 8 and not dvalues.data.ptr % 8
    kernel = "relu_backward_biases" if name == "relu_backward_biases" else "column_sums"
    assert launched[0] == (f"{kernel}_wide" if several else kernel)


@pytest.mark.parametrize("k", [1024, 1025, 3000])
@pytest.mark.parametrize("name", ["softmax_cross_entropy", "layer_norm", "layer_norm_backward"])
def test_rows_of_one_warp_and_of_several(name, k):
    compare(name, LAYERS[name](3, k), "float32", factor=256)


@pytest.mark.parametrize("offset", [0, 1])
def test_arrays_that_start_anywhere(offset):
    """Flat buffers of layers put arrays at addresses that no vector load may use."""
    room = BACKEND.asarray(normal(2000), "float32")
    values, g = room[offset : offset + 640], BACKEND.asarray(normal(640, seed=1), "float32")
    wanted = to_numpy(values).astype("float64") - 0.1 * to_numpy(g)
    kernels.sgd(xp, values, g, 0.1)
    agree([values], [wanted], "float32", 2)
    biases = room[700 + offset : 700 + offset + 8].reshape(1, 8)
    products = BACKEND.asarray(normal(5, 8), "float32")
    wanted = np.maximum(to_numpy(products) + to_numpy(biases), 0)
    np.testing.assert_allclose(to_numpy(kernels.bias_relu(xp, products, biases)), wanted, rtol=1e-6)
    weights = room[100 + offset : 100 + offset + 24].reshape(3, 8)
    inputs = BACKEND.asarray(normal(5, 3), "float32")
    wanted = to_numpy(inputs) @ to_numpy(weights) + to_numpy(biases)
    found = to_numpy(kernels.dense(xp, inputs, weights, biases))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["bias_relu", "relu_backward", "embedding_gradient", "layer_norm", "dropout", "sgd"]
)
def test_arrays_that_are_not_contiguous(name):
    arguments = LAYERS[name](13, 6) if name in LAYERS else UPDATES[name](40)
    found, exact = on_device(arguments, "float32")
    wide = xp.zeros((*found[0].shape[:-1], 2 * found[0].shape[-1]), dtype=found[0].dtype)
    wide[..., ::2] = found[0]
    found[0] = wide[..., ::2]
    got = results(getattr(kernels, name)(xp, *found), found, name)
    wanted = results(getattr(STANDARD, name)(np_xp(), *exact), exact, name)
    agree(got, wanted, "float32", 32)


@pytest.mark.parametrize("label", [-1, 3, 2**40, -(2**40)])
def test_a_label_that_is_no_class(label):
    logits = BACKEND.asarray(normal(4, 3), "float32")
    labels = BACKEND.asarray(np.array([0, label, 2, 1]))
    losses, dinputs = kernels.softmax_cross_entropy(xp, logits, labels, 0.0)
    np.testing.assert_array_equal(np.isnan(to_numpy(losses)), [False, True, False, False])
    bad = np.isnan(to_numpy(dinputs)).all(axis=1)
    np.testing.assert_array_equal(bad, [False, True, False, False])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothed_labels(smoothing, dtype):
    arguments = normal(7, 5) * 3, np.arange(7) % 5, smoothing
    compare("softmax_cross_entropy", arguments, dtype)


def test_a_class_that_is_ruled_out():
    logits = BACKEND.asarray(np.array([[0.0, -np.inf, 1.0], [-np.inf, 2.0, -np.inf]]), "float32")
    labels = BACKEND.asarray(np.array([2, 1]))
    losses, _ = kernels.softmax_cross_entropy(xp, logits, labels, 0.0)
    np.testing.assert_allclose(to_numpy(losses), [np.log1p(np.exp(-1)), 0], rtol=1e-6)


@pytest.mark.parametrize("size", [1, 2**16 + 3])
def test_random_bits_are_the_same_bits(size):
    expected = STANDARD.random_bits(np_xp(), (size,), KEYS, "cpu")
    found = kernels.random_bits(xp, (size,), KEYS, BACKEND.device)
    np.testing.assert_array_equal(to_numpy(found), expected)


def test_keys_made_on_the_device_are_the_hosts():
    count = standard.DeviceCount(BACKEND.asarray(np.array(40)), 2)
    seed, stream = 2**63 + 12345, 7
    keys = standard.stream_keys(seed, stream, count)
    expected = STANDARD.random_bits(np_xp(), (999,), standard.stream_keys(seed, stream, 42), "cpu")
    found = kernels.random_bits(xp, (999,), keys, BACKEND.device)
    np.testing.assert_array_equal(to_numpy(found), expected)


def test_the_mask_is_made_again_backwards(dtype):
    inputs = BACKEND.asarray(np.ones((37, 53)), dtype)
    output, kept = kernels.dropout(xp, inputs, 2**22, 4 / 3, KEYS, BACKEND.device)
    assert isinstance(kept, Mask), "no mask is stored"
    dinputs = kernels.dropout_backward(xp, inputs, kept, 4 / 3)
    np.testing.assert_array_equal(to_numpy(dinputs), to_numpy(output))
    _, mask = STANDARD.dropout(np_xp(), np.ones((37, 53)), 2**22, 4 / 3, KEYS, "cpu")
    np.testing.assert_array_equal(to_numpy(output) != 0, mask)


@pytest.mark.parametrize("name", ["sgd", "adam", "amsgrad", "lion", "shrink", "momentum"])
def test_numbers_on_the_device(name):
    """A learning rate and a count that lie there give the same bits as if handed over."""
    arguments = list(UPDATES[name](1000))
    here, _ = on_device(arguments, "float32")
    there, _ = on_device(arguments, "float32")
    for place, value in enumerate(there):
        if isinstance(value, int) and not isinstance(value, bool):
            there[place] = standard.DeviceCount(BACKEND.asarray(np.array(value - 3)), 3)
        if isinstance(value, float):
            there[place] = BACKEND.asarray(np.array(value), "float32")
            break  # the learning rate is the first
    if name == "shrink":
        there[-1] = BACKEND.asarray(np.array(there[-1]), "float64")
    function = getattr(kernels, name)
    function(xp, *here)
    function(xp, *there)
    for one, other in zip(here, there, strict=True):
        if isinstance(one, cupy.ndarray):
            np.testing.assert_array_equal(to_numpy(one), to_numpy(other))


@pytest.mark.parametrize(
    "table", [*TABLES, (2048, 9, 2), (2049, 5000, 64), (6200, 40, 33)], ids=str
)
def test_a_row_of_a_table_gets_the_sum_of_its_code(table, dtype):
    """One tile of keys, several, and a last one that is not full."""
    codes, dvalues, _ = codes_and_sums(*table, "float64")
    (rows,), (exact,) = on_device((dvalues,), dtype)
    sums = np.zeros((table[1], table[2]))
    np.add.at(sums, codes, exact)
    found = [xp.zeros(sums.shape, dtype=rows.dtype) for _ in "12"]
    for dweights in found:
        dweights += np.nan
        kernels.embedding_gradient(xp, BACKEND.asarray(codes), rows, dweights)
    agree(found[:1], [sums], dtype, 64)
    assert to_numpy(found[0]).tobytes() == to_numpy(found[1]).tobytes()


@pytest.mark.parametrize("width", [1, 2, 3, 4, 16, 784])
@pytest.mark.parametrize("kind", ["float32", "int64", "uint8", "float64"])
def test_rows_are_gathered(width, kind):
    array = (normal(50, width) * 50).astype(kind)
    order = np.random.default_rng(0).permutation(50)
    count = standard.DeviceCount(BACKEND.asarray(np.array(10)), 5)
    for start in (15, count):
        found = kernels.gather_rows(xp, BACKEND.asarray(array), BACKEND.asarray(order), start, 20)
        np.testing.assert_array_equal(to_numpy(found), array[order[15:35]])


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_between_the_precisions(kind):
    wide = BACKEND.asarray(normal(1001), "float32")
    narrow = xp.zeros(1001, dtype=BACKEND.dtype(kind))
    kernels.narrow_into(xp, wide, narrow)
    np.testing.assert_allclose(to_numpy(narrow), to_numpy(wide), rtol=EPS[kind])
    back = xp.zeros(1001, dtype=xp.float32)
    kernels.widen(xp, narrow, back, BACKEND.asarray(np.array(0.5), "float32"))
    np.testing.assert_array_equal(to_numpy(back), to_numpy(narrow).astype("float32") / 2)


class TestProducts:
    """What cuBLASLt is asked for."""

    @pytest.fixture(autouse=True)
    def _at_hand(self):
        assert cublaslt.library() is not None

    @pytest.mark.parametrize("transposed", ["", "a", "b", "ab"])
    @pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 7), (64, 33, 10), (1, 4, 1), (3, 1, 5)])
    def test_matmul(self, shape, transposed, dtype):
        n, k, m = shape
        a, b = normal(n, k), normal(k, m, seed=1)
        on = {}
        for name, array in (("a", a), ("b", b)):
            turned = array.T if name in transposed else array
            moved = BACKEND.asarray(np.ascontiguousarray(turned), dtype)
            on[name] = moved.T if name in transposed else moved
        out = xp.empty((n, m), dtype=BACKEND.dtype(dtype))
        kernels.matmul_into(xp, on["a"], on["b"], out)  # whoever does it
        wanted = to_numpy(on["a"]).astype("float64") @ to_numpy(on["b"]).astype("float64")
        agree([out], [wanted], dtype, 8)

    def test_rows_that_lie_apart(self):
        wide = BACKEND.asarray(normal(6, 20), "float32")
        a, b = wide[:, :5], wide[:5, 8:14]
        out = xp.empty((6, 6), dtype=xp.float32)
        kernels.matmul_into(xp, a, b, out)
        agree([out], [to_numpy(a).astype("float64") @ to_numpy(b)], "float32", 8)

    @pytest.mark.parametrize("k", [1, 10, 128, 130])
    def test_forward_and_back_through_a_pair(self, k, dtype):
        n, m = 19, 6
        inputs, weights, biases = normal(n, 4), normal(4, k), normal(1, k)
        following, dvalues = normal(k, m), normal(n, m, seed=5)
        found, exact = on_device((inputs, weights, biases, following, dvalues), dtype)
        output = kernels.dense_relu(xp, *found[:3])
        agree([output], [STANDARD.dense_relu(np_xp(), *exact[:3])], dtype, 8)
        dbiases = xp.empty((1, k), dtype=found[0].dtype)
        dz = kernels.dense_backward_relu(xp, found[4], found[3], output, dbiases)
        sums = np.empty((1, k))
        outputs = to_numpy(output).astype("float64")
        wanted = STANDARD.dense_backward_relu(np_xp(), exact[4], exact[3], outputs, sums)
        agree([dz, dbiases], [wanted, sums], dtype, 32)

    def test_a_relu_at_zero_and_nan(self, dtype):
        """Where cuBLASLt's own makes 0 of NaN, and lets the gradient through at 0."""
        z = np.array([[-1.0, 0.0, 1.0, np.nan, -0.0, np.inf, -np.inf, 2.0]])
        n, k = 16, z.shape[1]
        found, _ = on_device((np.ones((n, 1)), z, np.zeros((1, k)), np.ones((k, 2))), dtype)
        output = kernels.dense_relu(xp, *found[:3])
        relu = np.where(z <= 0, 0, z)
        np.testing.assert_array_equal(to_numpy(output), np.broadcast_to(relu, (n, k)))
        dbiases = xp.empty((1, k), dtype=found[0].dtype)
        dvalues = on_device((np.ones((n, 2)),), dtype)[0][0]
        dz = kernels.dense_backward_relu(xp, dvalues, found[3], output, dbiases)
        wanted = np.broadcast_to(np.where(z > 0, 2.0, 0.0), (n, k))
        np.testing.assert_array_equal(to_numpy(dz), wanted)
        np.testing.assert_array_equal(to_numpy(dbiases), wanted.sum(axis=0, keepdims=True))

    @pytest.mark.parametrize("refused", [{"BIAS"}, {"BGRADA"}, {"BIAS", "BGRADA"}, {"DEFAULT"}])
    def test_without_an_algorithm_the_rest_is_done_apart(self, refused, monkeypatch):
        product, asked = cublaslt.product, []

        def refusing(*arguments, **more):
            asked.append(more.get("epilogue", "DEFAULT"))
            return asked[-1] not in refused and product(*arguments, **more)

        monkeypatch.setattr(cublaslt, "product", refusing)
        for name in ("dense", "dense_relu", "dense_gradients", "dense_backward_relu"):
            compare(name, LAYERS[name](20, 12), "float32")
        assert refused <= set(asked)

    def test_epilogues_can_be_turned_off(self, monkeypatch):
        product, asked = cublaslt.product, []

        def listening(*arguments, **more):
            asked.append(more.get("epilogue", "DEFAULT"))
            return product(*arguments, **more)

        monkeypatch.setattr(cublaslt, "product", listening)
        monkeypatch.setattr(products, "_EPILOGUES", False)
        for name in ("dense", "dense_gradients"):
            compare(name, LAYERS[name](20, 12), "float32")
        assert set(asked) == {"DEFAULT"}

    def test_without_cublaslt_cupy_multiplies(self, monkeypatch):
        monkeypatch.setattr(cublaslt, "library", lambda: None)
        for name in ("dense", "dense_relu", "dense_gradients", "dense_backward", "matmul_into"):
            compare(name, LAYERS[name](20, 12), "float32")

    @pytest.mark.parametrize(
        ("a", "b", "out", "vector"),
        [
            ((4, 3), (2, 5), (4, 5), None),
            ((4, 3), (3, 5), (4, 4), None),
            ((4, 3), (3, 5), (4, 5), (1, 4)),
        ],
    )
    def test_shapes_that_do_not_fit(self, a, b, out, vector):
        arrays = [xp.zeros(shape, dtype=xp.float32) for shape in (a, b, out)]
        more = {}
        if vector is not None:
            more = {"epilogue": "BIAS", "vector": xp.zeros(vector, dtype=xp.float32)}
        with pytest.raises(ValueError, match=r"does not give|do not fit"):
            cublaslt.product(*arrays, tf32=False, **more)

    def test_tf32_may_round_and_float32_does_not(self):
        n, x = 256, 1 + 2.0**-12
        a = BACKEND.asarray(np.full((n, n), x), "float32")
        out = xp.empty((n, n), dtype=xp.float32)
        kernels.matmul_into(xp, a, a, out)
        assert abs(to_numpy(out)[0, 0] / (n * x**2) - 1) < 2.0**-20
        with BACKEND.rounding_to_tf32():
            kernels.matmul_into(xp, a, a, out)
        rounded = to_numpy(out)[0, 0] / n
        assert abs(rounded - 1) < 2.0**-10  # on a card it may be that nothing was rounded
        assert rounded == 1 or "stand-in" not in cupy.__version__


class TestPlans:
    """What is remembered of cuBLASLt's answers."""

    @pytest.fixture(autouse=True)
    def _none_yet(self, monkeypatch):
        monkeypatch.setattr(cublaslt, "_plans", {})
        cublaslt._tell.cache_clear()

    def multiply(self):
        a = BACKEND.asarray(normal(8, 8), "float32")
        out = xp.empty((8, 8), dtype=xp.float32)
        done = cublaslt.product(a, a, out, tf32=False)
        if done:
            agree([out], [to_numpy(a).astype("float64") @ to_numpy(a)], "float32", 8)
        return done

    def failing(self, name, status, monkeypatch):
        """Have a function of cuBLASLt fail, once with this status."""
        lt = cublaslt.library()
        function, left = getattr(lt, name), [status]

        def call(*arguments):
            if left:
                raise lt.cuBLASLtError(left.pop())
            return function(*arguments)

        monkeypatch.setattr(lt, name, call)

    @pytest.mark.parametrize("name", ["matmul_algo_get_heuristic", "matmul"])
    def test_what_fails_for_another_reason_is_tried_again(self, name, monkeypatch, caplog):
        self.failing(name, 14, monkeypatch)  # an internal error
        assert not self.multiply()
        assert "cuBLASLt has refused a product" in caplog.text
        assert self.multiply()

    @pytest.mark.parametrize("name", ["matmul_algo_get_heuristic", "matmul"])
    def test_what_is_not_supported_is_remembered(self, name, monkeypatch):
        self.failing(name, 15, monkeypatch)
        assert not self.multiply()
        assert not self.multiply()
        assert list(cublaslt._plans.values()) == [None]

    @pytest.mark.parametrize("name", ["matmul_algo_get_heuristic", "matmul"])
    def test_nothing_is_remembered_of_a_recording(self, name, monkeypatch):
        """What is refused there may be possible elsewhere."""
        if name == "matmul":
            assert self.multiply()
        self.failing(name, 15, monkeypatch)
        stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
        a = BACKEND.asarray(normal(8, 8), "float32")
        with cupy.cuda.using_allocator(pool.malloc), stream:
            out = xp.empty((8, 8), dtype=xp.float32)
            stream.begin_capture()
            try:
                assert not cublaslt.product(a, a, out, tf32=False)
            finally:
                stream.end_capture()
        assert None not in cublaslt._plans.values()
        assert self.multiply()
        del out
        pool.free_all_blocks()

    def test_plans_that_are_not_kept_are_given_back(self, monkeypatch):
        closed = []
        close = cublaslt.Plan.close
        monkeypatch.setattr(cublaslt.Plan, "close", lambda plan: (closed.append(plan), close(plan)))
        self.failing("matmul_algo_get_heuristic", 15, monkeypatch)
        assert not self.multiply()
        assert len(closed) == 1
        monkeypatch.setattr(cublaslt, "_plans", {})
        assert self.multiply()
        self.failing("matmul", 15, monkeypatch)
        assert not self.multiply()
        assert len(closed) == 2

    def test_the_algorithm_is_in_the_log(self, caplog):
        caplog.set_level("DEBUG", logger="nnfs_xp")
        assert self.multiply()
        assert re.search(r"cuBLASLt, .*'DEFAULT', \(8, 8, 8\).* bytes, .* waves", caplog.text)
