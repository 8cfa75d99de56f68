"""The command ``nnfs-xp`` on folders of images: what it learns, predicts and refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from nnfs_xp.cli import main
from nnfs_xp.errors import ShapeError
from nnfs_xp.recipes import CNN, IMAGES

COLOURS = {"blue": (30, 40, 220), "green": (20, 200, 60), "red": (230, 30, 20)}
QUICK = ("--hidden", "4,8", "--epochs", "8", "--backend", "numpy", "--learning-rate", "0.02")
ALWAYS = {"model.safetensors", "run.json", "history.csv", "checkpoints"}
PICTURES = {"training.png", "confusion.png", "misclassified.png", "filters.png", "feature_maps.png"}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _no_pictures(monkeypatch):
    monkeypatch.setattr("nnfs_xp.cli.datasets.draw_pictures", lambda *_: None)


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


def write_images(folder, n=20, size=(16, 12), mode="RGB", seed=0):
    """Images of one colour, or one grey, with noise, in a folder for each class."""
    random = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        Path(folder, name).mkdir(parents=True)
        for number in range(n):
            noise = random.normal(0, 15, size=(size[1], size[0], 3))
            pixels = np.clip(noise + colour, 0, 255).astype(np.uint8)
            ending = "png" if number % 2 else "jpg"
            Image.fromarray(pixels).convert(mode).save(Path(folder, name, f"{number}.{ending}"))
    return Path(folder)


def facts(folder):
    return json.loads(Path(folder, "run.json").read_text())


def accuracy(out):
    return float(re.search(r"test accuracy (\d\.\d{4})", out).group(1))


def names(folder):
    return {path.name for path in Path(folder).iterdir()}


def assert_refused(result, complaint):
    """Exit status 2, and a clear line at the end of the other output."""
    assert (result.status, result.out) == (2, "")
    assert "Traceback" not in result.err
    last = result.err.splitlines()[-1]
    assert last.startswith("nnfs-xp")
    assert complaint in last


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of images, and that of a training on them."""
    folder = tmp_path_factory.mktemp("images")
    images = write_images(folder / "colours")
    arguments = ["train", str(images), *QUICK, "--out", str(folder / "out")]
    assert main(arguments) == 0
    return images, folder / "out"


def test_a_folder_is_learned_tested_and_predicted(run, trained):
    _, out = trained
    assert names(out) == ALWAYS | PICTURES
    found = facts(out)
    assert found["classes"] == sorted(COLOURS)
    assert found["image"] == [12, 16, 3], "images of one size are taken as they are"
    assert found["model"] == "cnn"
    assert found["test"]["accuracy"] == 1
    again = run("evaluate", out)
    assert again.status == 0
    assert accuracy(again.out) == 1
    write_images("new", n=2, size=(40, 30), seed=1)
    shutil.copy("new/red/0.jpg", "one.JPG")
    result = run("predict", out, "one.JPG", "new")
    assert result.status == 0
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert list(rows[0]) == ["file", "prediction", "probability"]
    assert [(row["file"], row["prediction"]) for row in rows] == [
        ("one.JPG", "red"),
        *((f"new/{name}/{file}", name) for name in COLOURS for file in ("0.jpg", "1.png")),
    ]
    assert accuracy(run("evaluate", out, "new").out) == 1


def test_the_parts_are_a_tenth_of_each_class_or_the_folders(run, tmp_path):
    write_images("images")
    result = run("train", "images", *QUICK, "--epochs", "1", "--out", "a")
    assert f"{tmp_path / 'images'}: 49 images of 12 x 16 x 3, 3 classes" in result.out
    write_images("parts/train", n=10)
    write_images("parts/test", n=4, seed=1)
    result = run("train", "parts", *QUICK, "--epochs", "1", "--out", "b")
    assert ": 27 images of" in result.out
    assert "test accuracy" in result.out


@pytest.mark.usefixtures("_no_pictures")
def test_size_greys_and_rows(run):
    write_images("grey", mode="L", n=10)
    assert run("train", "grey", "--size", "8", *QUICK, "--out", "a").status == 0
    assert facts("a")["image"] == [8, 8, 1]
    result = run("train", "grey", "--model", "mlp", *QUICK, "--out", "b")
    assert result.status == 0
    assert "network 192-4-8-3" in result.out
    assert run("predict", "b", "grey/red").out.count("grey/red") == 10
    write_images("large", n=4, size=(70, 80))
    write_images("several", n=4)
    write_images("several/more", n=4, size=(20, 10))
    for name in COLOURS:
        shutil.copy(f"several/more/{name}/0.jpg", f"several/{name}/wide.jpg")
    shutil.rmtree("several/more")
    for name in ("large", "several"):
        assert run("train", name, *QUICK, "--epochs", "1", "--out", f"{name}-out").status == 0
        assert facts(f"{name}-out")["image"] == [64, 64, 3]


@pytest.mark.usefixtures("_no_pictures")
def test_resume_goes_on_with_the_same_images_only(run):
    images = write_images("images", n=10)
    assert run("train", images, *QUICK, "--out", "out").status == 0
    before = Path("out/model.safetensors").read_bytes()
    assert run("train", "--resume", "--out", "out", "--backend", "numpy").status == 0
    assert run("train", images, "--resume", "--out", "out", "--backend", "numpy").status == 0
    assert Path("out/model.safetensors").read_bytes() == before
    refused = run("train", "--resume", "--out", "out", "--size", "9")
    assert_refused(refused, "out was trained with size 0, not 9")
    assert_refused(run("train", "digits", "--resume", "--out", "out"), "was trained with dataset")
    (images / "red" / "0.jpg").unlink()
    assert_refused(run("train", "--resume", "--out", "out"), "have changed since the training")
    assert_refused(run("evaluate", "out"), "Name a folder to test on")
    shutil.rmtree(images)
    assert_refused(run("evaluate", "out"), "there is no folder")


@pytest.mark.usefixtures("_no_pictures")
def test_damaged_files_are_refused_or_skipped(run):
    images = write_images("images", n=10)
    (images / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    refused = run("train", images, *QUICK, "--out", "out")
    assert_refused(refused, "broken.png")
    assert "or leave them out with --skip-damaged." in refused.err
    assert not Path("out").exists()
    result = run("train", images, *QUICK, "--skip-damaged", "--out", "out")
    assert result.status == 0
    assert "broken.png" in result.err
    assert run("evaluate", "out").status == 0
    large = (images / "red" / "1.png").read_bytes()
    (images / "red" / "1.png").write_bytes(large[: len(large) // 2])
    refused = run("train", images, *QUICK, "--out", "again")
    assert_refused(refused, "or leave them out with --skip-damaged.")
    assert not Path("again").exists()


@pytest.mark.usefixtures("_no_pictures")
def test_damaged_files_are_refused_in_a_test(run, trained):
    _, out = trained
    images = write_images("images", n=2)
    (images / "red" / "broken.png").write_bytes(b"")
    refused = run("evaluate", out, images)
    assert_refused(refused, "broken.png: it is no image, or damaged. Mend or remove them, or name")
    assert "unreadable" not in refused.err


@pytest.mark.parametrize(
    ("folder", "out"),
    [
        ("images", "images/out"),
        ("images", "images"),
        ("images", "images/red/runs/../out"),
        ("images", "link/out"),
        (".", None),
        ("..", None),
        (".", "images"),
    ],
)
def test_results_among_the_images_are_refused(run, tmp_path, monkeypatch, folder, out):
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    write_images("images", n=2)
    Path("link").symlink_to("images")
    before = set(Path("..").rglob("*"))
    result = run("train", folder, *QUICK, *(() if out is None else ("--out", out)))
    assert_refused(result, "Give an --out outside of it.")
    assert len(result.err.splitlines()) == 1
    assert set(Path("..").rglob("*")) == before


@pytest.mark.usefixtures("_no_pictures")
def test_only_images_count_as_changes(run):
    for name in ("images", "elsewhere"):
        write_images(name, n=8)
    Path("images/violet").symlink_to(Path("elsewhere/red").resolve())
    assert run("train", "images", *QUICK, "--epochs", "1", "--out", "out").status == 0
    assert facts("out")["classes"] == ["blue", "green", "red", "violet"]
    for name in (".DS_Store", "red/Thumbs.db", "red/.0.png", ".cache/0.png", "cover.png"):
        Path("images", name).parent.mkdir(exist_ok=True)
        Path("images", name).write_bytes(b"none")
    assert run("evaluate", "out").status == 0
    assert run("train", "--resume", "--out", "out", "--backend", "numpy").status == 0
    Path("elsewhere/red/0.jpg").unlink()
    assert_refused(run("evaluate", "out"), "have changed since the training")


@pytest.mark.usefixtures("_no_pictures")
def test_classes_that_the_training_does_not_know_are_refused(run, trained):
    _, out = trained
    write_images("parts/train", n=4)
    write_images("parts/test", n=3, seed=1)
    shutil.copytree("parts/test/red", "parts/test/violet")
    Path("parts/test/notes").mkdir()
    refused = run("train", "parts", *QUICK, "--out", "out")
    assert_refused(refused, "has a class that the training did not have: 'violet' (3 images)")
    assert not Path("out").exists()
    Path("parts/test/violet/0.jpg").unlink()
    Path("parts/test/violet/1.png").unlink()
    assert_refused(run("evaluate", out, "parts/test"), "'violet' (1 image)")
    shutil.rmtree("parts/test/violet")
    assert run("evaluate", out, "parts/test").status == 0


@pytest.mark.parametrize(
    ("plan", "shape", "transform"),
    [
        ("images", (64, 48, 3), "Compose(Flip(), Shift(4))"),
        ("images", (32, 32, 3), "Compose(Flip(), Shift(4))"),
        ("images", (30, 9, 3), "Compose(Flip(), Shift(2))"),
        ("images", (2, 30, 3), "Compose(Flip())"),
        ("fashion-mnist", (28, 28, 1), "Compose(Flip(), Shift(2))"),
        ("mnist", (28, 28, 1), "Shift(2, mode='zeros')"),
        ("cifar10", (32, 32, 3), "Compose(Flip(alternating=True), Shift(2))"),
    ],
)
def test_shifts_follow_the_size(plan, shape, transform):
    assert repr(CNN[plan].augmentation(shape)) == transform


@pytest.mark.usefixtures("_no_pictures")
@pytest.mark.parametrize("size", [(4, 4), (2, 30), (9, 3), (5, 12)])
def test_small_and_narrow_images(run, size):
    write_images("images", n=10, size=size)
    options = ("--hidden", "4", "--epochs", "2", "--backend", "numpy", "--out", "out")
    result = run("train", "images", *options)
    assert result.status == 0
    assert facts("out")["image"] == [size[1], size[0], 3]


@pytest.mark.usefixtures("_no_pictures")
@pytest.mark.parametrize("out", [None, "out", "there", "new/out"])
@pytest.mark.parametrize("watched", [(), ("--watch",)])
def test_a_training_that_cannot_begin_leaves_nothing(run, trained, monkeypatch, out, watched):
    images, _ = trained

    def fail(*_):
        raise ShapeError("no room")

    plan = replace(IMAGES["cnn"], augmentation=lambda _: fail)
    monkeypatch.setitem(IMAGES, "cnn", plan)
    Path("there").mkdir()
    options = () if out is None else ("--out", out)
    result = run("train", images, *QUICK, *watched, *options)
    assert result.status == 2
    assert result.err.splitlines()[-1].endswith("no room")
    assert [str(path) for path in Path().rglob("*")] == ["there"]


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("train nothing", "nothing"),
        ("train images --task regression", "--task does not go with a folder of images"),
        ("train images --size 3", "3 stages need images of at least 8 x 8 pixels"),
        ("train images --size 1 --hidden 4", "1 stage needs images of at least 2 x 2 pixels"),
        (
            "train images --target y",
            "--target is for tables; images has folders of images",
        ),
        ("train images --size 0", "argument --size: '0' is no whole number"),
        ("train other", "has one class only, 'violet'"),
        ("train ''", "argument dataset: '' names no data set"),
        ("evaluate out ''", "argument dataset: '' names no data set"),
        ("evaluate out nothing", "nothing"),
        ("evaluate out other", "violet"),
        ("predict out nothing", "there are no images in the folder nothing"),
        ("predict out nowhere.png", "nowhere.png: it cannot be read (No such file or directory)"),
        ("predict out broken.png", "broken.png"),
        ("predict out images/red/0.jpg -o images/red/0.jpg", "would overwrite"),
        ("evaluate lost", "does not say which size its images have"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line(run, trained, command, complaint):
    for source, name in zip(trained, ("images", "out"), strict=True):
        shutil.copytree(source, name)
    shutil.copytree("out", "lost")
    Path("lost/run.json").write_text(json.dumps(facts("out") | {"image": [8]}))
    Path("nothing").mkdir()
    Path("broken.png").write_bytes(b"no image")
    shutil.copytree("images/red", "other/violet")
    before = set(Path().rglob("*"))
    assert_refused(run(*shlex.split(command)), complaint)
    assert set(Path().rglob("*")) == before, "nothing is left behind"


def test_names_of_files_may_be_any_bytes(run, trained):
    images, _ = trained
    shutil.copytree(images, "images")
    name = os.fsdecode(b"\xff.png")
    try:
        shutil.copy("images/red/1.png", Path("images", "red", name))
    except OSError:
        pytest.skip("the file system takes no such names")
    assert run("train", "images", *QUICK, "--epochs", "1", "--out", "out").status == 0
    assert run("evaluate", "out").status == 0


def test_hidden_files_and_folders_called_images_are_not_predicted(run, trained):
    images, out = trained
    shutil.copytree(images / "red", "red")
    Path("red/.hidden.png").write_bytes(b"no image")
    Path("red/folder.png").mkdir()
    result = run("predict", out, "red")
    assert result.status == 0
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert len(rows) == len(list((images / "red").iterdir()))


def test_a_model_of_a_data_set_takes_images(run):
    assert run("train", "--hidden", "8", "--epochs", "1", "--backend", "numpy", "--out", "out")
    Image.new("L", (30, 30)).save("black.png")
    (row,) = csv.DictReader(io.StringIO(run("predict", "out", "black.png").out))
    assert row["file"] == "black.png"
    assert row["prediction"] in "0123456789"
