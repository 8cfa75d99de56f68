"""Estimators and pipelines as ONNX files: labels, probabilities and values as scikit-learn's."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, BackendError, CheckpointError, ShapeError
from nnfs_xp.sklearn import MLPClassifier, MLPRegressor, export_onnx
from nnfs_xp.sklearn.onnx import register_converters

pytestmark = pytest.mark.filterwarnings("ignore:the training has not converged")

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
CLASSES = np.digitize(X[:, 0] + X[:, 1], [-0.7, 0.7])  # 0, 1, 2
NAMES = np.array(["low", "middle", "high"])[CLASSES]
YES = np.stack([X[:, 0] > 0, X[:, 1] > 0.5, X[:, 2] < 1], axis=1).astype(int)
VALUES = X[:, 0] - 2 * X[:, 1]
KINDS = {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(int64)": "i8"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def classifier(**settings):
    return MLPClassifier((8,), max_iter=20, learning_rate_init=0.02, random_state=0, **settings)


def regressor(**settings):
    return MLPRegressor(
        hidden_layer_sizes=(8,), max_iter=20, learning_rate_init=0.02, random_state=0, **settings
    )


def run(path, X):
    """What onnxruntime gives, by name; each column of a frame is an input."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {}
    for each in session.get_inputs():
        values = X[[each.name]].to_numpy() if hasattr(X, "columns") else X
        given[each.name] = values.astype(KINDS.get(each.type, object))
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, given), strict=True))


def assert_classifies_alike(path, estimator, X, tolerance=1e-5):
    for n in (1, len(X)):
        outputs = run(path, X[:n])
        labels = estimator.predict(X[:n])
        assert list(outputs) == ["label", "probabilities"]
        assert outputs["label"].shape == labels.shape
        assert (outputs["label"] == labels).all()
        probabilities = estimator.predict_proba(X[:n])
        assert outputs["probabilities"].shape == probabilities.shape
        np.testing.assert_allclose(outputs["probabilities"], probabilities, atol=tolerance)


@pytest.mark.parametrize(
    "y",
    [
        CLASSES,
        CLASSES - 5,
        NAMES,
        NAMES.astype(object),
        CLASSES * 1.0,
        NAMES == "low",
        np.where(NAMES == "low", "no", "yes"),
        np.where(NAMES == "low", 7, 3),
        YES,
        np.zeros(60, dtype=int),
    ],
    ids=["int", "below0", "str", "object", "float", "bool", "yes-no", "binary", "labels", "one"],
)
def test_labels_and_probabilities_of_all_kinds_of_classes(y, path):
    estimator = classifier().fit(X, y)
    export_onnx(estimator, path)
    assert_classifies_alike(path, estimator, X)


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_norm": True, "dropout": 0.2, "activation": nn.GELU()},
        {"activation": "tanh"},
        {"loss": nn.FocalLoss()},
        {"loss": nn.SoftmaxCategoricalCrossentropy(label_smoothing=0.1)},
        {"loss": nn.CategoricalCrossentropy()},
        {"network": nn.Sequential(nn.Dense(4, 6), nn.SiLU(), nn.Dense(6, 3), seed=0)},
        {"network": nn.Sequential(nn.Dense(4, 3), nn.Softmax(), seed=0)},
    ],
)
def test_networks_and_losses_of_ones_own(settings, path):
    estimator = classifier(**settings).fit(X, NAMES)
    export_onnx(estimator, path)
    assert_classifies_alike(path, estimator, X)


@pytest.mark.parametrize(
    "loss", [nn.BinaryCrossentropy(), nn.SigmoidBinaryCrossentropy(), nn.FocalLoss()]
)
def test_losses_of_two_classes(loss, path):
    y = NAMES == "low"
    estimator = classifier(loss=loss).fit(X, y)
    export_onnx(estimator, path)
    assert_classifies_alike(path, estimator, X)
    assert len(set(estimator.predict(X))) == 2


def test_several_labels_from_logits(path):
    estimator = classifier(network=nn.Sequential(nn.Dense(4, 3), seed=0)).fit(X, YES)
    export_onnx(estimator, path)
    assert_classifies_alike(path, estimator, X)


@pytest.mark.parametrize(
    ("settings", "y"),
    [
        ({}, VALUES),
        ({}, np.stack([VALUES, X[:, 2]], axis=1)),
        ({"loss": "poisson"}, np.abs(VALUES)),
        ({"loss": nn.Huber()}, VALUES),
        ({"loss": nn.Poisson(log_input=True)}, np.abs(VALUES)),
    ],
)
def test_values(settings, y, path):
    estimator = regressor(**settings).fit(X, y)
    export_onnx(estimator, path)
    for n in (1, 60):
        outputs = run(path, X[:n])
        assert list(outputs) == ["variable"]
        expected = estimator.predict(X[:n]).reshape(n, -1)
        assert outputs["variable"].shape == expected.shape
        np.testing.assert_allclose(outputs["variable"], expected, rtol=1e-5, atol=1e-5)


def test_a_pipeline(path):
    y = np.where(VALUES > 0, "up", "down")
    estimator = make_pipeline(StandardScaler(), classifier()).fit(10 * X + 3, y)
    export_onnx(estimator, path)
    assert_classifies_alike(path, estimator, 10 * X + 3, tolerance=1e-5)
    values = make_pipeline(StandardScaler(), regressor()).fit(X, VALUES)
    export_onnx(values, path)
    np.testing.assert_allclose(run(path, X)["variable"][:, 0], values.predict(X), atol=1e-5)


def frame():
    return pd.DataFrame(
        {
            "width": np.where(np.arange(60) % 7 == 0, np.nan, 5 * X[:, 0] + 2),
            "height": X[:, 1].astype("float32"),
            "year": 2020 + np.arange(60) % 3,
            "colour": np.array(["red", "green", "blue"])[np.arange(60) % 3],
        }
    )


def columns():
    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["width", "height"]),
        (OneHotEncoder(handle_unknown="ignore"), ["year", "colour"]),
    )


def test_a_pipeline_of_columns(path):
    X = frame()
    estimator = make_pipeline(columns(), classifier()).fit(X, NAMES)
    export_onnx(estimator, path, X[:1])
    assert_classifies_alike(path, estimator, X)
    types = {each.name: each.type.tensor_type.elem_type for each in onnx.load(path).graph.input}
    floats, integers, strings = (
        getattr(onnx.TensorProto, name) for name in ("FLOAT", "INT64", "STRING")
    )
    assert types == {"width": floats, "height": floats, "year": integers, "colour": strings}


def test_columns_without_samples_are_asked_for(path):
    estimator = make_pipeline(columns(), classifier()).fit(frame(), NAMES)
    with pytest.raises(ArgumentError, match="hand over a data frame as `X`"):
        export_onnx(estimator, path)
    assert not path.exists()


def test_columns_straight_into_the_network(path):
    X = frame()[["height", "year"]].assign(year=np.arange(60) % 3)
    estimator = classifier().fit(X, NAMES)
    export_onnx(estimator, path, X)
    assert_classifies_alike(path, estimator, X)


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["a b", "a_b"], "got 'a b'. Rename"),
        (["c.d", "e"], r"got 'c\.d'"),
        (["", "e"], "got ''"),
        ([0, 1], "got 0"),
        (["1a", "e"], "got '1a'"),
        (["e", "e"], "two columns are called 'e'"),
        (["variable", "e"], r"change names of columns to \['variable\w+'\].*an output"),
    ],
)
def test_names_of_columns_that_would_not_stay(names, complaint, path):
    table = pd.DataFrame(X[:, :2])
    pipeline = make_pipeline(make_column_transformer((StandardScaler(), [0, 1])), regressor())
    pipeline.fit(table.set_axis(["a", "b"], axis=1), VALUES)
    with pytest.raises(ArgumentError, match=complaint):
        export_onnx(pipeline, path, table.set_axis(names, axis=1))
    assert not path.exists()


def test_what_is_no_path():
    with pytest.raises(ArgumentError, match="`path` must be"):
        export_onnx(regressor(), 3)


def test_a_search_and_a_calibration(path):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), classifier()), {"mlpclassifier__alpha": [1e-4, 1.0]}, cv=2
    ).fit(X, NAMES)
    export_onnx(search, path)
    assert_classifies_alike(path, search, X)
    calibrated = CalibratedClassifierCV(classifier(), cv=2).fit(X, CLASSES)
    export_onnx(calibrated, path)
    assert_classifies_alike(path, calibrated, X)


def test_float64_all_through(path):
    estimator = make_pipeline(StandardScaler(), classifier()).fit(X, NAMES)
    for samples in (None, X, X.astype("float32")):
        export_onnx(estimator, path, samples, dtype="float64")
        assert run(path, X)["probabilities"].dtype == np.float64
        assert_classifies_alike(path, estimator, X, tolerance=1e-12)
    table = frame()[["width", "height"]].fillna(0.0)
    estimator = classifier().fit(table, NAMES)
    export_onnx(estimator, path, table, dtype="float64")
    assert_classifies_alike(path, estimator, table, tolerance=1e-12)


def test_float32_all_through(path):
    estimator = classifier().fit(X.astype("float32"), NAMES)
    for samples in (None, X, X.astype("float32")):
        export_onnx(estimator, path, samples)
        assert run(path, X)["probabilities"].dtype == np.float32
        assert_classifies_alike(path, estimator, X.astype("float32"))
        assert "Cast" not in {node.op_type for node in onnx.load(path).graph.node}


def test_inputs_of_integers(path):
    counts = np.arange(240).reshape(60, 4) % 5
    estimator = classifier().fit(counts, NAMES)
    export_onnx(estimator, path, counts)
    (given,) = onnx.load(path).graph.input
    assert given.type.tensor_type.elem_type == onnx.TensorProto.INT64
    assert_classifies_alike(path, estimator, counts)


def test_a_network_on_torch(path):
    estimator = classifier(backend="torch").fit(X, NAMES)
    assert estimator.network_.backend.name == "torch"
    export_onnx(estimator, path)
    assert_classifies_alike(path, estimator, X)


def test_probabilities_as_dicts(path):
    estimator = classifier().fit(X, NAMES)
    export_onnx(estimator, path, zipmap=True)
    outputs = run(path, X)
    assert (outputs["output_label"] == estimator.predict(X)).all()
    rows = pd.DataFrame(outputs["output_probability"])[list(estimator.classes_)]
    np.testing.assert_allclose(rows, estimator.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("opset", [17, 20, 21])
def test_newer_operators(opset, path):
    estimator = make_pipeline(StandardScaler(), classifier()).fit(X, NAMES)
    export_onnx(estimator, path, opset=opset)
    versions = {each.domain: each.version for each in onnx.load(path).opset_import}
    assert versions[""] == opset
    assert_classifies_alike(path, estimator, X)


class Doubled(nn.Layer):
    def forward(self, inputs, training=False):
        if training:
            self.keep(inputs)
        return 2 * inputs

    def backward(self, dvalues):
        self.recall(dvalues)
        self.dinputs = 2 * dvalues
        return self.dinputs


def test_a_layer_of_ones_own(path):
    network = nn.Sequential(nn.Dense(4, 3), Doubled(), nn.Softmax(), seed=0)
    estimator = classifier(network=network).fit(X, NAMES)
    with pytest.raises(ArgumentError, match=r"layer 1 is of the class Doubled.*custom_layers"):
        export_onnx(estimator, path)
    assert not path.exists()
    double = {Doubled: lambda graph, layer, inputs: graph.add("Mul", inputs, 2.0)}
    export_onnx(estimator, path, custom_layers=double)
    assert_classifies_alike(path, estimator, X)


def test_skl2onnx_by_itself(path):
    register_converters()
    estimator = make_pipeline(StandardScaler(), classifier()).fit(X, NAMES)
    proto = skl2onnx.to_onnx(estimator, X[:1].astype("float32"), options={"zipmap": False})
    path.write_bytes(proto.SerializeToString())
    assert_classifies_alike(path, estimator, X)


def test_what_is_not_fitted(path):
    for estimator in (classifier(), regressor(), make_pipeline(StandardScaler(), classifier())):
        with pytest.raises(NotFittedError):
            export_onnx(estimator, path)


def test_a_loss_without_probabilities(path):
    estimator = classifier(loss=nn.CategoricalHinge()).fit(X, NAMES)
    with pytest.raises(ArgumentError, match="gives probabilities; CategoricalHinge has none"):
        export_onnx(estimator, path)


def test_a_loss_with_predictions_of_its_own(path):
    class Rounded(nn.MeanSquaredError):
        def predictions(self, y_pred):
            return y_pred.round()

    estimator = regressor(loss=Rounded()).fit(X, VALUES)
    with pytest.raises(ArgumentError, match="Rounded makes predictions of its own"):
        export_onnx(estimator, path)


@pytest.mark.parametrize("y", [CLASSES + 0.5, [{"a": 1}] * 60], ids=["halves", "mappings"])
def test_classes_that_onnx_cannot_hold(y, path):
    estimator = classifier().fit(X, NAMES)
    estimator.classes_ = np.unique(y) if isinstance(y, np.ndarray) else np.array(y[:3])
    with pytest.raises(ArgumentError, match="classes in ONNX are strings or whole numbers"):
        export_onnx(estimator, path)


def test_a_part_that_skl2onnx_does_not_know(path):
    class Mine(StandardScaler):
        pass

    estimator = make_pipeline(Mine(), classifier()).fit(X, NAMES)
    with pytest.raises(ArgumentError, match=r"skl2onnx .* cannot convert Pipeline: .*Mine"):
        export_onnx(estimator, path)


@pytest.mark.parametrize("samples", [X[:, :3], X[0], frame()[["year"]]])
def test_samples_of_another_shape(samples, path):
    with pytest.raises(ShapeError, match=r"`X` must have shape \(n, 4\)"):
        export_onnx(classifier().fit(X, NAMES), path, samples)


@pytest.mark.parametrize(
    "setting", [{"opset": 16}, {"opset": 1000}, {"opset": "17"}, {"dtype": "float16"}]
)
def test_settings_out_of_range(setting, path):
    (name,) = setting
    with pytest.raises(ArgumentError, match=f"`{name}` must be"):
        export_onnx(classifier().fit(X, NAMES), path, **setting)


def test_other_estimators_are_exported_too(path):
    estimator = LogisticRegression().fit(X, NAMES)
    export_onnx(estimator, path)
    assert_classifies_alike(path, estimator, X)


@pytest.mark.parametrize("library", ["onnx", "skl2onnx"])
def test_without_the_libraries(library, path, monkeypatch):
    estimator = classifier().fit(X, NAMES)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(BackendError, match=r"'nnfs-xp\[onnx\]'"):
        export_onnx(estimator, path)


def test_what_cannot_be_written(tmp_path):
    path = tmp_path / "missing" / "model.onnx"
    with pytest.raises(CheckpointError, match=f"cannot write {path}"):
        export_onnx(classifier().fit(X, NAMES), path)
    assert list(tmp_path.iterdir()) == []
