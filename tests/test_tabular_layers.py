"""The layers for tables: first values, what they refuse, and what they do together."""

from __future__ import annotations

import math

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp import initializers
from nnfs_xp.errors import ArgumentError, DataError, ShapeError

X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


class TestMish:
    FAR = np.array([[-700.0, -100.0, -30.0, -1e-9, 0.0, 1e-9, 30.0, 100.0, 700.0]])

    @staticmethod
    def exact(x):
        """Mish and its slope, by series where the functions themselves would round all away."""
        if x < -20:  # tanh(log(1 + p)) = p - p**2 / 2 + … for p = exp(x)
            p = math.exp(x)
            return x * p * (1 - p / 2), p * (1 - p / 2) + x * p * (1 - p)
        if x > 20:  # 1 - 2 exp(-2x)
            return x, 1.0
        t, s = math.tanh(math.log1p(math.exp(x))), 1 / (1 + math.exp(-x))
        return x * t, t + x * (1 - t * t) * s

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_far_out_and_near_0(self, backend, dtype):
        smallest = float(np.finfo(dtype).tiny)
        layer, inputs = nn.Mish().to(backend), backend.asarray(self.FAR, dtype)
        output = nn.to_numpy(layer.forward(inputs, training=True))
        slopes = nn.to_numpy(layer.backward(backend.asarray(np.ones_like(self.FAR), dtype)))
        for x, found, slope in zip(self.FAR[0], output[0], slopes[0], strict=True):
            value, derivative = self.exact(float(np.asarray(x, dtype)))
            rtol = 32 * np.finfo(dtype).eps
            np.testing.assert_allclose(found, value, rtol=rtol, atol=1e3 * smallest)
            np.testing.assert_allclose(slope, derivative, rtol=rtol, atol=1e3 * smallest)

    def test_nan_stays(self, backend):
        layer = nn.Mish().to(backend)
        output = layer.forward(backend.asarray(np.array([[np.nan, 1.0]])))
        assert np.isnan(nn.to_numpy(output)).tolist() == [[True, False]]


class TestScale:
    def test_first_values(self):
        np.testing.assert_array_equal(nn.Scale(4).scale, np.ones((1, 4)))
        signs = nn.Scale((3, 50), initializer=initializers.random_signs, seed=1).scale
        assert set(signs.ravel().tolist()) == {-1.0, 1.0}
        again = nn.Scale((3, 50), initializer=initializers.random_signs, seed=1).scale
        np.testing.assert_array_equal(signs, again)

    def test_a_model_draws_the_factors_anew(self):
        layer = nn.Scale(50, initializer=initializers.random_signs, seed=1)
        before = layer.scale.copy()
        nn.Sequential(layer, seed=2)
        assert (layer.scale != before).any()

    def test_weight_decay_acts_on_the_factors(self):
        layer = nn.Scale(4)
        optimizer = nn.AdamW(0.1, weight_decay=0.5)
        optimizer.step(layer)
        np.testing.assert_allclose(layer.scale, 1 - 0.1 * 0.5, rtol=1e-6)

    @pytest.mark.parametrize("shape", [(2, 3, 4), (3,), 0, 2.5, "4", (2, 0), None])
    def test_what_is_no_shape_is_refused(self, shape):
        with pytest.raises(ArgumentError, match="`shape` must be a"):
            nn.Scale(shape)

    def test_members_are_checked(self):
        layer = nn.Scale((3, 4))
        for inputs in (X, np.zeros((5, 2, 4), np.float32), np.zeros((5, 3, 2), np.float32)):
            with pytest.raises(ShapeError, match=r"\(batch, …, 3, 4\); got \(5, .*Repeat\(3\)"):
                layer.forward(inputs)
        with pytest.raises(ShapeError, match=r"Scale\(\(3, 4\)\) takes samples of .*Repeat\(3\)"):
            nn.Sequential(nn.Dense(2, 4), layer)


class TestParametricActivation:
    def test_it_begins_as_its_activation(self, backend):
        layer, inputs = nn.ParametricActivation(nn.SELU(), 4).to(backend), backend.asarray(X)
        expected = nn.to_numpy(nn.SELU().to(backend).forward(inputs))
        np.testing.assert_allclose(nn.to_numpy(layer.forward(inputs)), expected, rtol=1e-5)

    @pytest.mark.parametrize(
        "activation", [nn.Softmax(), nn.Dense(4, 4), nn.ParametricActivation(nn.ReLU(), 4)]
    )
    def test_what_is_no_activation_of_each_number_is_refused(self, activation):
        with pytest.raises(ArgumentError, match="`activation` must work on each number by itself"):
            nn.ParametricActivation(activation, 4)

    def test_what_is_no_layer_is_refused(self):
        with pytest.raises(ArgumentError, match="takes layers; got 'relu'"):
            nn.ParametricActivation("relu", 4)

    def test_options_are_those_of_alpha(self):
        layer = nn.ParametricActivation(nn.Mish(), 4, learning_rate_scale=0.1, trainable=False)
        assert not layer.trained
        assert repr(layer) == (
            "ParametricActivation(Mish(), 4, trainable=False, learning_rate_scale=0.1)"
        )
        with pytest.raises(TypeError, match="unexpected keyword argument 'fuse'"):
            nn.ParametricActivation(nn.Mish(), 4, fuse=False)

    def test_a_random_activation_follows_the_trainers_seed(self):
        outputs = []
        for _ in range(2):
            model = nn.Sequential(
                nn.ParametricActivation(nn.Dropout(0.5), 4), nn.Dense(4, 1), seed=0
            )
            trainer = nn.Trainer(model, nn.MeanSquaredError(), nn.SGD(0.1), seed=3)
            trainer.fit(X, X[:, :1], epochs=3, progress=False)
            outputs.append(trainer.predict(X))
        np.testing.assert_array_equal(*outputs)


class TestPeriodicEmbedding:
    def test_first_values(self):
        layer = nn.PeriodicEmbedding(200, 25, 5, sigma=0.3, seed=0, dtype="float64")
        n = layer.frequencies.size
        assert abs(layer.frequencies.mean()) < 5 * 0.3 / math.sqrt(n)
        assert abs(layer.frequencies.std() / 0.3 - 1) < 5 / math.sqrt(2 * n)
        for name, bound in (("phases", math.pi), ("weights", 0.2), ("biases", 0.2)):
            values = layer.parameters()[name]
            assert 0.98 * bound < values.max() < bound
            assert -bound < values.min() < -0.98 * bound
            assert abs(values.var() / (bound**2 / 3) - 1) < 5 / math.sqrt(values.size)
        again = nn.PeriodicEmbedding(200, 25, 5, sigma=0.3, seed=0, dtype="float64")
        np.testing.assert_array_equal(again.flat.values, layer.flat.values)

    def test_the_feature_itself_is_the_last_of_its_numbers(self, backend):
        layer = nn.PeriodicEmbedding(4, 6, 3, seed=0).to(backend)
        output = nn.to_numpy(layer.forward(backend.asarray(X)))
        np.testing.assert_array_equal(output.reshape(5, 4, 3)[:, :, 2], X)

    def test_of_the_first_layer_no_dinputs_are_made(self):
        layer = nn.PeriodicEmbedding(4, seed=0)
        output = layer.forward(X, training=True)
        layer.backward_parameters(output)
        assert not hasattr(layer, "dinputs")

    def test_the_weights_of_each_number_are_bounded(self):
        layer = nn.PeriodicEmbedding(4, max_norm=0.5, seed=0)
        layer.weights *= 100
        layer.constrain()
        norms = np.sqrt((layer.weights**2).sum(axis=1))
        np.testing.assert_allclose(norms, 0.5, rtol=1e-5)

    @pytest.mark.parametrize(
        ("arguments", "settings", "complaint"),
        [
            ((0,), {}, "`n_features`"),
            ((4, 0), {}, "`n_frequencies`"),
            ((4, 16, 1), {}, "`n_dimensions` must be a whole number of at least 2"),
            ((4,), {"sigma": -1.0}, "`sigma`"),
            ((4,), {"sigma": math.nan}, "`sigma`"),
            ((4,), {"dtype": "float16"}, "`dtype`"),
        ],
    )
    def test_arguments_are_checked(self, arguments, settings, complaint):
        with pytest.raises(ArgumentError, match=complaint):
            nn.PeriodicEmbedding(*arguments, **settings)

    def test_other_features_are_refused(self):
        with pytest.raises(ShapeError, match=r"\(batch, 3\); got \(5, 4\)"):
            nn.PeriodicEmbedding(3).forward(X)


class TestColumns:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_whole_numbers_stay_as_they_are(self, backend, dtype):
        largest = 2**24 if dtype == "float32" else 2**53
        inputs = backend.asarray(np.array([[0.5, largest, largest - 1, 7.0]]), dtype)
        output = nn.to_numpy(nn.Columns(1, 4).to(backend).forward(inputs))
        assert output.astype(np.int64).tolist() == [[largest, largest - 1, 7]]
        assert output.dtype == dtype

    @pytest.mark.parametrize(
        ("start", "stop", "complaint"),
        [
            (-1, 2, "`start`"),
            (0, 0, "`stop`"),
            (3, 3, "above `start`, 3; got 3"),
            (1, 2.5, "`stop`"),
        ],
    )
    def test_arguments_are_checked(self, start, stop, complaint):
        with pytest.raises(ArgumentError, match=complaint):
            nn.Columns(start, stop)

    def test_samples_of_too_few_features_are_refused(self):
        complaint = r"Columns\(2, 5\) takes samples of at least 5 features; got 4"
        with pytest.raises(ShapeError, match=complaint):
            nn.Columns(2, 5).forward(X)
        with pytest.raises(ShapeError, match=complaint):
            nn.Sequential(nn.Dense(3, 4), nn.Columns(2, 5))
        assert nn.Columns(2, 5).output_shape((7, None)) == (7, 3)


def of_cars():
    """Numbers, and codes of makes, each by layers of its own."""
    numbers = nn.Sequential(nn.Columns(0, 3), nn.PeriodicEmbedding(3, 4))
    makes = nn.Sequential(nn.Columns(3, 4), nn.Embedding(6, 2), nn.Flatten())
    return nn.Sequential(
        nn.Concatenate(numbers, makes, input_shape=4),
        *(nn.Scale(14), nn.Dense(14, 16), nn.ParametricActivation(nn.Mish(), 16)),
        *(nn.Repeat(4), nn.Scale((4, 16), initializer=initializers.random_signs)),
        nn.MemberDense(4, 16, 1),
        seed=0,
    )


def cars(n=60):
    rng = np.random.default_rng(1)
    numbers, makes = rng.normal(size=(n, 3)), rng.integers(0, 6, (n, 1))
    prices = np.sin(3 * numbers[:, :1]) + makes % 2
    X = np.concatenate([numbers, makes], axis=1).astype(np.float32)
    return X, np.repeat(prices[:, None, :], 4, axis=1).astype(np.float32)


def test_numbers_and_codes_are_learnt_together(backend):
    trainer = nn.Trainer(of_cars(), nn.MeanSquaredError(), nn.Adam(0.02), backend=backend, seed=0)
    X, y = cars()
    history = trainer.fit(X, y, epochs=60, batch_size=20, progress=False)
    assert history["loss"][-1] < 0.1 * history["loss"][0]


def test_codes_out_of_range_are_found_behind_columns():
    trainer = nn.Trainer(of_cars(), nn.MeanSquaredError(), nn.SGD(0.1), backend="numpy")
    X, y = cars()
    X[7, 3] = 6
    with pytest.raises(DataError, match=r"Embedding\(6, 2\) must be whole numbers from 0 to 5"):
        trainer.fit(X, y, progress=False)


def test_an_ensemble_is_its_members_side_by_side():
    model = nn.Sequential(nn.Repeat(3), nn.MemberDense(3, 4, 2), nn.ReLU(), seed=0)
    output = model.forward(X, training=True)
    dvalues = np.random.default_rng(2).normal(size=output.shape).astype(np.float32)
    dinputs, expected = model.backward(dvalues), np.zeros_like(X)
    for k in range(3):
        member = nn.Sequential(nn.Dense(4, 2), nn.ReLU())
        member.layers[0].weights = model.layers[1].weights[k]
        alone = member.forward(X, training=True)
        np.testing.assert_allclose(output[:, k, :], alone, rtol=1e-5, atol=1e-6)
        expected += member.backward(dvalues[:, k, :])
        gradient = model.layers[1].dweights[k]
        np.testing.assert_allclose(gradient, member.layers[0].dweights, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dinputs, expected, rtol=1e-5, atol=1e-6)


class TestMemberDense:
    def test_each_member_draws_as_a_dense_layer_does(self):
        rng = np.random.default_rng(5)
        expected = np.stack([initializers.he_normal(rng, (4, 2)) for _ in range(3)])
        found = nn.MemberDense(3, 4, 2, seed=5).weights
        np.testing.assert_array_equal(found, expected.astype(np.float32))

    @pytest.mark.parametrize(
        ("following", "initializer"), [(nn.SELU(), "lecun_normal"), (nn.Tanh(), "glorot_uniform")]
    )
    def test_the_default_suits_what_follows(self, following, initializer):
        layer = nn.MemberDense(3, 4, 2)
        nn.Sequential(layer, following, seed=5)
        rng = np.random.default_rng(5)
        expected = [getattr(initializers, initializer)(rng, (4, 2)) for _ in range(3)]
        np.testing.assert_array_equal(layer.weights, np.float32(expected))

    def test_initializers_of_matrices_will_do(self):
        layer = nn.MemberDense(3, 4, 2, initializer=initializers.orthogonal, dtype="float64")
        for weights in layer.weights:
            np.testing.assert_allclose(weights.T @ weights, np.eye(2), atol=1e-14)
        assert not nn.MemberDense(3, 4, 2, initializer=None).weights.any()

    def test_the_weights_of_each_neuron_are_bounded(self):
        layer = nn.MemberDense(3, 4, 2, max_norm=0.5, seed=0)
        layer.weights *= 100
        layer.constrain()
        np.testing.assert_allclose(np.sqrt((layer.weights**2).sum(axis=1)), 0.5, rtol=1e-5)

    @pytest.mark.parametrize("n_neurons", [1, 3])
    @pytest.mark.parametrize("n_inputs", [1, 4])
    def test_single_inputs_and_neurons(self, backend, n_inputs, n_neurons):
        rng = np.random.default_rng(3)
        layer = nn.MemberDense(2, n_inputs, n_neurons, seed=0, dtype="float64").to(backend)
        inputs, dvalues = rng.normal(size=(6, 2, n_inputs)), rng.normal(size=(6, 2, n_neurons))
        output = layer.forward(backend.asarray(inputs), training=True)
        dinputs = layer.backward(backend.asarray(dvalues))
        weights = nn.to_numpy(layer.weights)
        expected = np.einsum("ski,kio->sko", inputs, weights)
        np.testing.assert_allclose(nn.to_numpy(output), expected, rtol=1e-12, atol=1e-12)
        expected = np.einsum("sko,kio->ski", dvalues, weights)
        np.testing.assert_allclose(nn.to_numpy(dinputs), expected, rtol=1e-12, atol=1e-12)

    def test_rows_that_are_not_repeated_are_refused(self):
        with pytest.raises(ShapeError, match=r"got \(5, 4\)\. Repeat\(3\) gives each sample"):
            nn.MemberDense(3, 4, 2).forward(X)


@pytest.mark.parametrize("n_members", [0, -1, 2.5, True])
def test_numbers_of_members_are_checked(n_members):
    for build in (nn.Repeat, lambda n: nn.MemberDense(n, 4, 2)):
        with pytest.raises(ArgumentError, match="`n_members` must be a whole number"):
            build(n_members)
