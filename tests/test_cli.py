"""The command ``nnfs-xp``: what it trains and writes, and how it refuses and stops."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_data import write_mnist

import nnfs_xp as nn
from nnfs_xp.cli import main

ALWAYS = {"model.safetensors", "run.json", "history.csv", "checkpoints"}
PICTURES = {"training.png", "confusion.png", "misclassified.png", "weights.png"}
FILES = ALWAYS | PICTURES
OF_CONVOLUTIONS = FILES - {"weights.png"} | {"filters.png", "feature_maps.png"}
QUICK = ("--hidden", "8", "--epochs", "1", "--backend", "numpy")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NNFS_XP_DATA", raising=False)


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


@pytest.fixture
def _no_pictures(monkeypatch):
    """Drawing takes most of the time of a short training."""
    monkeypatch.setattr("nnfs_xp.cli.datasets.draw_pictures", lambda *_: None)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The folder of a training on the digits."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert main(["train", "--epochs", "20", "--out", str(folder), "--backend", "numpy"]) == 0
    return folder


def facts(folder):
    return json.loads(Path(folder, "run.json").read_text())


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def names(folder):
    return {path.name for path in Path(folder).iterdir()}


def accuracy(out):
    return float(re.search(r"test accuracy (\d\.\d{4})", out).group(1))


def test_train_with_nothing_else_learns_the_digits(run):
    result = run("train")
    assert result.status == 0
    assert accuracy(result.out) >= 0.97
    (folder,) = Path("runs").glob("digits-*")
    assert f"results in {folder}" in result.out
    assert names(folder) == FILES
    assert facts(folder)["test"]["accuracy"] == pytest.approx(accuracy(result.out), abs=1e-4)
    rows = table((folder / "history.csv").read_text())
    assert [int(row["epoch"]) for row in rows] == list(range(1, facts(folder)["epochs_done"] + 1))
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} < rows[0].keys()
    for picture in FILES - ALWAYS:
        image = pytest.importorskip("matplotlib.image").imread(folder / picture)
        assert image.std() > 0.01, "something is drawn"


@pytest.mark.usefixtures("_no_pictures")
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_a_training_in_half_precision_and_one_that_cannot_be(run):
    result = run("train", "--precision", "float16", "--epochs", "3", *QUICK[-2:], "--out", "half")
    assert result.status == 0
    assert accuracy(result.out) > 0.8
    assert facts("half")["precision"] == "float16"
    result = run("train", "--out", "half", "--resume", "--precision", "float32", *QUICK[-2:])
    assert_refused(result, "half was trained with precision float16, not float32")
    result = run("train", "--precision", "bfloat16", *QUICK[-2:], "--out", "none")
    assert_refused(result, "`precision` 'bfloat16': numpy has no data type 'bfloat16'")
    assert not Path("none").exists()


@pytest.mark.usefixtures("_no_pictures")
@pytest.mark.parametrize("backend", ["numpy", "array_api_strict"])
def test_every_option_of_train_is_followed(run, backend):
    command = "train --out a/b --hidden 16,12 --epochs 3 --batch-size 50 --learning-rate 0.02"
    result = run(*command.split(), "--dropout", "0.25", "--seed", "7", "--backend", backend)
    assert result.status == 0
    assert f"1295 samples, network 64-16-12-10, on {backend}" in result.out
    assert (
        facts("a/b").items()
        >= {
            "dataset": "digits",
            "backend": backend,
            "epochs_done": 3,
            "batch_size": 50,
            "learning_rate": 0.02,
            "seed": 7,
        }.items()
    )
    model = nn.load("a/b/model.safetensors", "numpy")
    assert [layer.rate for layer in model.layers if isinstance(layer, nn.Dropout)] == [0.25] * 2


@pytest.mark.usefixtures("_no_pictures")
def test_the_seed_decides_everything(run):
    models = []
    for name, seed in (("first", 3), ("same", 3), ("other", 4)):
        assert run("train", *QUICK, "--seed", seed, "--out", name).status == 0
        models.append(Path(name, "model.safetensors").read_bytes())
    assert models[0] == models[1] != models[2]


@pytest.mark.usefixtures("_no_pictures")
def test_runs_in_the_same_second_have_folders_of_their_own(run):
    assert run("train", *QUICK).status == run("train", *QUICK).status == 0
    assert len(names("runs")) == 2


def test_spiral_is_learned(run):
    result = run("train", "spiral", "--out", "spiral")
    assert result.status == 0
    assert accuracy(result.out) > 0.85, "its arms overlap: nothing can do better than about 0.91"
    assert names("spiral") == ALWAYS | {"training.png", "confusion.png", "boundary.png"}


@pytest.mark.usefixtures("_no_pictures")
@pytest.mark.parametrize(
    ("name", "classes"),
    [("mnist", set("0123456789")), ("fashion-mnist", set(nn.data.FASHION_CLASSES))],
)
def test_the_mnist_family_is_trained_and_predicted(run, name, classes, monkeypatch, tmp_path):
    write_mnist(tmp_path / "data" / name)
    monkeypatch.setenv("NNFS_XP_DATA", str(tmp_path / "data"))
    trained = run("train", name, *QUICK, "--out", "out")
    assert trained.status == 0
    assert "36 samples, network 784-8-10" in trained.out
    assert accuracy(run("evaluate", "out").out) == accuracy(trained.out)
    pixels = np.random.default_rng(1).integers(256, size=(30, 784))
    np.savetxt("pixels.csv", pixels, delimiter=",", fmt="%d")
    rows = table(run("predict", "out", "pixels.csv").out)
    assert {row["prediction"] for row in rows} <= classes
    model = nn.load("out/model.safetensors", "numpy")
    expected = model.forward((pixels / 255).astype(np.float32)).max(axis=1)
    assert [float(row["probability"]) for row in rows] == pytest.approx(expected, abs=1e-4)


def test_convolutions_learn_the_digits(run):
    result = run("train", "--model", "cnn", "--epochs", "6", "--out", "out")
    assert result.status == 0
    assert result.out.startswith("digits: 1295 images of 8 x 8 x 1, 10 classes, convolutions 32-64")
    assert "67,754 parameters" in result.out
    assert accuracy(result.out) > 0.96
    assert names("out") == OF_CONVOLUTIONS
    for picture in OF_CONVOLUTIONS - ALWAYS:
        image = pytest.importorskip("matplotlib.image").imread(Path("out", picture))
        assert image.std() > 0.01, "something is drawn"
    assert facts("out").items() >= {"model": "cnn", "hidden": [32, 64], "epochs": 6}.items()
    assert accuracy(run("evaluate", "out").out) == accuracy(result.out)
    X = nn.data.load_digits().X_test
    np.savetxt("X.csv", X * 16, delimiter=",", fmt="%g")
    rows = table(run("predict", "out", "X.csv").out)
    expected = nn.load("out/model.safetensors", "numpy").forward(X.reshape(-1, 8, 8, 1))
    assert [int(row["prediction"]) for row in rows] == expected.argmax(axis=1).tolist()


@pytest.mark.usefixtures("_no_pictures")
def test_what_is_said_of_convolutions_is_followed(run):
    options = ("--hidden", "4,6", "--dropout", "0.25", "--epochs", "1", "--seed", "7")
    result = run("train", "--model", "cnn", *options, "--backend", "array_api_strict")
    assert result.status == 0
    (folder,) = Path("runs").iterdir()
    model = nn.load(folder / "model.safetensors", "numpy")
    kinds = nn.Conv2D, nn.Dropout
    found = [layer for layer in model.layers if isinstance(layer, kinds)]
    sizes = [getattr(layer, "n_filters", None) or layer.rate for layer in found]
    assert sizes == [4, 4, 6, 6, 0.25]


@pytest.mark.usefixtures("_no_pictures")
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_convolutions_take_the_mnist_family(run, name, monkeypatch, tmp_path):
    write_mnist(tmp_path / "data" / name)
    monkeypatch.setenv("NNFS_XP_DATA", str(tmp_path / "data"))
    quick = ("--hidden", "3,4", *QUICK[2:])
    trained = run("train", name, "--model", "cnn", *quick, "--out", "out")
    assert trained.status == 0
    assert f"{name}: 36 images of 28 x 28 x 1" in trained.out
    assert accuracy(run("evaluate", "out").out) == accuracy(trained.out)


@pytest.mark.parametrize("model", [(), ("--model", "mlp")])
def test_cifar10_is_trained_and_drawn_in_colours(run, model, monkeypatch, tmp_path):
    folder = tmp_path / "data" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    monkeypatch.setattr("nnfs_xp.data.cifar10._RECORDS", 30)
    random = np.random.default_rng(0)
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        records = random.integers(256, size=(30, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(30) % 10
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    monkeypatch.setenv("NNFS_XP_DATA", str(tmp_path / "data"))
    trained = run("train", "cifar10", *model, "--hidden", "4,6", *QUICK[2:], "--out", "out")
    assert trained.status == 0
    said = "135 samples, network 3072-4-6-10" if model else "135 images of 32 x 32 x 3"
    assert said in trained.out
    assert names("out") == (FILES if model else OF_CONVOLUTIONS)
    evaluated = run("evaluate", "out").out
    assert evaluated.split()[-1] == f"{facts('out')['test']['loss']:.4f}", "with smoothed labels"


@pytest.mark.parametrize("more", [(), ("digits",), ("--backend", "array_api_strict")])
def test_evaluate_gives_the_figures_of_the_training(run, digits, more):
    result = run("evaluate", digits, *more)
    assert result.status == 0
    assert accuracy(result.out) == pytest.approx(facts(digits)["test"]["accuracy"], abs=1e-4)


@pytest.mark.parametrize("header", ["", ",".join(f"pixel {i}" for i in range(64))])
def test_predict_names_the_digit_of_each_row(run, digits, header):
    X = nn.data.load_digits().X_test
    np.savetxt("X.csv", X * 16, delimiter=",", header=header, comments="", fmt="%g")
    result = run("predict", digits, "X.csv")
    assert result.status == 0
    rows = table(result.out)
    expected = nn.load(digits / "model.safetensors", "numpy").forward(X)
    assert [int(row["prediction"]) for row in rows] == expected.argmax(axis=1).tolist()
    assert [float(row["probability"]) for row in rows] == pytest.approx(
        expected.max(axis=1), abs=1e-4
    )
    assert run("predict", digits, "X.csv", "-o", "answers.csv").out == ""
    assert Path("answers.csv").read_text() == result.out


def assert_refused(result, complaint):
    """Exit status 2, nothing on standard output, and a clear line at the end of the other."""
    assert (result.status, result.out) == (2, "")
    assert "Traceback" not in result.err
    last = result.err.splitlines()[-1]
    assert last.startswith("nnfs-xp")
    assert complaint in last


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"1,x\n3,4\n", "row 1, column 2: 'x' is no finite number"),
        (b"1,2\n3,4\n5,x\n", "row 3, column 2: 'x' is no finite number"),
        (b"a,b\n1,2\n,4\n", "row 3, column 1: '' is no finite number"),
        (b"1,2\n1,2,3\n", "row 2 has 3 columns; those before it have 2"),
        (b"1,2\n3,4\n", "bad.csv has 2 columns; the model takes 64 features"),
        (b"1;2\n", "separated by commas"),
        (b"1," * 63 + b"nan\n", "row 1, column 64: 'nan' is no finite number"),
        (b"", "has no rows of numbers"),
        (b"\xff\xfe1,2", "is no CSV file"),
    ],
)
def test_predict_says_what_is_wrong_in_a_file(run, digits, content, complaint):
    Path("bad.csv").write_bytes(content)
    assert_refused(run("predict", digits, "bad.csv", "-o", "answers.csv"), complaint)
    assert not Path("answers.csv").exists()


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("train moons", "unknown data set 'moons'; known are digits, spiral"),
        ("train --backend moons", "unknown backend 'moons'; known are auto, numpy"),
        ("train --backend numpy:7", "numpy runs on the CPU only"),
        ("train --backend cupy:99", "cupy"),
        ("train --hidden 64,x", "argument --hidden: 'x' is no whole number of at least 1"),
        ("train --hidden 4,4,4,4 --model cnn", "4 stages need images of at least 16 x 16 pixels"),
        ("train spiral --model cnn", "--model cnn needs images"),
        ("train --model rnn", "argument --model: invalid choice: 'rnn'"),
        ("train --size 32", "--size does not go with a data set with a name"),
        ("train --skip-damaged", "--skip-damaged does not go with a data set with a name"),
        ("evaluate digits cifar10", "takes samples of shape (64,); those of cifar10 have 3072"),
        ("predict digits good.csv X.csv", "one file of samples at a time; got 2"),
        ("train --epochs 0", "argument --epochs: '0' is no whole number of at least 1"),
        ("train --batch-size 1.5", "argument --batch-size: '1.5' is no whole number"),
        ("train --seed -1", "argument --seed: '-1' is no whole number of at least 0"),
        ("train --progress bar", "argument --progress: invalid choice: 'bar'"),
        ("train --dropout 1.5", "argument --dropout: '1.5' is no number from 0 up to below 1"),
        ("train --hidden 100000000000000000", "more than any memory holds"),
        ("train --learning-rate -0.1", "`learning_rate` must be above 0 and finite; got -0.1"),
        ("train --learning-rate nan", "`learning_rate` must be above 0 and finite; got nan"),
        ("train --out a-file", "cannot write to --out a-file"),
        ("train --out a-file/under", "cannot write to --out"),
        ("train --out damaged", "damaged already holds a model"),
        ("evaluate nowhere", "there is no folder nowhere"),
        ("evaluate empty", "there is no file"),
        ("evaluate damaged", "is no nnfs_xp model file, or damaged"),
        ("evaluate no-facts", "run.json is missing or damaged"),
        ("train --out no-model", "no-model already holds a run.json"),
        ("evaluate digits spiral", "takes samples of shape (64,); those of spiral have 2 features"),
        ("evaluate changed", "takes samples of shape (64,); those of mnist have 784 features"),
        ("evaluate no-name", "run.json is damaged: it names no data set"),
        ("predict changed X.csv", "takes samples of shape (64,); those of mnist"),
        ("predict digits good.csv -o good.csv", "would overwrite"),
        ("predict digits good.csv -o digits/model.safetensors", "would overwrite"),
        ("predict digits good.csv -o nowhere/out.csv", "cannot write nowhere/out.csv"),
        ("predict nowhere X.csv", "there is no folder nowhere"),
        ("predict digits X.csv", "cannot read X.csv: No such file"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line(run, digits, tmp_path, command, complaint):
    Path("a-file").touch()
    Path("empty").mkdir()
    for name in ("digits", "damaged", "no-facts", "no-model", "no-name", "changed"):
        shutil.copytree(digits, name)
    Path("damaged/model.safetensors").write_bytes(b"\x00" * 100)
    Path("no-facts/run.json").unlink()
    Path("no-model/model.safetensors").unlink()
    Path("no-name/run.json").write_text("[]")
    Path("changed/run.json").write_text('{"dataset": "mnist"}')
    Path("good.csv").write_text(",".join(["1"] * 64))
    before = set(tmp_path.rglob("*"))
    assert_refused(run(*command.split()), complaint)
    assert set(tmp_path.rglob("*")) == before, "nothing is left behind"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_diverges_is_a_failure_but_no_bad_usage(run):
    result = run("train", "--learning-rate", "1e30", "--backend", "numpy")
    assert result.status == 1
    assert "Lower the learning rate" in result.err.splitlines()[-1]
    (folder,) = Path("runs").iterdir()
    assert "model.safetensors" not in names(folder)


def test_without_matplotlib_only_the_pictures_are_missing(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("train", *QUICK, "--out", "out")
    assert result.status == 0
    assert "pip install 'nnfs-xp[plot]'" in result.err
    assert names("out") == ALWAYS


@pytest.mark.parametrize("picture", [*sorted(FILES - ALWAYS), "boundary.png"])
def test_no_picture_is_written_over(run, picture):
    Path("out").mkdir()
    Path("out", picture).write_bytes(b"mine")
    assert_refused(run("train", *QUICK, "--out", "out"), f"out already holds a {picture}")
    assert Path("out", picture).read_bytes() == b"mine"
    assert names("out") == {picture}


def test_a_disk_that_fills_while_drawing_costs_pictures_only(run, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nnfs_xp.plots.plot_weights", fail)
    result = run("train", *QUICK, "--out", "out")
    assert result.status == 0
    assert "not all pictures could be drawn: [Errno 28] No space left" in result.err
    assert names("out") == FILES - {"weights.png"}


def test_backends_lists_what_can_run(run):
    result = run("backends")
    assert result.status == 0
    alone, title, together = result.out.partition("\nto train in several processes:\n")
    assert title
    found = [
        dict(line.split(maxsplit=1) for line in each.splitlines()) for each in (alone, together)
    ]
    assert found[0]["numpy"] == f"{np.__version__}, cpu"
    assert found == [nn.available_backends(), nn.distributed.available_groups()]


def test_a_reader_that_leaves_is_no_error(digits):
    Path("many.csv").write_text((",".join(["1"] * 64) + "\n") * 20_000)
    command = [sys.executable, "-m", "nnfs_xp", "predict", digits, "many.csv"]
    command += ["--backend", "numpy"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"prediction,probability\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_help_names_the_defaults_of_each_data_set(run):
    out = " ".join(run("train", "--help").out.split())
    assert "mnist --hidden 512,256 --epochs 5 --batch-size 128" in out
    assert "mnist --model cnn --hidden 32,64 --epochs 10" in out
    assert "; cifar10 --hidden 64,256,256 --epochs" in out
    assert "; FOLDER --hidden 32,64,128 --epochs" in out


def test_a_full_disk_after_training_leaves_the_model(run, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nn.History, "to_csv", fail)
    result = run("train", *QUICK, "--out", "out")
    assert result.status == 2
    assert "the model is in out, but not all that goes with it" in result.err
    assert accuracy(run("evaluate", "out").out) > 0


def test_the_script_is_quiet_without_a_terminal():
    def run_script(*arguments):
        script = shutil.which("nnfs-xp", path=Path(sys.executable).parent)
        result = subprocess.run([script, *arguments], capture_output=True, text=True, check=False)
        return result.returncode, result.stdout.splitlines(), result.stderr.splitlines()

    assert run_script("--version") == (0, [f"nnfs-xp {nn.__version__}"], [])
    status, out, err = run_script("train", *QUICK)
    assert (status, len(out), err) == (0, 4, [])
    status, out, err = run_script("train", "moons")
    assert (status, out, len(err)) == (2, [], 1)


@pytest.mark.usefixtures("_no_pictures")
def test_progress_is_written_as_lines_or_not_at_all(run):
    options = ("train", "--epochs", "3", *QUICK[:2], *QUICK[-2:], "--out")
    asked = run(*options, "lines", "--progress", "lines")
    number = r"\d+(\.\d+)?(e-\d+)?"
    line = (
        rf"epoch (\d)/3 loss {number} \(val {number}\) accuracy {number} \(val {number}\) "
        r"\d+k? samples/s( 0:0\d left)?"
    )
    assert [re.fullmatch(line, each).group(1) for each in asked.err.splitlines()] == [*"123"]
    assert "0:0" in asked.err
    for more in ((), ("--progress", "auto"), ("--progress", "off")):
        silent = run(*options, f"silent{len(more)}{more[-1:]}", *more)
        assert silent.status == asked.status == 0
        assert silent.err == "", "the training takes less than a minute"
        assert len(silent.out.splitlines()) == len(asked.out.splitlines()) == 4
        assert accuracy(silent.out) == accuracy(asked.out)
    assert "progress" not in facts("lines")


def test_lines_of_progress_can_be_read_while_the_training_goes_on():
    command = [sys.executable, "-m", "nnfs_xp", "train", "--epochs", "100000", *QUICK[-2:]]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [*command, "--progress", "lines"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**environment, "CI": "1"},
    ) as process:
        try:
            first = [process.stdout.readline() for _ in range(4)]
            assert process.poll() is None
        finally:
            process.kill()
    if first[0].startswith("kernels for "):  # newly compiled
        first.pop(0)
    assert first[0].startswith("digits: 1295 samples")
    assert first[1].startswith("epoch 1/100000 loss ")
    assert first[2].startswith("epoch 2/100000 loss ")


@contextmanager
def on_terminal(*arguments, **environment):
    """The command in a process of its own, and the terminal that its standard error is."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    # A shell that starts the tests in the background makes Python ignore Ctrl-C.
    code = (
        "import signal, sys; from nnfs_xp.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, **environment}
    with (
        open(ours) as screen,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=its, text=True, env=environment
        ) as process,
    ):
        os.close(its)
        try:
            yield process, lines(screen)
        finally:
            process.kill()


def lines(screen):
    with suppress(OSError):  # which is how Linux says that the other end was closed
        yield from screen


def test_on_a_terminal_a_bar_shows_loss_accuracy_and_speed():
    options = ("--epochs", "2", "--backend", "numpy")
    with on_terminal("train", *options, NNFS_XP_KERNELS="numpy") as (process, shown):
        last = [line for line in shown if line.strip()][-1]
        assert process.wait(30) == 0
    line = last.rpartition("\r")[2].rstrip()
    number = r"\d(\.\d+)?"
    assert re.fullmatch(
        rf"epoch 2/2 loss {number} \(val {number}\) accuracy {number} \(val {number}\) "
        r"\d+k? samples/s",
        line,
    )
    assert len(line) < 80


@pytest.mark.parametrize(("word", "expected"), [("lines", 2), ("off", 0)])
def test_on_a_terminal_too_progress_is_as_asked_for(word, expected):
    options = ("--epochs", "2", "--backend", "numpy", "--progress", word)
    with on_terminal("train", *options, NNFS_XP_KERNELS="numpy") as (process, shown):
        seen = [line for line in shown if "epoch" in line]
        assert process.wait(30) == 0
    assert [line.split()[:3] for line in seen] == [
        ["epoch", f"{n}/2", "loss"] for n in range(1, expected + 1)
    ]
    assert not any("\r" in line.rstrip("\r\n") for line in seen)


def test_ctrl_c_keeps_the_model(run):
    with on_terminal("train", "--epochs", "100000", "--out", "out") as (process, shown):
        assert any("epoch 3/" in line for line in shown)
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in "".join(shown)
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 130
    assert "the model so far is in out" in out
    assert "nnfs-xp train --out out --resume" in out
    assert names("out") == ALWAYS
    done = facts("out")["epochs_done"]
    assert done >= 2
    assert accuracy(run("evaluate", "out").out) > 0.5

    result = run("train", "--out", "out", "--resume", "--epochs", done + 2)
    assert result.status == 0
    assert names("out") == FILES
    assert facts("out")["epochs_done"] == done + 2
    run("train", "--out", "whole", "--epochs", done + 2)
    for name in ("model.safetensors", "history.csv"):
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()


@pytest.mark.usefixtures("_no_pictures")
def test_resume_takes_the_settings_of_the_run_and_refuses_others(run):
    assert run("train", "spiral", *QUICK, "--seed", "3", "--out", "out").status == 0
    result = run("train", "--out", "out", "--resume", "--epochs", "2")
    assert result.status == 0
    assert "spiral: 2160 samples, network 2-8-3" in result.out
    assert (facts("out")["seed"], facts("out")["epochs_done"]) == (3, 2)
    for more, complaint in (
        (("digits",), "out was trained with dataset spiral, not digits"),
        (("--hidden", "9"), "out was trained with hidden (8,), not (9,)"),
        (("--seed", "0"), "out was trained with seed 3, not 0"),
    ):
        assert_refused(run("train", *more, "--out", "out", "--resume"), complaint)
    assert_refused(run("train", "--resume"), "--resume needs --out")
    assert_refused(run("train", "--out", "out"), "Go on with --resume")


@pytest.mark.usefixtures("_no_pictures")
def test_a_run_from_before_there_were_convolutions_is_resumed(run):
    assert run("train", *QUICK, "--out", "out").status == 0
    former = facts("out")
    assert former.pop("model") == "mlp"
    Path("out/run.json").write_text(json.dumps(former))
    assert run("train", "--out", "out", "--resume", "--epochs", "2").status == 0
    refused = run("train", "--out", "out", "--resume", "--model", "cnn")
    assert_refused(refused, "out was trained with model mlp, not cnn")


def test_a_training_of_convolutions_is_cut_and_resumed(run):
    options = ("--model", "cnn", "--hidden", "4,4", "--epochs", "60", "--backend", "numpy")
    with on_terminal("train", *options, "--out", "out") as (process, shown):
        assert any("epoch 3/" in line for line in shown)
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in "".join(shown)
        process.communicate(timeout=30)
        assert process.returncode == 130
    assert 2 <= facts("out")["epochs_done"] < 60
    refused = run("train", "--out", "out", "--resume", "--epochs", "61")
    assert_refused(refused, "out was begun with epochs 60, over which its learning rate falls")
    assert run("train", "--out", "out", "--resume", "--backend", "numpy").status == 0
    assert names("out") == OF_CONVOLUTIONS
    run("train", *options, "--out", "whole")
    for name in ("model.safetensors", "history.csv"):
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()


def test_resume_of_nothing_starts_anew(run):
    assert run("train", *QUICK, "--out", "new", "--resume").status == 0
    assert names("new") == FILES


def test_sigterm_keeps_the_model_too():
    options = ("--epochs", "100000", "--out", "out")
    with on_terminal("train", *options, NNFS_XP_KERNELS="numpy") as (process, shown):
        assert any("epoch 3/" in line for line in shown)
        process.send_signal(signal.SIGTERM)
        assert "Traceback" not in "".join(shown)
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 143
    assert "the model so far is in out" in out
    assert names("out") == ALWAYS
