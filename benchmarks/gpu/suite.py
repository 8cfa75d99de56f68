"""The project's own tests, on the GPU."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points

from benchmarks.gpu.results import Results, Setting

_SUMMARY = re.compile(r"\d+ (passed|failed|error|skipped|deselected)")

_MOST = 30
"""Failures that the report names."""


def run(results: Results, setting: Setting) -> None:
    """Run pytest, and keep its last line and the names of what failed."""
    command = [sys.executable, "-m", "pytest", "--nnfs-backends", setting.backend, "-q"]
    if not any(each.name == "nnfs_xp.testing" for each in entry_points(group="pytest11")):
        command += ["-p", "nnfs_xp.testing.plugin"]  # run from a checkout that is not installed
    command += ["-p", "no:cacheprovider", "-o", "faulthandler_timeout=120", "--tb=short"]
    command += ["--kills", "2", "tests/test_activations.py" if setting.quick else "tests"]
    results.text(f"`{' '.join(['python', *command[1:]])}`")
    lines = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.strip())
    summaries = [line.strip("= ") for line in lines if _SUMMARY.search(line)]
    summary = summaries[-1] if summaries else "pytest said nothing"
    results.check("the tests pass", process.returncode == 0, summary)
    failures = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    for line in failures[:_MOST]:
        results.row("Tests that failed", test=line[:300])
    if len(failures) > _MOST:
        results.text(f"{len(failures) - _MOST} more failed.")
