"""Each faster kernel does what its twin in `nnfs_xp.kernels.standard.Kernels` does."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from inspect import signature

import array_api_compat.numpy as xp
import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp import kernels
from nnfs_xp.errors import BackendError
from nnfs_xp.kernels.numba import NumbaKernels, compilation, convolution, layers, windows, winograd
from nnfs_xp.kernels.numba.products import SharedKernels
from nnfs_xp.kernels.numpy import NumPyKernels
from nnfs_xp.kernels.standard import Kernels, StandardKernels, stream_keys
from nnfs_xp.kernels.standard.activations import ActivationKernels
from nnfs_xp.kernels.standard.windows import Window

STANDARD, NUMPY, NUMBA = StandardKernels(), NumPyKernels(), NumbaKernels()
SETS = {"numpy": NUMPY, "numba": NUMBA}

SHAPES = [(1, 1), (1, 7), (7, 1), (3, 16), (64, 5), (65, 130), (200, 33)]
"""One row, one column, and sizes that fill neither blocks nor vectors."""

KEYS = stream_keys(3, 1, 4)
FLAT = [1, 15, 1000, 16384, 2**18 + 40]


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def shares(n, k):
    """Rows of k shares, some of them 0."""
    rows = np.maximum(normal(n, k, seed=5) + 0.5, 0)
    rows[:, 0] += 0.1
    return rows / rows.sum(axis=1, keepdims=True)


WINDOW = Window((2, 3), (2, 1), ((1, 0), (0, 1)), (2, 1))
"""Over pictures of 4 x 5 pixels it has 2 x 4 places."""
PIXEL = Window((1, 1))


SQUARE = Window((3, 3), (1, 1), ((1, 1), (0, 0)))
"""Over pictures of 5 x 6 pixels it has 5 x 4 places."""


def nine(n, k):
    """Pictures and filters that are enough for Winograd's way."""
    return normal(n, 5, 6, 16), normal(3, 3, 16, 15 + k)


def forward(n, channels, each, filters):
    """Pictures, and filters that see so many of the channels."""
    return normal(n, 4, 5, channels), normal(2, 3, each, filters)


def pixels(n, k):
    return normal(n, 4, 5, k), normal(1, 1, k, 3)


def gradients(n, channels, each, filters, dbiases):
    """What `convolve_gradients` takes."""
    dweights = normal(2, 3, each, filters)
    return normal(n, 4, 5, channels), normal(n, 2, 4, filters), dweights, dbiases, WINDOW


def backward(n, channels, each, filters):
    """What `convolve_backward` takes."""
    return normal(n, 2, 4, filters), normal(2, 3, each, filters), WINDOW, (n, 4, 5, channels)


POOLED = Window((2, 3), (1, 2), ((1, 0), (1, 2)))
"""Windows that overlap, with other padding on each side: 4 x 3 of them in pictures of 4 x 5."""


def taps(n_taps, *shape):
    """Which of so many taps saw the largest number, for `max_pool_backward`."""
    return np.random.default_rng(list(shape)).integers(n_taps, size=shape, dtype=np.uint8)


# For each kernel: arguments behind xp, as a function of (rows, columns), arrays in float64.
LAYERS = {
    "bias_relu": lambda n, k: (normal(n, k), normal(1, k)),
    "relu_backward": lambda n, k: (normal(n, k), np.maximum(normal(n, k, seed=1), 0)),
    "relu_backward_biases": lambda n, k: (
        normal(n, k),
        np.maximum(normal(n, k, seed=1), 0),
        normal(1, k),
    ),
    "dense": lambda n, k: (normal(n, 3), normal(3, k), normal(1, k)),
    "dense_relu": lambda n, k: (normal(n, 3), normal(3, k), normal(1, k)),
    "dense_backward": lambda n, k: (normal(n, 3), normal(k, 3)),
    "dense_backward_relu": lambda n, k: (
        normal(n, 3),
        normal(k, 3),
        np.maximum(normal(n, k), 0),
        normal(1, k),
    ),
    "dense_gradients": lambda n, k: (normal(n, 3), normal(n, k), normal(3, k), normal(1, k)),
    "embedding_gradient": lambda n, k: (np.arange(n) * 7 % 5, normal(n, k), normal(8, k)),
    "gather_rows": lambda n, k: (normal(n, k), np.arange(n)[::-1].copy(), n // 3, n - n // 3),
    "matmul_into": lambda n, k: (normal(n, 3).T, normal(n, k, seed=1), normal(3, k)),
    "product": lambda n, k: (normal(n, 3), normal(3, k)),
    "batched_product": lambda n, k: (normal(4, n, 3), normal(4, 3, k)),
    "softmax_cross_entropy": lambda n, k: (normal(n, k) * 3, np.arange(n) % k, 0.0),
    "softmax_cross_entropy, smoothed": lambda n, k: (normal(n, k) * 3, np.arange(n) % k, 0.1),
    "softmax_cross_entropy, shares": lambda n, k: (normal(n, k) * 3, shares(n, k), 0.0),
    "softmax_cross_entropy, both": lambda n, k: (normal(n, k) * 3, shares(n, k), 0.1),
    "sigmoid_cross_entropy": lambda n, k: (normal(n, k) * 3, (shares(n, k) > 0.1) * 1.0),
    "squared_error": lambda n, k: (normal(n, k), normal(n, k, seed=1)),
    "absolute_error": lambda n, k: (normal(n, k), normal(n, k, seed=1)),
    "huber": lambda n, k: (normal(n, k), normal(n, k, seed=1), 0.7),
    "leaky_relu": lambda n, k: (normal(n, k), 0.1),
    "leaky_relu_backward": lambda n, k: (normal(n, k), normal(n, k, seed=1), 0.1),
    "sigmoid": lambda n, k: (normal(n, k) * 9,),
    "less_one_hot": lambda n, k: (normal(n, k), np.arange(n) % k),
    "less_one_hot, no class": lambda n, k: (normal(n, k), np.arange(n) - 1),
    "less_one_hot, int32": lambda n, k: (normal(n, k), (np.arange(n) % k).astype(np.int32)),
    "scaled": lambda n, k: (normal(n, k), 0.25),
    "weighted": lambda n, k: (normal(n), normal(n, k), normal(n, seed=1)),
    "mean_loss": lambda n, k: (normal(n, k), n * k),
    "picked": lambda n, k: (normal(n, k), np.arange(n) % k),
    "picked, no class": lambda n, k: (normal(n, k), np.arange(n) - 1),
    "picked, int32": lambda n, k: (normal(n, k), (np.arange(n) % k).astype(np.int32)),
    "softmax": lambda n, k: (normal(n, k) * 9,),
    "silu_backward": lambda n, k: (normal(n, k), normal(n, k, seed=1), shares(n, k)),
    "elu": lambda n, k: (normal(n, k), 0.7, 1.0),
    "elu, scaled": lambda n, k: (normal(n, k), 0.7, 1.1),
    "elu_backward": lambda n, k: (normal(n, k), np.maximum(normal(n, k, seed=1), -0.7), 0.7, 1.1),
    "gelu": lambda n, k: (normal(n, k), False),
    "gelu, approximate": lambda n, k: (normal(n, k), True),
    "gelu_backward": lambda n, k: (normal(n, k), normal(n, k, seed=1), shares(n, k), False),
    "gelu_backward, approximate": lambda n, k: (
        normal(n, k),
        normal(n, k, seed=1),
        shares(n, k),
        True,
    ),
    "batch_norm": lambda n, k: (normal(n, k) + 3, normal(1, k), normal(1, k, seed=1), 1e-3),
    "batch_norm_backward": lambda n, k: (
        normal(n, k),
        normal(n, k, seed=1),
        normal(1, k),
        normal(1, k, seed=1),
        normal(1, k, seed=2),
    ),
    "layer_norm": lambda n, k: (normal(n, k) + 3, normal(1, k), normal(1, k, seed=1), 1e-3),
    "layer_norm_backward": lambda n, k: (
        normal(n, k),
        normal(n, k, seed=1),
        normal(n, 1),
        normal(1, k),
        normal(1, k, seed=1),
        normal(1, k, seed=2),
    ),
    "group_norm": lambda n, k: (
        normal(n, 6, 2 * k) + 3,
        normal(1, 2 * k),
        normal(1, 2 * k, seed=1),
        *(k, 1e-3),
    ),
    "group_norm_backward": lambda n, k: (
        normal(n, 6, 2 * k),
        normal(n, 6, 2 * k, seed=1),
        normal(n, k),
        *(normal(1, 2 * k, seed=seed) for seed in (1, 2, 3)),
    ),
    "max_pool": lambda n, k: (normal(n, 4, 5, k), Window((2, 2), (2, 2))),
    "max_pool, padded": lambda n, k: (normal(n, 4, 5, k), POOLED),
    "max_pool, many taps": lambda n, k: (normal(n, 2, 260, k), Window((1, 258))),
    "max_pool_backward": lambda n, k: (
        normal(n, 2, 2, k),
        taps(4, n, 2, 2, k),
        Window((2, 2), (2, 2)),
        (n, 4, 5, k),
    ),
    "max_pool_backward, padded": lambda n, k: (
        normal(n, 4, 3, k),
        taps(6, n, 4, 3, k),
        POOLED,
        (n, 4, 5, k),
    ),
    "average_pool": lambda n, k: (normal(n, 4, 5, k), Window((2, 2), (2, 2)), False),
    "average_pool, padded": lambda n, k: (normal(n, 4, 5, k), POOLED, False),
    "average_pool, counted": lambda n, k: (normal(n, 4, 5, k), POOLED, True),
    "average_pool_backward": lambda n, k: (
        normal(n, 2, 2, k),
        Window((2, 2), (2, 2)),
        (n, 4, 5, k),
        False,
    ),
    "average_pool_backward, padded": lambda n, k: (
        normal(n, 4, 3, k),
        POOLED,
        (n, 4, 5, k),
        False,
    ),
    "average_pool_backward, counted": lambda n, k: (normal(n, 4, 3, k), POOLED, (n, 4, 5, k), True),
    "mish": lambda n, k: (normal(n, k) * 9,),
    "mish_backward": lambda n, k: (
        normal(n, k),
        normal(n, k, seed=1),
        np.exp(-np.abs(normal(n, k, seed=1))),
    ),
    "scale_gradient": lambda n, k: (normal(n, k), normal(n, k, seed=1), normal(1, k)),
    "blend": lambda n, k: (normal(n, k), normal(n, k, seed=1), normal(1, k)),
    "blend_backward": lambda n, k: (
        normal(n, k),
        normal(n, k, seed=1),
        normal(n, k, seed=2),
        normal(1, k),
        normal(1, k, seed=1),
    ),
    "periodic": lambda n, k: (
        normal(n, k),
        normal(k, 5) / 20,  # so that the angles are small, and rounded little
        normal(k, 5, seed=1),
        normal(k, 5, 2),
        normal(k, 2),
    ),
    "periodic_gradients": lambda n, k: (
        normal(n, 3 * k),
        normal(n, k),
        normal(k, 5, n),
        np.cos(normal(k, 5, n)),
        normal(k, 5, 2),
        *(normal(k, 5, seed=seed) for seed in (1, 2)),
        normal(k, 5, 2, seed=1),
        normal(k, 2),
    ),
    "periodic_backward": lambda n, k: (normal(n, 3 * k), normal(k, 5, n), normal(k, 5)),
    "member_dense": lambda n, k: (normal(n, 4, 3), normal(4, 3, k), normal(4, k)),
    "member_dense_gradients": lambda n, k: (
        normal(n, 4, 3),
        normal(n, 4, k),
        normal(4, 3, k),
        normal(4, k),
    ),
    "member_dense_backward": lambda n, k: (normal(n, 4, k), normal(4, 3, k)),
    "patches": lambda n, k: (normal(n, 4, 5, k), WINDOW),
    "patches, one pixel": lambda n, k: (normal(n, 4, 5, k), PIXEL),
    "add_patches": lambda n, k: (normal(n * 8, 6 * k), WINDOW, (n, 4, 5, k)),
    "add_patches, one pixel": lambda n, k: (normal(n * 20, k), PIXEL, (n, 4, 5, k)),
    "convolve": lambda n, k: (*forward(n, 3, 3, k), normal(1, k), WINDOW),
    "convolve, 3 x 3": lambda n, k: (*nine(n, k), normal(1, 15 + k), SQUARE, True),
    "convolve, no biases": lambda n, k: (*forward(n, 3, 3, k), None, WINDOW),
    "convolve, relu": lambda n, k: (*forward(n, 3, 3, k), normal(1, k), WINDOW, True),
    "convolve, one pixel": lambda n, k: (*pixels(n, k), normal(1, 3), PIXEL, True),
    "convolve, groups": lambda n, k: (*forward(n, 4, 2, 2 * k), normal(1, 2 * k), WINDOW),
    "convolve, depthwise": lambda n, k: (
        *forward(n, k, 1, 2 * k),
        normal(1, 2 * k),
        WINDOW,
        True,
    ),
    "convolve_gradients": lambda n, k: gradients(n, 3, 3, k, normal(1, k)),
    "convolve_gradients, 3 x 3": lambda n, k: (
        normal(n, 5, 6, 16),
        normal(n, 5, 4, 15 + k),
        normal(3, 3, 16, 15 + k),
        normal(1, 15 + k),
        SQUARE,
    ),
    "convolve_gradients, no biases": lambda n, k: gradients(n, 3, 3, k, None),
    "convolve_gradients, groups": lambda n, k: gradients(n, 4, 2, 2 * k, normal(1, 2 * k)),
    "convolve_gradients, depthwise": lambda n, k: gradients(n, k, 1, 2 * k, None),
    "convolve_backward": lambda n, k: backward(n, 3, 3, k),
    "convolve_backward, 3 x 3": lambda n, k: (
        normal(n, 5, 4, 15 + k),
        normal(3, 3, 16, 15 + k),
        SQUARE,
        (n, 5, 6, 16),
    ),
    "convolve_backward, one pixel": lambda n, k: (
        normal(n, 4, 5, 3),
        normal(1, 1, k, 3),
        PIXEL,
        (n, 4, 5, k),
    ),
    "convolve_backward, groups": lambda n, k: backward(n, 4, 2, 2 * k),
    "convolve_backward, depthwise": lambda n, k: backward(n, k, 1, 2 * k),
    "depthwise": lambda n, k: (*forward(n, k, 1, 2 * k), WINDOW),
    "depthwise_gradient": lambda n, k: (
        normal(n, 4, 5, k),
        normal(n, 2, 4, 2 * k),
        normal(2, 3, 1, 2 * k),
        WINDOW,
    ),
    "depthwise_backward": lambda n, k: backward(n, k, 1, 2 * k),
    "dropout": lambda n, k: (normal(n, k), 2**23, 2.0, KEYS, "cpu"),
    "dropout_backward": lambda n, k: (normal(n, k), normal(n, k, seed=1) > 0, 2.0),
}


def state(size, n=1):
    """Values, gradients, and what a state of squares holds."""
    return normal(size), normal(size, seed=1), *(normal(size, seed=2 + i) ** 2 for i in range(n))


UPDATES = {
    "sgd": lambda size: (*state(size, 0), 0.1),
    "momentum": lambda size: (*state(size), 0.1, 0.9, False),
    "momentum, nesterov": lambda size: (*state(size), 0.1, 0.9, True),
    "adagrad": lambda size: (*state(size), 0.1, 1e-7),
    "rmsprop": lambda size: (*state(size), 0.1, 0.9, 1e-7),
    "adam": lambda size: (*state(size, 2), 1, 0.1, 0.9, 0.999, 1e-7),
    "adam, later": lambda size: (*state(size, 2), 1000, 0.1, 0.9, 0.999, 1e-7),
    "amsgrad": lambda size: (*state(size, 3), 5, 0.1, 0.9, 0.999, 1e-7),
    "lion": lambda size: (*state(size), 0.1, 0.9, 0.99),
    "lookahead": lambda size: (normal(size), normal(size, seed=1), 6, 3, 0.25),
    "lookahead, on the way": lambda size: (normal(size), normal(size, seed=1), 7, 3, 0.25),
    "shrink": lambda size: (normal(size), 0.1, 0.01),
    "add_l2": lambda size: (normal(size), normal(size, seed=1), 0.1),
    "sum_squares": lambda size: (normal(size),),
    "norm": lambda size: (normal(size),),
    "clip": lambda size: (normal(size), 0.5),
    "average": lambda size: (normal(size), normal(size, seed=1), 0.9),
}


def named(functions, case):
    """The kernel that a row of the tables is of: what is behind its name tells rows apart."""
    return getattr(functions, case.partition(",")[0])


def cast(arguments, dtype, change=lambda a: a):
    """Copies of the arguments, floating arrays in the dtype."""
    return [
        change(np.array(a, dtype if a.dtype.kind == "f" else None))
        if isinstance(a, np.ndarray)
        else a
        for a in arguments
    ]


def arrays(result):
    return [] if result is None else list(result) if isinstance(result, tuple) else [result]


def outcome(function, arguments):
    """What it returns, and then its arguments as it leaves them."""
    results = arrays(function(xp, *arguments))
    kept = [a for a in arguments if isinstance(a, np.ndarray)]
    if function.__name__ == "bias_relu":
        kept = kept[1:]  # it may do with the products what it likes
    return results + kept


def agree(found, expected, dtype, factor=32):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        scale = np.nanmax(np.abs(np.where(np.isfinite(other), other, 0)), initial=1e-30)
        np.testing.assert_allclose(
            one, other, rtol=factor * np.finfo(dtype).eps, atol=factor * np.finfo(dtype).eps * scale
        )


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(params=SETS)
def kernel_set(request):
    return SETS[request.param]


def kernels_of(cls):
    """The names of all kernels of a set."""
    return {name for name, _ in inspect.getmembers(cls, inspect.isfunction) if name[0] != "_"}


def overridden(cls):
    """Each kernel that a set, or a part of it, does better: name, its own method, the one above."""
    found = []
    for owner in inspect.getmro(cls)[:-1]:
        if not issubclass(owner, StandardKernels):
            continue
        for name in vars(owner).keys() & kernels_of(Kernels):
            above = getattr(super(owner, owner), name)
            found.append((name, vars(owner)[name], above))
    return found


def check_overrides(cls):
    """A set overrides kernels of the standard alone, with their parameters, and does so anew."""
    assert kernels_of(cls) == kernels_of(Kernels)
    assert overridden(cls)
    for name, own, above in overridden(cls):
        mine, theirs = (list(inspect.signature(each).parameters) for each in (own, above))
        assert mine == theirs, name
        code, other = (inspect.unwrap(each).__code__ for each in (own, above))
        assert (code.co_code, code.co_consts, code.co_names) != (
            other.co_code,
            other.co_consts,
            other.co_names,
        ), f"{name} is the one above"


def test_every_kernel_has_a_row():
    names = {name.partition(",")[0] for name in (*LAYERS, *UPDATES)}
    others = {"flat_zeros", "narrow_into", "prepare", "program", "put", "random_bits"}
    assert names | others | {"records_products", "widen"} == kernels_of(Kernels)


@pytest.mark.parametrize("cls", [NumPyKernels, NumbaKernels])
def test_a_set_overrides_what_it_does_better(cls):
    check_overrides(cls)


def test_the_standard_takes_everything_from_the_specification():
    assert not vars(StandardKernels).keys() & kernels_of(Kernels)


def test_a_better_kernel_makes_those_that_use_it_better():
    class Louder(StandardKernels):
        def bias_relu(self, xp, products, biases):
            return 2 * super().bias_relu(xp, products, biases)

    arguments = LAYERS["dense_relu"](3, 5)
    expected = 2 * STANDARD.dense_relu(xp, *arguments)
    np.testing.assert_array_equal(Louder().dense_relu(xp, *arguments), expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_layers(kernel_set, name, shape, dtype):
    arguments = LAYERS[name](*shape)
    expected = outcome(named(STANDARD, name), cast(arguments, dtype))
    agree(outcome(named(kernel_set, name), cast(arguments, dtype)), expected, dtype)


@pytest.mark.parametrize(
    "case", [case for case in LAYERS if case.partition(",")[0] in vars(ActivationKernels)]
)
@pytest.mark.parametrize("shape", [(65, 130), (4, 3, 20), (7,)], ids=str)
def test_activations_have_the_same_bits(kernel_set, case, shape, dtype):
    flat = [
        a.reshape(shape) if isinstance(a, np.ndarray) else a
        for a in LAYERS[case](1, int(np.prod(shape)))
    ]
    expected = outcome(named(STANDARD, case), cast(flat, dtype))
    found = outcome(named(kernel_set, case), cast(flat, dtype))
    assert [a.tobytes() for a in found] == [a.tobytes() for a in expected]
    assert found[0].shape == shape


NARROW = ["gelu", "gelu, approximate", "gelu_backward", "batch_norm", "batch_norm_backward"]


@pytest.mark.parametrize("case", NARROW)
def test_float16_is_rounded_at_the_end_alone(case):
    rounded = cast(LAYERS[case](3000, 8), "float16")
    expected = outcome(named(STANDARD, case), cast(rounded, "float64"))
    found = outcome(named(STANDARD, case), rounded)
    for one, other in zip(found, expected, strict=True):
        tolerance = 2.0**-10 * max(np.abs(other).max(), 1)
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


@pytest.mark.parametrize("n_columns", range(2, 7))
def test_softmax_of_many_rows_has_the_same_bits(kernel_set, n_columns, dtype):
    logits = normal(300, n_columns).astype(dtype) * 9
    logits[5, 0], logits[9, -1] = np.nan, -np.inf
    expected = STANDARD.softmax(xp, logits)
    assert kernel_set.softmax(xp, logits).tobytes() == expected.tobytes()


@pytest.mark.parametrize("size", FLAT)
@pytest.mark.parametrize("case", UPDATES)
def test_updates(kernel_set, case, size, dtype):
    name, arguments = case.partition(",")[0], UPDATES[case](size)
    expected = outcome(getattr(STANDARD, name), cast(arguments, dtype))
    agree(outcome(getattr(kernel_set, name), cast(arguments, dtype)), expected, dtype)


@pytest.mark.parametrize("name", [*LAYERS, *UPDATES])
def test_numba_compiles_what_training_needs(name, dtype):
    method = getattr(NumbaKernels, name.partition(",")[0])
    if not hasattr(method, "__wrapped__"):  # what NumPy or the standard does for Numba's set, too
        others = [getattr(each, method.__name__) for each in (NumPyKernels, Kernels, SharedKernels)]
        names = set(method.__code__.co_names)
        assert method in others or names & {"noted", "_compiled"}  # for these, see below
        return
    NUMBA.prepare(dtype)
    arguments = LAYERS[name](8, 5) if name in LAYERS else UPDATES[name](40)
    method.__wrapped__(NUMBA, xp, *cast(arguments, dtype))  # without a twin to help


WORKERS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": each
    for module in (windows, winograd)
    for name, each in vars(module).items()
    if getattr(each, "__module__", "") == module.__name__
    and list(signature(each).parameters) == ["like", "numbers", "part"]
}
"""The functions over pictures that are compiled as a whole."""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", WORKERS)
def test_functions_over_pictures_are_compiled(name, dtype):
    assert len(WORKERS) == 8
    assert convolution._compiled(WORKERS[name], np.dtype(dtype)) is not None


def strided(a):
    wide = np.empty((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


def read_only(a):
    a.flags.writeable = False
    return a


@pytest.mark.parametrize("layout", [np.asfortranarray, strided], ids=["Fortran", "strided"])
@pytest.mark.parametrize("name", [*LAYERS, *UPDATES])
def test_arrays_that_are_not_contiguous(kernel_set, name, layout, dtype):
    arguments = LAYERS[name](13, 6) if name in LAYERS else UPDATES[name](40)
    name = name.partition(",")[0]
    expected = outcome(getattr(STANDARD, name), cast(arguments, dtype))
    found = outcome(getattr(kernel_set, name), cast(arguments, dtype, layout))
    agree(found, expected, dtype)


@pytest.mark.parametrize("name", ["relu_backward", "dropout", "softmax_cross_entropy"])
def test_arrays_that_cannot_be_written_to(kernel_set, name, dtype):
    arguments = LAYERS[name](13, 6)
    expected = outcome(getattr(STANDARD, name), cast(arguments, dtype))
    agree(outcome(getattr(kernel_set, name), cast(arguments, dtype, read_only)), expected, dtype)


FLOATS = [
    (name, which)
    for name, make in [*LAYERS.items(), *UPDATES.items()]
    for which, a in enumerate((make(9, 6) if name in LAYERS else make(40))[:2])
    if isinstance(a, np.ndarray) and a.dtype.kind == "f"
]
"""The floating arrays among the first two arguments of each kernel."""


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "which"), FLOATS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nan_and_infinity(kernel_set, name, which, bad, dtype):
    arguments = LAYERS[name](9, 6) if name in LAYERS else UPDATES[name](40)
    arguments[which].reshape(-1)[2] = bad
    if arguments[which].size > 30:
        arguments[which].reshape(-1)[30] = bad
    expected = outcome(named(STANDARD, name), cast(arguments, dtype))
    found = outcome(named(kernel_set, name), cast(arguments, dtype))
    if name.endswith("3 x 3"):  # Winograd's sums make NaN of it, around it, too
        for one, other in zip(found, expected, strict=True):
            assert not np.isfinite(one[~np.isfinite(other)]).any()
        return
    agree(found, expected, dtype)


@pytest.mark.parametrize("label", [-1, 3, 2**40, -(2**40)])
def test_a_label_that_is_no_class(kernel_set, label, dtype):
    logits = normal(4, 3).astype(dtype)
    labels = np.array([0, label, 2, 1])
    losses, dinputs = kernel_set.softmax_cross_entropy(xp, logits, labels, 0.0)
    np.testing.assert_array_equal(np.isnan(losses), [False, True, False, False])
    np.testing.assert_array_equal(np.isnan(dinputs).all(axis=1), [False, True, False, False])


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("targets", ["float", "int64", "int32", "uint8", "bool"])
def test_other_targets(kernel_set, targets, label_smoothing, dtype):
    logits, labels = normal(7, 5).astype(dtype), np.arange(7) % 5
    rows = np.eye(5, dtype=dtype if targets == "float" else targets)[labels]
    expected = outcome(STANDARD.softmax_cross_entropy, (logits, labels, label_smoothing))[:2]
    for y in (rows, labels.astype(targets)) if "int" in targets else (rows,):
        before = y.copy()
        found = outcome(kernel_set.softmax_cross_entropy, (logits, y, label_smoothing))
        agree(found[:2], expected, dtype)
        np.testing.assert_array_equal(found[3], before)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_a_share_of_a_class_that_is_ruled_out(kernel_set, label_smoothing, dtype):
    """Where the share is 0 it adds nothing; else the loss is infinite."""
    logits = np.array([[0.0, -np.inf, 1.0], [-np.inf, 2.0, -np.inf]], dtype)
    rows = np.array([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]], dtype)
    for targets in (rows, np.array([2, 1])):
        arguments = logits, targets, label_smoothing
        losses, dinputs = kernel_set.softmax_cross_entropy(xp, *arguments)
        agree([losses, dinputs], STANDARD.softmax_cross_entropy(xp, *arguments), dtype)
        assert np.all(np.isinf(losses) if label_smoothing else np.isfinite(losses))


@pytest.mark.parametrize("logit", [np.inf, -np.inf])
def test_a_yes_or_no_that_is_certain(kernel_set, logit, dtype):
    logits, t = np.full((2, 1), logit, dtype), np.array([[0.0], [1.0]], dtype)
    losses, dinputs = kernel_set.sigmoid_cross_entropy(xp, logits, t)
    right = 1 if logit > 0 else 0
    np.testing.assert_array_equal(losses[right], 0)
    np.testing.assert_array_equal(losses[1 - right], np.inf)
    np.testing.assert_array_equal(dinputs, (np.full((2, 1), right) - t) / 2)


@pytest.mark.parametrize("size", [0.0, 1e-43, 1e-30, 1e-10, 1.0, 1e15, 1e30, 3e38])
def test_a_norm_whose_squares_are_out_of_range(kernel_set, size):
    """In float32, in which they are 0 below 1e-22 and infinite above 1e19."""
    values = np.full(4, size / 2, np.float32)
    exact = np.sqrt(np.sum(np.square(values.astype(np.float64))))
    norm = kernel_set.norm(xp, values)
    assert norm.dtype == np.float32
    rtol = 4 * np.finfo("float32").eps if size > 1e-40 else 1
    np.testing.assert_allclose(norm, exact, rtol=rtol)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_a_norm_whose_squares_are_out_of_range_in_float64(kernel_set, size):
    norm = kernel_set.norm(xp, np.full(4, size))
    np.testing.assert_allclose(norm, 2 * size, rtol=1e-15 if size > 1 else 1)


def test_a_class_that_is_ruled_out(kernel_set, dtype):
    logits = np.array([[0.0, -np.inf, 1.0], [-np.inf, 2.0, -np.inf]], dtype)
    losses, dinputs = kernel_set.softmax_cross_entropy(xp, logits, np.array([2, 1]), 0.0)
    np.testing.assert_allclose(losses, [np.log1p(np.exp(-1)), 0], rtol=1e-6)
    assert dinputs[0, 1] == dinputs[1, 0] == dinputs[1, 2] == 0


@pytest.mark.parametrize("size", [1, 2**16 + 3])
def test_random_bits_are_the_same_bits(kernel_set, size):
    expected = STANDARD.random_bits(xp, (size,), KEYS, "cpu")
    found = kernel_set.random_bits(xp, (size,), KEYS, "cpu")
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int64


def test_masks_are_the_same_masks(kernel_set, dtype):
    inputs = np.ones((37, 53), dtype)
    for shape in ((37, 53), (37 * 53,), (1, 37, 53)):
        _, expected = STANDARD.dropout(xp, inputs.reshape(shape), 2**22, 2.0, KEYS, "cpu")
        _, kept = kernel_set.dropout(xp, inputs.reshape(shape), 2**22, 2.0, KEYS, "cpu")
        np.testing.assert_array_equal(kept, expected)


TABLES = [(1, 1, 1), (1, 5, 3), (2, 3, 2), (7, 3, 40), (640, 5000, 8), (5000, 300, 8), (5000, 1, 3)]
"""Codes, rows of the table, and numbers in each."""


def codes_and_sums(n, n_values, k, dtype, *, rounded=lambda a: a):
    """Codes, the gradients of their rows, and the sums for each code in float64."""
    codes = np.random.default_rng(n).integers(0, n_values, n)
    dvalues = rounded(normal(n, k).astype(dtype))
    sums = np.zeros((n_values, k))
    for code, row in zip(codes, dvalues, strict=True):
        sums[code] += row
    return codes, dvalues, sums


@pytest.mark.parametrize("table", TABLES, ids=str)
@pytest.mark.parametrize("functions", [STANDARD, NUMPY, NUMBA], ids=["standard", "numpy", "numba"])
def test_a_row_of_a_table_gets_the_sum_of_its_code(functions, table, dtype):
    codes, dvalues, sums = codes_and_sums(*table, dtype)
    found = [np.full(sums.shape, np.nan, dtype) for _ in "12"]
    for dweights in found:
        functions.embedding_gradient(xp, codes, dvalues, dweights)
    agree(found[:1], [sums.astype(dtype)], dtype, 64)
    assert found[0].tobytes() == found[1].tobytes()


@pytest.mark.parametrize("table", TABLES[:5], ids=str)
def test_a_row_of_a_table_on_each_backend(backend, table):
    codes, dvalues, sums = codes_and_sums(*table, "float32")
    dweights = backend.asarray(np.full(sums.shape, np.nan), "float32")
    arrays = backend.asarray(codes), backend.asarray(dvalues), dweights
    backend.kernels.embedding_gradient(backend.xp, *arrays)
    agree([nn.to_numpy(dweights)], [sums.astype("float32")], "float32")


def test_a_table_takes_memory_for_its_codes_and_no_more(kernel_set, monkeypatch):
    """No matrix of codes by rows of the table: that would be 128 MB here."""
    monkeypatch.setitem(vars(nn.get_backend("numpy")), "kernels", kernel_set)
    layer = nn.Embedding(50_000, 8, seed=0)
    codes = np.random.default_rng(0).integers(0, 50_000, (320, 2))
    dvalues = normal(320, 2, 8).astype("float32")

    def step():
        layer.forward(codes, training=True)
        layer.backward(dvalues)

    step()
    layer.let_go()
    tracemalloc.start()
    try:
        step()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 4 * (codes.nbytes + dvalues.nbytes)


SUMS = {  # for each kernel with sums over a long batch: arguments, and the sums among what it gives
    "relu_backward_biases": (
        lambda n: (normal(n, 4) + 1, np.ones((n, 4)), np.zeros((1, 4))),
        lambda given: given[-1],
    ),
    "batch_norm": (
        lambda n: (normal(n, 4) + 100, np.ones((1, 4)), np.zeros((1, 4)), 1e-5),
        lambda given: given[4],
    ),
    "batch_norm_backward": (
        lambda n: (normal(n, 4) + 1, normal(n, 4, seed=1), *(np.ones((1, 4)),) * 3),
        lambda given: np.concatenate(given[-2:]),
    ),
    "scale_gradient": (
        lambda n: (normal(n, 4) + 1, np.ones((n, 4)), np.zeros((1, 4))),
        lambda given: given[-1],
    ),
    "blend_backward": (
        lambda n: (normal(n, 4) + 1, np.zeros((n, 4)), np.ones((n, 4)), *(np.ones((1, 4)),) * 2),
        lambda given: given[-1],
    ),
    "layer_norm": (
        lambda n: (normal(2, n) + 100, np.ones((1, n)), np.zeros((1, n)), 1e-5),
        lambda given: given[2],
    ),
    "softmax_cross_entropy": (
        lambda n: (normal(2, n), np.array([0, 1]), 0.0),
        lambda given: given[0],
    ),
    "softmax_cross_entropy, smoothed": (
        lambda n: (normal(2, n), np.array([0, 1]), 0.1),
        lambda given: given[0],
    ),
    "softmax_cross_entropy, shares": (
        lambda n: (normal(2, n), shares(2, n), 0.1),
        lambda given: given[0],
    ),
    "sigmoid_cross_entropy": (
        lambda n: (normal(2, n), (shares(2, n) > 0) * 1.0),
        lambda given: given[0],
    ),
    "squared_error": (lambda n: (normal(2, n), normal(2, n, seed=1)), lambda given: given[0]),
    "absolute_error": (lambda n: (normal(2, n), normal(2, n, seed=1)), lambda given: given[0]),
    "huber": (lambda n: (normal(2, n), normal(2, n, seed=1), 0.7), lambda given: given[0]),
    "norm": (lambda n: (normal(n),), lambda given: given[0]),
}


@pytest.mark.parametrize("name", SUMS)
def test_sums_are_as_exact_as_the_standards(kernel_set, name):
    arguments, sums = SUMS[name]
    given = arguments(30_000)
    exact = sums(outcome(named(STANDARD, name), cast(given, "float64")))

    def error(functions):
        found = sums(outcome(named(functions, name), cast(given, "float32")))
        return np.max(np.abs(found - exact) / np.abs(exact))

    eps = np.finfo("float32").eps
    assert error(kernel_set) <= max(1.5 * error(STANDARD), 2 * eps)


@pytest.mark.parametrize("size", [1, 5000])
def test_flat_arrays_start_where_vectors_do(kernel_set, size, dtype):
    places = [kernel_set.flat_zeros(xp, size, dtype, "cpu", place) for place in range(4)]
    for array in places:
        assert array.shape == (size,)
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert not array.any()
        assert array.ctypes.data % 64 == 0
    assert len({array.ctypes.data % 4096 for array in places}) == 4


def train(**settings):
    """A little of everything that has kernels; the weights and losses of some steps."""
    X, y = nn.data.spiral_data(samples=50, classes=3, seed=0)
    model = nn.Sequential(
        nn.Dense(2, 32),
        nn.ReLU(),
        nn.BatchNorm(32),
        nn.Dropout(0.1),
        nn.Dense(32, 16),
        nn.LayerNorm(16),
        nn.ReLU(),
        nn.Dense(16, 3),
        seed=0,
    )
    optimizer = nn.Adam(0.01, average_decay=0.9, **settings)
    loss = nn.SoftmaxCategoricalCrossentropy()
    trainer = nn.Trainer(model, loss, optimizer, backend="numpy")
    history = trainer.fit(X, y, epochs=3, batch_size=20, progress=False)
    return history["loss"], nn.to_numpy(model.flat.values)


@pytest.mark.parametrize("functions", [STANDARD, NUMPY, NUMBA], ids=["standard", "numpy", "numba"])
def test_training_takes_the_same_course(monkeypatch, functions):
    backend = nn.get_backend("numpy")
    monkeypatch.setitem(vars(backend), "kernels", STANDARD)
    expected, weights = train()
    monkeypatch.setitem(vars(backend), "kernels", functions)
    losses, found = train()
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    np.testing.assert_allclose(found, weights, rtol=1e-2, atol=1e-3)
    again = train()
    assert again[0] == losses
    np.testing.assert_array_equal(again[1], found)


PENALTIES = {
    "weight_regularizer_l1": 0.1,
    "weight_regularizer_l2": 0.2,
    "bias_regularizer_l1": 0.3,
    "bias_regularizer_l2": 0.4,
}


@pytest.mark.parametrize("penalty", [None, *PENALTIES])
@pytest.mark.parametrize("first", [False, True])
def test_a_fused_pair_leaves_on_its_layers_what_they_would_have(first, penalty, dtype):
    settings = {} if penalty is None else {penalty: PENALTIES[penalty]}
    layers = nn.Dense(5, 4, seed=0, dtype=dtype, **settings), nn.ReLU()
    layers[0].biases = normal(1, 4, seed=2)
    x, dvalues = normal(7, 5).astype(dtype), normal(7, 4, seed=1).astype(dtype)
    outputs = layers[1].forward(layers[0].forward(x, training=True), training=True)
    dinputs = layers[0].backward(layers[1].backward(dvalues))
    expected = [outputs, layers[1].dinputs, layers[0].dweights, layers[0].dbiases]
    expected = [array.copy() for array in expected]
    model = nn.Sequential(*layers)
    found = [model.forward(x, training=True)]
    if first:
        model.backward_parameters(dvalues)
    else:
        agree([model.backward(dvalues)], [dinputs], dtype)
        agree([layers[0].dinputs], [dinputs], dtype)
    found += [layers[1].dinputs, layers[0].dweights, layers[0].dbiases]
    agree(found, expected, dtype)
    with pytest.raises(nn.errors.ShapeError, match="`dvalues` must have the shape"):
        model.backward(dvalues[:3])


def test_a_relu_that_served_another_since_is_no_harm():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Dense(4, 3, seed=0), relu)
    model.forward(np.ones((2, 4), "float32"), training=True)
    wide = np.ones((2, 400), "float32")
    relu.forward(wide, training=True)
    before = model.flat.gradients.copy()
    with pytest.raises(nn.errors.ShapeError, match=r"\(2, 3\); got \(2, 400\)"):
        model.backward(wide)
    np.testing.assert_array_equal(model.flat.gradients, before)


WRONG = {
    "bias_relu": lambda: (normal(4, 3), normal(1, 2)),
    "dense": lambda: (normal(4, 3), normal(3, 2), normal(1, 3)),
    "dense_gradients": lambda: (normal(4, 3), normal(4, 2), normal(3, 2), normal(1, 3)),
    "relu_backward": lambda: (normal(4, 3), normal(4, 2)),
    "relu_backward_biases": lambda: (normal(4, 3), normal(4, 3), normal(1, 2)),
    "embedding_gradient": lambda: (np.arange(4), normal(4, 3), normal(4, 2)),
    "softmax_cross_entropy": lambda: (normal(4, 3), np.array([0, 1]), 0.0),
    "softmax_cross_entropy, shares": lambda: (normal(4, 3), normal(4, 2), 0.0),
    "sigmoid_cross_entropy": lambda: (normal(4, 3), normal(4, 2)),
    "squared_error": lambda: (normal(4, 3), normal(4, 2)),
    "leaky_relu_backward": lambda: (normal(4, 3), normal(4, 2), 0.1),
    "silu_backward": lambda: (normal(4, 3), normal(4, 3), normal(4, 2)),
    "mish_backward": lambda: (normal(4, 3), normal(4, 3), normal(4, 2)),
    "scale_gradient": lambda: (normal(4, 3), normal(4, 2), normal(1, 3)),
    "blend": lambda: (normal(4, 3), normal(4, 3), normal(1, 2)),
    "blend_backward": lambda: (*(normal(4, 3),) * 3, normal(1, 2), normal(1, 3)),
    "elu_backward": lambda: (normal(4, 3), normal(4, 2), 1.0, 1.0),
    "gelu_backward": lambda: (normal(4, 3), normal(4, 3), normal(4, 2), False),
    "gelu_backward, approximate": lambda: (normal(4, 3), normal(4, 3), normal(4, 2), True),
    "batch_norm": lambda: (normal(4, 3), normal(1, 2), normal(1, 2), 1e-3),
    "batch_norm_backward": lambda: (normal(4, 3), normal(4, 2), *(normal(1, 3),) * 3),
    "layer_norm": lambda: (normal(4, 3), normal(1, 2), normal(1, 2), 1e-3),
    "layer_norm_backward": lambda: (normal(4, 3), normal(4, 2), normal(4, 1), *(normal(1, 3),) * 3),
    "dropout_backward": lambda: (normal(4, 3), normal(4, 2) > 0, 2.0),
    "sgd": lambda: (normal(40), normal(30), 0.1),
    "momentum": lambda: (*state(40, 0), normal(30), 0.1, 0.9, False),
    "adagrad": lambda: (*state(40, 0), normal(30), 0.1, 1e-7),
    "rmsprop": lambda: (*state(40, 0), normal(30), 0.1, 0.9, 1e-7),
    "adam": lambda: (*state(40), normal(30), 1, 0.1, 0.9, 0.999, 1e-7),
    "amsgrad": lambda: (*state(40, 2), normal(30), 1, 0.1, 0.9, 0.999, 1e-7),
    "lion": lambda: (*state(40, 0), normal(30), 0.1, 0.9, 0.99),
    "add_l2": lambda: (normal(40), normal(30), 0.1),
    "average": lambda: (normal(40), normal(30), 0.9),
}


@pytest.mark.parametrize("name", WRONG)
def test_no_kernel_runs_beyond_its_arrays(name, dtype):
    compiled = {
        case.partition(",")[0]
        for case in (*LAYERS, *UPDATES)
        if hasattr(named(NumbaKernels, case), "__wrapped__")
    }
    of_one_array = {"dropout", "mean_loss", "leaky_relu", "sigmoid", "elu", "gelu", "mish"}
    assert {case.partition(",")[0] for case in WRONG} | of_one_array == compiled
    NUMBA.prepare(dtype)
    with pytest.raises(TypeError, match="shapes differ"):
        named(NumbaKernels, name).__wrapped__(NUMBA, xp, *cast(WRONG[name](), dtype))
    with pytest.raises((ValueError, IndexError)):
        named(NUMBA, name)(xp, *cast(WRONG[name](), dtype))


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 128, 129, 1000, 8192])
@pytest.mark.parametrize("k", [1, 2, 3, 10])
def test_sums_have_the_bits_of_numpy(n, k, dtype):
    NUMBA.prepare(dtype)
    for rows in (normal(n, k), np.full((n, k), -0.0), np.full((n, k), np.nan)):
        (rows,) = cast((rows,), dtype)
        found, expected = np.empty((1, k), dtype), np.add.reduce(rows, axis=0, keepdims=True)
        layers.sum_rows(rows, found)
        assert found.tobytes() == expected.tobytes()
        mean = NUMBA.mean_loss(np, rows[:, 0].copy(), n)
        assert type(mean) is rows.dtype.type
        assert mean.tobytes() == (np.sum(rows[:, 0].copy()) / n).tobytes()
        if n < 200:
            losses, _ = NUMBA.squared_error(np, rows.T.copy(), np.zeros((k, n), dtype))
            expected = np.add.reduce(rows.T.copy() * rows.T.copy(), axis=-1) / n
            assert losses.tobytes() == expected.astype(dtype).tobytes()


def test_kernels_of_labels_take_none():
    rows, labels = np.empty((0, 3), "float32"), np.empty(0, np.int64)
    assert NUMPY.less_one_hot(np, rows, labels).shape == (0, 3)
    assert NUMPY.picked(np, rows, labels).shape == (0,)


def test_an_optimizer_notices_that_a_model_has_grown():
    class Growing(nn.Dense):
        extra = nn.Parameter()
        dextra = nn.Gradient()

    layer, optimizer = Growing(2, 2, seed=0), nn.Adam()
    optimizer.step(layer)
    layer.create_parameters("float32", extra=(1, 300))
    with pytest.raises(nn.errors.ArgumentError, match="Make a new optimizer"):
        optimizer.step(layer)


def test_a_loss_without_weights_trains():
    class Plain(nn.Loss):
        def forward(self, y_pred, y_true):
            return (y_pred[:, 0] - y_true[:, 0]) ** 2

        def calculate(self, y_pred, y_true):
            return np.mean(self.forward(y_pred, y_true))

        def backward(self, y_pred, y_true):
            return 2 * (y_pred - y_true) / len(y_true)

    model = nn.Sequential(nn.Dense(2, 1, seed=0))
    trainer = nn.Trainer(model, Plain(), nn.SGD(0.1), metrics=(), backend="numpy")
    X, y = normal(20, 2).astype("float32"), normal(20, 1).astype("float32")
    history = trainer.fit(X, y, epochs=3, progress=False)
    assert history["loss"][-1] < history["loss"][0]


def test_a_loss_that_overrides_a_pass_is_asked_for_it():
    class Doubled(nn.SoftmaxCategoricalCrossentropy):
        def forward(self, y_pred, y_true):
            return 2 * super().forward(y_pred, y_true)

        def backward(self, y_pred, y_true, sample_weight=None):
            return 2 * super().backward(y_pred, y_true, sample_weight)

    logits, labels = normal(7, 3).astype("float32"), np.arange(7) % 3
    once = nn.SoftmaxCategoricalCrossentropy().calculate_and_backward(logits, labels)
    twice = Doubled().calculate_and_backward(logits, labels)
    agree(list(twice), [2 * array for array in once], "float32")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_both_passes_of_a_loss_at_once(backend, label_smoothing, weighted):
    loss = nn.SoftmaxCategoricalCrossentropy(label_smoothing)
    logits = backend.asarray(normal(7, 3), "float32")
    labels = backend.asarray(np.arange(7) % 3)
    weight = [backend.asarray(np.linspace(0.5, 1.5, 7), "float32")] if weighted else []
    mean, dinputs = loss.calculate_and_backward(logits, labels, *weight)
    found = [nn.to_numpy(mean).reshape(1), nn.to_numpy(dinputs)]
    expected = loss.calculate(logits, labels, *weight), loss.backward(logits, labels, *weight)
    agree(
        found,
        [nn.to_numpy(each).reshape(f.shape) for each, f in zip(expected, found, strict=True)],
        "float32",
    )


def test_a_shape_is_named_by_the_fused_pair_too():
    model = nn.Sequential(nn.Dense(5, 4, seed=0), nn.ReLU())
    with pytest.raises(nn.errors.ShapeError, match=r"\(batch, 5\); got \(5, 3\)"):
        model.forward(np.zeros((5, 3), "float32"))
    with pytest.raises(nn.errors.NotReadyError):
        model.backward(np.zeros((5, 4), "float32"))


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("", NumbaKernels),
        ("numba", NumbaKernels),
        ("numpy", NumPyKernels),
        ("standard", StandardKernels),
    ],
)
def test_the_environment_chooses(monkeypatch, name, cls):
    monkeypatch.setenv(kernels.ENVIRONMENT, name)
    assert type(kernels.for_numpy()) is cls


def test_an_unknown_set_is_refused(monkeypatch):
    monkeypatch.setenv(kernels.ENVIRONMENT, "fortran")
    with pytest.raises(BackendError, match="'numba', 'numpy', 'standard' or empty; got 'fortran'"):
        kernels.for_numpy()


def test_without_numba(monkeypatch, caplog):
    monkeypatch.delenv(kernels.ENVIRONMENT, raising=False)
    monkeypatch.delitem(sys.modules, "nnfs_xp.kernels.numba")
    monkeypatch.delattr(kernels, "numba")
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in [name for name in sys.modules if name.startswith("nnfs_xp.kernels.numba.")]:
        monkeypatch.delitem(sys.modules, name)
    assert type(kernels.for_numpy()) is NumPyKernels
    assert not caplog.records
    monkeypatch.setenv(kernels.ENVIRONMENT, "numba")
    with pytest.raises(BackendError, match="pip install 'nnfs-xp\\[numba\\]'"):
        kernels.for_numpy()


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )


STEP = """
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
logging.getLogger("nnfs_xp").setLevel(logging.DEBUG)
import numpy as np
import nnfs_xp as nn
model = nn.Sequential(nn.Dense(3, 4), nn.ReLU(), nn.Dense(4, 2), seed=0)
loss = nn.SoftmaxCategoricalCrossentropy()
trainer = nn.Trainer(model, loss, nn.Adam(), backend="numpy")
print("built")
print(trainer.train_step(np.ones((5, 3), "float32"), np.zeros(5, "int64")))
"""


def test_kernels_are_compiled_before_the_first_step_and_then_kept(tmp_path):
    first, second = (run(STEP, NUMBA_CACHE_DIR=str(tmp_path), NNFS_XP_KERNELS="") for _ in "12")
    count = len(compilation.kernels)
    before, _, after = first.stdout.partition("built")
    assert "INFO:nnfs_xp:kernels for float32 ready in" in before
    assert f" s, {count} of {count} newly compiled" in before
    assert "kernels" not in after
    assert "DEBUG:nnfs_xp:kernels for float32 ready in" in second.stdout
    assert f" s, 0 of {count} newly compiled" in second.stdout
    assert second.stdout.splitlines()[-1] == first.stdout.splitlines()[-1]


FEW = """
import os
import numba
from nnfs_xp.kernels.numba import compilation
compilation.kernels[4:] = []
numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_OF_TEST"]
"""
"""Leaves four kernels: to compile all takes long, and each goes the same way."""

BROKEN = {
    "no place": "import numba.core.caching as c; c.CacheImpl._locator_classes = []",
    "a full disk": """
import numba.core.caching as c
def full(*_):
    raise OSError(28, "No space left on device")
c.Cache.save_overload = full
""",
}


@pytest.mark.parametrize("cause", BROKEN)
def test_kernels_that_cannot_be_kept_are_compiled_all_the_same(tmp_path, cause):
    code = f"{FEW}\ncompilation._prepared.clear()\n{BROKEN[cause]}\n{STEP}"
    done = run(code, NUMBA_CACHE_OF_TEST=str(tmp_path), NNFS_XP_KERNELS="")
    assert " s, 4 of 4 newly compiled" in done.stdout
    assert "is not kept on the disk" in done.stdout


def test_kernels_that_do_not_compile_are_done_without():
    code = "import numba.core.dispatcher as d\ndef no(*_):\n    raise ValueError('no LLVM')\n"
    done = run(f"{code}d.Dispatcher.compile = no\n{STEP}", NNFS_XP_KERNELS="")
    assert "WARNING:nnfs_xp:no kernels of Numba for float32: ValueError: no LLVM" in done.stdout
    expected = run(STEP, NNFS_XP_KERNELS="numpy").stdout.splitlines()[-1]
    assert float(done.stdout.splitlines()[-1]) == pytest.approx(float(expected), rel=1e-5)


def test_a_numba_that_does_not_import_is_done_without(monkeypatch, caplog):
    class Broken:
        def find_spec(self, name, *_):
            if name == "nnfs_xp.kernels.numba":
                raise ImportError("Numba needs NumPy 1.0 or less")

    monkeypatch.delenv(kernels.ENVIRONMENT, raising=False)
    monkeypatch.delitem(sys.modules, "nnfs_xp.kernels.numba")
    monkeypatch.delattr(kernels, "numba")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert type(kernels.for_numpy()) is NumPyKernels
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "Numba needs NumPy 1.0 or less" in record.getMessage()


RACE = """
import threading
import time
import numpy as np
import nnfs_xp as nn
from nnfs_xp.kernels.numba import NumbaKernels

numba = NumbaKernels()
logits, rows = np.zeros((8, 3), "float32"), np.eye(3, dtype="float32")[np.arange(8) % 3]
def prepare():
    numba.prepare("float64")
    done.set()
done = threading.Event()
threading.Thread(target=prepare).start()
count = 0
while not done.is_set():
    numba.softmax_cross_entropy(np, logits, rows, 0.0)
    numba.relu_backward(np, logits[:, ::2], logits[:, ::2])
    numba.relu_backward(np, logits[None], logits[None])
    count += 1
    time.sleep(0.001)  # compiling takes the interpreter's lock thousands of times
print(count > 10)
"""


def test_others_go_on_while_kernels_are_compiled(tmp_path):
    done = run(FEW + RACE, NUMBA_CACHE_OF_TEST=str(tmp_path), NNFS_XP_KERNELS="")
    assert done.stdout == "True\n"


def test_numba_starts_no_threads_of_its_own():
    code = STEP + "import numba\ntry:\n    print(numba.threading_layer())\nexcept ValueError:\n"
    assert run(code + "    print('none')\n").stdout.endswith("none\n")


def test_many_threads_may_run_kernels_at_once():
    x, biases = normal(300, 40).astype("float32"), normal(1, 40).astype("float32")
    expected = NUMBA.bias_relu(xp, x.copy(), biases)
    with ThreadPoolExecutor(4) as pool:
        call = partial(NUMBA.bias_relu, xp)
        for found in pool.map(lambda _: call(x.copy(), biases), range(200)):
            np.testing.assert_array_equal(found, expected)
