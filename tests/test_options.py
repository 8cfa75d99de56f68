"""What can be said of parameters: frozen, tied, penalised, bounded, learning at another rate."""

from __future__ import annotations

import copy
import pickle
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, BackendError, DTypeError, ShapeError
from nnfs_xp.testing import check_layer

rng = np.random.default_rng(7)
X = rng.normal(size=(48, 4)).astype(np.float32)
Y = rng.integers(0, 3, 48)
PRECISIONS = ["float32", "float16", "bfloat16"]


def network(seed=0):
    return nn.Sequential(
        nn.Dense(4, 8),
        nn.BatchNorm(8),
        nn.ReLU(),
        nn.Dense(8, 6),
        nn.ReLU(),
        nn.Dense(6, 3),
        seed=seed,
    )


def trainer(model, backend="numpy", optimizer=None, **settings):
    optimizer = optimizer or nn.AdamW(0.05, weight_decay=0.1, average_decay=0.5)
    loss = nn.SoftmaxCategoricalCrossentropy()
    return nn.Trainer(model, loss, optimizer, backend=backend, **settings)


def host(model):
    arrays = model.parameters() | model.buffers()
    return {name: nn.to_numpy(array).copy() for name, array in arrays.items()}


def needs(backend, precision):
    if precision != "float32":
        try:
            backend.dtype(precision)
        except DTypeError:
            pytest.skip(f"{backend.name} has no {precision}")


class TestFrozen:
    @pytest.mark.parametrize("precision", PRECISIONS)
    def test_nothing_changes_what_is_frozen(self, backend, precision):
        needs(backend, precision)
        model = network()
        for layer in model.layers[:2]:
            layer.trainable = False
        before = host(model)
        trainer(model, backend, precision=precision).fit(X, Y, epochs=2, progress=False)
        after = host(model)
        same = {name for name in before if np.array_equal(before[name], after[name])}
        assert same == {n for n in before if n[0] in "01"}, "also the running averages"

    def test_the_rest_learns_as_if_the_frozen_layers_were_data(self, backend):
        whole, head = network(), network()
        for layer in whole.layers[:3]:
            layer.trainable = False
        head = nn.Sequential(*copy.deepcopy(whole.layers[3:]))
        features = nn.to_numpy(nn.Sequential(*copy.deepcopy(whole.layers[:3])).forward(X))
        clipped = {"clip_norm": 0.5, "weight_decay": 0.1, "average_decay": 0.9}
        trainer(whole, backend, nn.Adam(0.05, **clipped)).fit(X, Y, epochs=3, progress=False)
        trainer(head, backend, nn.Adam(0.05, **clipped)).fit(features, Y, epochs=3, progress=False)
        for ours, theirs in zip(whole.layers[3:], head.layers, strict=True):
            for name, values in theirs.parameters().items():
                mine = nn.to_numpy(ours.parameters()[name])
                np.testing.assert_allclose(mine, nn.to_numpy(values), rtol=1e-4, atol=1e-5)

    def test_frozen_layers_at_the_front_have_no_backward_pass(self, monkeypatch):
        model = network()
        for layer in model.layers[:3]:
            layer.trainable = False
        trained = trainer(model)
        calls = []
        for n, layer in enumerate(model.layers[:3]):
            for name in ("backward", "backward_parameters"):
                monkeypatch.setattr(layer, name, lambda dvalues, n=n: calls.append(n))
        stages = trained.learner.chain.stages
        trained.train_step(X, Y)
        assert not calls
        assert trained.learner.chain.first_trained == 3
        assert [type(stage).__name__ for stage in stages[3:]] == ["DenseRow"]

    def test_a_layer_that_is_frozen_is_not_joined_with_one_that_is_not(self):
        model = nn.Sequential(nn.Dense(4, 5), nn.ReLU(), nn.Dense(5, 3), seed=0)
        model.layers[0].trainable = False
        assert len(trainer(model).learner.chain.stages) == 2
        model.layers[0].trainable = True
        assert len(trainer(model).learner.chain.stages) == 1

    def test_a_container_freezes_all_within_and_one_layer_can_be_thawed(self):
        model = nn.Sequential(nn.Block(nn.Dense(4, 5), nn.ReLU()), nn.Dense(5, 3), seed=0)
        model.trainable = False
        assert [la.trainable for la in model.layers] == [False, False]
        model.layers[1].trainable = True
        assert model.trainable
        assert model.flat.size == 18
        assert model.flat.all_values.shape == (43,)
        assert not nn.Sequential(nn.Dense(2, 2), trainable=False).trainable

    def test_some_of_the_parameters_of_a_layer(self):
        model = nn.Sequential(nn.Dense(4, 3, trainable=("biases",)), seed=0)
        before = host(model)
        trainer(model).fit(X, Y, epochs=1, progress=False)
        assert np.array_equal(before["0.weights"], model.layers[0].weights)
        assert not np.array_equal(before["0.biases"], model.layers[0].biases)
        assert "Dense, weights frozen" in model.summary()

    def test_frozen_parameters_have_no_penalty_and_no_bound(self):
        layer = nn.Dense(4, 3, weight_regularizer_l2=0.1, max_norm=0.1, seed=0, trainable=False)
        assert layer.regularization_loss() is None
        before = layer.weights.copy()
        layer.constrain()
        np.testing.assert_array_equal(layer.weights, before)
        check_layer(layer, X)

    def test_files_and_checkpoints_keep_it(self, tmp_path):
        model = network()
        model.layers[0].trainable = False
        model.layers[1].trainable = ("gamma",)
        nn.save(model, tmp_path / "model")
        loaded = nn.load(tmp_path / "model", "numpy")
        assert [la.trainable for la in loaded.layers[:2]] == [False, ("gamma",)]
        folder = tmp_path / "some"
        for epochs in (1, 2):
            trainer(model, optimizer=nn.Adam(0.01)).fit(
                X, Y, epochs=epochs, progress=False, checkpoint=folder, resume=True
            )
        folder = tmp_path / "run"
        trainer(network()).fit(X, Y, epochs=1, progress=False, checkpoint=folder)
        with pytest.raises(nn.errors.CheckpointError, match="its model is"):
            trainer(model).fit(X, Y, epochs=2, progress=False, checkpoint=folder, resume=True)

    def test_a_checkpoint_has_the_frozen_weights_too(self, tmp_path):
        results = []
        for seed in (0, 1):  # the second has other frozen weights until it goes on
            model = network(seed)
            model.layers[0].trainable = False
            trained = trainer(model)
            trained.fit(X, Y, epochs=2, progress=False, checkpoint=tmp_path, resume=bool(seed))
            results.append(host(model))
        for name in results[0]:
            np.testing.assert_array_equal(results[0][name], results[1][name])

    def test_everything_frozen_is_refused_before_the_first_step(self):
        model = network()
        model.trainable = False
        trained = trainer(model)
        before = host(model)
        for call in (lambda: trained.fit(X, Y, progress=False), lambda: trained.train_step(X, Y)):
            with pytest.raises(ArgumentError, match="every parameter of the model is frozen"):
                call()
        assert all(np.array_equal(before[n], a) for n, a in host(model).items())
        assert trained.evaluate(X, Y)["loss"] > 0
        assert trained.predict(X).shape == (48,)

    def test_an_optimizer_of_other_parameters_is_refused(self):
        model = network()
        trained = trainer(model)
        trained.fit(X, Y, progress=False)
        model.layers[0].trainable = False
        with pytest.raises(ArgumentError, match=r"trains others.*new optimizer"):
            trained.fit(X, Y, progress=False)
        trained.optimizer = nn.Adam(0.01)
        before = host(model)
        trained.fit(X, Y, progress=False)
        assert np.array_equal(before["0.weights"], model.layers[0].weights)
        assert not np.array_equal(before["3.weights"], model.layers[3].weights)

    @pytest.mark.parametrize("wanted", ["no", 1, ("weights", "gamma"), None])
    def test_what_trainable_cannot_be(self, wanted):
        with pytest.raises(ArgumentError, match="`trainable` must be"):
            nn.Dense(2, 2, trainable=wanted)
        with pytest.raises(ArgumentError, match="`trainable` must be"):
            network().trainable = wanted


class TestLearningRateScale:
    def test_each_part_has_its_own_rate(self, backend):
        model = network().to(backend)
        model.layers[3].learning_rate_scale = 0.1
        reference = network().to(backend)
        for each in (model, reference):
            each.flat.gradients[...] = 1.0
        before = host(model)
        for each in (model, reference):
            nn.SGD(0.5, weight_decay=0.2).step(each)
        after, plain = host(model), host(reference)
        assert len(model.flat.parts) == 2
        for name, values in after.items():
            moved, usual = before[name] - values, before[name] - plain[name]
            scale = 0.1 if name.startswith("3.") else 1.0
            np.testing.assert_allclose(moved, scale * usual, rtol=2e-5, atol=1e-7)

    @pytest.mark.parametrize(
        "build", [lambda: nn.Adam(0.01), lambda: nn.Lion(0.01), lambda: nn.SGD(0.1, momentum=0.9)]
    )
    def test_it_is_that_of_a_smaller_rate(self, build):
        model, other = network(), network()
        model.learning_rate_scale = 0.25
        slow = build()
        slow.learning_rate *= 0.25
        trainer(model, optimizer=build()).fit(X, Y, epochs=2, progress=False)
        trainer(other, optimizer=slow).fit(X, Y, epochs=2, progress=False)
        for name, values in host(model).items():
            np.testing.assert_allclose(values, host(other)[name], rtol=1e-5, atol=1e-6)

    def test_what_it_cannot_be(self):
        for scale in (0, -1, float("nan"), "fast"):
            with pytest.raises(ArgumentError, match="learning_rate_scale"):
                nn.Dense(2, 2, learning_rate_scale=scale)


class TestByName:
    """Rates and decays of each parameter by itself."""

    RATES: ClassVar = {"0.weights": 0.25, "0.biases": 0.1, "2.biases": 0.1}
    DECAYS: ClassVar = {
        "0.weights": 16.0,
        "0.biases": 0.5,
        "1.gamma": 2.0,
        "2.weights": 3.0,
        "5.weights": 1.0,
    }

    @staticmethod
    def model():
        """Numbers by name, one for all, none, and what is usual."""
        rates, decays = {"weights": 0.25, "biases": 0.1}, {"weights": 16.0, "biases": 0.5}
        return nn.Sequential(
            nn.Dense(4, 8, learning_rate_scale=rates, weight_decay=decays),
            nn.BatchNorm(8, weight_decay={"gamma": 2.0}),
            nn.Dense(8, 6, learning_rate_scale={"biases": 0.1}, weight_decay=3.0),
            nn.Dense(6, 5, weight_decay={"weights": 0.0}),
            nn.Dense(5, 3, weight_decay=0),
            nn.Dense(3, 3, weight_decay=True),
            seed=0,
        )

    @pytest.mark.parametrize("whole", [True, False], ids=["whole", "in parts"])
    def test_a_step_moves_and_shrinks_each_by_its_own(self, backend, whole):
        model = self.model().to(backend)
        model.flat.values[...] = 1.0
        model.flat.gradients[...] = 2.0
        if whole:
            nn.SGD(0.05, weight_decay=0.1).step(model)
        else:  # as processes do that update a part each
            for start, stop in pairwise([0, 7, 8, 50, 91, model.flat.size]):
                nn.SGD(0.05, weight_decay=0.1).update_values(model, slice(start, stop))
        parameters = model.parameters()
        assert len(parameters) == 12
        for name, values in parameters.items():
            rate, decay = 0.05 * self.RATES.get(name, 1.0), 0.1 * self.DECAYS.get(name, 0)
            expected = 1 - rate * decay - rate * 2
            np.testing.assert_allclose(nn.to_numpy(values), expected, rtol=1e-5, err_msg=name)

    def test_parts_are_by_rate_and_within_them_by_decay(self):
        parts = self.model().flat.parts
        assert [part.scale for part in parts] == [1.0, 0.1, 0.25]
        decays = [[multiple for _, multiple in part.decays] for part in parts]
        assert decays == [[3.0, 2.0, 1.0], [0.5], [16.0]]
        sizes = [[each.stop - each.start for each, _ in part.decays] for part in parts]
        assert sizes == [[48, 8, 9], [8], [32]]

    @pytest.mark.parametrize("name", ["weights", "biases"])
    @pytest.mark.parametrize("precision", PRECISIONS)
    def test_they_are_those_of_another_optimizer(self, backend, precision, name):
        needs(backend, precision)
        said = {"learning_rate_scale": {"weights": 0.5, "biases": 0.125}, "weight_decay": 4.0}
        rate, decay = {"weights": (0.01, 0.4), "biases": (0.0025, 0.0)}[name]
        one, other = (
            nn.Sequential(nn.Dense(4, 3, trainable=(name,), **each), seed=0) for each in (said, {})
        )
        optimizers = nn.AdamW(0.02, weight_decay=0.1), nn.AdamW(rate, weight_decay=decay)
        before = host(one)
        for model, optimizer in zip((one, other), optimizers, strict=True):
            made = trainer(model, backend, optimizer, precision=precision)
            made.fit(X, Y, epochs=2, progress=False)
        for key, values in host(one).items():
            np.testing.assert_allclose(values, host(other)[key], rtol=1e-5, atol=1e-6)
        assert not np.array_equal(host(one)[f"0.{name}"], before[f"0.{name}"])

    def test_copies_and_files_keep_them(self, tmp_path):
        model = self.model()
        nn.save(model, tmp_path / "model.safetensors")
        for other in (
            nn.load(tmp_path / "model.safetensors"),
            copy.deepcopy(model),
            pickle.loads(pickle.dumps(model)),
        ):
            for layer, one in zip(other.layers, model.layers, strict=True):
                assert layer.options() == one.options()
            assert other.flat.layout == model.flat.layout
        assert model.layers[0].options()["weight_decay"] == {"weights": 16.0, "biases": 0.5}

    def test_they_can_be_set_later(self):
        layer = nn.Dense(3, 2, seed=0)
        layer.weight_decay = {"biases": 2}
        assert layer.flat.n_decayed == 8
        layer.weight_decay["biases"] = 5.0  # of a copy
        assert layer.weight_decay == {"biases": 2.0}
        layer.learning_rate_scale = {"biases": 0.5}
        assert [part.scale for part in layer.flat.parts] == [1.0, 0.5]

    def test_a_summary_says_so(self):
        text = self.model().summary()
        for remark in (
            "Dense, weights rate × 0.25, biases rate × 0.1, weights decay × 16, biases decay × 0.5",
            "BatchNorm, gamma decay × 2",
            "Dense, biases rate × 0.1, weights decay × 3",
            "Dense, weights decay × 0 ",
        ):
            assert remark in text
        assert "×" not in network().summary()

    @pytest.mark.parametrize("option", ["learning_rate_scale", "weight_decay"])
    def test_what_they_cannot_be(self, option):
        for value, message in (
            ({"gamma": 1.0}, "names 'gamma'; the parameters of Dense are weights, biases"),
            ({"weights": -1.0}, r"\['weights'\]` must be"),
            ({"biases": float("nan")}, r"\['biases'\]` must be"),
            ({"weights": "fast"}, r"\['weights'\]` must be"),
            ({0: 1.0}, "names 0"),
            (-1.0, "must be"),
            (float("inf"), "must be"),
            ([1.0, 2.0], "must be"),
            (None, "must be"),
        ):
            with pytest.raises(ArgumentError, match=f"`{option}.*{message}"):
                nn.Dense(2, 2, **{option: value})
        with pytest.raises(ArgumentError, match="the parameters of ReLU are none"):
            setattr(nn.ReLU(), option, {"weights": 1.0})

    @pytest.mark.parametrize("option", ["learning_rate_scale", "weight_decay"])
    def test_a_container_has_one_number_for_all(self, option):
        model = network()
        with pytest.raises(ArgumentError, match=r"of a Sequential must be one .* each layer"):
            setattr(model, option, {"weights": 0.5})
        with pytest.raises(ArgumentError, match=r"of a Residual must be one .* each layer"):
            nn.Residual(nn.Dense(2, 2), **{option: {"0.weights": 0.5}})
        assert model.layers[0].options() == {}
        setattr(model, option, 0.5)
        assert {getattr(layer, option) for _, layer in model.walk()} == {0.5}


class TestOtherOptions:
    def test_weight_decay_can_be_left_out(self):
        model = nn.Sequential(nn.Dense(4, 3, weight_decay=False), nn.Dense(3, 2), seed=0)
        assert model.flat.n_decayed == 6
        before = host(model)
        model.flat.gradients[...] = 0.0
        nn.SGD(0.1, weight_decay=0.5).step(model)
        assert np.array_equal(before["0.weights"], model.layers[0].weights)
        assert not np.array_equal(before["1.weights"], model.layers[1].weights)

    @pytest.mark.parametrize(
        ("build", "inputs"),
        [
            (lambda **o: nn.Embedding(5, 3, seed=0, **o), np.array([[0.0, 2.0], [1.0, 4.0]])),
            (lambda **o: nn.LayerNorm(4, **o), X[:5]),
            (lambda **o: nn.BatchNorm(4, **o), X[:5]),
        ],
        ids=["Embedding", "LayerNorm", "BatchNorm"],
    )
    def test_every_layer_with_parameters_has_penalties(self, backend, build, inputs):
        plain = build(dtype="float64")
        options = {
            f"{'weight' if name == 'weights' else name}_regularizer_{kind}": 0.03
            for name in plain.parameters()
            for kind in ("l1", "l2")
        }
        layer = build(dtype="float64", **options).to(backend)
        expected = sum(0.03 * float(np.abs(a).sum() + (a**2).sum()) for a in host_parameters(layer))
        np.testing.assert_allclose(nn.to_numpy(layer.regularization_loss()), expected)
        check_layer(layer, backend.asarray(inputs, "float64"))
        assert type(layer)(**layer.config()).options() == options

    def test_the_rows_of_an_embedding_are_bounded(self):
        layer = nn.Embedding(6, 4, max_norm=0.5, seed=0)
        layer.constrain()
        assert (np.linalg.norm(layer.weights, axis=1) <= 0.5 + 1e-6).all()

    def test_an_option_that_there_is_not(self):
        with pytest.raises(TypeError, match="unexpected keyword argument 'bias_regularizer_l1'"):
            nn.Embedding(3, 2, bias_regularizer_l1=0.1)
        with pytest.raises(ArgumentError, match="weight_regularizer_l2"):
            nn.Dense(2, 2, weight_regularizer_l2=-1)

    def test_a_layer_of_ones_own_has_them_too(self, tmp_path):
        layer = Slope(4)
        layer.slope_regularizer_l2 = 0.5
        layer.trainable = False
        assert layer.options() == {"slope_regularizer_l2": 0.5, "trainable": False}
        nn.save(nn.Sequential(layer), tmp_path / "model")
        loaded = nn.load(tmp_path / "model", "numpy", custom_layers=[Slope]).layers[0]
        assert loaded.options() == layer.options()
        layer.trainable = True
        check_layer(layer, X)


class Slope(nn.Layer):
    slope = nn.Parameter()
    dslope = nn.Gradient()

    def __init__(self, n_features, *, dtype="float32"):
        super().__init__()
        self.n_features = n_features
        self.create_parameters(dtype, slope=(1, n_features))
        self.slope[...] = 2.0

    def forward(self, inputs, training=False):
        self.check_inputs(inputs, self.n_features)
        output = inputs * self.slope
        if training:
            self.keep(output, inputs)
        return output

    def backward(self, dvalues):
        xp, inputs = self.recall(dvalues)
        axes = tuple(range(inputs.ndim - 1))
        self.dslope[...] = xp.sum(dvalues * inputs, axis=axes)[None, :]
        self.dinputs = dvalues * self.slope
        self.add_penalties()
        return self.dinputs


def host_parameters(layer):
    return [nn.to_numpy(array) for array in layer.parameters().values()]


def language_model(dtype="float32", **options):
    words = nn.Embedding(7, 4, seed=0, dtype=dtype, **options)
    head = nn.Dense(4, 7, seed=1, dtype=dtype).tie("weights", words, transposed=True)
    return nn.Sequential(words, nn.Dense(4, 4, seed=2, dtype=dtype), nn.Tanh(), head)


CODES = rng.integers(0, 7, (12, 5))
NEXT = np.roll(CODES, -1, axis=1)


class TestTies:
    def test_it_is_one_parameter(self, backend):
        model = language_model().to(backend)
        names = ["0.weights", "1.weights", "1.biases", "3.biases"]
        assert list(model.parameters()) == list(model.gradients()) == names
        assert model.flat.size == 28 + 16 + 4 + 7
        model.layers[0].weights = np.arange(28).reshape(7, 4)
        np.testing.assert_array_equal(
            nn.to_numpy(model.layers[3].weights), np.arange(28).reshape(7, 4).T
        )
        assert "weights of 0.weights, transposed" in model.summary()
        assert f"{28 + 16 + 4 + 7} parameters" in model.summary()

    @pytest.mark.parametrize("options", [{}, {"weight_regularizer_l2": 0.1}], ids=["", "penalty"])
    def test_its_gradient_is_the_sum(self, backend, options):
        model = language_model("float64", **options).to(backend)
        check_layer(model, backend.asarray(CODES[:2], "float64"))

    def test_torch_agrees(self, backend):
        torch = pytest.importorskip("torch")
        model = language_model("float64").to(backend)
        loss = nn.SoftmaxCategoricalCrossentropy()
        logits = model.forward(backend.asarray(CODES), training=True)
        model.backward(loss.backward(logits, backend.asarray(NEXT)))
        values = {n: torch.tensor(nn.to_numpy(a)) for n, a in model.parameters().items()}
        for each in values.values():
            each.requires_grad_()
        table = values["0.weights"]
        hidden = table[torch.tensor(CODES)] @ values["1.weights"] + values["1.biases"]
        theirs = torch.tanh(hidden) @ table.T + values["3.biases"]
        expected = torch.nn.functional.cross_entropy(
            theirs.flatten(0, 1), torch.tensor(NEXT).flatten()
        )
        expected.backward()
        for name, gradient in model.gradients().items():
            np.testing.assert_allclose(
                nn.to_numpy(gradient), values[name].grad.numpy(), rtol=1e-9, atol=1e-12
            )

    @pytest.mark.parametrize("precision", PRECISIONS)
    def test_training_keeps_the_tie(self, backend, precision):
        needs(backend, precision)
        results = []
        for place in (backend, "numpy"):
            model = language_model(weight_regularizer_l2=0.001)
            trained = trainer(model, place, precision=precision)
            history = trained.fit(CODES, NEXT, epochs=4, batch_size=5, progress=False)
            table, head = (nn.to_numpy(model.layers[n].weights) for n in (0, 3))
            np.testing.assert_array_equal(table.T, head)
            results.append((history["loss"], table))
            if precision != "float32" and place != "numpy":
                break
        if len(results) == 2:
            np.testing.assert_allclose(*(r[0] for r in results), rtol=1e-4)
            np.testing.assert_allclose(*(r[1] for r in results), rtol=1e-2, atol=1e-4)
        assert results[0][0][-1] < results[0][0][0]

    def test_copies_files_and_moves_keep_the_tie(self, backend, tmp_path):
        model = language_model()
        nn.save(model, tmp_path / "model")
        copies = [
            copy.deepcopy(model),
            pickle.loads(pickle.dumps(model)),
            nn.load(tmp_path / "model", "numpy"),
        ]
        expected = nn.to_numpy(model.forward(CODES))
        for each in copies:
            each.to(backend)
            output = nn.to_numpy(each.forward(backend.asarray(CODES)))
            np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
            each.layers[0].weights = np.ones((7, 4))
            np.testing.assert_array_equal(nn.to_numpy(each.layers[3].weights), np.ones((4, 7)))
        assert not np.array_equal(nn.to_numpy(model.layers[0].weights), np.ones((7, 4)))

    def test_a_seed_draws_a_tied_parameter_once(self):
        words = nn.Embedding(7, 4)
        head = nn.Dense(4, 7).tie("weights", words, transposed=True)
        model = nn.Sequential(words, head, seed=3)
        alone = nn.Sequential(nn.Embedding(7, 4), seed=3)
        np.testing.assert_array_equal(model.layers[0].weights, alone.layers[0].weights)

    def test_ties_across_containers_and_of_ties(self):
        one = nn.Dense(4, 4, seed=0, dtype="float64")
        two = nn.Dense(4, 4, seed=1, dtype="float64").tie("weights", one)
        three = nn.Dense(4, 4, seed=2, dtype="float64").tie("weights", two, transposed=True)
        model = nn.Sequential(
            nn.Residual(one, nn.Tanh()), nn.Sequential(two, nn.ReLU()), nn.Concatenate(three)
        )
        assert model.ties() == {
            "1.0.weights": ("0.0.weights", False),
            "2.0.weights": ("0.0.weights", True),
        }
        check_layer(model, X[:6].astype("float64"))

    def test_a_frozen_tie_is_frozen_for_both(self):
        model = language_model()
        model.layers[0].trainable = False
        before = host(model)
        trainer(model).fit(CODES, NEXT, epochs=1, progress=False)
        np.testing.assert_array_equal(model.layers[3].weights, before["0.weights"].T)
        assert model.layers[3].trained, "its biases are"

    @pytest.mark.parametrize(
        ("tie", "error", "message"),
        [
            (lambda: nn.Dense(3, 4).tie("weights", nn.Dense(3, 5)), ShapeError, "cannot be tied"),
            (
                lambda: nn.Dense(3, 4).tie("weights", nn.Dense(4, 3)),
                ShapeError,
                "Did you mean transposed=True",
            ),
            (
                lambda: nn.Dense(3, 4).tie("weights", nn.Dense(3, 4, dtype="float64")),
                DTypeError,
                "one dtype; got float32, float64",
            ),
            (
                lambda: nn.Dense(3, 4).tie("weights", nn.Dense(3, 4).to("array_api_strict")),
                BackendError,
                "on one backend",
            ),
            (lambda: nn.Dense(3, 4).tie("gamma", nn.Dense(3, 4)), ArgumentError, "no parameter"),
            (lambda: nn.Dense(3, 4).tie("weights", nn.ReLU()), ArgumentError, "no parameter"),
            (lambda: (la := nn.Dense(3, 3)).tie("weights", la), ArgumentError, "to itself"),
            (
                lambda: nn.Sequential(nn.Dense(3, 4).tie("weights", nn.Dense(3, 4))).flat,
                ArgumentError,
                "lies outside",
            ),
            (
                lambda: nn.save(nn.Dense(3, 4).tie("weights", nn.Dense(3, 4)), "nowhere"),
                ArgumentError,
                "lies outside",
            ),
        ],
    )
    def test_what_cannot_be_tied(self, tie, error, message):
        with pytest.raises(error, match=message):
            tie()


@pytest.mark.parametrize("size", [1e-30, 1e-10, 1.0, 1e15, 1e30])
def test_gradients_whose_squares_are_out_of_range_are_clipped(backend, size):
    """The largest norm allowed is half of theirs: float32 holds no square of 1e-30 and 1e30."""
    layer = nn.Dense(3, 2, seed=0).to(backend)
    gradients = np.array([[3, -4], [0, 0], [0, 0]], "float32") * np.float32(size / 5)
    layer.dweights, layer.dbiases = gradients, np.zeros((1, 2), "float32")
    layer.weights = np.zeros((3, 2), "float32")
    nn.SGD(1.0, clip_norm=size / 2).step(layer)
    np.testing.assert_allclose(nn.to_numpy(layer.weights), -gradients / 2, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_values_are_clipped_and_nan_stays(backend, bad):
    layer = nn.Dense(3, 1, seed=0).to(backend)
    layer.dweights, layer.dbiases = [[bad], [-2.0], [0.25]], [[0.5]]
    layer.weights, layer.biases = np.zeros((3, 1), "float32"), np.zeros((1, 1), "float32")
    nn.SGD(1.0, clip_value=0.5).step(layer)
    expected = [[-np.clip(bad, -0.5, 0.5)], [0.5], [-0.25]]
    np.testing.assert_array_equal(nn.to_numpy(layer.weights), np.float32(expected))
    assert nn.to_numpy(layer.biases).tolist() == [[-0.5]]
