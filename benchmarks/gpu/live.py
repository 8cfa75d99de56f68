"""A plugin for pytest: what fails is written down as it fails, with the end of its traceback.

A run that is cut by a time limit then still says what it has found. Where the CUDA context is
broken for good, a worker of pytest-xdist ends, and a new one takes its place; without workers the
run ends.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.gpu.results import Results

BROKEN = re.compile(
    r"cudaError(IllegalAddress|LaunchFailure|MisalignedAddress|IllegalInstruction|InvalidPc|"
    r"HardwareStackError|InvalidAddressSpace|Assert|ECCUncorrectable|LaunchTimeout|Unknown)\b|"
    r"CUDA_ERROR_(ILLEGAL_ADDRESS|LAUNCH_FAILED|MISALIGNED_ADDRESS|ILLEGAL_INSTRUCTION|INVALID_PC|"
    r"HARDWARE_STACK_ERROR|INVALID_ADDRESS_SPACE|ASSERT|ECC_UNCORRECTABLE|LAUNCH_TIMEOUT)|"
    r"illegal memory access|unspecified launch failure|misaligned address|device-side assert"
)

_LINES, _COLUMNS = 28, 220
"""Of a traceback, from its end."""

_OFTEN = 50
"""Tests between two notes of how many have ended."""


class Live:
    """Writes failures to failures.log, and counts to results.jsonl."""

    def __init__(self, out: Path) -> None:
        self._failures = out / "failures.log"
        self._results = Results(out / "results.jsonl", "tests")
        self._counts: Counter[str] = Counter()
        self._times: list[tuple[float, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test, and write down what failed."""
        if report.when == "call" or report.outcome != "passed":
            self._counts[_kind(report)] += 1
            self._times.append((report.duration, report.nodeid))
            if sum(self._counts.values()) % _OFTEN == 1:
                self.note()
        if report.failed:
            self._write(f"{report.nodeid} ({report.when})", report.longreprtext)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Write down what could not be collected."""
        if report.failed:
            self._counts["not collected"] += 1
            self._write(f"{report.nodeid} (collection)", report.longreprtext)

    def pytest_sessionfinish(self) -> None:
        """Say how many have ended."""
        self.note()

    def note(self) -> None:
        """Say how many have ended so far, and which took longest."""
        slowest = sorted(self._times, reverse=True)[:5]
        self._results.counts(
            ", ".join(f"{count} {kind}" for kind, count in sorted(self._counts.items())),
            "; ".join(f"{seconds:.1f} s {name}" for seconds, name in slowest),
        )

    def _write(self, title: str, text: str) -> None:
        lines = [line[:_COLUMNS] for line in text.splitlines()[-_LINES:]]
        with self._failures.open("a", encoding="utf-8") as file:
            file.write("\n".join([f"=== {title}", *lines, ""]))


def _kind(report: pytest.TestReport) -> str:
    """How it ended; a test during which a worker went has no `when` of pytest's own."""
    if report.when in ("setup", "teardown"):
        return f"{report.when} {report.outcome}"
    return report.outcome if report.when == "call" else "crashed"


class Context:
    """Ends this process, behind the test that has broken its CUDA context.

    To pytest-xdist it is that test during which a worker went, so that none is left out.
    """

    def __init__(self, *, worker: bool) -> None:
        self._worker, self._broken = worker, False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Look whether the context is broken."""
        if report.failed and BROKEN.search(report.longreprtext):
            self._broken = True

    def pytest_runtest_logfinish(self) -> None:
        """End."""
        if self._broken and self._worker:
            os._exit(70)
        if self._broken:
            pytest.exit("the CUDA context is broken: what comes after would fail with it", 1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The folder to write to."""
    parser.addoption("--live-out", default="build/gpu", help="folder of failures.log")


def pytest_configure(config: pytest.Config) -> None:
    """Watch, in the process that all reports come to; and in each that runs tests."""
    worker = hasattr(config, "workerinput")
    if not worker:
        config.pluginmanager.register(Live(Path(config.getoption("--live-out"))))
    if worker or not getattr(config.option, "numprocesses", None):
        config.pluginmanager.register(Context(worker=worker))
