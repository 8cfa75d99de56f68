"""Tables with what dirty files hold: each is refused in one line, or warned of; nothing is lost."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from nnfs_xp import tables
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.tables import TableClassifier, TableRegressor, TableWarning, read_table

QUICK = {"hidden": (8,), "epochs": 3, "folds": 1, "backend": "numpy"}


def _refused(call, kind=DataError):
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *("9 007 199 254 740 993", "9007199254740993 EUR", "(9007199254740993)"),
        *("9.007.199.254.740.993", "9.007.199.254.740.993,5", "9" * 400),
    ],
)
def test_whole_numbers_beyond_double_precision_stay_text_however_written(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_text(f"id;x\n{text};1\n{text};2\n")
    assert read_table(path)["id"].tolist() == [text, text]
    assert "more digits" in _refused(lambda: read_table(path, numeric=["id"]))


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0"])
def test_a_file_with_a_byte_order_mark_only_is_empty(tmp_path, mark):
    (tmp_path / "a.csv").write_bytes(mark)
    assert "is empty" in _refused(lambda: read_table(tmp_path / "a.csv"))


@pytest.mark.parametrize("start", ["<head>\n", "<!-- a -->\n", "<body>", '<?xml version="1.0"?>\n'])
def test_pages_named_csv_are_refused(tmp_path, start):
    (tmp_path / "a.csv").write_text(f"{start}<x>\n<y>\n")
    assert ("HTML" in (said := _refused(lambda: read_table(tmp_path / "a.csv")))) or "XML" in said


def test_half_a_letter_in_a_name_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('[{"\\ud800": 1, "b": 2}]')
    assert "column 1" in _refused(lambda: read_table(tmp_path / "a.json"))


def test_a_number_of_400_digits_in_json_is_text(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"a": int("9" * 400)}, {"a": 1}]))
    assert read_table(tmp_path / "a.json")["a"].tolist() == ["9" * 400, "1"]


def test_a_device_is_named_once():
    assert _refused(lambda: read_table("/dev/null")).count("cannot read") == 1


def test_an_index_of_several_levels_and_of_lines():
    x = np.random.default_rng(0).normal(size=40)
    frame = pd.DataFrame({"x": x, "y": x})
    frame.index = pd.MultiIndex.from_arrays([range(40), range(40)])
    assert read_table(frame).index[1] == (1, 1)
    assert len(tables.train_table(frame, "y", progress=False, **QUICK).predict(frame)) == 40
    frame.index = pd.Index([f"a\n{i}" for i in range(40)])
    frame.iloc[3, 0] = np.inf
    assert r"row a\n3, column 'x'" in _refused(lambda: read_table(frame))


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.3])
@pytest.mark.parametrize("sign", [-99.0, -999.0, -9999.0, 999999.0])
@pytest.mark.parametrize("name", ["x", "y"])
def test_nines_for_missing_values_are_told(share, sign, name):
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    frame = pd.DataFrame({"x": x, "y": 3 * x})
    frame.loc[rng.permutation(500)[: int(500 * share)], name] = sign
    with pytest.warns(TableWarning, match=f"--missing {sign:.15g}"):
        tables.train_table(frame, "y", progress=False, **QUICK | {"epochs": 1})


def test_ages_of_99_and_other_ordinary_columns_are_not():
    rng = np.random.default_rng(0)
    ages = rng.integers(0, 100, 500).astype(float)
    frame = pd.DataFrame({"age": ages, "gain": np.where(ages > 90, 99.0, 0.0), "y": ages / 7})
    model = tables.train_table(frame, "y", progress=False, **QUICK)  # a warning is an error
    assert model.features.names == ["age", "gain"]


@pytest.mark.parametrize("date", ["9999-12-31", "1900-01-01"])
def test_dates_far_out_are_told(date):
    x = np.random.default_rng(0).normal(size=100)
    days = pd.date_range("2020-01-01", periods=100).to_numpy("datetime64[us]").copy()
    days[5:8] = np.datetime64(date, "us")
    frame = pd.DataFrame({"x": x, "day": days, "y": x})
    with pytest.warns(TableWarning, match=f"3 cells lie far .*row 5: {date}"):
        tables.train_table(frame, "y", progress=False, **QUICK)


@pytest.mark.parametrize("damage", ["gaps", "twice"])
def test_row_numbers_with_few_faults_are_left_out(damage):
    x = np.random.default_rng(0).normal(size=500)
    numbers = np.arange(500.0)
    if damage == "gaps":
        numbers[::50] = np.nan
    else:
        numbers[7] = numbers[6]
    frame = pd.DataFrame({"k": numbers, "x": x, "y": np.sort(x)})
    with pytest.warns(TableWarning, match="'k' is left out: it counts the rows"):
        tables.train_table(frame, "y", progress=False, **QUICK)


def test_estimators_refuse_by_errors_of_their_own():
    x = np.random.default_rng(0).normal(size=(30, 1))
    labels = np.array([1, "a"] * 15, object)
    _refused(lambda: TableClassifier(**QUICK).fit(x, labels))
    _refused(lambda: TableClassifier(**QUICK).fit(x, x[:, 0]))
    _refused(lambda: TableRegressor(**QUICK).fit(x, np.hstack([x, x])))
    _refused(lambda: TableRegressor(**QUICK).fit(x, x[:, 0] + 1j))
    assert "row 1" in _refused(lambda: TableRegressor(**QUICK).fit(x, np.arange(30) + 2**53))
    _refused(
        lambda: TableClassifier(**QUICK, random_state="a").fit(x, ["a", "b"] * 15), ArgumentError
    )


def test_the_rest_is_predicted_beside_sentinels():
    """y = 3x with 5 % of -9999 in x, by the defaults."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    said = x.copy()
    said[rng.permutation(500)[:25]] = -9999
    frame = pd.DataFrame({"x": said, "y": 3 * x})
    with pytest.warns(TableWarning, match="-9999"):
        model = tables.train_table(frame, "y", progress=False, backend="numpy")
    x = rng.normal(size=200)
    missed = model.predict(pd.DataFrame({"x": x})) - 3 * x
    assert 1 - np.var(missed) / np.var(3 * x) > 0.9
