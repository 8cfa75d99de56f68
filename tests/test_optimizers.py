"""Optimizers that look at matrices as wholes, and that lead other optimizers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from test_contract import make

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError

RNG = np.random.default_rng(7)


def step_with(optimizer, model, gradients):
    """Make one step with these gradients, by name; return the parameters after it."""
    backend = nn.get_backend(model.flat.backend.name)
    for name, gradient in gradients.items():
        model.gradients()[name][...] = make(backend, gradient, model.dtype)
    optimizer.step(model)
    return {name: nn.to_numpy(a).copy() for name, a in model.parameters().items()}


def random_gradients(model):
    return {name: RNG.normal(size=tuple(a.shape)) for name, a in model.parameters().items()}


def orthogonal_step(g, rate=0.02, momentum=0.95):
    """The first step of a matrix of zeros: by its singular values."""
    left, sizes, right = np.linalg.svd(g * (1 + momentum), full_matrices=False)
    sizes = sizes / np.linalg.norm(sizes)
    for _ in range(5):
        sizes = 3.4445 * sizes - 4.7750 * sizes**3 + 2.0315 * sizes**5
    return -rate * np.sqrt(max(1, g.shape[1] / g.shape[0])) * (left * sizes) @ right


def adam_step(g, rate=0.02 / 64):
    return -rate * g / (np.abs(g) + 1e-7)


def mixed(**options):
    return nn.Sequential(
        nn.Conv2D(2, 8, 3, dtype="float64", initializer=None, **options),
        nn.BatchNorm(8, dtype="float64"),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dense(8, 3, dtype="float64", initializer=None),
    )


class TestMuon:
    def test_filters_and_weights_are_matrices_and_all_else_is_adams(self, backend):
        model = mixed().to(backend)
        gradients = random_gradients(model)
        before = {name: nn.to_numpy(a).copy() for name, a in model.parameters().items()}
        after = step_with(nn.Muon(), model, gradients)
        for name, g in gradients.items():
            if name.endswith("weights"):
                expected = orthogonal_step(g.reshape(-1, g.shape[-1])).reshape(g.shape)
            else:
                expected = adam_step(g)
            np.testing.assert_allclose(after[name] - before[name], expected, rtol=1e-9, atol=1e-15)

    @pytest.mark.parametrize("shape", [(3, 40), (40, 3), (1, 5), (5, 1), (6, 6)])
    def test_a_matrix_of_any_shape(self, backend, shape):
        layer = nn.Dense(*shape, dtype="float64", initializer=None).to(backend)
        g = RNG.normal(size=shape)
        after = step_with(nn.Muon(), layer, {"weights": g})["weights"]
        expected = adam_step(g) if min(shape) == 1 else orthogonal_step(g)
        np.testing.assert_allclose(after, expected, rtol=1e-9)

    def test_singular_values_come_near_1(self, backend):
        layer = nn.Dense(30, 20, initializer=None).to(backend)
        g = RNG.normal(size=(30, 20))
        after = step_with(nn.Muon(1.0), layer, {"weights": g})["weights"]
        sizes = np.linalg.svd(after, compute_uv=False)
        assert (sizes > 0.3).all()
        assert (sizes < 1.3).all()

    def test_a_gradient_of_0_moves_nothing(self, backend):
        layer = nn.Dense(3, 2, seed=0).to(backend)
        before = nn.to_numpy(layer.weights).copy()
        after = step_with(nn.Muon(), layer, {"weights": np.zeros((3, 2))})
        np.testing.assert_array_equal(after["weights"], before)

    def test_an_embedding_is_no_matrix(self):
        model = nn.Sequential(nn.Embedding(6, 4, initializer=None, dtype="float64"))
        gradients = {"0.weights": RNG.normal(size=(6, 4))}
        after = step_with(nn.Muon(), model, gradients)["0.weights"]
        np.testing.assert_allclose(after, adam_step(gradients["0.weights"]), rtol=1e-9)

    def test_rates_and_decays_are_those_of_each_parameter(self, backend):
        model = mixed(learning_rate_scale=0.5, weight_decay={"biases": 2.0}).to(backend)
        for layer, name in ((model.layers[0], "biases"), (model.layers[4], "weights")):
            setattr(layer, name, np.ones(layer.parameters()[name].shape))
        gradients = random_gradients(model)
        optimizer = nn.Muon(weight_decay=0.1, others=["4.weights"], others_scale=0.1)
        after = step_with(optimizer, model, gradients)
        g = gradients["0.weights"]
        expected = orthogonal_step(g.reshape(-1, 8), 0.01).reshape(g.shape)
        np.testing.assert_allclose(after["0.weights"], expected, rtol=1e-9, atol=1e-15)
        expected = 1 - 0.001 * 0.2 + adam_step(gradients["0.biases"], 0.001)
        np.testing.assert_allclose(after["0.biases"], expected, rtol=1e-9)
        expected = 1 - 0.002 * 0.1 + adam_step(gradients["4.weights"], 0.002)
        np.testing.assert_allclose(after["4.weights"], expected, rtol=1e-9)
        expected = adam_step(gradients["4.biases"], 0.002)
        np.testing.assert_allclose(after["4.biases"], expected, rtol=1e-9)

    def test_torch_agrees_but_for_its_rounding(self):
        torch = pytest.importorskip("torch")
        if not hasattr(torch.optim, "Muon"):
            pytest.skip("this PyTorch has no Muon")
        layer = nn.Dense(12, 20, seed=0)
        twin = torch.nn.Parameter(torch.tensor(layer.weights.T.copy()))
        theirs = torch.optim.Muon([twin], lr=0.02, weight_decay=0.1)
        ours, start = nn.Muon(weight_decay=0.1), layer.weights.copy()
        for _ in range(4):
            g = RNG.normal(size=(12, 20)).astype("float32")
            twin.grad = torch.tensor(g.T.copy())
            theirs.step()
            step_with(ours, layer, {"weights": g})
        moved = np.linalg.norm(layer.weights - start)
        # bfloat16 has 8 bits, and a step of Newton-Schulz multiplies by 3.44.
        assert np.linalg.norm(layer.weights - twin.detach().numpy().T) < 0.05 * moved

    def test_it_trains(self, backend):
        X, y = nn.data.load_digits()[:2]
        model = nn.Sequential(nn.Dense(64, 32), nn.ReLU(), nn.Dense(32, 10), seed=0)
        loss = nn.SoftmaxCategoricalCrossentropy()
        trainer = nn.Trainer(model, loss, nn.Muon(0.05), backend=backend)
        history = trainer.fit(X, y, epochs=2, batch_size=64, progress=False)
        assert history["accuracy"][-1] > 0.9

    def test_what_is_refused(self):
        for build, message in (
            (lambda: nn.Muon(momentum=1.0), "`momentum` must be at least 0 and below 1"),
            (lambda: nn.Muon(n_steps=0), "`n_steps` must be"),
            (lambda: nn.Muon(others="4.weights"), "`others` must be a tuple of names"),
            (lambda: nn.Muon(others_scale=0), "`others_scale` must be above 0"),
        ):
            with pytest.raises(ArgumentError, match=message):
                build()
        model = nn.Sequential(nn.Dense(3, 2, seed=0))
        message = r"`others` names '1\.weights'; the parameters .* are '0\.weights', '0\.biases'\."
        for optimizer in (
            nn.Muon(others=("1.weights",)),
            nn.Lookahead(nn.Muon(others=["1.weights"])),
        ):
            with pytest.raises(ArgumentError, match=message):
                optimizer.step(model)


class TestLookahead:
    def test_settings_are_those_of_the_other(self):
        inner = nn.AdamW(nn.StepDecay(0.1, every=2), weight_decay=0.3, clip_norm=1.0)
        optimizer = nn.Lookahead(inner)
        assert optimizer.schedules() == inner.schedules()
        assert optimizer.clip_norm == 1.0
        optimizer.learning_rate = 0.01
        assert inner.learning_rate == optimizer.current_learning_rate == 0.01
        step_with(optimizer, nn.Dense(2, 2, seed=0), {})
        assert inner.iterations == optimizer.iterations == 1

    def test_scales_of_the_learning_rate_reach_the_other(self, backend):
        model = mixed(learning_rate_scale=0.5).to(backend)
        twin = copy.deepcopy(model)
        gradients = random_gradients(model)
        ahead = step_with(nn.SGD(0.1), twin, gradients)
        before = {name: nn.to_numpy(a).copy() for name, a in model.parameters().items()}
        after = step_with(nn.Lookahead(nn.SGD(0.1), k=1, alpha=0.25), model, gradients)
        for name, start in before.items():
            expected = start + 0.25 * (ahead[name] - start)
            np.testing.assert_allclose(after[name], expected, rtol=1e-12, atol=1e-15)

    def test_clipping_bounds_and_averages_are_done_once(self):
        layer = nn.Dense(2, 2, dtype="float64", initializer=None, max_norm=0.5)
        optimizer = nn.Lookahead(nn.SGD(1.0, clip_value=2.0, average_decay=0.5), k=9)
        after = step_with(optimizer, layer, {"weights": np.full((2, 2), -9.0)})
        np.testing.assert_allclose(after["weights"], np.sqrt(0.125))
        optimizer.exchange_average(layer)
        np.testing.assert_allclose(nn.to_numpy(layer.weights), np.sqrt(0.125) / 2)

    def test_a_copy_has_an_optimizer_of_its_own(self):
        optimizer = nn.Lookahead(nn.SGD(0.1))
        twin = copy.deepcopy(optimizer)
        step_with(twin, nn.Dense(2, 2, seed=0), {})
        assert (optimizer.iterations, twin.iterations) == (0, 1)
        assert twin.optimizer is not optimizer.optimizer

    def test_what_is_refused(self):
        class Own(nn.SGD):
            def update(self, layer):
                super().update(layer)

        stepped = nn.SGD(0.1)
        stepped.step(nn.Dense(2, 2, seed=0))
        for build, message in (
            (lambda: nn.Lookahead(0.1), "`optimizer` must be an Optimizer object; got 0.1"),
            (lambda: nn.Lookahead(nn.SGD), "`optimizer` must be an Optimizer object"),
            (lambda: nn.Lookahead(nn.SGD(), k=0), "`k` must be"),
            (lambda: nn.Lookahead(nn.SGD(), alpha=0), "`alpha` must be above 0 and below 1"),
            (lambda: nn.Lookahead(nn.Lookahead(nn.SGD())), "keeps slow weights itself"),
            (lambda: nn.Lookahead(stepped), "has made steps already"),
            (lambda: nn.Lookahead(Own()), "Own has a `step` or an `update` of its own"),
        ):
            with pytest.raises(ArgumentError, match=message):
                build()
