"""The estimators of tables: scikit-learn's checks and tools, and tables as they come."""

from __future__ import annotations

import datetime
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from nnfs_xp.errors import ArgumentError, DataError, DTypeError
from nnfs_xp.tables import TableClassifier, TableRegressor, TableWarning, load_table_model
from nnfs_xp.tables.files import save_table_model

QUICK = {"hidden": (8,), "epochs": 3, "folds": 1, "patience": 99, "backend": "numpy"}
LEARNT = {**QUICK, "hidden": (32,), "epochs": 40}
BOTH = pytest.mark.parametrize("Estimator", [TableClassifier, TableRegressor])


def rows(n=120, seed=0):
    """Numbers with gaps, text with gaps, days and truth values."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"size": rng.normal(50, 20, n), "town": rng.choice(["Oslo", "Rome"], n)})
    frame["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 999, n), "D")
    frame["garden"] = rng.random(n) < 0.5
    frame.loc[3, "size"], frame.loc[5, "town"], frame.loc[9, "day"] = np.nan, None, pd.NaT
    return frame


def prices(frame):
    return (frame["size"].fillna(50) * 3 + 40 * (frame["town"] == "Rome")).to_numpy()


def labels(frame):
    return np.where(prices(frame) > 170, "dear", "cheap")


def targets(Estimator, frame):
    return labels(frame) if Estimator is TableClassifier else prices(frame)


# scikit-learn's checks and tools -----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the checks' tables: columns left out, say
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")  # scikit-learn's own
@parametrize_with_checks(
    [TableClassifier(**LEARNT), TableRegressor(**LEARNT)],
    expected_failed_checks=lambda _: {
        "check_methods_subset_invariance": "networks are of float32, whose products of matrices "
        "differ in the last digits with the number of rows; the next test allows for that"
    },
    xfail_strict=False,
)
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


def test_few_rows_are_predicted_as_among_many():
    frame = rows()
    model = TableClassifier(**LEARNT).fit(frame, labels(frame))
    whole = model.predict_proba(frame)
    for start in range(0, 120, 7):
        part = model.predict_proba(frame[start : start + 7])
        np.testing.assert_allclose(part, whole[start : start + 7], rtol=1e-4, atol=1e-6)


@BOTH
def test_parameters_are_kept_as_they_are_given(Estimator):
    estimator = Estimator(hidden=(5, 4), drop=["day"], random_state=3)
    parameters = estimator.get_params()
    assert parameters["hidden"] == (5, 4)
    names = {"epochs", "batch_size", "learning_rate", "dropout", "ensemble", "folds", "patience"}
    names |= {"numeric", "categorical", "dates", "text", "drop", "missing"}
    assert names | {"hidden", "backend", "progress", "random_state"} == parameters.keys()
    fitted = estimator.set_params(**QUICK).fit(rows(), targets(Estimator, rows()))
    again = clone(fitted)
    assert again.get_params() == fitted.get_params() == {**parameters, **QUICK}
    assert not hasattr(again, "model_")
    assert is_classifier(again) == (Estimator is TableClassifier) != is_regressor(again)


def test_the_tools_of_scikit_learn_take_them():
    frame = rows(240)
    scores = cross_val_score(TableClassifier(**LEARNT), frame, labels(frame), cv=3)
    assert scores.mean() > 0.8
    probabilities = cross_val_predict(
        TableClassifier(**LEARNT), frame, labels(frame), cv=2, method="predict_proba"
    )
    assert probabilities.shape == (240, 2)
    search = GridSearchCV(TableRegressor(**LEARNT), {"hidden": [(2,), (32, 32)]}, cv=2)
    search.fit(frame, prices(frame))
    assert search.best_params_["hidden"] in [(2,), (32, 32)]
    assert search.best_estimator_.model_.settings["hidden"] == search.best_params_["hidden"]
    assert search.best_score_ == max(search.cv_results_["mean_test_score"]) > 0.5


@BOTH
def test_a_pickle_predicts_as_before(Estimator):
    frame = rows()
    model = Estimator(**QUICK).fit(frame, targets(Estimator, frame))
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(frame), model.predict(frame))


@BOTH
def test_the_seed_decides_everything(Estimator):
    frame = rows()

    def predicted(seed):
        model = Estimator(**{**QUICK, "random_state": seed}).fit(frame, targets(Estimator, frame))
        return model.predict_proba(frame) if Estimator is TableClassifier else model.predict(frame)

    first = predicted(3)
    np.testing.assert_array_equal(predicted(3), first)
    np.testing.assert_array_equal(predicted(np.int64(3)), first)
    assert not np.array_equal(predicted(4), first)
    generators = [predicted(np.random.RandomState(7)) for _ in range(2)]
    np.testing.assert_array_equal(*generators)
    assert np.isfinite(predicted(None)).all()
    for wrong in (-1, 2**32):
        with pytest.raises(ArgumentError, match="`seed` must be"):
            predicted(wrong)


# Tables as they come -----------------------------------------------------------------------------


@BOTH
def test_frames_of_all_kinds_are_predicted_alike(Estimator):
    frame = rows()
    y = targets(Estimator, frame)
    model = Estimator(**QUICK).fit(frame, y)
    assert model.feature_names_in_.tolist() == ["size", "town", "day", "garden"]
    assert model.n_features_in_ == 4
    kinds = [(each.name, each.kind) for each in model.model_.features.used]
    assert kinds == [
        ("size", "number"),
        ("town", "category"),
        ("day", "date"),
        ("garden", "category"),
    ]
    expected = model.predict(frame)
    for other in (pl.from_pandas(frame), pa.Table.from_pandas(frame), frame.convert_dtypes()):
        np.testing.assert_array_equal(model.predict(other), expected)
        np.testing.assert_array_equal(Estimator(**QUICK).fit(other, y).predict(other), expected)
    shuffled = frame[["garden", "day", "size", "town"]].assign(more=1)
    np.testing.assert_array_equal(model.predict(shuffled), expected)


def test_a_file_can_be_predicted(tmp_path):
    frame = rows()
    model = TableClassifier(**QUICK).fit(frame, labels(frame))
    frame.to_parquet(tmp_path / "rows.parquet")
    np.testing.assert_array_equal(model.predict(tmp_path / "rows.parquet"), model.predict(frame))


def test_arrays_lists_and_tensors_have_columns_by_number():
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = X @ [1.0, 2.0, 0.0]
    model = TableRegressor(**QUICK).fit(X, y)
    assert model.feature_names_in_.tolist() == ["x0", "x1", "x2"]
    for other in (X.tolist(), torch.asarray(X), np.asfortranarray(X), X.astype(object)):
        np.testing.assert_array_equal(model.predict(other), model.predict(X))
    lists = [[1.5 * i, "ab"[i % 2]] for i in range(60)]
    model = TableRegressor(**QUICK).fit(lists, y)
    assert [each.kind for each in model.model_.features.used] == ["number", "category"]
    with pytest.raises(DataError, match="X has 2 features, but TableRegressor is expecting 3"):
        TableRegressor(**QUICK).fit(X, y).predict(X[:, :2])


MISSING = {
    "NaN": [1.5, np.nan, 3.5] * 20,
    "None": [1.5, None, 3.5] * 20,
    "NA": pd.array([1, pd.NA, 3] * 20, "Int64"),
    "text": ["a", None, "b"] * 20,
    "text with NA": pd.array(["a", pd.NA, "b"] * 20, "string"),
    "truth": pd.array([True, None, False] * 20, "boolean"),
    "dates": [pd.Timestamp("2024-01-31"), pd.NaT, pd.Timestamp("2024-05-02")] * 20,
    "days": [datetime.date(2024, 1, 31), None, datetime.date(2024, 5, 2)] * 20,
    "categories": pd.Categorical(["a", None, "b"] * 20),
}


@pytest.mark.parametrize("kind", MISSING)
def test_what_is_missing_tells_something(kind):
    frame = pd.DataFrame({"x": MISSING[kind]})
    model = TableClassifier(**{**LEARNT, "epochs": 60}).fit(frame, [1, 2, 3] * 20)
    assert model.predict(frame.head(3)).tolist() == [1, 2, 3]


def test_columns_are_of_the_kind_that_is_said():
    frame = pd.DataFrame({"zip": ["10115", "20095"] * 30, "n": [1, -9] * 30})
    frame["words"] = ["left standing", "sold quickly"] * 30
    frame["day"], frame["nr"] = "31/01/2024", range(60)
    frame.loc[::3, "day"] = "01/02/2024"
    kinds = {"categorical": ["zip"], "text": ["words"], "dates": ["day"], "numeric": ["nr"]}
    model = TableClassifier(**QUICK, **kinds, missing=["-9"], drop=["n"]).fit(frame, [1, 2] * 30)
    used = {each.name: each.kind for each in model.model_.features.used}
    assert used == {"zip": "category", "words": "text", "day": "date", "nr": "number"}
    assert model.model_.features.dropped == {"n": "as asked for"}
    assert model.model_.features.reading.missing == {"-9"}
    with pytest.warns(TableWarning, match="column 'nr' is left out: it counts the rows"):
        TableClassifier(**QUICK).fit(frame[["nr", "n"]], [1, 2] * 30)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (rows().drop(columns="town"), "no column 'town', which the model was trained with"),
        (rows().rename(columns={"town": "Town"}), r"no column 'town', .* Did you mean 'Town'\?"),
        (rows()[["day"]], "no columns 'size', 'town', 'garden', which the model was trained with"),
        (rows().assign(size="big"), "row 0, column 'size': 'big' is no number"),
        (rows().assign(day="soon"), "row 0, column 'day': 'soon' is no date"),
        (rows().assign(size=np.inf), "row 0, column 'size': inf is no finite number"),
        (rows().head(0), "the table is empty: 0 rows"),
        (rows().drop(columns="town").to_numpy(), "X has 3 features, but TableClassifier is exp"),
        (np.ones(4), r"got an array of shape \(4,\). Reshape your data"),
        ([[1, 2], [3]], "`X` is no table: "),
    ],
)
def test_a_table_that_does_not_fit_is_refused(data, complaint):
    model = TableClassifier(**QUICK).fit(rows(), labels(rows()))
    with pytest.raises(DataError, match=complaint):
        model.predict(data)


@pytest.mark.parametrize(
    ("data", "kind", "complaint"),
    [
        (scipy.sparse.eye(60, 3).tocsr(), DTypeError, r"must not be sparse. Use X.toarray\(\)"),
        (pd.DataFrame({"a": [[1]] * 60}), DataError, "column 'a' holds list.* neither number nor"),
        (pd.DataFrame({"a": [7] * 60}), DataError, "no column to predict from: 'a' it is the same"),
        (pd.DataFrame({"a": ["1"] * 59 + ["x"]}), DataError, "row 59, column 'a': 'x' is no numb"),
        (pd.Series([1.0] * 60), DTypeError, "Series is no table|a table must be"),
        (np.empty((60, 0)), DataError, r"0 feature\(s\) \(shape=\(60, 0\)\) while a minimum of 1"),
        (5, DataError, r"an array of shape \(\)"),
    ],
)
def test_what_is_no_table_to_learn_from_is_refused(data, kind, complaint):
    with pytest.raises(kind, match=complaint) as caught:
        TableClassifier(**QUICK).fit(data, ["a", "b"] * 30)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"hidden": 5}, "`hidden` must be a list of widths; got 5"),
        ({"folds": 0}, "`folds` must be"),
        ({"drop": "a"}, "`drop` must be a list of texts; got 'a'"),
        ({"missing": [-9]}, r"`missing` must be a list of texts; got \[-9\]"),
        ({"numeric": ["size"], "dates": ["size"]}, "'size' is named as numeric and as a date"),
    ],
)
def test_settings_are_checked_when_fitted(more, complaint):
    estimator = TableClassifier(**{**QUICK, **more})
    with pytest.raises(ArgumentError, match=complaint):
        estimator.fit(rows(), labels(rows()))


# Targets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (["b", "a"] * 30, ["a", "b"]),
        ([True, False] * 30, [False, True]),
        ([7, -3] * 30, [-3, 7]),
        ([2.0, 1.0] * 30, [1.0, 2.0]),
        (np.array([5, 7] * 30, np.uint8), [5, 7]),
        (pd.Series(["b", "a"] * 30, index=range(60, 0, -1)), ["a", "b"]),
        (pd.Categorical(["b", "a"] * 30), ["a", "b"]),
        (pl.Series(["b", "a"] * 30), ["a", "b"]),
        (pa.array(["b", "a"] * 30), ["a", "b"]),
    ],
)
def test_labels_of_all_types_come_back(y, classes, tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2.0] * 30})
    model = TableClassifier(**LEARNT).fit(frame, y)
    assert model.classes_.tolist() == classes
    predicted = model.predict(frame)
    assert predicted.dtype == model.classes_.dtype
    assert predicted.tolist() == np.asarray(y).tolist()
    assert type(predicted.tolist()[0]) is type(classes[0])
    probabilities = model.predict_proba(frame)
    assert (probabilities.argmax(axis=1) == [classes.index(each) for each in predicted]).all()
    save_table_model(model.model_, tmp_path / "kept")
    again = load_table_model(tmp_path / "kept")
    assert again.classes == tuple(classes)
    assert again.predict(frame).tolist() == predicted.tolist()


@pytest.mark.parametrize(
    ("y", "complaint"),
    [
        (["a", None] * 30, "Input y contains NaN: row 1 has no label. Leave such rows out"),
        (pd.array(["a", pd.NA] * 30), "Input y contains NaN: row 1 has no label"),
        ([1.0, 2.0, np.nan] * 20, "Input y contains NaN: row 2 has no label"),
        (["a"] * 60, "`y` has 1 class, 'a'; there is nothing to learn"),
        ([*range(60)], "`y` has 60 different labels in 60 rows: too many to be classes"),
        (["a", "b"], "`X` has 60 rows, and `y` 2"),
        ([], "`y` is empty"),
        (pd.to_datetime(["2024-01-31", "2024-02-01"] * 30), "`y` holds dates. To predict a time"),
        (None, "requires y to be passed, but the target y is None"),
        (np.arange(60) + 0.5, "Unknown label type: continuous"),
        (np.ones((60, 2)), "y should be a 1d array"),
    ],
)
@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_labels_that_are_none_are_refused(y, complaint):
    frame = pd.DataFrame({"x": np.arange(60) % 7})
    with pytest.raises(ValueError, match=complaint):
        TableClassifier(**QUICK).fit(frame, y)


@pytest.mark.parametrize(
    ("y", "complaint"),
    [
        (["a", "b"] * 30, "`y` must hold numbers: could not convert"),
        ([1.0, None] * 30, "`y` must hold finite numbers; row 1 has nan"),
        (pd.array([1, pd.NA] * 30, "Int64"), "`y` must hold finite numbers; row 1 has nan"),
        ([1.0, np.inf] * 30, "`y` must hold finite numbers; row 1 has inf"),
        ([1.0, 1e300] * 30, r"`y` must hold numbers up to 1e\+30; row 1 has 1e\+300"),
        ([0.0, 1e-40] * 30, "the values in `y` differ by less than 1e-30"),
        ([1.0], "`X` has 60 rows, and `y` 1"),
        ([], "`y` is empty"),
        (pd.to_datetime(["2024-01-31", "2024-02-01"] * 30), "`y` holds dates"),
        (None, "requires y to be passed, but the target y is None"),
        (np.ones((60, 2)), "y should be a 1d array"),
    ],
)
def test_values_that_are_none_are_refused(y, complaint):
    frame = pd.DataFrame({"x": np.arange(60) % 7})
    with pytest.raises(ValueError, match=complaint):
        TableRegressor(**QUICK).fit(frame, y)


def test_a_class_with_one_row_and_few_rows_are_learnt():
    frame = pd.DataFrame({"x": np.arange(40.0) % 7})
    y = ["a", "b"] * 19 + ["c", "d"]
    assert TableClassifier(**QUICK).fit(frame, y).predict_proba(frame).shape == (40, 4)
    model = TableClassifier(**{**QUICK, "epochs": 60}, numeric=["x"])
    model.fit(frame.head(2), ["p", "q"])
    assert model.predict(frame.head(2)).tolist() == ["p", "q"]
    model = TableRegressor(**QUICK).fit(frame, [5.0] * 40)
    assert model.predict(frame) == pytest.approx(5), "a constant is learnt"


def test_intervals_hold_the_share_that_is_asked_for():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=1600)})
    y = 2 * frame["x"].to_numpy() + rng.normal(size=1600)
    model = TableRegressor(**{**LEARNT, "folds": 3}).fit(frame[:600], y[:600])
    low, high = model.predict_interval(frame[600:]).T
    assert np.mean((low <= y[600:]) & (y[600:] <= high)) == pytest.approx(0.9, abs=0.06)
    np.testing.assert_allclose((low + high) / 2, model.predict(frame[600:]))
    few = TableRegressor(**QUICK).fit(frame.head(10), y[:10])
    with pytest.raises(ArgumentError, match="0 rows were kept aside in training, too few for"):
        few.predict_interval(frame)


@pytest.mark.parametrize("more", [{"ensemble": 4}, {"folds": 3}, {"backend": "array_api_strict"}])
@BOTH
def test_ways_of_training_are_followed(Estimator, more):
    frame = rows()
    model = Estimator(**{**LEARNT, **more}).fit(frame, targets(Estimator, frame))
    assert model.model_.settings.items() >= more.items()
    assert model.score(frame, targets(Estimator, frame)) > 0.8


@BOTH
def test_before_it_is_fitted_it_says_so(Estimator):
    with pytest.raises(NotFittedError):
        Estimator().predict(rows())
    method = "predict_proba" if Estimator is TableClassifier else "predict_interval"
    with pytest.raises(NotFittedError):
        getattr(Estimator(), method)(rows())
