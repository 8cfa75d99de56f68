"""Files of tables: what is read from each kind, and what is said of those that are none."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import logging
import lzma
import os
import tracemalloc
import zipfile
from datetime import date, datetime
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnfs_xp.data import object_tables, packed_files
from nnfs_xp.data.table_files import RawTable, count_rows, open_in_pieces, open_table
from nnfs_xp.errors import ArgumentError, DataError, DTypeError

CSV = b"a,b\n1,2\n3,4\n"
ENDS = {"unix": "\n", "windows": "\r\n", "old mac": "\r"}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(content, name="data.csv"):
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def zipped(files):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def changed(content, place):
    """The content with another byte in that place."""
    place %= len(content)
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def zstd(content):
    return pa.compress(content, codec="zstd", asbytes=True)


def parquet(table, **options):
    target = io.BytesIO()
    pq.write_table(pa.table(table), target, **options)
    return target.getvalue()


def arrow(table):
    target = io.BytesIO()
    with pa.ipc.new_file(target, table.schema) as file:
        file.write_table(table)
    return target.getvalue()


def excel(*sheets):
    """A file of such sheets, each a list of rows."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


SHEET = excel([["a", "b"], [1, 2], [3, 4]])


def cells(table):
    return table.columns.to_pydict()


def rows_of(table):
    return [table.row(i) for i in range(table.n_rows)]


# CSV ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ('id,"a ""b"""\n1, x\n\n2,"y, z\nw"\n3,NA\n', {"id": "123", 'a "b"': 0}, [2, 4, 5]),
        (",b\n1,2\n", {"column 1": "1", "b": "2"}, [2]),
        ("\n\na,b\n1,2\n", {"a": "1", "b": "2"}, [4]),
        ("a\n1\n\n3\n", {"a": "13"}, [2, 4]),
        ('a\n1\n""\n3\n', {"a": ["1", "", "3"]}, [2, 3, 4]),
        ("a,b\n1,2\n,\n\n3,4\n", {"a": ["1", "", "3"], "b": ["2", "", "4"]}, [2, 3, 5]),
        ("sep=;\nx;y\n1,5;2\n", {"x": ["1,5"], "y": "2"}, [3]),
        ('"sep=\t"\nx;z\ty\n1\t2\n', {"x;z": "1", "y": "2"}, [3]),
        ("SEP=|\n# c\n\nx|y\n1|2\n", {"x": "1", "y": "2"}, [5]),
        ("sep=a,b\n1,2\n", {"sep=a": "1", "b": "2"}, [2]),
        ("# made by me\n#twice, here, so\nx,y\n1,2\n", {"x": "1", "y": "2"}, [4]),
        ("# 3 rows, 2020\n# b, c\nid,name\n1,a\n", {"id": "1", "name": "a"}, [4]),
        ("#a comment, here\nid,name\n1,a\n", {"id": "1", "name": "a"}, [3]),
        ("# made by me\nname\nalice\n", {"name": ["alice"]}, [3]),
        ("#id,name\n1,a\n2,b\n", {"#id": "12", "name": "ab"}, [2, 3]),
        ("#id,name\nx,a\ny,b\n", {"#id": "xy", "name": "ab"}, [2, 3]),
        ("# a;b\n1;2\n3;4\n", {"# a": "13", "b": "24"}, [2, 3]),
        ("# mine\n#id,name\n1,a\n", {"#id": "1", "name": "a"}, [3]),
        ("#tag,n\n#foo,3\nbar,4\n", {"#tag": ["#foo", "bar"], "n": "34"}, [2, 3]),
        ("#tag\n#foo\n#bar\n", {"#tag": ["#foo", "#bar"]}, [2, 3]),
        ("a,b\n#1,2\n", {"a": ["#1"], "b": "2"}, [2]),
        ("{x},b\n1,2\n", {"{x}": "1", "b": "2"}, [2]),
        ("[x],b\n1,2\n", {"[x]": "1", "b": "2"}, [2]),
    ],
)
def test_cells_are_read_as_they_are_written(text, columns, rows, pieces):
    path = write(text)
    if pieces:
        parts = list(open_in_pieces(path, rows=1))
        table = parts[0]
        assert [row for part in parts for row in rows_of(part)] == rows
        assert [part.n_rows for part in parts] == [1] * len(rows)
    else:
        table = open_table(path)
        assert rows_of(table) == rows
        expected = {name: list(texts) for name, texts in columns.items() if texts}
        assert {name: each for name, each in cells(table).items() if columns[name]} == expected
    assert count_rows(path) == len(rows)
    assert table.names == list(columns)
    assert table.is_text
    assert table.place(0) == f"data.csv: row {rows[0]}"
    assert all(pa.types.is_string(kind) for kind in table.columns.schema.types)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_separators_and_line_ends_are_found(separator, end):
    rows = [["a", "b", "c"], ["1", "x y", "2.5"], ["2", '"q,;\t|"', "3.5"]]
    table = open_table(write("".join(separator.join(row) + end for row in rows)))
    assert cells(table) == {"a": ["1", "2"], "b": ["x y", "q,;\t|"], "c": ["2.5", "3.5"]}
    assert table.separator == separator


def test_a_separator_can_be_forced():
    path = write("sep=|\na:b;c\n1:2;3\n")
    assert open_table(path, separator=":").names == ["a", "b;c"]
    for wrong in ("", "ab", "x", "7", '"', "\n"):
        with pytest.raises(ArgumentError, match="`separator` must be one character"):
            open_table(path, separator=wrong)
        with pytest.raises(ArgumentError, match="`separator` must be one character"):
            open_in_pieces(path, separator=wrong)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("cp1252", "Windows-1252"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_encodings_are_found_and_said(kind, encoding, said, caplog):
    text = "city,n\n" + "Zürich,1\nŒuvre,2\n" * 20
    if kind == "json":
        text = '{"city":"Zürich","n":"1"}\n{"city":"Œuvre","n":"2"}\n' * 20
    path = write(text.encode(encoding))
    with caplog.at_level(logging.INFO, "nnfs_xp"):
        table = open_table(path)
    assert cells(table) == {"city": ["Zürich", "Œuvre"] * 20, "n": ["1", "2"] * 20}
    assert ([said in line for line in caplog.messages] == [True]) if said else not caplog.messages


def test_an_encoding_is_that_of_the_whole_file():
    path = write(b"city,n\n" + b"Bonn,1\n" * 300_000 + b"Z\xfcrich\x81,1\n")
    last = list(open_in_pieces(path))[-1]
    assert last.columns["city"][-1].as_py() == "Zürich\x81"
    assert last.row(last.n_rows - 1) == 300_002


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.lists(st.text('a1,; "\n\r#é', max_size=6), min_size=2, max_size=2), min_size=1
    ),
    separator=st.sampled_from(",;|"),
    size=st.integers(1, 5),
)
def test_what_csv_has_written_is_read(rows, separator, size):
    with open("data.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL)
        writer.writerows([["head", "b"], *rows])
    table = open_table("data.csv", separator=separator)
    assert cells(table) == {"head": [a for a, _ in rows], "b": [b for _, b in rows]}
    assert rows_of(table) == list(range(2, len(rows) + 2))
    pieces = list(open_in_pieces("data.csv", separator=separator, rows=size))
    assert [row for piece in pieces for row in rows_of(piece)] == rows_of(table)
    assert max(piece.n_rows for piece in pieces) == min(size, len(rows))


def test_many_rows_are_read_whole():
    n = 120_000
    path = write("a,b\n" + "".join(f"{i},{i % 7}\n" for i in range(n)))
    table = open_table(path)
    assert table.columns["a"].to_pylist() == [str(i) for i in range(n)]
    assert (np.asarray(table.rows) == np.arange(2, n + 2)).all()
    pieces = list(open_in_pieces(path, rows=50_000))
    assert [piece.n_rows for piece in pieces] == [50_000, 50_000, 20_000]
    assert pa.concat_tables([piece.columns for piece in pieces]).equals(table.columns)


# Other kinds of files ----------------------------------------------------------------------------

RECORDS = b'{"a": 1, "b": 2}\n\n {"b": 4, "a": 3}\n'
KINDS = {
    "csv": (CSV, [2, 3]),
    "gzip": (gzip.compress(CSV), [2, 3]),
    "bz2": (bz2.compress(CSV), [2, 3]),
    "xz": (lzma.compress(CSV), [2, 3]),
    "zstd": (zstd(CSV), [2, 3]),
    "zstd of two frames": (zstd(CSV[:5]) + zstd(CSV[5:]), [2, 3]),
    "zip": (zipped({"t.csv": CSV}), [2, 3]),
    "zip from a Mac": (zipped({"d/": b"", "d/t.csv": CSV, "__MACOSX/d/._t.csv": b"x"}), [2, 3]),
    "parquet": (parquet({"a": [1, 3], "b": [2, 4]}), [1, 2]),
    "zipped parquet": (zipped({"t.parquet": parquet({"a": [1, 3], "b": [2, 4]})}), [1, 2]),
    "arrow": (arrow(pa.table({"a": [1, 3], "b": [2, 4]})), [1, 2]),
    "excel": (SHEET, [2, 3]),
    "zipped excel": (zipped({"t.xlsx": SHEET}), [2, 3]),
    "gzipped excel": (gzip.compress(SHEET), [2, 3]),
    "json lines": (RECORDS, [1, 2]),
    "gzipped json lines": (gzip.compress(RECORDS), [1, 2]),
    "json list": (b'[{"a": 1, "b": 2},\n {"a": 3, "b": 4}]', [1, 2]),
    "indented json list": (json.dumps([{"a": 1, "b": 2}, {"a": 3, "b": 4}], indent=2), [1, 2]),
}


@pytest.mark.parametrize("name", ["data.csv", "data"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_of_a_file_is_told_by_its_content(kind, name):
    content, rows = KINDS[kind]
    path = write(content, name)
    table = open_table(path)
    numbers = {key: [int(cell) for cell in column] for key, column in cells(table).items()}
    assert numbers == {"a": [1, 3], "b": [2, 4]}
    assert rows_of(table) == rows
    assert table.label == name
    assert table.is_text == (rows == [2, 3])
    pieces = list(open_in_pieces(path, rows=1))
    assert [piece.row(0) for piece in pieces] == rows
    assert pa.concat_tables([piece.columns for piece in pieces]).equals(table.columns)
    assert count_rows(path) == 2


def test_parquet_keeps_its_types():
    numbers = [2**60 + 1, None, -5]
    table = pa.table(
        {
            "n": pa.array(numbers, pa.int64()),
            "kind": pa.array(["x", "y", None]).dictionary_encode(),
            "code": pa.array([7, 8, 7]).dictionary_encode(),
            "list": pa.array([[1], [], None]),
        }
    )
    read = open_table(write(parquet(table), "data.parquet"))
    assert cells(read)["n"] == numbers
    assert read.columns.schema.types[:3] == [pa.int64(), pa.string(), pa.int64()]
    assert cells(read)["kind"] == ["x", "y", None]
    assert cells(read)["list"] == [[1], [], None]
    assert not read.is_text
    grouped = write(parquet({"n": range(10)}, row_group_size=4), "groups.parquet")
    pieces = list(open_in_pieces(grouped, rows=3))
    assert [n for piece in pieces for n in cells(piece)["n"]] == list(range(10))
    assert [row for piece in pieces for row in rows_of(piece)] == list(range(1, 11))


def test_a_sheet_is_read_as_the_csv_that_it_would_be(caplog):
    rows = [
        [],
        ["n", "when", "ok", "code"],
        [1, date(2024, 1, 31), True, "007"],
        [],
        [2.5, datetime(2024, 1, 31, 10, 5), False, None],
        [1e300, None, None, "x"],
    ]
    path = write(excel([], rows, [["more"], [1]]), "data.xlsx")
    with caplog.at_level(logging.INFO, "nnfs_xp"):
        table = open_table(path)
    assert caplog.messages == ["data.xlsx: of 2 sheets, 'Sheet1' is read"]
    assert cells(table) == {
        "n": ["1", "2.5", "1e+300"],
        "when": ["2024-01-31", "2024-01-31 10:05:00", ""],
        "ok": ["True", "False", ""],
        "code": ["007", "", "x"],
    }
    assert rows_of(table) == [3, 5, 6]
    assert (table.is_text, table.separator) == (True, "")


def test_excel_files_need_openpyxl(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(DataError, match=r"is an Excel file; pip install openpyxl, or save the"):
        open_table(write(SHEET))


def test_json_keeps_whole_numbers_and_gaps():
    lines = [
        '{"n": 9007199254740993, "m": 18446744073709551616, "s": "x", "d": {"e": 1}}',
        '{"n": null, "m": 1, "late": 0.5}',
    ]
    table = open_table(write("\n".join(lines), "data.jsonl"))
    assert cells(table) == {
        "n": [9007199254740993, None],
        "m": ["18446744073709551616", "1"],
        "s": ["x", None],
        "d": [{"e": 1}, None],
        "late": [None, 0.5],
    }


# What is refused ---------------------------------------------------------------------------------

WIDE = ",".join(f"c{i}" for i in range(100_000))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "data.csv is empty"),
        (b" \r\n\r\n", "data.csv is empty"),
        (b"a,b\n", "data.csv has a header and no rows below it"),
        (b"a,b\n\n\n", "data.csv has a header and no rows below it"),
        (b"# a\n# b\n", "has no header, but comments only, as far as line 2"),
        (b"# a\n" * 300 + b"a,b\n1,2\n", "has no header, but comments only, as far as line 200"),
        (b"sep=;\n", "has no header"),
        (b"#" + b"x" * 200_000 + b"\na,b\n", "has a header and no rows below it"),
        (b",\n1,2\n", "the first row must name the columns; it is empty"),
        (b"1,2\n3,4\n", "the first row must name the columns; it holds numbers only: 1, 2"),
        (
            b"a,b\n1,2\n1,2,3\n",
            "row 3 has 3 fields; the header has 2 columns. Text that holds a ','",
        ),
        (b"a\tb\n1\t2\n1\t2\t3\n", "row 3 has 3 fields; .* Text that holds a tab must"),
        (b"a,b,c\n1,2,3\n1,2\n", r"row 3 has 2 fields; .* 3 columns. Is the row cut short\?"),
        (b'a,b\n"x\ny",2\n1\n', r"row 3 \(line 4\) has 1 field; the header has 2 columns"),
        (b'\n# x\na,b\n"x\ny",2\n1\n', r"row 5 \(line 6\) has 1 field; the header has 2"),
        (b'a,b\n1,2\n"x,2\n3,4\n', "row 3: a quote is opened and not closed"),
        (b'a,b\n"x"y,2\n', "row 2: text goes on after a closing quote"),
        (b"a,b,a\n1,2,3\n", "columns 1, 3 are all called 'a'"),
        (b"a,b\n1,2\n\na,b\n3,4\n", "row 4 repeats the header"),
        (b"a,b\n1,\x00\x00\n", "holds NUL bytes"),
        (CSV * 9 + b"\x00", "holds NUL bytes"),
        (WIDE.encode() + b"\n1\n", "has 100000 columns; at most 20000"),
        (b"\xff\xfea\x00,\x00b", "is damaged: it begins as utf-16"),
        (b"\x1f\x8b\x08\x00rest", "is a damaged gzip file"),
        (gzip.compress(CSV * 9)[:-9], "is a damaged gzip file"),
        (bz2.compress(CSV * 9)[:-9], "is a damaged bz2 file"),
        (lzma.compress(CSV * 9)[:-9], "is a damaged xz file"),
        (zstd(CSV * 99)[:-9], "is a damaged zstd file"),
        (zipped({"t.csv": CSV * 9})[:-9], "is a damaged zip archive"),
        (b"PK\x03\x04....", "is a damaged zip archive"),
        (changed(zipped({"t.csv": CSV * 9}), 37), "is a damaged zip archive"),
        (changed(zipped({"t.csv": CSV * 9}), 60), "is a damaged zip archive"),
        (changed(gzip.compress(CSV), -8), "is a damaged gzip file: CRC check failed"),
        (zipped({"a.csv": CSV, "b.csv": CSV}), r"of 2 files: a.csv, b.csv. Unpack the one to read"),
        (zipped({}), "is a zip archive of 0 files"),
        (zipped({"content.xml": b"", "mimetype": b""}), "is an .ods or .xlsb sheet; save it as"),
        (gzip.compress(gzip.compress(CSV)), "is packed twice"),
        (zipped({"t.gz": gzip.compress(CSV)}), "is packed twice"),
        (b"PAR1 and then nothing", "is no Parquet file, or damaged"),
        (parquet({"a": [1]})[:100], "is no Parquet file, or damaged"),
        (parquet({"a": pa.array([], pa.int64())}), "is empty: 0 rows, 1 columns"),
        (parquet(pa.table([[1], [2]], names=["a", "a"])), "columns 1, 2 are all called 'a'"),
        (parquet(pa.table([[1]] * 20_001, names=WIDE.split(",")[:20_001])), "at most 20000"),
        (arrow(pa.table({"a": [1]}))[:99], "is a damaged Arrow file"),
        (zipped({"xl/workbook.xml": b"<"}), "is no Excel file, or damaged"),
        (excel([]), "data.csv is empty"),
        (excel([["a", "b"]]), "has a header and no rows below it"),
        (excel([["a", "b"], [1, 2, 3]]), "row 2 has 3 fields; .* Give each column a name"),
        (excel([["a", "b"], [1], ["a", "b"]]), "row 3 repeats the header"),
        (excel([[1, 2], [3, 4]]), "it holds numbers only: 1, 2"),
        (b'{ "a": 1}\n{"a": }\n', "line 2 is damaged JSON: Expecting value"),
        (b'{"a": 1}\n\n[1]\n', "line 3 is damaged JSON: an object"),
        (b'[{"a": 1}, 3]', "entry 2 is damaged JSON: an object"),
        (b'[{"a": 1},\n {"b"', "is damaged JSON: Expecting ':' delimiter: line 2"),
        (b'{"a": 1}\n' + b'{"a":' + b"[" * 100_000, "line 2 is damaged JSON: .*recursion"),
        (b"{}\n{}\n", "is empty: 2 rows, 0 columns"),
        (b'{"a": [1]}\n{"a": 2}\n', "row 1, column 'a' holds list, which is neither number"),
        (b'{"a": "\\ud800"}\n', "column 'a': .* surrogates not allowed"),
        (json.dumps(dict.fromkeys(WIDE.split(","), 1)), "has 100000 columns; at most 20000"),
        (b"\n<!DOCTYPE html>\n<html>", r"is a web page \(HTML\).*; download the data itself"),
        (b"<html>a,b\n", "is a web page"),
        ("<TABLE><tr>".encode("utf-16"), "is a web page"),
        (b"\xd0\xcf\x11\xe0....", "is no table but an old Excel or Word file; save the sheet"),
        (b"\x89PNG\r\n", "is no table but a picture"),
        (b"%PDF-1.7", "is no table but a PDF file"),
        (b"\x80\x04\x95....", "is no table but a pickle"),
        (b"SQLite format 3\x00", "is no table but an SQLite database"),
        (b"\x89HDF\r\n\x1a\n", "is no table but an HDF5 file"),
        (b"FEA1....", "is no table but a Feather file"),
        (b"\x93NUMPY....", "is no table but a NumPy array"),
        (gzip.compress(b"%PDF-1.7"), "is no table but a PDF file"),
    ],
)
def test_a_file_that_is_no_table_is_refused(content, complaint):
    path = write(content)
    for read in (open_table, lambda path: list(open_in_pieces(path))):
        with pytest.raises(DataError, match=complaint) as caught:
            read(path)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith("data.csv")


def test_a_field_that_never_ends_is_a_quote_left_open():
    path = write('a,b\n1,"x\n' + "3,4\n" * 5_000_000)
    with pytest.raises(DataError, match="row 2: a quote is opened and not closed"):
        open_table(path)


def test_a_line_that_never_ends_is_refused_before_it_is_read():
    path = write(gzip.compress(b"a" * 2**27, 1))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="has a line of over 67108864 characters"):
            open_table(path)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [gzip.compress(parquet({"a": range(9000)})), zipped({"t.xlsx": SHEET}), SHEET],
)
def test_what_unpacks_to_too_much_is_refused(content, monkeypatch):
    monkeypatch.setattr(packed_files, "LARGEST", 8000 if content == SHEET else 2000)
    monkeypatch.setattr(object_tables, "LARGEST", 2000)
    with pytest.raises(DataError, match=r"data.csv (holds|unpacks to) over 2000 bytes"):
        open_table(write(content))


def test_what_is_no_readable_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*: Is a directory"):
        open_table(tmp_path)
    with pytest.raises(DataError, match=r"cannot read nowhere.csv: No such file"):
        open_table("nowhere.csv")
    with pytest.raises(DataError, match=r"cannot read a.x00b"):
        open_table("a\0b")
    with pytest.raises(DataError, match=r"x.parquet is no Parquet file, or damaged"):
        open_table(write(CSV, "x.parquet"))
    with pytest.raises(DataError, match="line 1 is damaged JSON"):
        open_table(write(CSV, "x.json"))
    os.mkfifo("pipe.csv")
    for read in (open_table, count_rows):
        with pytest.raises(DataError, match=r"cannot read pipe.csv: it is a pipe or a device"):
            read("pipe.csv")


@pytest.mark.parametrize("change", ["longer", "shorter", "gone"])
def test_a_file_that_changes_while_it_is_read_is_refused(change):
    path = write(b"a,b\n" + b"1,2\n" * 20_000)
    pieces = open_in_pieces(path, rows=100)
    next(pieces)
    if change == "longer":
        with open(path, "ab") as file:
            file.write(b"3\n")
    elif change == "shorter":
        os.truncate(path, 65_537)
    else:
        os.remove(path)
    with pytest.raises(DataError, match=r"data.csv changed while it was read"):
        list(pieces)


# Frames ------------------------------------------------------------------------------------------

MIXED = [1, "b", 2.5, True, None, 2**70]
FRAMES = {
    "mixed": (pd.DataFrame({"a": MIXED}), ["1", "b", "2.5", "True", None, str(2**70)]),
    "bool in floats": (pd.DataFrame({"a": [0.5, True]}, dtype=object), ["0.5", "True"]),
    "date and time": (
        pd.DataFrame({"a": [date(2024, 1, 1), datetime(2024, 1, 1, 5)]}, dtype=object),
        ["2024-01-01", "2024-01-01 05:00:00"],
    ),
    "whole": (pd.DataFrame({"a": pd.array([2**60 + 1, None], "Int64")}), [2**60 + 1, None]),
    "objects": (pd.DataFrame({"a": [2**60 + 1, None]}, dtype=object), [2**60 + 1, None]),
    "floats": (pd.DataFrame({"a": [1.0, np.nan]}), [1.0, None]),
    "category": (pd.DataFrame({"a": pd.Categorical([7, 8, None])}), [7, 8, None]),
    "sparse": (pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}), [0, 1]),
    "nested": (pd.DataFrame({"a": [[1], [2, 3]]}), [[1], [2, 3]]),
    "polars": (pl.DataFrame({"a": [2**60 + 1, None]}), [2**60 + 1, None]),
    "lazy polars": (pl.LazyFrame({"a": ["x", None]}), ["x", None]),
    "category of polars": (
        pl.DataFrame({"a": pl.Series(["x", None], dtype=pl.Categorical)}),
        ["x", None],
    ),
    "arrow": (pa.table({"a": [1, None]}), [1, None]),
    "batch": (pa.record_batch({"a": [1, None]}), [1, None]),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_are_read_with_their_types(kind):
    frame, expected = FRAMES[kind]
    table = open_table(frame)
    assert cells(table) == {"a": expected}
    assert rows_of(table) == list(range(len(expected)))
    assert (table.label, table.is_text) == ("the table", False)


def test_an_index_names_the_rows():
    table = open_table(pd.DataFrame({1: [5, 6]}, index=["p", "q"]))
    assert table.names == ["1"]
    assert table.place(1) == "the table: row q"
    turned = table.take([1, 0])
    assert rows_of(turned) == ["q", "p"]
    assert cells(turned) == {"1": [6, 5]}
    assert rows_of(table.slice(1, 2)) == ["q"]


def test_an_array_has_columns_by_number():
    table = open_table(np.array([[1.5, np.nan], [2, 3]]))
    assert cells(table) == {"x0": [1.5, 2.0], "x1": [None, 3.0]}
    table = open_table(np.array([[1, "a"], [2, "b"]], dtype=object))
    assert cells(table) == {"x0": [1, 2], "x1": ["a", "b"]}
    assert rows_of(table) == [0, 1]


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (pd.DataFrame({"a": [1, [2]]}), "row 1, column 'a' holds list, which is neither"),
        (pd.DataFrame({"a": ["x", b"y", 3]}), "row 1, column 'a' holds bytes, which is neither"),
        (pd.DataFrame({"a": [1j]}), "row 0, column 'a' holds complex, which is neither"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "columns 1, 2 are all called 'a'"),
        (pd.DataFrame([[1, 2]], columns=["1", 1]), "columns 1, 2 are all called '1'"),
        (pa.table([[1], [2]], names=["a", "a"]), "columns 1, 2 are all called 'a'"),
        (pd.DataFrame({"a": []}), "the table is empty: 0 rows, 1 columns"),
        (pl.DataFrame({"a": []}), "the table is empty: 0 rows, 1 columns"),
        (np.zeros((2, 0)), "the table is empty: 2 rows, 0 columns"),
        (np.zeros((1, 100_000)), "the table has 100000 columns; at most 20000"),
    ],
)
def test_a_frame_that_is_no_table_is_refused(frame, complaint):
    with pytest.raises(DataError, match=complaint):
        open_table(frame)


@pytest.mark.parametrize(
    "data", [5, None, [1], {"a": [1]}, np.ones(3), pd.Series([1]), pl.Series([1]), pa.array([1])]
)
def test_other_types_are_refused(data):
    with pytest.raises(DTypeError, match=r"a table must be a path|is no table"):
        open_table(data)


def test_a_column_that_is_not_there_is_refused_with_the_nearest():
    table = RawTable("t", pa.table({"price": [1], "town": [2]}), [1], is_text=False)
    table.check_has(["town"], "which is wanted")
    for names, complaint in [
        (["prize"], r"^t has no column 'prize', which is wanted. Did you mean 'price'\?$"),
        (["PRICE"], r"Did you mean 'price'\?"),
        (["qqq"], r"no column 'qqq', which is wanted. It has 'price', 'town'.$"),
        (["q", "town", "r"], r"^t has no columns 'q', 'r', which is wanted.$"),
    ]:
        with pytest.raises(DataError, match=complaint):
            table.check_has(names, "which is wanted")


# Damage ------------------------------------------------------------------------------------------

SEEDS = {
    "csv": b'# c\na,b\n1,"x ""y"""\n-3e5,.5\n\n4, 5 \n',
    "parquet": parquet({"a": [1, 2, None], "b": ["x", "yy", "z"], "c": [[1], [], None]}),
    "xlsx": SHEET,
    "zip": zipped({"t.csv": CSV * 3}),
    "zstd": zstd(CSV * 3),
    "xz": lzma.compress(CSV * 3),
    "arrow": arrow(pa.table({"a": [1, 2, None], "b": ["x", "yy", "z"]})),
    "json": RECORDS,
}


def table_or_message(path):
    try:
        return open_table(path)
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("kind", SEEDS)
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_bytes_give_a_table_or_the_documented_error(kind, data):
    content = bytearray(SEEDS[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content)))
        cut = data.draw(st.sampled_from([0, 1, 1, 1, 7]))
        content[place : place + cut] = data.draw(st.binary(max_size=4))
    found = table_or_message(write(bytes(content)))
    if isinstance(found, str):
        assert found.isprintable()
    else:
        assert found.n_rows == len(found.rows) == len(found.columns.to_pylist()) > 0
