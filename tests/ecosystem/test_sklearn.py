"""The estimators: scikit-learn's checks, its tools, and what its own MLPs lack."""

import functools
import pickle
import re
import warnings

import array_api_strict
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.estimator_checks import check_estimator

import nnfs_xp as nn
from nnfs_xp.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
BOTH = pytest.mark.parametrize("Estimator", [MLPClassifier, MLPRegressor])
IRIS = load_iris(return_X_y=True)
DIGITS = load_digits(return_X_y=True)


def without_addresses(value):
    """A test's name: the same in each of the processes that run tests side by side."""
    return re.sub(" at 0x[0-9a-f]+", "", str(value))


def iris():
    X, y = IRIS
    return StandardScaler().fit_transform(X), y


def values():
    X = np.random.default_rng(0).normal(size=(300, 4))
    return X, np.sin(X[:, 0]) + X[:, 1] * X[:, 2]


def data_for(Estimator):
    return iris() if Estimator is MLPClassifier else values()


def small_network(n_features, n_outputs):
    return nn.Sequential(
        nn.Dense(n_features, 32, dtype="float64"),
        nn.ReLU(),
        nn.Dense(32, n_outputs, dtype="float64"),
    )


CHECKED = {
    "classifier": MLPClassifier(),
    "regressor": MLPRegressor(learning_rate_init=0.01, max_iter=60),
    # No probability is rounded to 1.
    "lbfgs": MLPClassifier((20,), solver="lbfgs", alpha=1.0, max_iter=40),
    "regressor, lbfgs": MLPRegressor(hidden_layer_sizes=(20,), solver="lbfgs", max_iter=60),
    "sgd": MLPRegressor(hidden_layer_sizes=(20,), solver="sgd"),
    "own network": MLPClassifier(max_iter=60, network=small_network, learning_rate_init=0.01),
    "all that is new": MLPClassifier(
        (32, 16),
        activation=["tanh", nn.GELU()],
        optimizer=nn.AdamW(0.003),
        max_iter=60,
    ),
    # It has no partial_fit, which would refuse them.
    "balanced": MLPClassifier(
        (20,), class_weight="balanced", solver="lbfgs", alpha=1.0, max_iter=40
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CHECKED)
def test_scikit_learns_checks_pass_without_exceptions(name):
    results = check_estimator(CHECKED[name], on_skip=None, on_fail=None)
    assert len(results) > 50
    failed = [each for each in results if each["status"] not in ("passed", "skipped")]
    assert not failed, [(each["check_name"], each["exception"]) for each in failed]
    elsewhere = ("cupy", "dpnp", "cuda", "xpu", "mps", "decision_function", "array-api-strict")
    for each in results:  # a check is skipped for what this machine or these models lack alone
        if each["status"] == "skipped":
            assert any(word in str(each["exception"]).lower() for word in elsewhere)


# The same mathematics ---------------------------------------------------------------------


def without_shuffles(Estimator, **parameters):
    return Estimator(
        hidden_layer_sizes=(20, 10),
        shuffle=False,
        batch_size=50,
        max_iter=15,
        random_state=3,
        **parameters,
    )


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize(
    "solver",
    [
        {"solver": "adam", "epsilon": 1e-14},  # which each adds at another place
        {"solver": "sgd", "learning_rate_init": 0.05},
        {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.05},
        {"solver": "sgd", "momentum": 0.5, "nesterovs_momentum": False, "alpha": 1.0},
    ],
    ids=without_addresses,
)
@pytest.mark.parametrize(
    ("ours", "theirs"), [(MLPClassifier, TheirClassifier), (MLPRegressor, TheirRegressor)]
)
def test_without_shuffles_it_ends_with_the_weights_of_scikit_learns(
    ours, theirs, solver, activation
):
    X, y = data_for(ours)
    one = without_shuffles(ours, activation=activation, **solver).fit(X, y)
    other = without_shuffles(theirs, activation=activation, **solver).fit(X, y)
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-6)
    for mine, its in zip(one.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-6)
    for mine, its in zip(one.intercepts_, other.intercepts_, strict=True):
        assert mine.shape == its.shape
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["binary", "multilabel", "outputs", "poisson"])
def test_the_other_targets_are_trained_like_scikit_learns(kind):
    X, y = values()
    if kind == "binary":
        pair, y = (MLPClassifier, TheirClassifier), np.where(y > 0, "yes", "no")
    elif kind == "multilabel":
        pair = MLPClassifier, TheirClassifier
        y = np.column_stack([y > 0, y > 1, X[:, 0] > 0]).astype(int)
    else:
        pair = MLPRegressor, TheirRegressor
        y = np.column_stack([y, X[:, 0]]) if kind == "outputs" else np.round(np.exp(X[:, 0]))
    more = {"loss": "poisson"} if kind == "poisson" else {}
    more["epsilon"] = 1e-14
    one, other = (without_shuffles(each, **more).fit(X, y) for each in pair)
    for mine, its in zip(one.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.shape(one.predict(X)), np.shape(other.predict(X)))
    if kind != "outputs":  # ours reports the sum whose gradient it is
        np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-6)
    assert one.out_activation_ == other.out_activation_
    assert one.n_outputs_ == other.n_outputs_
    assert one.n_layers_ == other.n_layers_
    assert one.t_ == other.t_
    if kind in ("binary", "multilabel"):
        np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-5)
        np.testing.assert_array_equal(one.predict(X), other.predict(X))
        np.testing.assert_array_equal(one.classes_, other.classes_)
    else:
        np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-4)


def test_the_same_samples_are_held_out_as_by_scikit_learn():
    X, y = iris()
    y = y > 0
    fitted = [
        without_shuffles(each, early_stopping=True, epsilon=1e-14)
        .set_params(batch_size=45)
        .fit(X, y)
        for each in (MLPClassifier, TheirClassifier)
    ]
    np.testing.assert_allclose(*(each.validation_scores_ for each in fitted))
    assert fitted[0].best_validation_score_ == fitted[1].best_validation_score_
    for mine, its in zip(*(each.coefs_ for each in fitted), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-6)


def test_lbfgs_ends_as_low_as_scikit_learns():
    X, y = iris()
    ends = [
        each((10,), solver="lbfgs", alpha=1.0, random_state=0).fit(X, y)
        for each in (MLPClassifier, TheirClassifier)
    ]
    np.testing.assert_allclose(ends[0].loss_, ends[1].loss_, rtol=1e-3)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_weight_of_two_is_the_sample_twice(solver):
    X, y = iris()
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    repeated = np.repeat(np.arange(len(X)), weights)
    settings = {"solver": solver, "max_iter": 20, "batch_size": 1000, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on the batch size
        one = MLPClassifier(**settings).fit(X, y, sample_weight=weights)
        other = MLPClassifier(**settings).fit(X[repeated], y[repeated])
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-5)


# scikit-learn's tools ------------------------------------------------------------------------


def test_a_grid_search_over_a_pipeline_has_one_winner_twice():
    X, y = DIGITS[0][:400], DIGITS[1][:400]
    pipeline = make_pipeline(
        StandardScaler(), MLPClassifier(learning_rate_init=0.01, max_iter=15, random_state=0)
    )
    grid = {
        "mlpclassifier__hidden_layer_sizes": [(16,), (32, 16)],
        "mlpclassifier__dropout": [0.0, 0.3],
    }
    searches = [GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, y) for _ in range(2)]
    first, second = searches
    assert first.best_params_ == second.best_params_
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_array_equal(first.cv_results_[name], second.cv_results_[name])
    assert first.best_score_ > 0.8


def test_cross_validation_and_calibration():
    X, y = iris()
    classifier = MLPClassifier((16,), learning_rate_init=0.02, max_iter=60, random_state=0)
    assert cross_val_score(classifier, X, y, cv=3).mean() > 0.9
    calibrated = CalibratedClassifierCV(classifier, cv=3).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)
    assert calibrated.score(X, y) > 0.9


@BOTH
def test_clone_has_the_parameters_and_no_training(Estimator):
    X, y = data_for(Estimator)
    fitted = Estimator(
        hidden_layer_sizes=(8,), dropout=0.1, callbacks=(nn.EarlyStopping("loss"),), max_iter=2
    ).fit(X, y)
    fresh = clone(fitted)
    assert fresh.get_params()["hidden_layer_sizes"] == (8,)
    assert not hasattr(fresh, "coefs_")
    assert not hasattr(fresh, "network_")
    with pytest.raises(NotFittedError):
        fresh.predict(X)


@BOTH
def test_html(Estimator):
    X, y = data_for(Estimator)
    estimator = Estimator(hidden_layer_sizes=(8,), activation=nn.GELU(), max_iter=2)
    assert "not fitted" in estimator._repr_html_().lower()
    html = make_pipeline(StandardScaler(), estimator).fit(X, y)._repr_html_()
    assert Estimator.__name__ in html
    assert "hidden_layer_sizes" in html


PICKLED = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1},
    "lbfgs": {"solver": "lbfgs"},
    "dropout and batch_norm": {"dropout": 0.3, "batch_norm": True},
    "optimizer": {"optimizer": nn.RMSprop(nn.CosineDecay(0.01, steps=50), average_decay=0.9)},
    "schedule": {"schedule": nn.ReduceOnPlateau(0.01, monitor="loss", patience=1)},
    "decay": {
        "optimizer": nn.AdamW(
            0.01, weight_decay=nn.ReduceOnPlateau(9.0, monitor="loss", mode="max", patience=0)
        )
    },
}


@BOTH
@pytest.mark.parametrize("name", PICKLED)
def test_a_pickle_predicts_and_goes_on_as_the_original(Estimator, name):
    X, y = data_for(Estimator)
    original = Estimator(
        hidden_layer_sizes=(8, 4), random_state=0, max_iter=5, **PICKLED[name]
    ).fit(X, y)
    copy = pickle.loads(pickle.dumps(original))
    np.testing.assert_array_equal(original.predict(X), copy.predict(X))
    if original.solver != "lbfgs":
        assert dict(copy.history_) == dict(original.history_)
        assert isinstance(copy.history_, nn.training.History)
        for _ in range(3):
            original.partial_fit(X, y)
            copy.partial_fit(X, y)
        for mine, its in zip(original.coefs_, copy.coefs_, strict=True):
            np.testing.assert_array_equal(mine, its)


def test_a_pickle_holds_plain_values_only():
    state = MLPClassifier(max_iter=2).fit(*iris()).__getstate__()

    def kinds(value):
        if isinstance(value, dict):
            return set().union(*map(kinds, value.values())) if value else set()
        if isinstance(value, (list, tuple)):
            return set().union(*map(kinds, value)) if value else set()
        return {type(value)}

    plain = {int, float, str, bool, type(None), np.ndarray, np.float64, np.int64}
    assert kinds(state) <= plain


class Doubled(nn.Layer):
    """A layer of the user's own."""

    def forward(self, inputs, training=False):
        return 2 * inputs

    def backward(self, dvalues):
        self.dinputs = 2 * dvalues
        return self.dinputs


def test_a_network_with_layers_of_ones_own_is_pickled_too():
    X, y = iris()
    network = nn.Sequential(nn.Dense(4, 3, dtype="float64", seed=0), Doubled())
    original = MLPClassifier(network=network, max_iter=3, random_state=0).fit(X, y)
    copy = pickle.loads(pickle.dumps(original))
    np.testing.assert_array_equal(original.predict_proba(X), copy.predict_proba(X))


# Where samples come from ----------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("frame", [pd.DataFrame, lambda X, columns: pl.DataFrame(X, columns)])
def test_frames_with_names(Estimator, frame):
    X, y = data_for(Estimator)
    names = [f"feature {n}" for n in range(4)]
    named = frame(X, names) if frame is not pd.DataFrame else pd.DataFrame(X, columns=names)
    estimator = Estimator(hidden_layer_sizes=(8,), max_iter=3, random_state=0).fit(named, y)
    assert list(estimator.feature_names_in_) == names
    plain = Estimator(hidden_layer_sizes=(8,), max_iter=3, random_state=0).fit(X, y)
    np.testing.assert_array_equal(estimator.predict(named), plain.predict(X))
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(pd.DataFrame(X, columns=names[::-1]))


@BOTH
@pytest.mark.parametrize("kind", [scipy.sparse.csr_array, scipy.sparse.csc_matrix])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_sparse_samples_train_as_dense_ones_do(Estimator, kind, early_stopping):
    X, y = data_for(Estimator)
    X = X * (np.random.default_rng(0).random(X.shape) < 0.3)
    settings = {"max_iter": 4, "random_state": 0, "batch_size": 40}
    settings["early_stopping"] = early_stopping
    dense = Estimator(hidden_layer_sizes=(8,), **settings).fit(X, y)
    sparse = Estimator(hidden_layer_sizes=(8,), **settings).fit(kind(X), y)
    for mine, its in zip(sparse.coefs_, dense.coefs_, strict=True):
        np.testing.assert_array_equal(mine, its)
    np.testing.assert_array_equal(sparse.predict(kind(X)), dense.predict(X))
    sparse.set_params(early_stopping=False).partial_fit(kind(X), y)


def test_a_sparse_matrix_is_never_dense_as_a_whole():
    wide = scipy.sparse.random_array((6_000, 5_000), density=1e-4, format="csr", random_state=0)
    largest = 0

    class Watched(scipy.sparse.csr_array):
        def toarray(self, *arguments, **named):
            nonlocal largest
            largest = max(largest, self.shape[0])
            return super().toarray(*arguments, **named)

    trainer = nn.Trainer(
        nn.Sequential(nn.Dense(5_000, 4), nn.ReLU(), nn.Dense(4, 2), seed=0),
        nn.SoftmaxCategoricalCrossentropy(),
        nn.Adam(),
        backend="numpy",
    )
    y = np.arange(6_000) % 2
    trainer.fit(Watched(wide), y, batch_size=500, progress=False)
    assert trainer.predict(Watched(wide)).shape == (6_000,)
    assert trainer.evaluate(Watched(wide), y)["loss"] > 0
    assert 0 < largest <= 1024


def test_sparse_samples_with_nan_are_refused():
    X = scipy.sparse.csr_array(np.array([[0.0, np.nan], [1.0, 0.0]]))
    trainer = nn.Trainer(
        nn.Sequential(nn.Dense(2, 2, seed=0)), nn.MeanSquaredError(), nn.SGD(), metrics=()
    )
    with pytest.raises(nn.errors.DataError, match="NaN or infinity"):
        trainer.fit(X, np.zeros((2, 2), "float32"), progress=False)


@BOTH
@pytest.mark.parametrize("xp", [torch, array_api_strict], ids=lambda xp: xp.__name__)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_arrays_of_other_libraries_are_trained_on_where_they_are(Estimator, xp, early_stopping):
    X, y = data_for(Estimator)
    settings = {"max_iter": 5, "random_state": 0, "early_stopping": early_stopping}
    plain = Estimator(hidden_layer_sizes=(8,), **settings).fit(X, y)
    with config_context(array_api_dispatch=True):
        there, targets = xp.asarray(X), xp.asarray(y)
        estimator = Estimator(hidden_layer_sizes=(8,), **settings).fit(there, targets)
        assert estimator.network_.backend.name == xp.__name__
        predicted = estimator.predict(there)
        assert type(predicted) is type(there)
        assert estimator.score(there, targets) == pytest.approx(plain.score(X, y), abs=0.02)
        with pytest.raises(ValueError, match="same namespace"):
            estimator.predict(X)
    np.testing.assert_allclose(nn.to_numpy(predicted), plain.predict(X), rtol=1e-5)


def test_a_backend_by_name():
    X, y = iris()
    settings = {"max_iter": 5, "random_state": 0}
    there = MLPClassifier(backend="torch", **settings).fit(X, y)
    assert there.network_.backend.name == "torch"
    assert isinstance(there.predict_proba(X), np.ndarray)
    assert all(isinstance(each, np.ndarray) for each in there.coefs_)
    here = MLPClassifier(**settings).fit(X, y)
    np.testing.assert_allclose(there.predict_proba(X), here.predict_proba(X), rtol=1e-6)
    assert pickle.loads(pickle.dumps(there)).network_.backend.name == "torch"


def test_a_model_of_a_machine_with_a_gpu_is_read_on_one_without():
    X, y = iris()
    original = MLPClassifier(max_iter=3).fit(X, y)
    state = original.__getstate__()
    state["_packed_network"]["backend"] = "cupy:7"
    copy = MLPClassifier()
    copy.__setstate__(state)
    assert copy.network_.backend.name == "numpy"
    np.testing.assert_array_equal(copy.predict(X), original.predict(X))


@pytest.mark.parametrize("labels", [["a", "b", "c"], [True, False], [7, 11, 13], ["x", "y"]])
def test_labels_of_any_kind(labels):
    X, y = iris()
    classes = np.array(labels)[np.minimum(y, len(labels) - 1)]
    classifier = MLPClassifier((16,), learning_rate_init=0.02, max_iter=100).fit(X, classes)
    assert classifier.score(X, classes) > 0.9
    assert classifier.predict(X).dtype == classes.dtype
    np.testing.assert_array_equal(classifier.classes_, np.unique(classes))
    assert classifier.predict_proba(X).shape == (150, len(labels))
    np.testing.assert_allclose(
        classifier.predict_log_proba(X), np.log(classifier.predict_proba(X)), rtol=1e-6
    )


# What scikit-learn's own lack ------------------------------------------------------------------


def layers_of(estimator):
    return [type(layer).__name__ for layer in estimator.network_.layers]


def test_each_hidden_layer_has_its_own():
    X, y = iris()
    classifier = MLPClassifier(
        (8, 6, 4),
        activation=["relu", nn.LeakyReLU(0.2), "identity"],
        dropout=[0.5, 0.0, 0.1],
        batch_norm=True,
        max_iter=3,
    ).fit(X, y)
    assert layers_of(classifier) == [
        *("Dense", "BatchNorm", "ReLU", "Dropout"),
        *("Dense", "BatchNorm", "LeakyReLU"),
        *("Dense", "BatchNorm", "Dropout"),
        *("Dense", "Softmax"),
    ]
    rates = [layer.rate for layer in classifier.network_.layers if isinstance(layer, nn.Dropout)]
    assert rates == [0.5, 0.1]
    assert np.all(np.isfinite(classifier.predict_proba(X[:1])))


def test_dropout_changes_the_training_and_not_the_prediction():
    X, y = iris()
    plain, dropped = (
        MLPClassifier((32,), dropout=rate, max_iter=5, random_state=0).fit(X, y)
        for rate in (0.0, 0.5)
    )
    assert not np.allclose(plain.coefs_[0], dropped.coefs_[0])
    np.testing.assert_array_equal(dropped.predict_proba(X), dropped.predict_proba(X))


def test_a_batch_of_one_is_never_left_over_for_batch_normalization():
    X, y = iris()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        MLPClassifier(batch_norm=True, batch_size=50, max_iter=2).fit(X[:101], y[:101])


def test_class_weights():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2))
    y = (X[:, 0] + rng.normal(size=600) > 1.8).astype(int)
    recalls = []
    for class_weight in (None, "balanced", {0: 1, 1: 20}):
        classifier = MLPClassifier(
            (8,), class_weight=class_weight, solver="lbfgs", alpha=0.1, random_state=0
        ).fit(X, y)
        recalls.append(classifier.predict(X)[y == 1].mean())
    assert recalls[0] + 0.2 < recalls[1]
    assert recalls[0] + 0.2 < recalls[2]
    weights = np.where(y == 1, 20.0, 1.0)
    by_sample = MLPClassifier((8,), solver="lbfgs", alpha=0.1, random_state=0)
    by_sample.fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(by_sample.predict_proba(X), classifier.predict_proba(X))


def test_an_own_validation_set():
    X, y = iris()
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    order = np.random.default_rng(0).permutation(150)
    train, kept = order[:100], order[100:]
    classifier = MLPClassifier(
        (16,), early_stopping=True, learning_rate_init=0.02, n_iter_no_change=5, random_state=0
    )
    classifier.fit(X[train], names[train], X_val=X[kept], y_val=names[kept])
    assert classifier.best_validation_score_ == max(classifier.validation_scores_)
    assert classifier.score(X[kept], names[kept]) == classifier.best_validation_score_
    assert classifier.t_ == 100 * classifier.n_iter_  # none was held out
    assert len(classifier.history_["val_loss"]) == classifier.n_iter_
    watched = MLPClassifier((16,), max_iter=7, random_state=0)
    watched.fit(X[train], names[train], X_val=X[kept], y_val=names[kept])
    assert len(watched.validation_scores_) == 7
    with pytest.raises(ValueError, match="given together"):
        classifier.fit(X, names, X_val=X)
    with pytest.raises(ValueError, match="not among"):
        classifier.fit(X, names, X_val=X, y_val=np.full(150, "rose"))
    with pytest.raises(ValueError, match=r"^X_val, y_val: .*NaN"):
        classifier.fit(X, names, X_val=np.where(X > 1, np.nan, X), y_val=names)
    with pytest.raises(ValueError, match="an estimator takes X_val and y_val"):
        MLPClassifier(callbacks=[nn.EarlyStopping()]).fit(X, names)


def test_losses_of_the_library():
    X, y = iris()
    settings = {"learning_rate_init": 0.02, "max_iter": 80, "random_state": 0}
    for loss in (
        nn.FocalLoss(),
        nn.CategoricalCrossentropy(label_smoothing=0.1),
        nn.SoftmaxCategoricalCrossentropy(),
        nn.CategoricalHinge(),
    ):
        classifier = MLPClassifier((16,), loss=loss, **settings).fit(X, y)
        assert classifier.score(X, y) > 0.9
        assert hasattr(classifier, "predict_proba") == (not isinstance(loss, nn.CategoricalHinge))
    two = MLPClassifier((16,), loss=nn.Hinge(), **settings).fit(X, y > 0)
    assert two.score(X, y > 0) > 0.95
    with pytest.raises(ValueError, match="two classes"):
        MLPClassifier(loss=nn.Hinge()).fit(X, y)
    X, y = values()
    y[::10] += 50  # outliers
    fits = {
        name: MLPRegressor(loss, **settings).fit(X, y)
        for name, loss in (("huber", nn.Huber()), ("squared", "squared_error"))
    }
    errors = {name: np.median(np.abs(fit.predict(X) - y)) for name, fit in fits.items()}
    assert errors["huber"] < errors["squared"] / 2


def test_optimizer_schedule_and_callbacks():
    X, y = iris()
    seen = []
    classifier = MLPClassifier(
        optimizer=nn.Lion(0.001, weight_decay=0.1),
        callbacks=[nn.LambdaCallback(on_epoch_end=lambda trainer, figures: seen.append(figures))],
        max_iter=4,
    ).fit(X, y)
    assert [each["loss"] for each in seen] == classifier.loss_curve_
    assert classifier.optimizer.iterations == 0  # the parameter is as it was
    scheduled = MLPClassifier(schedule=nn.CosineDecay(0.01, steps=4), max_iter=4).fit(X, y)
    rates = scheduled.history_["learning_rate"]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > rates[-1]
    early = MLPClassifier(callbacks=[nn.EarlyStopping("loss", patience=1, min_delta=10)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was stopped, not cut
        early.fit(X, y)
    assert early.n_iter_ < 5


def test_a_network_of_ones_own():
    X, y = iris()
    network = nn.Sequential(
        nn.Dense(4, 16),
        nn.ReLU(),
        nn.Residual(nn.Dense(16, 16), nn.SiLU()),
        nn.LayerNorm(16),
        nn.Dense(16, 3),
        seed=5,
    )
    before = network.flat.values.copy()
    classifier = MLPClassifier(network=network, learning_rate_init=0.01, random_state=0).fit(X, y)
    assert classifier.score(X, y) > 0.95
    np.testing.assert_array_equal(network.flat.values, before)
    again = clone(classifier).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))

    def build(n_features, n_outputs):
        return nn.Sequential(nn.Dense(n_features, 8), nn.Tanh(), nn.Dense(8, n_outputs))

    drawn = [MLPClassifier(network=build, max_iter=1, random_state=n).fit(X, y) for n in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0].coefs_[0], drawn[1].coefs_[0])
    assert not np.allclose(drawn[0].coefs_[0], drawn[2].coefs_[0])
    for outputs in (1, 2):
        two = MLPClassifier(
            network=nn.Sequential(nn.Dense(4, outputs, seed=0)), learning_rate_init=0.1
        ).fit(X, y > 0)
        assert two.score(X, y > 0) > 0.95
        assert two.predict_proba(X).shape == (150, 2)
    for wrong, message in (
        (nn.Sequential(nn.Dense(4, 2, seed=0)), "3 outputs; it has 2"),
        (nn.Sequential(nn.Dense(5, 3, seed=0)), "4 features"),
        ("relu", "must be a Sequential"),
        (lambda n, k: None, "must give a Sequential"),
    ):
        with pytest.raises(ValueError, match=message):
            MLPClassifier(network=wrong).fit(X, y)


def test_several_labels_a_sample():
    X, y = make_multilabel_classification(n_samples=200, random_state=0)
    X = StandardScaler().fit_transform(X)
    classifier = MLPClassifier((32,), solver="lbfgs", random_state=0).fit(X, y)
    assert classifier.score(X, y) > 0.95
    assert classifier.predict_proba(X).shape == y.shape
    sparse = MLPClassifier((32,), solver="lbfgs", random_state=0)
    sparse.fit(X, scipy.sparse.csr_array(y))
    np.testing.assert_array_equal(sparse.predict(X), classifier.predict(X))
    classifier.set_params(solver="adam", early_stopping=True).fit(X, y)
    assert classifier.validation_scores_


def test_partial_fit_meets_classes_that_were_announced():
    X, y = iris()
    classifier = MLPClassifier((16,), learning_rate_init=0.02, random_state=0)
    with pytest.raises(ValueError, match="needs `classes`"):
        classifier.partial_fit(X[:50], y[:50])
    for _ in range(60):
        for start in (0, 50, 100):
            classifier.partial_fit(X[start : start + 50], y[start : start + 50], classes=[0, 1, 2])
    assert classifier.score(X, y) > 0.6
    with pytest.raises(ValueError, match="not among"):
        classifier.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="must stay"):
        classifier.partial_fit(X, y, classes=[0, 1])


@pytest.mark.parametrize("warm_start", [False, True])
def test_a_batch_may_lack_classes_with_a_warm_start_too(warm_start):
    X, y = iris()
    classifier = MLPClassifier((8,), warm_start=warm_start, max_iter=2, random_state=0)
    for rows in (y < 2, y == 1, y == 2):
        classifier.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    classifier.partial_fit(X[y == 0], y[y == 0])
    assert len(classifier.loss_curve_) == 4
    assert classifier.classes_.tolist() == [0, 1, 2]
    if warm_start:
        with pytest.raises(ValueError, match="warm_start needs the classes"):
            classifier.fit(X[y < 2], y[y < 2])
    else:
        assert classifier.fit(X[y < 2], y[y < 2]).classes_.tolist() == [0, 1]


def test_classes_of_several_labels_are_the_columns_numbers():
    X = np.random.default_rng(0).normal(size=(20, 4))
    y = (X[:, :3] > 0).astype(int)
    classifier = MLPClassifier((8,), random_state=0)
    for wrong in ([0, 1], [0, 1, 2, 7], ["a", "b", "c"]):
        with pytest.raises(ValueError, match="numbers of the columns"):
            classifier.partial_fit(X, y, classes=wrong)
    for rows in (slice(20), slice(1)):
        classifier.partial_fit(X[rows], y[rows], classes=range(3))
    with pytest.raises(ValueError, match="numbers of the columns"):
        classifier.partial_fit(X, y, classes=range(4))
    assert len(classifier.loss_curve_) == 2


@pytest.mark.parametrize("labels", ["one", "several"])
def test_partial_fit_balances_no_batch_alone(labels):
    X, y = iris()
    y = y if labels == "one" else np.eye(3, dtype=int)[y]
    classifier = MLPClassifier((8,), class_weight="balanced", random_state=0)
    with pytest.raises(nn.errors.ArgumentError, match="compute_class_weight"):
        classifier.partial_fit(X, y, classes=[0, 1, 2])
    assert not hasattr(classifier, "classes_")
    if labels == "one":  # what the message advises
        order = np.r_[0:50, 50:60, 100:105]
        X, y, classes = X[order], y[order], np.unique(y)
        weights = compute_class_weight("balanced", classes=classes, y=y)
        by_class = MLPClassifier((8,), class_weight=dict(zip(classes, weights, strict=True)))
        by_sample = MLPClassifier((8,))
        for each in (by_class, by_sample):
            each.set_params(random_state=0)
            given = None if each is by_class else weights[y]
            each.partial_fit(X, y, given, classes=classes)
        np.testing.assert_array_equal(by_class.predict_proba(X), by_sample.predict_proba(X))


def test_a_mapping_of_weights_may_leave_out_classes_that_a_batch_has_alone():
    X, y = iris()
    names = np.array(["rose", "tulip", "violet"])
    rows = y < 2
    weighted = MLPClassifier((8,), class_weight={"violet": 5.0}, max_iter=3, random_state=0)
    plain = clone(weighted).set_params(class_weight=None)
    for each in (weighted, plain):
        each.partial_fit(X[rows], names[y[rows]], classes=names)
    np.testing.assert_array_equal(weighted.predict_proba(X), plain.predict_proba(X))
    weights = np.where(y == 2, 5.0, 1.0)
    weighted.partial_fit(X, names[y])
    plain.partial_fit(X, names[y], weights)
    np.testing.assert_array_equal(weighted.predict_proba(X), plain.predict_proba(X))
    weighted.fit(X, names[y], X_val=X[rows], y_val=names[y[rows]])
    assert len(weighted.validation_scores_) == 3
    for wrong, message in (({"lily": 2.0}, r"\['lily'\]"), ([1, 2, 3], "mapping"), ("big", "mapp")):
        with pytest.raises(nn.errors.ArgumentError, match=message):
            clone(weighted).set_params(class_weight=wrong).fit(X, names[y])


def test_weights_for_several_labels_a_sample():
    X = np.random.default_rng(0).normal(size=(30, 4))
    y = (X[:, :2] > 0).astype(int)
    mappings = [{1: 3.0}, {0: 2.0, 1: 1.0}]
    weights = np.where(y[:, 0] == 1, 3.0, 1.0) * np.where(y[:, 1] == 0, 2.0, 1.0)
    weighted = MLPClassifier((8,), class_weight=mappings, max_iter=3, random_state=0).fit(X, y)
    plain = MLPClassifier((8,), max_iter=3, random_state=0).fit(X, y, weights)
    np.testing.assert_array_equal(weighted.predict_proba(X), plain.predict_proba(X))
    weighted.partial_fit(X, np.zeros_like(y))  # no label of the first mapping occurs
    for wrong in (mappings[:1], {1: 3.0}, [1, 2], "big"):
        with pytest.raises(nn.errors.ArgumentError, match="2 mappings"):
            clone(weighted).set_params(class_weight=wrong).fit(X, y)


@BOTH
def test_partial_fit_after_lbfgs_has_the_optimizer_that_is_asked_for(Estimator):
    X, y = data_for(Estimator)
    estimator = Estimator(hidden_layer_sizes=(8,), solver="lbfgs", max_iter=20, random_state=0)
    estimator.fit(X, y).set_params(solver="sgd", learning_rate_init=0.01, batch_size=len(X))
    before = [weights.copy() for weights in estimator.coefs_]
    reference = clone(estimator).set_params(warm_start=True, max_iter=1)
    reference.partial_fit(X, y, **({"classes": [0, 1, 2]} if Estimator is MLPClassifier else {}))
    reference.coefs_ = before
    reference.intercepts_ = [biases.copy() for biases in estimator.intercepts_]
    reference.fit(X, y)  # a new optimizer, on the same weights
    estimator.partial_fit(X, y)
    for mine, its in zip(estimator.coefs_, reference.coefs_, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-12)
    assert not np.array_equal(estimator.coefs_[0], before[0])


@BOTH
@pytest.mark.parametrize("others", [(7,), (8, 8), 9])
def test_hidden_layers_stay_where_a_training_goes_on(Estimator, others):
    X, y = data_for(Estimator)
    estimator = Estimator(hidden_layer_sizes=[8], warm_start=True, max_iter=2, random_state=0)
    estimator.fit(X, y).set_params(hidden_layer_sizes=8).partial_fit(X, y)
    estimator.set_params(hidden_layer_sizes=others)
    for train in (estimator.fit, estimator.partial_fit):
        with pytest.raises(ValueError, match=r"must stay \(8,\)"):
            train(X, y)
    assert estimator.set_params(warm_start=False).fit(X, y).coefs_[0].shape == (
        4,
        np.ravel(others)[0],
    )


@BOTH
@pytest.mark.parametrize(
    ("before", "same", "other"),
    [
        ({}, {"activation": ["relu"]}, {"activation": "tanh"}),
        ({}, {"activation": nn.ReLU()}, {"activation": nn.LeakyReLU(0.1)}),
        (
            {"activation": nn.LeakyReLU(0.1)},
            {"activation": [nn.LeakyReLU(0.1)]},
            {"activation": nn.LeakyReLU(0.2)},
        ),
        ({"dropout": 0.2}, {"dropout": [0.2]}, {"dropout": 0.3}),
        ({}, {"batch_norm": np.False_}, {"batch_norm": True}),
        ({}, {"network": None}, {"network": lambda *_: nn.Sequential(nn.Dense(4, 3))}),
        ({"network": small_network}, {"activation": "tanh"}, {"network": None}),
    ],
    ids=without_addresses,
)
def test_the_network_stays_where_a_training_goes_on(Estimator, before, same, other):
    X, y = data_for(Estimator)
    parameters = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0, **before}
    estimator = Estimator(warm_start=True, **parameters).fit(X, y)
    estimator = pickle.loads(pickle.dumps(estimator)) if "network" not in other else estimator
    estimator.set_params(**same).fit(X, y).partial_fit(X, y)
    weights = [each.copy() for each in estimator.coefs_]
    estimator.set_params(**other)
    (name,) = other
    for train in (estimator.fit, estimator.partial_fit):
        with pytest.raises(ValueError, match=f"`{name}` must stay .* where a training goes on"):
            train(X, y)
    np.testing.assert_array_equal(estimator.coefs_[0], weights[0])
    if callable(other.get("network")):
        return
    assert estimator.set_params(warm_start=False).fit(X, y).predict(X).shape == y.shape


def test_a_copy_of_a_function_goes_on():
    X, y = iris()
    network = functools.partial(small_network)
    original = MLPClassifier(network=network, warm_start=True, max_iter=2, random_state=0)
    copied = pickle.loads(pickle.dumps(original.fit(X, y))).fit(X, y)
    np.testing.assert_array_equal(copied.coefs_[0], original.fit(X, y).coefs_[0])
    layers = nn.Sequential(nn.Dense(4, 3, dtype="float64", seed=0))
    original = MLPClassifier(network=layers, warm_start=True, max_iter=2, random_state=0)
    pickle.loads(pickle.dumps(original.fit(X, y))).fit(X, y)
    original.set_params(network=nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 3)))
    with pytest.raises(ValueError, match="`network` must stay"):
        original.fit(X, y)


@pytest.mark.parametrize("class_weight", [{0: -1.0}, {0: np.nan}, [{0: np.inf}, {}]])
def test_a_wrong_weight_of_a_class_is_called_one(class_weight):
    X, y = iris()
    y = np.column_stack([y > 0, y > 1]).astype(int) if isinstance(class_weight, list) else y
    with pytest.raises(ValueError, match="`class_weight` must hold finite numbers of at least 0"):
        MLPClassifier(class_weight=class_weight).fit(X, y)


@pytest.mark.parametrize("loss", [nn.FocalLoss(), nn.SigmoidBinaryCrossentropy()])
def test_a_loss_of_classes_is_none_for_values(loss):
    with pytest.raises(ValueError, match=f"{type(loss).__name__} is for classes, not for values"):
        MLPRegressor(loss=loss).fit(*values())


def test_one_class_is_predicted_for_sure():
    X, _ = iris()
    classifier = MLPClassifier(max_iter=2).fit(X, np.full(150, "only"))
    assert set(classifier.predict(X)) == {"only"}
    np.testing.assert_array_equal(classifier.predict_proba(X), np.ones((150, 1)))


@BOTH
def test_weights_are_assigned(Estimator):
    estimator = Estimator(hidden_layer_sizes=(8,), max_iter=2).fit(*data_for(Estimator))
    estimator.coefs_ = [np.ones_like(each) for each in estimator.coefs_]
    estimator.intercepts_ = [np.zeros_like(each) for each in estimator.intercepts_]
    assert all(np.all(each == 1) for each in estimator.coefs_)
    assert np.all(estimator.network_.layers[0].weights == 1)
    with pytest.raises(ValueError, match="must have shape"):
        estimator.coefs_ = [each.T for each in estimator.coefs_]


# Bad input ----------------------------------------------------------------------------------------

WRONG = {
    "hidden_layer_sizes": ((0,), "at least 1"),
    "activation": ("swish", "must be one of"),
    "solver": ("newton", "must be one of"),
    "alpha": (-1.0, "alpha"),
    "batch_size": (0, "batch_size"),
    "learning_rate": ("fast", "must be one of"),
    "learning_rate_init": (0.0, "learning_rate_init"),
    "max_iter": (0, "max_iter"),
    "tol": (-1.0, "tol"),
    "momentum": (1.5, "momentum"),
    "validation_fraction": (1.0, "validation_fraction"),
    "n_iter_no_change": (0, "n_iter_no_change"),
    "loss": ("nonsense", "`loss` must be"),
    "dropout": (1.0, "dropout"),
    "optimizer": ("adam", "optimizer"),
    "schedule": (0.1, "schedule"),
    "callbacks": (["early"], "Callback"),
    "backend": ("tpu", "tpu"),
    "network": (3, "must be a Sequential"),
}


@BOTH
@pytest.mark.parametrize("name", WRONG)
def test_wrong_parameters_are_named(Estimator, name):
    value, message = WRONG[name]
    estimator = Estimator(**{name: value})
    if name == "momentum":
        estimator.set_params(solver="sgd")
    kind = nn.errors.BackendError if name == "backend" else ValueError
    with pytest.raises(kind, match=message) as caught:
        estimator.fit(*data_for(Estimator))
    assert isinstance(caught.value, nn.NnfsError)
    assert not hasattr(estimator, "coefs_")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"activation": ["relu", "tanh"]}, "one for each of the 1"),
        ({"solver": "lbfgs", "dropout": 0.5}, "the same in each pass"),
        ({"solver": "lbfgs", "batch_norm": True}, "the same in each pass"),
        ({"optimizer": nn.SGD(), "schedule": nn.CosineDecay(0.1, steps=3)}, "hand the schedule"),
    ],
    ids=without_addresses,
)
def test_parameters_that_do_not_go_together(parameters, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**parameters).fit(*iris())


def test_a_training_that_diverges_says_so():
    X, y = values()
    settings = {"solver": "sgd", "learning_rate_init": 1e6, "activation": "identity"}
    with pytest.raises(ValueError, match="became"):
        MLPRegressor(**settings).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="stopped early"):
        fitted = MLPRegressor(early_stopping=True, random_state=0, **settings).fit(X, y)
    assert np.all(np.isfinite(fitted.predict(X)))


def test_counts_below_0_are_refused():
    with pytest.raises(ValueError, match="at least 0"):
        MLPRegressor("poisson").fit(*values())


# What must not come back ----------------------------------------------------------------------


class Own(MLPClassifier):
    """A subclass as scikit-learn's users write them."""

    def __init__(self, hidden_layer_sizes=(10,), mine=3):
        super().__init__(hidden_layer_sizes=hidden_layer_sizes, max_iter=3)
        self.mine = mine


def test_a_subclass_with_parameters_of_its_own():
    assert Own(mine=5).fit(*iris()).get_params() == {"hidden_layer_sizes": (10,), "mine": 5}


FAILS = {
    "momentum": ({"solver": "sgd", "momentum": 1.0}, {}),
    "lbfgs with dropout": ({"solver": "lbfgs", "dropout": 0.5}, {}),
    "validation": ({}, {"X_val": IRIS[0], "y_val": np.full(150, 7)}),
    "monitor": ({"schedule": nn.ReduceOnPlateau(0.01)}, {}),
    "backend": ({"backend": "tpu"}, {}),
    "weights": ({}, {"sample_weight": np.ones(3)}),
    "divergence": ({"solver": "sgd", "learning_rate_init": 1e300, "activation": "identity"}, {}),
}


@pytest.mark.parametrize("name", FAILS)
def test_a_fit_that_fails_leaves_what_was_there(name):
    parameters, arguments = FAILS[name]
    X, y = iris()
    unfitted = MLPClassifier(**parameters)
    with pytest.raises(nn.NnfsError if name != "weights" else ValueError):
        unfitted.fit(X, y, **arguments)
    with pytest.raises(NotFittedError):
        unfitted.predict(X)
    fitted = MLPClassifier(learning_rate_init=0.02, random_state=0, max_iter=40).fit(X, y)
    before = fitted.predict_proba(X)
    curve = list(fitted.loss_curve_)
    fitted.set_params(**parameters)
    with pytest.raises(nn.NnfsError if name != "weights" else ValueError):
        fitted.fit(X[:, :3] if name != "validation" else X, y, **arguments)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)
    assert fitted.loss_curve_ == curve


def test_a_first_partial_fit_that_fails_teaches_no_classes():
    X, y = iris()
    classifier = MLPClassifier()
    with pytest.raises(ValueError, match="not among"):
        classifier.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="needs `classes`"):
        classifier.partial_fit(X[:50], y[:50])


def test_a_warm_start_is_judged_by_its_own_validation_samples():
    X, y = iris()
    y = (X[:, 0] > 0).astype(int)
    classifier = MLPClassifier(
        (16,),
        warm_start=True,
        early_stopping=True,
        n_iter_no_change=1000,
        max_iter=60,
        learning_rate_init=0.03,
        random_state=0,
    ).fit(X, y)
    for _ in range(2):
        classifier.fit(X, 1 - y)
    assert classifier.score(X, 1 - y) > 0.9


@pytest.mark.parametrize("optimizer", [None, nn.SGD(0.1)])
def test_an_optimizer_without_state_goes_on_after_pickling(optimizer):
    X, y = iris()
    original = MLPClassifier(
        solver="sgd", momentum=0.0, optimizer=optimizer, max_iter=2, random_state=0
    ).fit(X, y)
    copy = pickle.loads(pickle.dumps(original)).partial_fit(X, y)
    np.testing.assert_array_equal(copy.coefs_[0], original.partial_fit(X, y).coefs_[0])


@pytest.mark.parametrize(
    "later",
    [{"solver": "sgd"}, {"schedule": nn.ReduceOnPlateau(0.01, monitor="loss")}],
    ids=without_addresses,
)
def test_other_settings_after_pickling_begin_the_optimizer_anew(later):
    X, y = iris()
    fitted = MLPClassifier(max_iter=2).fit(X, y).set_params(**later)
    copy = pickle.loads(pickle.dumps(fitted))
    assert np.all(np.isfinite(copy.partial_fit(X, y).coefs_[0]))


def test_one_class_under_any_loss_and_network():
    X, _ = iris()
    y = np.full(150, "a")
    for settings in (
        {"loss": nn.FocalLoss()},
        {"network": nn.Sequential(nn.Dense(4, 2, seed=0))},
    ):
        classifier = MLPClassifier(max_iter=2, **settings).fit(X, y)
        np.testing.assert_array_equal(classifier.predict_proba(X), np.ones((150, 1)))
        assert set(classifier.predict(X)) == {"a"}


def test_validation_samples_may_lack_a_class():
    X, y = iris()
    classifier = MLPClassifier(max_iter=3, warm_start=True)
    classifier.fit(X, y, X_val=X[:100], y_val=y[:100]).fit(X, y, X_val=X[:100], y_val=y[:100])
    assert classifier.best_validation_score_ == max(classifier.validation_scores_)


def test_lbfgs_refuses_what_it_has_no_epochs_for(capsys):
    X, y = iris()
    for settings in (
        {"schedule": nn.CosineDecay(0.1, steps=3)},
        {"callbacks": [nn.EarlyStopping("loss")]},
    ):
        with pytest.raises(ValueError, match="need solver"):
            MLPClassifier(solver="lbfgs", **settings).fit(X, y)
    with pytest.raises(ValueError, match="no epochs"):
        MLPClassifier(solver="lbfgs").fit(X, y, X_val=X, y_val=y)
    MLPClassifier(solver="lbfgs", optimizer=nn.Adam(0.01), early_stopping=True).fit(X, y)
    MLPClassifier(solver="lbfgs", verbose=True, max_iter=3).fit(X, y)
    assert capsys.readouterr().out.count("loss = ") == 3


@pytest.mark.parametrize(
    ("last", "outputs", "labels", "fitting"),
    [
        (nn.Softmax, 3, "several", "Sigmoid"),
        (nn.Sigmoid, 3, "three", "Softmax"),
        (nn.Sigmoid, 2, "two", "Softmax"),
        (nn.Softmax, 1, "two", "Sigmoid"),
    ],
)
def test_a_network_that_ends_in_another_activation(last, outputs, labels, fitting):
    X, y = iris()
    targets = {"several": np.column_stack([y > 0, y > 1, y == 1]), "three": y, "two": y > 0}
    network = nn.Sequential(nn.Dense(4, outputs, seed=0), last())
    with pytest.raises(ValueError, match=f"must end in {fitting} or logits"):
        MLPClassifier(network=network).fit(X, np.asarray(targets[labels], int))


def test_an_interrupted_training_has_its_history():
    X, y = iris()

    def interrupt(trainer):
        if trainer.epoch == 2:
            raise KeyboardInterrupt

    for hook in ("on_epoch_begin", "on_train_begin"):
        stopping = nn.LambdaCallback(**{hook: interrupt if hook == "on_epoch_begin" else stop})
        classifier = MLPClassifier(callbacks=[stopping], early_stopping=True, random_state=0)
        classifier.fit(X, y)
        assert len(classifier.history_.get("loss", [])) == classifier.n_iter_
        assert classifier.predict(X).shape == (150,)


def stop(_):
    raise KeyboardInterrupt


def test_what_predicts_is_the_loss_of_the_training():
    X, y = values()
    regressor = MLPRegressor(max_iter=2).fit(X, y)
    before = regressor.predict(X)
    np.testing.assert_array_equal(regressor.set_params(loss="poisson").predict(X), before)
    with pytest.raises(ValueError, match="must stay 'squared_error'"):
        regressor.partial_fit(X, np.abs(y))
    assert regressor.fit(X, np.abs(y)).out_activation_ == "exp"
    assert regressor.predict(X).min() > 0


def test_one_array_is_assigned():
    classifier = MLPClassifier((8,), max_iter=2).fit(*iris())
    classifier.coefs_[0] = np.zeros((4, 8))
    assert np.all(classifier.network_.layers[0].weights == 0)
    classifier.intercepts_[1] = np.ones(3)
    assert np.all(classifier.network_.layers[2].biases == 1)
    good, bad = np.ones((4, 8)), np.ones((3, 8))
    with pytest.raises(ValueError, match="dense layer 1 must have shape"):
        classifier.coefs_ = [good, bad]
    assert np.all(classifier.coefs_[0] == 0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"shuffle": "no"}, "True or False"),
        ({"callbacks": None}, "a list or a tuple"),
        ({"momentum": 2.0}, "momentum"),
        ({"early_stopping": True, "validation_fraction": 0.0}, "above 0"),
        ({"activation": nn.LayerNorm(100)}, "dtype='float64'"),
        ({"loss": nn.MeanSquaredError()}, "is for values"),
    ],
    ids=without_addresses,
)
def test_more_wrong_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**parameters).fit(*iris())


def test_a_list_of_logistic_draws_as_the_word_does():
    X, y = iris()
    one, other = (
        MLPClassifier((8,), activation=each, max_iter=1, random_state=0).fit(X, y)
        for each in ("logistic", ["logistic"])
    )
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])


def test_samples_that_do_not_do():
    X, y = values()
    with pytest.raises(ValueError, match="toarray"):
        MLPRegressor().fit(X, scipy.sparse.csr_array(y[:, None]))
    with pytest.raises(ValueError, match="at least 2 samples"):
        MLPRegressor(early_stopping=True).fit(X, y, X_val=X[:1], y_val=y[:1])
    trainer = nn.Trainer(
        nn.Sequential(nn.Dense(1, 1, seed=0)), nn.MeanSquaredError(), nn.SGD(), metrics=()
    )
    y = np.zeros((2, 1), "float32")
    with pytest.raises(nn.errors.DTypeError, match="real numbers"):
        trainer.fit(scipy.sparse.csr_array([[1j], [2.0]]), y, progress=False)
    with pytest.raises(nn.errors.DataError, match="more than float32 can hold"):
        trainer.fit(scipy.sparse.csr_array([[1e300], [2.0]]), y, progress=False)


def test_lbfgs_that_diverges_leaves_the_weights():
    X, y = values()
    regressor = MLPRegressor(solver="lbfgs", warm_start=True, random_state=0, max_iter=20).fit(X, y)
    before = regressor.predict(X)
    with pytest.raises(ValueError, match="became NaN or infinite"):
        regressor.fit(X * 1e300, y)
    np.testing.assert_array_equal(regressor.predict(X), before)
