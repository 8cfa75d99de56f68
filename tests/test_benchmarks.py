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


def test_a_convolution():
    shapes = ["--shapes", "3x5x6-4,16x6x5-16", "--batch", 2, "--cores", 1]
    few = ["--rounds", 1, "--seconds", 0.001, "--peers", "nnfs_xp,nnfs_xp@numpy"]
    done = run("convolution", *shapes, *few)
    assert done.returncode == 0, done.stderr
    table = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| 1 | ")]
    assert [row[1:3] for row in table] == [
        [shape, peer] for shape in ("3x5x6-4", "16x6x5-16") for peer in ("nnfs_xp", "nnfs_xp@numpy")
    ]
    for row in table:
        assert float(row[3]) > 0
        assert row[4:6] == ["", ""]  # PyTorch was not asked for
        assert float(row[6].strip("| ")) >= 0
    done = run("convolution", "--peers", "nnfs_xp,of_nobody")
    assert done.returncode == 2
    assert "there is no peer of_nobody; there are nnfs_xp, " in done.stderr


def test_a_convolution_is_compared_with_both_layouts(monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import contest, convolution

    class Peer:
        def __init__(self, name):
            if name == "torch_last":
                raise contest.AbsentError("no such layout")
            self.name, self.seconds = name, {"nnfs_xp": 0.012, "torch": 0.048}[name]

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def ask(self, command, *words):
            return self.seconds * words[0] if command == "run" else 7.4

    monkeypatch.setattr(convolution, "Convolving", Peer)
    monkeypatch.setenv("NNFS_XP_BENCHMARK_CORES", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    few = ["--cores", "1", "--shapes", "3x5x6-4", "--rounds", "2"]
    monkeypatch.setattr(sys, "argv", ["", *few, "--peers", "nnfs_xp,torch,torch_last"])
    convolution.main()
    printed = capsys.readouterr()
    assert printed.err == "without torch_last: no such layout\n"
    assert printed.out.splitlines()[-2:] == [
        "| 1 | 3x5x6-4 | nnfs_xp | 12 | 0.25 |  | 7 |",
        "| 1 | 3x5x6-4 | torch | 48 | 1.00 |  | 7 |",
    ]


def test_without_a_name_they_are_listed():
    done = run()
    assert done.returncode == 0
    for name in ("steps", "epoch", "goal", "footprint", "convolution"):
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


def table_run(table, seed, method, score, area=None, fit=1.0):
    run = {"table": table, "seed": seed, "method": method, "machine": "a machine"}
    run["seconds"] = {"fit": fit, "predict": 0.5}
    if area is None:
        return {**run, "figures": {"r2": score, "rmse": 2.0, "mae": 1.0}}
    figures = {"accuracy": score, "roc_auc": area, "log_loss": 0.3}
    return {**run, "figures": figures, "baseline": 0.8}


def table_facts(target, classes):
    counts = {"rows": 4_000, "columns": 7, "categories": 2, "gaps": 189, "dates": 1}
    return {"target": target, "classes": classes, **counts}


def test_tables_are_scored_by_what_is_kept(tmp_path):
    runs = []
    for seed, shift in ((0, 0.01), (1, -0.01)):
        runs += [
            table_run("attrition", seed, "nnfs_xp", 0.9, 0.8),
            table_run("attrition", seed, "RealMLP", 0.85 + shift, 0.9, fit=4.0),
            table_run("attrition", seed, "MLP", 0.75, 0.6),
            table_run("SLID", seed, "nnfs_xp", 0.4, fit=4.0),
            table_run("SLID", seed, "RealMLP", 0.5, fit=4.0),
            table_run("SLID", seed, "MLP", -0.1),
            table_run("SLID", seed, "HistGradientBoosting", 0.25),
        ]
    runs.append(table_run("attrition", 0, "HistGradientBoosting", 0.99, 0.99))
    failed = {"table": "attrition", "seed": 1, "method": "HistGradientBoosting"}
    runs.append({**failed, "machine": "a machine", "error": "ValueError: too hard"})
    runs.append(table_run("SLID", 2, "nnfs_xp", 1.0))  # not chosen
    facts = {"attrition": table_facts("Attrition", 2), "SLID": table_facts("wages", None)}
    path = tmp_path / "tables.json"
    path.write_text(json.dumps({"facts": facts, "runs": runs}))
    before = path.read_bytes()
    done = run("tables", "--only", "attrition,SLID", "--seeds", 2, "--results", path)
    assert done.returncode == 0, done.stderr
    assert (done.stderr, path.read_bytes()) == ("", before)  # nothing was learnt
    deviation = 0.02 / 2**0.5
    for line in (
        "a machine",
        "| attrition | Attrition, 2 classes | 4,000 | 7 | 2 | 189 | 1 |",
        "| SLID | wages, a number | 4,000 | 7 | 2 | 189 | 1 |",
        f"| attrition | accuracy | 2 | **0.9000 ± 0.0000**, 1.0 s | 0.8500 ± {deviation:.4f}, 4.0 s"
        " | 0.7500 ± 0.0000, 1.0 s | failed |",
        "| SLID | R² | 2 | 0.4000 ± 0.0000, 4.0 s | **0.5000 ± 0.0000**, 4.0 s"
        " | -0.1000 ± 0.0000, 1.0 s | 0.2500 ± 0.0000, 1.0 s |",
        # (1 + 4/5) / 2 by accuracy, (3/4 + 4/5) / 2 by the area; √(1/4 · 1) and 10/16 of the time
        "| nnfs_xp | 0.900 | 0.775 | 10.0 | 0.500 | 0.625 | 2.00 |",
        "| RealMLP | 0.750 | 1.000 | 16.0 | 1.000 | 1.000 | 2.00 |",
        "| MLP | 0.000 | 0.125 | 4.0 | 0.250 | 0.250 | 2.00 |",
        # One of its four runs failed: (0 + 1/2) / 2.
        "| HistGradientBoosting | 0.250 | 0.250 | 3.0 | 0.250 | 0.250 | 1.50 |",
        "attrition, seed 1, HistGradientBoosting: failed, ValueError: too hard",
    ):
        assert line in done.stdout.splitlines()
    done = run("tables", "--only", "attrition,SLIDE", "--results", path)
    assert done.returncode == 2
    assert "there is no SLIDE; there are attrition, " in done.stderr


def test_tables_go_on_where_they_were_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.tables import Results, complete

    path, asked = tmp_path / "of" / "tables.json", []

    def answers(table, seed, methods):
        asked.append((table, seed, *methods))
        yield {"facts": table_facts("wages", None)}
        for method in methods:
            if seed == 1 and method == "MLP" and len(asked) == 2:
                raise KeyboardInterrupt
            if method == "nnfs_xp":
                yield {"absent": method, "why": "not built"}
            else:
                yield {"run": table_run(table, seed, method, 0.5)}

    with pytest.raises(KeyboardInterrupt):
        complete(Results(path), ["SLID"], 2, answers)
    kept = Results(path)
    assert kept.facts == {"SLID": table_facts("wages", None)}
    assert [(run["seed"], run["method"]) for run in kept.runs] == [
        *((0, "RealMLP"), (0, "MLP"), (0, "HistGradientBoosting")),
        (1, "RealMLP"),
    ]
    complete(kept, ["SLID"], 2, answers)
    assert asked == [
        ("SLID", 0, "nnfs_xp", "RealMLP", "MLP", "HistGradientBoosting"),
        ("SLID", 1, "RealMLP", "MLP", "HistGradientBoosting"),  # another first, none that is absent
        ("SLID", 0, "nnfs_xp"),
        ("SLID", 1, "MLP", "HistGradientBoosting"),
    ]
    assert capsys.readouterr().err.count("without nnfs_xp: not built\n") == 2
    again = Results(path)
    assert again.runs == kept.runs
    again.forget(["MLP", "RealMLP"], ["SLID"], 1)
    assert [(run["seed"], run["method"]) for run in again.runs] == [
        (0, "HistGradientBoosting"),
        *((1, "RealMLP"), (1, "MLP"), (1, "HistGradientBoosting")),
    ]
    again.forget(["MLP"], ["ames"], 2)
    assert len(again.runs) == 4
