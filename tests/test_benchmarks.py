"""The benchmarks run, compare what computes the same, and leave their figures."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PEERS = ["nnfs_xp", "nnfs_xp@standard", "floor", "book"]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the benchmarks draw on POSIX terminals")

FEW = ["--rounds", "2", "--seconds", "0.001"]


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_steps(tmp_path):
    peers = ["--peers", ",".join([*PEERS, "of_nobody"]), "--out", tmp_path]
    done = run("steps", "--works", "b,d", "--batches", "1,7", *FEW, *peers)
    assert done.returncode == 0, done.stderr
    assert "without of_nobody" in done.stderr
    rows = json.loads((tmp_path / "steps.json").read_text())["rows"]
    assert [(row["work"], row["batch"], row["kind"]) for row in rows] == list(
        itertools.product("bd", (1, 7), ("infer", "step"))
    )
    for row in rows:
        assert list(row["peers"]) == PEERS
        assert row["peers"]["nnfs_xp"]["ratio"] == 1
        assert all(each["median"] > 0 for each in row["peers"].values())
        assert f"| {row['work']} | {row['batch']} | {row['kind']} |" in done.stdout
    assert (tmp_path / "steps.png").read_bytes().startswith(b"\x89PNG")


def test_steps_beside_busy_processes(tmp_path):
    peers = ["--peers", "nnfs_xp@1,book", "--out", tmp_path, "--busy", "2"]
    done = run("steps", "--works", "b", "--batches", "3", "--kinds", "step", *FEW, *peers)
    assert done.returncode == 0, done.stderr
    assert "2 rounds, 2 busy beside" in done.stdout
    assert "| b | 3 | step, 2 busy |" in done.stdout
    (row,) = json.loads((tmp_path / "steps.json").read_text())["rows"]
    assert row["busy"] == 2
    assert list(row["peers"]) == ["nnfs_xp", "nnfs_xp@1", "book"]


def test_steps_in_one_process(tmp_path):
    peers = ["--peers", "plain,of_nobody,nnfs_xp@numpy", "--out", tmp_path, "--together"]
    done = run("steps", "--works", "b", "--batches", "3", "--kinds", "step", *FEW, *peers)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "steps.json").read_text())["rows"]
    assert list(row["peers"]) == ["nnfs_xp", "plain"]


def test_a_peer_that_computes_something_else_is_told(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.steps import begin

    class Peer:
        def __init__(self, name, losses):
            self.name, self.losses = name, losses

        def ask(self, command, *_):
            return self.losses if command == "losses" else None

    begin([Peer("nnfs_xp", [1.0, 0.5]), Peer("other", [1.0, 0.504])], "a", 1)
    with pytest.raises(SystemExit, match="other computes something else"):
        begin([Peer("nnfs_xp", [1.0, 0.5]), Peer("other", [1.0, 0.51])], "a", 1)


def test_the_loop_of_the_book():
    done = run("book", "1", "3", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    for way in ("book's manner", "nnfs_xp.book", "nn by hand"):
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"| {way} |")]
        assert all(float(cell) > 0 for cell in line.split("|")[2:5])


def test_without_a_name_they_are_listed():
    done = run()
    assert done.returncode == 0
    for name in ("steps", "epoch", "goal", "footprint"):
        assert f"\n{name} " in f"\n{done.stdout}"
    assert run("nonsense").returncode == 2


@pytest.fixture
def small_mnist(tmp_path):
    """A data set of MNIST's form, a bright row for each class, and learnt at once."""
    import gzip

    import numpy as np

    folder = tmp_path / "mnist"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for part, n in (("train", 6_000), ("t10k", 1_000)):
        labels = generator.integers(10, size=n, dtype=np.uint8)
        images = generator.integers(60, size=(n, 28, 28), dtype=np.uint8)
        images[np.arange(n), labels * 2] = 255
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            header = bytes([0, 0, 8, array.ndim]) + sizes
            with gzip.open(folder / f"{part}-{kind}-ubyte.gz", "wb", compresslevel=1) as file:
                file.write(header + array.tobytes())
    return str(tmp_path)


def test_goal_and_epoch(small_mnist):
    done = run("goal", "--rounds", 1, "--peers", "book,nnfs_xp+average", NNFS_XP_DATA=small_mnist)
    assert done.returncode == 0, done.stderr
    for name in ("nnfs_xp", "book", "nnfs_xp+average"):
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"| {name} |")]
        assert int(line.strip("| ").split(" | ")[-1]) <= 3
    done = run("epoch", "--rounds", 1, "--peers", "book", NNFS_XP_DATA=small_mnist)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| 1.0000 |") == 2
    done = run("footprint", "--peers", "book", NNFS_XP_DATA=small_mnist)
    assert done.returncode == 0, done.stderr
    assert "| nnfs-xp |" in done.stdout
