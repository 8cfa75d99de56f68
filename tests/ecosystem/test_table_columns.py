"""What a column of a table means: its kind, its values, and what is refused or warned of."""

from __future__ import annotations

import contextlib
import datetime
import logging
import warnings
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from nnfs_xp.data.table_columns import Reading, far_out, read_column
from nnfs_xp.data.table_files import RawTable
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.tables.features import Feature, choose_features
from nnfs_xp.tables.settings import Wishes
from nnfs_xp.tables.target import Target, choose_target
from nnfs_xp.tables.warning import TableWarning

NAN = float("nan")


def text_table(separator=";", **columns):
    """A table as a file of text gives it; its first row below the header is row 2."""
    cells = {name: pa.array(texts, pa.string()) for name, texts in columns.items()}
    table = pa.table(cells)
    return RawTable("data.csv", table, range(2, table.num_rows + 2), True, separator)


def typed_table(**columns):
    table = pa.table(columns)
    return RawTable("the table", table, range(1, table.num_rows + 1), False, "")


def read(cells, kind=None, reading=None, separator=";"):
    return read_column(text_table(separator, x=cells), "x", kind, reading or Reading())


def same(values, expected):
    return np.array_equal(values, np.array(expected, values.dtype), equal_nan=True)


def days(*texts):
    return np.array(texts, "datetime64[us]")


# Numbers in text ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "expected", "comma", "unit"),
    [
        (["1.5", "-2e1", " 7 "], [1.5, -20, 7], False, ""),
        (["0,5", "1.234,5", "1.000.000"], [0.5, 1234.5, 1e6], True, ""),
        (["1\u202f234,5", "999,5"], [1234.5, 999.5], True, ""),
        (["1\u00a0234\u00a0567", "2"], [1234567, 2], False, ""),
        (["1\u2009234.5", "2"], [1234.5, 2], False, ""),
        (["1\u2019234.5", "12\u2019345"], [1234.5, 12345], False, ""),
        (["1'234", "12 345"], [1234, 12345], False, ""),
        (["\u22125", "\u20133,5"], [-5, -3.5], True, ""),
        (["(123)", "(1 234.5)", "4"], [-123, -1234.5, 4], False, ""),
        (["12 EUR", "5,5 EUR", "", "7"], [12, 5.5, NAN, 7], True, "EUR"),
        (["€ 12", "€12", "-€3", "€-4"], [12, 12, -3, -4], False, "€"),
        (["45 %", "3%", "0.5\u00a0%"], [45, 3, 0.5], False, "%"),
        (["$5", "$1 234"], [5, 1234], False, "$"),
        (["3.5kg", "4 kg"], [3.5, 4], False, "kg"),
        (["90 km/h", "120km/h"], [90, 120], False, "km/h"),
        (["21 °C", "-3°C"], [21, -3], False, "°C"),
        (["(12 %)", "4 %"], [-12, 4], False, "%"),
        (["1e5", "2E-3kg", "3kg"], [1e5, 2e-3, 3], False, "kg"),
        (["01067", "10115"], [1067, 10115], False, ""),
        (["20240131", "20240201"], [20240131, 20240201], False, ""),
        (["1", "NA", "n/a", "NaN", "null", "?", "None", "-", " "], [1] + [NAN] * 8, False, ""),
    ],
)
def test_numbers_are_read_as_the_world_writes_them(cells, expected, comma, unit):
    column = read(cells)
    assert (column.kind, column.comma, column.unit) == ("number", comma, unit)
    assert same(column.values, expected)


@pytest.mark.parametrize(
    ("cells", "example"),
    [
        (["12 EUR", "5 USD"], "12 EUR"),
        (["2 kg", "3 lb", "4 kg"], "2 kg"),
        (["1,234", "5,000"], "1,234"),
        (["$ 5 k", "€ 3 k", "4"], ""),
        (["5a", "6b", "12a"], ""),
        (["1st", "2nd", "3rd"], ""),
        (["Q1", "Q2"], ""),
        (["030 123 456", "1234 567"], ""),
        (["1 23", "2 34"], ""),
    ],
)
def test_what_is_no_number_after_all_is_a_category(cells, example):
    column = read(cells, separator=",")
    assert (column.kind, column.example) == ("category", example)
    assert column.values.tolist() == cells


@pytest.mark.parametrize(
    ("cells", "kind", "complaint"),
    [
        (["1"] * 15 + ["abc", "2"], None, "row 17, column 'x': 'abc' is no number, as 94 % of"),
        (["1"] * 8 + ["?!", "!"], None, r"row 10, column 'x': '\?!' is no number.* There are 2"),
        (["1"] * 9 + ["1_000"], None, "row 11, column 'x': '1_000' is no number"),
        (["5"] * 9 + ["5 %"], None, "row 11, column 'x': '5 %' is no number, as 90 %"),
        (["5 kg"] * 9 + ["much"], None, "row 11, column 'x': 'much' is no number, as 90 %"),
        (["5 kg", "5 lb"], "number", "row 2, column 'x': '5 kg' is no number. There are 2 such"),
        (["1", "inf"], None, "row 3, column 'x': inf is no finite number. Leave the cell empty"),
        (["1", "-Infinity"], None, "row 3, column 'x': -inf is no finite number"),
        (["1", "2e35"], None, r"row 3, column 'x': 2e\+35 is too large; numbers go up to 1e\+30"),
        (["7", "39,445"], None, "row 3, column 'x': '39,445' can be read in two ways"),
        (["1,234,567", "2"], None, "row 2, column 'x': '1,234,567' can be read in two ways"),
        (["1.5", "39,445"], None, "row 3, column 'x': '39,445' can be read in two ways"),
        (["0,5", "2.523"], None, "row 3, column 'x': '2.523' can be read in two ways"),
        (["1", str(2**53 + 1)], "number", "row 3, column 'x': '9007199254740993' has more digits"),
        (["1"] * 9 + ["2024-01-31"], None, "row 11, column 'x': '2024-01-31' is no number"),
    ],
)
def test_a_number_that_is_none_is_named(cells, kind, complaint):
    with pytest.raises(DataError, match=f"data.csv: {complaint}"):
        read(cells, kind)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1,25", "2.523,00"], [1.25, 2523]),
        (["1.234,5", "2.523"], [1234.5, 2523]),
        (["0,125", "7"], [0.125, 7]),
        (["1.000.000", "2.523"], [1e6, 2523]),
        (["1.5", "2.523"], [1.5, 2.523]),
        (["1 234,567"], [1234.567]),
    ],
)
def test_what_a_comma_means_follows_from_the_column(cells, expected):
    assert same(read(cells).values, expected)


def test_a_reading_tells_what_a_column_leaves_open():
    assert same(read(["2,523"], "number", Reading(commas=frozenset("x"))).values, [2.523])
    with pytest.raises(DataError, match="can be read in two ways"):
        read(["2,523"], "number")


def test_less_than_four_fifths_of_numbers_are_categories(caplog):
    with caplog.at_level(logging.INFO, "nnfs_xp"):
        column = read(["1", "2", "3", "x", "NA", ""])
    assert column.values.tolist() == ["1", "2", "3", "x", None, None]
    assert "column 'x' holds numbers in 75 % of its rows" in caplog.text


@pytest.mark.parametrize("missing", ["-9999", "-9999.0", " -9.999e3 "])
def test_more_can_stand_for_missing_as_text_or_number(missing):
    reading = Reading(missing=frozenset({missing, "Unknown", "??", "?"}))
    assert same(
        read(["-9999", "5", "-9999.0", "UNKNOWN", "??"], None, reading).values, [NAN, 5] + [NAN] * 3
    )
    assert same(read(["0,5", "-9999,0"], None, reading).values, [0.5, NAN])
    cells = ["a", "-9999", "unknown", "none", "-"]
    assert read(cells, None, reading).values.tolist() == ["a", None, None, "none", "-"]
    for cells in (pa.array([5, -9999, None]), pa.array([5.0, -9999.0, None])):
        column = read_column(typed_table(x=cells), "x", None, reading)
        assert same(column.values, [5, NAN, NAN])


def test_what_stands_for_missing_may_be_a_date_or_too_long_a_number():
    reading = Reading(missing=frozenset({"9999-12-31", str(-(2**63))}))
    dates = pa.array([datetime.date(2024, 1, 31), datetime.date(9999, 12, 31)])
    table = typed_table(day=dates, n=pa.array([5, -(2**63)]))
    assert same(read_column(table, "day", None, reading).values, days("2024-01-31", "NaT"))
    assert same(read_column(table, "n", None, reading).values, [5, NAN])
    assert same(read(["2024-01-31", "9999-12-31"], None, reading).values, days("2024-01-31", "NaT"))


# Dates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "expected", "day_first"),
    [
        (["2024-01-31", "", "nat"], ["2024-01-31", "NaT", "NaT"], False),
        (["2024-01-31 10:30", "2024-02-01"], ["2024-01-31T10:30", "2024-02-01"], False),
        (["2024-01-31T10:30:01.5"], ["2024-01-31T10:30:01.5"], False),
        (["2024-01-31T10:30:00Z", "2024-01-31T10:30:00+02:00"],
         ["2024-01-31T10:30", "2024-01-31T08:30"], False),
        (["2024/01/31", "2024/02/01"], ["2024-01-31", "2024-02-01"], False),
        (["2024/01/02"], ["2024-01-02"], False),
        (["2024-1-5", "2024-01-06"], ["2024-01-05", "2024-01-06"], False),
        (["31.01.2024", "1.2.2024"], ["2024-01-31", "2024-02-01"], True),
        (["01.02.2024"], ["2024-02-01"], True),
        (["31/01/2024 08:15", "01/02/2024 09:00"], ["2024-01-31T08:15", "2024-02-01T09"], True),
        (["01/31/2024", "02/03/2024"], ["2024-01-31", "2024-02-03"], False),
        (["31-01-2024", "01-02-2024"], ["2024-01-31", "2024-02-01"], True),
        (["Jan 31, 2024", "May 1, 2024"], ["2024-01-31", "2024-05-01"], False),
        (["31 Jan 2024", "1 May 2024"], ["2024-01-31", "2024-05-01"], False),
        (["31 January 2024"], ["2024-01-31"], False),
        (["9999-12-31", "0001-01-01"], ["9999-12-31", "0001-01-01"], False),
        (["05/05/2024", "06/06/2024"], ["2024-05-05", "2024-06-06"], True),
    ],
)  # fmt: skip
def test_dates_are_read_by_the_format_that_suits_the_column(cells, expected, day_first):
    column = read(cells)
    assert column.kind == "date"
    assert column.values.dtype == "datetime64[us]"
    assert same(column.values, days(*expected))
    assert (column.day_first, column.example) == (day_first, "")


def test_the_training_tells_whether_the_day_comes_first():
    cells = ["01/02/2024", "03/04/2024"]
    assert read(cells).example == "01/02/2024"
    assert same(read(cells).values, days("2024-02-01", "2024-04-03"))
    assert same(read(cells, "date").values, days("2024-01-02", "2024-03-04"))
    european = Reading(day_first=frozenset("x"))
    assert same(read(cells, "date", european).values, days("2024-02-01", "2024-04-03"))
    proven = read(["01/31/2024", "03/04/2024"], "date", european)
    assert same(proven.values, days("2024-01-31", "2024-03-04"))


@pytest.mark.parametrize(
    ("cells", "kind", "complaint"),
    [
        (["2024-01-31"] * 9 + ["soon"], None, "row 11, column 'x': 'soon' is no date .* as 90 %"),
        (["2024-01-31"] * 9 + ["2024-02-30"], None, "row 11, column 'x': '2024-02-30' is no date"),
        (["31.01.2024"] * 9 + ["2024-01-31"], None, "row 11, column 'x': '2024-01-31' is no date"),
        (["2024-01-31", "soon"], "date", "row 3, column 'x': 'soon' is no date"),
        (["5"], "date", "row 2, column 'x': '5' is no date"),
    ],
)
def test_a_date_that_is_none_is_named(cells, kind, complaint):
    with pytest.raises(DataError, match=complaint):
        read(cells, kind)


@pytest.mark.parametrize(
    "cells", [["2024-01-31", "soon"], ["1.2", "1.2.3"], ["12:30", "13:45"], ["2024-01", "x"]]
)
def test_what_is_hardly_dates_is_categories(cells):
    assert read(cells).values.tolist() == cells


# Categories and text -----------------------------------------------------------------------------


def test_what_a_category_is():
    cells = ["10115.0", "01067", "true", "FALSE", "none", "-", "NA", "-0.0", "1.50", "1e3"]
    expected = ["10115", "01067", "True", "False", "none", "-", None, "0", "1.50", "1e3"]
    assert read([*cells, "a"], "category").values.tolist() == [*expected, "a"]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([f"the {i}th of many reviews" for i in range(20)], "text"),
        ([f"person {i}" for i in range(20)], "category"),
        (["the same words each time", "and a few others there"] * 10, "category"),
        (["two such long texts", "are not many yet"], "category"),
    ],
)
def test_text_is_nearly_always_different_and_long(cells, kind):
    assert read(cells).kind == kind
    assert read(cells, "text").kind == "text"
    assert read(cells, "category").kind == "category"


# Typed columns -----------------------------------------------------------------------------------


class Code(pa.ExtensionType):
    """Text with a meaning of its own."""

    def __init__(self):
        super().__init__(pa.string(), "code")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls()


CODES = pa.ExtensionArray.from_storage(Code(), pa.array(["a"]))
INSTANT = datetime.datetime(2024, 1, 31, 12, 30)
WINTER = datetime.timezone(datetime.timedelta(hours=1))


@pytest.mark.parametrize(
    ("cells", "kind", "expected"),
    [
        (pa.array([1, None, 2**53]), None, [1, NAN, 2.0**53]),
        (pa.array([1, None], pa.uint8()), None, [1, NAN]),
        (pa.array([0.1, None], pa.float64()), None, [0.1, NAN]),
        (pa.array([np.float16(0.5)]), None, [0.5]),
        (pa.array([Decimal("7.00"), None, Decimal("0.10")]), None, [7, NAN, 0.1]),
        (pa.array([True, False, None]), "number", [1, 0, NAN]),
        (pa.array([datetime.time(0, 1, 30), None]), None, [90, NAN]),
        (pa.array([90], pa.time32("s")), None, [90]),
        (pa.array([datetime.timedelta(days=1), None]), None, [86400, NAN]),
        (pa.array(["1.5", None], pa.large_string()), None, [1.5, NAN]),
        (pa.array(["1.5", None]).dictionary_encode(), None, [1.5, NAN]),
        (pa.array([None, None]), "number", [NAN, NAN]),
        (pa.array([2**53 + 1, None, 5]), None, ["9007199254740993", None, "5"]),
        (pa.array([2**64 - 1], pa.uint64()), None, ["18446744073709551615"]),
        (pa.array([Decimal(10**20 + 1)]), None, ["100000000000000000001"]),
        (pa.array([True, False, None]), None, ["True", "False", None]),
        (pa.array([10115.0, None, 1.5]), "category", ["10115", None, "1.5"]),
        (pa.array([0.1], pa.float32()), "category", ["0.1"]),
        (pa.array([10115, None]), "category", ["10115", None]),
        (pa.array([datetime.date(2024, 1, 31)]), "category", ["2024-01-31"]),
        (pa.array([INSTANT, INSTANT.replace(hour=0, minute=0)]), "category",
         ["2024-01-31 12:30:00", "2024-01-31"]),
        (pa.array([None, None]), "category", [None, None]),
        (pa.array(["b", None]).dictionary_encode(), None, ["b", None]),
        (pa.array([datetime.date(2024, 1, 31), None]), None, days("2024-01-31", "NaT")),
        (pa.array([datetime.date(9999, 12, 31)]), None, days("9999-12-31")),
        (pa.array([10**8], pa.date32()), None, days(np.datetime64(10**8, "D"))),
        (pa.array([INSTANT.replace(tzinfo=WINTER)]), None, days("2024-01-31T11:30")),
        (pa.array([1, None], pa.timestamp("ns")), None, days("1970-01-01", "NaT")),
        (pa.array([None, None]), "date", days("NaT", "NaT")),
    ],
)  # fmt: skip
def test_a_type_tells_the_kind(cells, kind, expected):
    column = read_column(typed_table(x=cells), "x", kind)
    assert column.kind == kind or kind is None
    if column.values.dtype == object:
        assert column.values.tolist() == expected
    else:
        assert same(column.values, expected)


@pytest.mark.parametrize(
    ("cells", "kind", "complaint"),
    [
        (pa.array([1, 2**53 + 1]), "number", "row 2, column 'x': '9007199254740993' has more"),
        (pa.array([Decimal(10**20 + 1)]), "number", "row 1, column 'x': '100000000000000000001'"),
        (pa.array([0.5, np.inf]), None, "row 2, column 'x': inf is no finite number"),
        (pa.array([INSTANT]), "number", "row 1, column 'x': '2024-01-31 12:30:00' is no number"),
        (pa.array([None, b"a"]), None, r": column 'x' holds binary \(row 2 first\), which is neit"),
        (pa.array([[1]]), None, r": column 'x' holds list.* \(row 1 first\), .* number nor text"),
        (pa.array([b"abc"], pa.binary(3)), "text", r"holds fixed_size_binary\[3\] \(row 1 first"),
        (CODES, None, r"column 'x' holds extension.* \(row 1 first"),
        (pa.array([{"a": 1}]), "category", r": column 'x' holds struct.* number nor text"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), None, "holds map"),
        (pa.array([2**62], pa.timestamp("s")), None, ": column 'x': .*out of bounds"),
    ],
)
def test_what_no_kind_can_hold_is_refused(cells, kind, complaint):
    with pytest.raises(DataError, match=f"the table.*{complaint}"):
        read_column(typed_table(x=cells), "x", kind)


def test_no_text_whatever_breaks_the_reading():
    rng, kinds = np.random.default_rng(0), set()
    whole = [
        "2024-01-31 10:30",
        "31/01/2024",
        "Jan 31, 2024",
        "1.234,5",
        "(12 EUR)",
        "1e5",
        "so so",
    ]
    signs = [*"0159.,-+() /:'%e_", "\u202f", "\u2212", "€", "\u00b2", "\n", ""]
    for trial in range(70):
        cells = [list(whole[trial % 7]) for _ in range(6)]
        for cell in cells[: trial % 6]:
            cell[rng.integers(len(cell))] = rng.choice(signs)
        texts = ["".join(cell) for cell in cells]
        for kind in (None, "number", "category", "date", "text"):
            with contextlib.suppress(DataError):  # any other error fails the test
                kinds.add(read(texts, kind, Reading(missing=frozenset(texts[:1]))).kind)
    assert kinds == {"number", "category", "date", "text"}


# The columns that are used -----------------------------------------------------------------------


def choose(table, **options):
    """The features of a table with the target y, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = np.arange(table.n_rows)
        features, frame = choose_features(table, "y", rows, Wishes(**options))
    assert {each.category for each in caught} <= {TableWarning}
    return features, frame, features.reading, [str(each.message) for each in caught]


def test_every_kind_of_column_is_chosen_and_read_again_alike():
    n = 40
    table = text_table(
        number=[f"{i * i % 37},5" for i in range(n)],
        day=[f"{i % 28 + 1}/{i % 12 + 1}/2024" for i in range(n)],
        town=[["Oslo", "Rome", ""][i % 3] for i in range(n)],
        words=[f"review number {i} of this" for i in range(n)],
        y=["1"] * n,
    )
    features, frame, reading, said = choose(table, missing=["-1"])
    kinds = [("number", "number"), ("day", "date"), ("town", "category"), ("words", "text")]
    assert features.used == tuple(Feature(*each) for each in kinds)
    assert reading == Reading(frozenset({"-1"}), frozenset({"number"}), frozenset({"day"}))
    assert features.reading == reading
    assert [dtype.kind for dtype in frame.dtypes[["number", "day"]]] == ["f", "M"]
    assert frame["town"].tolist()[:3] == ["Oslo", "Rome", ""]
    assert said == []
    assert features.read(table).equals(frame)
    assert features.read(table, np.array([5, 2])).equals(frame.iloc[[5, 2]].reset_index(drop=True))
    with pytest.raises(DataError, match="no columns 'day', 'town', 'words', which the model was"):
        features.read(text_table(number=["1"]))


def test_columns_that_say_nothing_are_left_out_with_a_warning():
    n, rng = 60, np.random.default_rng(0)
    columns = {
        "empty": pa.nulls(n),
        "same": [5] * n,
        "name": [f"person {i}" for i in range(n)],
        "nr": rng.permutation(n) + 100,
        "sorted": np.cumsum(rng.integers(1, 50, n)),
        "Customer ID": rng.permutation(3 * n)[:n],
        "column 1": rng.permutation(3 * n)[:n],
        "drawn": rng.permutation(3 * n)[:n],
        "a sum": np.cumsum(rng.integers(1, 5000, n)),
        "line id": np.cumsum(rng.integers(1, 5000, n)),
        "reach": rng.permutation(9 * n)[:n] * 0.5,
        "y": range(n),
    }
    table = typed_table(**columns)
    features, _, _, said = choose(table, drop=["same"])
    row_number = (
        "it looks like a row number, and may give the target away if rows were sorted by it. "
        "Name it as numeric to keep it"
    )
    reasons = {
        "same": "as asked for",
        "empty": "it is empty",
        "name": "60 different texts in 60 rows: names or free text",
        "nr": "it counts the rows",
        "sorted": row_number,
        "Customer ID": row_number,
        "column 1": row_number,
        "line id": row_number,
    }
    assert features.dropped == reasons
    assert features.names == ["drawn", "a sum", "reach"]
    assert said == [f"column {c!r} is left out: {why}" for c, why in reasons.items() if c != "same"]
    features, _, _, said = choose(
        table, numeric=["nr", "sorted"], text=["name"], drop=["empty", "same"]
    )
    assert {"nr", "sorted", "name"} <= set(features.names)
    assert features.of_kind("text") == ["name"]


def test_signs_units_and_doubtful_dates_are_told():
    n = 40
    table = text_table(
        price=[f"{i % 7} EUR" for i in range(n)],
        mixed=[f"{i % 7} {'EUR' if i % 2 else 'USD'}" for i in range(n)],
        day=[f"0{i % 7 + 1}/02/2024" for i in range(n)],
        y=["1"] * n,
    )
    _, frame, reading, said = choose(table)
    assert said == [
        "column 'price': read without its unit 'EUR'",
        "column 'mixed' is taken as categories: its numbers have signs ('0 USD' first). Write "
        "plain ones to have them as numbers",
        "column 'day': its dates are read with the day first ('01/02/2024' first)",
    ]
    assert frame["day"][1] == np.datetime64("2024-02-02")
    assert choose(table, dates=["day"])[1]["day"].equals(frame["day"])
    assert reading.day_first == {"day"}


def test_columns_can_be_named_as_of_one_kind_only():
    table = text_table(a=["1", "2"], y=["1", "2"])
    with pytest.raises(ArgumentError, match="'a' is named as numeric and as categorical"):
        choose(table, numeric=["a"], categorical=["a"])
    with pytest.raises(ArgumentError, match="'a' is named as a date and as text"):
        choose(table, dates=["a"], text=["a"])
    with pytest.raises(DataError, match=r"no column 'b', which is named as numeric or categ"):
        choose(table, categorical=["b"])
    with pytest.raises(DataError, match=r"no column 'b', which is named as a date or text"):
        choose(table, text=["b"])
    with pytest.raises(DataError, match="no column 'q', which is to be dropped"):
        choose(table, drop=["q"])
    with pytest.raises(ArgumentError, match="`drop` must not name the target 'y'"):
        choose(table, drop=["y"])
    with pytest.raises(DataError, match="no column to predict 'y' from: 'a' it counts the rows"):
        choose(table)
    with pytest.raises(DataError, match=r"no column to predict 'y' from\. Is the separator right"):
        choose(text_table(y=["1", "2"]))


def test_a_code_is_the_same_with_and_without_decimals():
    codes = text_table(zip=["10115", "20095"] * 10, x=[f"{i % 9}" for i in range(20)], y=["1"] * 20)
    features, frame, _, _ = choose(codes, categorical=["zip"])
    assert frame["zip"][0] == "10115"
    later = text_table(zip=["10115.0", ""], x=["1", "2"])
    assert features.read(later)["zip"].tolist() == ["10115", ""]
    typed = typed_table(zip=[10115.0, None], x=[1, 2])
    assert features.read(typed)["zip"].tolist() == ["10115", ""]


# What lies far out -------------------------------------------------------------------------------


def normal(n=500, seed=0):
    return np.random.default_rng(seed).normal(size=n)


@pytest.mark.parametrize("seed", range(5))
def test_ordinary_columns_have_nothing_far_out(seed):
    rng = np.random.default_rng(seed)
    assert far_out(rng.normal(size=1000)) == []
    assert far_out(np.exp(1.5 * rng.normal(size=20_000))) == []
    assert far_out(rng.standard_t(3, size=20_000)) == []
    assert far_out((rng.random(1000) < 0.01).astype(float)) == []
    assert far_out((rng.random(1000) < 0.2).astype(float)) == []
    assert far_out(np.where(rng.random(1000) < 0.9, 0.0, np.exp(rng.normal(size=1000)))) == []
    assert far_out(np.where(rng.random(1000) < 0.1, -9999.0, rng.normal(size=1000))) == []
    assert far_out(np.full(100, 7.0)) == []


def test_what_lies_far_out_is_found():
    values = normal()
    values[[3, 9]] = NAN
    values[[17, 40]] = [1e6, -1e9]
    assert far_out(values) == [17, 40]
    mostly_zero = np.where(np.arange(500) % 8 == 0, 1.0, 0.0)
    mostly_zero[5] = 1e6
    assert far_out(mostly_zero) == [5]


def test_a_mistyped_cell_is_told_with_row_and_column():
    values = normal()
    values[16] = 1e6
    table = typed_table(x=values, y=values)
    _, frame, _, said = choose(table)
    assert len(said) == 1
    assert said[0].startswith("the table: row 17, column 'x': 1e+06 lies far from the rest (median")
    assert frame["x"][16] == 1e6, "told, and not changed"


def test_a_number_that_stands_for_missing_is_told_with_the_remedy():
    values = np.round(normal(), 2)
    values[6::20] = -9999
    table = typed_table(x=values, y=values)
    _, _, _, said = choose(table)
    assert len(said) == 1
    assert said[0].startswith("column 'x': 25 cells hold -9999 (row 7 is the first), far from the")
    assert said[0].endswith("If they stand for missing values: --missing -9999")
    _, frame, _, said = choose(table, missing=["-9999"])
    assert said == []
    assert frame["x"].isna().sum() == 25


# The target --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "task", "expected"),
    [
        (["a", "b"] * 30, "auto", ("a", "b")),
        (["true", "FALSE"] * 30, "auto", (False, True)),
        (["3", "1", "2"] * 20, "auto", (1, 2, 3)),
        (["3.0", "1.0", "2.0"] * 20, "auto", (1, 2, 3)),
        ([str(i) for i in range(20)] * 3, "auto", tuple(range(20))),
        ([str(i) for i in range(21)] * 3, "auto", ()),
        ([str(i) for i in range(19)] * 2, "auto", ()),
        (["0.5", "1.5"] * 30, "auto", ()),
        (["2.5", "10.5", "-1.5"] * 9, "classification", (-1.5, 10.5, 2.5)),
        (["1", "2"] * 30, "regression", ()),
        (["1 234,5", "2 234,5"] * 30, "auto", ()),
        (["1 EUR", "2 USD"] * 30, "classification", ("1 EUR", "2 USD")),
        (["3D", "2D", "1a"] * 9, "auto", ("1a", "2D", "3D")),
    ],
)
def test_the_task_follows_from_the_target(cells, task, expected):
    table = text_table(y=cells)
    target = choose_target(table, "y", task)
    assert target.classes == expected
    assert list(map(type, target.classes)) == list(map(type, expected))
    assert target.task == ("classification" if expected else "regression")
    rows, y = target.read(table)
    assert rows.tolist() == list(range(len(cells)))
    if expected:
        read_back = [str(target.classes[index]).casefold() for index in y]
        assert read_back == [cell.casefold().removesuffix(".0") for cell in cells]


def test_classes_of_long_whole_numbers_with_gaps_are_exact():
    low = 2**53 + 1
    cells = pa.array([None if i == 5 else low + 2 * (i % 2) for i in range(60)])
    table = typed_table(y=cells)
    target = choose_target(table, "y", "auto")
    assert target.classes == (str(low), str(low + 2))
    with pytest.warns(TableWarning, match="1 of 60 rows are left out.* row 6 is the first"):
        rows, y = target.read(table)
    assert 5 not in rows
    assert y.tolist() == [i % 2 for i in rows]
    with pytest.raises(DataError, match=r"column 'y'.*double precision"):
        choose_target(table, "y", "regression")


def test_a_class_is_the_same_with_and_without_decimals():
    for kind in (None, "category"):
        target = choose_target(text_table(y=["10115", "20095"] * 10), "y", "auto", kind)
        assert target.classes == ((10115, 20095) if kind is None else ("10115", "20095"))
        assert target.read(text_table(y=["20095.0", "10115.0"]))[1].tolist() == [1, 0]
        assert target.read(typed_table(y=[20095.0, 10115.0]))[1].tolist() == [1, 0]
        with pytest.raises(
            DataError, match=r"row 3, column 'y': '7.*' is no class of the training"
        ):
            target.read(text_table(y=["10115", "7"]))


def test_a_target_is_read_as_in_the_training():
    cells = [f"{i}.523,00" for i in range(1, 60)]
    target = choose_target(text_table(y=cells), "y", "auto", None, Reading(frozenset({"0"})))
    assert target.reading == Reading(frozenset({"0"}), frozenset({"y"}))
    with pytest.warns(TableWarning, match="1 of 2 rows are left out"):
        rows, y = target.read(text_table(y=["2,523", "0"]))
    assert (rows.tolist(), y.tolist()) == ([0], [2.523])


@pytest.mark.parametrize(
    ("cells", "task", "complaint"),
    [
        (["a"] * 40, "auto", "all rows have a in column 'y'. There is nothing to learn"),
        (["7"] * 40, "regression", "all rows have 7.0 in column 'y'"),
        (["", "NA"] * 20, "auto", "column 'y' is empty in all rows"),
        ([f"t{i}" for i in range(40)], "auto", "40 different values in 40 rows: too many to be"),
        ([f"so many words {i}" for i in range(40)], "auto", "40 different values in 40 rows"),
        (["a", "b"] * 20, "regression", "row 2, column 'y': 'a' is no number"),
        (["2024-01-31", "2024-02-01"] * 20, "auto", r"column 'y' is a date \(2024-01-31 first"),
        (["5 EUR", "6 USD"] * 20, "auto", r"the numbers in column 'y' have signs \('5 EUR' first"),
        ([f"{i}e-40" for i in range(40)], "auto", "differ by less than 1e-30"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(cells, task, complaint):
    with pytest.raises(DataError, match=complaint):
        choose_target(text_table(y=cells), "y", task)


def test_a_target_that_is_not_there_is_refused():
    table = text_table(price=["1", "2"])
    with pytest.raises(DataError, match=r"no column 'prize', .* Did you mean 'price'\?"):
        choose_target(table, "prize", "auto")
    with pytest.raises(DataError, match="no column 'y', which is to be predicted"):
        Target("y", "regression", "number").read(table)
    with pytest.raises(DataError, match="column 'price' is empty in all rows"):
        Target("price", "regression", "number").read(text_table(price=["", "NA"]))
    with pytest.raises(ArgumentError, match="`task` must be one of auto, classification"):
        choose_target(table, "price", "ranking")


def test_what_is_odd_in_a_target_is_told():
    values = normal()
    values[16] = 1e6
    with pytest.warns(TableWarning, match=r"row 17, column 'y': 1e\+06 lies far .* no further"):
        choose_target(typed_table(y=values), "y", "auto")
    with pytest.warns(TableWarning, match="column 'y': read without its unit '%'"):
        choose_target(text_table(y=["5 %", "6.5 %"] * 20), "y", "auto")
    with pytest.warns(TableWarning, match=r"2 of 4 classes of 'y' have a single row.*: c, d"):
        choose_target(text_table(y=[*"ab"] * 29 + ["c", "d"]), "y", "auto")
