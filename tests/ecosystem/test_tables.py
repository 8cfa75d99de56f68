"""Tables from Python: what is read, what is learnt of each kind of column, and what is refused."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import f1_score, log_loss, root_mean_squared_error

from nnfs_xp.data.table_files import open_table
from nnfs_xp.errors import (
    ArgumentError,
    BackendError,
    DataError,
    DivergenceError,
    DTypeError,
    LabelError,
)
from nnfs_xp.tables import TableWarning, load_table_model, read_table, save_table_model, train_table
from nnfs_xp.tables.encoding import encode

QUICK = {"hidden": (8,), "epochs": 3, "folds": 1, "patience": 99, "backend": "numpy"}
QUICK["progress"] = False
LEARNT = {**QUICK, "hidden": (32,), "epochs": 30}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def mixed(n=200, seed=0):
    """Numbers with gaps, text with gaps, and truth values; what follows from them."""
    rng = np.random.default_rng(seed)
    size, town = rng.normal(50, 20, n), rng.choice(["Oslo", "Rome", "Lima"], n)
    garden = rng.random(n) < 0.5
    price = 3 * size + 40 * (town == "Rome") + 25 * garden + rng.normal(0, 2, n)
    frame = pd.DataFrame({"size": size, "town": town, "garden": garden, "price": price})
    frame["dear"] = np.where(price > price.mean(), "yes", "no")
    frame.loc[frame.index % 17 == 3, "size"] = np.nan
    frame.loc[frame.index % 13 == 5, "town"] = None
    return frame


def write(text, name="data.csv"):
    Path(name).write_text(text, "utf-8")
    return name


def column(cells, name="x"):
    """A file with that column, and one beside it so that no row is blank."""
    return write(f"{name},other\n" + "".join(f"{cell},o\n" for cell in cells))


# Reading -----------------------------------------------------------------------------------------


def test_a_csv_file_becomes_a_frame_with_the_rows_numbers():
    path = write('id,"a ""b""",c,d\n1,1.5,x,true\n\n2,,"y, z\nw",FALSE\n3,-2e1,NA,\n')
    frame = read_table(path)
    assert list(frame.columns) == ["id", 'a "b"', "c", "d"]
    assert frame.index.tolist() == [2, 4, 5]
    assert frame["id"].dtype == np.int64
    assert frame['a "b"'].tolist()[::2] == [1.5, -20.0]
    assert np.isnan(frame['a "b"'].iloc[1])
    assert frame["c"].tolist()[:2] == ["x", "y, z\nw"]
    assert frame["c"].isna().tolist() == [False, False, True]
    assert frame["d"].dtype == "boolean"
    assert frame["d"].tolist()[:2] == [True, False]


def test_a_separator_can_be_forced():
    path = write("a:b;c\n1:2;3\n")
    assert list(read_table(path).columns) == ["a:b", "c"]
    assert list(read_table(path, separator=":").columns) == ["a", "b;c"]
    with pytest.raises(ArgumentError, match="`separator` must be one character"):
        read_table(path, separator="ab")


def test_parquet_is_read_as_it_is():
    frame = mixed()
    frame["day"] = pd.Timestamp("2024-02-29")
    frame.to_parquet("data.csv")
    read = read_table("data.csv")
    assert read.index[0] == 1
    assert read["garden"].dtype == np.bool_
    assert set(read["day"]) == {pd.Timestamp("2024-02-29")}
    np.testing.assert_array_equal(read["size"], frame["size"])
    long = pd.DataFrame({"a": [2**60 + 1, 2**60 + 3]})
    assert read_table(long)["a"].tolist() == [str(2**60 + 1), str(2**60 + 3)]


def test_what_is_named_as_of_a_kind_is_of_it():
    path = write("zip,n,day,gone\n00123,1,31/01/2024,-9\n00456,,01/02/2024,4\n")
    frame = read_table(path, categorical=["zip"], dates=["day"], missing=["-9"])
    assert frame["zip"].tolist() == ["00123", "00456"]
    assert isinstance(frame["zip"].dtype, pd.CategoricalDtype)
    assert frame["day"].tolist() == [pd.Timestamp("2024-01-31"), pd.Timestamp("2024-02-01")]
    np.testing.assert_array_equal(frame["gone"], [np.nan, 4])
    with pytest.raises(DataError, match=r"data.csv has no column 'zap', which .* mean 'zip'\?"):
        read_table(path, categorical=["zap"])
    with pytest.raises(ArgumentError, match="'zip' is named as numeric and as categorical"):
        read_table(path, categorical=["zip"], numeric=["zip"])
    with pytest.raises(ArgumentError, match="`categorical` must be a list of texts; got 'zip'"):
        read_table(path, categorical="zip")
    with pytest.raises(ArgumentError, match=r"`missing` must be a list of texts; got \[-9\]"):
        read_table(path, missing=[-9])
    with pytest.raises(DataError, match=r"row 2, column 'c': 'x' is no number. There are 2 such"):
        read_table(write("c,d\nx,1\ny,1\n1,1\n"), numeric=["c"])


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        (["1"] * 15 + ["abc", "2"], "row 17, column 'x': 'abc' is no number, as 94 % of"),
        (["1"] * 8 + ["?!", "!"], r"row 10, column 'x': '\?!' is no number.* There are 2 such"),
        (["1", "inf"], "row 3, column 'x': inf is no finite number. Leave the cell empty"),
        (["1", "-Infinity"], "row 3, column 'x': -inf is no finite number"),
        (["1", "1e999"], "row 3, column 'x': inf is no finite number"),
        (["1", "2e35"], r"row 3, column 'x': 2e\+35 is too large; numbers go up to 1e\+30"),
        (["1"] * 9 + ["1_000"], "row 11, column 'x': '1_000' is no number"),
    ],
)
def test_a_number_that_is_none_is_named(cells, complaint):
    with pytest.raises(DataError, match=complaint):
        read_table(column(cells))


def test_a_column_is_of_numbers_from_four_fifths_on(caplog):
    path = column(["1", "2", "3", "x", "NA", ""])
    with caplog.at_level(logging.INFO, "nnfs_xp"):
        frame = read_table(path)
    assert frame["x"].tolist()[:4] == ["1", "2", "3", "x"]
    assert "column 'x' holds numbers in 75 % of its rows" in caplog.text
    with pytest.raises(DataError, match="row 6, column 'x': 'x' is no number"):
        read_table(column(["1", "2", "3", "4", "x"]))


def test_what_stands_for_missing():
    frame = read_table(column(["1", "NA", "n/a", "NaN", "null", "?", "None", "-", " "]))
    assert frame["x"].isna().tolist() == [False] + [True] * 8
    frame = read_table(column(["a", "NA", "none", "-", "b"]))
    assert frame["x"].isna().tolist() == [False, True, False, False, False]


def test_what_is_no_readable_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*: Is a directory"):
        read_table(tmp_path)
    with pytest.raises(DataError, match=r"cannot read nowhere.csv: No such file"):
        read_table("nowhere.csv")
    with pytest.raises(DataError, match=r"cannot read a.x00b"):
        read_table("a\0b")
    with pytest.raises(DTypeError, match=r"must be a path, a frame .*; got list"):
        read_table([1, 2])


# The task, and the columns -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "task", "classes"),
    [
        (["a", "b"] * 30, "classification", ("a", "b")),
        ([True, False] * 30, "classification", (False, True)),
        ([3, 1, 2] * 20, "classification", (1, 2, 3)),
        ([3.0, 1.0, 2.0] * 20, "classification", (1, 2, 3)),
        (list(range(20)) * 3, "classification", tuple(range(20))),
        ([*range(21)] * 3, "regression", ()),
        ([*range(19)] * 3, "classification", tuple(range(19))),
        ([*range(19)] * 2, "regression", ()),
        ([0.5, 1.5] * 30, "regression", ()),
    ],
)
def test_the_task_follows_from_the_target(target, task, classes):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=len(target)), "y": target})
    model = train_table(frame, "y", **QUICK)
    assert (model.task, model.classes) == (task, classes)
    predicted = model.predict(frame[["x"]])
    assert predicted.shape == (len(target),)
    if classes:
        assert set(predicted.tolist()) <= set(classes)
        assert type(predicted.tolist()[0]) is type(classes[0])


def test_the_task_can_be_said():
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0] * 20, "y": [1, 2, 3] * 20})
    frame["z"] = frame["y"].map({1: 2.5, 2: 10.5, 3: -1.5})
    assert train_table(frame, "y", task="regression", **QUICK).task == "regression"
    model = train_table(frame, "z", task="classification", drop=["y"], **LEARNT)
    assert set(model.classes) == {-1.5, 2.5, 10.5}
    assert model.report.figures["accuracy"] == 1
    save_table_model(model, "kept")
    assert (load_table_model("kept").predict(frame) == frame["z"]).all()
    with pytest.raises(ArgumentError, match="`task` must be one of auto, classification"):
        train_table(frame, "y", task="ranking", **QUICK)


@pytest.mark.parametrize(
    ("target", "more", "complaint"),
    [
        (["a"] * 40, {}, "all rows have a in column 'y'. There is nothing to learn"),
        ([7.0] * 40, {"task": "regression"}, "all rows have 7.0 in column 'y'"),
        ([None] * 40, {}, "column 'y' is empty in all rows"),
        ([f"t{i}" for i in range(40)], {}, "40 different values in 40 rows: too many to be"),
        (["a", "b"] * 20, {"task": "regression"}, "row 0, column 'y': 'a' is no number"),
        (["a", "b"] * 9, {}, "has 18 rows with a target; at least 20 are needed"),
        ([pd.Timestamp(2024, 1, 1 + i % 30) for i in range(40)], {}, "is a date .2024-01-01 first"),
        ([[1], [2]] * 20, {}, r"column 'y' holds .*list.* neither number nor text"),
        (np.arange(40) * 1e-40, {}, "differ by less than 1e-30"),
        ([*[1.5, 2.5] * 20, np.inf], {}, "row 40, column 'y': inf is no finite number"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(target, more, complaint):
    frame = pd.DataFrame({"x": np.arange(len(target)) % 5, "y": target})
    with pytest.raises(DataError, match=complaint):
        train_table(frame, "y", **QUICK, **more)


def test_a_target_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(DataError, match=r"no column 'prize', .* Did you mean 'price'\?"):
        train_table(mixed(), "prize", **QUICK)
    with pytest.raises(DataError, match=r"no column 'PRICE', .* Did you mean 'price'\?"):
        train_table(mixed(), "PRICE", **QUICK)
    with pytest.raises(DataError, match=r"no column 'qqq', .* It has 'size', 'town'"):
        train_table(mixed(), "qqq", **QUICK)


def test_rows_without_a_target_are_left_out_with_a_warning():
    frame = mixed()
    frame.loc[[4, 9], "price"] = np.nan
    with pytest.warns(TableWarning, match=r"2 of 200 rows are left out.* row 4 is the first"):
        model = train_table(frame, "price", drop=["dear"], **QUICK)
    assert model.settings["trained_on"] + model.report.rows == 198


@pytest.mark.parametrize("folds", [1, 5])
def test_a_class_with_one_row_is_trained_on(folds):
    frame = pd.DataFrame({"x": np.arange(60) % 7, "y": [*"ab"] * 29 + ["c", "d"]})
    with pytest.warns(TableWarning, match=r"2 of 4 classes of 'y' have a single row.*: c, d"):
        model = train_table(frame, "y", **{**QUICK, "folds": folds})
    assert model.classes == ("a", "b", "c", "d")
    assert model.report.figures["roc_auc"] is not None
    assert set(model.report.y_true) <= {0, 1}
    assert model.predict_proba(frame).shape == (60, 4)


def test_columns_that_say_nothing_are_left_out_with_a_warning():
    frame = mixed()
    frame["empty"] = None
    frame["same"] = 5
    frame["name"] = [f"person {i}" for i in range(len(frame))]
    frame["nr"] = np.random.default_rng(0).permutation(len(frame)) + 100
    with pytest.warns(TableWarning) as warned:
        model = train_table(frame, "price", drop=["dear"], **QUICK)
    reasons = {
        "dear": "as asked for",
        "empty": "it is empty",
        "same": "it is the same in all rows",
        "name": "200 different texts in 200 rows: names or free text",
        "nr": "it counts the rows",
    }
    assert model.features.dropped == reasons
    assert model.features.names == ["size", "town", "garden"]
    assert [str(w.message) for w in warned] == [
        f"column {name!r} is left out: {why}" for name, why in reasons.items() if name != "dear"
    ]


def test_columns_that_are_named_are_kept():
    frame = pd.DataFrame({"nr": np.arange(60), "name": [f"p{i}" for i in range(60)]})
    frame["y"] = frame["nr"] * 0.5
    model = train_table(frame, "y", numeric=["nr"], categorical=["name"], **QUICK)
    assert [(f.name, f.kind) for f in model.features.used] == [
        ("nr", "number"),
        ("name", "category"),
    ]
    with pytest.raises(DataError, match="no column to predict 'y' from: 'nr' it counts the rows"):
        train_table(frame, "y", **QUICK)
    with pytest.raises(ArgumentError, match="`drop` must not name the target"):
        train_table(frame, "y", drop=["y"], **QUICK)
    with pytest.raises(DataError, match="no column 'q', which is to be dropped"):
        train_table(frame, "y", drop=["q"], **QUICK)


def test_what_is_done_with_each_kind_of_column():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": [1.0, 2.0, 3.0, np.nan] * 15,
            "b": np.linspace(0, 1, 60) ** 2,
            "c": ["x", "y", None, "y"] * 15,
            "day": pd.Timestamp("2024-01-31") + pd.to_timedelta(rng.integers(0, 999, 60), "D"),
            "y": np.arange(60) * 1.5,
        }
    )
    frame.loc[5, "day"] = pd.NaT
    model = train_table(frame, "y", **QUICK)
    made = encode(model.columns, model.features.read(open_table(frame)))
    assert made.dtype == np.float32
    assert made.shape == (60, model.settings["inputs"])
    assert np.isfinite(made).all()
    assert np.abs(made).max() <= 3, "squashed"
    numbers, gaps, categories = made[:, :2], made[:, -4], made[:, -3:]
    assert (numbers[3::4, 0] == 0).all(), "a gap is in the middle"
    assert numbers[0, 0] < numbers[1, 0] < numbers[2, 0]
    assert gaps.tolist() == [0, 0, 0, 1] * 15
    assert [len(set(map(tuple, categories[k::4]))) for k in range(4)] == [1, 1, 1, 1]
    assert len({tuple(row) for row in categories}) == 3, "x, y and nothing"
    day = made[:, 2:-4]
    assert (day[5] == 0).all(), "no date is the middle of the circles"
    assert (np.ptp(day, axis=0) > 0.5).sum() >= 5, "year, weekday and season tell rows apart"


def test_thousands_of_categories_get_a_hundred_inputs_and_a_mean():
    rng = np.random.default_rng(0)
    effect = rng.normal(size=3000)
    codes = rng.integers(0, 3000, 9000)
    frame = pd.DataFrame({"c": codes.astype(str), "y": effect[codes]})
    model = train_table(frame, "y", categorical=["c"], **QUICK)
    assert model.settings["inputs"] == 101
    assert model.report.figures["r2"] > 0.5, "each category's mean tells what 100 inputs cannot"


def test_means_of_categories_take_classes_of_few_rows():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=100), "c": [f"c{i % 50}" for i in range(100)]})
    frame["y"] = [f"k{i % 50}" for i in range(100)]
    model = train_table(frame, "y", categorical=["c"], **QUICK)
    assert len(model.classes) == 50
    save_table_model(model, "kept")
    assert (load_table_model("kept").predict(frame) == model.predict(frame)).all()


# What is learnt ----------------------------------------------------------------------------------


def line(n=400):
    x = np.random.default_rng(0).normal(0, 10, n)
    return pd.DataFrame({"x": x, "y": 3 * x})


def clean():
    x = np.linspace(-20, 20, 100)
    return pd.DataFrame({"x": x, "y": 3 * x})


def test_a_wrong_cell_does_not_rule_what_is_learnt():
    frame = line()
    frame.loc[17, "x"] = 1e4
    with pytest.warns(TableWarning, match=r"row 17, column 'x': 10000 lies far from the rest"):
        model = train_table(frame, "y", **LEARNT)
    assert model.evaluate(clean()).figures["r2"] > 0.95
    near, further = model.predict(pd.DataFrame({"x": [1e6, 1e25]}))
    assert near == pytest.approx(further, rel=1e-3)
    assert abs(near) < 150, "predictions stay where targets were"


@pytest.mark.parametrize("said", [False, True])
def test_a_number_that_stands_for_missing_does_not_either(said):
    frame = line()
    frame.loc[::20, "x"] = -9999
    if said:
        model = train_table(frame, "y", missing=["-9999"], **LEARNT)
        assert model.settings["inputs"] == 2, "the number, and whether it is there"
        assert model.features.reading.missing == {"-9999"}
        written = pd.DataFrame({"x": ["-9999.0", "", "5"]})
        assert len(set(model.predict(written)[:2])) == 1
    else:
        told = r"column 'x': 20 cells hold -9999 \(row 0 is the first\), far .*: --missing -9999$"
        with pytest.warns(TableWarning, match=told):
            model = train_table(frame, "y", **LEARNT)
    assert model.evaluate(clean()).figures["r2"] > 0.95


def test_what_to_say_of_a_long_number_for_missing_is_exact():
    frame = line()
    frame.loc[::20, "x"] = -9999999
    with pytest.warns(TableWarning, match="--missing -9999999$"):
        train_table(frame, "y", **QUICK)


def test_a_wrong_target_does_not_rule_what_is_learnt():
    frame = line()
    frame.loc[17, "y"] = 1e6
    told = r"row 17, column 'y': 1e\+06 lies far from the rest .* no further than the rest"
    with pytest.warns(TableWarning, match=told):
        model = train_table(frame, "y", **LEARNT)
    assert model.evaluate(clean()).figures["r2"] > 0.95
    assert np.abs(model.predict(clean())).max() < 200


def test_dates_carry_the_season():
    rng = np.random.default_rng(0)
    days = pd.Series(pd.date_range("2021-01-01", periods=800))
    season = np.sin(2 * np.pi * days.dt.day_of_year / 365.25)
    frame = pd.DataFrame({"day": days, "y": season + rng.normal(0, 0.1, 800)})
    model = train_table(frame, "y", **LEARNT)
    assert [feature.kind for feature in model.features.used] == ["date"]
    assert model.report.figures["r2"] > 0.8
    frame.assign(day=days.dt.strftime("%d.%m.%Y")).to_csv("days.csv", index=False)
    model = train_table("days.csv", "y", **LEARNT)
    assert model.report.figures["r2"] > 0.8, "as text, too"
    with pytest.raises(DataError, match=r"row 2, column 'day': '31.31.2024' is no date in the"):
        model.predict(write("day\n31.31.2024\n"))


def notes(n=300):
    """Sentences, all different, of which two words decide the class."""
    rng = np.random.default_rng(0)
    sold = rng.random(n) < 0.5
    kinds, years = rng.choice(["house", "barn", "shed", "mill"], n), rng.integers(1900, 2000, n)
    texts = [
        f"the {kind} number {i} was {'sold quickly' if yes else 'left standing'} in {year}"
        for i, (kind, year, yes) in enumerate(zip(kinds, years, sold, strict=True))
    ]
    return pd.DataFrame({"note": texts, "y": np.where(sold, "yes", "no")})


def test_text_decides_the_class():
    frame = notes()
    model = train_table(frame, "y", **LEARNT)
    assert [feature.kind for feature in model.features.used] == ["text"]
    assert model.report.figures["accuracy"] > 0.9
    new = pd.DataFrame({"note": ["a tower sold quickly", "a tower left standing", None]})
    assert model.predict(new)[:2].tolist() == ["yes", "no"]
    assert np.isfinite(model.predict_proba(new)).all()
    short = frame.assign(note=np.where(frame["y"] == "yes", "sold quickly", "left standing"))
    model = train_table(short, "y", text=["note"], **LEARNT)
    assert model.features.used[0].kind == "text"
    assert model.report.figures["accuracy"] == 1


def test_a_regression_of_mixed_columns_is_learnt():
    model = train_table(mixed(600), "price", drop=["dear"], **LEARNT)
    assert model.report.figures["r2"] > 0.9
    assert model.report.rows == 120
    assert model.history.epochs == model.settings["epochs_done"]


def test_a_classification_of_mixed_columns_is_learnt():
    frame = mixed(600).drop(columns="price")
    model = train_table(frame, "dear", **LEARNT)
    assert model.report.figures["accuracy"] > 0.9
    assert model.report.figures["roc_auc"] > 0.97
    probabilities = model.predict_proba(frame)
    assert probabilities.shape == (600, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert (np.array(["no", "yes"])[probabilities.argmax(axis=1)] == model.predict(frame)).all()


def test_the_weights_are_those_of_the_best_epoch():
    model = train_table(mixed(600), "dear", drop=["price"], **{**LEARNT, "patience": 4})
    errors = model.history["val_error"]
    best = int(np.argmin(errors))
    assert len(errors) == min(best + 1 + 4, 30) < 30, "it stopped early"
    kept, probabilities = mixed(600), model.predict_proba(mixed(600))
    right = probabilities[np.arange(600), (kept["dear"] == "yes").astype(int)]
    assert -np.log(right).mean() < 2 * errors[best], "nothing like that of a bad epoch"


def test_the_defaults_learn():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2))
    frame = pd.DataFrame(X, columns=list("ab")).assign(y=X[:, 0] + np.abs(X[:, 1]))
    model = train_table(frame, "y", backend="numpy", progress=False)
    assert model.report.figures["r2"] > 0.8
    assert model.settings["folds"] == 5


@pytest.mark.parametrize("more", [{"ensemble": 4}, {"folds": 3}, {"folds": 3, "ensemble": 4}])
@pytest.mark.parametrize("target", ["price", "dear"])
def test_several_networks_agree_on_a_mean(more, target):
    frame = mixed(300)
    model = train_table(frame, target, drop=[{"price": "dear", "dear": "price"}[target]], **{
        **LEARNT, **more
    })  # fmt: skip
    assert (model.settings["folds"], model.settings["ensemble"]) == (
        more.get("folds", 1),
        more.get("ensemble", 1),
    )
    one = model.network.forward(encode(model.columns, model.features.read(open_table(frame))))
    members = more.get("folds", 1) * more.get("ensemble", 1)
    values = one.reshape(300, members, -1)
    assert np.ptp(values, axis=1).min() > 0, "each says something of its own"
    if target == "price":
        mean = model.scale.unscaled(values[:, :, 0].astype(float).mean(axis=1))
        np.testing.assert_allclose(model.predict(frame), mean, rtol=1e-6)
        assert model.report.figures["r2"] > 0.85
        assert len(model.residuals) == (240 if "folds" in more else 36)
    else:
        assert model.report.figures["accuracy"] > 0.85
    save_table_model(model, "kept")
    np.testing.assert_array_equal(load_table_model("kept").predict(frame), model.predict(frame))


@pytest.mark.parametrize("backend", ["array_api_strict", "torch"])
def test_backends_agree(backend):
    model = train_table(mixed(), "dear", drop=["price"], **QUICK)
    other = train_table(mixed(), "dear", drop=["price"], **{**QUICK, "backend": backend})
    assert other.settings["backend"].startswith(backend)
    np.testing.assert_allclose(other.predict_proba(mixed()), model.predict_proba(mixed()), 1e-3)
    here = other.to("numpy").predict_proba(mixed())
    np.testing.assert_allclose(here, model.predict_proba(mixed()), 1e-3)


def test_the_seed_decides_everything():
    first, same, other = (
        train_table(mixed(), "price", drop=["dear"], seed=seed, **QUICK) for seed in (3, 3, 4)
    )
    assert first.report.figures == same.report.figures != other.report.figures
    np.testing.assert_array_equal(first.predict(mixed(50)), same.predict(mixed(50)))
    assert first.settings["seed"] == 3


# How sure it is ----------------------------------------------------------------------------------


def noisy(n, seed):
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, n))
    return pd.DataFrame({"x": x, "z": z, "y": 2 * x + rng.normal(0, 1, n)})


@pytest.mark.parametrize("folds", [1, 3])
def test_intervals_hold_the_share_that_is_asked_for(folds):
    model = train_table(noisy(1500, 0), "y", **{**LEARNT, "folds": folds, "interval": 0.9})
    new = noisy(1000, 1)
    low, high = model.predict_interval(new, 0.9).T
    assert np.mean((low <= new["y"]) & (new["y"] <= high)) == pytest.approx(0.9, abs=0.06)
    np.testing.assert_allclose((low + high) / 2, model.predict(new))
    narrow = np.diff(model.predict_interval(new, 0.5))
    assert (narrow < np.diff(model.predict_interval(new, 0.9))).all()


def test_intervals_need_rows_kept_aside():
    model = train_table(noisy(100, 0), "y", **QUICK)
    assert len(model.residuals) == 12
    with pytest.raises(ArgumentError, match="12 rows were kept aside in training, too few for"):
        model.predict_interval(noisy(3, 1), 0.95)
    with pytest.raises(ArgumentError, match="`share` must be above 0 and below 1; got 1"):
        model.predict_interval(noisy(3, 1), 1)
    complaint = "the training keeps 12 rows aside, too few for intervals that hold a share of 0.95"
    with pytest.raises(ArgumentError, match=complaint):
        train_table(noisy(100, 0), "y", interval=0.95, **QUICK)
    train_table(noisy(100, 0), "y", interval=0.95, **{**QUICK, "folds": 5})
    with pytest.raises(ArgumentError, match="`interval` is for regressions; a classification has"):
        train_table(mixed(), "dear", interval=0.9, **QUICK)
    model = train_table(mixed(), "dear", **QUICK)
    with pytest.raises(ArgumentError, match="intervals are for regressions"):
        model.predict_interval(mixed())


def chances(n, seed):
    """Classes that follow from the columns by chance only, so that a network learns too much."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    probability = 1 / (1 + np.exp(-(X[:, 0] + X[:, 1] * X[:, 2])))
    frame = pd.DataFrame(X, columns=list("abcd"))
    return frame.assign(y=np.where(rng.random(n) < probability, "yes", "no"))


@pytest.mark.parametrize("seed", range(3))
def test_probabilities_are_calibrated(seed):
    more = {**QUICK, "hidden": (32,), "epochs": 1, "learning_rate": 0.3, "seed": seed}
    model, new = train_table(chances(300, seed), "y", **more), chances(3000, 99)
    calibrated, before = (
        log_loss(new["y"], each.predict_proba(new))
        for each in (model, replace(model, temperature=1.0))
    )
    assert model.temperature > 1, "it was too sure"
    assert calibrated < before - 0.1


# Settings, and what comes of them ----------------------------------------------------------------


def test_settings_are_followed_and_checked():
    model = train_table(
        mixed(), "price", drop=["dear"], hidden=(5, 4), epochs=2, batch_size=50, learning_rate=0.01,
        dropout=0.25, test_share=0.5, folds=2, patience=1, ensemble=2, backend="numpy",
        progress=False,
    )  # fmt: skip
    said = {"hidden": (5, 4), "epochs": 2, "batch_size": 50, "learning_rate": 0.01, "folds": 2}
    assert model.settings.items() >= {**said, "dropout": 0.25, "patience": 1, "ensemble": 2}.items()
    assert model.report.rows == 100
    for name, wrong in (
        ("hidden", (0,)),
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", -1),
        ("dropout", 1),
        ("ensemble", 0),
        ("folds", 0),
        ("patience", 0),
        ("interval", 1),
        ("interval", 0),
        ("test_share", 0.6),
        ("test_share", 0),
        ("seed", -1),
    ):
        with pytest.raises(ArgumentError, match=f"`{name}`"):
            train_table("nowhere.csv", "price", **{**QUICK, name: wrong})
    with pytest.raises(BackendError, match="unknown backend 'moons'"):
        train_table("nowhere.csv", "price", **{**QUICK, "backend": "moons"})
    with pytest.raises(DTypeError, match=r"must be a path, a frame .*; got list"):
        train_table([1, 2], "price", **QUICK)
    with pytest.raises(LabelError, match=r"200 samples are too few to hold out a share of 0.001"):
        train_table(mixed(), "price", test_share=0.001, **QUICK)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"seed": 2**32}, "`seed` must be at most 4294967295"),
        ({"hidden": 5}, "`hidden` must be a list of widths; got 5"),
        ({"hidden": "64"}, "`hidden` must be a list of widths; got '64'"),
        ({"drop": "town"}, "`drop` must be a list of texts; got 'town'"),
        ({"missing": [-9999]}, r"`missing` must be a list of texts; got \[-9999\]"),
        ({"numeric": None}, "`numeric` must be a list of texts; got None"),
        ({"target": 1}, "`target` must be the name of a column; got 1"),
        ({"target": None}, "`target` must be the name of a column; got None"),
    ],
)
def test_arguments_of_another_type_are_refused(more, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        train_table(mixed(), **{"target": "price", **QUICK, **more})


def test_numbers_of_numpy_are_settings_too():
    more = {**QUICK, "hidden": (np.int64(8),), "seed": np.int64(3), "dropout": np.float32(0)}
    save_table_model(train_table(mixed(), "price", **more), "kept")
    assert load_table_model("kept").settings["seed"] == 3


def test_a_training_that_diverges_says_so():
    with (
        np.errstate(all="ignore"),
        pytest.raises(DivergenceError, match="Lower the learning rate"),
    ):
        train_table(mixed(), "price", **{**QUICK, "learning_rate": 1e30})


def test_figures_stand_beside_those_of_the_dummies():
    frame, test = mixed(300), mixed(100, seed=1)
    model = train_table(frame.drop(columns="price"), "dear", test=test, **QUICK)
    dummy = DummyClassifier().fit(frame[["size"]], frame["dear"])
    said = dummy.predict(test[["size"]])
    baseline = model.report.baseline
    assert baseline["accuracy"] == pytest.approx(np.mean(said == test["dear"]))
    assert baseline["f1"] == pytest.approx(f1_score(test["dear"], said, average="macro"))
    assert baseline["roc_auc"] == 0.5
    assert model.report.rows == 100

    model = train_table(frame, "price", test=test, **QUICK)
    dummy = DummyRegressor().fit(frame[["size"]], frame["price"])
    error = root_mean_squared_error(test["price"], dummy.predict(test[["size"]]))
    assert model.report.baseline["rmse"] == pytest.approx(error)
    text = str(model.report)
    assert "test on 100 rows of the table" in text
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["R²", "MAE", "RMSE"]


def test_figures_of_one_row_or_class_are_undefined():
    model = train_table(mixed(), "price", **QUICK)
    report = model.evaluate(mixed().head(1))
    assert report.figures["r2"] is None
    assert "undefined" in str(report)
    model = train_table(mixed(), "dear", **QUICK)
    some = mixed()
    assert model.evaluate(some[some["dear"] == "no"]).figures["roc_auc"] is None


# Prediction --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return train_table(mixed(), "dear", drop=["price"], **QUICK)


def test_a_file_and_a_frame_are_predicted_alike(model):
    frame = mixed()
    frame.to_csv("data.csv", index=False)
    frame.to_csv("data.tsv", index=False, sep="\t")
    frame.to_csv("data.csv.gz", index=False)
    frame.to_parquet("data.parquet")
    frame.to_excel("data.xlsx", index=False)
    frame.to_json("data.jsonl", orient="records", lines=True, double_precision=15)
    expected = model.predict_proba(frame)
    for name in ("data.csv", "data.tsv", "data.csv.gz", "data.parquet"):
        np.testing.assert_array_equal(model.predict_proba(name), expected)
    for name in ("data.xlsx", "data.jsonl"):  # which have fewer digits
        np.testing.assert_allclose(model.predict_proba(name), expected, rtol=1e-5)
    text = frame.astype(object).where(frame.notna(), None).astype({"size": str})
    for other in (text, pl.from_pandas(frame), pa.Table.from_pandas(frame), frame.convert_dtypes()):
        np.testing.assert_array_equal(model.predict_proba(other), expected)
    lazy = pl.from_pandas(frame).lazy()
    np.testing.assert_array_equal(model.predict_proba(lazy), expected)


def test_unknown_categories_are_counted(model):
    frame = mixed().head(10).assign(town=["Bonn"] * 3 + ["Rome", None] + ["Lima"] * 5)
    with pytest.warns(TableWarning, match=r"column 'town': 3 cells hold categories .*'Bonn' first"):
        predicted = model.predict(frame)
    assert set(predicted) <= {"yes", "no"}


def test_columns_may_be_more_or_in_another_order_but_not_fewer(model, caplog):
    frame = mixed()
    with caplog.at_level(logging.INFO, "nnfs_xp"):
        predicted = model.predict(frame[frame.columns[::-1]].assign(extra=1, more="x"))
    assert (predicted == model.predict(frame)).all()
    assert caplog.messages == [
        "the table: columns that the model does not know are ignored: extra, more"
    ]
    with pytest.raises(DataError, match=r"no column 'town', which the model was trained with"):
        model.predict(frame.drop(columns="town"))
    with pytest.raises(DataError, match="no columns 'size', 'garden', which the model"):
        model.predict(frame[["town"]])


def test_a_cell_of_another_kind_is_named(model):
    frame = mixed().astype({"size": object})
    frame.loc[7, "size"] = "big"
    with pytest.raises(
        DataError, match=r"the table: row 7, column 'size': 'big' is no number. Corr"
    ):
        model.predict(frame)
    frame = mixed()
    frame.loc[7, "size"] = np.inf
    with pytest.raises(DataError, match="row 7, column 'size': inf is no finite number"):
        model.predict(frame)
    with pytest.raises(DataError, match="the table is empty: 0 rows"):
        model.predict(frame.head(0))
    frame = pd.DataFrame([[1, 2]], columns=["size", "size"])
    with pytest.raises(DataError, match="columns 1, 2 are all called 'size'"):
        model.predict(frame)


def test_a_class_that_training_had_not_cannot_be_evaluated(model):
    frame = mixed()
    frame.loc[5, "dear"] = "perhaps"
    with pytest.raises(DataError, match=r"row 5, column 'dear': 'perhaps' is no class .* no, yes"):
        model.evaluate(frame)


def test_a_regression_has_no_probabilities():
    with pytest.raises(ArgumentError, match="a regression has no classes"):
        train_table(mixed(), "price", **QUICK).predict_proba(mixed())


def test_categories_are_the_same_as_text_number_and_truth():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"code": rng.integers(1, 4, 90) + 10114, "flag": rng.random(90) < 0.5})
    frame["y"] = frame["code"] * 1.25 + frame["flag"]
    model = train_table(frame, "y", categorical=["code"], **QUICK)
    text = frame.assign(
        code=frame["code"].astype(str), flag=frame["flag"].map({True: "TRUE", False: "false"})
    )
    floats = frame.assign(code=frame["code"].astype(float))
    written = frame.assign(code=frame["code"].map("{}.0".format))
    for other in (text, floats, written):
        assert (model.predict(other) == model.predict(frame)).all()


def test_classes_are_the_same_as_whole_numbers_and_with_decimals():
    frame = pd.DataFrame({"x": [1.0, 2.0] * 60, "y": [10115.0, 20095.0] * 60})
    model = train_table(frame, "y", **LEARNT)
    assert model.classes == (10115, 20095)
    assert model.predict(frame.head(2)).tolist() == [10115, 20095]
    for other in (frame.astype({"y": int}), frame.astype({"y": str})):
        assert model.evaluate(other).figures["accuracy"] == 1


# Numbers that can be read in two ways, or not at all ----------------------------------------------


def test_a_model_keeps_what_a_comma_means():
    rows = "".join(f"{i}.523,00;{i % 7},5\n" for i in range(1, 60))
    model = train_table(write("size;y\n" + rows), "y", **QUICK)
    save_table_model(model, "kept")
    loaded = load_table_model("kept")
    german, plain = write("size\to\n2.523\t1\n", "german.csv"), pd.DataFrame({"size": [2523.0]})
    assert loaded.predict(german) == loaded.predict(plain)


@pytest.mark.parametrize("kind", ["csv", "int64", "uint64", "Int64"])
def test_whole_numbers_too_long_for_double_precision_stay_apart(kind):
    numbers = [2**60 + i % 3 for i in range(60)]
    if kind == "Int64":
        numbers[4] = None
    frame = pd.DataFrame({"x": [i % 3 for i in range(60)], "y": pd.array(numbers, "Int64")})
    table = write(frame.to_csv(index=False)) if kind == "csv" else frame.astype({"y": kind})
    if kind == "Int64":
        with pytest.warns(TableWarning, match="1 of 60 rows are left out"):
            model = train_table(table, "y", **LEARNT)
    else:
        model = train_table(table, "y", **LEARNT)
    assert model.classes == tuple(str(2**60 + i) for i in range(3))
    assert model.predict(frame.head(3)).tolist() == list(model.classes)
    with pytest.raises(DataError, match=r"column 'y'.*double precision"):
        train_table(table, "y", task="regression", **QUICK)


def test_a_unit_is_told_and_read_without():
    frame = pd.DataFrame({"x": [f"{i % 5 + 1} kg" for i in range(60)]})
    frame["y"] = [i % 5 * 1.5 for i in range(60)]
    with pytest.warns(TableWarning, match="column 'x': read without its unit 'kg'"):
        model = train_table(frame, "y", **LEARNT)
    assert model.report.figures["r2"] > 0.9
    assert model.predict(pd.DataFrame({"x": [3]})) == model.predict(pd.DataFrame({"x": ["3 kg"]}))


@pytest.mark.parametrize("cells", [["{} EUR", "{} USD"], ["{},000"]])
def test_numbers_with_signs_are_said_and_no_target(cells):
    texts = [cells[i % len(cells)].format(i % 5 + 1) for i in range(60)]
    frame = pd.DataFrame({"x": texts, "y": [i % 5 * 1.5 for i in range(60)]})
    with pytest.warns(TableWarning, match=r"column 'x' is taken as categories: its numbers have"):
        train_table(frame, "y", **QUICK)
    with pytest.raises(DataError, match=r"the numbers in column 'x' have signs"):
        train_table(frame, "x", **QUICK)
    assert train_table(frame, "x", task="classification", **QUICK).task == "classification"


def test_a_large_offset_costs_a_regression_nothing():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300)})
    frame["y"] = frame["x"] + 1e9
    model = train_table(frame, "y", **LEARNT)
    assert model.report.figures["r2"] > 0.9
    assert len(set(model.predict(frame))) > 270


@pytest.mark.parametrize("cell", [[1, 2], {"a": 1}, b"ab"])
def test_cells_that_are_neither_number_nor_text_are_refused(cell):
    frame = mixed().drop(columns="dear").assign(z=[cell] * 200)
    with pytest.raises(DataError, match=r"column 'z' holds .* neither number nor text"):
        train_table(frame, "price", **QUICK)
    assert "z" in train_table(frame, "price", drop=["z"], **QUICK).features.dropped
