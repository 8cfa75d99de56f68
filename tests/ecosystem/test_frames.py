"""Data frames of pandas, polars and Arrow as samples, targets and weights."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.exceptions import ConvergenceWarning

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, DataError, DTypeError, LabelError
from nnfs_xp.sklearn import MLPClassifier, MLPRegressor

LARGE = 2**60 + 1
"""A whole number that float64 does not hold."""


def pens(n=60):
    """Lengths, and a type with three values, of which y depends on both."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "length": rng.normal(size=n),
            "kind": rng.choice(["ball", "felt", "fountain"], n),
            "refills": rng.integers(0, 4, n),
        }
    )
    y = (frame["length"] + (frame["kind"] == "felt") > 0.5).astype(int)
    return pd.get_dummies(frame), y


def nullable(frame):
    return frame.convert_dtypes()


def arrow(frame):
    return frame.convert_dtypes(dtype_backend="pyarrow")


def of_polars(frame):
    return pl.DataFrame({name: frame[name].to_numpy() for name in frame})


def of_arrow(frame):
    return pa.table({name: frame[name].to_numpy() for name in frame})


def objects(frame):
    return frame.astype(object)


FRAMES = pytest.mark.parametrize(
    "convert", [pd.DataFrame, nullable, arrow, of_polars, of_arrow, objects]
)


ENCODE = "Encode it first, with pandas.get_dummies for example"
TIMES = "Turn it into numbers first, days since a date for example"
PARTS = "Give each entry a column of its own"


def trainer_for(n_features, loss=None, n_outputs=2):
    model = nn.Sequential(nn.Dense(n_features, 8), nn.ReLU(), nn.Dense(8, n_outputs), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy() if loss is None else loss
    return nn.Trainer(model, loss, nn.Adam(0.05), backend="numpy")


@FRAMES
def test_a_frame_trains_as_its_numbers_do(convert):
    frame, y = pens()
    assert set(map(str, frame.dtypes)) == {"float64", "int64", "bool"}
    X, weights = frame.to_numpy(dtype=float), pd.Series(np.arange(60.0) + 1)
    columns = convert(frame)
    targets, counts = y.to_numpy(), weights.to_numpy()
    if convert in (nullable, arrow):
        targets, counts = convert(y), convert(weights)
    elif convert is of_polars:
        targets, counts = pl.Series(y.to_numpy()), pl.Series(weights.to_numpy())
    trained = []
    for data in ((X, y.to_numpy(), weights.to_numpy()), (columns, targets, counts)):
        trainer = trainer_for(5)
        history = trainer.fit(
            *data[:2],
            sample_weight=data[2],
            validation_data=data[:2],
            epochs=3,
            progress=False,
        )
        figures = trainer.evaluate(*data[:2], sample_weight=data[2])
        found = trainer.predict(data[0])
        trained.append((history["val_loss"], figures, found.tolist()))
        assert len(found) == 60
    assert trained[0] == trained[1]


@pytest.mark.parametrize(
    ("columns", "dtype"),
    [
        ({"a": [LARGE, 2], "b": [True, False]}, "int64"),
        ({"a": pd.array([LARGE, 2], dtype="Int64"), "b": [3, 4]}, "int64"),
        ({"a": pd.array([LARGE, 2], dtype="int64[pyarrow]"), "b": [True, False]}, "int64"),
        ({"a": pd.Series([LARGE, 2], dtype=object), "b": [1, 2]}, "int64"),
        ({"a": pd.array([1, 2], dtype="Int64"), "b": [0.5, 1.0]}, "float64"),
        ({"a": np.array([1, 2], "float32"), "b": [True, False]}, "float32"),
        ({"a": pd.array([True, False], dtype="boolean")}, "bool"),
        ({"a": pd.Series([True, False], dtype=object)}, "bool"),
        ({"a": pd.Series([Decimal("1.5"), 2], dtype=object)}, "float64"),
        ({"a": pd.Series([10, 20], dtype="category"), "b": [True, False]}, "int64"),
    ],
)
def test_the_type_holds_the_numbers_of_all_columns(columns, dtype):
    array = nn.to_numpy(pd.DataFrame(columns))
    assert array.dtype == dtype
    assert array.shape == (2, len(columns))
    for n, values in enumerate(columns.values()):
        assert [each.item() for each in array[:, n]] == [*values]


def test_codes_beside_each_other_reach_an_embedding():
    codes = pd.DataFrame({"user": pd.array([0, 3, 2], dtype="Int64"), "old": [True, False, True]})
    model = nn.Sequential(nn.Embedding(4, 2), nn.Flatten(), nn.Dense(4, 2), seed=0)
    trainer = nn.Trainer(model, nn.SoftmaxCategoricalCrossentropy(), nn.SGD(0.1), backend="numpy")
    plain = np.array([[0, 1], [3, 0], [2, 1]])
    np.testing.assert_array_equal(trainer.predict_proba(codes), trainer.predict_proba(plain))


def test_columns_of_one_name_are_told_apart():
    frame = pd.DataFrame([[0.5, True], [1.5, False]], columns=["a", "a"])
    frame = pd.concat([frame.iloc[:, :1], frame.iloc[:, 1:].astype(bool)], axis=1)
    np.testing.assert_array_equal(nn.to_numpy(frame), [[0.5, 1.0], [1.5, 0.0]])


def test_plain_numbers_are_not_copied():
    frame = pd.DataFrame(np.ones((5, 3)))
    assert np.shares_memory(nn.to_numpy(frame), frame.to_numpy())


def mixed(gap):
    return pd.DataFrame({"a": [1.0, 2.0], "b": pd.Series([True, gap], dtype=object)})


@pytest.mark.parametrize(
    "frame",
    [
        mixed(None),
        mixed(float("nan")),
        mixed(pd.NA),
        pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [True, False]}),
        pd.DataFrame({"a": pd.array([True, None], dtype="boolean"), "b": [1.0, 2.0]}),
        pd.DataFrame({"a": pd.array([1, None], dtype="int64[pyarrow]"), "b": [1.0, 2.0]}),
        pl.DataFrame({"a": [True, None], "b": [1.0, 2.0]}),
        pa.table({"a": [True, None], "b": [1.0, 2.0]}),
    ],
)
def test_what_is_missing_is_nan_and_refused_as_such(frame):
    array = nn.to_numpy(frame)
    assert array.dtype.kind == "f"
    assert np.isnan(array).sum() == 1
    trainer = trainer_for(2)
    for train in (trainer.fit, trainer.evaluate):
        with pytest.raises(DataError, match="NaN"):
            train(frame, np.array([0, 1]))
    with pytest.raises(DataError, match="NaN"):
        trainer.predict(frame)


@pytest.mark.parametrize(
    ("column", "described", "advice"),
    [
        (pd.Series(["x", "y"], dtype="string"), r"'odd' \(string\)", ENCODE),
        (pd.Series([1, "?"], dtype=object), r"'odd' \(object, with str\)", ENCODE),
        (
            pd.Series([1, 2**70]),
            r"'odd' \(object, with whole numbers beyond 64 bits\)",
            "Turn it into floats first",
        ),
        (pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])), r"'odd' \(datetime64", TIMES),
        (pd.Series(pd.to_timedelta([1, 2], unit="s")), r"'odd' \(timedelta64", TIMES),
        (pd.Series(["x", "y"], dtype="category"), r"'odd' \(category\)", ENCODE),
        (
            pd.Series([1j, 2.0]),
            r"'odd' \(complex128\)",
            "the real and the imaginary part as two columns",
        ),
        (pd.Series(["x", "y"], dtype="string[pyarrow]"), r"'odd' \(string\)", ENCODE),
        (pd.Series([[1], [2]]), r"'odd' \(object, with list\)", PARTS),
    ],
)
@pytest.mark.parametrize("beside", [{"a": [1.0, 2.0]}, {"a": [True, False]}, {}])
def test_a_column_of_something_else_is_refused_by_its_name(column, described, advice, beside):
    frame = pd.DataFrame(beside).assign(odd=column)
    trainer = trainer_for(2)
    y = np.array([0, 1])
    for call in (trainer.fit, trainer.evaluate, lambda X, _: trainer.predict(X)):
        with pytest.raises(DTypeError, match=f"the column {described}.*{advice}, or leave it out"):
            call(frame, y)
    with pytest.raises(DTypeError, match="of dtype"):
        nn.to_numpy(column)


ODD = {
    "date": ([datetime.date(2020, 1, 1)], TIMES),
    "datetime": ([datetime.datetime(2020, 1, 1)], TIMES),
    "duration": ([datetime.timedelta(1)], TIMES),
    "time": ([datetime.time(1)], TIMES),
    "list": ([[1, 2]], PARTS),
    "struct": ([{"a": 1}], PARTS),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("beside", [{"a": [1.0]}, {"a": [1]}, {"a": [True]}, {}])
@pytest.mark.parametrize("library", [pl.DataFrame, pa.table, pd.DataFrame])
def test_times_and_structures_are_no_numbers_beside_numbers_either(library, beside, name):
    values, advice = ODD[name]
    frame = library({**beside, "odd": values, "last": [2.0]})
    with pytest.raises(DTypeError, match=rf"the column 'odd' \(.*\)\. .*{advice}"):
        nn.to_numpy(frame)
    with pytest.raises(DTypeError, match="the column 'odd'"):
        trainer_for(2).predict(frame)


def test_an_array_in_each_row_is_no_column_of_numbers():
    pairs = pl.Series("odd", [[1, 2]], dtype=pl.Array(pl.Int64, 2))
    with pytest.raises(DTypeError, match="the column 'odd'"):
        nn.to_numpy(pl.DataFrame([pl.Series("a", [1.0]), pairs]))
    assert nn.to_numpy(pairs).tolist() == [[1, 2]]  # by itself it is a matrix


def test_the_advice_is_of_the_library():
    for frame, advice in (
        (pl.DataFrame({"odd": ["x"]}), "with DataFrame.to_dummies for example"),
        (pa.table({"odd": ["x"]}), "with to_pandas and pandas.get_dummies for example"),
        (pd.DataFrame({"odd": ["x"]}), "first, with pandas.get_dummies for example"),
        (pd.DataFrame({"odd": ["x"], "day": pd.to_datetime(["2020-01-01"])}), "Encode them first"),
        (pl.LazyFrame({"odd": [1]}), "got LazyFrame.* Hand over its collect"),
    ):
        with pytest.raises(DTypeError, match=advice):
            nn.to_numpy(frame)


def test_whole_numbers_with_gaps_are_no_labels():
    frame, _ = pens()
    labels = [0, None, 1] * 20
    for y in (
        pd.Series(labels, dtype="Int64"),
        pd.Series(labels, dtype="int64[pyarrow]"),
        pd.Series(labels),
        pl.Series(labels),
        pa.array(labels),
    ):
        with pytest.raises(LabelError, match=r"`y` .* it has NaN .*Labels are missing there: drop"):
            trainer_for(5).fit(frame, y, progress=False)


def test_weights_of_classes_in_a_series_go_by_their_labels():
    frame, y = pens()
    y = (np.where(np.arange(60) < 8, 2, y) + 1) % 3
    counts = pd.Series(y).value_counts()  # the most frequent first
    assert counts.index.tolist() != [0, 1, 2]
    by_label = len(y) / (3 * counts)
    figures = []
    for class_weight in (by_label, by_label.to_dict(), "balanced", by_label.sort_index()):
        trainer = trainer_for(5, n_outputs=3)
        history = trainer.fit(frame, y, class_weight=class_weight, epochs=2, progress=False)
        figures.append(history["loss"])
        classifier = MLPClassifier(**SETTINGS, class_weight=class_weight)
        names = np.array(["b", "a", "c"])
        if not isinstance(class_weight, str):
            named = pd.Series(class_weight).rename(index=dict(enumerate(names)))
            classifier.set_params(class_weight=named)
        with pytest.warns(ConvergenceWarning):
            classifier.fit(frame, names[y])
        figures[-1] = [*figures[-1], *classifier.loss_curve_]
    np.testing.assert_allclose(figures[1:], figures[:1] * 3, rtol=1e-6)
    with pytest.raises(ArgumentError, match="one weight for each label"):
        trainer_for(5, n_outputs=3).fit(frame, y, class_weight=pd.Series([1, 2], index=[0, 0]))


@pytest.mark.parametrize(
    ("frame", "described"),
    [
        (pl.DataFrame({"a": [1.0], "odd": ["x"]}), r"'odd' \(String\)"),
        (pl.DataFrame({"odd": [datetime.date(2020, 1, 1)]}), r"'odd' \(Date\)"),
        (pl.DataFrame({"a": [1.0], "odd": [[1, 2]]}), r"'odd' \(List\(Int64\)\)"),
        (pa.table({"a": [1.0], "odd": ["x"]}), r"'odd' \(string\)"),
        (
            pl.DataFrame({"odd": pl.Series(["0"], dtype=pl.Enum([*"0123456789"]))}),
            r"'odd' \(Enum.{,40}…\)",
        ),
    ],
)
def test_other_frames_name_their_columns_too(frame, described):
    with pytest.raises(DTypeError, match=f"the column {described}"):
        nn.to_numpy(frame)


def test_of_many_columns_a_few_are_named():
    frame = pd.DataFrame({f"c{n}": ["x"] for n in range(9)} | {"a": [1.0]})
    with pytest.raises(DTypeError, match=r"columns 'c0' .*'c3' \(\w+\) and 5 more\. .*them out"):
        nn.to_numpy(frame)


def test_a_series_of_gaps_is_floats_and_its_array_too():
    for column in (
        pd.Series([1, None], dtype="Int64"),
        pd.Series([1, None], dtype="Int64").array,
        pd.Series([True, None], dtype="boolean"),
        pl.Series([True, None]),
        pd.Series([1, None], dtype=object),
    ):
        np.testing.assert_array_equal(nn.to_numpy(column), [1.0, np.nan])


def test_targets_with_gaps_are_refused():
    frame, _ = pens()
    y = pd.Series([1, None] * 30, dtype="Float64")
    with pytest.raises(DataError, match="NaN"):
        trainer_for(5, nn.MeanSquaredError(), 1).fit(frame, y, progress=False)


# Estimators -----------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("Estimator", [MLPClassifier, MLPRegressor])
SETTINGS = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
QUIET = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@QUIET
@BOTH
@pytest.mark.parametrize("convert", [pd.DataFrame, nullable, arrow, of_polars, objects])
def test_estimators_take_frames_as_their_numbers(Estimator, convert):
    frame, y = pens()
    X = frame.to_numpy(dtype=float)
    targets = convert(y) if convert in (nullable, arrow) else y.to_numpy()
    plain = Estimator(**SETTINGS).fit(X, y.to_numpy())
    estimator = Estimator(**SETTINGS).fit(convert(frame), targets)
    assert list(estimator.feature_names_in_) == list(frame)
    found = estimator.predict(convert(frame))
    np.testing.assert_array_equal(found, plain.predict(X))
    assert found.dtype == plain.predict(X).dtype
    assert estimator.score(convert(frame), targets) == plain.score(X, y)
    estimator.partial_fit(convert(frame), targets)


@QUIET
@pytest.mark.parametrize("dtype", ["Int64", "int64[pyarrow]"])
def test_classes_that_float64_does_not_tell_apart(dtype):
    frame, y = pens()
    labels = (y + LARGE).astype(dtype)
    classifier = MLPClassifier(**SETTINGS).fit(frame, labels)
    assert classifier.classes_.tolist() == [LARGE, LARGE + 1]
    partly = MLPClassifier(**SETTINGS).partial_fit(frame, labels, classes=labels.drop_duplicates())
    assert partly.classes_.tolist() == [LARGE, LARGE + 1]


@QUIET
@BOTH
def test_estimators_name_the_columns_that_they_cannot_take(Estimator):
    frame, y = pens()
    numbers = frame.assign(text=["1.5", "2"] * 30)  # which scikit-learn reads
    estimator = Estimator(**SETTINGS).fit(numbers, y)
    for odd in (["x", "2"] * 30, pd.to_datetime(["2020-01-01"] * 60)):
        for call in (lambda X: Estimator(**SETTINGS).fit(X, y), estimator.predict):
            with pytest.raises(DTypeError, match="the column 'refills'") as caught:
                call(numbers.assign(refills=odd))
            assert isinstance(caught.value, ValueError)
            assert "'text'" not in str(caught.value)
    dates = of_polars(frame).with_columns(pl.lit(datetime.date(2020, 1, 1)).alias("refills"))
    for call in (lambda X: Estimator(**SETTINGS).fit(X, y), estimator.predict):
        with pytest.raises(ValueError, match=r"the column 'refills' \(Date\).*days since"):
            call(dates)
    with pytest.raises(ValueError, match="contains NaN"):
        Estimator(**SETTINGS).fit(numbers.assign(refills=np.nan), y)
