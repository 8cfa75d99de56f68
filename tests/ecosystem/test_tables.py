"""Tables from Python: what is read, what is made of each column, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import f1_score, root_mean_squared_error

from nnfs_xp.errors import (
    ArgumentError,
    BackendError,
    CheckpointError,
    DataError,
    DivergenceError,
    DTypeError,
)
from nnfs_xp.tables import (
    TableWarning,
    load_table_model,
    read_table,
    save_table_model,
    train_table,
)

QUICK = {"hidden": (8,), "epochs": 3, "backend": "numpy", "progress": False}


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


def write(text, name="data.csv", encoding="utf-8"):
    Path(name).write_bytes(text.encode(encoding))
    return name


def column(cells, name="x"):
    """A file with that column, and one beside it so that no row is blank."""
    return write(f"{name},other\n" + "".join(f"{cell},o\n" for cell in cells))


# Reading --------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("cp1252", "Windows-1252"),
    ],
)
def test_encodings_are_found_and_said(encoding, said, caplog):
    text = "city,n\n" + "Zürich,1\nŒuvre,2\n" * 20
    path = write(text, encoding=encoding)
    with caplog.at_level(logging.INFO, "nnfs_xp"):
        frame = read_table(path)
    assert list(frame.columns) == ["city", "n"]
    assert set(frame["city"]) == {"Zürich", "Œuvre"}
    assert ([said in line for line in caplog.messages] == [True]) if said else not caplog.messages


def test_bytes_that_windows_1252_has_not_are_latin_1():
    Path("data.csv").write_bytes(b"city,n\nZ\xfcrich\x81,1\n")
    assert read_table("data.csv")["city"].tolist() == ["Zürich\x81"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends_are_found(separator, end):
    rows = [["a", "b", "c"], ["1", "x y", "2.5"], ["2", '"q,;\t|"', "3.5"]]
    path = write("".join(separator.join(row) + end for row in rows))
    frame = read_table(path)
    assert frame["c"].tolist() == [2.5, 3.5]
    assert frame["b"].tolist() == ["x y", "q,;\t|"]


def test_a_separator_can_be_forced():
    path = write("a:b;c\n1:2;3\n")
    assert list(read_table(path).columns) == ["a:b", "c"]
    assert list(read_table(path, separator=":").columns) == ["a", "b;c"]
    for wrong in ("", "ab", "x", '"', "\n"):
        with pytest.raises(ArgumentError, match="`separator` must be one character"):
            read_table(path, separator=wrong)


def test_decimal_commas_are_read_where_a_comma_separates_nothing():
    frame = read_table(write("a;b;c\n1,5;1.234,5;2,x\n-2;7;3,5\n,25;1.000.000;y\n"))
    assert frame["a"].tolist() == [1.5, -2.0, 0.25]
    assert frame["b"].tolist() == [1234.5, 7.0, 1e6]
    assert frame["c"].tolist() == ["2,x", "3,5", "y"]
    frame = read_table(write("a;b\n1.5;x\n2;y\n"))
    assert frame["a"].tolist() == [1.5, 2.0], "points are decimals where no comma is"


def test_gzip_is_told_by_content():
    with gzip.open("data.csv", "wt") as file:
        file.write("a,b\n1,2\n")
    assert read_table("data.csv").to_numpy().tolist() == [[1, 2]]


def test_parquet_is_told_by_content_and_read_as_it_is():
    frame = mixed()
    frame["day"] = pd.Timestamp("2024-02-29")
    frame.to_parquet("data.csv")
    read = read_table("data.csv")
    assert read.index[0] == 1
    assert read["garden"].dtype == np.bool_
    assert set(read["day"]) == {"2024-02-29"}
    np.testing.assert_array_equal(read["size"], frame["size"])


def test_what_is_named_as_categorical_or_numeric_is_that():
    path = write("zip,n\n00123,1\n00456,\n")
    frame = read_table(path, categorical=["zip"])
    assert frame["zip"].tolist() == ["00123", "00456"]
    assert isinstance(frame["zip"].dtype, pd.CategoricalDtype)
    with pytest.raises(DataError, match=r"data.csv has no column 'zap', which .* mean 'zip'\?"):
        read_table(path, categorical=["zap"])
    with pytest.raises(ArgumentError, match="'zip' is named as numeric and as categorical"):
        read_table(path, categorical=["zip"], numeric=["zip"])
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


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "data.csv is empty"),
        (b" \r\n\r\n", "data.csv is empty"),
        (b"a,b\n", "data.csv has a header and no rows below it"),
        (b"a,b\n\n\n", "data.csv has a header and no rows below it"),
        (b"1,2\n3,4\n", "the first row must name the columns; it holds numbers only: 1, 2"),
        (
            b"a,b\n1,2\n1,2,3\n",
            "row 3 has 3 fields; the header has 2 columns. Text that holds a ','",
        ),
        (b"a,b,c\n1,2,3\n1,2\n", "row 3 has 2 fields; the header has 3 columns. Is the row cut"),
        (b'a,b\n"x\ny",2\n1\n', r"row 3 \(line 4\) has 1 field; the header has 2 columns"),
        (b'a,b\n1,2\n"x,2\n3,4\n', "row 3: a quote is opened and not closed"),
        (b'a,b\n"x"y,2\n', "row 2: text goes on after a closing quote"),
        (b"a,b,a\n1,2,3\n", "columns 1, 3 are all called 'a'"),
        (b"a,b\n1,\x00\x00\n", "holds NUL bytes"),
        (b"PK\x03\x04....", "is no CSV file but a zip archive, as Excel writes them"),
        (b"\xff\xfea\x00,\x00b", "is damaged: it begins as utf-16"),
        (b"\x1f\x8b\x08\x00rest", "is a damaged gzip file"),
        (gzip.compress(b"a,b\n1,2\n" * 9, mtime=0)[:-9], "is a damaged gzip file"),
        (b"PAR1 and then nothing", "is no Parquet file, or damaged"),
    ],
)
def test_a_file_that_is_no_table_is_refused(content, complaint):
    Path("data.csv").write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        read_table("data.csv")


def test_a_field_that_never_ends_is_a_quote_left_open():
    path = write('a,b\n1,"x\n' + "3,4\n" * 5_000_000)
    with pytest.raises(DataError, match="row 2: a quote is opened and not closed"):
        read_table(path)


def test_what_is_no_readable_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*: Is a directory"):
        read_table(tmp_path)
    with pytest.raises(DataError, match=r"cannot read nowhere.csv: No such file"):
        read_table("nowhere.csv")
    with pytest.raises(DataError, match=r"x.parquet is no Parquet file, or damaged"):
        read_table(write("a,b\n1,2\n", "x.parquet"))
    mixed().to_parquet("cut.parquet")
    with open("cut.parquet", "r+b") as file:
        file.truncate(2000)
    with pytest.raises(DataError, match=r"cut.parquet is no Parquet file, or damaged"):
        read_table("cut.parquet")


def test_a_column_without_a_name_is_called_by_its_place():
    assert list(read_table(write(",b\n1,2\n")).columns) == ["column 1", "b"]


def test_many_rows_are_read_whole():
    n = 120_000
    path = write("a,b\n" + "".join(f"{i},{i % 7}\n" for i in range(n)))
    frame = read_table(path)
    assert (frame["a"] == np.arange(n)).all()
    assert (frame["b"] == np.arange(n) % 7).all()


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
    model = train_table(frame, "z", task="classification", drop=["y"], **{**QUICK, "epochs": 100})
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
    settings = model.settings
    assert settings["trained_on"] + settings["validated_on"] + model.report.rows == 198


def test_a_class_with_one_row_is_trained_on():
    frame = pd.DataFrame({"x": np.arange(60) % 7, "y": [*"ab"] * 29 + ["c", "d"]})
    with pytest.warns(TableWarning, match=r"2 of 4 classes of 'y' have a single row.*: c, d"):
        model = train_table(frame, "y", **QUICK)
    assert model.classes == ("a", "b", "c", "d")
    assert model.report.figures["roc_auc"] is not None
    assert set(model.report.y_true) <= {0, 1}
    assert model.estimator.classes_.tolist() == ["a", "b", "c", "d"]


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
    with (
        pytest.raises(DataError, match="no column to predict 'y' from: 'nr' it counts the rows"),
    ):
        train_table(frame, "y", **QUICK)
    with pytest.raises(ArgumentError, match="`drop` must not name the target"):
        train_table(frame, "y", drop=["y"], **QUICK)
    with pytest.raises(DataError, match="no column 'q', which is to be dropped"):
        train_table(frame, "y", drop=["q"], **QUICK)


def test_what_is_done_with_each_kind_of_column():
    frame = pd.DataFrame(
        {
            "a": [1.0, 2.0, 3.0, np.nan] * 15,
            "b": np.linspace(0, 1, 60) ** 2,
            "c": ["x", "y", None, "y"] * 15,
            "y": np.arange(60) * 1.5,
        }
    )
    model = train_table(frame, "y", **QUICK)
    columns = model.pipeline[0]
    made = columns.transform(model.features.read(_source(frame)))
    assert made.dtype == np.float32
    numbers, gaps, categories = made[:, :2], made[:, 2], made[:, 3:]
    median = numbers[1, 0]
    assert numbers[3, 0] == median, "the median of 1, 2 and 3 in place of the gap"
    assert np.abs(numbers.mean(axis=0)).max() < 0.3
    assert 0.7 < numbers.std(axis=0).min() < numbers.std(axis=0).max() < 1.3
    assert gaps.tolist() == [0, 0, 0, 1] * 15
    np.testing.assert_array_equal(categories[:4], [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1]])
    scaler = model.pipeline[1].transformer_
    assert scaler.scale_ == pytest.approx(frame["y"].std(), rel=0.2)


def _source(frame):
    from nnfs_xp.tables.source import open_source

    return open_source(frame)


def test_thousands_of_categories_get_a_hundred_inputs_at_most():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"c": rng.integers(0, 3000, 9000).astype(str), "y": rng.random(9000)})
    model = train_table(frame, "y", categorical=["c"], **QUICK)
    assert model.settings["inputs"] == 100


def test_a_cell_far_from_all_others_does_not_rule_the_prediction():
    frame = mixed()
    model = train_table(frame, "price", drop=["dear"], **{**QUICK, "epochs": 30})
    far = frame.head(2).assign(size=[1e6, 1e25])
    near, further = model.predict(far.assign(town="Oslo", garden=True))
    assert near == further
    assert abs(near) < 1e5


# Training, and what it is worth ------------------------------------------------------------------


def test_a_regression_of_mixed_columns_is_learnt():
    model = train_table(mixed(600), "price", drop=["dear"], backend="numpy", progress=False)
    assert model.report.figures["r2"] > 0.85
    assert model.report.rows == 120
    assert model.history.epochs == model.settings["epochs_done"]
    best = model.settings["best_epoch"]
    assert model.history["val_loss"][best - 1] == min(model.history["val_loss"])


def test_a_classification_of_mixed_columns_is_learnt():
    frame = mixed(600).drop(columns="price")
    model = train_table(frame, "dear", backend="numpy", progress=False)
    assert model.report.figures["accuracy"] > 0.88
    assert model.report.figures["roc_auc"] > 0.93
    assert model.settings["epochs_done"] < 200, "it stopped early"
    probabilities = model.predict_proba(frame)
    assert probabilities.shape == (600, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert (np.array(["no", "yes"])[probabilities.argmax(axis=1)] == model.predict(frame)).all()


def test_the_weights_are_those_of_the_best_epoch():
    model = train_table(mixed(600), "price", drop=["dear"], **{**QUICK, "epochs": 60}, patience=2)
    best = model.settings["best_epoch"]
    again = train_table(mixed(600), "price", drop=["dear"], **{**QUICK, "epochs": best})
    assert (model.predict(mixed(50)) == again.predict(mixed(50))).all()


def test_the_seed_decides_everything():
    first, same, other = (
        train_table(mixed(), "price", drop=["dear"], seed=seed, **QUICK) for seed in (3, 3, 4)
    )
    assert first.report.figures == same.report.figures != other.report.figures
    assert first.settings["seed"] == 3


def test_settings_are_followed_and_checked():
    model = train_table(
        mixed(), "price", drop=["dear"], hidden=(5, 4), epochs=2, batch_size=50, learning_rate=0.01,
        dropout=0.25, test_share=0.5, backend="numpy", progress=False,
    )  # fmt: skip
    parameters = model.estimator.get_params()
    assert parameters["hidden_layer_sizes"] == (5, 4)
    assert (parameters["batch_size"], parameters["dropout"]) == (50, 0.25)
    assert parameters["learning_rate_init"] == 0.01
    assert (model.report.rows, model.history.epochs) == (100, 2)
    for name, wrong in (
        ("hidden", (0,)),
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", -1),
        ("dropout", 1),
        ("patience", 0),
        ("test_share", 0.6),
        ("seed", -1),
    ):
        with pytest.raises(ArgumentError, match=f"`{name}`"):
            train_table(mixed(), "price", **{**QUICK, name: wrong})
    with pytest.raises(BackendError, match="unknown backend 'moons'"):
        train_table("nowhere.csv", "price", **{**QUICK, "backend": "moons"})
    with pytest.raises(DTypeError, match="must be a path or a pandas DataFrame; got list"):
        train_table([1, 2], "price", **QUICK)


def test_a_training_that_diverges_says_so():
    with pytest.raises(DivergenceError, match="Lower the learning rate"):
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
    frame.to_parquet("data.parquet")
    expected = model.predict_proba(frame)
    for name in ("data.csv", "data.tsv", "data.parquet"):
        np.testing.assert_array_equal(model.predict_proba(name), expected)
    text = frame.astype(object).where(frame.notna(), None).astype({"size": str})
    np.testing.assert_array_equal(model.predict_proba(text), expected)


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
    frame = pd.DataFrame({"code": rng.integers(1, 4, 90), "flag": rng.random(90) < 0.5})
    frame["y"] = frame["code"] * 1.25 + frame["flag"]
    model = train_table(frame, "y", categorical=["code"], **QUICK)
    text = frame.assign(
        code=frame["code"].astype(str), flag=frame["flag"].map({True: "TRUE", False: "false"})
    )
    floats = frame.assign(code=frame["code"].astype(float))
    for other in (text, floats):
        assert (model.predict(other) == model.predict(frame)).all()


# Files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["price", "dear", "garden"])
def test_what_is_saved_predicts_as_before(target):
    model = train_table(mixed(), target, **QUICK)
    save_table_model(model, "kept", note="mine")
    loaded = load_table_model("kept")
    assert (loaded.predict(mixed(50)) == model.predict(mixed(50))).all()
    assert (loaded.task, loaded.classes) == (model.task, model.classes)
    assert str(loaded.report) == str(model.report)
    assert loaded.history == model.history
    record = json.loads(Path("kept/run.json").read_text("utf-8"))
    assert record["note"] == "mine"
    assert record["target"]["name"] == target
    assert record["features"][0] == {"name": "size", "kind": "number"}
    assert record["versions"].keys() == {"nnfs_xp", "scikit-learn", "skops", "numpy", "pandas"}
    assert (
        load_table_model("kept", "array_api_strict").predict(mixed(50)) == model.predict(mixed(50))
    ).mean() > 0.9


def test_a_file_needs_three_types_of_ours_and_one_of_numpys():
    save_table_model(train_table(mixed(), "price", **QUICK), "kept")
    assert skops.io.get_untrusted_types(file="kept/model.skops") == [
        "nnfs_xp.sklearn.regressor.MLPRegressor",
        "nnfs_xp.tables.pipeline.Clip",
        "numpy.dtype",
    ]
    with zipfile.ZipFile("kept/model.skops") as archive:
        assert {name.rpartition(".")[2] for name in archive.namelist()} == {"json", "npy"}


class Foreign:
    """What no file may bring."""


def _forge(pipeline):
    """Put another object into the folder, with a checksum that fits."""
    content = pipeline if isinstance(pipeline, bytes) else skops.io.dumps(pipeline)
    Path("kept/model.skops").write_bytes(content)
    record = json.loads(Path("kept/run.json").read_text())
    record["sha256"] = hashlib.sha256(content).hexdigest()
    Path("kept/run.json").write_text(json.dumps(record))


def test_foreign_changed_and_damaged_files_are_refused(model):
    save_table_model(model, "kept")
    content = Path("kept/model.skops").read_bytes()
    Path("kept/model.skops").write_bytes(content[:500] + b"?" + content[501:])
    with pytest.raises(CheckpointError, match="is damaged or changed: its checksum"):
        load_table_model("kept")
    foreign = Foreign()
    foreign.x = 1
    _forge(foreign)
    with pytest.raises(CheckpointError, match=r"holds what no model of a table does.*Foreign"):
        load_table_model("kept")
    _forge(b"no zip")
    with pytest.raises(CheckpointError, match="is no model of a table, or damaged"):
        load_table_model("kept")
    other = train_table(mixed().drop(columns="town"), "dear", drop=["price"], **QUICK)
    for wrong in ({"a": 1}, model.pipeline[:1], other.pipeline):
        _forge(wrong)
        with pytest.raises(CheckpointError, match=r"holds another model than run.json"):
            load_table_model("kept")
    _forge(model.pipeline)
    assert (load_table_model("kept").predict(mixed()) == model.predict(mixed())).all()


def test_every_byte_of_the_model_file_counts(model):
    save_table_model(model, "kept")
    content = Path("kept/model.skops").read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 30):
        _forge(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        with suppress(CheckpointError):  # any other error fails the test
            load_table_model("kept")


@pytest.mark.parametrize(
    "change",
    [
        {"table": 2},
        {"table": True},
        {"table": "1"},
        {"target": None},
        {"classes": 5, "target": {"name": "dear"}},
        {"features": [{"name": "size", "kind": "words"}]},
        {"features": [{"name": 5, "kind": "number"}]},
        {"features": []},
        {"constant": "x"},
        {"constant": 5},
        {"constant": float("inf")},
        {"settings": {}},
        {"settings": []},
        {"separator": 5},
        {"decimal_commas": 5},
        {"report": {"rows": 1}},
        {"history": 7},
        {"sha256": "0"},
        {"sha256": None},
    ],
)
def test_a_record_that_was_changed_is_refused(model, change):
    save_table_model(model, "kept")
    record = json.loads(Path("kept/run.json").read_text())
    Path("kept/run.json").write_text(json.dumps({**record, **change}))
    with pytest.raises(CheckpointError, match=r"run.json|checksum|another model"):
        load_table_model("kept")


def test_a_folder_that_holds_no_model_is_refused(model):
    with pytest.raises(CheckpointError, match=r"run.json is missing or damaged"):
        load_table_model("nowhere")
    save_table_model(model, "kept")
    for text in ("", "[]", '{"dataset": "digits"}', "[" * 100_000):
        write(text, "kept/run.json")
        with pytest.raises(CheckpointError, match=r"run.json is"):
            load_table_model("kept")
    write("", "a-file")
    with pytest.raises(CheckpointError, match="cannot write the model to a-file"):
        save_table_model(model, "a-file")


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(model):
    save_table_model(model, "kept")
    for name in ("model.skops", "run.json"):
        Path("kept", name).rename("aside")
        os.mkfifo(f"kept/{name}")
        with pytest.raises(CheckpointError, match=f"{name}.* no regular file"):
            load_table_model("kept")
        Path("aside").replace(f"kept/{name}")
    os.mkfifo("pipe.csv")
    with pytest.raises(DataError, match=r"cannot read pipe.csv: it is a pipe or a device"):
        read_table("pipe.csv")


def test_a_model_that_cannot_predict_is_refused_with_both_versions(model):
    save_table_model(model, "kept")
    broken = skops.io.loads(
        Path("kept/model.skops").read_bytes(),
        trusted=skops.io.get_untrusted_types(file="kept/model.skops"),
    )
    del broken[0].named_transformers_["numbers"][1].scale_
    _forge(broken)
    with pytest.raises(CheckpointError, match=r"does not predict: .*nnfs_xp .* then, .* now"):
        load_table_model("kept")
    record = json.loads(Path("kept/run.json").read_text())
    for feature in record["features"]:
        feature["kind"] = "number"
    _forge(model.pipeline)
    record["sha256"] = json.loads(Path("kept/run.json").read_text())["sha256"]
    Path("kept/run.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="its columns are of other kinds"):
        load_table_model("kept")


# Numbers that can be read in two ways, or not at all ----------------------------------------------


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["0,5", "1,234"], [0.5, 1.234]),
        (["1,25", "2.523,00"], [1.25, 2523.0]),
        (["1.234,5", "2.523"], [1234.5, 2523.0]),
        (["0,125", "7"], [0.125, 7.0]),
        (["1.5", "2.523"], [1.5, 2.523]),
        (["1.000.000", "2.523"], [1e6, 2523.0]),
    ],
)
def test_what_a_comma_means_follows_from_the_column(cells, expected):
    assert read_table(write("x\to\n" + "".join(f"{c}\t1\n" for c in cells)))["x"].tolist() == (
        expected
    )


@pytest.mark.parametrize(
    ("cells", "row", "cell"),
    [
        (["7", "39,445"], 3, "39,445"),
        (["1,234,567", "2"], 2, "1,234,567"),
        (["1.5", "39,445"], 3, "39,445"),
        (["0,5", "2.523"], 3, "2.523"),
    ],
)
def test_a_comma_or_point_that_may_mean_two_things_is_refused(cells, row, cell):
    path = write("x\to\n" + "".join(f"{c}\t1\n" for c in cells))
    with pytest.raises(DataError, match=f"row {row}, column 'x': '{cell}' can be read in two ways"):
        read_table(path)


def test_a_model_keeps_what_a_comma_means():
    rows = "".join(f"{i}.523,00;{i % 7},5\n" for i in range(1, 60))
    model = train_table(write("size;y\n" + rows), "y", **QUICK)
    save_table_model(model, "kept")
    loaded = load_table_model("kept")
    german, plain = write("size\to\n2.523\t1\n", "german.csv"), pd.DataFrame({"size": [2523.0]})
    assert loaded.predict(german) == loaded.predict(plain)


@pytest.mark.parametrize("kind", ["csv", "int64", "uint64"])
def test_whole_numbers_too_long_for_double_precision_stay_apart(kind):
    numbers = [2**60 + i % 3 for i in range(60)]
    frame = pd.DataFrame({"x": [i % 3 for i in range(60)], "y": numbers})
    frame = write(frame.to_csv(index=False)) if kind == "csv" else frame.astype({"y": kind})
    assert train_table(frame, "y", **QUICK).classes == tuple(str(2**60 + i) for i in range(3))
    with pytest.raises(DataError, match=r"column 'y'.*double precision"):
        train_table(frame, "y", task="regression", **QUICK)


@pytest.mark.parametrize("cell", ["{}%", "${}.2", "€ {}", "{},000"])
def test_numbers_with_signs_are_said_and_no_target(cell):
    frame = pd.DataFrame({"x": [cell.format(i % 5 + 1) for i in range(60)]})
    frame["y"] = [i % 5 * 1.5 for i in range(60)]
    with pytest.warns(TableWarning, match=r"column 'x' is taken as categories: its numbers have"):
        train_table(frame, "y", **QUICK)
    with pytest.raises(DataError, match=r"the numbers in column 'x' have signs"):
        train_table(frame, "x", **QUICK)
    assert train_table(frame, "x", task="classification", **QUICK).task == "classification"


def test_rows_of_separators_and_of_an_empty_quote_are_rows():
    assert len(read_table(write("a,b\n1,2\n,\n\n3,4\n"))) == 3
    assert len(read_table(write('a\n1\n""\n\n3\n'))) == 3


def test_a_large_offset_costs_a_regression_nothing():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300)})
    frame["y"] = frame["x"] + 1e9
    model = train_table(frame, "y", **{**QUICK, "epochs": 60})
    assert model.report.figures["r2"] > 0.9
    assert len(set(model.predict(frame))) > 290


@pytest.mark.parametrize("scale", [1e-300, 1e-40])
def test_a_target_too_near_to_nothing_is_refused(scale):
    frame = pd.DataFrame({"x": np.arange(60) % 7, "y": np.arange(60) * 1.5 * scale})
    with pytest.raises(DataError, match="differ by less than 1e-30"):
        train_table(frame, "y", **QUICK)


@pytest.mark.parametrize("cell", [[1, 2], {"a": 1}, b"ab"])
def test_cells_that_are_neither_number_nor_text_are_refused(cell):
    frame = mixed().drop(columns="dear").assign(z=[cell] * 200)
    with pytest.raises(DataError, match=r"column 'z' holds .* neither number nor text"):
        train_table(frame, "price", **QUICK)
    assert "z" in train_table(frame, "price", drop=["z"], **QUICK).features.dropped


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"seed": 2**32}, "`seed` must be at most 4294967295"),
        ({"hidden": 5}, "`hidden` must be a list of widths; got 5"),
        ({"drop": "town"}, "`drop` must be a list of columns; got the text 'town'"),
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


def test_a_path_with_a_nul_is_refused():
    with pytest.raises(DataError, match=r"cannot read a.x00b"):
        read_table("a\0b")
