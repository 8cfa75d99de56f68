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

QUICK = ("--hidden", "8", "--epochs", "3", "--backend", "numpy")
ALWAYS = {"model.skops", "run.json", "history.csv", "training.png"}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


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
    ("load", "figure", "least", "picture"),
    [
        (load_wine, "accuracy", 0.9, "confusion.png"),
        (load_breast_cancer, "ROC AUC", 0.97, "confusion.png"),
        (load_diabetes, "R²", 0.3, "predictions.png"),
    ],
)
def test_known_tables_are_learnt_with_the_defaults(run, load, figure, least, picture):
    load(as_frame=True).frame.to_csv("data.csv", index=False)
    result = run("train", "data.csv", "--target", "target", "--out", "out", "--backend", "numpy")
    assert result.status == 0
    assert result.err == ""
    model, baseline = report_of(result.out)[figure]
    assert model > least > baseline
    assert names("out") == ALWAYS | {picture}
    image = pytest.importorskip("matplotlib.image").imread(f"out/{picture}")
    assert image.std() > 0.01, "something is drawn"
    assert report_of(run("evaluate", "out").out) == report_of(result.out)


# Training ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["d.csv", "d.csv.gz", "d.parquet", "d.pq", "d.tsv", "d"])
def test_files_of_all_kinds_are_trained_on(run, name):
    write = houses().to_parquet if name[-2:] in ("et", "pq") else houses().to_csv
    options = {"sep": "\t"} if name.endswith("tsv") else {}
    write(name, index=False, **options)
    result = run("train", name, "--target", "kind", *QUICK)
    assert result.status == 0
    (folder,) = Path("runs").glob("d-*")
    assert f"results in {folder}" in result.out
    assert f"{name}: 120 rows; classification of 'kind', 2 classes, from 3 columns" in result.out
    assert report_of(result.out).keys() == {"accuracy", "F1 (macro)", "ROC AUC"}
    assert facts(folder)["features"][1] == {"name": "town", "kind": "category"}


def test_every_option_is_followed(run):
    houses().rename(columns={"size": "zip"}).to_csv("data.csv", index=False, sep=":")
    houses(40, seed=1).rename(columns={"size": "zip"}).to_csv("test.csv", index=False, sep=":")
    command = (
        "train data.csv --target price --task regression --test test.csv --separator : --out a/b "
        "--categorical zip --drop kind --hidden 7,5 --epochs 2 --batch-size 30 --seed 9 "
        "--learning-rate 0.02 --dropout 0.25 --backend array_api_strict"
    )
    result = run(*command.split())
    assert result.status == 0
    assert "test on 40 rows of test.csv" in result.out
    assert report_of(result.out).keys() == {"R²", "MAE", "RMSE"}
    record = facts("a/b")
    assert record["features"] == [
        {"name": "zip", "kind": "category"},
        {"name": "town", "kind": "category"},
    ]
    assert record["dropped"] == {"kind": "as asked for"}
    wanted = {"hidden": [7, 5], "epochs": 2, "batch_size": 30, "seed": 9, "learning_rate": 0.02}
    wanted |= {"dropout": 0.25, "backend": "array_api_strict"}
    assert record["settings"].items() >= wanted.items()
    assert report_of(run("evaluate", "a/b").out) == report_of(result.out)
    command = (
        "train data.csv --target price --separator : --drop kind --numeric zip --test-share 0.5"
    )
    result = run(*command.split(), *QUICK)
    assert "test on 60 rows held out" in result.out


def test_columns_that_are_left_out_are_said(run):
    frame = houses().assign(id=np.arange(120), same=1, note=[f"note {i}" for i in range(120)])
    frame.to_csv("data.csv", index=False)
    result = run("train", "data.csv", "--target", "kind", "--out", "out", *QUICK)
    assert result.status == 0
    assert result.err.splitlines() == [
        "nnfs-xp: warning: column 'id' is left out: it counts the rows",
        "nnfs-xp: warning: column 'same' is left out: it is the same in all rows",
        "nnfs-xp: warning: column 'note' is left out: 120 different texts in 120 rows: names or "
        "free text",
    ]
    assert facts("out")["dropped"].keys() == {"id", "same", "note"}


def test_a_folder_is_not_written_over(run, trained):
    shutil.copytree(trained / "kind", "out")
    houses().to_csv("data.csv", index=False)
    before = Path("out/model.skops").read_bytes()
    result = run("train", "data.csv", "--target", "kind", "--out", "out", *QUICK)
    assert_refused(result, "out already holds a model.skops. Name another --out")
    assert Path("out/model.skops").read_bytes() == before


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
        ("train . --target y", "cannot read .: Is a directory"),
        ("train a.csv --target y", "cannot read a.csv: Is a directory"),
        ("train good.csv --target y --resume --out q", "--resume does not go with a file"),
        ("train good.csv --target y --precision float32", "--precision does not go with a file"),
        ("train --out kind --resume", "--resume goes on with data sets only, not with files"),
        ("train digits --target y", "--target does not go with a data set with a name"),
        ("train --target y", "--target does not go with a data set with a name"),
        ("train digits --test good.csv", "--test does not go with a data set with a name"),
        ("train spiral --drop a", "--drop does not go with a data set with a name"),
        ("train good.csv --target y --task cluster", "argument --task: invalid choice: 'cluster'"),
        ("train good.csv --target y --task regression", "row 2, column 'y': 'n' is no number"),
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
        ("predict kind houses.csv -o kind/model.skops", "would overwrite"),
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
    shutil.copy(trained / "houses.csv", "houses.csv")
    for name in ("kind", "damaged", "no-facts", "moved", "changed", "test-changed"):
        shutil.copytree(trained / "kind", name)
    Path("damaged/model.skops").write_bytes(b"\x00" * 100)
    Path("no-facts/run.json").unlink()
    record = facts("kind")
    tested = {"test": str(Path("good.csv").resolve()), "test_sha256": "0"}
    Path("test-changed/run.json").write_text(json.dumps({**record, **tested}))
    Path("moved/run.json").write_text(json.dumps({**record, "dataset": "/nowhere/houses.csv"}))
    Path("changed/run.json").write_text(json.dumps({**record, "data_sha256": "0"}))
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
    script = [sys.executable, "-c", code, "train", *QUICK, "--out", "out"]
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
        ["train", "data.csv", "--target", "price", "--out", "price", *QUICK],
        ["predict", "kind", "data.csv", "--backend", "numpy"],
        **poor,
    )
    assert (statuses, done.stderr) == ([0, 0, 0], "")
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
    assert record["target"] == {
        "name": "kind",
        "task": "classification",
        "kind": "category",
        "classes": ["hut", "villa"],
    }
    assert record["report"]["figures"].keys() == {"accuracy", "f1", "roc_auc"}
    assert Path(record["dataset"]).samefile(trained / "houses.csv")
    rows = table((trained / "kind" / "history.csv").read_text())
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert {"loss", "val_loss"} < rows[0].keys()
    assert (files.MODEL, files.RUN) == (runs.TABLE_MODEL, runs.RUN)


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
    assert re.fullmatch(rf"epoch 3/3 loss {number} \(val {number}\) \d+k? samples/s", line)


def test_ctrl_c_keeps_the_best_model(run):
    houses().to_csv("data.csv", index=False)
    options = ("--hidden", "8", "--epochs", "1000000", "--learning-rate", "1e-7", "--out", "out")
    with on_terminal("train", "data.csv", "--target", "kind", *options) as (process, shown):
        assert any("epoch 3/" in line for line in shown)
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in "".join(shown)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 130
    assert "the model so far is in out" in out
    assert names("out") == ALWAYS | {"confusion.png"}
    assert facts("out")["settings"]["interrupted"]
    assert report_of(run("evaluate", "out").out) == report_of(out)
