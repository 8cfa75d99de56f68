"""Initializers: what they draw, and which one suits what follows."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp import initializers
from nnfs_xp.errors import ArgumentError

SHAPE = (300, 200)


def draw(initializer, shape=SHAPE, seed=0):
    return initializer(np.random.default_rng(seed), shape)


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("he_normal", 2 / 300),
        ("he_uniform", 2 / 300),
        ("glorot_normal", 2 / 500),
        ("glorot_uniform", 2 / 500),
        ("lecun_normal", 1 / 300),
        ("lecun_uniform", 1 / 300),
        ("standard_normal", 1.0),
        ("book_normal", 1e-4),
    ],
)
def test_variances(name, variance):
    weights = draw(getattr(initializers, name))
    n = weights.size
    assert weights.shape == SHAPE
    assert abs(weights.mean()) < 5 * math.sqrt(variance / n)
    assert abs(weights.var() / variance - 1) < 5 * math.sqrt(2 / n)
    if name.endswith("uniform"):
        bound = math.sqrt(3 * variance)
        assert 0.999 * bound < np.abs(weights).max() < bound
    else:  # the fourth moment of a normal
        assert abs((weights**4).mean() / variance**2 - 3) < 5 * math.sqrt(96 / n)


def test_random_signs():
    signs = draw(initializers.random_signs)
    assert signs.shape == SHAPE
    assert set(signs.ravel()) == {-1.0, 1.0}
    assert abs(signs.mean()) < 5 / math.sqrt(signs.size)


class TestFromData:
    """Weights and biases by the outputs that they lead to."""

    X = np.random.default_rng(1).normal(size=(5000, 6)) * [1, 2, 5, 0.01, 1, 1] + [0, 1, 9, 0, 0, 0]

    @staticmethod
    def model(**options):
        branch = nn.Sequential(nn.Dense(8, 6), nn.Tanh(), nn.Dense(6, 3))
        return nn.Sequential(
            nn.Dense(6, 8, **options),
            nn.SELU(),
            nn.Residual(nn.Dense(8, 8), nn.Dropout(0.5)),
            nn.Concatenate(branch, nn.Dense(8, 2)),
            nn.Dense(5, 4),
            seed=0,
        )

    def test_each_output_varies_by_1_and_is_0_among_the_data(self, backend):
        model = self.model().to(backend)
        assert nn.initialize_from_data(model, self.X) is None
        passed, dense = backend.asarray(self.X[:4096], "float32"), []

        def look(layer, inputs):
            """The outputs of all dense layers, each given what the layers before it make."""
            if isinstance(layer, nn.Dense):
                dense.append((layer, nn.to_numpy(layer.forward(inputs))))
            side_by_side = isinstance(layer, nn.Concatenate)
            within = inputs
            for child in layer.children:
                within = look(child, inputs if side_by_side else within)
            return layer.forward(inputs)

        look(model, passed)
        assert len(dense) == 6
        for layer, outputs in dense:
            np.testing.assert_allclose(outputs.std(axis=0), 1, rtol=1e-4)
            before = outputs - nn.to_numpy(layer.biases)
            assert (-nn.to_numpy(layer.biases)[0] < before.max(axis=0)).all()
            assert (-nn.to_numpy(layer.biases)[0] > before.min(axis=0)).all()

    def test_a_bias_is_a_share_of_five_outputs(self):
        layer = nn.Dense(6, 400)
        nn.initialize_from_data(layer, self.X)
        weights = layer.weights / np.linalg.norm(layer.weights, axis=0)
        assert abs(weights.mean()) < 5 / math.sqrt(weights.size)
        outputs = self.X[:4096] @ layer.weights
        mean = outputs.mean(axis=0)
        # Of five values of variance 1 with such weights, the variance is 5 * 2 / (5 * 6).
        variance = ((-layer.biases[0] - mean) ** 2).mean()
        assert variance == pytest.approx(1 / 3, rel=5 * math.sqrt(2 / 400))

    def test_by_hand(self):
        layer = nn.Dense(6, 3, dtype="float64")
        nn.initialize_from_data(layer, self.X, seed=5)
        generator, x = np.random.default_rng(5), self.X[:4096]
        weights = generator.standard_normal((6, 3))
        weights /= (x @ weights).std(axis=0)
        np.testing.assert_allclose(layer.weights, weights, rtol=1e-10)
        shares = generator.exponential(size=(5, 3))
        shares /= shares.sum(axis=0)
        rows = generator.integers(4096, size=(5, 3))
        expected = -(shares * np.stack([(x @ weights)[rows[:, j], j] for j in range(3)], 1)).sum(0)
        np.testing.assert_allclose(layer.biases[0], expected, rtol=1e-10)

    def test_each_member_has_its_own(self, backend):
        model = nn.Sequential(nn.Repeat(4), nn.MemberDense(4, 6, 5)).to(backend)
        nn.initialize_from_data(model, self.X, seed=1)
        x = backend.asarray(self.X[:4096], "float32")
        outputs = nn.to_numpy(model.forward(x))
        np.testing.assert_allclose(outputs.std(axis=0), 1, rtol=1e-4)
        assert (outputs.max(axis=0) > 0).all()
        assert (outputs.min(axis=0) < 0).all()
        assert len(np.unique(nn.to_numpy(model.layers[1].biases))) == 20

    def test_one_seed_is_one_network(self, backend):
        one, other, third = (self.model().to(each) for each in (backend, "numpy", "numpy"))
        for model, seed in ((one, 3), (other, 3), (third, 4)):
            nn.initialize_from_data(model, self.X, seed=seed)
        theirs = other.parameters()
        for name, values in one.parameters().items():
            np.testing.assert_allclose(nn.to_numpy(values), theirs[name], rtol=1e-3, atol=1e-4)
        assert not np.array_equal(theirs["0.weights"], third.parameters()["0.weights"])

    def test_frozen_and_tied_parameters_stay(self):
        words = nn.Dense(6, 6, seed=0)
        tied = nn.Dense(6, 6, seed=1).tie("weights", words)
        frozen = nn.Dense(6, 6, trainable=("biases",), seed=2)
        norm = nn.BatchNorm(6)
        norm.gamma = np.full((1, 6), 3.0)
        model = nn.Sequential(words, nn.ReLU(), tied, norm, frozen)
        before = {name: values.copy() for name, values in model.parameters().items()}
        nn.initialize_from_data(model, self.X)
        after = model.parameters()
        same = {name for name in before if np.array_equal(before[name], after[name])}
        assert same == {"3.gamma", "3.beta", "4.weights"}

    def test_inputs_that_do_not_vary(self):
        layer = nn.Dense(3, 50, dtype="float64")
        nn.initialize_from_data(layer, np.full((20, 3), 7.0))
        assert layer.weights.std() == pytest.approx(1 / math.sqrt(3), rel=0.2)
        np.testing.assert_allclose(layer.forward(np.full((1, 3), 7.0)), 0.0, atol=1e-12)

    def test_samples_of_any_shape_and_kind(self):
        frame, sparse = pytest.importorskip("pandas").DataFrame(self.X), self.X[:40]
        sparse = pytest.importorskip("scipy.sparse").csr_matrix(np.where(sparse > 1, sparse, 0.0))
        for x in (frame, sparse, self.X[:40].tolist(), self.X.reshape(-1, 10, 6)):
            layer = nn.Sequential(nn.Dense(6, 3))
            nn.initialize_from_data(layer, x)
            rows = x.toarray() if x is sparse else np.asarray(x)[:4096]
            outputs = layer.forward(rows.astype(np.float32)).reshape(-1, 3)
            np.testing.assert_allclose(outputs.std(axis=0), 1, rtol=1e-3)

    def test_what_is_refused(self):
        class Both(nn.Layer):
            def __init__(self):
                super().__init__()
                self.children = (nn.Dense(6, 2), nn.Dense(6, 2))

        model, x = self.model(), self.X[:9].copy()
        x[3, 2] = np.nan
        for call, message in (
            (lambda: nn.initialize_from_data(model, x), "inputs: .*holds NaN or infinity"),
            (lambda: nn.initialize_from_data(model, x[:, :5]), r"inputs: .*must have shape"),
            (lambda: nn.initialize_from_data(model, x[:0]), "inputs: .*is empty"),
            (lambda: nn.initialize_from_data(model, self.X, seed=-1), "`seed` must be"),
            (lambda: nn.initialize_from_data("model", self.X), "`model` must be a Sequential"),
            (lambda: nn.initialize_from_data(Both(), self.X), "Both does not say how to"),
        ):
            with pytest.raises(nn.NnfsError, match=message):
                call()


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (1, 3), (3, 1)])
def test_orthogonal(shape):
    weights = draw(initializers.orthogonal, shape)
    assert weights.shape == shape
    product = weights @ weights.T if shape[0] < shape[1] else weights.T @ weights
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-14)


def test_orthogonal_is_uniform():
    # Without the signs, the first column's first element would always be negative.
    firsts = [draw(initializers.orthogonal, (3, 3), seed)[0, 0] for seed in range(2000)]
    assert abs(np.mean(firsts)) < 5 * math.sqrt(1 / 3 / 2000)
    assert abs(np.var(firsts) - 1 / 3) < 0.05


def test_zeros_and_none_leave_weights_0():
    for initializer in (initializers.zeros, None):
        layer = nn.Dense(3, 2, initializer=initializer)
        assert not layer.weights.any()
        nn.Sequential(layer, nn.ReLU(), seed=0)
        assert not layer.weights.any()


@pytest.mark.parametrize("initializer", ["he", 1.0, [[1.0]]])
def test_what_draws_nothing_is_refused(initializer):
    for build in (nn.Dense, nn.Embedding):
        with pytest.raises(ArgumentError, match=r"`initializer` must be a function .* or None"):
            build(3, 2, initializer=initializer)


def test_a_dense_layer_alone_draws_he_normal():
    expected = draw(initializers.he_normal, (4, 3)).astype(np.float32)
    np.testing.assert_array_equal(nn.Dense(4, 3, seed=0).weights, expected)
    unseeded = nn.Sequential(nn.Dense(4, 3, seed=0), nn.Tanh())
    np.testing.assert_array_equal(unseeded.layers[0].weights, expected)


@pytest.mark.parametrize(
    ("following", "expected"),
    [
        *[
            ([activation()], "he_normal")
            for activation in (
                nn.ReLU,
                nn.LeakyReLU,
                nn.ELU,
                nn.GELU,
                nn.SiLU,
                nn.Mish,
                nn.Softplus,
            )
        ],
        *[([a()], "glorot_uniform") for a in (nn.Tanh, nn.Sigmoid, nn.Softmax, nn.Linear)],
        ([nn.SELU()], "lecun_normal"),
        ([], "glorot_uniform"),
        ([nn.Dense(6, 2), nn.ReLU()], "glorot_uniform"),
        ([nn.BatchNorm(6), nn.Dropout(0.5), nn.ReLU()], "he_normal"),
        ([nn.Sequential(nn.Dropout(0.5), nn.SELU())], "lecun_normal"),
        ([nn.Residual(nn.ReLU(), nn.Dense(6, 6))], "he_normal"),
        ([nn.ParametricActivation(nn.SELU(), 6)], "lecun_normal"),
        ([nn.Scale(6), nn.Mish()], "he_normal"),
        ([nn.Concatenate(nn.ReLU(), nn.Tanh())], "he_normal"),
        ([nn.Concatenate(nn.Dropout(0.5)), nn.ReLU()], "he_normal"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda x: x, nn.Sequential, nn.Residual, nn.Concatenate])
def test_the_default_suits_what_follows(following, expected, wrap):
    first = nn.Dense(6, 6)
    nn.Sequential(wrap(first), *following, seed=5)
    weights = draw(getattr(initializers, expected), (6, 6), seed=5)
    np.testing.assert_array_equal(first.weights, weights.astype(np.float32))


def test_an_initializer_that_was_asked_for_is_used():
    layer = nn.Dense(4, 3, initializer=initializers.lecun_uniform)
    nn.Sequential(layer, nn.ReLU(), seed=5)
    expected = draw(initializers.lecun_uniform, (4, 3), seed=5).astype(np.float32)
    np.testing.assert_array_equal(layer.weights, expected)


class TestFilters:
    X = np.random.default_rng(3).normal(size=(40, 9, 8, 3)) * [1.0, 0.5, 0.1]
    X[:, 1:] += X[:, :-1]  # neighbours have to do with each other

    @pytest.mark.parametrize("size", [1, 2, 3, (3, 5), 4])
    def test_dirac_lets_channels_through(self, size):
        for n_filters in (2, 3, 5):
            layer = nn.Conv2D(
                3, n_filters, size, padding="same", initializer=initializers.dirac, dtype="float64"
            )
            output = layer.forward(self.X)
            n = min(3, n_filters)
            np.testing.assert_array_equal(output[..., :n], self.X[..., :n])
            assert not output[..., n:].any()

    def test_dirac_agrees_with_torch(self):
        torch = pytest.importorskip("torch")
        for shape in ((3, 3, 4, 4), (5, 3, 4, 7), (3, 1, 6, 2), (3, 5, 2)):
            k = len(shape)
            twin = torch.empty(shape[-1], shape[-2], *shape[: k - 2])
            torch.nn.init.dirac_(twin)
            expected = np.moveaxis(twin.numpy(), (0, 1), (k - 1, k - 2))
            np.testing.assert_array_equal(initializers.dirac(None, shape), expected)

    def test_sequences_and_rows(self):
        layer = nn.Conv1D(3, 4, 3, padding="same", initializer=initializers.dirac, dtype="float64")
        x = self.X[:, 0]
        np.testing.assert_array_equal(layer.forward(x)[..., :3], x)
        layer = nn.Dense(3, 3, initializer=initializers.dirac)
        np.testing.assert_array_equal(layer.weights, np.eye(3))

    def test_identity_first_draws_the_others(self):
        shape = (3, 3, 2, 5)
        filters = draw(initializers.identity_first(initializers.lecun_normal), shape)
        expected = draw(initializers.lecun_normal, (18, 5)).reshape(shape)
        np.testing.assert_array_equal(filters[..., 2:], expected[..., 2:])
        np.testing.assert_array_equal(filters[..., :2], initializers.dirac(None, (3, 3, 2, 2)))
        layer = nn.Conv2D(2, 5, 3, initializer=initializers.identity_first(), seed=0)
        expected = draw(initializers.he_normal, (18, 5)).reshape(shape)[..., 2:]
        np.testing.assert_array_equal(layer.weights[..., 2:], expected.astype("float32"))

    def test_a_rest_that_takes_filters(self):
        filters = draw(initializers.identity_first(initializers.dirac), (3, 3, 2, 5))
        np.testing.assert_array_equal(filters, initializers.dirac(None, (3, 3, 2, 5)))

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_whitened_patches_are_uncorrelated(self, size):
        n = size * size * 3
        whiten = initializers.whitening(self.X, size, epsilon=0.0)
        layer = nn.Conv2D(3, 2 * n, size, initializer=whiten, dtype="float64")
        rows = layer.forward(self.X).reshape(-1, 2 * n)
        np.testing.assert_allclose(rows[:, :n].T @ rows[:, :n] / len(rows), np.eye(n), atol=1e-9)
        np.testing.assert_allclose(rows[:, n:], -rows[:, :n], atol=1e-12)

    def test_epsilon_holds_small_directions_back(self):
        rows = initializers.whitening(self.X, 2, 0.5)(None, (2, 2, 3, 24))[..., :12].reshape(12, 12)
        lengths = np.linalg.norm(rows, axis=0)
        assert (np.diff(lengths) > 0).all(), "the largest eigenvalue first"
        assert lengths[-1] < 1 / np.sqrt(0.5)

    def test_many_images_of_any_backend(self, backend):
        many = np.concatenate([self.X] * 8)
        found = initializers.whitening(backend.asarray(many, "float32"))(None, (2, 2, 3, 24))
        expected = initializers.whitening(self.X)(None, (2, 2, 3, 24))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)

    def test_a_frozen_first_layer_is_saved_and_read(self, tmp_path):
        model = nn.Sequential(
            nn.Conv2D(
                *(3, 24, 2),
                initializer=initializers.whitening(self.X),
                trainable=("biases",),
            ),
            nn.Conv2D(24, 30, 3, initializer=initializers.identity_first()),
            seed=0,
        )
        for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
            np.testing.assert_array_equal(twin.layers[0].weights, model.layers[0].weights)
        nn.save(model, tmp_path / "m.safetensors")
        read = nn.load(tmp_path / "m.safetensors", backend="numpy")
        assert read.layers[0].trainable == ("biases",)
        x = self.X.astype("float32")
        np.testing.assert_array_equal(read.forward(x), model.forward(x))

    def test_what_is_refused(self):
        for call, message in (
            (lambda: initializers.whitening(self.X[0]), r"`images` must have .* got \(9, 8, 3\)"),
            (lambda: initializers.whitening(self.X, 9), "height and width at least 9"),
            (lambda: initializers.whitening(self.X[:0]), r"got \(0, 9, 8, 3\)"),
            (lambda: initializers.whitening(self.X * np.nan), "`images` holds NaN"),
            (lambda: initializers.whitening(self.X, 0), "`kernel_size` must be"),
            (lambda: initializers.whitening(self.X, epsilon=-1), "`epsilon` must be"),
            (lambda: initializers.identity_first(3), "`initializer` must be a function"),
            (
                lambda: nn.Conv2D(3, 20, 2, initializer=initializers.whitening(self.X)),
                r"has filters of shape \(2, 2, 3, 24\), .* wants \(2, 2, 3, 20\)",
            ),
        ):
            with pytest.raises(nn.NnfsError, match=message):
                call()
