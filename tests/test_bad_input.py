"""Bad input: each a clear error, early, of the tree in `errors`."""

from __future__ import annotations

import datetime
import inspect
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnfs_xp as nn
from nnfs_xp import _checks
from nnfs_xp.errors import (
    ArgumentError,
    BackendError,
    DataError,
    DTypeError,
    LabelError,
    NnfsError,
    NotReadyError,
    ShapeError,
)

X = np.random.default_rng(0).normal(size=(12, 4))
Y = np.arange(12) % 3


def make_trainer(backend="numpy", loss=None, outputs=3):
    model = nn.Sequential(nn.Dense(4, 5), nn.ReLU(), nn.Dense(5, outputs), seed=0)
    return nn.Trainer(
        model, loss or nn.SoftmaxCategoricalCrossentropy(), nn.SGD(0.1), backend=backend
    )


def with_value(value):
    spoilt = X.copy()
    spoilt[3, 2] = value
    return spoilt


BAD_INPUTS = [
    (X[:, :3], ShapeError, r"`X` must have shape \(samples, 4\); got \(12, 3\)"),
    (X[:4].T[:, :3], ShapeError, "transpose"),
    (X[0], ShapeError, r"reshape\(1, -1\)"),
    (np.float64(1.0), ShapeError, "samples, features"),
    (X[:0], ShapeError, "empty"),
    (X[:, :0], ShapeError, "empty"),
    (X[..., None], ShapeError, r"got \(12, 4, 1\)"),
    (with_value(np.nan), DataError, "NaN or infinity"),
    (with_value(np.inf), DataError, "NaN or infinity"),
    (with_value(1e300), DataError, "up to 1e.300 in size, more than float32 can hold"),
    (X.astype(str), DTypeError, "expected numbers"),
    (X.astype(object), DTypeError, "expected numbers"),
    ([[1, 2, 3, 4], [1, 2]], DTypeError, "cannot make an array"),
    (None, DTypeError, "got None: the data are missing"),
    ({"a": [1.0]}, DTypeError, "got dict. Make a frame of it, or an array of its values"),
    ("data.csv", DTypeError, "got a text, 'data.csv'. Read the file first"),
]


@pytest.mark.parametrize(("x", "error", "message"), BAD_INPUTS)
def test_inputs_of_fit_evaluate_and_predict(backend, x, error, message):
    trainer = make_trainer(backend)
    y = Y[: len(x)] if isinstance(x, np.ndarray) and x.ndim and len(x) else Y
    before = nn.to_numpy(trainer.model.flat.values).copy()
    with np.errstate(over="ignore"):
        for call in (
            lambda: trainer.fit(x, y),
            lambda: trainer.fit(X, Y, validation_data=(x, y)),
            lambda: trainer.evaluate(x, y),
            lambda: trainer.predict(x),
            lambda: trainer.predict_proba(x),
        ):
            with pytest.raises(error, match=message):
                call()
    np.testing.assert_array_equal(nn.to_numpy(trainer.model.flat.values), before)
    assert trainer.optimizer.iterations == 0


ONE_HOT = np.eye(3)[Y]

BAD_LABELS = [
    (np.where(Y == 2, 3, Y), "from 0 to 2.*from 0 to 3"),
    (np.where(Y == 2, -1, Y), "from -1 to 1"),
    (Y.astype(float), "must be integers; got"),
    (Y.astype(bool), "must be integers"),
    (Y[:11], "one entry for each of the 12 samples"),
    (np.int64(1), "one entry for each"),
    (Y[:, None], "flatten"),
    (np.eye(4)[Y], "3 columns"),
    (ONE_HOT[:11], "one entry for each"),
    (ONE_HOT * 2, "one 1 and otherwise 0"),
    (np.zeros((12, 3)), "one 1 and otherwise 0"),
    (np.full((12, 3), 0.3), r"1 in sum; row 0 is \(0.3, 0.3, 0.3\)"),
    (np.where(ONE_HOT == 1, 1.5, -0.25), "shares of the classes, at least 0"),
    (np.where(ONE_HOT == 1, np.nan, 0.0), "one 1 and otherwise 0"),
    (np.zeros((12, 3, 1)), "class indices of shape"),
]


@pytest.mark.parametrize(("y", "message"), BAD_LABELS)
@pytest.mark.parametrize("fused", [True, False])
def test_labels_of_classes(backend, y, message, fused):
    loss = nn.SoftmaxCategoricalCrossentropy() if fused else nn.CategoricalCrossentropy()
    trainer = make_trainer(backend, loss)
    for call in (
        lambda: trainer.fit(X, y),
        lambda: trainer.fit(X, Y, validation_data=(X, y)),
        lambda: trainer.evaluate(X, y),
    ):
        with pytest.raises(LabelError, match=message):
            call()
    assert trainer.optimizer.iterations == 0


@pytest.mark.parametrize("loss", [nn.BinaryCrossentropy(), nn.SigmoidBinaryCrossentropy()])
@pytest.mark.parametrize("y", [Y, np.eye(3)[Y] * 2, np.eye(4)[Y], np.full((12, 3), 0.5)])
def test_labels_of_yes_or_no_outputs(backend, loss, y):
    with pytest.raises(LabelError):
        make_trainer(backend, loss).fit(X, y)


@pytest.mark.parametrize("loss", [nn.MeanSquaredError(), nn.MeanAbsoluteError()])
def test_targets_of_regressions(backend, loss):
    trainer = make_trainer(backend, loss)
    with pytest.raises(LabelError, match=r"shape of the predictions, \(12, 3\); got \(12,\)"):
        trainer.fit(X, X[:, 0])
    with pytest.raises(DataError, match="`y` holds NaN"):
        trainer.fit(X, with_value(np.nan)[:, :3])
    trainer = make_trainer(backend, loss, outputs=1)
    with pytest.raises(LabelError):
        trainer.fit(X, X[:, :2])
    assert trainer.fit(X, X[:, 0]).epochs == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_labels_that_are_missing(backend, dtype):
    """Whole numbers with gaps come as floats; to convert them would make classes of NaN."""
    y = Y.astype(dtype)
    y[[2, 7]] = np.nan
    with pytest.raises(LabelError, match=r"it has NaN .* are missing there: drop .*ignore_index"):
        make_trainer(backend).fit(X, y)
    with pytest.raises(LabelError, match=r"astype\(int\)"):
        make_trainer(backend).fit(X, Y.astype(dtype))
    yes = (X[:, :3] > 0).astype(dtype)
    yes[4, 1] = np.nan
    with pytest.raises(LabelError, match=r"`y` must hold 0 and 1 only.*got nan\. Labels are miss"):
        make_trainer(backend, nn.SigmoidBinaryCrossentropy()).fit(X, yes)


def test_what_came_is_said(backend):
    yes = (X[:, :3] > 0).astype(float)
    for loss, value, message in (
        (nn.BinaryCrossentropy(), 0.25, "`y` must hold 0 and 1 only.* got 0.25"),
        (nn.Poisson(), -3.0, "`y` must hold counts of at least 0; got -3"),
    ):
        y = yes.copy()
        y[5, 2] = value
        with pytest.raises(LabelError, match=message):
            make_trainer(backend, loss).fit(X, y)
        with pytest.raises(LabelError, match="`y_true`"):  # as the argument is called there
            loss.prepare_targets(backend.asarray(y), 3, backend.xp.float64)


def test_kinds_of_values_that_are_no_numbers():
    for values, message in (
        ([datetime.date(2020, 1, 1)], "object, with date. Turn it into numbers first, days since"),
        (np.array(["2020-01-01"], "datetime64[D]"), "datetime64.* days since a date"),
        ([1j], "complex128. Take the real and the imaginary part"),
        (["a", "b"], "list of dtype <U1. Encode strings and objects"),
        (np.array([1, "a"], object), "object, with str. Encode strings"),
        ([None, 1.0], "object, with numbers. Write NaN for what is missing"),
        (iter([1.0]), "got list_iterator. Make an array of it"),
    ):
        with pytest.raises(DTypeError, match=message):
            nn.to_numpy(values)


class TestNumbersAndBooleans:
    @pytest.mark.parametrize(
        "value",
        ["0.1", b"0.1", True, np.True_, np.array("0.1"), np.array([0.1]), None, 0.1j, [0.1]],
    )
    def test_what_is_no_number(self, value):
        with pytest.raises(ArgumentError, match="`it` must be at least 0 and below 1; got"):
            _checks.check_range("it", value, 0, 1)
        with pytest.raises(ArgumentError, match="`it` must be a finite number; got"):
            _checks.check_finite_number("it", value)
        with pytest.raises(ArgumentError, match="`rate`"):
            nn.Dropout(value)

    @pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5), Fraction(1, 2)])
    def test_what_is_one(self, backend, value):
        assert _checks.check_range("it", value, 0, 1) == 0.5
        assert _checks.check_finite_number("it", backend.asarray(np.array(-0.5))) == -0.5
        assert type(_checks.check_range("it", np.int64(0), 0)) is float

    def test_long_values_are_cut(self):
        values = 10**400, -(10**400), 10**5000, -(10**5000), "9" * 5000, [9] * 5000
        for value in values:
            with pytest.raises(ArgumentError, match=r"`it` must be .*; got") as caught:
                _checks.check_range("it", value, 0)
            assert len(str(caught.value)) < 200
            if not (isinstance(value, int) and value > 0):
                with pytest.raises(ArgumentError, match=r"whole number of .*; got") as caught:
                    _checks.check_count("it", value)
                assert len(str(caught.value)) < 200
        assert _checks.check_count("it", values[0]) == values[0]

    @pytest.mark.parametrize("value", ["no", "", 1, 0, None, [], np.int64(1), np.array([True])])
    def test_what_is_neither_true_nor_false(self, value):
        with pytest.raises(ArgumentError, match="`it` must be True or False; got"):
            _checks.check_bool("it", value)
        with pytest.raises(ArgumentError, match="`log_input` must be True or False"):
            nn.Poisson(value)

    def test_what_is(self):
        assert [_checks.check_bool("it", each) for each in (True, False)] == [True, False]
        assert _checks.check_bool("it", np.True_) is True
        assert nn.Poisson(np.False_).log_input is False


class TestLossesAlone:
    """Shapes and types are checked; the values of labels cannot be, without waiting."""

    Z = np.zeros((4, 3))

    @pytest.mark.parametrize(
        "loss", [nn.CategoricalCrossentropy(), nn.SoftmaxCategoricalCrossentropy()]
    )
    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (np.zeros(3, dtype=int), "one label for each of the 4 samples; got 3"),
            (np.zeros(4), "must be integers"),
            (np.zeros((4, 2)), "3 columns"),
            (np.zeros((3, 3)), "4 samples"),
            (np.zeros((4, 3, 1)), "shape"),
        ],
    )
    def test_labels_that_do_not_fit(self, backend, loss, y, message):
        pair = backend.asarray(self.Z), backend.asarray(y)
        for call in (loss.forward, loss.backward, loss.calculate):
            with pytest.raises(LabelError, match=message):
                call(*pair)

    @pytest.mark.parametrize(
        "loss", [nn.CategoricalCrossentropy(), nn.SoftmaxCategoricalCrossentropy()]
    )
    @pytest.mark.parametrize("bad", [-1, 3, 2**40])
    def test_a_label_that_is_no_class_gives_nan(self, backend, loss, bad):
        pair = backend.asarray(self.Z + 1 / 3), backend.asarray(np.array([0, bad, 2, 1]))
        losses = nn.to_numpy(loss.forward(*pair))
        np.testing.assert_array_equal(np.isnan(losses), [False, True, False, False])
        gradient = nn.to_numpy(loss.backward(*pair))
        np.testing.assert_array_equal(np.isnan(gradient).all(axis=1), [False, True, False, False])

    @pytest.mark.parametrize(
        "loss",
        [
            nn.BinaryCrossentropy(),
            nn.SigmoidBinaryCrossentropy(),
            nn.MeanSquaredError(),
            nn.MeanAbsoluteError(),
        ],
    )
    def test_nothing_is_broadcast(self, backend, loss):
        for shape in [(4,), (1, 3), (3,), (4, 1), (4, 4)]:
            with pytest.raises(LabelError, match="shape of the predictions"):
                loss.forward(backend.asarray(self.Z), backend.asarray(np.zeros(shape)))

        one = backend.asarray(self.Z[:, :1])
        for n in (1, 3, 5):
            with pytest.raises(LabelError, match=r"predictions, \(4, 1\)"):
                loss.forward(one, backend.asarray(np.zeros(n)))
        assert tuple(loss.forward(one, backend.asarray(np.zeros(4))).shape) == (4,)

    def test_mixed_dtypes(self, backend):
        pair = backend.asarray(self.Z, "float32"), backend.asarray(self.Z, "float64")
        with pytest.raises(DTypeError, match="dtype of the predictions"):
            nn.MeanSquaredError().forward(*pair)
        with pytest.raises(DTypeError, match="floating dtype"):
            nn.MeanSquaredError().forward(backend.asarray(self.Z.astype(int)), pair[1])

    def test_two_devices(self):
        strict, other = (
            nn.get_backend(n) for n in ("array_api_strict", "array_api_strict:device1")
        )
        numbers = np.zeros((4, 3))
        for one, two in [(strict, other), (nn.get_backend("numpy"), strict)]:
            with pytest.raises(BackendError, match="one device"):
                nn.MeanSquaredError().forward(one.asarray(numbers), two.asarray(numbers))

    def test_no_probability_makes_an_infinite_gradient(self, backend):
        p = backend.asarray(np.array([[0.0, 1.0], [1.0, 0.0]]))
        y = backend.asarray(np.array([0, 1]))
        for loss, truth in (
            (nn.CategoricalCrossentropy(), y),
            (nn.BinaryCrossentropy(), backend.asarray(np.array([[1, 0], [0, 1]]))),
        ):
            assert np.isfinite(nn.to_numpy(loss.forward(p, truth))).all()
            assert np.isfinite(nn.to_numpy(loss.backward(p, truth))).all()


LAYERS = [
    lambda: nn.Dense(4, 3, seed=0),
    nn.ReLU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softmax,
    nn.Linear,
    nn.LeakyReLU,
    lambda: nn.Dropout(0.5),
    lambda: nn.Sequential(nn.Dense(4, 3), nn.Softmax()),
]


class TestLayersAlone:
    @pytest.mark.parametrize("build", LAYERS)
    def test_inputs(self, backend, build):
        layer = build().to(backend)
        good = backend.asarray(X, "float32")
        for bad, error in [
            (good[0, :], ShapeError),
            (good[:0, ...], ShapeError),
            (backend.asarray(X.astype(int)), DTypeError),
            (X.tolist(), DTypeError),
            (None, DTypeError),
        ]:
            with pytest.raises(error):
                layer.forward(bad)
        layer.forward(good, training=True)
        with pytest.raises(ShapeError, match="`dvalues` must have the shape of the output"):
            layer.backward(good[:5, ...])
        with pytest.raises(NotReadyError, match="training=True"):
            build().to(backend).backward(good)

    @pytest.mark.parametrize("build", LAYERS)
    def test_arrays_of_another_backend(self, backend, build):
        foreign = nn.get_backend(
            "numpy" if backend.name != "numpy" else "array_api_strict"
        ).asarray(X, "float32")
        layer = build().to(backend)
        with pytest.raises(BackendError, match="must be on"):
            layer.forward(foreign)
        layer.forward(backend.asarray(X, "float32"), training=True)
        with pytest.raises(BackendError, match="must be on"):
            layer.backward(foreign)

    def test_dense(self, backend):
        layer = nn.Dense(4, 3, seed=0).to(backend)
        with pytest.raises(ShapeError, match=r"\(batch, 4\); got \(4, 12\). Did you mean to trans"):
            layer.forward(backend.asarray(X.T, "float32"))
        with pytest.raises(DTypeError, match="float64"):
            layer.forward(backend.asarray(X, "float64"))

    @pytest.mark.parametrize(
        "build",
        [
            lambda: nn.Dense(0, 3),
            lambda: nn.Dense(4, -1),
            lambda: nn.Dense(4, 2.5),
            lambda: nn.Dense(4, True),
            lambda: nn.Dense(4, 3, weight_regularizer_l1=-1),
            lambda: nn.Dense(4, 3, dtype="float16"),
            lambda: nn.Dropout(1.0),
            lambda: nn.Dropout(-0.1),
            lambda: nn.Dropout("half"),
            lambda: nn.Dropout(float("nan")),
            lambda: nn.LeakyReLU(-1),
            lambda: nn.SGD(0),
            lambda: nn.SGD(float("nan")),
            lambda: nn.SGD(float("inf")),
            lambda: nn.SGD(0.1, momentum=1.0),
            lambda: nn.SGD(0.1, nesterov=True),
            lambda: nn.SGD(0.1, decay=-1),
            lambda: nn.Adam(beta_1=1.0),
            lambda: nn.Adam(epsilon=0),
            lambda: nn.AdamW(weight_decay=-1),
            lambda: nn.RMSprop(rho=1.5),
            lambda: nn.RegressionAccuracy(0.0),
            lambda: nn.Sequential(),
            lambda: nn.Sequential(nn.Dense(4, 3), "relu"),
            lambda: nn.Sequential(*[nn.ReLU()] * 2),
            lambda: nn.Dense(4, 3, seed=-1),
            lambda: nn.Dense(4, 3, seed=1.5),
            lambda: nn.Sequential(nn.Dense(4, 3), seed="zero"),
            lambda: nn.data.spiral_data(seed=-1),
            lambda: nn.data.sine_data(dtype="nope"),
        ],
    )
    def test_settings_out_of_range(self, build):
        with pytest.raises(ArgumentError):
            build()

    def test_layers_that_do_not_fit_together(self):
        with pytest.raises(
            ShapeError, match=r"layer 2 .* Dense\(4, 2\) takes .*\(4,\); got \(3,\)"
        ):
            nn.Sequential(nn.Dense(5, 3), nn.ReLU(), nn.Dense(4, 2))
        with pytest.raises(DTypeError, match="float32 and float64"):
            nn.Sequential(nn.Dense(4, 3), nn.Dense(3, 2, dtype="float64"))


class TestTrainer:
    def test_parts(self):
        model, loss, optimizer = nn.Sequential(nn.Dense(4, 3)), nn.MeanSquaredError(), nn.SGD()
        for parts in [
            ("model", loss, optimizer),
            (model, "mse", optimizer),
            (model, nn.MeanSquaredError, optimizer),
            (model, loss, nn.Adam),
        ]:
            with pytest.raises(ArgumentError, match="object; got"):
                nn.Trainer(*parts)
        with pytest.raises(ArgumentError, match="a metric is"):
            nn.Trainer(model, loss, optimizer, metrics=["f1"])
        with pytest.raises(BackendError, match="unknown backend"):
            nn.Trainer(model, loss, optimizer, backend="tensorflow")

    @pytest.mark.parametrize(
        "settings",
        [
            {"epochs": 0},
            {"epochs": 1.5},
            {"batch_size": 0},
            {"batch_size": None},
            {"validation_data": X},
            {"validation_data": (X,)},
        ],
    )
    def test_settings(self, settings):
        with pytest.raises(ArgumentError):
            make_trainer().fit(X, Y, **settings)

    def test_a_step_with_foreign_arrays(self, backend):
        trainer = make_trainer(backend)
        other = nn.get_backend("numpy" if backend.name != "numpy" else "array_api_strict")
        x, y = backend.asarray(X, "float32"), backend.asarray(Y)
        with pytest.raises(BackendError):
            trainer.train_step(other.asarray(X, "float32"), y)
        with pytest.raises(BackendError):
            trainer.train_step(x, other.asarray(Y))
        with pytest.raises(DTypeError):
            trainer.train_step(backend.asarray(X, "float64"), y)


def test_every_error_is_one_of_the_tree():
    classes = [thing for _, thing in inspect.getmembers(nn.errors, inspect.isclass)]
    warnings = [each for each in classes if issubclass(each, Warning)]
    assert warnings == [nn.errors.TrainingWarning]
    assert len(classes) == 13
    for error in set(classes) - set(warnings):
        assert issubclass(error, NnfsError)
        standard = (ValueError, TypeError, RuntimeError, ArithmeticError, MemoryError)
        assert error is NnfsError or issubclass(error, standard)


@given(
    shape=st.lists(st.integers(0, 5), max_size=3).map(tuple),
    n_inputs=st.integers(1, 4),
    training=st.booleans(),
)
def test_dense_takes_the_shapes_it_says_and_no_other(backend, shape, n_inputs, training):
    layer = nn.Dense(n_inputs, 2, seed=0).to(backend)
    inputs = backend.asarray(np.ones(shape, dtype=np.float32))
    if len(shape) >= 2 and 0 not in shape and shape[-1] == n_inputs:
        assert tuple(layer.forward(inputs, training=training).shape) == (*shape[:-1], 2)
    else:
        with pytest.raises(ShapeError):
            layer.forward(inputs, training=training)


@given(labels=st.lists(st.integers(-2, 5), min_size=1, max_size=8), classes=st.integers(1, 4))
def test_labels_are_taken_if_and_only_if_they_are_classes(backend, labels, classes):
    loss = nn.SoftmaxCategoricalCrossentropy()
    y_true = backend.asarray(np.array(labels))
    dtype = backend.xp.float64
    if all(0 <= label < classes for label in labels):
        prepared = loss.prepare_targets(y_true, classes, dtype)
        logits = backend.asarray(np.zeros((len(labels), classes)))
        np.testing.assert_allclose(nn.to_numpy(loss.forward(logits, prepared)), np.log(classes))
    else:
        with pytest.raises(LabelError):
            loss.prepare_targets(y_true, classes, dtype)
