"""The book's models and layers in onnxruntime, PyTorch and Keras, and what is refused."""

from __future__ import annotations

import re

import keras
import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch

import nnfs_xp as nn
from nnfs_xp import book
from nnfs_xp.errors import ArgumentError, CheckpointError, NotReadyError
from nnfs_xp.interop import (
    export_onnx,
    from_keras,
    from_torch,
    load_torch_weights,
    save_torch_weights,
    to_keras,
    to_torch,
)

# Keras 3.15 hands tensors of PyTorch 2.13 to NumPy 2.4 by a protocol that this warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
X = np.random.default_rng(4).normal(size=(7, 2))


@pytest.fixture(autouse=True)
def _seeded():
    yield
    book.init(default_dtype="float64", random_seed=None)


def run(path, inputs):
    """What onnxruntime makes of the inputs."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,), (output,) = session.get_inputs(), session.get_outputs()
    return session.run([output.name], {given.name: inputs})[0]


def in_torch(module, inputs):
    with torch.no_grad():
        return module(torch.from_numpy(inputs)).numpy()


def in_keras(model, inputs):
    return model(torch.from_numpy(inputs)).detach().numpy()


def close(actual, expected, dtype):
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype == dtype
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def model_of(*layers, loss=None):
    model = book.Model()
    for layer in layers:
        model.add(layer)
    model.set(
        loss=loss or book.Loss_CategoricalCrossentropy(),
        optimizer=book.Optimizer_Adam(0.05),
        accuracy=book.Accuracy_Categorical(),
    )
    model.finalize()
    return model


def trained(*layers, dtype="float32"):
    """A classifier that ends in these layers, trained for some steps, and samples for it."""
    book.init(default_dtype=dtype)
    samples, y = book.spiral_data(20, 3)
    dense1, dense2 = book.Layer_Dense(2, 16), book.Layer_Dense(16, 3)
    model = model_of(dense1, book.Activation_ReLU(), book.Layer_Dropout(0.1), dense2, *layers)
    model.train(samples, y, epochs=20)
    return model, samples


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_trained_model_gives_elsewhere_what_it_predicts(dtype, tmp_path):
    model, samples = trained(book.Activation_Softmax(), dtype=dtype)
    expected = model.predict(samples)
    assert np.ptp(expected) > 0.3  # it has learned to tell the samples apart
    export_onnx(model, tmp_path / "model.onnx")
    close(run(tmp_path / "model.onnx", samples), expected, dtype)
    module = to_torch(model)
    kinds = ["Linear", "ReLU", "Dropout", "Linear", "Softmax"]
    assert [type(each).__name__ for each in module] == kinds
    assert module[2].p == 0.1
    close(in_torch(module, samples), expected, dtype)
    there = to_keras(model)
    kinds = ["Dense", "Activation", "Dropout", "Dense", "Softmax"]
    assert [type(each).__name__ for each in there.layers] == kinds
    assert there.layers[2].rate == 0.1
    close_in_float32(in_keras(there, samples), expected, dtype)


def close_in_float32(actual, expected, dtype):
    """On PyTorch, Keras multiplies in float32 whatever the layers' data type is."""
    assert actual.dtype == dtype
    close(actual.astype("float32"), expected.astype("float32"), "float32")


@pytest.mark.parametrize(
    ("last", "output"),
    [
        (book.Activation_Softmax, "probabilities"),
        (book.Activation_Sigmoid, "sigmoid"),
        (book.Activation_Linear, "model"),
    ],
)
def test_outputs_by_name(last, output, tmp_path):
    model = model_of(book.Layer_Dense(2, 3, dtype="float64"), last())
    logits = X @ model.layers[0].weights + model.layers[0].biases
    for asked, expected in ((output, model.predict(X)), ("logits", logits)):
        export_onnx(model, tmp_path / "model.onnx", output=asked)
        close(run(tmp_path / "model.onnx", X), expected, "float64")


LAYERS = [
    lambda: book.Layer_Dense(2, 3, dtype="float32"),
    lambda: book.Layer_Dropout(0.5),
    book.Layer_Input,
    book.Activation_ReLU,
    book.Activation_Linear,
    book.Activation_Sigmoid,
    book.Activation_Softmax,
]


def test_every_layer_of_the_book_is_here():
    public = {name for name in book.__all__ if issubclass_of_layer(getattr(book, name))}
    assert {type(make()).__name__ for make in LAYERS} == public


def issubclass_of_layer(each):
    return isinstance(each, type) and issubclass(each, nn.layers.Layer)


@pytest.mark.parametrize("make", LAYERS)
@pytest.mark.parametrize("around", [None, nn.Sequential, nn.Residual, nn.Concatenate])
def test_a_layer_alone_and_within_others(make, around, tmp_path):
    layer = make()
    if around is nn.Residual and hasattr(layer, "weights"):
        layer = book.Layer_Dense(2, 2, dtype="float32")
    model = layer if around is None else around(layer)
    inputs = X.astype("float32")
    expected = model.forward(inputs, training=False)
    export_onnx(model, tmp_path / "model.onnx", input_shape=(2,))
    close(run(tmp_path / "model.onnx", inputs), expected, "float32")
    close(in_torch(to_torch(model), inputs), expected, "float32")
    close(in_keras(to_keras(model, input_shape=(2,)), inputs), expected, "float32")


def test_book_layers_beside_the_librarys_own(tmp_path):
    model = model_of(
        book.Layer_Dense(2, 4, dtype="float64"),
        nn.BatchNorm(4, dtype="float64"),
        nn.Sequential(nn.Tanh(), book.Layer_Dense(4, 2, dtype="float64")),
    )
    export_onnx(model, tmp_path / "model.onnx")
    close(run(tmp_path / "model.onnx", X), model.predict(X), "float64")
    close(in_torch(to_torch(model), X), model.predict(X), "float64")
    close_in_float32(in_keras(to_keras(model), X), model.predict(X), "float64")


def test_gradients_in_torch_are_those_of_the_model():
    model = model_of(
        book.Layer_Dense(2, 4, dtype="float64"),
        book.Activation_Sigmoid(),
        book.Layer_Dense(4, 1, dtype="float64"),
        loss=book.Loss_MeanSquaredError(),
    )
    y = np.sin(X[:, :1])
    module = to_torch(model)
    output = module(torch.from_numpy(X))
    torch.nn.functional.mse_loss(output, torch.from_numpy(y)).backward()
    model.backward(model.forward(X, training=True), y)
    for place in (0, 2):
        layer = model.layers[place]
        close(module[place].weight.grad.numpy().T, layer.dweights, "float64")
        close(module[place].bias.grad.numpy(), layer.dbiases[0], "float64")


def test_gradients_and_penalties_in_keras_are_those_of_the_model():
    model = model_of(
        book.Layer_Dense(2, 4, weight_regularizer_l2=0.1, dtype="float32"),
        book.Activation_ReLU(),
        book.Layer_Dense(4, 1, bias_regularizer_l1=0.2, dtype="float32"),
        loss=book.Loss_MeanSquaredError(),
    )
    rng = np.random.default_rng(5)
    sizes = ((2, 4), (4, 1))
    model.set_parameters([(rng.normal(size=n), rng.normal(size=(1, n[1]))) for n in sizes])
    x, y = X.astype("float32"), np.sin(X[:, :1]).astype("float32")
    there = to_keras(model)
    penalty = sum(there.losses)
    assert float(penalty.detach()) > 0.1
    close(penalty.detach().numpy(), np.float32(model.loss.regularization_loss()), "float32")
    output = there(torch.from_numpy(x))
    (torch.nn.functional.mse_loss(output, torch.from_numpy(y)) + penalty).backward()
    model.backward(model.forward(x, training=True), y)
    for place in (0, 2):
        layer, (kernel, bias) = model.layers[place], there.layers[place].trainable_weights
        close(kernel.value.grad.numpy(), layer.dweights, "float32")
        close(bias.value.grad.numpy(), layer.dbiases[0], "float32")


def test_weights_from_elsewhere_fill_a_copy_of_the_layers():
    model, samples = trained(book.Activation_Softmax())
    expected = model.predict(samples)
    lists, tensors = to_keras(model).get_weights(), to_torch(model).state_dict()
    model.set_parameters([(0 * weights, 0 * biases) for weights, biases in model.get_parameters()])
    blank = model.predict(samples)
    assert not np.array_equal(blank, expected)
    for copy in (from_keras(lists, like=model), from_torch(tensors, like=model)):
        assert type(copy.layers[0]) is book.Layer_Dense
        assert np.array_equal(copy.forward(samples, training=False), expected)
    assert np.array_equal(model.predict(samples), blank)


def test_a_model_ready_for_elsewhere(tmp_path):
    model = book.Model()
    model.add(book.Layer_Dense(2, 3))
    path = tmp_path / "model.onnx"
    for send in (
        lambda: export_onnx(model, path),
        lambda: to_torch(model),
        lambda: to_keras(model),
        lambda: from_keras([], like=model),
        lambda: save_torch_weights(model, path),
    ):
        with pytest.raises(NotReadyError, match=r"call finalize\(\) first"):
            send()
    assert not path.exists()


def test_penalties_are_left_out_when_asked():
    model = model_of(book.Layer_Dense(2, 3, weight_regularizer_l2=0.1, dtype="float64"))
    with pytest.raises(ArgumentError, match="weight_regularizer_l2"):
        to_torch(model)
    close(in_torch(to_torch(model, drop_penalties=True), X), model.predict(X), "float64")


class Doubled(book.Activation_ReLU):
    def forward(self, inputs, training=True):
        return 2 * super().forward(inputs, training)


class Renamed(book.Activation_ReLU):
    """One that computes nothing else."""


class Alone:
    def forward(self, inputs, training):
        self.output = inputs

    def backward(self, dvalues):
        self.dinputs = dvalues


def test_what_computes_something_else_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    for make in (Doubled, Alone):
        model = model_of(book.Layer_Dense(2, 3), make())
        with pytest.raises(ArgumentError, match=f"layer 1 is of the class {make.__name__}"):
            export_onnx(model, path)
        for send in (to_torch, to_keras):
            with pytest.raises(ArgumentError, match=f"layer 1 is a {make.__name__}.* Convert the"):
                send(model)
    model = model_of(book.Layer_Dense(2, 3), Renamed())
    export_onnx(model, path)
    close(run(path, X), model.predict(X), "float64")
    assert type(to_keras(model)) is keras.Sequential
    close_in_float32(in_keras(to_keras(model), X), model.predict(X), "float64")


def test_a_layer_that_derives_from_none_is_to_derive_from_one(tmp_path):
    path = tmp_path / "model.onnx"
    for layer, remedy in (
        (
            Alone(),
            r"custom_layers={Alone: function}\. For that, derive Alone from nnfs_xp\.Layer\.$",
        ),
        (Doubled(), r"custom_layers={Doubled: function}\.$"),
    ):
        with pytest.raises(ArgumentError, match=remedy):
            export_onnx(model_of(book.Layer_Dense(2, 3), layer), path)


def test_a_converter_of_ones_own_for_a_derived_activation(tmp_path):
    def doubled(graph, layer, inputs):
        assert isinstance(layer, Doubled)
        return graph.add("Mul", graph.add("Relu", inputs), 2.0)

    model = model_of(book.Layer_Dense(2, 3), Doubled())
    export_onnx(model, tmp_path / "model.onnx", custom_layers={Doubled: doubled})
    close(run(tmp_path / "model.onnx", X), model.predict(X), "float64")


def test_a_converter_of_ones_own_for_a_class_of_the_book(tmp_path):
    model = model_of(book.Layer_Dense(2, 3), book.Activation_ReLU())
    tripled = {book.Activation_ReLU: lambda graph, layer, inputs: graph.add("Mul", inputs, 3.0)}
    export_onnx(model, tmp_path / "model.onnx", custom_layers=tripled)
    logits = X @ model.layers[0].weights + model.layers[0].biases
    close(run(tmp_path / "model.onnx", X), 3 * logits, "float64")


@pytest.mark.parametrize("write", [export_onnx, save_torch_weights])
def test_a_path_that_cannot_be_written_to_is_named_with_what_to_do(write, tmp_path):
    model = model_of(book.Layer_Dense(2, 3), book.Activation_Softmax())
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "model")
    for path, reason in (
        (tmp_path, "it is a folder or a device; name a file"),
        (tmp_path / "a" / "b" / "model", f"{tmp_path / 'a' / 'b'} first"),
        (tmp_path / "link", f"make the folder {tmp_path / 'nowhere'} first"),
        (tmp_path / "file" / "model", f"{tmp_path / 'file'} is no folder"),
        (tmp_path / "file" / "a" / "model", f"{tmp_path / 'file'} is no folder"),
    ):
        complaint = rf"^cannot write {re.escape(str(path))}: .*{re.escape(reason)}\.$"
        with pytest.raises(CheckpointError, match=complaint) as caught:
            write(model, path)
        assert ".tmp" not in str(caught.value)
    with pytest.raises(CheckpointError, match=r"^cannot write .*a\\x00b: [^\0]*$"):
        write(model, tmp_path / "a\0b")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "link"]


def test_weights_go_to_torch_and_back(tmp_path):
    path, names = tmp_path / "weights.safetensors", {"0": "fc1", "3": "fc2"}
    model, samples = trained(book.Activation_Softmax())
    save_torch_weights(model, path, names=names)
    tensors = safetensors.torch.load_file(path)
    assert sorted(tensors) == ["fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight"]
    assert np.array_equal(tensors["fc2.weight"].numpy().T, model.layers[3].weights)
    expected = model.predict(samples)
    model.set_parameters([(0 * weights, 0 * biases) for weights, biases in model.get_parameters()])
    assert not np.array_equal(model.predict(samples), expected)
    load_torch_weights(model, path, names=names)
    assert np.array_equal(model.predict(samples), expected)


def test_the_network_of_a_model_is_saved_as_any_other(tmp_path):
    model, samples = trained(book.Activation_Softmax())
    with pytest.raises(ArgumentError, match=r"must be a layer.*Model.*model\.save\(path\)"):
        nn.save(model, tmp_path / "network.safetensors")
    nn.save(model.network, tmp_path / "network.safetensors")
    again = book.Model.load(tmp_path / "network.safetensors")
    assert np.array_equal(again.predict(samples), model.predict(samples))
    assert model.summary() == again.network.summary()
    assert "16" in model.summary()
