"""A minute that settles most: each thing the GPU's path rests on, once, in a process of its own.

Several run at once. Each ends with a line of JSON in smoke.jsonl: ``{"check", "ok", "seconds",
"found"}``. A check that crashes the device, or hangs, takes only itself away. The status is 1 if
one failed; 3 if one of `ESSENTIAL` did: times mean nothing then; 4 if there was no time to know.

Usage: python -m benchmarks.gpu.smoke [--seconds 80] [--checks kernels,backend] [--jobs 8]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from benchmarks.gpu.processes import ended
from benchmarks.gpu.results import is_rehearsal, part_parser

DTYPES = ("float32", "float64", "float16", "bfloat16")

CHECKS = {
    "versions": 40.0,
    "backend": 40.0,
    "one_step_beside_numpy": 45.0,
    **{f"kernels:{dtype}": 60.0 for dtype in DTYPES},
    **{f"epilogues:{kind}": 60.0 for kind in ("float32", "tf32", *DTYPES[1:])},
    "relu_at_zero_and_nan": 40.0,
    "same_bits_each_time": 40.0,
    "what_can_be_captured": 60.0,
    "first_time_in_a_capture": 40.0,
    **{f"recorded:{precision}": 60.0 for precision in ("float32", "tf32", *DTYPES[2:])},
    **{f"recorded_convolutions:{precision}": 60.0 for precision in ("float32", "bfloat16")},
    "streamed_from_the_host": 45.0,
    "memory_given_back": 60.0,
}
"""The functions of `smoke_checks`, with an argument behind a colon, and the seconds of each."""

ESSENTIAL = ("versions", "backend", "one_step_beside_numpy")

ALONE = ("versions", "memory_given_back")
"""One reads a cold disk for all; the other looks at the memory of the whole card."""

BROKEN, UNKNOWN = 3, 4
"""The status where an essential check fails, and where one was cut by the time for all."""

_LONGER = 4.0
"""Times the seconds of a check in a rehearsal, in which g++ compiles the kernels."""

_GRACE = 2.0
"""Seconds for a check to say where it hangs."""

_MOST_OF_A_LOG, _MOST_OF_A_TEXT = 12_000, 2500


def wanted(names: str) -> list[str]:
    """The checks of these names, with commas between; of all, where there are none.

    Raises
    ------
    ValueError
        There is no such check.
    """
    asked_for = [name for name in names.split(",") if name]
    for name in asked_for:
        if name not in CHECKS and not any(check.startswith(f"{name}:") for check in CHECKS):
            known = ", ".join(dict.fromkeys(check.partition(":")[0] for check in CHECKS))
            raise ValueError(f"there is no check {name!r}; there are {known}")
    return [
        check
        for check in CHECKS
        if not asked_for or check in asked_for or check.partition(":")[0] in asked_for
    ]


class Running:
    """A check in its process."""

    def __init__(self, name: str) -> None:
        self.name, self.begin = name, time.monotonic()
        self._stuck = False
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 # closed when it has been read
        command = [sys.executable, "-m", "benchmarks.gpu.smoke", "--one", name]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT
        )

    @property
    def seconds(self) -> float:
        """How long it has been there."""
        return time.monotonic() - self.begin

    @property
    def done(self) -> bool:
        """Whether its process has ended."""
        return self._stuck or self._process.poll() is not None

    def abort(self) -> None:
        """Ask it to end; its output then says where it was."""
        self._process.send_signal(signal.SIGABRT)

    def end(self, by: float) -> None:
        """End it, at that time at the latest."""
        try:
            self._process.wait(max(0.0, by - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            try:
                self._process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._stuck = True  # in the driver: left to itself

    def result(self, *, late: bool) -> dict[str, Any]:
        """What it found; its output goes to the log."""
        self._output.seek(0)
        text = self._output.read().decode(errors="replace")
        self._output.close()
        print(f"\n===== {self.name}\n{text[-_MOST_OF_A_LOG:]}", flush=True)
        for line in reversed(text.splitlines()):
            if line.startswith("RESULT "):
                found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
                return found
        why = "no answer in its time" if late else ended(self._process.returncode)
        last = " | ".join(_telling(text))[:700]
        return outcome(self.name, self.seconds, ok=False, found=f"{why}: {last}")


def _telling(text: str) -> list[str]:
    """The lines that say most: the top of the stack that faulthandler wrote, or the last ones."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    frames = [line for line in lines if line.startswith("File ")]
    if any(line.startswith("Fatal Python error") for line in lines):
        return frames[:4]
    return lines[-4:]


def outcome(name: str, seconds: float, *, ok: bool, found: object) -> dict[str, Any]:
    """A line of smoke.jsonl."""
    return {"check": name, "ok": ok, "seconds": round(seconds, 1), "found": found}


def run_all(names: list[str], seconds: float, jobs: int, path: Path) -> int:
    """Run the checks, so many at once; gives the status."""
    path.write_text("", encoding="utf-8")
    factor = _LONGER if is_rehearsal() else 1.0
    end = time.monotonic() + seconds
    left, failed, cut = list(names), set(), set()
    running: list[Running] = []

    def note(result: dict[str, Any], *, in_time: bool) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        if not result["ok"]:
            (failed if in_time else cut).add(result["check"])

    while (left and time.monotonic() < end) or running:
        over = time.monotonic() > end
        late = [
            check
            for check in running
            if not check.done and (over or check.seconds > factor * CHECKS[check.name])
        ]
        for check in late:
            check.abort()
        by = time.monotonic() + _GRACE
        for check in late:
            check.end(by)
        for check in [check for check in running if check.done]:
            note(check.result(late=check in late), in_time=not (over and check in late))
            running.remove(check)
        if left and time.monotonic() < end and _may_begin(left[0], running, jobs):
            running.append(Running(left.pop(0)))
        else:
            time.sleep(0.05)
    for name in left:
        result = outcome(name, 0.0, ok=False, found="not begun: the time was over")
        note(result, in_time=False)
    if failed.intersection(ESSENTIAL):
        return BROKEN
    return UNKNOWN if cut.intersection(ESSENTIAL) else 1 if failed or cut else 0


def _may_begin(name: str, running: list[Running], jobs: int) -> bool:
    alone = name in ALONE or any(check.name in ALONE for check in running)
    return len(running) < (1 if alone else jobs)


def run_one(name: str, *, pool: bool) -> None:
    """Run a check in this process, and end it; arrays from a pool, or each by itself."""
    begin = time.perf_counter()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("nnfs_xp").setLevel(logging.DEBUG)
    try:
        from benchmarks.gpu import smoke_checks

        if not pool:
            smoke_checks.cupy.cuda.set_allocator(None)
        print(f"imports: {time.perf_counter() - begin:.2f} s", flush=True)
        function, _, argument = name.partition(":")
        found, ok = getattr(smoke_checks, function)(*([argument] if argument else [])), True
    except BaseException as error:
        traceback.print_exc()
        text = str(error)
        if not isinstance(error, AssertionError):
            text = f"{type(error).__name__}: {text}"
        found, ok = " | ".join(text.split("\n"))[:_MOST_OF_A_TEXT], False
    result = outcome(name, time.perf_counter() - begin, ok=ok, found=found)
    sys.stderr.flush()
    print("\nRESULT " + json.dumps(result, default=str), flush=True)
    os._exit(0)  # a broken context may hang in its destructors


def main() -> None:
    """Run what the arguments say."""
    parser = part_parser("smoke")
    parser.add_argument("--checks", default="", help="some alone, with commas between")
    parser.add_argument("--jobs", type=int, default=8, help="how many run at once")
    parser.add_argument("--one", choices=CHECKS, help=argparse.SUPPRESS)
    parser.add_argument("--no-pool", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.one, pool=not options.no_pool)
    try:
        names = wanted(options.checks)
    except ValueError as error:
        parser.error(str(error))
    options.out.mkdir(parents=True, exist_ok=True)
    jobs = min(options.jobs, os.cpu_count() or 1) if is_rehearsal() else options.jobs
    raise SystemExit(run_all(names, options.seconds, jobs, options.out / "smoke.jsonl"))


if __name__ == "__main__":
    main()
