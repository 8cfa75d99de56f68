"""A loop of one's own: gradients without an update, several optimizers, inputs' gradients."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, LabelError, NotReadyError, ShapeError
from nnfs_xp.layers.stochastic import StochasticLayer
from nnfs_xp.testing import no_synchronization
from nnfs_xp.testing.gradients import assert_gradient, numeric_gradient

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 4))
Y = RNG.integers(0, 3, 12)
WEIGHTS = RNG.uniform(0.5, 1.5, 12)
NAMES = "weights", "biases"


def classifier(*between, dtype="float32", **options):
    return nn.Sequential(
        nn.Dense(4, 6, dtype=dtype, **options),
        nn.ReLU(),
        *between,
        nn.Dense(6, 3, dtype=dtype),
        nn.Softmax(),
        seed=1,
    )


def new_trainer(backend, model=None, optimizer=None, **settings):
    parts = model or classifier(), nn.CategoricalCrossentropy(), optimizer or nn.Adam(0.02)
    return nn.Trainer(*parts, backend=backend, seed=3, **settings)


def on(backend, *arrays, dtype="float32"):
    """The arrays on the backend, those of floats in that type."""
    return [
        backend.asarray(each, dtype if each.dtype.kind == "f" else None)
        for each in map(np.asarray, arrays)
    ]


def values(model):
    return {name: np.array(nn.to_numpy(array)) for name, array in model.parameters().items()}


def buffers(model):
    return {name: np.array(nn.to_numpy(array)) for name, array in model.buffers().items()}


def gradients(model):
    return {name: np.array(nn.to_numpy(array)) for name, array in model.gradients().items()}


def state(trainer):
    """All that a step leaves for the next."""
    kept = trainer.optimizer.kept(trainer.model) | trainer.learner.state()
    arrays = {name: np.array(nn.to_numpy(array)) for name, array in kept.items()}
    iterations = trainer.optimizer.iterations
    return {**values(trainer.model), **buffers(trainer.model), **arrays, "iterations": iterations}


def assert_same(found, expected):
    assert found
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


# What a step may have to do besides, each as (model, optimizer).
STEPS = {
    "plain": lambda: (classifier(), nn.Adam(0.02)),
    "dropout": lambda: (classifier(nn.Dropout(0.4)), nn.Adam(0.02)),
    "batch norm": lambda: (classifier(nn.BatchNorm(6)), nn.Adam(0.02)),
    "penalties": lambda: (
        classifier(weight_regularizer_l2=0.1, bias_regularizer_l1=0.01),
        nn.SGD(0.1, momentum=0.9),
    ),
    "bounded": lambda: (classifier(max_norm=0.4), nn.SGD(0.5)),
    "decay": lambda: (classifier(), nn.AdamW(0.02, weight_decay=0.1)),
    "clipped": lambda: (classifier(), nn.SGD(0.5, clip_norm=0.1, clip_value=0.05)),
    "scheduled": lambda: (classifier(), nn.RMSprop(nn.CosineDecay(0.02, 4, warmup_steps=2))),
    "averaged": lambda: (classifier(), nn.Adam(0.02, average_decay=0.9)),
    "a layer slower": lambda: (classifier(learning_rate_scale=0.1), nn.Adam(0.02)),
    "a layer frozen": lambda: (classifier(trainable=False), nn.Adam(0.02)),
    "all": lambda: (
        classifier(nn.BatchNorm(6), nn.Dropout(0.4), weight_regularizer_l2=0.1, max_norm=0.6),
        nn.AdamW(0.02, weight_decay=0.1, clip_norm=0.5, average_decay=0.9),
    ),
}


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_gradients_and_update_are_a_step_bit_for_bit(backend, kind, weighted):
    whole, halves = (new_trainer(backend, *STEPS[kind]()) for _ in range(2))
    before = values(whole.model)
    batch = on(backend, X, Y, *([WEIGHTS] if weighted else []))
    for step in range(4):
        loss = halves.gradients(*batch)
        halves.update()
        assert float(loss) == float(whole.train_step(*batch))
        assert halves.optimizer.iterations == step + 1
    assert_same(state(halves), state(whole))
    changed = [name for name, value in values(whole.model).items() if (value != before[name]).any()]
    assert len(changed) >= 2
    whole.fit(X, Y, progress=False)  # leaves averages in the model, if there are any
    halves.fit(X, Y, progress=False)
    halves.gradients(*batch)
    halves.update()
    whole.train_step(*batch)
    assert_same(state(halves), state(whole))


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_they_are_in_half_precision_too(rate):
    # NumPy has float16, and no bfloat16.
    whole, halves = (
        new_trainer(
            "numpy", classifier(nn.Dropout(rate), weight_regularizer_l2=0.1), precision="float16"
        )
        for _ in range(2)
    )
    x, y = X.astype("float32"), Y
    for _ in range(4):
        loss = halves.gradients(x, y)
        halves.update()
        assert loss == whole.train_step(x, y)
    assert_same(state(halves), state(whole))
    assert halves.model.gradients()["0.weights"].dtype == np.float32
    exact = new_trainer("numpy", classifier(weight_regularizer_l2=0.1))
    if not rate:
        first = new_trainer("numpy", classifier(weight_regularizer_l2=0.1), precision="float16")
        first.gradients(x, y)
        exact.gradients(x, y)
        for name, gradient in exact.model.gradients().items():  # the scale is out of them again
            found = first.model.gradients()[name]
            np.testing.assert_allclose(found, gradient, atol=2e-3 * np.abs(gradient).max())


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_in_half_precision_an_update_by_what_is_not_finite_is_none():
    trainer = new_trainer("numpy", precision="float16")
    trainer.train_step(X.astype("float32"), Y)
    before, scale = values(trainer.model), float(trainer.learner.scale)
    trainer.gradients(X.astype("float32"), Y)
    trainer.model.gradients()["0.weights"][0, 0] = np.inf
    trainer.update()
    assert_same(values(trainer.model), before)
    assert float(trainer.learner.scale) == scale / 2


def test_gradients_change_nothing_else(backend):
    trainer = new_trainer(backend, *STEPS["penalties"]())
    batch = on(backend, X, Y)
    trainer.train_step(*batch)
    before = state(trainer)
    losses = [float(trainer.gradients(*batch))]
    once = gradients(trainer.model)
    assert_same(state(trainer), before)
    losses.append(float(trainer.gradients(*batch)))
    assert_same(gradients(trainer.model), once)
    assert_same(state(trainer), before)
    assert losses[0] == losses[1]


def test_gradients_drop_what_the_step_would_drop(backend):
    """And each batch has masks of its own, with or without an update in between."""
    trainer = new_trainer(backend, classifier(nn.Dropout(0.5)))
    batch = on(backend, X, Y)
    trainer.train_step(*batch)
    twin = copy.deepcopy(trainer)
    still = copy.deepcopy(trainer)
    losses = [float(trainer.gradients(*batch)) for _ in range(3)]
    assert len(set(losses)) == 3
    assert losses[0] == float(twin.train_step(*batch))
    assert float(still.gradients(*batch)) == losses[0]
    still.update()
    assert float(still.gradients(*batch)) == float(twin.gradients(*batch))


def test_neither_half_waits_for_the_device(backend):
    trainer = new_trainer(backend, *STEPS["all"]())
    batch = on(backend, X, Y, WEIGHTS)
    with no_synchronization():
        for _ in range(2):
            loss = trainer.gradients(*batch)
            for gradient in trainer.model.gradients().values():
                gradient *= 0.5
            trainer.update()
    assert np.isfinite(float(loss))


def test_gradients_are_those_of_central_differences(backend):
    model = classifier(dtype="float64", weight_regularizer_l2=0.1, bias_regularizer_l1=0.05)
    model.layers[0].biases[...] = 0.1  # away from the corner of the absolute value
    trainer = new_trainer(backend, model)
    x, y, weights = on(backend, X, Y, WEIGHTS, dtype="float64")
    loss = trainer.gradients(x, y, weights)
    fused = nn.SoftmaxCategoricalCrossentropy()
    logits = nn.Sequential(*copy.deepcopy(trainer.model).layers[:-1])

    def objective(name):
        def at(moved):
            logits.parameters()[name][...] = moved
            return float(
                fused.calculate(logits.forward(x), y, weights) + logits.regularization_loss()
            )

        return at

    found = trainer.model.gradients()
    assert len(found) == 4
    for name, array in trainer.model.parameters().items():
        numeric = numeric_gradient(objective(name), array)
        assert np.abs(numeric).max() > 1e-3
        assert_gradient(name, found[name], numeric, 4 * float(loss))
        logits.parameters()[name][...] = array


def test_the_weights_of_samples_are_those_of_the_mean(backend):
    """A weight of 2 beside one of 0 is the first sample alone."""
    weighted, alone = (new_trainer(backend, optimizer=nn.SGD(0.5)) for _ in range(2))
    x, y, weights = on(backend, X[:2], Y[:2], np.array([2.0, 0.0]))
    for _ in range(3):
        loss = weighted.train_step(x, y, weights)
        assert float(loss) == pytest.approx(float(alone.train_step(x[:1, ...], y[:1])), rel=1e-5)
    for name, value in values(alone.model).items():
        np.testing.assert_allclose(values(weighted.model)[name], value, atol=1e-6)
    moved = values(alone.model)["0.weights"] - values(new_trainer(backend).model)["0.weights"]
    assert np.abs(moved).max() > 0.01


def test_gradients_of_halves_add_up_to_those_of_the_whole(backend):
    model = classifier(dtype="float64", weight_regularizer_l2=0.1)
    trainer, whole = (new_trainer(backend, copy.deepcopy(model)) for _ in range(2))
    x, y = on(backend, X, Y, dtype="float64")
    flat, total = trainer.model.flat, 0.0
    for half in (slice(0, 6), slice(6, 12)):
        trainer.gradients(x[half, ...], y[half])
        total = total + flat.gradients
    flat.gradients[...] = total / 2
    whole.gradients(x, y)
    for name, gradient in gradients(whole.model).items():
        np.testing.assert_allclose(gradients(trainer.model)[name], gradient, rtol=1e-12, atol=1e-15)
    trainer.update()
    whole.update()
    for name, value in values(whole.model).items():
        np.testing.assert_allclose(values(trainer.model)[name], value, rtol=1e-9)


def backward(model, loss, x, y):
    """Set the gradients of a bare model; the loss, penalties left out."""
    mean, dvalues = loss.calculate_and_backward(model.forward(x, training=True), y)
    model.backward(dvalues)
    return mean


def bare(dtype="float64", **options):
    return nn.Sequential(
        nn.Dense(4, 6, dtype=dtype, **options), nn.Tanh(), nn.Dense(6, 3, dtype=dtype), seed=1
    )


@pytest.mark.parametrize("kind", ["plain", "penalties", "bounded", "decay", "averaged"])
def test_a_step_of_a_bare_model_is_that_of_a_trainer(backend, kind):
    options = {
        "penalties": {"weight_regularizer_l2": 0.1},
        "bounded": {"max_norm": 0.4},
    }.get(kind, {})
    settings = {"decay": {"weight_decay": 0.1}, "averaged": {"average_decay": 0.9}}.get(kind, {})
    loss = nn.SoftmaxCategoricalCrossentropy()
    model, optimizer = bare(**options).to(backend), nn.Adam(0.05, **settings)
    trainer = nn.Trainer(bare(**options), loss, nn.Adam(0.05, **settings), backend=backend)
    x, y = on(backend, X, Y, dtype="float64")
    before = values(model)
    for _ in range(5):
        mean, penalty = backward(model, loss, x, y), model.regularization_loss()
        optimizer.step(model)
        expected = float(trainer.train_step(x, y))
        assert float(mean if penalty is None else mean + penalty) == pytest.approx(expected)
        assert (penalty is None) is (kind != "penalties")
    for name, value in values(trainer.model).items():
        np.testing.assert_allclose(values(model)[name], value, rtol=1e-9, err_msg=name)
        assert (value != before[name]).any()


# What else may ask for the buffers of the whole model in a loop with two optimizers.
BETWEEN = {
    "nothing": lambda model: None,
    "the flat buffers": lambda model: model.flat,
    "penalties": lambda model: model.add_penalties(),
    "a copy": copy.deepcopy,
    "a trainer": lambda model: nn.Trainer(
        model, nn.SoftmaxCategoricalCrossentropy(), nn.SGD(0.1), backend=model.backend
    ).evaluate(X, Y),
    "a move": lambda model: model.to(model.backend),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_two_optimizers_on_one_model_are_two_formulas(backend, between):
    loss = nn.SoftmaxCategoricalCrossentropy()
    model = bare().to(backend)
    first, _, last = model.layers
    sgd, adam = nn.SGD(0.1, momentum=0.9), nn.Adam(0.01)
    x, y = on(backend, X, Y, dtype="float64")
    expected = values(model)
    memory = {name: [np.zeros_like(value)] * 2 for name, value in expected.items()}
    for t in range(1, 6):
        backward(model, loss, x, y)
        g = gradients(model)
        sgd.step(first)
        BETWEEN[between](model)
        adam.step(last)
        for name in ("0.weights", "0.biases"):
            velocity = 0.9 * memory[name][0] - 0.1 * g[name]
            memory[name] = [velocity, velocity]
            expected[name] = expected[name] + velocity
        for name in ("2.weights", "2.biases"):
            m, c = memory[name]
            m, c = 0.9 * m + 0.1 * g[name], 0.999 * c + 0.001 * g[name] ** 2
            memory[name] = [m, c]
            corrected = m / (1 - 0.9**t), c / (1 - 0.999**t)
            expected[name] = expected[name] - 0.01 * corrected[0] / (np.sqrt(corrected[1]) + 1e-7)
    assert (sgd.iterations, adam.iterations) == (5, 5)
    found = values(model)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, err_msg=name)


def test_an_optimizer_for_a_part_beside_a_trainer_for_the_whole(backend):
    """Each keeps its state, whichever of the two built the buffers last."""
    loss, x_and_y = nn.SoftmaxCategoricalCrossentropy(), on(backend, X, Y, dtype="float64")
    trainer = nn.Trainer(bare(), loss, nn.Adam(0.01), backend=backend)
    twin, adam = bare().to(backend), nn.Adam(0.01)
    sgd, velocity = nn.SGD(0.1, momentum=0.9), dict.fromkeys(NAMES, 0.0)
    for _ in range(4):
        trainer.gradients(*x_and_y)
        sgd.step(trainer.model.layers[0])
        trainer.update()
        backward(twin, loss, *x_and_y)
        first = twin.layers[0]
        for name in NAMES:
            velocity[name] = 0.9 * velocity[name] - 0.1 * first.gradients()[name]
            setattr(first, name, first.parameters()[name] + velocity[name])
        adam.step(twin)
    for name, value in values(twin).items():
        np.testing.assert_allclose(values(trainer.model)[name], value, rtol=1e-9, err_msg=name)


def test_one_optimizer_on_the_parts_is_one_on_the_whole(backend):
    loss = nn.SoftmaxCategoricalCrossentropy()
    whole, parts = bare().to(backend), bare().to(backend)
    one, other = nn.Adam(0.05), nn.Adam(0.05)
    x, y = on(backend, X, Y, dtype="float64")
    for _ in range(4):
        backward(whole, loss, x, y)
        one.step(whole)
        backward(parts, loss, x, y)
        other.update(parts.layers[0])
        other.update(parts.layers[2])
        other.iterations += 1
    assert_same(values(parts), values(whole))


def test_tied_parameters_lie_in_one_part(backend):
    codes, targets = on(backend, RNG.integers(0, 9, (12, 1)), RNG.integers(0, 9, (12, 1)))
    loss = nn.SoftmaxCategoricalCrossentropy()

    def tied():
        words = nn.Embedding(9, 4, seed=0, dtype="float64", weight_regularizer_l2=0.1)
        head = nn.Dense(4, 9, seed=1, dtype="float64").tie("weights", words, transposed=True)
        block = nn.Block(words, nn.Tanh(), head)
        return nn.Sequential(block, nn.Dense(9, 9, seed=2, dtype="float64")).to(backend)

    whole, parts = tied(), tied()
    before = values(whole)
    one, first, second = (nn.Adam(0.05) for _ in range(3))
    for _ in range(4):
        backward(whole, loss, codes, targets)
        one.step(whole)
        backward(parts, loss, codes, targets)
        first.step(parts.layers[0])
        second.step(parts.layers[1])
    for name, value in values(whole).items():
        np.testing.assert_allclose(values(parts)[name], value, rtol=1e-9, err_msg=name)
        assert (value != before[name]).any()
    backward(parts, loss, codes, targets)
    words, _, head = parts.layers[0].layers
    with pytest.raises(ArgumentError, match="Put both layers into one model"):
        nn.Adam(0.05).step(head)
    wanted = gradients(parts)
    nn.SGD(0.0001).step(words)
    backward(parts, loss, codes, targets)
    for name, gradient in gradients(parts).items():
        np.testing.assert_allclose(gradient, wanted[name], rtol=1e-2, atol=1e-4, err_msg=name)


def test_the_norm_of_a_part_is_clipped_alone(backend):
    model, loss = bare().to(backend), nn.SoftmaxCategoricalCrossentropy()
    backward(model, loss, *on(backend, X, Y, dtype="float64"))
    before = values(model)
    nn.SGD(1.0, clip_norm=0.01).step(model.layers[0])
    nn.SGD(1.0, clip_norm=0.02).step(model.layers[2])
    for part, norm in ((0, 0.01), (2, 0.02)):
        steps = [values(model)[f"{part}.{each}"] - before[f"{part}.{each}"] for each in NAMES]
        assert np.sqrt(sum(np.sum(step**2) for step in steps)) == pytest.approx(norm)


def test_an_optimizer_that_stepped_a_part_is_refused_by_fit():
    model, optimizer = bare(), nn.Adam(0.05)
    backward(model, nn.SoftmaxCategoricalCrossentropy(), X, Y)
    optimizer.step(model.layers[0])
    trainer = nn.Trainer(
        model, nn.SoftmaxCategoricalCrossentropy(), optimizer, backend="numpy", metrics=()
    )
    with pytest.raises(ArgumentError, match="has stepped another model"):
        trainer.fit(X, Y, progress=False)


def two_models(backend):
    generator = nn.Sequential(
        nn.Dense(3, 5, dtype="float64"), nn.Tanh(), nn.Dense(5, 4, dtype="float64"), seed=0
    )
    discriminator = nn.Sequential(
        nn.Dense(4, 6, dtype="float64", weight_regularizer_l2=0.1),
        nn.LeakyReLU(),
        nn.Dense(6, 1, dtype="float64"),
        seed=1,
    )
    return generator.to(backend), discriminator.to(backend)


def test_the_gradient_of_one_model_goes_on_through_another(backend):
    """As with two models against each other: the generator's loss is the discriminator's."""
    generator, discriminator = two_models(backend)
    loss = nn.SigmoidBinaryCrossentropy()
    noise, ones = on(backend, X[:, :3], np.ones((12, 1)), dtype="float64")
    fakes = generator.forward(noise, training=True)
    mean, dvalues = loss.calculate_and_backward(discriminator.forward(fakes, training=True), ones)
    before = values(discriminator)
    generator.backward(discriminator.backward(dvalues))
    found = gradients(generator)
    assert len(found) == 4

    for name, array in generator.parameters().items():
        moving = copy.deepcopy(generator)

        def objective(moved, moving=moving, name=name):
            moving.parameters()[name][...] = moved
            judged = discriminator.forward(moving.forward(noise))
            return float(loss.calculate(judged, ones))

        numeric = numeric_gradient(objective, array)
        assert np.abs(numeric).max() > 1e-3
        assert_gradient(name, backend.asarray(found[name]), numeric, 4 * float(mean))
    # A step of the generator leaves the other model, whose gradients are set, as it is.
    nn.Adam(0.01).step(generator)
    assert_same(values(discriminator), before)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients(discriminator).values())


def test_the_pass_for_the_generator_leaves_nothing_for_the_discriminators_step(backend):
    generator, discriminator = two_models(backend)
    loss = nn.SigmoidBinaryCrossentropy()
    noise, real, ones, zeros = on(
        backend, X[:, :3], X, np.ones((12, 1)), np.zeros((12, 1)), dtype="float64"
    )
    both = backend.xp.concat([real, generator.forward(noise)])
    labels = backend.xp.concat([ones, zeros])
    backward(discriminator, loss, both, labels)
    expected = gradients(discriminator)
    judged = discriminator.forward(generator.forward(noise, training=True), training=True)
    generator.backward(discriminator.backward(loss.backward(judged, ones)))
    assert (gradients(discriminator)["0.weights"] != expected["0.weights"]).any()
    backward(discriminator, loss, both, labels)
    assert_same(gradients(discriminator), expected)


def differences(trainer, objective, X):
    """The gradient by X of a number that is computed of what the trained model predicts."""
    model = trainer.model
    return numeric_gradient(lambda moved: float(objective(model.forward(moved))), X)


def trained(backend, model, loss, y, X=X, **settings):
    trainer = nn.Trainer(model, loss, nn.Adam(0.02), metrics=(), backend=backend, **settings)
    trainer.fit(X, y, epochs=3, batch_size=4, progress=False)
    return trainer


VALUES = RNG.standard_normal((12, 2))
YES = RNG.integers(0, 2, (12, 1))

# Model, loss, targets, and the number of an output: each with what it puts out of its own.
MODELS = {
    "classes": lambda: (classifier(dtype="float64"), nn.CategoricalCrossentropy(), Y, 2),
    "logits": lambda: (bare(), nn.SoftmaxCategoricalCrossentropy(label_smoothing=0.1), Y, 0),
    "dropout and batch norm": lambda: (
        classifier(
            nn.BatchNorm(6, dtype="float64"),
            nn.Dropout(0.5),
            nn.GaussianNoise(0.3),
            nn.AlphaDropout(0.2),
            dtype="float64",
        ),
        nn.CategoricalCrossentropy(),
        Y,
        1,
    ),
    "within": lambda: (
        nn.Sequential(
            nn.Residual(nn.Dense(4, 4, dtype="float64"), nn.Dropout(0.5), nn.Tanh()),
            nn.Block(nn.Dense(4, 3, dtype="float64"), nn.BatchNorm(3, dtype="float64")),
            seed=0,
        ),
        nn.SoftmaxCategoricalCrossentropy(),
        Y,
        1,
    ),
    "yes or no": lambda: (
        nn.Sequential(nn.Dense(4, 1, dtype="float64"), nn.Sigmoid(), seed=0),
        nn.BinaryCrossentropy(),
        YES,
        0,
    ),
    "values": lambda: (
        nn.Sequential(
            nn.Dense(4, 5, dtype="float64", weight_regularizer_l2=0.5),
            nn.Tanh(),
            nn.Dense(5, 2, dtype="float64"),
            seed=0,
        ),
        nn.MeanSquaredError(),
        VALUES,
        1,
    ),
}


def logits_of(trainer):
    """The model up to where the loss begins, by itself."""
    links = trainer.learner.links
    return nn.Sequential(*copy.deepcopy(links))


@pytest.mark.parametrize("kind", MODELS)
def test_the_gradient_by_inputs_of_each_samples_loss(backend, kind):
    model, loss, y, _ = MODELS[kind]()
    trainer = trained(backend, model, loss, y)
    found = nn.input_gradients(trainer, X, y, batch_size=5)
    fused, before = trainer.learner.fused_loss, logits_of(trainer)
    (targets,) = on(backend, y, dtype="float64")
    (at,) = on(backend, X, dtype="float64")

    def total(moved):
        return float(backend.xp.sum(fused.forward(before.forward(moved), targets)))

    assert found.dtype == np.float64
    assert found.shape == X.shape
    assert_gradient(kind, found, numeric_gradient(total, at), 12.0)
    assert np.abs(found).max() > 1e-3


@pytest.mark.parametrize("kind", MODELS)
def test_the_gradient_by_inputs_of_one_output(backend, kind):
    model, loss, y, number = MODELS[kind]()
    trainer = trained(backend, model, loss, y)
    found = nn.input_gradients(trainer, X, output=number, batch_size=5)
    before = logits_of(trainer)
    (at,) = on(backend, X, dtype="float64")
    numeric = numeric_gradient(
        lambda moved: float(backend.xp.sum(before.forward(moved)[:, number])), at
    )
    assert_gradient(kind, found, numeric, 12.0)
    assert np.abs(found).max() > 1e-3


def test_of_sequences_it_is_the_sum_over_the_places_that_count(backend):
    X = RNG.standard_normal((5, 3, 4))
    y = RNG.integers(0, 3, (5, 3))
    y[1, 2] = y[3, 0] = -1
    loss = nn.SoftmaxCategoricalCrossentropy(ignore_index=-1)
    trainer = trained(backend, bare(), loss, y, X)
    x, targets = on(backend, X, y, dtype="float64")
    found = nn.input_gradients(trainer, X, y, batch_size=2)
    model = trainer.model
    numeric = numeric_gradient(
        lambda moved: float(backend.xp.sum(loss.forward(model.forward(moved), targets))), x
    )
    assert_gradient("the places of sequences", found, numeric, 12.0)
    assert (found[1, 2] == 0).all()
    assert (found[1, 1] != 0).all()
    numeric = numeric_gradient(lambda moved: float(backend.xp.sum(model.forward(moved)[..., 1])), x)
    assert_gradient("an output", nn.input_gradients(trainer, X, output=1), numeric, 12.0)


def test_codes_have_no_gradient(backend):
    codes = RNG.integers(0, 9, (6, 2))
    words = nn.Embedding(9, 3, dtype="float64")
    model = nn.Sequential(words, nn.Flatten(), nn.Dense(6, 3, dtype="float64"), seed=0)
    trainer = trained(backend, model, nn.SoftmaxCategoricalCrossentropy(), Y[:6], codes)
    found = nn.input_gradients(trainer, codes, Y[:6])
    np.testing.assert_array_equal(found, np.zeros((6, 2)))


def test_it_goes_through_tied_parameters(backend):
    first = nn.Dense(4, 3, dtype="float64", seed=0)
    last = nn.Dense(3, 4, dtype="float64", seed=1).tie("weights", first, transposed=True)
    model = nn.Sequential(first, nn.Tanh(), last)
    trainer = trained(backend, model, nn.MeanSquaredError(), X)
    (x,) = on(backend, X, dtype="float64")
    numeric = differences(trainer, lambda output: backend.xp.sum(output[:, 2]), x)
    assert_gradient("tied", nn.input_gradients(trainer, X, output=2), numeric, 12.0)


def test_it_is_in_float32_whatever_the_precision_of_the_steps():
    trainers = [new_trainer("numpy", precision=each) for each in ("float16", "float32")]
    half, full = (nn.input_gradients(trainer, X, Y) for trainer in trainers)
    np.testing.assert_array_equal(half, full)
    assert half.dtype == np.float32


def test_it_is_the_same_where_layers_run_alone(backend):
    """Without fused layers the gradient is the same, but for rounding."""
    fused, alone = (
        nn.input_gradients(
            new_trainer(backend, classifier(nn.Dense(6, 6), nn.ReLU()), fuse=each), X, output=1
        )
        for each in (True, False)
    )
    np.testing.assert_allclose(fused, alone, rtol=1e-4, atol=1e-6)


def test_a_training_goes_on_as_if_nobody_had_looked(backend):
    def run(look):
        model = classifier(nn.BatchNorm(6), nn.Dropout(0.5), trainable=("biases",))
        trainer = new_trainer(backend, model, nn.Adam(0.02, average_decay=0.9))
        trainer.fit(X, Y, epochs=2, batch_size=4, progress=False)
        batch = on(backend, X, Y)
        trainer.gradients(*batch)
        seen = gradients(trainer.model)
        if look:
            before = state(trainer)
            nn.input_gradients(trainer, X, Y)
            nn.input_gradients(trainer, X, output=1)
            assert_same(state(trainer), before)
            assert_same(gradients(trainer.model), seen)
            assert trainer.model.layers[0].trainable == ("biases",)
            assert trainer.model.layers[3].rate == 0.5
            assert trainer.model.layers[2].trainable is True
        trainer.update()
        history = trainer.fit(X, Y, epochs=2, batch_size=4, progress=False)
        return state(trainer), history

    (looked, with_a_look), (expected, without) = run(True), run(False)
    assert_same(looked, expected)
    assert with_a_look == without


class Shaking(StochasticLayer):
    """Draws, and does not say how to be silent."""

    def forward(self, inputs, training=False):
        return inputs

    def backward(self, dvalues):
        return dvalues


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((X,), {}, ArgumentError, "one of the two"),
        ((X, Y), {"output": 1}, ArgumentError, "one of the two"),
        ((X,), {"output": 3}, ArgumentError, "`output` must be below 3, the outputs; got 3"),
        ((X,), {"output": -1}, ArgumentError, "`output`"),
        ((X,), {"output": 1.5}, ArgumentError, "`output`"),
        ((X, Y), {"batch_size": 0}, ArgumentError, "`batch_size`"),
        ((X[:, :3], Y), {}, ShapeError, r"`X` must have shape \(samples, 4\); got \(12, 3\)"),
        ((X, Y[:5]), {}, LabelError, "one entry for each of the 12 samples"),
        ((X, Y + 1), {}, LabelError, "class indices from 0 to 2"),
        ((X * np.nan, Y), {}, nn.errors.DataError, "NaN"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, options, error, message):
    with pytest.raises(error, match=message):
        nn.input_gradients(new_trainer("numpy"), *arguments, **options)


def test_a_layer_that_cannot_be_silent_is_named():
    trainer = new_trainer("numpy", classifier(Shaking()))
    with pytest.raises(NotReadyError, match="Shaking does not say how to `silence` it"):
        nn.input_gradients(trainer, X, Y)
