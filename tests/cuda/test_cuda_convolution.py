"""The kernels of convolutions and pools: packs, groups, pieces, and which arrays they take."""

from __future__ import annotations

from collections import Counter

import cupy
import numpy as np
import pytest
from test_cuda_kernels import BACKEND, agree, compare, np_xp, on_device, to_numpy
from test_kernels import STANDARD, normal

from nnfs_xp.kernels.cupy import CuPyKernels, convolution, norms, tall, windows
from nnfs_xp.kernels.standard import Window

xp = BACKEND.xp
kernels = CuPyKernels()

WINDOWS = {
    "valid": Window((3, 3)),
    "same": Window((3, 3), (1, 1), ((1, 1), (1, 1))),
    "dilated": Window((2, 3), (2, 1), ((1, 0), (0, 2)), (1, 2)),
    "apart": Window((1, 1), (2, 2)),
    "far": Window((3, 2), (2, 3), ((2, 1), (1, 1)), (2, 1)),
    "one pixel": Window((1, 1)),
}

PICTURES = {"one by one": (2, 7, 6, 6, 4), "packed": (1, 5, 5, 16, 16), "wide": (3, 6, 8, 32, 8)}
"""Their shape and how many filters: channels of 12 to 256 bytes."""


@pytest.fixture(params=["float32", "float64", "float16", "bfloat16"])
def dtype(request):
    return request.param


@pytest.fixture(params=PICTURES.values(), ids=PICTURES)
def pictures(request):
    return request.param


@pytest.fixture(params=WINDOWS.values(), ids=WINDOWS)
def window(request):
    return request.param


@pytest.fixture
def launched(monkeypatch):
    """Counts the kernels that run."""
    counts = Counter()
    for module in (convolution, norms, tall, windows):

        def listening(*arguments, launch=module.launch):
            counts[arguments[1]] += 1
            launch(*arguments)

        monkeypatch.setattr(module, "launch", listening)
    return counts


def of_convolution(shape, n_filters, n_groups, window):
    """What each kernel of a convolution takes."""
    n, height, width, channels = shape
    x = normal(*shape)
    weights = normal(*window.size, channels // n_groups, n_filters)
    biases = normal(1, n_filters)
    dvalues = normal(n, *window.places(height, width), n_filters, seed=1)
    yield "convolve", (x, weights, biases, window, False)
    yield "convolve", (x, weights, biases, window, True)
    yield "convolve", (x, weights, None, window, True)
    yield "convolve_gradients", (x, dvalues, weights + 1, biases + 1, window)
    yield "convolve_gradients", (x, dvalues, weights + 1, None, window)
    yield "convolve_backward", (dvalues, weights, window, shape)


@pytest.mark.parametrize("n_groups", [1, 2])
def test_convolutions(pictures, window, n_groups, dtype, launched):
    *shape, n_filters = pictures
    for name, arguments in of_convolution(tuple(shape), n_filters, n_groups, window):
        compare(name, arguments, dtype, 64)
    pixels = window.is_pixel
    assert launched["patches"] == (0 if pixels else 5 * n_groups)
    assert launched["add_patches"] == (0 if pixels else n_groups)


FIRST = {
    "whitening": (Window((2, 2)), 3, 24, 1),
    "same": (WINDOWS["same"], 3, 64, 1),
    "far": (WINDOWS["far"], 1, 5, 1),
    "groups": (WINDOWS["same"], 6, 8, 2),
    "one pixel": (WINDOWS["one pixel"], 6, 10, 2),
}
"""Few channels, and filters: windows, how many of each, and in how many groups."""


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize(("window", "channels", "n_filters", "n_groups"), FIRST.values(), ids=FIRST)
def test_first_convolutions(
    window, channels, n_filters, n_groups, in_pieces, dtype, launched, monkeypatch
):
    """The gradient of few weights is a product of two tall matrices."""
    monkeypatch.setattr(tall, "_LONG", 40)
    shape = (5, 17, 19, channels)
    if in_pieces:
        taps = int(np.prod(window.size))
        most = 2 * int(np.prod(window.places(17, 19))) * taps * channels // n_groups
        monkeypatch.setattr(CuPyKernels, "most_patch_numbers", most)
    for name, arguments in of_convolution(shape, n_filters, n_groups, window):
        if name == "convolve_gradients":
            compare(name, arguments, dtype, 64)
    assert launched["tall_product"] == 2 * n_groups * (3 if in_pieces else 1)


@pytest.mark.parametrize("each", [1, 3])
def test_depthwise_convolutions(pictures, window, each, dtype, launched):
    *shape, _ = pictures
    channels = shape[-1]
    for name, arguments in of_convolution(tuple(shape), channels * each, channels, window):
        compare(name, arguments, dtype, 64)
    assert launched["depthwise"] == 3
    assert launched["depthwise_gradient"] == 2
    assert launched["depthwise_backward"] == 1


@pytest.mark.parametrize("n_groups", [1, 2])
def test_pieces_of_a_batch(n_groups, monkeypatch, launched):
    shape, window = (5, 6, 7, 8), WINDOWS["same"]
    monkeypatch.setattr(CuPyKernels, "most_patch_numbers", 2 * 6 * 7 * 9 * 8 // n_groups)
    for name, arguments in of_convolution(shape, 8, n_groups, window):
        compare(name, arguments, "float32", 64)
    assert launched["patches"] == 5 * 3 * n_groups
    assert launched["add_patches"] == 3 * n_groups


def test_one_piece_is_written_where_it_belongs(monkeypatch):
    """The product with its biases is the output: no other array of its size is made."""
    x, weights, biases = on_device(
        (normal(4, 8, 8, 16), normal(3, 3, 16, 32), normal(1, 32)), "float32"
    )[0]
    made, empty = [], cupy.empty

    def listening(shape, *more):
        made.append(tuple(shape))
        return empty(shape, *more)

    monkeypatch.setattr(cupy, "empty", listening)
    output = kernels.convolve(xp, x, weights, biases, WINDOWS["same"])
    assert made == [(4, 8, 8, 32), (256, 144)]
    assert output.shape == (4, 8, 8, 32)


@pytest.mark.parametrize("offset", [0, 1])
def test_pictures_that_start_anywhere(offset, dtype):
    shape, window = (2, 5, 6, 8), WINDOWS["same"]
    size = int(np.prod(shape))
    room = on_device((normal(size + 1),), dtype)[0][0]
    x = room[offset : offset + size].reshape(shape)
    exact = to_numpy(x).astype("float64")
    found = kernels.patches(xp, x, window)
    np.testing.assert_array_equal(to_numpy(found), STANDARD.patches(np_xp(), exact, window))
    output, which = kernels.max_pool(xp, x, window)
    wanted, places = STANDARD.max_pool(np_xp(), exact, window)
    np.testing.assert_array_equal(to_numpy(output), wanted)
    np.testing.assert_array_equal(to_numpy(which), places)


@pytest.mark.parametrize("channels", [slice(4, 12), slice(1, 3)], ids=["packed", "one by one"])
def test_some_channels_of_pictures(channels, launched):
    x = BACKEND.asarray(normal(2, 5, 6, 16), "float32")
    window = WINDOWS["far"]
    some = x[..., channels]
    assert windows.pitch_of(some) == 16
    exact = to_numpy(some).astype("float64")
    agree(
        [kernels.patches(xp, some, window), kernels.average_pool(xp, some, window, False)],
        [
            STANDARD.patches(np_xp(), exact, window),
            STANDARD.average_pool(np_xp(), exact, window, False),
        ],
        "float32",
        4,
    )
    assert launched["patches"] == launched["average_pool"] == 1


@pytest.mark.parametrize(
    "turn",
    [
        lambda x: x[:, ::2],
        lambda x: x[:, :, ::-1],
        lambda x: x[..., ::2],
        lambda x: x.transpose(0, 2, 1, 3),
    ],
    ids=["rows", "backwards", "channels", "turned"],
)
def test_pictures_that_do_not_lie_evenly(turn, launched):
    x = turn(BACKEND.asarray(normal(2, 6, 6, 8), "float32"))
    assert not windows.pitch_of(x)
    exact, window = to_numpy(x).astype("float64"), WINDOWS["same"]
    weights = BACKEND.asarray(normal(3, 3, x.shape[3], 4), "float32")
    found = kernels.convolve(xp, x, weights, None, window), kernels.max_pool(xp, x, window)[0]
    own = to_numpy(weights).astype("float64")
    wanted = (
        STANDARD.convolve(np_xp(), exact, own, None, window),
        STANDARD.max_pool(np_xp(), exact, window)[0],
    )
    agree(found, wanted, "float32", 16)
    assert not launched


@pytest.mark.parametrize("counts_padding", [False, True])
def test_pools(pictures, window, counts_padding, dtype, launched):
    *shape, _ = pictures
    n, height, width, channels = shape
    dvalues = normal(n, *window.places(height, width), channels, seed=1)
    shape, x = tuple(shape), normal(*shape)
    compare("average_pool", (x, window, counts_padding), dtype, 8)
    compare("average_pool_backward", (dvalues, window, shape, counts_padding), dtype, 16)
    compare("max_pool", (x, window), dtype, 1)
    _, which = STANDARD.max_pool(np_xp(), x, window)
    compare("max_pool_backward", (dvalues, which, window, shape), dtype, 16)
    names = ("average_pool", "average_pool_backward", "max_pool", "max_pool_backward")
    assert launched == dict.fromkeys(names, 1)


def test_the_largest_of_equals_and_of_nan(dtype):
    """The first of equals, the last NaN, and never the padding."""
    x = np.zeros((1, 4, 4, 8))
    x[0, :, :, 1] = -np.inf
    x[0, 1, 2, 2] = x[0, 2, 1, 2] = np.nan
    x[0, :, :, 3] = -1
    x[0, 0, 0, 4] = np.nan
    x[0, 0, 0, 5], x[0, 3, 3, 5] = np.inf, np.nan
    for window in (Window((2, 2), (2, 2)), WINDOWS["same"], Window((3, 3))):
        (found,), _ = on_device((x,), dtype)
        output, which = kernels.max_pool(xp, found, window)
        wanted, places = STANDARD.max_pool(np_xp(), x, window)
        np.testing.assert_array_equal(to_numpy(output).astype("float64"), wanted)
        np.testing.assert_array_equal(to_numpy(which), places)


def test_the_same_bits_each_time():
    shape, window = (64, 9, 9, 32), WINDOWS["same"]
    runs = set()
    for _ in range(3):
        found = []
        for name, arguments in of_convolution(shape, 32, 32, window):
            given = on_device(arguments, "float32")[0]
            result = getattr(kernels, name)(xp, *given)
            found += [each for each in (result, *given) if isinstance(each, cupy.ndarray)]
        runs.add(b"".join(each.get().tobytes() for each in found))
    assert len(runs) == 1


@pytest.mark.parametrize("columns", [1, 7, 8, 64, 130, 600])
@pytest.mark.parametrize("rows", [513, 5000])
def test_norms_of_many_rows(rows, columns, dtype, launched):
    x = normal(rows, columns) + 3
    one = [normal(1, columns, seed=seed) for seed in range(4)]
    compare("batch_norm", (x, one[0], one[1], 1e-3), dtype, 64)
    dvalues = normal(rows, columns, seed=9)
    compare("batch_norm_backward", (dvalues, x - 3, *one[:3]), dtype, 256)
    backward = (dvalues, x - 3, normal(rows, 1), one[0], one[1], one[2])
    compare("layer_norm_backward", backward, dtype, 256)
    assert launched["moments"] == launched["normalize"] == launched["normalize_backward"] == 1
    assert launched["norm_sums"] == 2


def test_a_variance_far_from_zero_and_one_of_nothing():
    """Little is lost where the mean is large, and equal rows have the variance 0."""
    x = normal(20000, 8) + 1000
    x[:, 3] = 12345.0
    found, exact = on_device((x, np.ones((1, 8)), np.zeros((1, 8)), 1e-3), "float32")
    *_, mean, variance = kernels.batch_norm(xp, *found)
    np.testing.assert_allclose(to_numpy(mean)[0], exact[0].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(to_numpy(variance)[0], exact[0].var(axis=0), rtol=1e-5, atol=1e-9)
    assert to_numpy(variance)[0, 3] == 0


def test_a_product_of_many_matrices_in_bfloat16():
    a, b = (
        BACKEND.asarray(normal(4, 5, 3), "bfloat16"),
        BACKEND.asarray(normal(4, 3, 6), "bfloat16"),
    )
    found = kernels.batched_product(xp, a, b)
    assert found.dtype == a.dtype
    agree([found], [to_numpy(a).astype("float64") @ to_numpy(b).astype("float64")], "bfloat16", 2)
