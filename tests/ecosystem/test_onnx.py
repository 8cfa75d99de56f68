"""Models as ONNX files, run by onnxruntime: what they give, and what is refused."""

from __future__ import annotations

import errno
import os
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from cases import LAYERS, SAMPLES, shaped

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, BackendError, CheckpointError, ShapeError
from nnfs_xp.interop.onnx import CONVERTERS, export_onnx

TOLERANCE = {"float32": 1e-5, "float64": 1e-13}


def run(path, inputs):
    """What onnxruntime makes of the inputs."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,), (output,) = session.get_inputs(), session.get_outputs()
    return session.run([output.name], {given.name: inputs})[0]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def samples(case, n, dtype):
    """Random inputs for a layer; codes for an embedding."""
    rng = np.random.default_rng(n)
    shape = (n, *case.inputs.shape[1:])
    if case.name == "Embedding":
        return rng.choice(case.inputs.ravel(), size=shape).astype(dtype)
    return (3 * rng.normal(size=shape)).astype(dtype)


def test_every_public_layer_has_a_converter_and_a_case():
    public = {
        getattr(nn.layers, name)
        for name in nn.layers.__all__
        if name not in ("Layer", "StochasticLayer")
    }
    blocks = {kind for kind in public if issubclass(kind, nn.Block)}  # which are Sequential there
    assert set(CONVERTERS) == public - blocks
    assert {getattr(nn, case.name) for case in LAYERS} == public


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axes", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
def test_a_layer_gives_what_the_library_gives(case, axes, dtype, path):
    if axes and not case.of_any_shape:
        with pytest.raises(ShapeError):
            export_onnx(case.build(dtype), path, input_shape=shaped(case.inputs, axes).shape[1:])
        return
    layer, given = case.build(dtype), shaped(case.inputs, axes)
    export_onnx(layer, path, dtype=dtype, input_shape=given.shape[1:])
    close(run(path, given.astype(dtype)), layer.forward(given.astype(dtype)), dtype)
    if axes:
        return
    for n in (1, 7, 1000):
        inputs = samples(case, n, dtype)
        output = run(path, inputs)
        assert output.dtype == dtype
        close(output, layer.forward(inputs), dtype)
        close(output, case.reference(inputs.astype("float64")), dtype)
    close(run(path, case.inputs.astype(dtype)), case.reference(case.inputs), dtype)


def close(actual, expected, dtype="float32"):
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Sigmoid(),
        nn.Tanh(),
        nn.Softplus(),
        nn.ELU(0.7),
        nn.SELU(),
        nn.GELU(),
        nn.GELU("tanh"),
        nn.SiLU(),
        nn.Mish(),
        nn.Softmax(),
        nn.LeakyReLU(0.3),
        nn.ReLU(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_an_activation_holds_far_out_and_near_0(layer, dtype, path):
    export_onnx(layer, path, input_shape=(8,), dtype=dtype)
    inputs = np.array([[-700.0, -90.0, -1e-3, -1e-9, 0.0, 1e-9, 90.0, 700.0]], dtype=dtype)
    close(run(path, inputs), layer.forward(inputs), dtype)


def model_of_all(dtype="float32"):
    """Most layers, in each other."""
    model = nn.Sequential(
        nn.Embedding(6, 3, dtype=dtype),
        nn.Flatten(),
        nn.BatchNorm(12, dtype=dtype),
        nn.Residual(nn.Dense(12, 12, dtype=dtype), nn.GELU(), nn.Dropout(0.3)),
        nn.Concatenate(
            nn.Sequential(nn.Dense(12, 5, dtype=dtype), nn.ReLU(), nn.GaussianNoise(0.1)),
            nn.Linear(),
            nn.Dense(12, 2, dtype=dtype),
        ),
        nn.LayerNorm(19, dtype=dtype),
        nn.Dense(19, 4, dtype=dtype),
        nn.Softmax(),
        seed=1,
    )
    rng = np.random.default_rng(2)
    model.layers[2].running_mean = rng.normal(size=(1, 12))
    model.layers[2].running_variance = rng.uniform(0.5, 2, (1, 12))
    return model


CODES = np.random.default_rng(3).integers(0, 6, (50, 4))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_whole_model(dtype, path):
    model = model_of_all(dtype)
    export_onnx(model, path, input_shape=(4,))
    inputs = CODES.astype(dtype)
    for n in (1, 50):
        close(run(path, inputs[:n]), model.forward(inputs[:n]), dtype)


def test_a_model_that_was_trained(path):
    X, y, X_test, _ = nn.data.load_digits()
    model = nn.Sequential(
        nn.Dense(64, 16), nn.BatchNorm(16), nn.ReLU(), nn.Dropout(0.1), nn.Dense(16, 10), seed=0
    )
    trainer = nn.Trainer(
        model, nn.SoftmaxCategoricalCrossentropy(), nn.Adam(0.01), backend="numpy", seed=0
    )
    trainer.fit(X, y, epochs=2, progress=False)
    export_onnx(model, path, output="probabilities")
    probabilities = run(path, X_test)
    close(probabilities, trainer.predict_proba(X_test))
    assert np.array_equal(probabilities.argmax(axis=1), trainer.predict(X_test))


@pytest.mark.parametrize("backend", ["torch", "array_api_strict"])
def test_a_model_on_another_backend(backend, path):
    model = model_of_all()
    expected = model.forward(CODES.astype("float32"))
    export_onnx(model.to(backend), path, input_shape=(4,))
    assert model.backend.name == backend
    close(run(path, CODES.astype("float32")), expected)


def test_parameters_and_nodes_have_the_names_of_their_places(path):
    model = model_of_all()
    export_onnx(model, path, input_shape=(4,))
    graph = onnx.load(path).graph
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    own = model.parameters() | model.buffers()
    assert len(own) > 10
    assert own.keys() <= stored.keys()
    for name, values in own.items():
        np.testing.assert_array_equal(stored[name].ravel(), values.ravel())
    assert all("constant" in name for name in stored.keys() - own.keys())
    nodes = [node.name for node in graph.node]
    assert {"3.0.Dense/Gemm", "3.1.GELU/Erf", "3.Residual/Add", "4.0.1.ReLU/Relu"} <= set(nodes)
    assert len(set(nodes)) == len(nodes)


def test_the_file_says_where_it_comes_from_and_takes_any_batch(path):
    export_onnx(nn.Dense(4, 3, seed=0), path)
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert (proto.producer_name, proto.producer_version) == ("nnfs_xp", nn.__version__)
    assert [(each.domain, each.version) for each in proto.opset_import] == [("", 17)]
    assert proto.ir_version == 8, "the lowest that goes with opset 17"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape, i.type) for i in session.get_inputs()] == [
        ("inputs", ["batch", 4], "tensor(float)")
    ]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("output", ["batch", 3])]


@pytest.mark.parametrize("opset", [17, 18, 20, 22])
def test_newer_operators(opset, path):
    model = model_of_all()
    export_onnx(model, path, input_shape=(4,), opset=opset)
    assert onnx.load(path).opset_import[0].version == opset
    close(run(path, CODES.astype("float32")), model.forward(CODES.astype("float32")))


X = np.random.default_rng(4).normal(size=(9, 4)).astype("float32")


def softmax(z):
    powers = np.exp(z)
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def dense(n=3):
    return nn.Dense(4, n, seed=0)


LOGITS = dense().forward(X)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(dense(), nn.Softmax()),
        nn.Sequential(nn.Sequential(dense(), nn.Softmax()), nn.Linear()),
        nn.Sequential(dense(), nn.Sequential(nn.Softmax()), nn.Dropout(0.5)),
    ],
)
def test_a_final_softmax_is_kept_or_left_out(model, path):
    outputs = {"model": softmax(LOGITS), "logits": LOGITS, "probabilities": softmax(LOGITS)}
    for output, expected in outputs.items():
        export_onnx(model, path, output=output)
        close(run(path, X), expected)
    with pytest.raises(ArgumentError, match="cannot be 'sigmoid' for a model that ends in Softmax"):
        export_onnx(model, path, output="sigmoid")


def test_logits_become_probabilities(path):
    outputs = {"model": LOGITS, "logits": LOGITS, "probabilities": softmax(LOGITS)}
    for output, expected in (outputs | {"sigmoid": sigmoid(LOGITS)}).items():
        for model in (dense(), nn.Sequential(dense())):
            export_onnx(model, path, output=output)
            close(run(path, X), expected)


def test_a_single_output_becomes_a_probability_by_a_sigmoid(path):
    logits = dense(1).forward(X)
    for output in ("probabilities", "sigmoid"):
        export_onnx(nn.Sequential(dense(1)), path, output=output)
        close(run(path, X), sigmoid(logits))


def test_a_final_sigmoid_is_kept_or_left_out(path):
    model = nn.Sequential(dense(), nn.Sigmoid())
    for output in ("model", "probabilities", "sigmoid"):
        export_onnx(model, path, output=output)
        close(run(path, X), sigmoid(LOGITS))
    export_onnx(model, path, output="logits")
    close(run(path, X), LOGITS)


def test_a_softmax_within_is_not_the_final_one(path):
    model = nn.Sequential(
        nn.Concatenate(nn.Sequential(dense(), nn.Softmax())), nn.Dense(3, 2, seed=0)
    )
    export_onnx(model, path, output="logits")
    close(run(path, X), model.forward(X))
    beside = nn.Concatenate(nn.Sequential(dense(), nn.Softmax()), dense(2))
    export_onnx(beside, path, output="logits")
    close(run(path, X), beside.forward(X))


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ("model", "output"),
        ("logits", "logits"),
        ("probabilities", "probabilities"),
        ("sigmoid", "probabilities"),
    ],
)
def test_the_output_is_called_what_it_is(output, name, path):
    export_onnx(dense(), path, output=output)
    assert [each.name for each in onnx.load(path).graph.output] == [name]


def test_names_are_chosen(path):
    export_onnx(dense(), path, input_name="pixels", output_name="scores")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    close(session.run(["scores"], {"pixels": X})[0], LOGITS)


@pytest.mark.parametrize("model", [nn.Linear(), nn.Sequential(nn.Dropout(0.5), nn.Linear())])
def test_a_model_that_changes_nothing(model, path):
    export_onnx(model, path, input_shape=(4,))
    assert np.array_equal(run(path, X), X)


def test_a_value_that_is_the_output_and_used_besides(path):
    model = nn.Residual(nn.Dropout(0.5))
    export_onnx(nn.Sequential(dense(), model), path)
    close(run(path, X), 2 * LOGITS)


def test_the_dtype_is_the_models_unless_said_otherwise(path):
    model = nn.Dense(4, 3, seed=0, dtype="float64")
    export_onnx(model, path)
    close(run(path, X.astype("float64")), model.forward(X.astype("float64")), "float64")
    export_onnx(model, path, dtype="float32")
    output = run(path, X)
    assert output.dtype == "float32"
    close(output, model.forward(X.astype("float64")))


def test_inputs_of_another_type_are_converted(path):
    model = model_of_all()
    export_onnx(model, path, input_shape=(4,), input_dtype="int64")
    close(run(path, CODES), model.forward(CODES))
    export_onnx(dense(), path, input_dtype="uint8")
    pixels = np.random.default_rng(5).integers(0, 256, (6, 4)).astype("uint8")
    expected = dense().forward(pixels.astype("float32"))
    np.testing.assert_allclose(run(path, pixels), expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_code_out_of_range_gives_nan_as_here(dtype, path):
    layer = nn.Embedding(5, 2, seed=0, dtype=dtype)
    export_onnx(layer, path, input_shape=(3,))
    codes = np.array([[0, -1, 4], [5, 2, 1e9], [np.nan, 1, 3]], dtype=dtype)
    output = run(path, codes)
    assert np.isnan(output).sum() == 8
    np.testing.assert_array_equal(output, layer.forward(codes))


def test_images_are_flattened(path):
    model = nn.Sequential(nn.Flatten(), nn.Dense(12, 3, seed=0))
    with pytest.raises(ArgumentError, match=r"leaves open .* input_shape=\(28, 28\)"):
        export_onnx(model, path)
    export_onnx(model, path, input_shape=(3, 4))
    images = np.random.default_rng(6).normal(size=(5, 3, 4)).astype("float32")
    close(run(path, images), model.forward(images))
    with pytest.raises(ShapeError, match="takes samples of shape"):
        export_onnx(model, path, input_shape=(3, 5))


class Scale(nn.Layer):
    """inputs * factors + shift."""

    factors = nn.Parameter()
    dfactors = nn.Gradient()

    def __init__(self, n, shift):
        super().__init__()
        self.shift = shift
        self.create_parameters("float32", factors=(1, n))

    def forward(self, inputs, training=False):
        return inputs * self.factors + self.shift


def convert_scale(graph, layer, inputs):
    return graph.add("Add", graph.add("Mul", inputs, graph.parameter("factors")), layer.shift)


def scaled():
    model = nn.Sequential(dense(), nn.Residual(Scale(3, 0.5), nn.Tanh()))
    model.layers[1].layers[0].factors = [[1.0, -2.0, 3.0]]
    return model


def test_a_layer_of_ones_own_takes_part(path):
    model = scaled()
    export_onnx(model, path, custom_layers={Scale: convert_scale})
    close(run(path, X), model.forward(X))
    proto = onnx.load(path)
    assert "1.0.factors" in {each.name for each in proto.graph.initializer}
    assert "1.0.Scale/Mul" in {each.name for each in proto.graph.node}


def test_a_layer_of_ones_own_without_a_converter_is_named(path):
    with pytest.raises(ArgumentError, match=r"layer 1\.0 is of the class Scale.*custom_layers"):
        export_onnx(scaled(), path)
    with pytest.raises(ArgumentError, match="the model is of the class Scale"):
        export_onnx(Scale(3, 0.5), path, input_shape=(3,))
    assert not path.exists()


def test_a_subclass_is_converted_like_its_parent_unless_its_forward_is_its_own(path):
    class Head(nn.Sequential):
        pass

    class Doubled(nn.Dense):
        def forward(self, inputs, training=False):
            return 2 * super().forward(inputs, training)

    model = Head(dense(), nn.Softmax())
    export_onnx(model, path, output="logits")
    close(run(path, X), LOGITS)
    with pytest.raises(ArgumentError, match="Doubled"):
        export_onnx(nn.Sequential(Doubled(4, 3)), path)


def test_a_converter_of_ones_own_comes_before_the_librarys(path):
    export_onnx(
        nn.Sequential(dense(), nn.ReLU()),
        path,
        custom_layers={nn.ReLU: lambda graph, layer, inputs: graph.add("Abs", inputs)},
    )
    close(run(path, X), np.abs(LOGITS))


@pytest.mark.parametrize(
    ("converter", "complaint"),
    [
        (lambda graph, layer, inputs: None, "must return the name .* it returned None"),
        (lambda graph, layer, inputs: "elsewhere", "must return the name .* 'elsewhere'"),
        (lambda graph, layer, inputs: graph.add("Frobnicate", inputs), "no valid ONNX: .*Frobnic"),
        (lambda graph, layer, inputs: graph.add("Concat", inputs, inputs, axis=1), "no valid ONNX"),
    ],
)
def test_a_converter_that_is_wrong_is_refused(converter, complaint, path):
    with pytest.raises(ArgumentError, match=complaint):
        export_onnx(scaled(), path, custom_layers={Scale: converter})
    assert not path.exists()


class Around(nn.Layer):
    """One dense layer after another that it does not call its child."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def forward(self, inputs, training=False):
        for part in self.parts:
            inputs = part.forward(inputs)
        return inputs


def convert_around(graph, layer, inputs):
    for part in layer.parts:
        inputs = graph.convert(part, inputs)
    return inputs


def test_layers_converted_without_a_place_keep_their_own_weights(path):
    first, *more = (nn.Dense(3, 3, seed=seed) for seed in range(3))
    model = nn.Sequential(first, Around(*more))
    export_onnx(model, path, custom_layers={Around: convert_around})
    inputs = X[:, :3].copy()
    close(run(path, inputs), model.forward(inputs))
    names = [each.name for each in onnx.load(path).graph.initializer]
    assert names == ["0.weights", "0.biases", "1.weights", "1.biases", "1.weights_2", "1.biases_2"]


def test_a_parameter_in_two_shapes(path):
    def convert(graph, layer, inputs):
        column, row, again = (graph.parameter("factors", s) for s in ((3, 1), None, (3, 1)))
        assert column == again
        scaled = graph.add("Add", graph.add("Mul", inputs, row), layer.shift)
        return graph.add("Add", scaled, graph.add("MatMul", inputs, column))

    export_onnx(scaled(), path, custom_layers={Scale: convert})
    graph = onnx.load(path).graph
    shapes = {each.name: tuple(each.dims) for each in graph.initializer}
    assert shapes["1.0.factors"] == (3, 1)
    assert shapes["1.0.factors_2"] == (1, 3)


@pytest.mark.parametrize(
    ("converter", "complaint"),
    [
        (lambda graph, layer, inputs: [inputs], r"must return the name .* \['"),
        (lambda graph, layer, inputs: graph.parameter("nope"), "asks for the parameter 'nope'"),
        (lambda graph, layer, inputs: graph.parameter("factors", (7,)), r"'factors' of shape \(7"),
        (lambda graph, layer, inputs: graph.parameter("factors", 7), "'factors' of shape 7"),
        (lambda graph, layer, inputs: graph.add("Abs", inputs, name="q"), "Scale/Abs cannot have"),
        (lambda graph, layer, inputs: graph.add("Elu", inputs, alpha={}), "Scale/Elu cannot have"),
        (lambda graph, layer, inputs: graph.constant("abc"), "must be numbers; got 'abc'"),
        (lambda graph, layer, inputs: graph.constant(None), "must be numbers; got None"),
        (lambda graph, layer, inputs: graph.constant([[1], [1, 2]]), "must be numbers"),
        (lambda graph, layer, inputs: graph.constant(1e300), "beyond those of float32"),
        (lambda graph, layer, inputs: graph.constant(np.array([object()])), "ONNX cannot hold"),
    ],
)
def test_a_converter_that_asks_for_what_there_is_not(converter, complaint, path):
    with pytest.raises(ArgumentError, match=complaint):
        export_onnx(scaled(), path, custom_layers={Scale: converter})
    assert not path.exists()


def test_values_beyond_the_dtype_are_refused(path):
    model = nn.Sequential(nn.Dense(2, 2, seed=0, dtype="float64"))
    model.layers[0].biases = [[1e39, 1.0]]
    with pytest.raises(ArgumentError, match=r"^`0\.biases` has values beyond .*float64"):
        export_onnx(model, path, dtype="float32")
    model.layers[0].biases = [[np.inf, 1.0]]
    export_onnx(model, path, dtype="float32")


def test_codes_that_float32_does_not_tell_apart(path):
    n = 2**24 + 4
    layer = nn.Embedding(n, 1, initializer=lambda _, shape: np.arange(n).reshape(shape) % 7)
    with pytest.raises(ArgumentError, match=r"tells 16,777,216 codes apart; .*input_dtype"):
        export_onnx(layer, path, input_shape=(4,))
    export_onnx(nn.Sequential(layer), path, input_shape=(4,), input_dtype="int64")
    assert [node.op_type for node in onnx.load(path).graph.node].count("Cast") == 2
    codes = np.array([[n - 3, n - 1, n, -1]])
    output = run(path, codes)[0, :, 0]
    np.testing.assert_array_equal(output, [(n - 3) % 7, (n - 1) % 7, np.nan, np.nan])


@pytest.mark.parametrize("input_dtype", ["uint8", "int32", "uint64", "float64", "bool"])
def test_codes_of_any_type(input_dtype, path):
    layer = nn.Concatenate(
        nn.Sequential(nn.Dropout(0.5), nn.Embedding(6, 3, seed=0), nn.Flatten()), nn.Linear()
    )
    codes = (CODES % 2 if input_dtype == "bool" else CODES).astype(input_dtype)
    export_onnx(layer, path, input_shape=(4,), input_dtype=input_dtype)
    close(run(path, codes), layer.forward(codes.astype("float32")))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"output": "classes"}, "`output` must be one of 'model', .*; got 'classes'"),
        ({"output": ["model"]}, "`output` must be one of"),
        ({"opset": 16}, "`opset` must be a whole number of at least 17; got 16"),
        ({"opset": 10_000}, "`opset` must be at most"),
        ({"dtype": "float16"}, "`dtype` must be"),
        ({"input_dtype": "text"}, "`input_dtype` must name a type of numbers; got 'text'"),
        ({"input_dtype": "str"}, "`input_dtype` must name a type of numbers; got 'str'"),
        ({"input_name": ""}, "`input_name` must be a name"),
        ({"output_name": 3}, "`output_name` must be a name; got 3"),
        ({"input_name": "x", "output_name": "x"}, "`output_name` must differ .* 'x'"),
        ({"input_name": "weights"}, "`input_name` must differ .* 'weights'"),
        ({"input_shape": 5}, r"takes samples of shape \(4,\)"),
        ({"input_shape": (0,)}, "`input_shape` must be a whole number"),
        ({"input_shape": (2**40, 2**40)}, "`input_shape` is of too many values"),
        ({"input_name": "\ud800"}, "`input_name` has characters that no file holds"),
        ({"path": None}, "`path` must be a string"),
        ({"input_shape": (4.0,)}, "`input_shape` must be a whole number"),
        ({"custom_layers": [Scale]}, "`custom_layers` must map"),
        ({"custom_layers": {"Scale": convert_scale}}, "`custom_layers` must map"),
        ({"custom_layers": {Scale: "Mul"}}, "`custom_layers` must map"),
    ],
)
def test_settings_out_of_range(arguments, complaint, path):
    with pytest.raises((ArgumentError, ShapeError), match=complaint):
        export_onnx(dense(), **{"path": path, **arguments})
    assert not path.exists()


def test_what_is_no_model(path):
    with pytest.raises(ArgumentError, match="`model` must be a layer"):
        export_onnx("model", path)


def test_probabilities_of_sequences(path):
    model = nn.Sequential(nn.Dense(4, 3), seed=0)
    export_onnx(model, path, output="probabilities", input_shape=(5, 4))
    inputs = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    close(run(path, inputs), nn.Softmax().forward(model.forward(inputs)))


def test_what_is_too_large_for_one_file(path, monkeypatch):
    monkeypatch.setattr("nnfs_xp.interop.onnx.export._MOST_BYTES", 59)
    with pytest.raises(ArgumentError, match="at most 2 GiB; 15 values"):
        export_onnx(dense(), path)


def test_without_onnx(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(BackendError, match=r"pip install 'nnfs-xp\[onnx\]'"):
        export_onnx(dense(), path)
    assert not path.exists()


@pytest.mark.parametrize("path", ["missing/model.onnx", "folder", "file/model.onnx"])
def test_what_cannot_be_written_is_named(path, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot write") as caught:
        export_onnx(dense(), tmp_path / path)
    assert str(tmp_path / path) in str(caught.value)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


def test_a_write_that_fails_leaves_the_old_file(path, tmp_path, monkeypatch):
    export_onnx(dense(), path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CheckpointError, match="disk full"):
        export_onnx(dense(2), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def fill(model):
    """Put random numbers into all parameters and buffers."""
    rng = np.random.default_rng(8)
    for _, layer in model.walk():
        for name, shape in layer._shapes.items():
            setattr(layer, name, 0.3 * rng.normal(size=shape))
        for name in layer._buffers:
            setattr(layer, name, rng.uniform(0.5, 1.5, getattr(layer, name).shape))
    return model


def agree(layer, path, shape, dtype, known):
    """Whether the file gives what the layer gives, with open sizes of samples unless `known`."""
    inputs = np.random.default_rng(9).normal(size=(2, *shape)).astype(dtype)
    open_shape = (*(None,) * (len(shape) - 1), shape[-1])
    export_onnx(fill(layer), path, input_shape=shape if known else open_shape)
    expected = layer.forward(inputs)
    largest = max(1.0, float(np.abs(expected).max()))
    close(run(path, inputs) / largest, expected / largest, dtype)
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("known", [True, False], ids=["known", "open"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("padding", ["valid", "same", ((1, 2), (0, 1))], ids=str)
@pytest.mark.parametrize(("strides", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2), ((1, 2), 1)])
@pytest.mark.parametrize("kernel_size", [1, 2, (3, 2), 5])
def test_convolutions(kernel_size, strides, dilation, padding, dtype, known, path):
    settings = {"strides": strides, "dilation": dilation, "padding": padding, "dtype": dtype}
    layers = [nn.Conv2D(4, 6, kernel_size, groups=2, **settings)]
    layers += [nn.DepthwiseConv2D(4, kernel_size, multiplier=2, use_bias=False, **settings)]
    transposed = nn.Conv2DTranspose(4, 6, kernel_size, groups=2, **settings)
    operators = agree(transposed, path, (5, 4, 4), dtype, known)
    assert ("ConvTranspose" in operators) is (dtype == "float32")
    if padding == "same" and strides != 1 and not known and dtype == "float64":
        for layer in layers:
            with pytest.raises(ArgumentError, match=r"follows from the size .* input_shape=\(32"):
                agree(layer, path, (11, 13, 4), dtype, known)
        return
    for layer in layers:
        assert ("Conv" in agree(layer, path, (11, 13, 4), dtype, known)) is (dtype == "float32")


@pytest.mark.parametrize("known", [True, False], ids=["known", "open"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("padding", ["valid", "same", (1, 0)])
@pytest.mark.parametrize("strides", [1, 2])
def test_layers_for_sequences(strides, padding, dtype, known, path):
    settings = {"strides": strides, "padding": padding}
    for layer in (
        nn.Conv1D(4, 3, 3, dtype=dtype, **settings),
        nn.Conv1DTranspose(4, 3, 3, dtype=dtype, **settings),
        nn.MaxPool1D(3, **settings),
        nn.AveragePool1D(2, **settings),
    ):
        model = nn.Sequential(nn.Dense(4, 4, dtype=dtype), layer)
        needs_size = isinstance(layer, (nn.Conv1D, nn.AveragePool1D)) and dtype == "float64"
        if padding == "same" and strides == 2 and needs_size and not known:
            with pytest.raises(ArgumentError, match="follows from the size"):
                agree(model, path, (9, 4), dtype, known)
        else:
            agree(model, path, (9, 4), dtype, known)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("padding", ["valid", "same", ((1, 2), (0, 1))], ids=str)
@pytest.mark.parametrize("strides", [None, 1, (1, 2)])
def test_pools(strides, padding, dtype, path):
    layers = [nn.MaxPool2D((3, 4), strides=strides, padding=padding)]
    layers += [
        nn.AveragePool2D((3, 4), strides=strides, padding=padding, counts_padding=counts)
        for counts in (False, True)
    ]
    for layer in layers:
        model = nn.Sequential(nn.Dense(3, 3, dtype=dtype), layer, input_shape=(7, 9, 3))
        agree(model, path, (7, 9, 3), dtype, known=True)


def network(dtype):
    """A small network for pictures, of all that takes the channels first in ONNX."""
    return nn.Sequential(
        nn.ZeroPad2D(1),
        nn.Conv2D(3, 8, 3, dtype=dtype),
        nn.BatchNorm(8, scale=False, dtype=dtype),
        nn.ReLU(),
        nn.Residual(
            nn.SeparableConv2D(8, 8, 3, padding="same", dtype=dtype),
            nn.GroupNorm(8, 2, center=False, dtype=dtype),
            nn.GELU(),
        ),
        nn.MaxPool2D(2),
        nn.Concatenate(nn.Conv2D(8, 4, 1, dtype=dtype), nn.Sequential(nn.Linear())),
        nn.Dropout(0.3),
        nn.Upsample2D(2),
        nn.ZeroPad2D(((0, 1), (0, 0))),
        nn.Conv2DTranspose(12, 4, 2, strides=2, dtype=dtype),
        nn.AveragePool2D(2),
        nn.SiLU(),
        nn.Flatten(),
        nn.Dense(9 * 8 * 4, 5, dtype=dtype),
        nn.Softmax(),
    )


def test_transposes_that_meet_cancel(path):
    operators = agree(network("float32"), path, (8, 8, 3), "float32", known=True)
    assert operators.count("Transpose") == 2, "of the inputs, and before they are flattened"
    assert operators.index("Transpose") == 0 or operators[:2] == ["Pad", "Transpose"]
    assert {"Conv", "ConvTranspose", "BatchNormalization", "Resize", "MaxPool"} <= set(operators)
    model = nn.Sequential(nn.Conv2D(3, 8, 3), nn.ReLU(), nn.GlobalMaxPool(), nn.Dense(8, 2))
    operators = agree(model, path, (8, 9, 3), "float32", known=False)
    assert operators == ["Transpose", "Conv", "Relu", "ReduceMax", "Gemm"]
    beside = nn.Residual(nn.Conv2D(3, 3, 3, padding="same"), nn.Dense(3, 3), nn.Sigmoid())
    assert agree(beside, path, (5, 4, 3), "float32", known=True).count("Transpose") == 2


@pytest.mark.parametrize("opset", [17, 18, 20, 22])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_for_pictures(dtype, opset, path):
    model = fill(network(dtype))
    export_onnx(model, path, input_shape=(8, 8, 3), opset=opset)
    inputs = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype(dtype)
    for n in (1, 3):
        close(run(path, inputs[:n]), model.forward(inputs[:n]), dtype)
    layers = nn.GroupNorm(4, 2, dtype=dtype), nn.GlobalAveragePool(), nn.ReLU()
    model = fill(nn.Sequential(*layers, input_shape=(None, None, 4)))
    export_onnx(model, path, input_shape=(None, None, 4), opset=opset)
    inputs = np.random.default_rng(0).normal(size=(3, 5, 2, 4)).astype(dtype)
    close(run(path, inputs), model.forward(inputs), dtype)


def test_pictures_of_what_size(path):
    model = nn.Sequential(nn.Conv2D(3, 4, 3, seed=0))
    with pytest.raises(ArgumentError, match=r"input_shape=\(32, 32, 3\)\. None stands for"):
        export_onnx(model, path)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 5, 3)).astype("uint8")
    export_onnx(model, path, input_shape=(None, None, 3), input_dtype="uint8")
    expected = model.forward(pixels.astype("float32"))
    np.testing.assert_allclose(run(path, pixels), expected, rtol=1e-5, atol=1e-3)
    dilated = nn.Conv2D(3, 4, 3, strides=2, dilation=2, padding="same")
    with pytest.raises(ArgumentError, match="follows from the size of its inputs"):
        export_onnx(dilated, path, input_shape=(None, None, 3))


def test_a_filter_that_is_tied_stands_in_the_file_once(path):
    one = nn.Conv2D(3, 3, 3, padding="same", seed=0)
    model = nn.Sequential(one, nn.Conv2DTranspose(3, 3, 3, padding="same").tie("weights", one))
    agree(model, path, (6, 5, 3), "float32", known=True)
    names = [each.name for each in onnx.load(path).graph.initializer]
    assert names == ["0.weights", "0.biases", "1.biases"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_tied_parameter_stands_in_the_file_once(dtype, path):
    words = nn.Embedding(7, 4, seed=0, dtype=dtype)
    inner = nn.Dense(4, 4, seed=1, dtype=dtype)
    twin = nn.Dense(4, 4, seed=2, dtype=dtype).tie("weights", inner)
    head = nn.Dense(4, 7, seed=3, dtype=dtype).tie("weights", words, transposed=True)
    model = nn.Sequential(words, nn.Sequential(inner, nn.Tanh()), twin, head)
    export_onnx(model, path, input_shape=(None,), input_dtype="int64")
    names = {each.name for each in onnx.load(path).graph.initializer}
    assert {n for n in names if n.endswith("weights")} == {"0.weights", "1.0.weights"}
    for length in (1, 5):  # of any length, as asked for
        codes = np.random.default_rng(length).integers(0, 7, (3, length))
        close(run(path, codes), model.forward(codes), dtype)
