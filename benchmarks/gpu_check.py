"""All that is to be shown on a GPU, in one command and one report.

Usage: python -m benchmarks.gpu_check [--only steps,wide] [--quick] [--minutes 15] [--list]
[--out build/gpu-report.md]

The tests on CuPy; the numbers beside NumPy's and PyTorch's; steps beside PyTorch and JAX; a wide
network; the host's time; MNIST. Each part runs in a process of its own with a time limit, and the
report is written anew after each; all output goes into a .log file beside it. The status is 1 if a
check failed or a part broke, 2 if there is no usable GPU; a goal that is missed is no failure.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu.report import Outcome, render, summary
from benchmarks.gpu.results import Results, Setting, read

ROOT = Path(__file__).parents[1]


class Part(NamedTuple):
    """A part, where its code is, and the seconds that it may take."""

    title: str
    module: str
    function: str
    seconds: float


CARD = Part("The card", "card", "run", 90.0)

PARTS = {
    "step": Part("One step beside NumPy and PyTorch", "checks", "one_step", 120.0),
    "recorded": Part("Recorded steps", "checks", "recorded", 120.0),
    "host": Part("The host's time", "host_time", "run", 60.0),
    "steps": Part("Training steps", "steps", "run", 240.0),
    "steps-tf32": Part("Training steps with TF32", "steps", "run_tf32", 240.0),
    "wide": Part("A wide network in bfloat16", "wide", "run", 180.0),
    "mnist": Part("MNIST in ten epochs", "mnist_run", "run", 240.0),
    "curves": Part("Loss curves", "checks", "curves", 120.0),
    "tests": Part("The project's tests", "suite", "run", 480.0),
}
"""In this order, the long one last: when time runs out, it is cut."""

_LINES, _LEAST = 40, 10.0
"""Of a part's output in the report; seconds under which none is begun."""


def main() -> None:
    """Run the parts, and end with the status."""
    raise SystemExit(command())


def command() -> int:
    """Do what the arguments say; gives the status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    parser.add_argument("--quick", action="store_true", help="few sizes: does everything run?")
    parser.add_argument("--minutes", type=float, default=15.0, help="for everything")
    parser.add_argument("--out", type=Path, default=Path("build/gpu-report.md"))
    parser.add_argument("--list", action="store_true", help="the parts")
    parser.add_argument("--backend", default="cupy", help="another one rehearses on the CPU")
    parser.add_argument("--part", choices=["card", *PARTS], help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=600.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        for name, part in PARTS.items():
            print(f"{name:12} {part.title}, {part.seconds:.0f} s at most")
        return 0
    if options.part:
        # Where it hangs, the end of its output says.
        faulthandler.dump_traceback_later(max(1.0, 0.95 * options.seconds))
        logging.basicConfig(level=logging.INFO)
        setting = Setting(options.backend, options.quick, options.seconds)
        part = {"card": CARD, **PARTS}[options.part]
        module = importlib.import_module(f"benchmarks.gpu.{part.module}")
        getattr(module, part.function)(Results(options.results), setting)
        return 0
    names = options.only.split(",")
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    return check(names, options)


def check(names: Sequence[str], options: argparse.Namespace) -> int:
    """Run the parts of these names one after the other, and keep the report up to date."""
    begin = time.monotonic()
    out: Path = options.out
    out.parent.mkdir(parents=True, exist_ok=True)
    log = out.with_suffix(".log")
    log.write_bytes(b"")
    card = attend("card", CARD, CARD.seconds, options, log)
    for reason in card.of("unusable"):
        print(reason["reason"], file=sys.stderr)
        return 2
    if card.status != "ran":
        last = card.tail[-1] if card.tail else "no output"
        print(f"{options.backend} is not usable: {card.status}: {last}", file=sys.stderr)
        return 2
    date = time.strftime("%Y-%m-%d %H:%M")
    typed = " ".join(["python", "-m", "benchmarks.gpu_check", *sys.argv[1:]])
    outcomes = {
        name: Outcome(name, part.title, "not run" if name in names else "not asked for")
        for name, part in PARTS.items()
    }
    for name, part in PARTS.items():
        if name in names:
            left = 60 * options.minutes - (time.monotonic() - begin)
            if left < _LEAST:
                outcomes[name].status = f"not run: the {options.minutes:g} minutes were over"
            else:
                print(f"{name}: {part.title} …", flush=True)
                outcomes[name] = attend(name, part, min(part.seconds, left), options, log)
                print(f"  {outcomes[name].status}, {outcomes[name].seconds:.0f} s", flush=True)
        write(out, render(date, card, list(outcomes.values()), typed))
    print("\n".join(["", *summary(list(outcomes.values())), "", f"{out}, {log}"]))
    return 0 if all(outcomes[name].good for name in names) else 1


def write(path: Path, text: str) -> None:
    """Replace the file at once, so that there is always a whole one."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def attend(
    name: str, part: Part, seconds: float, options: argparse.Namespace, log: Path
) -> Outcome:
    """Run a part in a process of its own, and read what it has found, however it ends."""
    with tempfile.TemporaryDirectory() as folder:
        path, output = Path(folder) / "results.jsonl", Path(folder) / "output"
        command = [sys.executable, "-m", "benchmarks.gpu_check", "--part", name]
        command += ["--results", str(path), "--seconds", f"{seconds:.1f}"]
        command += ["--backend", options.backend, *(["--quick"] if options.quick else [])]
        begin = time.monotonic()
        status = run_limited(command, seconds, output)
        taken = time.monotonic() - begin
        text = output.read_text(encoding="utf-8", errors="replace")
        with log.open("a", encoding="utf-8") as file:
            file.write(f"=== {name}: {status}, {taken:.1f} s\n{text}\n")
        tail = [line[:300] for line in text.splitlines()[-_LINES:]]
        return Outcome(name, part.title, status, taken, read(path), tail)


def run_limited(command: Sequence[str], seconds: float, output: Path) -> str:
    """Run a command, with those that it starts, for so long; gives ``"ran"`` or what went wrong."""
    with (
        output.open("wb") as file,
        subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        ) as process,
    ):
        try:
            status = process.wait(seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # it has not been waited for: the id is its own
            if isinstance(error, subprocess.TimeoutExpired):
                return f"timed out after {seconds:.0f} s"
            raise
    return "ran" if status == 0 else f"broke with the status {status}"


if __name__ == "__main__":
    main()
