"""Pools, resampling, Reshape and GroupNorm: ties, NaN, padding, odd sizes, what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cases import PICTURES, SEQUENCES

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, DTypeError, ShapeError
from nnfs_xp.testing import check_layer

nan, inf = np.nan, np.inf


def picture(*rows):
    """One picture of one channel."""
    return np.array(rows, dtype=float)[None, :, :, None]


def passed(backend, layer, inputs, dvalues=None):
    """Output and dinputs of one picture of one channel; dvalues are 1, 2, 3 … by default."""
    layer = layer.to(backend)
    output = layer.forward(backend.asarray(inputs), training=True)
    if dvalues is None:
        dvalues = np.arange(1.0, np.prod(output.shape) + 1).reshape(output.shape)
    dinputs = layer.backward(backend.asarray(dvalues))
    return np.squeeze(nn.to_numpy(output)), np.squeeze(nn.to_numpy(dinputs))


def numbers(array, expected):
    np.testing.assert_array_equal(array, np.squeeze(np.array(expected, dtype=float)))


class TestMaxPool:
    def test_by_hand(self, backend):
        x = picture([1, 2, 0, -3], [4, 3, -1, -2])
        output, dinputs = passed(backend, nn.MaxPool2D(2), x)
        numbers(output, [4, 0])
        numbers(dinputs, [[0, 0, 2, 0], [1, 0, 0, 0]])

    def test_windows_that_overlap_add_up(self, backend):
        x = picture([0, 5, 1, 4])
        output, dinputs = passed(backend, nn.MaxPool2D((1, 2), strides=1), x)
        numbers(output, [5, 5, 4])
        numbers(dinputs, [0, 1 + 2, 0, 3])

    def test_the_first_of_equals_has_the_gradient(self, backend):
        _, dinputs = passed(backend, nn.MaxPool2D(2), picture([7, 7], [7, 7]))
        numbers(dinputs, [[1, 0], [0, 0]])
        _, dinputs = passed(backend, nn.MaxPool2D(2), picture([1, 2], [2, 2]))
        numbers(dinputs, [[0, 1], [0, 0]])

    def test_padding_is_never_the_largest(self, backend):
        layer = nn.MaxPool2D(2, padding=((1, 0), (1, 0)))
        output, dinputs = passed(backend, layer, picture([-5, -6, -7], [-8, -9, -4], [-3, -2, -1]))
        numbers(output, [[-5, -6], [-3, -1]])
        numbers(dinputs, [[1, 2, 0], [0, 0, 0], [3, 0, 4]])

    @pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
    def test_nan_is_the_largest(self, backend, place):
        x = picture([1, 2, 3, 4], [5, 6, 7, inf])
        x[0, place[0], place[1], 0] = nan
        output, dinputs = passed(backend, nn.MaxPool2D(2), x)
        numbers(output, [nan, inf])
        expected = np.zeros((2, 4))
        expected[place], expected[1, 3] = 1, 2
        numbers(dinputs, expected)

    def test_what_no_window_sees_has_no_gradient(self, backend):
        output, dinputs = passed(backend, nn.MaxPool2D(2, strides=3), np.ones((1, 5, 6, 1)))
        assert output.shape == (2, 2)
        assert np.flatnonzero(dinputs.ravel()).tolist() == [0, 3, 18, 21]

    def test_more_taps_than_a_byte_counts(self, backend):
        x = np.random.default_rng(0).normal(size=(2, 17, 20, 2))
        x[:, 16, 16, :] = 9.0
        layer = nn.MaxPool2D(17, strides=3).to(backend)
        output = layer.forward(backend.asarray(x), training=True)
        numbers(
            nn.to_numpy(output)[:, 0],
            np.stack([x[:, :, i : i + 17].max((1, 2)) for i in (0, 3)], 1),
        )
        dinputs = nn.to_numpy(layer.backward(backend.asarray(np.ones(output.shape))))
        numbers(dinputs[:, 16, 16], np.full((2, 2), 2.0))
        assert dinputs.sum() == 8

    def test_its_memory_is_a_byte_for_each_window(self):
        assert nn.MaxPool2D(2).kept_bytes((8, 8, 3), 4) == 4 * 4 * 3
        assert nn.MaxPool2D((2, 129)).kept_bytes((2, 129, 3), 4) == 8 * 3


class TestAveragePool:
    def test_by_hand(self, backend):
        output, dinputs = passed(backend, nn.AveragePool2D(2), picture([1, 2, 0, -4], [4, 1, 0, 8]))
        numbers(output, [2, 1])
        numbers(dinputs, [[0.25, 0.25, 0.5, 0.5], [0.25, 0.25, 0.5, 0.5]])

    def test_padding_counts_where_it_is_asked_for(self, backend):
        x, settings = picture([4, 8], [12, 16]), {"strides": 1, "padding": ((1, 1), (1, 0))}
        output, dinputs = passed(backend, nn.AveragePool2D(2, **settings), x)
        numbers(output, [[4, 6], [8, 10], [12, 14]])
        numbers(dinputs, [[1 + 2 / 2 + 3 / 2 + 4 / 4, 2 / 2 + 4 / 4],
                          [3 / 2 + 4 / 4 + 5 + 6 / 2, 4 / 4 + 6 / 2]])  # fmt: skip
        output, dinputs = passed(backend, nn.AveragePool2D(2, counts_padding=True, **settings), x)
        numbers(output, [[1, 3], [4, 10], [3, 7]])
        numbers(dinputs, [[(1 + 2 + 3 + 4) / 4, (2 + 4) / 4], [(3 + 4 + 5 + 6) / 4, (4 + 6) / 4]])

    def test_equal_numbers_stay(self, backend):
        for padding in ("valid", "same", ((2, 1), (0, 2))):
            layer = nn.AveragePool2D(3, strides=2, padding=padding)
            output, _ = passed(backend, layer, np.full((1, 7, 8, 1), 5.0))
            np.testing.assert_allclose(output, 5.0, rtol=1e-14)


class TestOddSizes:
    @pytest.mark.parametrize("kind", [nn.MaxPool2D, nn.AveragePool2D])
    @pytest.mark.parametrize("size", [1, 2, 3, (2, 5)])
    @pytest.mark.parametrize("strides", [None, 1, (3, 2)])
    @pytest.mark.parametrize("padding", ["valid", "same", "sides"])
    @pytest.mark.parametrize("shape", [(1, 5, 7, 3), (2, 6, 5, 1)])
    def test_each_window_by_itself(self, backend, kind, size, strides, padding, shape):
        high, wide = size if isinstance(size, tuple) else (size, size)
        if padding == "sides":
            padding = ((high - 1, high // 2), (0, wide - 1))
        layer = kind(size, strides=strides, padding=padding)
        x = np.random.default_rng(1).normal(size=shape)
        output, dinputs = passed(backend, layer, x)
        down, across = strides if isinstance(strides, tuple) else (strides or high, strides or wide)
        _, height, width, _ = shape
        expected = np.zeros((shape[0], *layer.output_shape(shape[1:])))
        back, dvalues = np.zeros(shape), np.arange(1.0, expected.size + 1).reshape(expected.shape)
        (top, _), (left, _) = layer.window(height, width).padding
        for i, y, z, c in np.ndindex(*expected.shape):
            rows = range(max(y * down - top, 0), min(y * down - top + high, height))
            columns = range(max(z * across - left, 0), min(z * across - left + wide, width))
            seen = {(a, b): x[i, a, b, c] for a in rows for b in columns}
            if kind is nn.MaxPool2D:
                place = max(seen, key=seen.get)
                expected[i, y, z, c] = seen[place]
                back[(i, *place, c)] += dvalues[i, y, z, c]
            else:
                expected[i, y, z, c] = sum(seen.values()) / len(seen)
                for place in seen:
                    back[(i, *place, c)] += dvalues[i, y, z, c] / len(seen)
        np.testing.assert_allclose(output, np.squeeze(expected), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(dinputs, np.squeeze(back), rtol=1e-12, atol=1e-12)

    def test_an_axis_of_any_length(self):
        assert nn.MaxPool2D(2).output_shape((None, 7, 3)) == (None, 3, 3)
        assert nn.AveragePool1D(3, padding="same").output_shape((None, 3)) == (None, 3)
        assert nn.Upsample2D((2, 3)).output_shape((None, 5, 1)) == (None, 15, 1)
        assert nn.ZeroPad2D(2).output_shape((5, None, 1)) == (9, None, 1)
        assert nn.GlobalMaxPool().output_shape((None, None, 4)) == (4,)
        assert nn.Reshape((-1, 2)).output_shape((None, 4)) == (None, 2)
        model = nn.Sequential(nn.MaxPool2D(2), nn.GlobalAveragePool(), nn.Dense(3, 2), seed=0)
        assert model.input_shape == (None, None, None)
        assert [model.forward(np.zeros((2, n, n, 3), "float32")).shape for n in (4, 9)] == [
            (2, 2)
        ] * 2


class TestGlobalPools:
    def test_the_mean_goes_back_to_each_place(self, backend):
        output, dinputs = passed(backend, nn.GlobalAveragePool(), picture([1, 2, 3], [4, 5, 9]))
        assert output == 4
        np.testing.assert_allclose(dinputs, np.full((2, 3), 1 / 6), rtol=1e-15)

    @pytest.mark.parametrize(
        ("row", "largest", "place"),
        [
            ([3, 1, 3], 3, 0),
            ([1, 3, 3], 3, 1),
            ([-inf, -inf], -inf, 0),
            ([1, nan, inf], nan, 1),
            ([nan, 2, nan], nan, 0),
        ],
    )
    def test_the_first_of_equals_and_nan(self, backend, row, largest, place):
        output, dinputs = passed(backend, nn.GlobalMaxPool(), picture(row))
        numbers(output, largest)
        numbers(dinputs, np.arange(len(row)) == place)

    def test_any_number_of_axes(self, backend):
        x = np.random.default_rng(0).normal(size=(2, 3, 2, 4, 3))
        for kind, of in ((nn.GlobalAveragePool, np.mean), (nn.GlobalMaxPool, np.max)):
            output, _ = passed(backend, kind(), x)
            np.testing.assert_allclose(output, of(x, axis=(1, 2, 3)), rtol=1e-14)

    @pytest.mark.parametrize("layer", [nn.GlobalAveragePool(), nn.GlobalMaxPool()])
    def test_rows_have_no_places(self, layer):
        with pytest.raises(
            ShapeError, match=r"\(batch, …, channels\), with places between; got \(5"
        ):
            layer.forward(np.ones((5, 4)))
        with pytest.raises(ShapeError, match=r"takes samples of shape \(…, channels\)"):
            nn.Sequential(nn.Dense(4, 3), layer)


class TestResampling:
    def test_pixels_are_repeated(self, backend):
        output, dinputs = passed(backend, nn.Upsample2D((2, 1)), picture([1, 2], [3, 4]))
        numbers(output, [[1, 2], [1, 2], [3, 4], [3, 4]])
        numbers(dinputs, [[1 + 3, 2 + 4], [5 + 7, 6 + 8]])

    def test_zeros_stand_around(self, backend):
        layer = nn.ZeroPad2D(((1, 0), (0, 2)))
        output, dinputs = passed(backend, layer, picture([1, 2], [3, 4]))
        numbers(output, [[0, 0, 0, 0], [1, 2, 0, 0], [3, 4, 0, 0]])
        numbers(dinputs, [[5, 6], [9, 10]])

    def test_padding_and_a_convolution_are_a_padded_convolution(self, backend):
        x = backend.asarray(PICTURES)
        bare, padded = (
            nn.Conv2D(4, 3, 3, seed=0, padding=padding, dtype="float64").to(backend)
            for padding in ("valid", ((1, 1), (1, 1)))
        )
        both = nn.Sequential(nn.ZeroPad2D(1), bare, input_shape=(5, 6, 4))
        output = padded.forward(x, training=True)
        np.testing.assert_allclose(nn.to_numpy(both.forward(x, training=True)), nn.to_numpy(output))
        dinputs = [nn.to_numpy(layer.backward(output)) for layer in (both, padded)]
        np.testing.assert_allclose(*dinputs, rtol=1e-12, atol=1e-12)

    def test_settings_in_their_shortest_form(self):
        assert repr(nn.ZeroPad2D(((2, 2), (2, 2)))) == "ZeroPad2D(2)"
        assert repr(nn.Upsample2D((2, 2))) == "Upsample2D()"
        assert repr(nn.MaxPool2D((2, 2), strides=2)) == "MaxPool2D(2)"
        assert nn.MaxPool2D((2, 3)).strides == (2, 3)
        assert repr(nn.AveragePool1D(2, strides=1)) == "AveragePool1D(2, strides=1)"


class TestReshape:
    def test_values_keep_their_order(self, backend):
        x = np.arange(24.0).reshape(2, 12)
        for shape in ((3, 4), (2, -1, 2), [-1], 12):
            layer = nn.Reshape(shape).to(backend)
            output = layer.forward(backend.asarray(x), training=True)
            numbers(nn.to_numpy(output).reshape(2, 12), x)
            assert output.shape[1:] == layer.output_shape((12,))
            numbers(nn.to_numpy(layer.backward(output)), x)

    @pytest.mark.parametrize("shape", [(), (-1, -1), (0, 4), (2.5,), "ab", None, (-2, 3)])
    def test_what_is_no_shape(self, shape):
        with pytest.raises(ArgumentError, match="`shape` must be"):
            nn.Reshape(shape)

    def test_samples_of_other_sizes(self):
        with pytest.raises(ShapeError, match=r"samples of 6 values; got shape \(4,\), 4 values"):
            nn.Reshape((2, 3)).forward(np.ones((3, 4)))
        with pytest.raises(ShapeError, match="a multiple of 3 values"):
            nn.Sequential(nn.Dense(2, 4), nn.Reshape((3, -1)))


class TestRefused:
    @pytest.mark.parametrize(
        ("build", "complaint"),
        [
            (lambda: nn.MaxPool2D(0), "`size` must be a whole number of at least 1"),
            (lambda: nn.MaxPool2D((2, 3, 4)), "`size` must be a whole number or two"),
            (lambda: nn.MaxPool1D((2, 2)), "`size` must be a whole number"),
            (lambda: nn.MaxPool2D(2, strides=0), "`strides` must be a whole number of at least 1"),
            (lambda: nn.AveragePool2D(2, padding="full"), "`padding` must be 'valid', 'same' or"),
            (lambda: nn.AveragePool2D(2, padding=1), "`padding` must be 'valid', 'same' or"),
            (lambda: nn.MaxPool2D(2, padding=((2, 0), (0, 0))), "`padding` must be smaller than"),
            (lambda: nn.MaxPool2D((3, 2), padding=((2, 2), (0, 2))), "sees nothing else"),
            (lambda: nn.AveragePool1D(2, padding=(0, 2)), r"got \(0, 2\) around windows of 2"),
            (
                lambda: nn.AveragePool1D(2, counts_padding=1),
                "`counts_padding` must be True or Fals",
            ),
            (lambda: nn.Upsample2D(0), "`size` must be a whole number of at least 1"),
            (lambda: nn.ZeroPad2D(-1), "`padding` must be a whole number of at least 0"),
            (
                lambda: nn.ZeroPad2D((1, 2)),
                r"or \(\(top, bottom\), \(left, right\)\); got \(1, 2\)",
            ),
            (lambda: nn.GroupNorm(6, 4), "`n_groups` must divide `n_features`, 6; got 4"),
            (lambda: nn.GroupNorm(6, 0), "`n_groups` must be a whole number of at least 1"),
            (lambda: nn.GroupNorm(6, 2, scale="no"), "`scale` must be True or False"),
            (
                lambda: nn.GroupNorm(6, 2, scale=False, gamma_regularizer_l2=0.1),
                "there is no gamma to be penalised, as `scale` is False",
            ),
            (
                lambda: nn.BatchNorm(6, center=False, beta_regularizer_l1=0.1),
                "there is no beta to be penalised, as `center` is False",
            ),
            (
                lambda: nn.BatchNorm(6, scale=False).set_options(gamma_regularizer_l2=0.1),
                "nothing for `gamma_regularizer_l2` to penalise: .* has no gamma",
            ),
        ],
    )
    def test_settings(self, build, complaint):
        with pytest.raises(ArgumentError, match=complaint):
            build()

    @pytest.mark.parametrize(
        "layer", [nn.MaxPool2D(2), nn.AveragePool2D(2), nn.Upsample2D(), nn.ZeroPad2D(1)]
    )
    def test_what_is_no_batch_of_pictures(self, layer):
        text = re.escape(
            "`inputs` must have shape (batch, height, width, channels); got (28, 28, 1)"
        )
        with pytest.raises(
            ShapeError, match=f"^{text}. One picture needs the axis of the batch, and"
        ):
            layer.forward(np.ones((28, 28, 1)))
        with pytest.raises(ShapeError, match="must have shape"):
            layer.forward(np.ones((2, 3, 28, 28, 1)))
        with pytest.raises(DTypeError, match="floating"):
            layer.forward(np.ones((2, 28, 28, 1), int))
        with pytest.raises(ShapeError, match="layer 1 does not fit the one before it"):
            nn.Sequential(nn.Dense(2, 3), layer, input_shape=2)

    def test_windows_larger_than_the_pictures(self):
        for build in (nn.MaxPool2D, nn.AveragePool2D):
            with pytest.raises(ShapeError, match=r"3 x 3, larger than the padded picture, 2 x 5"):
                build(3).forward(np.ones((1, 2, 5, 1)))
        with pytest.raises(ShapeError, match="looks at 4 steps, which is more than"):
            nn.MaxPool1D(4).output_shape((3, 2))
        assert nn.MaxPool2D(3, padding="same").output_shape((2, 5, 1)) == (1, 2, 1)

    def test_channels_first_where_the_channels_are_known(self):
        model = nn.Sequential(nn.MaxPool2D(2), nn.Conv2D(3, 4, 1), seed=0)
        with pytest.raises(ShapeError, match=r"got \(64, 3, 16, 16\)"):
            nn.Sequential(nn.Conv2D(3, 4, 1), nn.MaxPool2D(2)).forward(
                np.ones((64, 3, 16, 16), "float32")
            )
        with pytest.raises(ShapeError, match="did you mean channels last"):
            model.layers[1].forward(np.ones((64, 3, 16, 16), "float32"))


class TestGroupNorm:
    def test_one_group_is_a_layer_norm_of_the_whole_sample(self, backend):
        x = backend.asarray(SEQUENCES)
        whole = nn.LayerNorm(9 * 4, dtype="float64").to(backend)
        group = nn.GroupNorm(4, 1, dtype="float64").to(backend)
        expected = whole.forward(backend.xp.reshape(x, (5, 36)), training=True)
        output = group.forward(x, training=True)
        np.testing.assert_allclose(nn.to_numpy(output).reshape(5, 36), nn.to_numpy(expected), 1e-12)
        dinputs = [
            nn.to_numpy(layer.backward(array**2)).reshape(5, 36)
            for layer, array in ((group, output), (whole, expected))
        ]
        np.testing.assert_allclose(*dinputs, rtol=1e-10, atol=1e-12)

    def test_samples_do_not_see_each_other(self, backend):
        layer = nn.GroupNorm(4, 2, dtype="float64").to(backend)
        together = nn.to_numpy(layer.forward(backend.asarray(PICTURES)))
        alone = [nn.to_numpy(layer.forward(backend.asarray(each[None])))[0] for each in PICTURES]
        np.testing.assert_allclose(together, alone, rtol=1e-13)

    def test_constant_pictures_give_the_shift(self, backend):
        layer = nn.GroupNorm(4, 2, dtype="float64")
        layer.beta = [[1.0, 2.0, 3.0, 4.0]]
        output = layer.to(backend).forward(backend.asarray(np.full((1, 3, 3, 4), 7.0)))
        numbers(nn.to_numpy(output)[0, 1, 1], [1, 2, 3, 4])

    def test_rows_are_samples_of_one_place(self, backend):
        layer = nn.GroupNorm(6, 2, dtype="float64").to(backend)
        check_layer(layer, backend.asarray(np.random.default_rng(0).normal(size=(3, 6))))


NORMS = {
    "BatchNorm": nn.BatchNorm,
    "LayerNorm": nn.LayerNorm,
    "GroupNorm": lambda n, **options: nn.GroupNorm(n, 2, **options),
}


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
class TestLeftOut:
    @pytest.mark.parametrize("scale", [True, False])
    @pytest.mark.parametrize("center", [True, False])
    def test_as_if_it_were_1_or_0(self, backend, norm, scale, center):
        x = backend.asarray(PICTURES)
        layer = norm(4, scale=scale, center=center, dtype="float64").to(backend)
        whole = norm(4, dtype="float64").to(backend)
        assert (layer.gamma is None, layer.beta is None) == (not scale, not center)
        assert sorted(layer.parameters()) == [
            *(["beta"] if center else []),
            *(["gamma"] if scale else []),
        ]
        for training in (True, False):
            output, expected = (each.forward(x, training=training) for each in (layer, whole))
            np.testing.assert_array_equal(nn.to_numpy(output), nn.to_numpy(expected))
        dinputs = [nn.to_numpy(each.backward(output)) for each in (layer, whole)]
        np.testing.assert_array_equal(*dinputs)
        for name, gradient in layer.gradients().items():
            np.testing.assert_array_equal(
                nn.to_numpy(gradient), nn.to_numpy(whole.gradients()[name])
            )

    def test_a_model_with_it_trains_and_is_saved(self, backend, norm, tmp_path):
        model = nn.Sequential(
            nn.Conv2D(1, 4, 3, use_bias=False),
            norm(4, scale=False, center=False),
            *(nn.ReLU(), nn.GlobalAveragePool(), nn.Dense(4, 2)),
            seed=0,
        )
        x = np.random.default_rng(0).normal(size=(40, 5, 5, 1)).astype("float32")
        y = (x.mean(axis=(1, 2, 3)) > 0).astype(int)
        assert sorted(model.parameters()) == ["0.weights", "4.biases", "4.weights"]
        loss = nn.SoftmaxCategoricalCrossentropy()
        trainer = nn.Trainer(model, loss, nn.Adam(0.02), backend=backend, seed=0)
        history = trainer.fit(x, y, epochs=8, batch_size=10, progress=False)
        assert history["loss"][-1] < history["loss"][0]
        nn.save(model, tmp_path / "model")
        loaded = nn.load(tmp_path / "model", backend)
        assert loaded.layers[1].config() == model.layers[1].config()
        outputs = [nn.to_numpy(each.forward(backend.asarray(x))) for each in (loaded, model)]
        np.testing.assert_array_equal(*outputs)

    def test_it_has_a_data_type_and_a_place(self, backend, norm):
        layer = norm(4, scale=False, center=False, dtype="float64")
        assert (layer.dtype, layer.config()["dtype"]) == ("float64", "float64")
        assert layer.backend.name == "numpy"
        with pytest.raises(DTypeError, match="must have dtype"):
            layer.forward(PICTURES.astype("float32"))
        assert layer.to(backend).backend == backend
        alone = nn.Sequential(norm(4, scale=False, center=False)).to(backend)
        assert alone.layers[0].backend == backend
        alone.forward(backend.asarray(PICTURES, "float32"))


def test_a_frozen_batch_norm_without_parameters_stays_frozen(tmp_path):
    model = nn.Sequential(
        nn.Dense(4, 4), nn.BatchNorm(4, scale=False, center=False, trainable=False), seed=0
    )
    nn.save(model, tmp_path / "model")
    layer = nn.load(tmp_path / "model", backend="numpy").layers[1]
    assert layer.trainable is False
    layer.forward(np.random.default_rng(0).normal(size=(9, 4)).astype("float32"), training=True)
    assert not layer.running_mean.any()
