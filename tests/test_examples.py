"""The examples run as they stand, from a folder of their own."""

from __future__ import annotations

import csv
import gzip
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
CHAPTER_NUMBERS = [
    "[[6.]]",
    "[[-3., -1.,  2.]]",
    "[[-3.001, -0.998,  1.997]]",
    "[[5.985]]",
    "[[ 0.44, -0.38, -0.07,  1.37]]",
    " [20.1, 20.1, 20.1],",
    "[[6., 6., 6.]]",
    " [ 0., 10., 11.,  0.]]",
    "[[ 0.179515 ,  0.5003665, -0.262746 ],",
    "[[1.98489 , 2.997739, 0.497389]]",
]


def run(name, *arguments, cwd, options=(), **environment):
    names = ("PYTHONPATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    kept = {each: os.environ[each] for each in names if each in os.environ}
    result = subprocess.run(
        [sys.executable, "-W", "error", *options, EXAMPLES / name, *arguments],
        cwd=cwd,
        env={"PATH": "", **kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_chapter(backend, tmp_path):
    output = run("chapter09_backpropagation.py", backend.name, cwd=tmp_path)
    assert output.startswith(f"# On {backend.name}\n")
    lines = output.splitlines()
    for line in CHAPTER_NUMBERS:
        assert line in lines


def test_a_convolution_by_hand(backend, tmp_path):
    output = run("convolution_by_hand.py", backend.name, cwd=tmp_path)
    assert output.startswith(f"# On {backend.name}\n")
    assert "Their sum and the bias: 0.0 + 1.0 = 1.0" in output
    for line in ("[[1., 2., 2., 1.],", " [-1.,  1.,  0.,  2.],"):  # windows of a pixel, a patch
        assert line in output.splitlines()
    for name in ("output", "dweights", "dbiases", "dinputs"):
        assert f"{name}: as by hand" in output
    largest = re.findall(r"the largest difference is (\S+)", output)
    assert len(largest) == 3
    assert all(float(each) < 1e-7 for each in largest)


@pytest.fixture
def small_mnist(tmp_path):
    """Files in MNIST's format with a hundred images each; a class is a bright row."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    labels = (np.arange(100) % 10).astype(np.uint8)
    images = np.zeros((100, 28, 28), dtype=np.uint8)
    images[np.arange(100), labels + 5] = 255
    for kind in ("train", "t10k"):
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            with gzip.open(folder / f"{kind}-{name}-ubyte.gz", "wb") as file:
                file.write(header + array.tobytes())
    return folder.parent


def test_mnist(tmp_path, small_mnist):
    assert len((EXAMPLES / "train_mnist.py").read_text().splitlines()) < 40
    output = run(
        "train_mnist.py", "30", cwd=tmp_path, NNFS_XP_DATA=str(small_mnist), NNFS_XP_BACKEND="numpy"
    )
    assert "669,706 parameters, float32, on numpy" in output
    assert "test accuracy 1.0000" in output
    assert (tmp_path / "mnist.safetensors").exists()


SMALL = """
import runpy, sys
from nnfs_xp.data import cifar10
cifar10._RECORDS = 20
del sys.argv[0]
names = runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs an example on files of CIFAR-10 that have twenty pictures each."""


@pytest.fixture
def small_cifar10(tmp_path):
    """Files in CIFAR-10's format with twenty pictures each; a class is a bright band."""
    folder = tmp_path / "data" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for number, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        labels = np.arange(20) % 10
        random = np.random.default_rng(number)
        pictures = random.integers(60, size=(20, 3, 32, 32), dtype=np.uint8)
        for picture, label in zip(pictures, labels, strict=True):
            picture[:, 3 * label : 3 * label + 3] = 255
        records = np.column_stack([labels, pictures.reshape(20, -1)])
        (folder / f"{name}.bin").write_bytes(records.astype(np.uint8).tobytes())
    return folder.parent


def test_cifar10(tmp_path, small_cifar10):
    again = """
import nnfs_xp as nn
print("losses", *names["trainer"].history["loss"])
blocks = [names["Convolution"], names["Stage"]]
model, pictures = nn.load("cifar10.safetensors", custom_layers=blocks), names["X_test"][:]
print("the same:", (model.forward(pictures) == names["model"].forward(pictures)).all())
"""
    settings = {"NNFS_XP_BACKEND": "numpy", "NNFS_XP_KERNELS": "numpy"}
    options, data = ("-c", SMALL + again), str(small_cifar10)
    output = run(
        "train_cifar10.py", "3", cwd=tmp_path, options=options, NNFS_XP_DATA=data, **settings
    )
    assert "0        Stage              (batch, 16, 16, 64)       75,840" in output
    assert "1,923,914 parameters, float32, on numpy" in output
    assert re.search(r"test accuracy [01]\.\d{4}\n", output)
    losses = [float(each) for each in re.search(r"losses (.*)", output)[1].split()]
    assert len(losses) == 3
    assert losses[-1] < 0.8 * losses[0]
    assert "the same: True" in output


def test_cifar10_to_94_percent(tmp_path, small_cifar10):
    output = run(
        "cifar10_94_percent.py",
        *("--epochs", "12", "--images", "64", "--widths", "8", "8", "8", "--backend", "numpy"),
        *("--curve", "curve.csv"),
        cwd=tmp_path,
        options=("-c", SMALL),
        NNFS_XP_DATA=str(small_cifar10),
        NNFS_XP_KERNELS="numpy",
    )
    assert re.search(r"^run 0: .* s, test accuracy [01]\.\d{4}, with views [01]\.\d{4}\n", output)
    assert re.search(r"\n1 runs: (\S+) on average, lowest \1\n", output)
    with open(tmp_path / "curve.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == [str(epoch) for epoch in range(1, 13)]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) - 0.1
    assert float(rows[-1]["accuracy"]) > float(rows[0]["accuracy"])


def test_a_layer_of_ones_own(tmp_path):
    output = run("custom_layer.py", cwd=tmp_path)
    assert "the layer keeps the contract" in output
    accuracy = float(output.partition("test accuracy ")[2].split()[0])
    assert accuracy > 0.93
    assert "loaded again: Gain and 5 more layers" in output


def test_fine_tuning(tmp_path):
    output = run("fine_tuning.py", cwd=tmp_path, NNFS_XP_KERNELS="numpy")
    assert "6,240 of them frozen" in output
    words = ("which digit", "a new head", "all new", "all tuned")
    figures = [float(output.partition(f"{each}: test accuracy ")[2][:5]) for each in words]
    digits, head, new, tuned = figures
    assert digits > 0.95
    assert new < head < tuned, output


def test_the_dropout_paper(tmp_path, small_mnist):
    output = run(
        "dropout_paper.py",
        *("--epochs", "1", "--samples", "60", "--batch-size", "30", "--out", "curves"),
        cwd=tmp_path,
        NNFS_XP_DATA=str(small_mnist),
        NNFS_XP_BACKEND="numpy",
    )
    lines = output.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        "dropout",
        "dropout:",
        "max-norm",
        "max-norm:",
    ]
    assert lines[1].endswith("after 1 epochs; the paper: 1.25 %")
    for row in ("dropout", "max-norm"):
        table = (tmp_path / "curves" / f"{row}-seed0.csv").read_text().splitlines()
        assert table[0] == "epoch,loss,error,seconds"
        assert len(table) == 2


DRAWN = {  # what each prints, as a pattern with the figures in it
    "plot_autoencoder.py": r"mean squared error: (0\.\d+) with noise, (0\.\d+) without",
    "plot_dropout.py": r"without dropout: .* accuracy (0\.\d+)\nwith dropout: .* accuracy (0\.\d+)",
    "plot_filters.py": r"test accuracy (0\.\d+)\n.* pixel in row \d, column \d\n",
    "plot_gan.py": r"(?s)p 0: distance (\S+).*p 3000: distance (\S+).* rarest heap has (\S+)%",
    "plot_mistakes.py": r"accuracy: (0\.\d+)\ntop_2_accuracy: (0\.\d+)",
    "plot_saliency.py": r"that matter inverted: accuracy (\S+)\n.* random .*: accuracy (\S+)",
    "plot_schedules.py": r"one cycle: loss 0\.0\d+, validation (0\.\d+)\n",
    "plot_spiral.py": r"loss (1\.\d+) after the first epoch, (0\.\d+) after the last",
    "plot_vanishing_gradients.py": r"sigmoid: the first layer's gradient is (.+) of the last\n",
    "plot_weights.py": r"test accuracy (0\.\d+)",
}
HOLDS = {
    "plot_autoencoder.py": lambda noisy, cleaned: cleaned < 0.3 * noisy,
    "plot_dropout.py": lambda without, with_dropout: with_dropout > without + 0.03,
    "plot_filters.py": lambda accuracy: accuracy > 0.96,
    # Two clouds of real points are 0.002 apart; an eighth of the points in each heap is the best.
    "plot_gan.py": lambda first, last, rarest: first > 1 and last < 0.15 and rarest > 0.5,
    "plot_mistakes.py": lambda accuracy, top_2: 0.9 < accuracy < top_2,
    "plot_saliency.py": lambda five_that_matter, any_five: five_that_matter < any_five - 0.1,
    "plot_schedules.py": lambda loss: loss < 0.15,
    "plot_spiral.py": lambda first, last: last < 0.5 * first,
    "plot_vanishing_gradients.py": lambda share: share < 1e-4,
    "plot_weights.py": lambda accuracy: accuracy > 0.93,
}


@pytest.mark.parametrize("name", DRAWN)
def test_those_that_draw_show_what_they_say(name, tmp_path):
    # Old releases of Matplotlib use what their dependencies have deprecated.
    quiet = ("-W", "ignore::DeprecationWarning")
    settings = {"MPLBACKEND": "Agg", "MPLCONFIGDIR": str(tmp_path), "NNFS_XP_KERNELS": "numpy"}
    output = run(name, cwd=tmp_path, options=quiet, **settings)
    found = re.search(DRAWN[name], output)
    assert found, output
    assert HOLDS[name](*map(float, found.groups())), output


def test_every_example_is_run_here_or_with_the_extras():
    tested = {
        "chapter09_backpropagation.py",
        "convolution_by_hand.py",
        "train_mnist.py",
        "train_cifar10.py",
        "cifar10_94_percent.py",
        "custom_layer.py",
        "fine_tuning.py",
        "dropout_paper.py",
        "train_many.py",  # in tests/test_mpi.py
        "plot_classifier.py",  # in tests/ecosystem/test_notebook.py, which has scikit-learn
        "plot_table.py",  # there, too: it has the extra tables
        "tune_with_halving.py",  # these two in tests/ecosystem/test_tuning.py, which has Optuna
        "tune_with_optuna.py",
        *DRAWN,
    }
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested
