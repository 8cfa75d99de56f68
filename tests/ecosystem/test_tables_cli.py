"""The command ``nnfs-xp`` on tables: what it writes and prints, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from nnfs_xp import runs, tables
from nnfs_xp.cli import main
from nnfs_xp.tables import files
from nnfs_xp.training import EarlyStopping

QUICK = ("--hidden", "8", "--epochs", "3", "--folds", "1", "--backend", "numpy")
WITHOUT_PAGES = {"columns.skops", "model.safetensors", "run.json", "history.csv", "checkpoints"}
ALWAYS = WITHOUT_PAGES | {"training.png", "report.html"}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_pages(monkeypatch):
    """Trainings that draw nothing, in a tenth of the time."""
    monkeypatch.setattr("nnfs_xp.cli.tables.write_report", lambda *_, **__: None)
    monkeypatch.setattr("nnfs_xp.cli.tables.draw_table_pictures", lambda *_, **__: None)


@pytest.fixture
def run(capsys):
    """Runs the command in this process; gives its exit status and what it printed."""

    def run(*arguments):
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse's way out
            status = stop.code
        out, err = capsys.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return run


def houses(n=120, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"size": rng.normal(60, 20, n), "town": rng.choice(["Rome", "Oslo"], n)})
    frame["price"] = 3 * frame["size"] + 50 * (frame["town"] == "Rome")
    frame["kind"] = np.where(frame["price"] > 220, "villa", "hut")
    frame.loc[3, "size"] = np.nan
    return frame


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folders of a classification and a regression, and the table of both."""
    folder = tmp_path_factory.mktemp("runs")
    houses().to_csv(folder / "houses.csv", index=False)
    for target in ("kind", "price"):
        arguments = ["train", str(folder / "houses.csv"), "--target", target]
        assert main([*arguments, "--out", str(folder / target), *QUICK]) == 0
    return folder


def facts(folder):
    return json.loads(Path(folder, "run.json").read_text("utf-8"))


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def names(folder):
    return {path.name for path in Path(folder).iterdir()}


def report_of(out):
    """The figures that were printed: of the model, and of the baseline."""
    found = re.findall(r"^(\S.*?) {2,}(-?[\d.]+) {2,}(-?[\d.]+)$", out, re.MULTILINE)
    return {name: (float(model), float(baseline)) for name, model, baseline in found}


def assert_refused(result, complaint):
    """Exit status 2, nothing on standard output, and a clear line at the end of the other."""
    assert (result.status, result.out) == (2, "")
    assert "Traceback" not in result.err
    last = result.err.splitlines()[-1]
    assert last.startswith("nnfs-xp")
    assert complaint in last


# Real tables -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "more", "figure", "least", "picture"),
    [
        (load_wine, (), "accuracy", 0.9, "confusion.png"),
        (load_breast_cancer, ("--folds", "1"), "ROC AUC", 0.97, "confusion.png"),
        (load_diabetes, ("--folds", "1"), "R²", 0.3, "predictions.png"),
    ],
)
def test_known_tables_are_learnt_with_the_defaults(run, load, more, figure, least, picture):
    load(as_frame=True).frame.to_csv("data.csv", index=False)
    if more:
        more = (*more, "--hidden", "64,64", "--epochs", "40")
    options = ("--out", "out", "--backend", "numpy", *more)
    result = run("train", "data.csv", "--target", "target", *options)
    assert result.status == 0
    assert result.err == ""
    model, baseline = report_of(result.out)[figure]
    assert model > least > baseline
    assert names("out") == ALWAYS | {picture}
    image = pytest.importorskip("matplotlib.image").imread(f"out/{picture}")
    assert image.std() > 0.01, "something is drawn"
    page = Path("out/report.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "gradient boosting" in page
    assert "report in out/report.html\nresults in out\n" in result.out
    assert report_of(run("evaluate", "out").out) == report_of(result.out)


# Training ----------------------------------------------------------------------------------------


def write_as(frame, name):
    """Write a frame into a file of the kind that its name tells."""
    kind = name.partition(".")[2] or "csv"
    if kind in ("parquet", "pq"):
        frame.to_parquet(name)
    elif kind == "xlsx":
        frame.to_excel(name, index=False)
    elif kind == "jsonl":
        frame.to_json(name, orient="records", lines=True, double_precision=15)
    elif kind == "zip":
        with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("d.csv", frame.to_csv(index=False))
    else:
        frame.to_csv(name, index=False, sep="\t" if kind == "tsv" else ",")


KINDS = ("d.csv", "d.csv.gz", "d.parquet", "d.pq", "d.tsv", "d", "d.xlsx", "d.zip", "d.jsonl")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.usefixtures("no_pages")
def test_files_of_all_kinds_are_trained_on(run, name):
    write_as(houses(), name)
    result = run("train", name, "--target", "kind", *QUICK)
    told = "d.tsv: columns are separated by 'tab'\n" if name == "d.tsv" else ""
    assert (result.status, result.err) == (0, told)
    (folder,) = Path("runs").glob("d-*")
    assert f"results in {folder}" in result.out
    assert f"{name}: 120 rows; classification of 'kind', 2 classes, from 3 columns" in result.out
    assert report_of(result.out).keys() == {"accuracy", "F1 (macro)", "ROC AUC"}
    assert facts(folder)["features"][1] == {"name": "town", "kind": "category"}
    assert report_of(run("evaluate", folder, "--backend", "numpy").out) == report_of(result.out)
    predicted = run("predict", folder, name, "--backend", "numpy")
    assert (predicted.status, predicted.err) == (0, told)
    right = [row["prediction"] for row in table(predicted.out)] == houses()["kind"]
    assert right.mean() > 0.7


@pytest.mark.usefixtures("no_pages")
def test_every_option_is_followed(run):
    frame = houses().rename(columns={"size": "zip"})
    frame["day"], frame["words"] = "01/02/2024", "so so"
    frame.loc[::2, "day"], frame.loc[::3, "words"] = "02/02/2024", "quite another house"
    frame.to_csv("data.csv", index=False, sep=":")
    frame.head(40).to_csv("test.csv", index=False, sep=":")
    command = (
        "train data.csv --target price --task regression --test test.csv --separator : --out a/b "
        "--categorical zip --drop kind --dates day --text words --missing=-9999,Oslo --hidden 7,5 "
        "--epochs 2 --batch-size 30 --seed 9 --learning-rate 0.02 --dropout 0.25 --ensemble 2 "
        "--folds 2 --interval 0.8 --backend array_api_strict"
    )
    result = run(*command.split())
    assert result.status == 0
    assert "test on 40 rows of test.csv" in result.out
    assert "trained 2 networks" in result.out
    assert report_of(result.out).keys() == {"R²", "MAE", "RMSE"}
    record = facts("a/b")
    kinds = {"zip": "category", "town": "category", "day": "date", "words": "text"}
    assert record["features"] == [{"name": n, "kind": kind} for n, kind in kinds.items()]
    assert record["dropped"] == {"kind": "as asked for"}
    assert record["reading"] == {"missing": ["-9999", "Oslo"], "commas": [], "day_first": ["day"]}
    wanted = {"hidden": [7, 5], "epochs": 2, "batch_size": 30, "seed": 9, "learning_rate": 0.02}
    wanted |= {"dropout": 0.25, "backend": "array_api_strict", "ensemble": 2, "folds": 2}
    assert record["settings"].items() >= wanted.items()
    assert report_of(run("evaluate", "a/b").out) == report_of(result.out)
    command = (
        "train data.csv --target price --separator : --drop kind --drop words --numeric zip "
        "--test-share 0.5"
    )
    result = run(*command.split(), *QUICK)
    assert "test on 60 rows held out" in result.out


@pytest.mark.parametrize("words", [["--missing", "-9999"], ["--missing=-9999,?"]])
@pytest.mark.usefixtures("no_pages")
def test_what_is_advised_for_missing_can_be_said(run, words):
    frame = houses()
    frame.loc[::20, "size"] = -9999
    frame.to_csv("data.csv", index=False)
    options = ("--target", "price", "--drop", "kind", *QUICK)
    told = run("train", "data.csv", "--out", "told", *options).err.splitlines()
    assert [line.removeprefix("nnfs-xp: ") for line in told] == [
        "warning: column 'size': 6 cells hold -9999 (row 2 is the first), far from the rest "
        f"(median {frame['size'].median():.4g}). If they stand for missing values: --missing -9999"
    ]
    result = run("train", "data.csv", "--out", "said", *options, *words)
    assert (result.status, result.err) == (0, "")
    assert "-9999" in facts("said")["reading"]["missing"]


@pytest.mark.usefixtures("no_pages")
def test_columns_that_are_left_out_are_said(run):
    frame = houses().assign(id=np.arange(120), same=1, note=[f"note {i}" for i in range(120)])
    frame.to_csv("data.csv", index=False)
    result = run("train", "data.csv", "--target", "kind", "--out", "out", *QUICK)
    assert result.status == 0
    assert [line.removeprefix("nnfs-xp: ") for line in result.err.splitlines()] == [
        "warning: column 'id' is left out: it counts the rows",
        "warning: column 'same' is left out: it is the same in all rows",
        "warning: column 'note' is left out: 120 different texts in 120 rows: names or free text",
    ]
    assert facts("out")["dropped"].keys() == {"id", "same", "note"}


def test_the_page_tells_what_was_warned_of(run):
    houses().rename(columns={"price": "self"}).assign(same=1).to_csv("data.csv", index=False)
    result = run("train", "data.csv", "--target", "self", "--out", "out", *QUICK)
    assert result.status == 0
    assert names("out") == ALWAYS | {"predictions.png"}
    page = Path("out/report.html").read_text("utf-8")
    assert "data.csv: 120 rows; regression of &#x27;self&#x27;" in page
    assert "column &#x27;same&#x27; is left out: it is the same in all rows" in page


def test_a_folder_is_not_written_over(run, trained):
    shutil.copytree(trained / "kind", "out")
    houses().to_csv("data.csv", index=False)
    before = Path("out/columns.skops").read_bytes()
    result = run("train", "data.csv", "--target", "kind", "--out", "out", *QUICK)
    assert_refused(result, "out already holds a model.safetensors. Go on with --resume, name")
    assert Path("out/columns.skops").read_bytes() == before


def test_a_loss_that_diverges_leaves_nothing(run):
    houses().to_csv("data.csv", index=False)
    arguments = ("train", "data.csv", "--target", "price", "--out", "out", *QUICK)
    result = run(*arguments, "--learning-rate", "1e30")
    assert result.status == 1
    assert "Lower the learning rate" in result.err.splitlines()[-1]
    assert not Path("out").exists()


def test_a_disk_that_fills_while_drawing_costs_pictures_only(run, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    houses().to_csv("data.csv", index=False)
    monkeypatch.setattr("nnfs_xp.plots.plot_confusion_matrix", fail)
    result = run("train", "data.csv", "--target", "kind", "--out", "out", *QUICK)
    assert result.status == 0
    assert "not all pictures could be drawn: [Errno 28] No space left" in result.err
    assert names("out") == ALWAYS


def test_a_page_that_cannot_be_written_costs_pages_only(run, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    houses().to_csv("data.csv", index=False)
    monkeypatch.setattr("nnfs_xp.cli.tables.write_report", fail)
    result = run("train", "data.csv", "--target", "kind", "--out", "out", *QUICK)
    assert result.status == 0
    assert "not all pictures could be drawn: [Errno 28] No space left" in result.err
    assert "report in" not in result.out
    assert run("evaluate", "out").status == 0


# What cannot be done -----------------------------------------------------------------------------

GOOD = "a,b,y\n" + "".join(f"{i % 7},{i % 3},{'np'[i % 2]}\n" for i in range(40))


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("train good.csv", "--target is missing: which column of good.csv is to be predicted? It"),
        ("train good.csv --target z", "good.csv has no column 'z', which is to be predicted. It"),
        ("train good.csv --target Y", "Did you mean 'y'?"),
        ("train nowhere.csv --target y", "cannot read nowhere.csv: No such file"),
        ("train nowhere --target y", "cannot read nowhere: No such file"),
        ("train . --target y", "--target is for tables; . has folders of images"),
        ("train a.csv --target y", "cannot read a.csv: Is a directory"),
        ("train good.csv --target y --resume", "--resume needs --out: the folder of the training"),
        ("train good.csv --target y --precision float32", "--precision does not go with a file"),
        ("train --out kind --resume --epochs 4", "kind was trained with epochs 3, not with 4. Na"),
        (
            "train --out kind --resume --folds 2",
            "kind was trained with folds 1, not with 2. Nam",
        ),
        ("train --out kind --resume --seed 1", "kind was trained without seed, not with 1. Nam"),
        ("train --out kind --resume --drop town", "kind was trained without drop, not with ['town"),
        ("train good.csv --out kind --resume", "kind was trained with dataset /"),
        ("train --out changed --resume", "houses.csv has changed since the training began. Train"),
        ("train --out moved --resume", "cannot read /nowhere/houses.csv: No such file"),
        ("train --out old --resume", "old/run.json is of an older nnfs_xp"),
        ("evaluate old", "old/run.json is of an older nnfs_xp"),
        ("predict old houses.csv", "old/run.json is of an older nnfs_xp"),
        ("evaluate begun", "the training in begun is not finished. Go on with --resume"),
        ("predict begun houses.csv", "the training in begun is not finished. Go on with --resume"),
        ("train digits --target y", "--target does not go with a data set with a name"),
        ("train --target y", "--target does not go with a data set with a name"),
        ("train digits --test good.csv", "--test does not go with a data set with a name"),
        ("train spiral --drop a", "--drop does not go with a data set with a name"),
        ("train good.csv --target y --task cluster", "argument --task: invalid choice: 'cluster'"),
        ("train good.csv --target y --task regression", "row 2, column 'y': 'n' is no number"),
        ("train good.csv --target y --interval 0.9", "`interval` is for regressions; a classific"),
        ("train good.csv --target b --task regression --interval 1", "`interval` must be above 0"),
        (
            "train good.csv --target b --task regression --interval 0.99 --folds 5",
            "the training keeps 32 rows aside, too few for intervals that hold a share of 0.99",
        ),
        ("train good.csv --target y --ensemble 0", "argument --ensemble: '0' is no whole number"),
        ("train good.csv --target y --folds x", "argument --folds: 'x' is no whole number of at"),
        ("train good.csv --target y --dates a --text a", "'a' is named as a date and as text"),
        ("train good.csv --target y --dates a", "row 2, column 'a': '0' is no date"),
        ("train good.csv --target y --missing n,p", "column 'y' is empty in all rows"),
        ("train row.csv --target y", "row.csv: all rows have 2.0 in column 'y'. There is nothing"),
        ("train days.csv --target y", "column 'y' is a date (2024-01-01 first). To predict a time"),
        ("train words.csv --target y", "column 'y' has 40 different values in 40 rows: too many"),
        ("train gaps.csv --target y", "gaps.csv: column 'y' is empty in all rows"),
        ("train wide.csv --target c1", "wide.csv has 100000 columns; at most 20000"),
        ("train lists.jsonl --target y", "column 'a' holds list"),
        ("train twice.csv --target y", "twice.csv: columns 1, 3 are all called 'a'"),
        ("train header.csv --target y", "header.csv has a header and no rows below it"),
        ("train headers.csv --target y", "headers.csv: row 42 repeats the header"),
        ("train empty.csv --target y", "empty.csv is empty"),
        ("train digits --ensemble 2", "--ensemble does not go with a data set with a name"),
        ("train digits --missing x", "--missing does not go with a data set with a name"),
        ("train good.csv --target y --test-share 0.9", "`test_share` must be at most 0.5; got 0.9"),
        ("train good.csv --target y --test-share 0", "`test_share` must be above 0"),
        ("train good.csv --target y --learning-rate -1", "`learning_rate` must be above 0"),
        ("train good.csv --target y --separator ,,", "`separator` must be one character"),
        ("train good.csv --target y --drop y", "`drop` must not name the target 'y'"),
        (
            "train good.csv --target y --drop q",
            "good.csv has no column 'q', which is to be dropped",
        ),
        ("train good.csv --target y --backend moons", "unknown backend 'moons'"),
        ("train good.csv --target y --test few.csv", "few.csv has no column 'y', which is to be"),
        (
            "train good.csv --target y --test less.csv",
            "less.csv has no column 'b', which the model",
        ),
        ("train good.csv --target y --test other.csv", "row 2, column 'y': 'q' is no class"),
        ("train good.csv --target y --out few.csv/x", "cannot write to --out"),
        ("train few.csv --target b", "few.csv has 2 rows with a target; at least 20 are needed"),
        ("train one.csv --target y", "one.csv has no column to predict 'y' from. Is the separator"),
        ("evaluate kind less.csv", "less.csv has no column 'kind', which is to be predicted"),
        ("predict kind few.csv", "few.csv has no columns 'size', 'town', 'price', which the model"),
        ("predict kind bad.csv", "bad.csv: row 3, column 'size': 'big' is no number. Correct it"),
        ("predict kind cut.csv", "cut.csv: row 3 has 2 fields; the header has 4 columns"),
        ("predict kind houses.csv -o houses.csv", "would overwrite"),
        ("predict kind houses.csv -o kind/columns.skops", "would overwrite"),
        ("predict kind houses.csv -o nowhere/x.csv", "cannot write nowhere/x.csv: No such file"),
        ("predict damaged houses.csv", "is damaged or changed: its checksum is not that of run.js"),
        ("evaluate no-facts", "run.json is missing or damaged"),
        ("evaluate test-changed", "good.csv has changed since the training"),
        ("predict test-changed houses.csv -o good.csv", "would overwrite"),
        ("train good.csv --target y --test few.csv --test-share 0.2", "--test-share does not go"),
        ("train good.csv --target y --seed 4294967296", "`seed` must be at most 4294967295"),
        ("evaluate moved", "cannot read /nowhere/houses.csv: No such file"),
        ("evaluate changed", "has changed since the training"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line(run, trained, tmp_path, command, complaint):
    Path("good.csv").write_text(GOOD)
    Path("few.csv").write_text("a,b\n1,2\n3,5\n")
    Path("less.csv").write_text("a,y\n1,n\n3,p\n")
    Path("other.csv").write_text("a,b,y\n1,2,q\n")
    Path("one.csv").write_text("y\n" + "n\np\n" * 20)
    Path("bad.csv").write_text("size,town,price,kind\n1,Rome,2,hut\nbig,Rome,2,hut\n")
    Path("cut.csv").write_text("size,town,price,kind\n1,Rome,2,hut\n1,Rome\n")
    Path("a.csv").mkdir()
    rows = [line.split(",") for line in GOOD.splitlines()[1:]]
    Path("row.csv").write_text("a,y\n1,2\n")
    days = [f"{a},2024-01-{i % 30 + 1:02}\n" for i, (a, *_) in enumerate(rows)]
    Path("days.csv").write_text("a,y\n" + "".join(days))
    Path("words.csv").write_text("a,y\n" + "".join(f"{i % 7},word {i}\n" for i in range(40)))
    Path("gaps.csv").write_text("a,y\n" + "".join(f"{a},\n" for a, *_ in rows))
    wide = [f"c{i}" for i in range(100_000)]
    Path("wide.csv").write_text(",".join(wide) + "\n" + ",".join("1" for _ in wide) + "\n")
    Path("lists.jsonl").write_text('{"a": [1, 2], "y": 1}\n{"a": [], "y": 2}\n' * 20)
    Path("twice.csv").write_text("a,y,a\n1,2,3\n")
    Path("header.csv").write_text("a,y\n")
    Path("headers.csv").write_text(GOOD + GOOD)
    Path("empty.csv").write_text("")
    shutil.copy(trained / "houses.csv", "houses.csv")
    for name in ("kind", "damaged", "no-facts", "moved", "changed", "test-changed"):
        shutil.copytree(trained / "kind", name)
    Path("damaged/columns.skops").write_bytes(b"\x00" * 100)
    Path("no-facts/run.json").unlink()
    record = facts("kind")
    said, digests = record["said"], record["sha256 of the data"]
    tested = {"said": {**said, "test": str(Path("good.csv").resolve())}}
    tested["sha256 of the data"] = {**digests, "test": "0"}
    moved = {"said": {**said, "dataset": "/nowhere/houses.csv"}}
    changed = {"sha256 of the data": {"dataset": "0"}}
    for name, change in (("test-changed", tested), ("moved", moved), ("changed", changed)):
        Path(name, "run.json").write_text(json.dumps({**record, **change}))
    for name, begun in (("begun", {"table": 2, "said": said}), ("old", {"table": 1})):
        Path(name).mkdir()
        Path(name, "run.json").write_text(json.dumps(begun))
    Path("old/model.skops").write_bytes(b"PK")
    before = set(tmp_path.rglob("*"))
    verb, *words = command.split()
    assert_refused(run(verb, "--backend", "numpy", *words), complaint)
    assert set(tmp_path.rglob("*")) == before, "nothing is left behind"


def in_a_process(*commands, before="pass", start='exec "$@"', **environment):
    """Run commands one after the other, in one process: scikit-learn takes seconds to import.

    Gives the process and the status of each command.
    """
    code = (
        f"import json, sys; {before}; from nnfs_xp.cli import main; commands, out = sys.argv[1:]; "
        "found = [main(each) for each in json.loads(commands)]; json.dump(found, open(out, 'w'))"
    )
    texts = [[str(argument) for argument in command] for command in commands]
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            start,
            "sh",
            sys.executable,
            "-c",
            code,
            json.dumps(texts),
            "statuses.json",
        ],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, **environment},
        check=True,
    )
    return done, json.loads(Path("statuses.json").read_text())


def test_without_the_extra_a_line_says_what_to_install(trained):
    done, statuses = in_a_process(
        ["train", trained / "houses.csv", "--target", "kind"],
        ["evaluate", trained / "kind"],
        ["predict", trained / "kind", trained / "houses.csv"],
        before="sys.modules['skops'] = None",
    )
    assert (statuses, done.stdout) == ([2, 2, 2], "")
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert "skops" in line
        assert "pip install 'nnfs-xp[tables]'" in line


def test_the_digits_need_no_extra():
    code = (
        "import sys; from nnfs_xp.cli import main; status = main(sys.argv[1:]); "
        "assert not {'pandas', 'sklearn', 'pyarrow', 'skops'} & set(sys.modules); sys.exit(status)"
    )
    script = [sys.executable, "-c", code, "train", "--epochs", "1", "--out", "out"]
    assert subprocess.run(script, capture_output=True, check=False).returncode == 0


# Prediction --------------------------------------------------------------------------------------


def test_predictions_come_with_probabilities(run, trained):
    result = run("predict", trained / "kind", trained / "houses.csv", "--backend", "numpy")
    assert (result.status, result.err) == (0, "")
    rows = table(result.out)
    model = tables.load_table_model(trained / "kind")
    expected = model.predict_proba(trained / "houses.csv")
    assert [row["prediction"] for row in rows] == model.predict(trained / "houses.csv").tolist()
    for name, values in (
        ("probability", expected.max(axis=1)),
        ("probability of hut", expected[:, 0]),
        ("probability of villa", expected[:, 1]),
    ):
        assert [float(row[name]) for row in rows] == pytest.approx(values, abs=1e-4)
    houses = ("predict", trained / "kind", trained / "houses.csv", "-o", "answers.csv")
    assert run(*houses).out == ""
    assert Path("answers.csv").read_text() == result.out


def test_predictions_go_into_a_pipe_that_is_there(run, trained):
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        result = run("predict", trained / "kind", trained / "houses.csv", "-o", "pipe")
        assert result.status == 0
        assert len(table(os.read(reader, 100_000).decode())) == 120
    finally:
        os.close(reader)
    assert Path("pipe").is_fifo()


def test_letters_that_the_terminal_has_not_end_nothing():
    frame = houses().replace({"kind": {"hut": "rosé"}})
    frame.to_csv("data.csv", index=False)
    poor = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done, statuses = in_a_process(
        ["train", "data.csv", "--target", "kind", "--out", "kind", *QUICK],
        ["predict", "kind", "data.csv", "--backend", "numpy"],
        **poor,
    )
    assert (statuses, done.stderr) == ([0, 0], "")
    assert "probability of rosé" in done.stdout


def test_letters_that_the_font_has_not_are_no_warning(run):
    houses().replace({"kind": {"hut": "小屋"}}).to_csv("data.csv", index=False)
    result = run("train", "data.csv", "--target", "kind", "--out", "out", *QUICK)
    assert (result.status, result.err) == (0, "")


def test_a_closed_standard_output_is_no_crash(trained):
    done, statuses = in_a_process(
        ["evaluate", trained / "kind"],
        ["predict", trained / "kind", trained / "houses.csv"],
        start='exec "$@" >&-',
    )
    assert statuses == [0, 2]
    assert "Traceback" not in done.stderr


def test_values_are_predicted(run, trained):
    rows = table(run("predict", trained / "price", trained / "houses.csv").out)
    model = tables.load_table_model(trained / "price")
    expected = model.predict(trained / "houses.csv")
    assert [float(row["prediction"]) for row in rows] == pytest.approx(expected, rel=1e-6)
    assert rows[0].keys() == {"prediction"}


@pytest.mark.usefixtures("no_pages")
def test_intervals_go_with_the_values(run, trained):
    options = ("--target", "price", "--out", "out", *QUICK, "--folds", "3", "--interval", "0.8")
    assert run("train", trained / "houses.csv", *options).status == 0
    rows = table(run("predict", "out", trained / "houses.csv").out)
    assert rows[0].keys() == {"prediction", "low", "high"}
    model = tables.load_table_model("out")
    found = [(float(row["low"]), float(row["high"])) for row in rows]
    np.testing.assert_allclose(found, model.predict_interval(trained / "houses.csv", 0.8))


@pytest.mark.usefixtures("no_pages")
def test_many_classes_have_the_probability_of_the_predicted_one_only(run):
    frame = pd.DataFrame({"x": np.arange(200) % 40, "y": [f"c{i % 40:02}" for i in range(200)]})
    frame.to_csv("data.csv", index=False)
    assert run("train", "data.csv", "--target", "y", "--out", "out", *QUICK).status == 0
    assert table(run("predict", "out", "data.csv").out)[0].keys() == {"prediction", "probability"}


def test_other_files_are_predicted_and_evaluated(run, trained):
    frame = houses(30, seed=2).assign(extra=1, more="x")
    frame.loc[:4, "town"] = "Bonn"
    frame.to_csv("new.csv", index=False, sep=";", decimal=",", encoding="utf-16")
    for command in ("predict", "evaluate"):
        result = run(command, trained / "kind", "new.csv", "--backend", "numpy")
        assert result.status == 0
        assert "new.csv is no UTF-8: read as utf-16" in result.err
        assert (
            "new.csv: columns that the model does not know are ignored: extra, more" in result.err
        )
        assert "column 'town': 5 cells hold categories that training has not seen" in result.err
    assert "test on 30 rows of new.csv" in result.out
    frame.to_csv("colon.csv", index=False, sep=":")
    for command in ("predict", "evaluate"):
        assert run(command, trained / "kind", "colon.csv", "--separator", ":").status == 0


def test_the_record_says_what_there_is_to_know(trained):
    record = facts(trained / "kind")
    assert record["task"] == "classification"
    assert record["report"]["figures"].keys() == {"accuracy", "f1", "roc_auc"}
    assert Path(record["said"]["dataset"]).samefile(trained / "houses.csv")
    assert record["said"].items() >= {"target": "kind", "hidden": [8], "epochs": 3}.items()
    rows = table((trained / "kind" / "history.csv").read_text())
    done = record["settings"]["epochs_done"]
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3][:done]
    assert {"loss", "val_loss", "val_error"} < rows[0].keys()
    written = (files.MODEL, files.TABLE_MODEL, files.RUN)
    assert written == (runs.MODEL, runs.TABLE_MODEL, runs.RUN)


# A terminal --------------------------------------------------------------------------------------


@contextmanager
def on_terminal(*arguments):
    """The command in a process of its own, and the terminal that its standard error is."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    # A shell that starts the tests in the background makes Python ignore Ctrl-C.
    code = (
        "import signal, sys; from nnfs_xp.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, *arguments]
    with (
        open(ours) as screen,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=its, text=True) as process,
    ):
        os.close(its)
        try:
            yield process, lines(screen)
        finally:
            process.kill()


def lines(screen):
    with suppress(OSError):  # which is how Linux says that the other end was closed
        yield from screen


def test_on_a_terminal_a_bar_shows_the_loss():
    houses().to_csv("data.csv", index=False)
    with on_terminal("train", "data.csv", "--target", "price", *QUICK) as (process, shown):
        last = [line for line in shown if line.strip()][-1]
        assert process.wait(60) == 0
    number = r"\d+(\.\d+)?(e-\d+)?"
    line = last.rpartition("\r")[2].rstrip()
    figure = rf"{number} \(val {number}\)"
    assert re.fullmatch(rf"epoch [23]/3 loss {figure} error {figure} \d+k? samples/s", line)


# Cut and resumed ---------------------------------------------------------------------------------

CUT = ("--hidden", "8", "--epochs", "12", "--backend", "numpy")


def signal_at(monkeypatch, network, epoch, number):
    """Have the command get a signal after so many epochs of one of its networks."""
    begin, look, done = EarlyStopping.on_train_begin, EarlyStopping.on_epoch_end, []

    def begun(self, *training):
        done.append(0)
        begin(self, *training)

    def counted(self, *training):
        done[-1] += 1
        if (len(done) - 1, done[-1]) == (network, epoch):
            signal.raise_signal(number)
        look(self, *training)

    monkeypatch.setattr(EarlyStopping, "on_train_begin", begun)
    monkeypatch.setattr(EarlyStopping, "on_epoch_end", counted)


def assert_the_same(one, other, run):
    """The models are the same bit for bit, and so is all that is said of them."""
    for name in ("model.safetensors", "history.csv"):
        assert Path(one, name).read_bytes() == Path(other, name).read_bytes(), name
    records = [facts(folder) for folder in (one, other)]
    for record in records:
        del record["sha256"]["columns.skops"], record["settings"]["seconds"]
    assert records[0] == records[1]
    data = records[0]["said"]["dataset"]
    predicted = [run("predict", folder, data, "--backend", "numpy").out for folder in (one, other)]
    assert predicted[0] == predicted[1] != ""


@pytest.mark.parametrize(
    ("more", "cuts"),
    [
        (("--folds", "1"), [(0, 3)]),
        (("--folds", "1"), [(0, 1), (0, 4)]),
        (("--folds", "3"), [(0, 2)]),
        (("--folds", "3"), [(1, 2), (2, 3)]),
        (("--folds", "2", "--ensemble", "2", "--interval", "0.8"), [(1, 1)]),
    ],
)
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.usefixtures("no_pages")
def test_a_training_that_was_cut_goes_on_as_if_it_was_not(
    run, monkeypatch, number, status, more, cuts
):
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        houses().to_csv("data.csv", index=False)
        command = ("train", "data.csv", "--target", "price", "--drop", "kind", *CUT, *more)
        assert run(*command, "--out", "whole").status == 0
        for network, epoch in cuts:
            with monkeypatch.context() as context:
                signal_at(context, network, epoch, number)
                result = run(*command, "--out", "cut")
            assert result.status == status
            assert result.out.endswith("stopped; go on with: nnfs-xp train --resume --out cut\n")
            assert names("cut") == {"run.json", "checkpoints"}
            assert_refused(run("evaluate", "cut"), "is not finished. Go on with --resume")
            command = ("train", "--resume", "--backend", "numpy")
        assert run(*command, "--out", "cut").status == 0
        assert_the_same("whole", "cut", run)
    finally:
        signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("no_pages")
def test_what_was_cut_goes_on_with_the_same_words_and_file_only(run, monkeypatch):
    houses().to_csv("data.csv", index=False)
    options = ("--target", "kind", *CUT, "--folds", "1")
    assert run("train", "data.csv", "--out", "whole", *options).status == 0
    with monkeypatch.context() as context:
        signal_at(context, 0, 2, signal.SIGTERM)
        assert run("train", "data.csv", "--out", "cut", *options).status == 143
    assert_refused(run("train", "data.csv", "--out", "cut", *options), "cut already holds a run.js")
    before = Path("data.csv").read_bytes()
    Path("data.csv").write_bytes(before + b"50,Rome,200,hut\n")
    resumed = ("train", "data.csv", "--out", "cut", *options, "--resume")
    assert_refused(run(*resumed), "data.csv has changed since the training began. Train anew")
    Path("data.csv").write_bytes(before)
    for word, complaint in (
        (("--hidden", "9"), "cut was trained with hidden [8], not with [9]."),
        (("--target", "price"), "cut was trained with target kind, not with price"),
        (("--missing", "x"), "cut was trained without missing, not with ['x']"),
    ):
        assert_refused(run(*resumed, *word), complaint)
    assert run(*resumed).status == 0
    assert_the_same("whole", "cut", run)
    before = Path("cut/model.safetensors").read_bytes()
    assert run("train", "--resume", "--out", "cut").status == 0, "and once more changes nothing"
    assert Path("cut/model.safetensors").read_bytes() == before
    assert run("train", "data.csv", "--out", "new", *options, "--resume").status == 0
    assert_the_same("whole", "new", run)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.usefixtures("no_pages")
def test_a_command_that_gets_a_signal_can_be_resumed(run, number, status):
    houses().to_csv("data.csv", index=False)
    options = ("--target", "kind", "--hidden", "8", "--epochs", "400", "--backend", "numpy")
    command = ("train", "data.csv", "--out", "cut", *options, "--folds", "1")
    with on_terminal(*command, "--progress", "lines") as (process, shown):
        assert any("epoch 3/" in line for line in shown)
        process.send_signal(number)
        assert "Traceback" not in "".join(shown)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == status
    assert "stopped; go on with: nnfs-xp train --resume --out cut" in out
    assert run("train", "--resume", "--out", "cut", "--backend", "numpy").status == 0
    assert run("train", "data.csv", "--out", "whole", *options, "--folds", "1").status == 0
    assert_the_same("whole", "cut", run)
