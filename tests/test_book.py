"""The book's names against references in plain NumPy, written from the formulas."""

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
# The largest sums here have 60 terms, and errors add up over the steps of a script.
FEW, FEW32 = 1e4 * EPS, 100 * EPS32


@pytest.fixture(autouse=True)
def _seeded():
    book.init(default_dtype="float64")
    yield
    book.init(default_dtype="float64", random_seed=None)


def draw():
    return np.random.rand()  # noqa: NPY002 # the state that the book's scripts share


def seed(number):
    np.random.seed(number)  # noqa: NPY002 # the state that the book's scripts seed


def assert_close(actual, expected, tolerance=FEW):
    np.testing.assert_allclose(nn.to_numpy(actual), expected, rtol=tolerance, atol=tolerance)


def assert_all_close(actual, expected, tolerance):
    for one, other in zip(actual, expected, strict=True):
        assert_close(one, other, tolerance)


DEFAULTS = [
    (book.Optimizer_SGD, "learning_rate decay momentum", (1, 0, 0)),
    (book.Optimizer_Adagrad, "learning_rate decay epsilon", (1, 0, 1e-7)),
    (book.Optimizer_RMSprop, "learning_rate decay epsilon rho", (0.001, 0, 1e-7, 0.9)),
    (
        book.Optimizer_Adam,
        "learning_rate decay epsilon beta_1 beta_2",
        (0.001, 0, 1e-7, 0.9, 0.999),
    ),
]


@pytest.mark.parametrize(("optimizer", "names", "defaults"), DEFAULTS)
def test_optimizers_take_the_books_arguments_in_its_order(optimizer, names, defaults):
    arguments = tuple(0.5 / place for place in range(1, len(defaults) + 1))
    assert list(inspect.signature(optimizer).parameters)[: len(defaults)] == names.split()
    for values, made in ((defaults, optimizer()), (arguments, optimizer(*arguments))):
        assert tuple(getattr(made, name) for name in names.split()) == values
        assert (made.current_learning_rate, made.iterations) == (values[0], 0)


def test_dense_takes_the_books_arguments_in_its_order():
    parameters = inspect.signature(book.Layer_Dense).parameters.values()
    positional = {p.name: p.default for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
    penalties = [f"{of}_regularizer_{norm}" for of in ("weight", "bias") for norm in ("l1", "l2")]
    assert list(positional) == ["n_inputs", "n_neurons", *penalties]
    assert list(positional.values()) == [inspect.Parameter.empty] * 2 + [0] * 4


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_dense_draws_weights_from_numpys_global_state(dtype):
    if dtype == "float32":
        book.init()  # its default
    seed(7)
    layer = book.Layer_Dense(4, 3)
    seed(7)
    draw = np.random.randn(4, 3)  # noqa: NPY002 # the book's call
    assert layer.weights.dtype == layer.biases.dtype == dtype
    assert_close(layer.weights, 0.01 * draw, 4 * np.finfo(dtype).eps)
    assert np.array_equal(layer.biases, np.zeros((1, 3)))


class Reference:
    """Dense, ReLU, dense, softmax and cross-entropy, in float64 by the chain rule."""

    def __init__(self, parameters):
        self.parameters = [nn.to_numpy(array).astype(np.float64) for array in parameters]
        self.rates, self.past = [], []

    def ending(self, scores, y):
        """The loss, and its gradient by the last layer's output."""
        scores = np.exp(scores)
        p = scores / scores.sum(axis=1, keepdims=True)
        loss = -np.mean(np.log(p[np.arange(len(y)), y]))
        return loss, (p - np.eye(p.shape[1])[y]) / len(y)

    def loss(self, X, y):
        W1, b1, W2, b2 = self.parameters
        hidden = np.maximum(X @ W1 + b1, 0)
        loss, delta2 = self.ending(hidden @ W2 + b2, y)
        delta1 = (delta2 @ W2.T) * (hidden > 0)
        pairs = ((X, delta1), (hidden, delta2))
        self.gradients = [g for x, d in pairs for g in (x.T @ d, d.sum(axis=0, keepdims=True))]
        return loss

    def step(self, change, rate):
        self.rates.append(rate)
        self.past.append(self.gradients)
        for values, gradients in zip(self.parameters, zip(*self.past, strict=True), strict=True):
            values += change(np.array(self.rates), np.array(gradients))


def faded(beta, terms):
    return sum(beta**age * term for age, term in enumerate(reversed(terms)))


def average(beta, terms):
    """The mean of the past, weighted by beta**age: what Adam's corrected moments come to."""
    return faded(beta, terms) / faded(beta, [1.0] * len(terms))


def scaled(r, step, cache):
    return -r[-1] * step / (np.sqrt(cache) + 1e-7)


# The t-th change in closed form, from the rates r and the gradients g of the steps 1 to t.
SGD = book.Optimizer_SGD, (1, 0.1), lambda r, g: -r[-1] * g[-1]
MOMENTUM = book.Optimizer_SGD, (1, 0.1, 0.9), lambda r, g: -faded(0.9, r[:, None, None] * g)
ADAGRAD = book.Optimizer_Adagrad, (0.1, 0.1), lambda r, g: scaled(r, g[-1], sum(g**2))
RMS = book.Optimizer_RMSprop, (0.02, 0.1), lambda r, g: scaled(r, g[-1], 0.1 * faded(0.9, g**2))
ADAM = (
    book.Optimizer_Adam,
    (0.02, 0.1),
    lambda r, g: scaled(r, average(0.9, g), average(0.999, g**2)),
)


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


def check_script(X, y, given_X, given_y, layers, case, tolerance):
    """Run the script on the given forms of X and y beside the reference."""
    optimizer_class, (rate, decay, *more), change = case
    optimizer = optimizer_class(rate, decay, *more)
    reference = Reference(array for la in layers for array in (la.weights, la.biases))
    for step, loss in enumerate(script(given_X, given_y, *layers, optimizer, 5)):
        assert_close(loss, reference.loss(X, y), tolerance)
        gradients = [array for la in layers for array in (la.dweights, la.dbiases)]
        assert_all_close(gradients, reference.gradients, tolerance)
        current = rate / (1 + decay * step)
        assert optimizer.current_learning_rate == pytest.approx(current)
        assert optimizer.iterations == step
        reference.step(change, current)
    assert optimizer.current_learning_rate == pytest.approx(current)  # until the next step begins
    assert optimizer.iterations == 5
    parameters = [array for la in layers for array in (la.weights, la.biases)]
    assert_all_close(parameters, reference.parameters, tolerance)


@pytest.mark.parametrize("labels", ["integers", "one-hot", "lists"])
@pytest.mark.parametrize("case", [SGD, MOMENTUM, ADAGRAD, RMS, ADAM])
def test_script_gives_the_numbers_of_the_formulas(case, labels):
    X, y = book.spiral_data(20, 3)
    given = {"integers": (X, y), "one-hot": (X, np.eye(3)[y]), "lists": (X.tolist(), y.tolist())}
    layers = book.Layer_Dense(2, 8), book.Layer_Dense(8, 3)
    # Dividing small gradients by their own size makes their rounding errors count.
    check_script(X, y, *given[labels], layers, case, 100 * FEW)


def test_script_gives_the_same_numbers_on_every_backend(backend):
    book.init()
    X, y = book.spiral_data(20, 3)
    layers = [book.Layer_Dense(*shape).to(backend) for shape in ((2, 8), (8, 3))]
    check_script(X, y, backend.asarray(X), backend.asarray(y), layers, MOMENTUM, FEW32)
    assert all(backend.owns(layer.output) for layer in layers)


@pytest.mark.parametrize("labels", [[0, 1, 1], [[1, 0, 0], [0, 1, 0], [0, 1, 0]]])
def test_gradients_of_softmax_and_loss_separate_and_combined(labels):
    softmax_outputs = [[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.05, 0.8, 0.15]]
    combined = book.Activation_Softmax_Loss_CategoricalCrossentropy()
    combined.backward(softmax_outputs, labels)
    activation, loss = book.Activation_Softmax(), book.Loss_CategoricalCrossentropy()
    activation.output = softmax_outputs
    loss.backward(softmax_outputs, labels)
    activation.backward(loss.dinputs)
    expected = (np.array(softmax_outputs) - np.eye(3)[[0, 1, 1]]) / 3
    assert_close(combined.dinputs, expected)
    assert_close(activation.dinputs, expected)


def test_penalties_add_to_the_loss_and_the_gradients(backend):
    layer = book.Layer_Dense(3, 2, 0.1, 0.2, 0.3, 0.4, dtype="float32").to(backend)
    layer.weights = weights = np.array([[1, -2], [0, 3], [-4, 0.5]])
    X, dvalues = np.array([[1, 2, 3], [-1, 0, 2]]), np.array([[1, -1], [2, 0.5]])
    layer.forward(X)
    layer.backward(dvalues)
    signs = np.array([[1, -1], [1, 1], [-1, 1]])  # 0 counts as positive
    assert_close(layer.dweights, X.T @ dvalues + 0.1 * signs + 0.4 * weights, FEW32)
    assert_close(layer.dbiases, [[3 + 0.3, -0.5 + 0.3]], FEW32)

    loss = book.Loss_MeanSquaredError()
    of_weights = 0.1 * 10.5 + 0.2 * 30.25
    assert_close(loss.regularization_loss(layer), of_weights, FEW32)
    layer.biases = [[1, -2]]
    assert loss.regularization_loss() == 0
    loss.remember_trainable_layers([layer, book.Layer_Dense(3, 2)])
    data, penalty = loss.calculate([[1.0]], [[3.0]], include_regularization=True)
    assert_close(data, 4.0)
    assert_close(penalty, of_weights + 0.3 * 3 + 0.4 * 5, FEW32)


def test_dropout_masks():
    X = np.ones((400, 50), dtype=np.float32)
    masks = []
    for number in (3, 3, 4):
        seed(number)
        layer = book.Layer_Dropout(0.25)
        masks.append(layer.forward(X))
    assert layer.output.dtype == np.float32
    assert set(np.unique(layer.output)) == {0, np.float32(1 / 0.75)}
    share = np.mean(layer.output == 0)
    assert abs(share - 0.25) < 5 * np.sqrt(0.25 * 0.75 / X.size)  # standard deviations
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[1], masks[2])

    assert np.array_equal(layer.forward(X, training=False), X)
    assert np.array_equal(layer.backward(2 * X), 2 * X)  # after an evaluation pass
    assert np.array_equal(layer.binary_mask, np.ones_like(X))
    layer.forward(X)
    assert np.array_equal(layer.backward(2 * X), 2 * layer.binary_mask)
    assert set(np.unique(layer.binary_mask)) == {0, np.float32(1 / 0.75)}
    assert not np.array_equal(layer.forward(X), masks[2])


def test_dropout_on_other_backends_draws_one_seed_from_the_global_state(backend):
    X = backend.asarray(np.ones((40, 50), dtype=np.float32))
    if backend.name == "numpy":
        X = nn.get_backend("array_api_strict").asarray(X)
    masks = []
    for number in (3, 3, 4):
        seed(number)
        layer = book.Layer_Dropout(0.25)
        masks += [nn.to_numpy(layer.forward(X)) for _ in range(2)]
        assert_close(layer.binary_mask, masks[-1])
    drawn = draw()
    seed(4)
    np.random.randint(2**31)  # noqa: NPY002
    assert drawn == draw()
    for mask in masks:
        assert set(np.unique(mask)) == {0, np.float32(1 / 0.75)}
    assert np.array_equal(masks[:2], masks[2:4])
    assert not np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[2], masks[4])


def dropout_reference(steps, dtype):
    """Chapter 15's script: yields the loss, the mask and the parameters before each step."""
    X, y = book.spiral_data(30, 3)
    draw = np.random.randn  # as the book's scripts
    parameters = [
        0.01 * draw(2, 16).astype(dtype),
        np.zeros((1, 16), dtype),
        0.01 * draw(16, 3).astype(dtype),
        np.zeros((1, 3), dtype),
    ]
    m, v = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    for t in range(1, steps + 1):
        W1, b1, W2, b2 = parameters
        hidden = np.maximum(X @ W1 + b1, 0)
        mask = np.random.binomial(1, 0.9, size=hidden.shape) / 0.9  # noqa: NPY002
        dropped = hidden * mask
        scores = dropped @ W2 + b2
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        yield -np.mean(np.log(p[np.arange(len(y)), y])), mask, parameters
        delta2 = (p - np.eye(3)[y]) / len(y)
        delta1 = delta2 @ W2.T * mask * (hidden > 0)
        gradients = (
            X.T @ delta1 + 2 * 5e-4 * W1,
            delta1.sum(axis=0, keepdims=True) + 2 * 5e-4 * b1,
            dropped.T @ delta2,
            delta2.sum(axis=0, keepdims=True),
        )
        rate = 0.05 / (1 + 5e-5 * (t - 1))
        for n, g in enumerate(gradients):
            m[n] = 0.9 * m[n] + 0.1 * g
            v[n] = 0.999 * v[n] + 0.001 * g**2
            step = m[n] / (1 - 0.9**t) / (np.sqrt(v[n] / (1 - 0.999**t)) + 1e-7)
            parameters[n] = (parameters[n] - rate * step).astype(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", FEW32), ("float64", FEW)])
def test_dropout_has_the_masks_and_the_losses_of_the_book(dtype, tolerance):
    steps = 40
    book.init(default_dtype=dtype)
    expected = [(loss, mask) for loss, mask, _ in dropout_reference(steps, dtype)]
    afterwards = draw()

    book.init(default_dtype=dtype)
    X, y = book.spiral_data(30, 3)
    dense1 = book.Layer_Dense(2, 16, weight_regularizer_l2=5e-4, bias_regularizer_l2=5e-4)
    activation, dropout, dense2 = (
        book.Activation_ReLU(),
        book.Layer_Dropout(0.1),
        book.Layer_Dense(16, 3),
    )
    loss_activation = book.Activation_Softmax_Loss_CategoricalCrossentropy()
    optimizer = book.Optimizer_Adam(learning_rate=0.05, decay=5e-5)
    losses = []
    for step in range(steps):
        dense1.forward(X)
        activation.forward(dense1.output)
        dropout.forward(activation.output)
        dense2.forward(dropout.output)
        losses.append(float(loss_activation.forward(dense2.output, y)))
        assert dropout.binary_mask.dtype == dropout.output.dtype == dtype
        assert np.array_equal(dropout.binary_mask, expected[step][1].astype(dtype))
        loss_activation.backward(loss_activation.output, y)
        dense2.backward(loss_activation.dinputs)
        dropout.backward(dense2.dinputs)
        activation.backward(dropout.dinputs)
        dense1.backward(activation.dinputs)
        optimizer.pre_update_params()
        for layer in (dense1, dense2):
            optimizer.update_params(layer)
        optimizer.post_update_params()
    assert draw() == afterwards
    np.testing.assert_allclose(losses, [loss for loss, _ in expected], rtol=tolerance)
    assert losses[-1] < 0.97 * losses[0]


def test_a_model_draws_the_masks_of_the_script_and_none_in_evaluation():
    steps = 5
    *_, (loss, mask, _) = dropout_reference(steps, "float64")
    afterwards = draw()
    book.init(default_dtype="float64")
    X, y = book.spiral_data(30, 3)
    model = model_of(
        book.Loss_CategoricalCrossentropy(),
        book.Optimizer_Adam(learning_rate=0.05, decay=5e-5),
        book.Accuracy_Categorical(),
        book.Layer_Dense(2, 16, weight_regularizer_l2=5e-4, bias_regularizer_l2=5e-4),
        book.Activation_ReLU(),
        book.Layer_Dropout(0.1),
        book.Layer_Dense(16, 3),
        book.Activation_Softmax(),
    )
    model.train(X, y, epochs=steps, shuffle=False)
    assert np.array_equal(model.layers[2].binary_mask, mask)
    assert_close(model.loss.calculate_accumulated(), loss, 100 * FEW)
    model.evaluate(X, y)
    model.predict(X)
    assert draw() == afterwards


def test_dropout_on_samples_that_are_no_rows():
    X = np.ones((4, 5, 6))
    layer = book.Layer_Dropout(0.5)
    seed(2)
    layer.forward(X)
    seed(2)
    mask = np.random.binomial(1, 0.5, size=X.shape) / 0.5  # noqa: NPY002 # the book's call
    assert np.array_equal(layer.output, mask)
    assert np.array_equal(layer.binary_mask, mask)
    assert np.array_equal(layer.backward(3 * X), 3 * mask)
    layer.forward(X, training=False)
    assert np.array_equal(layer.backward(3 * X), 3 * X)


def test_mean_absolute_error_descends_and_adds_up_over_a_pass():
    loss = book.Loss_MeanAbsoluteError()
    y_pred, y = [[1, 5], [2, 2], [0.5, 4]], [[3, 1], [2.5, 1], [1.5, 0]]
    assert_close(loss.forward(y_pred, y), [3, 0.75, 2.5])
    assert_close(loss.backward(y_pred, y), np.array([[-1, 1], [-1, 1], [-1, 1]]) / 6)
    assert_close(loss.calculate(y_pred - loss.dinputs, y), 6.25 / 3 - 1 / 6)
    loss.new_pass()
    assert_close(loss.calculate(y_pred[:2], y[:2]), 3.75 / 2)
    assert_close(loss.calculate(y_pred[2:], y[2:]), 2.5)
    assert_close(loss.calculate_accumulated(), 6.25 / 3)


def test_cross_entropy_is_finite_where_certain_and_wrong():
    y_pred = [[0.0, 1.0], [1.0, 0.0]]
    categorical, binary = book.Loss_CategoricalCrossentropy(), book.Loss_BinaryCrossentropy()
    for loss, y in ((categorical, [0, 1]), (binary, [[1, 0], [0, 1]])):
        assert np.isfinite(loss.calculate(y_pred, y))
        assert np.all(np.isfinite(loss.backward(y_pred, y)))
        assert loss.dinputs[0, 0] < 0


class YesOrNo(Reference):
    """With a sigmoid and the binary cross-entropy of chapter 16."""

    def ending(self, scores, y):
        p = 1 / (1 + np.exp(-scores))
        self.right = (p > 0.5) == y
        return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)), (p - y) / y.size


class Regression(Reference):
    """With the mean squared error of chapter 17."""

    def ending(self, scores, y):
        self.right = np.abs(scores - y) < np.std(y) / 250
        return np.mean((scores - y) ** 2), 2 * (scores - y) / y.size


@pytest.mark.parametrize("case", [MOMENTUM, ADAGRAD, RMS, ADAM])
@pytest.mark.parametrize(
    ("reference_class", "last", "loss", "accuracy"),
    [
        (
            YesOrNo,
            book.Activation_Sigmoid,
            book.Loss_BinaryCrossentropy,
            lambda: book.Accuracy_Categorical(binary=True),
        ),
        (
            Regression,
            book.Activation_Linear,
            book.Loss_MeanSquaredError,
            book.Accuracy_Regression,
        ),
    ],
)
def test_models_print_the_numbers_of_the_formulas(
    reference_class, last, loss, accuracy, case, capsys, tmp_path
):
    optimizer_class, (rate, decay, *more), change = case
    X, labels = book.spiral_data(20, 2)
    X = np.concatenate([X, labels[:, None] - X[:, :1]], axis=1)
    y = labels[:, None] if last is book.Activation_Sigmoid else X[:, :1] ** 2
    layers = book.Layer_Dense(3, 8), book.Activation_ReLU(), book.Layer_Dense(8, 1), last()
    optimizer = optimizer_class(rate, decay, *more)
    model = model_of(loss(), optimizer, accuracy(), *layers)
    reference = reference_class(a for pair in model.get_parameters() for a in pair)
    model.train(X, y, epochs=6)
    printed = [x for x in capsys.readouterr().out.splitlines() if x.startswith("step: 0")]
    assert len(printed) == 6
    for step, line in enumerate(printed):
        value, current = reference.loss(X, y), rate * (1 / (1 + decay * step))
        assert line == (
            f"step: 0, acc: {np.mean(reference.right):.3f}, loss: {value:.3f} "
            f"(data_loss: {value:.3f}, reg_loss: 0.000), lr: {current}"
        )
        reference.step(change, current)
    parameters = [a for pair in model.get_parameters() for a in pair]
    assert_all_close(parameters, reference.parameters, 100 * FEW)

    model.save(tmp_path / "whole")
    loaded = book.Model.load(tmp_path / "whole")
    final = reference.loss(X, y)
    for each in (model, loaded):
        each.evaluate(X, y)
        line = f"validation, acc: {np.mean(reference.right):.3f}, loss: {final:.3f}\n"
        assert capsys.readouterr().out == line
    answers = loaded.output_layer_activation.predictions(loaded.predict(X))
    if last is book.Activation_Sigmoid:
        assert np.array_equal(answers == y, reference.right)


def model_of(loss, optimizer, accuracy, *layers):
    model = book.Model()
    for layer in layers:
        model.add(layer)
    model.set(loss=loss, optimizer=optimizer, accuracy=accuracy)
    model.finalize()
    return model


def classifier(optimizer, width=8, dropout=0.2, place="numpy"):
    layers = (
        book.Layer_Dense(2, width, weight_regularizer_l2=1e-5),
        book.Activation_ReLU(),
        book.Layer_Dropout(dropout),
        book.Layer_Dense(width, 3),
        book.Activation_Softmax(),
    )
    loss, accuracy = book.Loss_CategoricalCrossentropy(), book.Accuracy_Categorical()
    return model_of(loss, optimizer, accuracy, *(layer.to(place) for layer in layers))


def printed_accuracy(capsys, model, X, y):
    capsys.readouterr()
    model.evaluate(X, y, batch_size=64)
    return float(re.fullmatch(r"validation, acc: (.*), loss: .*\n", capsys.readouterr().out)[1])


def test_one_layer_trains_and_prints_the_books_lines(capsys):
    X, w = np.random.default_rng(0).normal(size=(4, 2)), np.array([[1.0], [-1.0]])
    y = X @ w - np.array([[0, 0, 1, 2]]).T  # the first two are right before training
    layer = book.Layer_Dense(2, 1, weight_regularizer_l2=0.5)
    optimizer = book.Optimizer_SGD(0.1, decay=0.5)
    model = model_of(book.Loss_MeanSquaredError(), optimizer, book.Accuracy_Regression(), layer)
    model.set_parameters([(w, [[0]])])
    data = {"X": X.tolist(), "y": y.tolist(), "validation_data": (X, y)}
    model.train(**data, batch_size=2, print_every=2, shuffle=False)

    first = "acc: 1.000, loss: 1.000 (data_loss: 0.000, reg_loss: 1.000), lr: 0.1"
    w = w - 0.1 * w  # all of it by the penalty
    errors = X @ w - y
    slope = errors[2:]  # 2 * errors / 2 samples
    second = np.mean(slope**2), 0.5 * np.sum(w**2)
    w, b = w - 0.1 / 1.5 * (X[2:].T @ slope + w), -0.1 / 1.5 * slope.sum()
    final = second[0] / 2, 0.5 * np.sum(w**2)  # the loss of the first two was 0
    lines = [
        f"acc: {accuracy}, loss: {data + penalty:.3f} (data_loss: {data:.3f}, "
        f"reg_loss: {penalty:.3f}), lr: {0.1 / 1.5}"
        for accuracy, (data, penalty) in (("0.000", second), ("0.500", final))
    ]
    loss = np.mean((X @ w + b - y) ** 2)
    assert capsys.readouterr().out.splitlines() == [
        "epoch: 1",
        f"step: 0, {first}",
        f"step: 1, {lines[0]}",
        f"training, {lines[1]}",
        f"validation, acc: 0.000, loss: {loss:.3f}",
    ]
    assert_all_close(model.get_parameters()[0], (w, [[b]]), FEW)
    assert_close(model.predict(X, batch_size=3), X @ w + b)


def test_classification_of_the_spiral(capsys):
    X, y = book.spiral_data(100, 3)
    model = classifier(book.Optimizer_SGD(0.5), width=64, dropout=0.0)
    model.layers[0].weights *= 100  # about 1 each: a quicker start, so fewer epochs
    model.train(X, y, batch_size=32)
    model.set(optimizer=book.Optimizer_Adam(0.02, decay=1e-4))  # in mid-training
    model.train(X, y, epochs=1500)
    share = np.mean(np.argmax(model.predict(X), axis=1) == y)
    assert share > 0.85
    for labels in (y, np.eye(3)[y]):
        assert printed_accuracy(capsys, model, X, labels) == pytest.approx(share, abs=6e-4)


def test_regression_of_the_sine(capsys):
    X, y = book.sine_data()
    dense1, dense2, dense3 = (book.Layer_Dense(*shape) for shape in ((1, 64), (64, 64), (64, 1)))
    for layer in (dense1, dense2, dense3):
        layer.weights *= 10  # chapter 17: 0.01 is too little to begin with
    layers = dense1, book.Activation_ReLU(), dense2, book.Activation_ReLU(), dense3
    loss, accuracy = book.Loss_MeanSquaredError(), book.Accuracy_Regression()
    optimizer = book.Optimizer_Adam(0.01, decay=1e-3)
    model = model_of(loss, optimizer, accuracy, *layers, book.Activation_Linear())
    model.train(X, y, epochs=60, batch_size=32, print_every=100)
    distance = abs(model.predict(X) - y)
    assert np.mean(distance) < 0.05
    share = np.mean(distance < np.std(y) / 250)
    assert printed_accuracy(capsys, model, X, y) == pytest.approx(share, abs=6e-4)


def test_accuracy_of_two_yes_or_no_outputs(capsys):
    X = np.random.default_rng(0).normal(size=(200, 2))
    y = (X > 0).astype(int)
    loss, accuracy = book.Loss_BinaryCrossentropy(), book.Accuracy_Categorical(binary=True)
    layers = book.Layer_Dense(2, 2), book.Activation_Sigmoid()
    model = model_of(loss, book.Optimizer_Adam(0.1), accuracy, *layers)
    model.train(X, y, epochs=20, batch_size=50)
    accuracies = [float(text) for text in re.findall(r"acc: ([\d.]+)", capsys.readouterr().out)]
    assert len(accuracies) == 20 * 5
    assert max(accuracies) <= 1
    share = np.mean((model.predict(X) > 0.5) == y)
    assert share > 0.9
    assert printed_accuracy(capsys, model, X, y) == pytest.approx(share, abs=6e-4)


def test_model_trains_the_same_on_every_backend(backend):
    book.init()
    X, y = book.spiral_data(20, 3)
    parameters = []
    for place in ("numpy", backend):
        seed(5)  # of the weights; masks are NumPy's own on NumPy alone
        model = classifier(book.Optimizer_SGD(0.5), dropout=0, place=place)
        model.train(X, y, epochs=3, batch_size=16)
        assert nn.get_backend(place).owns(model.predict(X))
        parameters.append([nn.to_numpy(a) for pair in model.get_parameters() for a in pair])
    assert_all_close(*parameters, FEW32)


def test_parameters_are_copies():
    model, X = classifier(book.Optimizer_SGD()), [[1, 2]]
    before, parameters = model.predict(X), model.get_parameters()
    for weights, biases in parameters:
        weights += np.arange(weights.shape[1])
        biases += 0.5
    assert np.array_equal(model.predict(X), before)
    model.set_parameters(parameters)
    assert not np.allclose(model.predict(X), before)


def test_files(tmp_path):
    X, y = book.spiral_data(20, 3)
    model = classifier(book.Optimizer_SGD(0.25, decay=0.1, momentum=0.5))
    model.train(X, y, epochs=2)
    parameters, whole = tmp_path / "parameters", str(tmp_path / "whole")
    model.save_parameters(parameters)
    model.save(whole)
    tensors = read_safetensors(parameters.read_bytes())  # a format with no room for a pickle
    for (weights, biases), index in zip(model.get_parameters(), (0, 3), strict=True):
        assert np.array_equal(tensors[f"{index}.weights"], weights)
        assert np.array_equal(tensors[f"{index}.biases"], biases)

    other, loaded = classifier(book.Optimizer_Adam()), book.Model.load(whole)
    other.load_parameters(parameters)
    for each in (other, loaded):
        assert np.array_equal(each.predict(X), model.predict(X))
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    assert (type(loaded.loss), type(loaded.accuracy)) == (type(model.loss), type(model.accuracy))
    assert loaded.layers[0].weight_regularizer_l2 == 1e-5
    optimizer = loaded.optimizer
    assert (optimizer.learning_rate, optimizer.decay, optimizer.momentum) == (0.25, 0.1, 0.5)
    loaded.train(X, y)
    assert not np.array_equal(loaded.predict(X), model.predict(X))

    (tmp_path / "pickle").write_bytes(pickle.dumps(model.get_parameters()))
    with pytest.raises(nn.errors.CheckpointError):
        book.Model.load(tmp_path / "pickle")


def test_accuracies_broadcast_nothing():
    regression = book.Accuracy_Regression()
    with pytest.raises(nn.errors.NotReadyError, match="init"):
        regression.calculate([[1.0]], [1.0])
    targets = np.array([1.0, 2.0, 3.0])
    regression.init(targets)
    assert regression.calculate(targets[:, None], targets) == 1
    binary = book.Accuracy_Categorical(binary=True)
    assert binary.calculate([[1], [0], [1]], [1, 0, 0]) == pytest.approx(2 / 3)
    with pytest.raises(nn.errors.LabelError):
        book.Accuracy_Categorical().calculate([1, 0, 1], [1, 0])


def test_a_loaded_regression_can_be_evaluated(tmp_path, capsys):
    seed(0)
    X, y = book.sine_data(50)
    model = book.Model()
    model.add(book.Layer_Dense(1, 1))
    model.set(
        loss=book.Loss_MeanSquaredError(),
        optimizer=book.Optimizer_SGD(0.1),
        accuracy=book.Accuracy_Regression(),
    )
    model.finalize()
    model.train(X, y)
    model.save(tmp_path / "model.safetensors")
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    loaded = book.Model.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    capsys.readouterr()
    loaded.evaluate(X, y)
    assert re.match(r"validation, acc: \d\.\d{3}, loss: ", capsys.readouterr().out)


def test_a_loss_set_after_finalize_counts():
    model = book.Model()
    model.add(book.Layer_Dense(2, 3, weight_regularizer_l2=1.0))
    model.add(book.Activation_Softmax())
    model.finalize()
    assert model.softmax_classifier_output is None
    model.set(loss=book.Loss_CategoricalCrossentropy())
    assert model.softmax_classifier_output is not None
    assert float(model.loss.regularization_loss()) > 0
    model.set(loss=book.Loss_MeanSquaredError())
    assert model.softmax_classifier_output is None
    assert model.output_layer_activation is model.layers[-1]


def test_vertical_data():
    seed(3)
    X, y = book.vertical_data(samples=4, classes=2)
    seed(3)
    for number in range(2):
        rows = X[y == number]
        assert_close(rows[:, 0], 0.1 * np.random.randn(4) + number / 3)  # noqa: NPY002
        assert_close(rows[:, 1], 0.1 * np.random.randn(4) + 0.5)  # noqa: NPY002


def test_backward_is_that_of_the_last_forward():
    layer = book.Layer_Dense(2, 3)
    layer.forward(np.ones((4, 2)))
    layer.forward(5 * np.ones((6, 2)), training=False)
    layer.backward(np.ones((6, 3)))
    assert np.array_equal(layer.dweights, np.full((2, 3), 30.0))


def _regression_model(rows=6):
    X = np.linspace(0, 1, rows)[:, None]
    model = book.Model()
    model.add(book.Layer_Dense(1, 4))
    model.add(book.Activation_ReLU())
    model.add(book.Layer_Dense(4, 1))
    model.add(book.Activation_Linear())
    model.set(
        loss=book.Loss_MeanSquaredError(),
        optimizer=book.Optimizer_SGD(0.1),
        accuracy=book.Accuracy_Regression(),
    )
    model.finalize()
    return model, X, 2 * X


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda m, X, y: m.train(X, y, batch_size=0), ValueError),
        (lambda m, X, y: m.train(X, y, batch_size=2.5), ValueError),
        (lambda m, X, y: m.train(X, y, epochs=-1), ValueError),
        (lambda m, X, y: m.train(X, y, print_every=0), ValueError),
        (lambda m, X, y: m.train(X, y, validation_data=(X,)), ValueError),
        (lambda m, X, y: m.train(X[:0], y[:0]), nn.errors.ShapeError),
        (lambda m, X, y: m.train(np.full_like(X, np.nan), y), nn.errors.DataError),
        (lambda m, X, y: m.train(X, y * np.nan), nn.errors.DataError),
        (lambda m, X, y: m.train(X, y[:2]), nn.errors.LabelError),
        (lambda m, X, y: m.predict(X[:0]), nn.errors.ShapeError),
        (lambda m, X, y: m.set(loss="mse"), ValueError),
        (lambda m, X, y: m.set(optimizer=nn.SGD()), ValueError),
        (lambda m, X, y: m.set_parameters([]), ValueError),
        (lambda m, X, y: m.set_parameters([(1, 2, 3), None]), ValueError),
        (lambda m, X, y: m.loss.calculate_accumulated(), nn.errors.NotReadyError),
        (lambda m, X, y: m.accuracy.calculate_accumulated(), nn.errors.NotReadyError),
    ],
)
def test_model_refuses_and_stays_as_it_was(call, error):
    model, X, y = _regression_model()
    before = [array.copy() for pair in model.get_parameters() for array in pair]
    with pytest.raises(nn.NnfsError) as caught:
        call(model, X, y)
    assert isinstance(caught.value, error)
    after = [array for pair in model.get_parameters() for array in pair]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("labels", [[0, 3], [0, -1], [[2, 0, 0], [0, 0, 0]]])
def test_labels_that_are_no_classes(labels):
    with pytest.raises(nn.errors.LabelError):
        book.Loss_CategoricalCrossentropy().calculate(np.full((2, 3), 1 / 3), labels)


def test_shuffles_follow_the_seed_and_draw_nothing_from_it():
    weights, numbers = [], []
    for number in (1, 1, 2):
        seed(0)
        model, X, y = _regression_model(rows=12)
        seed(number)
        model.train(X, y, epochs=2, batch_size=5)
        weights.append(model.get_parameters()[0][0])
        numbers.append(draw())
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])
    seed(1)
    assert numbers[0] == draw()


def test_loading_parameters_draws_nothing_and_needs_no_class(tmp_path):
    class MyDense(book.Layer_Dense):
        pass

    model = book.Model()
    model.add(MyDense(2, 3))
    model.finalize()
    kept = model.get_parameters()[0][0]
    model.save_parameters(tmp_path / "p.safetensors")
    model.set_parameters([(np.zeros((2, 3)), np.zeros((1, 3)))])
    seed(5)
    model.load_parameters(tmp_path / "p.safetensors")
    drawn = draw()
    seed(5)
    assert drawn == draw()
    assert np.array_equal(model.get_parameters()[0][0], kept)


def test_categorical_accuracy_truncates_nothing():
    accuracy = book.Accuracy_Categorical()
    assert accuracy.compare(np.array([0.9, 1.0]), np.array([0, 1])).tolist() == [False, True]


class OwnLoss(book.Loss):
    """As a reader writes it: no call of the base's __init__, and backward returns nothing."""

    def __init__(self, power=2):
        self.power = power

    def forward(self, y_pred, y_true):
        return np.mean(np.abs(y_true - y_pred) ** self.power, axis=-1)

    def backward(self, dvalues, y_true):
        samples, outputs = dvalues.shape
        away = dvalues - y_true
        slope = self.power * np.abs(away) ** (self.power - 1) * np.sign(away)
        self.dinputs = slope / outputs / samples


class OwnAccuracy(book.Accuracy):
    def compare(self, predictions, y):
        return np.absolute(predictions - y) < 0.1


class OwnActivation:
    def forward(self, inputs, training):
        self.output = np.tanh(inputs)

    def backward(self, dvalues):
        self.dinputs = dvalues * (1 - self.output**2)

    def predictions(self, outputs):
        return outputs


class OwnOptimizer:
    def __init__(self, learning_rate=1.0, momentum=0.0):
        self.current_learning_rate, self.momentum = learning_rate, momentum
        self.steps = 0

    def pre_update_params(self):
        pass

    def update_params(self, layer):
        if not hasattr(layer, "weight_momentums"):
            layer.weight_momentums = np.zeros_like(layer.weights)
            layer.bias_momentums = np.zeros_like(layer.biases)
        rate = self.current_learning_rate
        layer.weight_momentums = self.momentum * layer.weight_momentums - rate * layer.dweights
        layer.bias_momentums = self.momentum * layer.bias_momentums - rate * layer.dbiases
        layer.weights += layer.weight_momentums
        layer.biases += layer.bias_momentums

    def post_update_params(self):
        self.steps += 1


def test_a_loss_of_ones_own_in_a_loop_of_ones_own():
    y_pred, y = np.array([[1.0, 5.0], [2.0, 2.0], [0.5, 4.0]]), [[3, 1], [2.5, 1], [1.5, 0]]
    layer = book.Layer_Dense(3, 2, 0, 0.5)
    loss = OwnLoss(power=3)
    cubes = np.abs(y_pred - y) ** 3
    assert_close(loss.calculate(y_pred, y), np.mean(cubes))
    assert loss.regularization_loss() == 0
    assert_close(loss.regularization_loss(layer), 0.5 * np.sum(layer.weights**2))
    loss.remember_trainable_layers([layer])
    data, penalty = loss.calculate(y_pred[:2], y[:2], include_regularization=True)
    assert_all_close((data, penalty), (np.mean(cubes[:2]), 0.5 * np.sum(layer.weights**2)), FEW)
    loss.new_pass()
    loss.calculate(y_pred[:2], y[:2])
    loss.calculate(y_pred[2:], y[2:])
    mean, penalty = loss.calculate_accumulated(include_regularization=True)
    assert_all_close((mean, penalty), (np.mean(cubes), 0.5 * np.sum(layer.weights**2)), FEW)
    assert_close(loss.calculate_accumulated(), np.mean(cubes))
    assert OwnLoss().trainable_layers == ()  # each its own


def test_a_loss_of_ones_own_must_give_a_number_for_each_sample():
    class MeanLoss(OwnLoss):
        def forward(self, y_pred, y_true):
            return np.mean(super().forward(y_pred, y_true))

    with pytest.raises(nn.errors.ShapeError, match=r"MeanLoss\.forward must return the loss"):
        MeanLoss().calculate(np.ones((2, 1)), np.zeros((2, 1)))


def test_gradients_in_float64_go_back_through_layers_in_float32():
    book.init()
    y = np.array([[0], [1], [2]])  # with float32 predictions, NumPy's differences are float64
    dense, activation, loss = book.Layer_Dense(2, 1), book.Activation_Sigmoid(), OwnLoss()
    X = np.array([[1, 2], [3, 4], [5, 6]])
    activation.forward(dense.forward(X))
    loss.backward(activation.output, y)
    assert loss.dinputs.dtype == np.float64
    activation.backward(loss.dinputs)
    dense.backward(activation.dinputs)
    p = 1 / (1 + np.exp(-(X @ dense.weights.astype(float))))
    assert dense.dweights.dtype == dense.dinputs.dtype == np.float32
    assert_close(dense.dweights, X.T @ (2 * (p - y) * p * (1 - p) / 3), FEW32)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_model_of_classes_of_ones_own_prints_what_the_books_prints(capsys, dtype):
    X = np.random.default_rng(1).normal(size=(20, 3))
    y = np.round(X[:, :1] - X[:, 1:2])

    def printed(loss, optimizer, accuracy, activation):
        book.init(default_dtype=dtype)
        layers = book.Layer_Dense(3, 4, 0, 1e-2), activation, book.Layer_Dense(4, 1)
        model = model_of(loss, optimizer, accuracy, *layers, book.Activation_Linear())
        kwargs = {"epochs": 4, "batch_size": 8, "validation_data": (X, y), "shuffle": False}
        model.train(X, y, **kwargs)
        model.evaluate(X.tolist(), y.tolist())
        return capsys.readouterr().out.splitlines(), model

    class DerivedActivation(book.Activation_ReLU):
        def forward(self, inputs, training):
            self.output = np.tanh(inputs)

        def backward(self, dvalues):
            self.dinputs = dvalues * (1 - self.output**2)

    class DerivedOptimizer(book.Optimizer_SGD):
        update_params = OwnOptimizer.update_params

    theirs, one = printed(
        book.Loss_MeanSquaredError(),
        book.Optimizer_SGD(0.1, momentum=0.5),
        book.Accuracy_Regression(precision=0.1),
        nn.Tanh(),
    )
    assert len(theirs) == 4 * (1 + 3 + 1 + 1) + 1
    for optimizer, activation in (
        (OwnOptimizer(0.1, momentum=0.5), OwnActivation()),
        (DerivedOptimizer(0.1, momentum=0.5), DerivedActivation()),
    ):
        mine, other = printed(OwnLoss(), optimizer, OwnAccuracy(), activation)
        assert mine == theirs
        tolerance = FEW if dtype == "float64" else FEW32
        for pair in zip(other.get_parameters(), one.get_parameters(), strict=True):
            assert_all_close(*pair, tolerance)
        assert_close(other.predict(X), one.predict(X), tolerance)
    assert float(one.loss.regularization_loss()) > 0


def test_a_last_layer_of_ones_own_ends_a_model(capsys):
    X = np.random.default_rng(1).normal(size=(50, 2))
    y = np.tanh(X[:, :1])
    layers = book.Layer_Dense(2, 1), OwnActivation()
    optimizer = book.Optimizer_Adam(0.1)
    model = model_of(book.Loss_MeanSquaredError(), optimizer, OwnAccuracy(), *layers)
    model.train(X, y, epochs=200, print_every=1000)
    assert model.output_layer_activation is layers[1]
    assert_close(model.predict(X), y, 0.05)  # what it was trained to
    assert np.array_equal(model.network.forward(X), model.predict(X))
    assert printed_accuracy(capsys, model, X, y) == 1
    assert "OwnActivation" in model.summary()


def test_what_a_model_does_not_take_or_write(tmp_path):
    class LayerWithWeights(OwnActivation):
        weights = 0

    model = book.Model()
    with pytest.raises(nn.errors.ArgumentError, match="derive from nnfs_xp"):
        model.add(LayerWithWeights())
    for other in ("relu", book.Activation_ReLU.forward):
        with pytest.raises(nn.errors.ArgumentError, match=r"give Activation_ReLU\(…\)"):
            nn.book.Model().add(nn.book.Activation_ReLU)
        with pytest.raises(nn.errors.ArgumentError, match=r"give Optimizer_Adam\(…\)"):
            nn.book.Model().set(optimizer=nn.book.Optimizer_Adam)
        with pytest.raises(AttributeError, match="output is there after a forward pass"):
            _ = nn.book.Layer_Dense(2, 3).output
        for way in (nn.book.Model.load, nn.book.Model().load_parameters):
            with pytest.raises(nn.errors.ArgumentError, match="`path` must be a string"):
                way(None)
        with pytest.raises(nn.errors.ArgumentError, match="must have forward and backward"):
            model.add(other)
    with pytest.raises(nn.errors.ArgumentError, match="derives from its Accuracy"):
        model.set(accuracy=OwnLoss())
    for name in ("network", "summary"):
        with pytest.raises(nn.errors.NotReadyError, match=r"finalize\(\)"):
            getattr(model, name)()

    parts = OwnLoss(), OwnOptimizer(), OwnAccuracy(), OwnActivation()
    theirs = (
        book.Loss_MeanSquaredError(),
        book.Optimizer_SGD(),
        book.Accuracy_Regression(),
        book.Activation_ReLU(),
    )
    for place, part in enumerate(parts):
        loss, optimizer, accuracy, activation = (
            part if n == place else each for n, each in enumerate(theirs)
        )
        model = model_of(loss, optimizer, accuracy, book.Layer_Dense(2, 2), activation)
        with pytest.raises(nn.errors.ArgumentError, match=type(part).__name__):
            model.save(tmp_path / "whole")
        assert not (tmp_path / "whole").exists()
        model.save_parameters(tmp_path / "parameters")
        kept = model.get_parameters()[0][0]
        model.set_parameters([(np.zeros((2, 2)), np.zeros((1, 2)))])
        model.load_parameters(tmp_path / "parameters")
        assert np.array_equal(model.get_parameters()[0][0], kept)
