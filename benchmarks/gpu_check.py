"""All that is to be shown on a GPU, in one command of a few minutes.

Usage: python -m benchmarks.gpu_check [--minutes 7] [--only smoke,tests] [--no-epilogues]
[--kit build/gpu-kit] [--checks kernels,backend] [--tests PATHS...] [--always] [--list]

For a machine that may be bare and without a network: `python -m benchmarks.gpu.prepare`, run before
where there is one, lays the wheels and data that it takes along into the kit. The parts run one
after the other, each with all its processes ended at its limit: smoke checks, the tests, steps
beside PyTorch and JAX, steps of a network for CIFAR-10, MNIST, and compiled PyTorch; others are run
when they are asked for. All that is found lies in $OUT, or in build/gpu; its summary.md is written
anew after each part, and printed at the end. Where a step is not even right, little else is run.
With the stand-in for CuPy, tests/cuda_on_cpu, on PYTHONPATH it is a rehearsal.

The status is 1 if a check or a test failed or a part did not run to its end, 2 if there is nothing
to run on; a goal that is missed is no failure.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu import smoke
from benchmarks.gpu.processes import GRACE, run_limited
from benchmarks.gpu.results import ROOT, Results, is_rehearsal, read
from benchmarks.gpu.summary import Heading, Outcome, good, render, shortened


class Part(NamedTuple):
    """A part.

    Attributes
    ----------
    title : str
    seconds : float
        That it may take.
    least : float
        Of these, what is kept for it while the parts before it run.
    log : str
        The file that its output goes to.
    module : str
        In `benchmarks.gpu`.
    arguments : tuple of str
    needs_a_right_step : bool
        Whether it says nothing where a step is not right.
    by_default : bool
    """

    title: str
    seconds: float
    least: float
    log: str
    module: str
    arguments: tuple[str, ...] = ()
    needs_a_right_step: bool = False
    by_default: bool = True


PARTS = {
    "smoke": Part("Smoke checks", 90, 30, "smoke.log", "smoke"),
    "tests": Part("The project's tests", 160, 30, "tests.log", "suite"),
    "ranks": Part("Two processes on one card", 40, 20, "smoke.log", "ranks", (), True),
    "bench": Part("Times beside PyTorch and JAX", 150, 40, "bench.log", "bench", (), True),
    "cifar": Part(
        "A step of the CIFAR-10 network beside PyTorch", 90, 30, "bench.log", "cifar", (), True
    ),
    "mnist": Part("MNIST in ten epochs", 60, 50, "mnist.log", "mnist", (), True),
    "compiled": Part(
        "Times beside compiled PyTorch", 75, 30, "bench.log", "bench", ("--compiled",), True
    ),
    "curves": Part("Loss curves", 120, 30, "mnist.log", "curves", (), True, by_default=False),
    "products": Part(
        "Products by epilogue", 150, 30, "bench.log", "products", (), by_default=False
    ),
    "pictures": Part("Kernels for pictures", 60, 20, "bench.log", "pictures", (), by_default=False),
    "sanitize": Part("Memory checked", 200, 30, "smoke.log", "sanitize", (), by_default=False),
}
"""In this order."""

FILES = (
    *("summary.md", "results.jsonl", "smoke.jsonl", "smoke.log", "failures.log"),
    *("tests.log", "bench.log", "mnist.log"),
)
"""All that is written: few, as not every machine hands back more."""

SETUP_SECONDS, TESTS_OF_A_WRONG_STEP, LEAST = 60.0, 90.0, 4.0
"""Seconds of each step of the setup; of tests where a step is not right; none is begun in less."""

_SPARE = {"smoke": 5.0, "bench": 2.0, "cifar": 2.0, "mnist": 2.0}
"""Seconds by which a part ends before its limit, by itself."""

_SLOWER = 4.0
"""Times the seconds of a part in a rehearsal, whose device is the processor."""

_LINES = 40


def main() -> None:
    """Run the parts, and end with the status."""
    raise SystemExit(command())


def command() -> int:
    """Do what the arguments say; gives the status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check")
    default = ",".join(name for name, part in PARTS.items() if part.by_default)
    parser.add_argument("--only", default=default, help="parts, with commas between")
    parser.add_argument("--minutes", type=float, default=7.0, help="for everything")
    parser.add_argument("--checks", default="", help="smoke checks, with commas between")
    parser.add_argument("--tests", nargs="*", default=[], help="what pytest is given")
    parser.add_argument("--workers", type=int, default=8, help="of the tests and smoke checks")
    parser.add_argument("--no-epilogues", action="store_true", help="products without them")
    parser.add_argument("--always", action="store_true", help="even where a step is not right")
    parser.add_argument("--kit", type=Path, default=Path("build/gpu-kit"), help="from prepare")
    parser.add_argument("--list", action="store_true", help="the parts")
    options = parser.parse_args()
    if options.list:
        for name, part in PARTS.items():
            more = "" if part.by_default else "; only when asked for"
            print(f"{name:10} {part.title}, {part.seconds:.0f} s at most{more}")
        return 0
    names = options.only.split(",")
    for name in names:
        if name not in PARTS:
            parser.error(f"there is no part {name!r}; there are {', '.join(PARTS)}")
    for path in options.tests:
        if not (ROOT / path.partition("::")[0]).exists():
            parser.error(f"there is no {path}")
    try:
        smoke.wanted(options.checks)
    except ValueError as error:
        parser.error(str(error))
    if not options.minutes > 0:
        parser.error(f"--minutes must be above 0; got {options.minutes:g}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the parts are ended with it
    with tempfile.TemporaryDirectory(prefix="gpu-check-", ignore_cleanup_errors=True) as folder:
        out = Path(os.environ.get("OUT") or "build/gpu").resolve()
        return Check([name for name in PARTS if name in names], options, out, Path(folder)).run()


class Check:
    """A run.

    Parameters
    ----------
    names : sequence of str
        The parts, in their order.
    options : Namespace
    out : Path
        For what is found.
    folder : Path
        For what goes with the run: caches, and the packages of the kit.
    """

    def __init__(
        self, names: Sequence[str], options: argparse.Namespace, out: Path, folder: Path
    ) -> None:
        self._begin = time.monotonic()
        self._limit = 60.0 * float(options.minutes)
        self._deadline = self._begin + self._limit - 2 * GRACE
        self._names, self._options, self._out = names, options, out
        self._kit: Path = options.kit.resolve()
        self._site = folder / "site"
        self._rehearsal = is_rehearsal()
        self._wrong_step = False
        self._outcomes = {"setup": Outcome("setup", "Setup")}
        self._outcomes |= {name: Outcome(name, PARTS[name].title) for name in names}
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
        for name in ("CUPY_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
            self._environment.setdefault(name, str(folder / name.lower()))
        if (self._kit / "data").is_dir():
            self._environment.setdefault("NNFS_XP_DATA", str(self._kit / "data"))
        if options.no_epilogues:
            self._environment["NNFS_XP_EPILOGUES"] = "0"
        paths = [str(self._site), os.environ.get("PYTHONPATH", ""), str(ROOT)]
        self._environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        out.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (out / name).unlink(missing_ok=True)

    def run(self) -> int:
        """Run everything; gives the status."""
        try:
            reason = self._set_up()
            self._write()
            for name in self._names:
                if reason is not None:
                    self._outcomes[name].status = "not run: there is nothing to run on"
                else:
                    self._attend(name)
                self._write()
        except BaseException:
            print(f"\n{shortened(self._write())}", end="", flush=True)
            raise
        if reason is not None:
            print(reason, file=sys.stderr)
            return 2
        print(f"\n{shortened(self._write())}", end="", flush=True)
        records = read(self._out / "results.jsonl")
        return 0 if good(self._outcomes.values(), records) else 1

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _write(self) -> str:
        """Replace the summary at once, so that there is always a whole one."""
        heading = Heading(
            time.strftime("%Y-%m-%d %H:%M"),
            " ".join(["python", "-m", "benchmarks.gpu_check", *sys.argv[1:]]),
            time.monotonic() - self._begin,
            self._limit,
            self._rehearsal,
        )
        text = render(heading, list(self._outcomes.values()), self._out)
        new = self._out / ".summary.md.new"
        new.write_text(text, encoding="utf-8")
        new.replace(self._out / "summary.md")
        return text

    def _run(self, what: str, command: Sequence[str], seconds: float, log: str) -> str:
        """Run a command, its output behind a title in the log; gives how it ended."""
        path = self._out / log
        with path.open("a", encoding="utf-8") as file:
            file.write(f"=== {what}: {' '.join(command)}\n")
        return run_limited(command, seconds, path, self._environment)

    def _set_up(self) -> str | None:
        """Install what the kit holds, and look at the card; why there is nothing to run on."""
        begin, log = time.monotonic(), "smoke.log"
        notes = []
        if not self._rehearsal:
            notes += self._install("wheels")
            code = "from nvmath.bindings import cublasLt; cublasLt.get_version()"
            test = [sys.executable, "-W", "ignore", "-c", code]
            if any((self._kit / "wheels-more").glob("*.whl")) and (
                self._run("nvmath", test, self._seconds_of_setup(), log) != "ok"
            ):
                notes += ["nvmath did not work", *self._install("wheels-more")]
        if notes:
            Results(self._out / "results.jsonl", "setup").fact("kit", "; ".join(notes))
        command = [sys.executable, "-m", "benchmarks.gpu.card", "--out", str(self._out)]
        command += ["--kit", str(self._kit)]
        status = self._run("the card", command, self._seconds_of_setup(), log)
        setup = self._outcomes["setup"]
        setup.seconds, setup.status = time.monotonic() - begin, status
        setup.tail = _tail(self._out / log)
        for record in read(self._out / "results.jsonl"):
            if record["kind"] == "unusable":
                setup.status = "; ".join([record["reason"], *notes])
                return setup.status
        if status != "ok":
            last = setup.tail[-1] if setup.tail else "no output"
            return f"cupy is not usable: a look at the card {status}: {last}"
        print(f"setup: {setup.status}, {setup.seconds:.0f} s", flush=True)
        return None

    def _seconds_of_setup(self) -> float:
        return max(1.0, min(SETUP_SECONDS, self._left()))

    def _install(self, name: str) -> list[str]:
        """Install wheels of the kit to a folder that comes first; what there is to say of it."""
        wheels = sorted(map(str, (self._kit / name).glob("*.whl")))
        if not wheels:
            return []
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
        command += ["--no-compile", "--no-cache-dir", "--upgrade", "--target", str(self._site)]
        status = self._run(name, [*command, *wheels], self._seconds_of_setup(), "smoke.log")
        return [f"{len(wheels)} {name} of the kit: {status}"]

    def _attend(self, name: str) -> None:
        """Run a part for as long as it may, and note how it ended."""
        part, outcome = PARTS[name], self._outcomes[name]
        if self._wrong_step and part.needs_a_right_step:
            outcome.status = "not run: a step is not right"
            return
        seconds = part.seconds * (_SLOWER if self._rehearsal else 1)
        if self._wrong_step and name == "tests":
            seconds = min(seconds, TESTS_OF_A_WRONG_STEP)
        behind = self._names[self._names.index(name) + 1 :]
        left = self._left()
        kept = min(left / 2, sum(PARTS[each].least for each in behind))
        seconds = min(seconds, left - kept)
        if seconds < LEAST:
            outcome.status = f"not run: the {self._options.minutes:g} minutes were over"
            return
        print(f"{name}: {part.title} …", flush=True)
        begin = time.monotonic()
        command = self._command(name, seconds)
        outcome.status = "interrupted"
        outcome.status = self._run(part.title, command, seconds, part.log)
        outcome.seconds = time.monotonic() - begin
        outcome.tail = _tail(self._out / part.log)
        print(f"  {outcome.status}, {outcome.seconds:.0f} s", flush=True)
        if name == "smoke" and outcome.status == f"status {smoke.BROKEN}":
            self._wrong_step = not self._options.always
        elif name == "smoke" and outcome.status not in ("ok", "status 1"):
            outcome.status += "; whether a step is right is not known"

    def _command(self, name: str, seconds: float) -> list[str]:
        part, options = PARTS[name], self._options
        own = max(1.0, seconds - _SPARE.get(part.module, 0.0))
        command = [sys.executable, "-m", f"benchmarks.gpu.{part.module}", *part.arguments]
        command += ["--seconds", f"{own:.1f}", "--out", str(self._out)]
        more: dict[str, list[Any]] = {
            "smoke": ["--checks", options.checks, "--jobs", options.workers],
            "tests": ["--workers", options.workers],
            "ranks": ["--kit", self._kit],
        }
        if options.tests:
            more["tests"] += ["--tests", *options.tests]
        return command + [str(word) for word in more.get(name, [])]


def _tail(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return [line[:300] for line in text.splitlines()[-_LINES:] if line.strip()]


if __name__ == "__main__":
    main()
