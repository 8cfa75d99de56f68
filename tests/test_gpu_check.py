"""The check for a GPU runs without one: as a rehearsal, part by part, and reports what broke."""

from __future__ import annotations

import math
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from nnfs_xp.backend import get_backend
from nnfs_xp.errors import BackendError

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_check", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_parts_are_listed():
    from benchmarks.gpu_check import PARTS

    done = run("--list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(PARTS)
    assert list(PARTS)[-1] == "tests"  # what is cut when time runs out


def test_each_part_has_its_code():
    import importlib

    from benchmarks.gpu_check import CARD, PARTS

    for part in (CARD, *PARTS.values()):
        module = importlib.import_module(f"benchmarks.gpu.{part.module}")
        assert callable(getattr(module, part.function))


def test_without_a_gpu_one_line_says_so(tmp_path):
    with suppress(BackendError):
        get_backend("cupy")
        pytest.skip("there is a GPU")
    done = run("--out", tmp_path / "report.md")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("cupy is not ")
    assert not (tmp_path / "report.md").exists()


def test_no_such_part():
    done = run("--only", "nonsense")
    assert done.returncode == 2
    assert "there is no part 'nonsense'" in done.stderr


def test_a_rehearsal_writes_the_report(tmp_path):
    out = tmp_path / "report.md"
    done = run("--backend", "numpy", "--quick", "--only", "host", "--out", out)
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert text.startswith("# GPU check\n")
    for line in (
        "**A rehearsal on a CPU: no figure here is one of a GPU.**",
        "No goal was measured.",
        "| train_step, not recorded | ",
        "- host: host time of train_step, recorded: not measured: numpy cannot record",
        "- mnist: not asked for",
    ):
        assert line in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## Goals", "## Checks", "## The host's time", "## Not measured"]
    assert "=== host: ran" in (tmp_path / "report.log").read_text()
    assert str(out) in done.stdout


def test_a_part_that_breaks_is_told_and_fails(tmp_path):
    out = tmp_path / "report.md"
    done = run(
        *("--backend", "numpy", "--quick", "--only", "host,recorded", "--minutes", 0.001),
        *("--out", out),
    )
    assert done.returncode == 1
    assert "- host: not run: the 0.001 minutes were over" in out.read_text()


def test_a_process_has_a_limit(tmp_path):
    from benchmarks.gpu_check import run_limited

    output = tmp_path / "output"
    begun = "import time; print('begun', flush=True); "
    command = [sys.executable, "-c"]
    assert run_limited([*command, begun], 60, output) == "ran"
    assert run_limited([*command, f"{begun} 1 / 0"], 60, output) == "broke with the status 1"
    assert "ZeroDivisionError" in output.read_text()
    found = run_limited([*command, f"{begun} time.sleep(600)"], 2, output)
    assert found == "timed out after 2 s"


def test_goals_are_met_or_missed():
    from benchmarks.gpu.results import Goal

    assert Goal("ratio", 0.35, 0.35).met
    assert Goal("ratio", 0.351, 0.35).word == "**missed**"
    assert Goal("accuracy", 0.98, 0.98, at_least=True).met
    assert Goal("accuracy", 0.979, 0.98, at_least=True).word == "**missed**"
    assert not Goal("ratio", math.nan, 0.35).met
    assert not Goal("accuracy", math.nan, 0.98, at_least=True).met


def test_the_report_shows_what_was_found_before_a_part_broke(tmp_path):
    from benchmarks.gpu.report import Outcome, render, worst_of
    from benchmarks.gpu.results import Goal, Results, read

    path = tmp_path / "results.jsonl"
    results = Results(path)
    for batch, ratio in ((32, 0.2), (512, 0.4)):
        goal = Goal("share of a step", ratio, 0.35, at=f"batch {batch}")
        results.row("Steps", batch=batch, ratio=ratio, goal=results.goal(goal))
    results.goal(Goal("rate", 0.9, 0.7, at_least=True))
    results.check("the bits are the same", good=True)
    results.absent("JAX", "it is\nnot installed")
    with results.attempt("steps run"):
        raise ValueError("a | b")
    with path.open("a") as file:
        file.write('{"kind": "row", "tab')  # killed here
    outcome = Outcome("steps", "Training steps", "timed out after 9 s", 9.0, read(path), ["slow"])
    card = Outcome("card", "The card", records=[{"kind": "fact", "name": "card", "value": "H200"}])
    text = render("2026-11-24", card, [outcome], "python")
    for line in (
        "| card | H200 |",
        "| share of a step | at most 0.35 | 0.4 (batch 512) | **missed**, 1 of 2 met |",
        "| rate | at least 0.7 | 0.9 | met |",
        "| steps | the bits are the same | holds |  |",
        "| steps | steps run | **fails** | ValueError: a \\| b |",
        "| 32 | 0.2 | met |",
        "| 512 | 0.4 | **missed** |",
        "- steps: JAX: not measured: it is not installed",
        "- steps: timed out after 9 s",
    ):
        assert line in text.splitlines(), line
    assert "```text\nslow\n```" in text
    assert "rehearsal" not in text
    assert not outcome.good
    assert worst_of([Goal("", 0.9, 0.7, True), Goal("", 0.8, 0.7, True)]).value == 0.8


def test_a_missed_goal_is_no_failure_and_a_failed_check_is():
    from benchmarks.gpu.report import Outcome

    goal = {"kind": "goal", "what": "", "value": 1.0, "bound": 0.5, "at_least": False, "at": ""}
    assert Outcome("steps", "Training steps", records=[goal]).good
    check = {"kind": "check", "what": "", "good": False, "detail": ""}
    assert not Outcome("steps", "Training steps", records=[goal, check]).good


def test_operations_of_a_step():
    from benchmarks.gpu.works import GPU_WORKS, flops

    wide = GPU_WORKS["wide"]
    assert flops(wide, 8192) == 8192 * (6 * 4 - 2) * 4096**2
    assert wide.sizes == (4096,) * 5


def test_differences_are_relative_to_the_largest():
    from benchmarks.gpu.contest import difference

    assert difference([1.0, 2.2], [1.0, 2.0]) == pytest.approx(0.1)
    assert math.isnan(difference([1.0, math.nan], [1.0, 2.0]))
