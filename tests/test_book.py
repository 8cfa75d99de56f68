"""The book's names against references in plain NumPy, written from the formulas."""

from __future__ import annotations

import inspect
import pickle
import re

import numpy as np
import pytest
from safetensors.numpy import load as read_safetensors

import nnfs_xp as nn
from nnfs_xp import book

EPS = float(np.finfo(np.float64).eps)
EPS32 = float(np.finfo(np.float32).eps)


@pytest.fixture(autouse=True)
def _seeded():
    book.init(default_dtype="float64")
    yield
    book.init(default_dtype="float64", random_seed=None)


def assert_close(actual, expected, tolerance=1e4 * EPS):  # sums of up to 10**3 terms, and steps
    np.testing.assert_allclose(nn.to_numpy(actual), expected, rtol=tolerance, atol=tolerance)


def parameters_of(*layers):
    return [nn.to_numpy(array) for layer in layers for array in (layer.weights, layer.biases)]


def gradients_of(*layers):
    return [nn.to_numpy(array) for layer in layers for array in (layer.dweights, layer.dbiases)]


# Names, defaults, initial values ---------------------------------------------------------------

DEFAULTS = {
    book.Optimizer_SGD: {"learning_rate": 1.0, "decay": 0.0, "momentum": 0.0},
    book.Optimizer_Adagrad: {"learning_rate": 1.0, "decay": 0.0, "epsilon": 1e-7},
    book.Optimizer_RMSprop: {"learning_rate": 0.001, "decay": 0.0, "epsilon": 1e-7, "rho": 0.9},
    book.Optimizer_Adam: {
        "learning_rate": 0.001,
        "decay": 0.0,
        "epsilon": 1e-7,
        "beta_1": 0.9,
        "beta_2": 0.999,
    },
}


@pytest.mark.parametrize("optimizer", DEFAULTS)
def test_optimizers_take_the_books_arguments_in_its_order(optimizer):
    names = DEFAULTS[optimizer]
    assert {name: getattr(optimizer(), name) for name in names} == names
    arguments = [0.5 / place for place in range(1, len(names) + 1)]
    assert [getattr(optimizer(*arguments), name) for name in names] == arguments
    assert optimizer(0.25).current_learning_rate == 0.25
    assert optimizer().iterations == 0


def test_dense_takes_the_books_arguments_in_its_order():
    parameters = inspect.signature(book.Layer_Dense).parameters.values()
    positional = {p.name: p.default for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
    penalties = [f"{of}_regularizer_{norm}" for of in ("weight", "bias") for norm in ("l1", "l2")]
    empty = inspect.Parameter.empty
    assert list(positional) == ["n_inputs", "n_neurons", *penalties]
    assert list(positional.values()) == [empty, empty, 0, 0, 0, 0]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_dense_draws_weights_from_numpys_global_state(dtype):
    if dtype == "float32":
        book.init()  # its default
    np.random.seed(7)  # noqa: NPY002 # as a script does
    layer = book.Layer_Dense(4, 3)
    np.random.seed(7)  # noqa: NPY002
    draw = np.random.randn(4, 3)  # noqa: NPY002
    assert layer.weights.dtype == layer.biases.dtype == dtype
    assert_close(layer.weights, 0.01 * draw, 4 * np.finfo(dtype).eps)
    assert not layer.biases.any()
    assert layer.biases.shape == (1, 3)


# Scripts, layer by layer -----------------------------------------------------------------------


class Reference:
    """Dense, ReLU, dense, softmax and cross-entropy, in float64 by the chain rule."""

    def __init__(self, *layers):
        self.parameters = [array.astype(np.float64) for array in parameters_of(*layers)]
        self.history = []

    def loss(self, X, y):
        """Fills `gradients` too."""
        W1, b1, W2, b2 = self.parameters
        hidden = np.maximum(X @ W1 + b1, 0)
        scores = np.exp(hidden @ W2 + b2)
        p = scores / scores.sum(axis=1, keepdims=True)
        delta2 = (p - np.eye(p.shape[1])[y]) / len(y)
        delta1 = (delta2 @ W2.T) * (hidden > 0)
        pairs = ((X, delta1), (hidden, delta2))
        self.gradients = [g for x, d in pairs for g in (x.T @ d, d.sum(axis=0, keepdims=True))]
        return -np.mean(np.log(p[np.arange(len(y)), y]))

    def step(self, change, rate):
        """Add to each parameter the change that follows from all its gradients so far."""
        self.history.append((rate, self.gradients))
        rates = [past for past, _ in self.history]
        for index, values in enumerate(self.parameters):
            values += change(rates, [gradients[index] for _, gradients in self.history])


def faded(beta, terms):
    return sum(beta**age * term for age, term in enumerate(reversed(terms)))


def average(beta, terms):
    """The mean of the past, weighted by beta**age: what Adam's corrected moments come to."""
    return faded(beta, terms) / faded(beta, [1.0] * len(terms))


def squares(gradients):
    return [g**2 for g in gradients]


# Each optimizer, and its t-th change in closed form: from the rates and gradients 1 to t.
OPTIMIZERS = {
    "SGD": (lambda: book.Optimizer_SGD(decay=0.1), lambda r, g: -r[-1] * g[-1]),
    "momentum": (
        lambda: book.Optimizer_SGD(decay=0.1, momentum=0.9),
        lambda r, g: faded(0.9, [-rate * past for rate, past in zip(r, g, strict=True)]),
    ),
    "Adagrad": (
        lambda: book.Optimizer_Adagrad(decay=0.1),
        lambda r, g: -r[-1] * g[-1] / (np.sqrt(sum(squares(g))) + 1e-7),
    ),
    "RMSprop": (
        lambda: book.Optimizer_RMSprop(0.02, decay=0.1),
        lambda r, g: -r[-1] * g[-1] / (np.sqrt(0.1 * faded(0.9, squares(g))) + 1e-7),
    ),
    "Adam": (
        lambda: book.Optimizer_Adam(0.02, decay=0.1),
        lambda r, g: -r[-1] * average(0.9, g) / (np.sqrt(average(0.999, squares(g))) + 1e-7),
    ),
}


def script(X, y, dense1, dense2, optimizer, steps):
    """Chapters 9 and 10; yields the loss of each step when all but the update is done."""
    activation = book.Activation_ReLU()
    loss_activation = book.Activation_Softmax_Loss_CategoricalCrossentropy()
    for _ in range(steps):
        dense1.forward(X)
        activation.forward(dense1.output)
        dense2.forward(activation.output)
        loss = loss_activation.forward(dense2.output, y)
        loss_activation.backward(loss_activation.output, y)
        dense2.backward(loss_activation.dinputs)
        activation.backward(dense2.dinputs)
        dense1.backward(activation.dinputs)
        optimizer.pre_update_params()
        yield loss
        optimizer.update_params(dense1)
        optimizer.update_params(dense2)
        optimizer.post_update_params()


def check_script(X, y, given_X, given_y, layers, name, tolerance):
    build, change = OPTIMIZERS[name]
    optimizer, reference = build(), Reference(*layers)
    for step, loss in enumerate(script(given_X, given_y, *layers, optimizer, 5)):
        assert_close(loss, reference.loss(X, y), tolerance)
        for actual, expected in zip(gradients_of(*layers), reference.gradients, strict=True):
            assert_close(actual, expected, tolerance)
        rate = optimizer.learning_rate / (1 + 0.1 * step)
        assert optimizer.iterations == step
        assert optimizer.current_learning_rate == pytest.approx(rate)
        reference.step(change, rate)
    assert optimizer.iterations == 5
    assert optimizer.current_learning_rate == pytest.approx(rate)  # until the next step begins
    for actual, expected in zip(parameters_of(*layers), reference.parameters, strict=True):
        assert_close(actual, expected, tolerance)


@pytest.mark.parametrize("labels", ["integers", "one-hot", "lists"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_script_gives_the_numbers_of_the_formulas(name, labels):
    X, y = book.spiral_data(20, 3)
    given = {"integers": (X, y), "one-hot": (X, np.eye(3)[y]), "lists": (X.tolist(), y.tolist())}
    layers = book.Layer_Dense(2, 8), book.Layer_Dense(8, 3)
    # Small gradients, from differences, are divided by their own size: their rounding grows.
    check_script(X, y, *given[labels], layers, name, 1e6 * EPS)


def test_script_gives_the_same_numbers_on_every_backend(backend):
    book.init()
    X, y = book.spiral_data(20, 3)
    layers = [book.Layer_Dense(*shape).to(backend) for shape in ((2, 8), (8, 3))]
    check_script(X, y, backend.asarray(X), backend.asarray(y), layers, "momentum", 100 * EPS32)
    assert all(backend.owns(layer.output) for layer in layers)


@pytest.mark.parametrize("one_hot", [False, True])
def test_gradient_from_assigned_outputs_separate_and_combined(one_hot):
    probabilities = [[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.05, 0.8, 0.15]]
    labels = np.eye(3)[[0, 1, 1]].tolist() if one_hot else [0, 1, 1]
    combined = book.Activation_Softmax_Loss_CategoricalCrossentropy()
    combined.backward(probabilities, labels)
    activation, loss = book.Activation_Softmax(), book.Loss_CategoricalCrossentropy()
    activation.output = probabilities
    loss.backward(probabilities, labels)
    activation.backward(loss.dinputs)
    expected = (np.array(probabilities) - np.eye(3)[[0, 1, 1]]) / 3
    assert_close(combined.dinputs, expected)
    assert_close(activation.dinputs, expected)


def test_sigmoid_goes_back_from_an_assigned_output():
    activation = book.Activation_Sigmoid()
    activation.output = [[0.25, 0.9]]
    assert_close(activation.backward([[2, 1]]), [[2 * 0.25 * 0.75, 0.9 * 0.1]])


def test_penalties_add_to_the_loss_and_the_gradients(backend):
    layer = book.Layer_Dense(3, 2, 0.1, 0.2, 0.3, 0.4, dtype="float32").to(backend)
    weights = np.array([[1, -2], [0, 3], [-4, 0.5]])
    layer.weights = weights
    X, dvalues = np.array([[1, 2, 3], [-1, 0, 2]]), np.array([[1, -1], [2, 0.5]])
    layer.forward(X)
    layer.backward(dvalues)
    signs = np.array([[1, -1], [1, 1], [-1, 1]])  # 0 counts as positive
    assert_close(layer.dweights, X.T @ dvalues + 0.1 * signs + 0.4 * weights, 10 * EPS32)
    assert_close(layer.dbiases, [[3 + 0.3, -0.5 + 0.3]], 10 * EPS32)

    loss = book.Loss_MeanSquaredError()
    of_weights = 0.1 * 10.5 + 0.2 * 30.25
    assert_close(loss.regularization_loss(layer), of_weights, 10 * EPS32)
    layer.biases = [[1, -2]]
    assert loss.regularization_loss() == 0
    loss.remember_trainable_layers([layer, book.Layer_Dense(3, 2)])
    data, penalty = loss.calculate([[1.0]], [[3.0]], include_regularization=True)
    assert_close(data, 4.0)
    assert_close(penalty, of_weights + 0.3 * 3 + 0.4 * 5, 10 * EPS32)


def test_dropout_masks():
    book.init()
    X = np.ones((400, 50), dtype=np.float32)
    masks = []
    for seed in (3, 3, 4):
        np.random.seed(seed)  # noqa: NPY002 # as a script does
        layer = book.Layer_Dropout(0.25)
        masks.append(layer.forward(X))
    assert layer.output.dtype == np.float32
    assert set(np.unique(layer.output)) == {0, np.float32(1 / 0.75)}
    share = np.mean(layer.output == 0)
    assert abs(share - 0.25) < 5 * np.sqrt(0.25 * 0.75 / X.size)  # standard deviations
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[1], masks[2])

    assert np.array_equal(layer.forward(X, training=False), X)
    assert np.array_equal(layer.backward(2 * X), 2 * masks[2])  # after an evaluation pass
    assert not np.array_equal(layer.forward(X), masks[2])


# Losses ----------------------------------------------------------------------------------------

P, Y = np.array([[0.2, 0.9], [0.6, 0.3], [0.5, 0.1]]), np.array([[1, 1], [0, 1], [0, 0]])
LOSSES = {
    book.Loss_MeanSquaredError: ((P - Y) ** 2, 2 * (P - Y)),
    book.Loss_MeanAbsoluteError: (abs(P - Y), np.where(P > Y, 1, -1)),
    book.Loss_BinaryCrossentropy: (-np.log(np.where(Y, P, 1 - P)), np.where(Y, -1 / P, 1 / (1 - P))),
}


@pytest.mark.parametrize("loss_class", LOSSES)
def test_losses(loss_class):
    elements, slopes = LOSSES[loss_class]
    loss = loss_class()
    assert_close(loss.forward(P.tolist(), Y.tolist()), elements.mean(axis=1))
    assert_close(loss.backward(P, Y), slopes / 6)
    assert loss.calculate(P - 0.01 * loss.dinputs, Y) < loss.calculate(P, Y)  # it descends

    loss.new_pass()
    for rows in (slice(0, 2), slice(2, 3)):
        assert_close(loss.calculate(P[rows], Y[rows]), elements[rows].mean())
    assert_close(loss.calculate_accumulated(), elements.mean())


def test_cross_entropies_stay_finite_at_probabilities_of_0_and_1():
    categorical, binary = book.Loss_CategoricalCrossentropy(), book.Loss_BinaryCrossentropy()
    for loss, y in ((categorical, [0, 1]), (binary, [[1, 0], [0, 1]])):
        certain = [[0.0, 1.0], [1.0, 0.0]]
        assert np.isfinite(loss.calculate(certain, y))
        assert np.all(np.isfinite(loss.backward(certain, y)))
        assert loss.dinputs[0, 0] < 0


# Model -----------------------------------------------------------------------------------------


def model_of(*layers, loss, optimizer, accuracy):
    model = book.Model()
    for layer in layers:
        model.add(layer)
    model.set(loss=loss, optimizer=optimizer, accuracy=accuracy)
    model.finalize()
    return model


def classifier(optimizer, *, dropout=0.0, place="numpy", width=64):
    dense1 = book.Layer_Dense(2, width, weight_regularizer_l2=1e-5)
    parts = dense1, book.Activation_ReLU(), book.Layer_Dropout(dropout), book.Layer_Dense(width, 3)
    return model_of(
        *(layer.to(place) for layer in (*parts, book.Activation_Softmax())),
        loss=book.Loss_CategoricalCrossentropy(),
        optimizer=optimizer,
        accuracy=book.Accuracy_Categorical(),
    )


def linear(**penalties):
    return model_of(
        book.Layer_Dense(2, 1, **penalties),
        loss=book.Loss_MeanSquaredError(),
        optimizer=book.Optimizer_SGD(0.1, decay=0.5),
        accuracy=book.Accuracy_Regression(),
    )


def test_one_layer_trains_and_prints_the_books_lines(capsys):
    model = linear(weight_regularizer_l2=0.3)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(5, 2)), rng.normal(size=(5, 1))
    [[w, b]] = model.get_parameters()
    w[...] = [[1.0], [-1.0]]
    model.set_parameters([(w, b)])
    close = abs(y - X[:2] @ w)[:2].min() * 0  # no value is as near as std / 250

    def line(squares, rate):
        data, penalty = np.mean(squares), 0.3 * np.sum(w * w)
        return (
            f"acc: {close.item():.3f}, loss: {data + penalty:.3f} "
            f"(data_loss: {data:.3f}, reg_loss: {penalty:.3f}), lr: {rate}"
        )
    del line
    model.train(X, y)
    capsys.readouterr()
