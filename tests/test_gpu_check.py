"""The check for a GPU says what it found, what it did not measure and why, and always ends."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from nnfs_xp.backend import get_backend
from nnfs_xp.errors import BackendError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the check ends groups of processes")

ROOT = Path(__file__).parents[1]
RUN_LIGHTLY = """
import sys
from benchmarks import gpu_check
from benchmarks.gpu import prepare
heavy = {"numpy", "cupy", "nnfs_xp", "array_api_compat", "platformdirs"} & set(sys.modules)
sys.exit(str(heavy) if heavy else 0)
"""


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)


def run(*arguments, module="benchmarks.gpu_check"):
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
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
    by_default = [name for name, part in PARTS.items() if part.by_default]
    assert by_default == ["smoke", "tests", "ranks", "bench", "cifar", "mnist", "compiled"]


def test_each_part_has_its_module_and_its_log():
    from benchmarks.gpu_check import FILES, PARTS

    assert len(FILES) == len(set(FILES)) <= 8
    for part in PARTS.values():
        assert (ROOT / "benchmarks" / "gpu" / f"{part.module}.py").is_file()
        assert part.log in FILES


def test_each_smoke_check_has_its_function():
    from benchmarks.gpu.smoke import CHECKS, ESSENTIAL

    source = (ROOT / "benchmarks" / "gpu" / "smoke_checks.py").read_text()
    for check in CHECKS:
        name, _, argument = check.partition(":")
        assert f"\ndef {name}({argument and source.partition(f'def {name}(')[2][:4]}" in source
    assert set(ESSENTIAL) <= set(CHECKS)


def test_it_begins_on_a_bare_machine():
    done = subprocess.run(
        [sys.executable, "-c", RUN_LIGHTLY], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_without_a_gpu_one_line_says_so(tmp_path, monkeypatch):
    with suppress(BackendError):
        get_backend("cupy")
        pytest.skip("there is a GPU")
    monkeypatch.setenv("OUT", str(tmp_path))
    done = run()
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("cupy is not ")
    text = (tmp_path / "summary.md").read_text()
    assert line in text
    assert "| smoke | not run: there is nothing to run on | 0 |" in text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--only", "smoke,nonsense"], "there is no part 'nonsense'; there are smoke, tests,"),
        (["--checks", "kernels,nonsense"], "there is no check 'nonsense'; there are versions,"),
        (["--tests", "tests/nonsense.py"], "there is no tests/nonsense.py"),
        (["--minutes", "0"], "--minutes must be above 0; got 0"),
    ],
)
def test_bad_arguments(arguments, line):
    done = run(*arguments)
    assert done.returncode == 2
    assert line in done.stderr.splitlines()[-1]


class TestALimit:
    @pytest.fixture
    def limited(self, tmp_path):
        from benchmarks.gpu.processes import run_limited

        self.log = tmp_path / "log"
        return lambda code, seconds: run_limited([sys.executable, "-c", code], seconds, self.log)

    def test_that_is_not_needed(self, limited):
        assert limited("print('begun')", 60) == "ok"
        assert limited("1 / 0", 60) == "status 1"
        assert limited("import os; os.abort()", 60) == "ended by SIGABRT"
        text = self.log.read_text()
        assert text.startswith("begun")
        assert "ZeroDivisionError" in text

    def test_at_which_it_is_interrupted(self, limited):
        assert limited("import time; time.sleep(600)", 1) == "stopped after 1 s"
        assert "KeyboardInterrupt" in self.log.read_text()

    def test_that_holds_for_one_that_does_not_listen(self, limited, monkeypatch):
        monkeypatch.setattr("benchmarks.gpu.processes.GRACE", 0.5)
        deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
        begin = time.monotonic()
        assert limited(deaf, 1) == "stopped after 1 s"
        assert time.monotonic() - begin < 20

    def test_that_holds_for_what_it_started(self, limited):
        child = "import time; time.sleep(600)"
        code = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}])"
        assert limited(f"{code}; print(p.pid, flush=True)", 60) == "ok"
        child_id = int(self.log.read_text())
        for _ in range(100):
            if not is_alive(child_id):
                break
            time.sleep(0.1)
        assert not is_alive(child_id)


def is_alive(process):
    status = Path(f"/proc/{process}/status")
    with suppress(OSError):
        return "State:\tZ" not in status.read_text()
    return False


def test_goals_are_met_or_missed():
    from benchmarks.gpu.results import Goal

    assert Goal("ratio", 0.35, 0.35).met
    assert Goal("ratio", 0.351, 0.35).word == "**missed**"
    assert Goal("accuracy", 0.98, 0.98, at_least=True).met
    assert Goal("accuracy", 0.979, 0.98, at_least=True).word == "**missed**"
    assert not Goal("ratio", math.nan, 0.35).met
    assert not Goal("accuracy", math.nan, 0.98, at_least=True).met


def test_the_worst_of_the_goals():
    from benchmarks.gpu.results import Goal
    from benchmarks.gpu.summary import worst_of

    assert worst_of([Goal("", 0.9, 0.7, True), Goal("", 0.8, 0.7, True)]).value == 0.8
    assert worst_of([Goal("", 0.9, 0.7), Goal("", 0.8, 0.7)]).value == 0.9
    assert math.isnan(worst_of([Goal("", 0.9, 0.7), Goal("", math.nan, 0.7)]).value)


@pytest.fixture
def found(tmp_path):
    """A folder with what parts found before one of them was killed."""
    from benchmarks.gpu.results import Goal, Results

    path = tmp_path / "results.jsonl"
    Results(path, "setup").fact("card", "H200")
    bench = Results(path, "bench")
    for batch, ratio in ((32, 0.2), (512, 0.4)):
        goal = Goal("share of a step", ratio, 0.35, at=f"batch {batch}")
        bench.row("Steps", batch=batch, ratio=ratio, goal=bench.goal(goal))
    bench.goal(Goal("rate", 0.9, 0.7, at_least=True))
    bench.check("the bits are the same", good=True)
    bench.absent("JAX", "it is\nnot installed")
    with bench.attempt("steps run"):
        raise ValueError("a | b")
    for counts in ("1 passed", "40 passed, 3 failed"):
        Results(path, "tests").counts(counts, "1.0 s a")
    with path.open("a") as file:
        file.write('{"kind": "row", "tab')  # killed here
    checks = [
        {"check": "kernels:float32", "ok": False, "seconds": 1.0, "found": "sgd: not\nequal"},
        {"check": "backend", "ok": True, "seconds": 0.5, "found": {"free": 3}},
    ]
    (tmp_path / "smoke.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in checks))
    blocks = [
        f"=== tests/test_a.py::test_{n} (call)\n    x = 1\nE   ValueError: at 0x7f{n}\nE   more\n"
        for n in (1, 2)
    ]
    blocks.append("=== tests/test_b.py (collection)\nImportError: no numba\n")
    (tmp_path / "failures.log").write_text("".join(blocks))
    return tmp_path


def test_the_summary_shows_what_was_found_before_a_part_broke(found):
    from benchmarks.gpu.summary import Heading, Outcome, good, render

    outcomes = [
        Outcome("smoke", "Smoke checks", "status 1", 3.0),
        Outcome("bench", "Times", "stopped after 9 s", 9.0, ["slow"]),
        Outcome("mnist", "MNIST", "not run: a step is not right"),
    ]
    text = render(Heading("2026-11-24", "python", 12.0, 420.0, False), outcomes, found)
    for line in (
        "# GPU check: 12 s of 420 s",
        "| bench | stopped after 9 s | 9 |",
        "| mnist | not run: a step is not right | 0 |",
        "## Smoke: 1 of 2 hold",
        "- **fails** kernels:float32 (1.0 s): sgd: not equal",
        '- backend (0.5 s): {"free": 3}',
        "## Tests: 40 passed, 3 failed",
        "- 2 x ValueError: at #; tests/test_a.py::test_1 (2 in tests/test_a.py)",
        "- 1 x ImportError: no numba; tests/test_b.py",
        "- **fails** bench: steps run: ValueError: a | b",
        "- holds: the bits are the same",
        "| share of a step | at most 0.35 | 0.4 (batch 512) | **missed**, 1 of 2 met |",
        "| rate | at least 0.7 | 0.9 | met |",
        "| 32 | 0.2 | met |",
        "| 512 | 0.4 | **missed** |",
        "- not measured: JAX: it is not installed",
        "- card: H200",
    ):
        assert line in text.splitlines(), line
    assert "```text\n\nslow\n```" in text or "```text\nslow\n```" in text
    assert "rehearsal" not in text
    assert not good(outcomes, [])


def test_a_missed_goal_is_no_failure_and_a_failed_check_is():
    from benchmarks.gpu.summary import Outcome, good

    outcomes = [Outcome("steps", "Training steps", "ok")]
    goal = {"kind": "goal", "what": "", "value": 1.0, "bound": 0.5, "at_least": False, "at": ""}
    assert good(outcomes, [goal])
    check = {"kind": "check", "what": "", "good": False, "detail": ""}
    assert not good(outcomes, [goal, check])
    assert not good([*outcomes, Outcome("mnist", "MNIST", "not run: the time was over")], [])


def test_what_is_printed_has_a_length():
    from benchmarks.gpu.summary import MOST, shortened

    assert shortened("a" * MOST) == "a" * MOST
    cut = shortened("a" * (MOST + 1))
    assert len(cut) == MOST
    assert "the whole is in summary.md" in cut


def test_a_failure_is_written_as_it_happens(tmp_path):
    test = tmp_path / "test_it.py"
    test.write_text(
        "import pathlib\n"
        "def test_a(): assert 1 == 2\n"
        f"def test_b(): print(pathlib.Path({str(tmp_path / 'failures.log')!r}).read_text())\n"
        "def test_c(): raise RuntimeError('CUDA_ERROR_ILLEGAL_ADDRESS: an illegal address')\n"
        "def test_d(): pass\n"
    )
    options = ["-p", "benchmarks.gpu.live", "--live-out", tmp_path, "-p", "no:cacheprovider"]
    done = run(*options, "-c", "/dev/null", "-rP", test, module="pytest")
    assert "E   assert 1 == 2" in done.stdout.partition("test_b")[2]  # printed by the second test
    assert "the CUDA context is broken" in done.stdout
    text = (tmp_path / "failures.log").read_text()
    assert [line.split("::")[1] for line in text.splitlines() if line.startswith("=== ")] == [
        "test_a (call)",
        "test_c (call)",
    ]
    last = json.loads((tmp_path / "results.jsonl").read_text().splitlines()[-1])
    assert last["counts"] == "2 failed, 1 passed"


class TestPreparing:
    @pytest.fixture
    def prepare(self, monkeypatch):
        from benchmarks.gpu import prepare

        def download(folder, requirements):
            folder.mkdir(parents=True, exist_ok=True)
            for each in requirements:
                (folder / f"{each}.whl").write_bytes(b"")

        monkeypatch.setattr(prepare, "download", download)
        monkeypatch.setattr(prepare, "size_of_project", lambda: 10 * 2**20)
        return prepare

    @pytest.fixture
    def data(self, tmp_path, prepare):
        (tmp_path / "data" / "mnist").mkdir(parents=True)
        for name in prepare.MNIST:
            (tmp_path / "data" / "mnist" / name).write_bytes(b"images")
        return tmp_path / "data"

    def test_a_kit(self, prepare, data, tmp_path, capsys):
        kit = tmp_path / "kit"
        assert prepare.prepare(kit, data) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "MNIST is in the kit"
        assert lines[1] == "10.0 MiB of the project, 0.0 MiB of the kit"
        assert lines[-1].endswith(f"python3 -m benchmarks.gpu_check --kit {kit}")
        assert len(list((kit / "data" / "mnist").iterdir())) == 4
        assert len(list((kit / "wheels").iterdir())) == len(prepare.WHEELS)
        assert (kit / "commit").read_text().strip()

    def test_without_data(self, prepare, data, tmp_path, capsys):
        assert prepare.prepare(tmp_path / "kit", None) == 0
        assert "MNIST is left out: --data and NNFS_XP_DATA name" in capsys.readouterr().out
        (data / "mnist" / prepare.MNIST[0]).unlink()
        assert prepare.prepare(tmp_path / "kit", data) == 0
        assert f"mnist lacks {prepare.MNIST[0]}" in capsys.readouterr().out

    def test_too_much_to_bring(self, prepare, data, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(prepare, "size_of_project", lambda: 61 * 2**20)
        assert prepare.prepare(tmp_path / "kit", data) == 1
        assert "together more than 60.0 MiB" in capsys.readouterr().err

    def test_no_network(self, prepare, data, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(prepare, "download", lambda *_: "no network")
        assert prepare.prepare(tmp_path / "kit", data) == 1
        assert capsys.readouterr().err == "wheels cannot be downloaded: no network\n"


@pytest.mark.parametrize(
    ("result", "summary", "good"),
    [
        ('RESULT {"ok": true}', "ERROR SUMMARY: 0 errors", True),
        ('RESULT {"ok": true}', "ERROR SUMMARY: 3 errors", False),
        ('RESULT {"ok": false}', "ERROR SUMMARY: 0 errors", False),
        ('RESULT {"ok": true}', "", False),
        ("", "ERROR SUMMARY: 0 errors", False),
    ],
)
def test_memory_is_sound_where_a_check_has_run_and_nothing_was_found(result, summary, good):
    from benchmarks.gpu.sanitize import verdict

    assert verdict(f"{result}\n========= {summary}\n")[0] is good


def test_operations_of_a_step():
    from benchmarks.gpu.works import GPU_WORKS, flops

    wide = GPU_WORKS["wide"]
    assert flops(wide, 8192) == 8192 * (6 * 4 - 2) * 4096**2
    assert wide.sizes == (4096,) * 5


def test_differences_are_relative_to_the_largest():
    from benchmarks.gpu.contest import difference

    assert difference([1.0, 2.2], [1.0, 2.0]) == pytest.approx(0.1)
    assert math.isnan(difference([1.0, math.nan], [1.0, 2.0]))
