"""Convolutions against plain loops, and what they share with other layers."""

from __future__ import annotations

import copy
import itertools
import tracemalloc
from math import sqrt

import numpy as np
import pytest
from loops import convolved, sides, transposed

import nnfs_xp as nn
from nnfs_xp import initializers
from nnfs_xp.errors import ArgumentError, BackendError, DTypeError, NotReadyError, ShapeError
from nnfs_xp.kernels.standard import StandardKernels
from nnfs_xp.kernels.standard.windows import Window
from nnfs_xp.layers.convolution import ConvolutionReLU
from nnfs_xp.layers.stages import fused
from nnfs_xp.see import words
from nnfs_xp.see.playing import PlaySession
from nnfs_xp.see.setups import Workshop, made_of
from nnfs_xp.testing import check_layer

PADDINGS = {"valid": "valid", "same": "same", "sides": ((2, 1), (0, 3))}
GROUPS = {"whole": (1, 4, 3), "groups": (2, 4, 6), "depthwise": (4, 4, 8), "one channel": (1, 1, 2)}
"""Groups, channels and filters."""
BACK_GROUPS = {"whole": (1, 4, 3), "groups": (2, 4, 6), "depthwise": (4, 8, 4), "one": (1, 1, 2)}


def numbers(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def close(found, expected, factor=200):
    """Equal but for the rounding of a sum of some hundred products in float64."""
    expected = np.asarray(expected)
    bound = factor * np.finfo(np.float64).eps
    atol = bound * max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(nn.to_numpy(found), expected, rtol=bound, atol=atol)


def check_gradients(layer, backend, inputs, passes):
    """Hold the gradients against passes written as loops, of inputs, weights and biases.

    A convolution is linear in each of them, so the gradient is what makes
    sum(dvalues * passes(u)) = sum(gradient * u) for every u.
    """
    output = layer.forward(backend.asarray(inputs), training=True)
    dvalues = numbers(*output.shape)
    dinputs = nn.to_numpy(layer.backward(backend.asarray(dvalues)))
    weights = nn.to_numpy(layer.weights)
    none = np.zeros((1, layer.n_filters))
    for seed in range(2):
        u, v = numbers(*inputs.shape, seed=seed), numbers(*weights.shape, seed=seed)
        close((dinputs * u).sum(), (dvalues * passes(u, weights, none)).sum(), 2000)
        gradient = nn.to_numpy(layer.dweights)
        close((gradient * v).sum(), (dvalues * passes(inputs, v, none)).sum(), 2000)
    if layer.use_bias:
        close(layer.dbiases[0, :], dvalues.reshape(-1, layer.n_filters).sum(axis=0))


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, (3, 2), (1, 5)])
class TestAgainstLoops:
    def test_conv_2d(self, backend, kernel, padding, groups):
        n_groups, channels, filters = GROUPS[groups]
        ran = 0
        for strides, dilation in itertools.product([1, 2, 3, (2, 1)], [1, (1, 2)]):
            layer = nn.Conv2D(
                *(channels, filters, kernel),
                strides=strides,
                padding=PADDINGS[padding],
                dilation=dilation,
                groups=n_groups,
                use_bias=strides != 2,
                seed=0,
                dtype="float64",
            )
            inputs = numbers(1 + (strides == 1), 7, 9, channels)
            biases = np.zeros((1, filters))
            if layer.use_bias:
                layer.biases = biases = numbers(1, filters)
            layer.to(backend)

            def passes(x, w, b, layer=layer):
                return convolved(x, w, b, layer._strides, PADDINGS[padding], layer._dilation)

            output = layer.forward(backend.asarray(inputs))
            close(output, passes(inputs, nn.to_numpy(layer.weights), biases))
            assert tuple(output.shape[1:]) == layer.output_shape(inputs.shape[1:])
            ran += 1
            if strides in (2, (2, 1)):
                check_gradients(layer, backend, inputs, passes)
        assert ran == 8


@pytest.mark.parametrize("groups", BACK_GROUPS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, (3, 2)])
def test_conv_2d_transpose(backend, kernel, padding, groups):
    n_groups, channels, filters = BACK_GROUPS[groups]
    ran = 0
    for strides, dilation in itertools.product([1, 2, 3, (2, 1)], [1, (1, 2)]):
        pair = (strides, strides) if isinstance(strides, int) else strides
        more = (0, 0) if padding == "same" else (pair[0] - 1, pair[1] // 2)
        cut = {"sides": ((0, 1), (2, 1))}.get(padding, padding)
        layer = nn.Conv2DTranspose(
            *(channels, filters, kernel),
            strides=strides,
            padding=cut,
            output_padding=more,
            dilation=dilation,
            groups=n_groups,
            use_bias=strides != 2,
            seed=0,
            dtype="float64",
        )
        inputs = numbers(1 + (strides == 1), 4, 5, channels)
        biases = np.zeros((1, filters))
        if layer.use_bias:
            layer.biases = biases = numbers(1, filters)
        layer.to(backend)

        def passes(x, w, b, layer=layer, cut=cut, more=more):
            return transposed(x, w, b, layer._strides, cut, layer._dilation, more)

        output = layer.forward(backend.asarray(inputs))
        close(output, passes(inputs, nn.to_numpy(layer.weights), biases))
        assert tuple(output.shape[1:]) == layer.output_shape(inputs.shape[1:])
        if padding == "same":
            assert tuple(output.shape[1:3]) == (4 * pair[0], 5 * pair[1])
        ran += 1
        if strides in (2, (2, 1)):
            check_gradients(layer, backend, inputs, passes)
    assert ran == 8


@pytest.mark.parametrize(
    ("one", "two"), [(nn.Conv1D, nn.Conv2D), (nn.Conv1DTranspose, nn.Conv2DTranspose)]
)
@pytest.mark.parametrize("padding", ["valid", "same", (1, 2)])
def test_a_sequence_is_a_picture_of_one_row(backend, one, two, padding):
    settings = {"groups": 2, "seed": 0, "dtype": "float64"}
    line = one(4, 6, 3, strides=2, padding=padding, **settings).to(backend)
    rows = padding if isinstance(padding, str) else ((0, 0), padding)
    picture = two(4, 6, (1, 3), strides=(1, 2), padding=rows, **settings).to(backend)
    picture.weights = nn.to_numpy(line.weights)[None]
    inputs = numbers(2, 8, 4)
    found = line.forward(backend.asarray(inputs), training=True)
    expected = picture.forward(backend.asarray(inputs[:, None]), training=True)
    np.testing.assert_array_equal(nn.to_numpy(found), nn.to_numpy(expected)[:, 0])
    dvalues = numbers(*found.shape)
    dinputs = line.backward(backend.asarray(dvalues))
    picture.backward(backend.asarray(dvalues[:, None]))
    np.testing.assert_array_equal(nn.to_numpy(dinputs), nn.to_numpy(picture.dinputs)[:, 0])
    for name, gradient in line.gradients().items():
        other = nn.to_numpy(picture.gradients()[name])
        np.testing.assert_array_equal(nn.to_numpy(gradient).reshape(other.shape), other)
    assert line.output_shape((8, 4)) == tuple(found.shape[1:])
    assert line.output_shape((None, 4)) == (None, 6)


def test_a_transposed_convolution_is_the_way_back_of_a_convolution(backend):
    """sum(conv(x) * y) = sum(x * transposed(y)), with the very same weights."""
    for padding, strides in itertools.product(["same", "valid", ((1, 0), (1, 2))], [1, 2]):
        settings = {"strides": strides, "padding": padding, "use_bias": False, "dtype": "float64"}
        there = nn.Conv2D(3, 4, 3, seed=0, **settings).to(backend)
        x = backend.asarray(numbers(2, 8, 9, 3))
        y = backend.asarray(numbers(*there.forward(x).shape))
        more = 0
        if padding != "same":
            short = nn.Conv2DTranspose(4, 3, 3, **settings).output_size(*y.shape[1:3])
            more = (8 - short[0], 9 - short[1])
        back = nn.Conv2DTranspose(4, 3, 3, output_padding=more, **settings).to(backend)
        back.weights = there.weights
        if padding == "same" and strides == 2:  # gives an even size: 10 columns, of which x has 9
            assert tuple(back.forward(y).shape) == (2, 8, 10, 3)
            continue
        found = nn.to_numpy(back.forward(y) * x).sum()
        close(found, nn.to_numpy(there.forward(x) * y).sum(), 2000)


BUILDERS = {
    "conv": lambda **s: nn.Conv2D(3, 4, 3, padding="same", **s),
    "strided": lambda **s: nn.Conv2D(3, 4, (3, 2), strides=(1, 2), dilation=(1, 2), **s),
    "pixel": lambda **s: nn.Conv2D(3, 4, 1, weight_regularizer_l2=0.1, **s),
    "groups": lambda **s: nn.Conv2D(3, 6, 2, groups=3, strides=2, **s),
    "depthwise": lambda **s: nn.DepthwiseConv2D(3, 3, multiplier=2, padding=((1, 1), (2, 0)), **s),
    "separable": lambda **s: nn.SeparableConv2D(3, 5, 3, multiplier=2, padding="same", **s),
    "transposed": lambda **s: nn.Conv2DTranspose(3, 4, 3, strides=2, output_padding=1, **s),
    "transposed groups": lambda **s: nn.Conv2DTranspose(3, 3, 2, groups=3, padding="same", **s),
}


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("name", BUILDERS)
def test_the_contract(backend, name, use_bias):
    layer = BUILDERS[name](use_bias=use_bias, seed=0).to(backend)
    check_layer(layer, backend.asarray(numbers(2, 5, 6, 3), "float32"))


class TestPatches:
    def test_a_convolution_is_a_dense_layer_on_patches(self, backend):
        layer = nn.Conv2D(3, 5, (2, 3), strides=(2, 1), padding="same", seed=0, dtype="float64")
        dense = nn.Dense(18, 5, dtype="float64")
        layer.biases = dense.biases = numbers(1, 5)
        dense.weights = layer.weights.reshape(18, 5)
        layer.to(backend), dense.to(backend)
        x = backend.asarray(numbers(4, 6, 7, 3))
        window, kernels = layer.window_of(x), backend.kernels
        rows = kernels.patches(backend.xp, x, window)
        output, expected = layer.forward(x, training=True), dense.forward(rows, training=True)
        close(output, nn.to_numpy(expected).reshape(4, 3, 7, 5))
        dvalues = numbers(*output.shape)
        layer.backward(backend.asarray(dvalues))
        drows = dense.backward(backend.asarray(dvalues.reshape(-1, 5)))
        close(layer.dweights, nn.to_numpy(dense.dweights).reshape(2, 3, 3, 5))
        close(layer.dbiases, nn.to_numpy(dense.dbiases))
        close(layer.dinputs, nn.to_numpy(kernels.add_patches(backend.xp, drows, window, x.shape)))

    def test_rows_are_what_windows_see(self, backend):
        x = np.arange(2 * 4 * 5 * 3, dtype=np.float64).reshape(2, 4, 5, 3)
        window = Window((2, 3), (2, 1), ((1, 0), (0, 1)), (2, 1))
        rows = nn.to_numpy(backend.kernels.patches(backend.xp, backend.asarray(x), window))
        around = np.pad(x, ((0, 0), (1, 0), (0, 1), (0, 0)))
        expected = [
            around[n, y : y + 3 : 2, z : z + 3].ravel()
            for n, y, z in itertools.product(range(2), (0, 2), range(4))
        ]
        np.testing.assert_array_equal(rows, expected)

    def test_adding_up_counts_the_windows_that_see_a_pixel(self, backend):
        window = Window((3, 3))
        ones = backend.asarray(np.ones((9, 9)))
        found = backend.kernels.add_patches(backend.xp, ones, window, (1, 5, 5, 1))
        line = np.array([1, 2, 3, 2, 1])
        np.testing.assert_array_equal(nn.to_numpy(found)[0, :, :, 0], np.outer(line, line))


class TestPieces:
    """Working through a batch in pieces gives what one piece gives."""

    @pytest.mark.parametrize("most", [1, 200, 900, 10**6])
    @pytest.mark.parametrize("groups", [1, 2])
    def test_any_pieces(self, most, groups, monkeypatch):
        xp = nn.get_backend("numpy").xp
        window = Window((3, 2), (1, 2), ((1, 1), (0, 1)))
        x, w, b = numbers(7, 6, 5, 4), numbers(3, 2, 4 // groups, 6), numbers(1, 6)
        dvalues = numbers(7, *window.places(6, 5), 6)

        def results():
            kernels, dweights, dbiases = StandardKernels(), np.empty_like(w), np.empty_like(b)
            kernels.convolve_gradients(xp, x, dvalues, dweights, dbiases, window)
            output = kernels.convolve(xp, x, w, b, window, True)
            dinputs = kernels.convolve_backward(xp, dvalues, w, window, x.shape)
            return output, dinputs, dweights, dbiases

        expected = results()
        pieces = []
        split = StandardKernels._pieces
        monkeypatch.setattr(StandardKernels, "most_patch_numbers", most)
        monkeypatch.setattr(
            StandardKernels,
            "_pieces",
            lambda *given: pieces.append(list(split(*given))) or iter(pieces[-1]),
        )
        found = results()
        n = {1: 7, 200: 7, 900: 4, 10**6: 1}[most] if groups == 1 else None
        assert all(part[0].start == 0 and part[-1].stop == 7 for part in pieces)
        assert len(pieces) == 3 * groups
        assert n is None or {len(part) for part in pieces} == {n}
        for one, other in zip(found, expected, strict=True):
            close(one, other)

    def test_patches_take_little_memory(self):
        xp, kernels, window = nn.get_backend("numpy").xp, StandardKernels(), Window((5, 5))
        x, w = numbers(64, 32, 32, 4), numbers(5, 5, 4, 2)
        output = kernels.convolve(xp, x, w, None, window)
        whole = output.size // 2 * 100 * 8  # all patches at once
        tracemalloc.start()
        try:
            kernels.convolve(xp, x, w, None, window)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < output.nbytes + 3 * 8 * kernels.most_patch_numbers < whole / 1.3


def step(model, backend, inputs):
    """The output of a training forward, and all that a backward pass sets."""
    model = copy.deepcopy(model).to(backend)
    output = model.forward(backend.asarray(inputs, model.dtype), training=True)
    dvalues = backend.asarray(numbers(*output.shape), model.dtype)
    dinputs = model.backward(dvalues)
    return [nn.to_numpy(each) for each in (output, dinputs, *model.gradients().values())]


WITH_RELU = {
    "pictures": lambda **s: (nn.Conv2D(3, 4, 3, **s), nn.ReLU(), nn.Conv2D(4, 2, 1, **s)),
    "two": lambda **s: (nn.Conv2D(3, 4, 3, **s), nn.ReLU(), nn.Conv2D(4, 6, 2, **s), nn.ReLU()),
    "groups": lambda **s: (nn.Conv2D(3, 6, 3, groups=3, **s), nn.ReLU()),
    "depthwise": lambda **s: (nn.DepthwiseConv2D(3, 3, **s), nn.ReLU()),
    "penalties": lambda **s: (
        nn.Conv2D(3, 4, 3, weight_regularizer_l2=0.1, **s),
        nn.ReLU(),
    ),
}


class TestWithReLU:
    """A convolution and the ReLU behind it, run as one."""

    @pytest.mark.parametrize("use_bias", [True, False])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("name", WITH_RELU)
    def test_gives_the_same_numbers(self, backend, name, dtype, use_bias):
        model = nn.Sequential(*WITH_RELU[name](use_bias=use_bias, dtype=dtype), seed=1)
        assert any(isinstance(stage, ConvolutionReLU) for stage in model.stages)
        alone = copy.deepcopy(model)
        alone.run_fused(False)
        assert not any(isinstance(stage, ConvolutionReLU) for stage in alone.stages)
        inputs = numbers(3, 6, 7, 3)
        bound = 100 * np.finfo(dtype).eps
        for found, expected in zip(
            step(model, backend, inputs), step(alone, backend, inputs), strict=True
        ):
            scale = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(found, expected, rtol=bound, atol=bound * scale)

    def test_sequences(self, backend):
        model = nn.Sequential(nn.Conv1D(3, 4, 3), nn.ReLU(), nn.Conv1D(4, 2, 2), seed=0)
        assert len(model.stages) == 2
        alone = copy.deepcopy(model)
        alone.run_fused(False)
        inputs = numbers(3, 9, 3)
        for found, expected in zip(
            step(model, backend, inputs), step(alone, backend, inputs), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

    def test_the_second_step_of_a_separable_convolution(self):
        model = nn.Sequential(nn.SeparableConv2D(3, 4, 3), nn.ReLU())
        kinds = [type(stage) for stage in fused(model.links())]
        assert kinds == [nn.DepthwiseConv2D, ConvolutionReLU]

    def test_each_layer_has_its_dinputs(self):
        model = nn.Sequential(nn.Conv2D(3, 4, 3), nn.ReLU(), seed=0, fuse=True)
        alone = copy.deepcopy(model)
        alone.run_fused(False)
        for each in (model, alone):
            step_on = each.forward(numbers(2, 5, 5, 3).astype("float32"), training=True)
            each.backward(np.ones_like(step_on))
        for one, other in zip(model.layers, alone.layers, strict=True):
            np.testing.assert_allclose(one.dinputs, other.dinputs, rtol=1e-5, atol=1e-6)

    def test_one_with_passes_of_its_own_runs_alone(self):
        class Doubled(nn.Conv2D):
            def forward(self, inputs, training=False):
                return 2 * super().forward(inputs, training)

        class Named(nn.Conv2D):
            """Adds nothing to the passes."""

        assert len(nn.Sequential(Doubled(3, 4, 3), nn.ReLU()).stages) == 2
        assert len(nn.Sequential(Named(3, 4, 3), nn.ReLU()).stages) == 1
        assert len(nn.Sequential(nn.Conv2DTranspose(3, 4, 3), nn.ReLU()).stages) == 2

    def test_backward_needs_a_training_forward(self):
        model = nn.Sequential(nn.Conv2D(3, 4, 3), nn.ReLU())
        output = model.forward(np.ones((1, 4, 4, 3), "float32"))
        with pytest.raises(NotReadyError, match="training=True"):
            model.backward(output)


class TestParameters:
    def test_without_biases(self, backend):
        for layer in (
            nn.Conv2D(3, 4, 3, use_bias=False, seed=0),
            nn.Conv1D(3, 4, 3, use_bias=False, seed=0),
            nn.DepthwiseConv2D(3, 3, use_bias=False, seed=0),
            nn.Conv2DTranspose(3, 4, 3, use_bias=False, seed=0),
        ):
            layer.to(backend)
            assert list(layer.parameters()) == list(layer.gradients()) == ["weights"]
            assert layer.biases is layer.dbiases is None
            assert layer.regularization_loss() is None
        with pytest.raises(ArgumentError, match="no biases to be penalised"):
            nn.Conv2D(3, 4, 3, use_bias=False, bias_regularizer_l2=0.1)
        layer = nn.Conv2D(3, 4, 3, use_bias=False)
        with pytest.raises(ArgumentError, match=r"nothing for `bias_regularizer_l2` to penalise"):
            layer.set_options(bias_regularizer_l2=0.1)
        layer.set_options(bias_regularizer_l2=0.0)

    @pytest.mark.parametrize(
        ("layer", "option"),
        [
            (nn.Conv2D(3, 4, 3, use_bias=False, seed=0), "bias_regularizer_l2"),
            (nn.DepthwiseConv2D(3, 3, use_bias=False, seed=0), "bias_regularizer_l1"),
            (nn.BatchNorm(3, scale=False), "gamma_regularizer_l1"),
            (nn.GroupNorm(3, 1, center=False), "beta_regularizer_l2"),
        ],
    )
    def test_what_penalises_nothing_is_not_kept(self, layer, option, tmp_path):
        setattr(layer, option, 1.0)
        assert option not in layer.options()
        nn.save(nn.Sequential(layer), tmp_path / "model.safetensors")
        (loaded,) = nn.load(tmp_path / "model.safetensors").layers
        assert getattr(loaded, option) == 0
        layer.trainable = False
        assert layer.options() == {"trainable": False}

    def test_of_separable_convolutions(self):
        layer = nn.SeparableConv2D(
            *(3, 5, 3),
            multiplier=2,
            seed=0,
            max_norm=1.0,
            bias_regularizer_l1=0.1,
            trainable=("weights",),
        )
        assert {name: each.shape for name, each in layer.parameters().items()} == {
            "0.weights": (3, 3, 1, 6),
            "1.weights": (1, 1, 6, 5),
            "1.biases": (1, 5),
        }
        assert layer.layers[0].max_norm == layer.layers[1].max_norm == 1.0
        assert layer.layers[1].bias_regularizer_l1 == 0.1
        assert layer.flat.layout == ("0.weights", "1.weights")
        assert list(nn.SeparableConv2D(3, 5, 3, use_bias=False).parameters()) == [
            "0.weights",
            "1.weights",
        ]
        again = nn.SeparableConv2D(3, 5, 3, multiplier=2, seed=0)
        np.testing.assert_array_equal(again.layers[0].weights, layer.layers[0].weights)
        assert repr(layer) == "SeparableConv2D(3, 5, 3, multiplier=2)"

    @pytest.mark.parametrize("trainable", [False, ("weights",), ("biases",)])
    def test_frozen_ones_stay(self, backend, trainable):
        model = nn.Sequential(
            *(nn.Conv2D(1, 4, 3, trainable=trainable), nn.ReLU()),
            *(nn.Flatten(), nn.Dense(16, 2)),
            seed=0,
            input_shape=(4, 4, 1),
        )
        before = {name: nn.to_numpy(each).copy() for name, each in model.parameters().items()}
        trainer = nn.Trainer(
            model, nn.SoftmaxCategoricalCrossentropy(), nn.Adam(0.01), backend=backend, seed=0
        )
        x, y = backend.asarray(numbers(8, 4, 4, 1), "float32"), backend.asarray(np.arange(8) % 2)
        trainer.train_step(x, y)
        moved = {
            name
            for name, each in model.parameters().items()
            if not np.array_equal(nn.to_numpy(each), before[name])
        }
        frozen = {"0.weights", "0.biases"} - {f"0.{name}" for name in trainable or ()}
        assert moved == before.keys() - frozen

    def test_tied_filters(self, backend):
        one, other = nn.Conv2D(3, 3, 3, dtype="float64"), nn.Conv2D(3, 3, 3, dtype="float64")
        other.tie("weights", one)
        model = nn.Sequential(one, nn.Tanh(), other, seed=0).to(backend)
        check_layer(model, backend.asarray(numbers(2, 6, 6, 3)))
        assert set(model.parameters()) == {"0.weights", "0.biases", "2.biases"}

    def test_a_transposed_convolution_tied_to_its_convolution(self, backend):
        there = nn.Conv2D(3, 4, 3, strides=2, groups=1, dtype="float64")
        back = nn.Conv2DTranspose(4, 3, 3, strides=2, dtype="float64").tie("weights", there)
        model = nn.Sequential(there, nn.Tanh(), back, seed=0).to(backend)
        x = backend.asarray(numbers(2, 7, 5, 3))
        assert tuple(model.forward(x).shape) == (2, 7, 5, 3)
        check_layer(model, x)

    @pytest.mark.parametrize(
        ("build", "axes"),
        [
            (lambda **s: nn.Conv2D(4, 6, 3, groups=2, **s), (0, 1, 2)),
            (lambda **s: nn.Conv1D(4, 6, 3, **s), (0, 1)),
            (lambda **s: nn.DepthwiseConv2D(4, 3, **s), (0, 1, 2)),
            (lambda **s: nn.Conv2DTranspose(4, 6, 3, **s), (0, 1, 3)),
            (lambda **s: nn.Conv1DTranspose(4, 6, 3, **s), (0, 2)),
        ],
    )
    def test_filters_are_bounded(self, backend, build, axes):
        layer = build(max_norm=0.7, seed=0, dtype="float64").to(backend)
        before = nn.to_numpy(layer.weights).copy()
        norms = np.sqrt((before**2).sum(axis=axes, keepdims=True))
        assert (norms > 0.7).any()
        layer.constrain()
        close(layer.weights, before * np.minimum(1, 0.7 / norms))

    def test_filters_of_groups_are_bounded_each(self, backend):
        layer = nn.Conv2DTranspose(4, 6, 2, groups=2, max_norm=1.0, seed=0, dtype="float64")
        weights = np.ones((2, 2, 3, 4))
        weights[..., 2:] = 0.01  # of the second group: its filters are small
        layer.weights = weights
        layer.to(backend).constrain()
        expected = weights.copy()
        expected[..., :2] /= sqrt(8)
        close(layer.weights, expected)

    def test_are_drawn_as_matrices(self):
        layer = nn.Conv2D(4, 6, (3, 2), groups=2, seed=5, dtype="float64")
        expected = initializers.he_normal(np.random.default_rng(5), (12, 6))
        np.testing.assert_array_equal(layer.weights, expected.reshape(3, 2, 2, 6))
        layer = nn.DepthwiseConv2D(4, 3, multiplier=2, seed=5, dtype="float64")
        expected = initializers.he_normal(np.random.default_rng(5), (9, 8))
        np.testing.assert_array_equal(layer.weights, expected.reshape(3, 3, 1, 8))
        layer = nn.Conv1D(4, 6, 3, initializer=initializers.orthogonal, seed=5, dtype="float64")
        matrix = layer.weights.reshape(12, 6)
        close(matrix.T @ matrix, np.eye(6))
        assert not nn.Conv2D(4, 6, 3, initializer=None).weights.any()
        assert nn.Sequential(nn.Conv2D(4, 6, 3), nn.ReLU(), seed=5).layers[0].weights.std() == (
            pytest.approx(sqrt(2 / 36), rel=0.2)
        )

    def test_those_of_transposed_convolutions_are_drawn_for_their_filters(self):
        layer = nn.Conv2DTranspose(4, 6, (3, 2), groups=2, seed=5, dtype="float64")
        drawn = initializers.he_normal(np.random.default_rng(5), (12, 6)).reshape(3, 2, 2, 6)
        for channel, filter_ in itertools.product(range(4), range(6)):
            if channel // 2 == filter_ // 3:  # of one group
                np.testing.assert_array_equal(
                    layer.weights[:, :, filter_ % 3, channel], drawn[:, :, channel % 2, filter_]
                )
        dirac = nn.Conv2DTranspose(
            3, 3, 3, padding="same", initializer=initializers.dirac, dtype="float64"
        )
        x = numbers(2, 5, 4, 3)
        np.testing.assert_array_equal(dirac.forward(x), x)

    @pytest.mark.parametrize("name", BUILDERS)
    def test_drawn_by_data_each_filter_varies_by_1(self, backend, name):
        x = numbers(200, 6, 6, 3) * [1.0, 4.0, 0.1] + [2.0, 0.0, 1.0]
        layer = BUILDERS[name](dtype="float64").to(backend)
        nn.initialize_from_data(layer, x, seed=0)
        output = nn.to_numpy(layer.forward(backend.asarray(x)))
        outputs = output.reshape(-1, output.shape[-1])
        np.testing.assert_allclose(outputs.std(axis=0), 1, rtol=1e-9)
        assert (outputs.max(axis=0) > 0).all()
        assert (outputs.min(axis=0) < 0).all()

    def test_the_first_layer_computes_no_dinputs(self):
        for name in ("conv", "depthwise", "transposed"):
            layer = BUILDERS[name](seed=0)
            output = layer.forward(np.ones((1, 6, 6, 3), "float32"), training=True)
            layer.backward_parameters(output)
            assert not hasattr(layer, "dinputs")


class TestShapes:
    def test_of_samples(self):
        assert nn.Conv2D(3, 8, 3).output_shape((None, None, 3)) == (None, None, 8)
        assert nn.Conv2D(3, 8, 3, strides=2, padding="same").output_shape((31, None, 3)) == (
            *(16, None),
            8,
        )
        assert nn.Conv2DTranspose(3, 8, 3, strides=2).output_shape((None, 5, 3)) == (None, 11, 8)
        cut = nn.Conv2DTranspose(3, 8, 3, padding=((4, 4), (4, 4)))
        assert cut.output_shape((None, 9, 3)) == (None, 3, 8)
        assert nn.Conv2D(3, 8, 3).input_shape == (None, None, 3)
        assert nn.SeparableConv2D(3, 8, 3).input_shape == (None, None, 3)

    def test_settings_in_their_shortest_form(self):
        layer = nn.Conv2D(3, 8, (3, 3), strides=[2, 2], padding=[[1, 1], [1, 1]], dilation=(1, 2))
        assert (layer.kernel_size, layer.strides, layer.dilation) == (3, 2, (1, 2))
        assert layer.padding == ((1, 1), (1, 1))
        assert repr(nn.Conv1D(3, 8, 3, padding=(1, 2))) == "Conv1D(3, 8, 3, padding=(1, 2))"
        assert repr(nn.DepthwiseConv2D(3, (3, 1))) == "DepthwiseConv2D(3, (3, 1))"
        assert repr(nn.Conv2DTranspose(3, 8, 4, strides=2, output_padding=(0, 1))) == (
            "Conv2DTranspose(3, 8, 4, strides=2, output_padding=(0, 1))"
        )

    def test_an_odd_row_of_same_goes_below(self):
        layer = nn.Conv2D(1, 1, 4, padding="same")
        assert layer.window(6, 7).padding == ((1, 2), (1, 2))
        assert sides("same", (4, 4), (1, 1), (1, 1), (6, 7)) == ((1, 2), (1, 2))


KINDS = {"Conv2D": nn.Conv2D, "Conv2DTranspose": nn.Conv2DTranspose}


class TestRefusals:
    @pytest.mark.parametrize("kind", KINDS)
    def test_channels_first(self, kind):
        layer = KINDS[kind](3, 8, 3)
        images = np.ones((64, 3, 32, 32), "float32")
        message = (
            r"^`inputs` must have shape \(batch, height, width, 3\); got \(64, 3, 32, 32\); "
            r"did you mean channels last\?$"
        )
        with pytest.raises(ShapeError, match=message):
            layer.forward(images)
        with pytest.raises(ShapeError, match="channels last"):
            layer.output_shape((3, 32, 32))
        with pytest.raises(ShapeError, match="channels last"):
            nn.Sequential(layer, nn.ReLU(), input_shape=(3, 32, 32))
        with pytest.raises(
            ShapeError, match=r"must have shape \(batch, length, 8\).*channels last"
        ):
            nn.Conv1D(8, 4, 3).forward(np.ones((2, 8, 100), "float32"))

    @pytest.mark.parametrize(
        ("shape", "hint"),
        [
            ((32, 32, 1), "grey ones that of the channels"),
            ((5, 32, 32, 4), r"got \(5, 32, 32, 4\)\.$"),
            ((5, 3), r"got \(5, 3\)\.$"),
            ((2, 5, 8, 8, 1), r"got \(2, 5, 8, 8, 1\)\.$"),
        ],
    )
    @pytest.mark.parametrize("kind", KINDS)
    def test_other_shapes(self, kind, shape, hint):
        with pytest.raises(ShapeError, match=hint):
            KINDS[kind](1, 2, 3).forward(np.ones(shape, "float32"))

    def test_a_kernel_larger_than_the_padded_picture(self):
        layer = nn.Conv2D(1, 2, 5, padding=((0, 1), (0, 0)))
        message = (
            r"^Conv2D\(1, 2, 5, padding=\(\(0, 1\), \(0, 0\)\)\) looks at 5 x 5, larger than the "
            r"padded picture, 4 x 8\.$"
        )
        with pytest.raises(ShapeError, match=message):
            layer.forward(np.ones((1, 3, 8, 1), "float32"))
        with pytest.raises(ShapeError, match="larger than the padded picture, 4 x 8"):
            layer.output_shape((3, 8, 1))
        with pytest.raises(ShapeError, match="looks at 9 x 9"):
            nn.Conv2D(1, 2, 5, dilation=2).forward(np.ones((1, 8, 8, 1), "float32"))
        with pytest.raises(ShapeError, match="looks at 5 steps, which is more than the padded"):
            nn.Conv1D(1, 2, 5).forward(np.ones((1, 4, 1), "float32"))
        with pytest.raises(ShapeError, match="layer 1 does not fit the one before it"):
            nn.Sequential(nn.Conv2D(1, 2, 3), nn.Conv2D(2, 2, 3), input_shape=(4, 4, 1))

    @pytest.mark.parametrize("kind", [*KINDS.values(), nn.Conv1D, nn.Conv1DTranspose])
    def test_groups_that_do_not_divide(self, kind):
        message = r"^`groups` must divide `n_channels` and `n_filters`, 4 and 6; got 4\.$"
        with pytest.raises(ArgumentError, match=message):
            kind(4, 6, 3, groups=4)
        with pytest.raises(ArgumentError, match="`groups` must be a whole number"):
            kind(4, 6, 3, groups=0)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"strides": 0}, "`strides` must be a whole number of at least 1"),
            ({"strides": (1, 2, 3)}, r"`strides` must be a whole number or two; got \(1, 2, 3\)"),
            ({"dilation": -1}, "`dilation` must be a whole number"),
            ({"kernel_size": 2.5}, "`kernel_size` must be a whole number"),
            ({"kernel_size": (3, 0)}, "`kernel_size` must be a whole number"),
            ({"padding": "full"}, r"`padding` must be 'valid', 'same' or \(\(top, bottom\)"),
            ({"padding": 1}, r"`padding` must be .*; got 1\."),
            ({"padding": (1, 1)}, r"got \(1, 1\)"),
            ({"padding": ((1, -1), (0, 0))}, "`padding` must be a whole number of at least 0"),
            ({"use_bias": 1}, "`use_bias`"),
            ({"n_filters": 0}, "`n_filters`"),
            ({"initializer": "he"}, "`initializer`"),
        ],
    )
    @pytest.mark.parametrize("kind", KINDS)
    def test_settings(self, kind, settings, message):
        given = {"n_channels": 3, "n_filters": 4, "kernel_size": 3} | settings
        with pytest.raises(ArgumentError, match=message):
            KINDS[kind](**given)

    def test_settings_of_sequences(self):
        with pytest.raises(ArgumentError, match=r"'valid', 'same' or \(before, behind\); got"):
            nn.Conv1D(3, 4, 3, padding=2)
        with pytest.raises(ArgumentError, match="`padding` must be"):
            nn.Conv1D(3, 4, 3, padding=((1, 1), (0, 0)))
        with pytest.raises(ArgumentError, match="`kernel_size` must be a whole number"):
            nn.Conv1D(3, 4, (3, 3))

    def test_of_depthwise_convolutions(self):
        with pytest.raises(ArgumentError, match="`multiplier` must be a whole number"):
            nn.DepthwiseConv2D(3, 3, multiplier=0)
        with pytest.raises(TypeError, match="groups"):
            nn.DepthwiseConv2D(3, 3, groups=3)
        with pytest.raises(ArgumentError, match="`n_channels`"):
            nn.SeparableConv2D(0, 4, 3)

    def test_output_padding(self):
        message = r"^`output_padding` must be less than `strides`, 2; got 2\.$"
        with pytest.raises(ArgumentError, match=message):
            nn.Conv2DTranspose(3, 4, 3, strides=2, output_padding=2)
        with pytest.raises(ArgumentError, match=r"less than `strides`, \(2, 1\); got \(0, 1\)"):
            nn.Conv2DTranspose(3, 4, 3, strides=(2, 1), output_padding=(0, 1))
        with pytest.raises(ArgumentError, match="`output_padding` must be a whole number"):
            nn.Conv1DTranspose(3, 4, 3, output_padding=-1)
        with pytest.raises(ArgumentError, match=r"padding='same'.* no `output_padding`"):
            nn.Conv2DTranspose(3, 4, 3, strides=2, padding="same", output_padding=1)

    def test_a_transposed_convolution_that_cuts_off_everything(self):
        layer = nn.Conv2DTranspose(1, 2, 3, padding=((3, 2), (0, 0)))
        with pytest.raises(ShapeError, match=r"padding=.* cuts off all of its output\.$"):
            layer.forward(np.ones((1, 3, 3, 1), "float32"))
        with pytest.raises(ShapeError, match="cuts off"):
            layer.output_shape((3, None, 1))

    def test_other_data_types_and_dvalues(self):
        layer = nn.Conv2D(1, 2, 3, seed=0)
        with pytest.raises(DTypeError):
            layer.forward(np.ones((1, 4, 4, 1)))
        layer.forward(np.ones((1, 4, 4, 1), "float32"), training=True)
        with pytest.raises(ShapeError, match=r"shape of the output, \(1, 2, 2, 2\)"):
            layer.backward(np.ones((1, 4, 4, 2), "float32"))

    def test_weights_of_another_shape(self):
        layer = nn.Conv2D(3, 4, 3)
        with pytest.raises(ShapeError, match=r"`weights` must have shape \(3, 3, 3, 4\)"):
            layer.weights = np.ones((4, 3, 3, 3))


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_takes_nearly_the_course_of_float32(backend, precision):
    name = backend.name.partition(":")[0]

    def losses(precision):
        model = nn.Sequential(
            *(nn.Conv2D(3, 8, 3, padding="same"), nn.ReLU()),
            *(nn.DepthwiseConv2D(8, 3), nn.ReLU(), nn.SeparableConv2D(8, 8, 3), nn.ReLU()),
            *(nn.Conv2DTranspose(8, 4, 2, strides=2), nn.ReLU()),
            *(nn.Conv2D(4, 6, 3, groups=2, use_bias=False), nn.ReLU()),
            *(nn.Flatten(), nn.Dense(216, 3)),
            seed=0,
            input_shape=(8, 8, 3),
        )
        loss = nn.SoftmaxCategoricalCrossentropy()
        trainer = nn.Trainer(
            model, loss, nn.Adam(0.003), backend=backend, precision=precision, seed=0
        )
        X, y = numbers(64, 8, 8, 3).astype("float32"), np.arange(64) % 3
        return trainer.fit(X, y, epochs=4, batch_size=32, progress=False)["loss"]

    if name == "array_api_strict" or (name, precision) == ("numpy", "bfloat16"):
        with pytest.raises(BackendError, match="no data type"):
            losses(precision)
        return
    np.testing.assert_allclose(losses(precision), losses("float32"), rtol=0.02)


def test_digits_are_learnt(backend):
    X, y, X_test, y_test = nn.data.load_digits()
    if backend.name != "numpy":
        X, y = X[:200], y[:200]
    model = nn.Sequential(
        nn.Reshape((8, 8, 1)),
        *(nn.Conv2D(1, 16, 3, padding="same"), nn.ReLU()),
        *(nn.Conv2D(16, 32, 3, strides=2, padding="same"), nn.ReLU()),
        *(nn.DepthwiseConv2D(32, 3), nn.ReLU(), nn.Flatten(), nn.Dense(128, 10)),
        seed=0,
        input_shape=(64,),
    )
    loss = nn.SoftmaxCategoricalCrossentropy()
    trainer = nn.Trainer(model, loss, nn.Adam(0.01), backend=backend, seed=0)
    history = trainer.fit(X, y, epochs=8 if backend.name == "numpy" else 1, progress=False)
    assert history["loss"][-1] < 2.3
    if backend.name == "numpy":
        assert trainer.evaluate(X_test, y_test)["accuracy"] > 0.95


class TestSeen:
    """A network of convolutions in `nnfs_xp.see`."""

    X, Y = numbers(12, 4, 4, 1), np.arange(12) % 2

    @staticmethod
    def model():
        return nn.Sequential(
            *(nn.Conv2D(1, 2, 2, dtype="float64"), nn.ReLU(), nn.MaxPool2D(2), nn.Flatten()),
            nn.Dense(2, 2, dtype="float64"),
            seed=0,
            input_shape=(4, 4, 1),
        )

    @pytest.mark.parametrize("detail", ["auto", "neurons", "fields", "layers"])
    def test_a_picture(self, detail):
        model, loss = self.model(), nn.SoftmaxCategoricalCrossentropy()
        picture = nn.see.graph(model, self.X, self.Y, loss=loss, detail=detail)
        seen = nn.see.trace(model, self.X, self.Y, loss=loss)
        assert [each.layer.kind for each in seen.layers][:2] == ["Conv2D", "ReLU"]
        gradient = seen.layers[0].gradients["weights"]
        if detail in ("fields", "layers"):
            norm = float(np.sqrt((gradient**2).sum()))
            assert picture.values["0.dweights"] == pytest.approx(norm, rel=1e-12)
        else:
            for index in np.ndindex(*gradient.shape):
                key = f"0.dweights[{','.join(map(str, index))}]"
                assert picture.values[key] == pytest.approx(gradient[index], rel=1e-12)

    def test_a_weight_from_near(self):
        playing = PlaySession(Workshop(own=made_of(self.model(), self.X, self.Y)))
        first = playing.handle({"do": "open"})
        last = playing.handle({"do": "step", "n": 20, "layout": first["layout"]})
        assert last["loss"] < first["loss"]
        playing.handle({"do": "choose", "key": "0.weights[0,1,0,1]"})
        chosen = playing.handle({"do": "check"})["chosen"]
        assert chosen["numeric"] == pytest.approx(chosen["gradient"], rel=1e-5, abs=1e-9)

    def test_a_recording(self, tmp_path):
        path = nn.see.record(tmp_path / "page.html", self.model(), self.X, self.Y, steps=3)
        assert "Layer 0: Conv2D." in path.read_text("utf-8")

    def test_layers_in_words(self):
        model = words.layers_of("Reshape((2, 1, 1)), Conv2D(4, (2, 1)), Flatten(), Dense(2)", 2)
        assert model.layers[1].kernel_size == (2, 1)
        assert model.layers[1].n_channels == 1
        with pytest.raises(ArgumentError, match=r"Conv2D does not fit here: .*got \(2,\)"):
            words.layers_of("Conv2D(4, 3)", 2)
