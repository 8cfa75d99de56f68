"""Two smoke checks under compute-sanitizer: what reads or writes where it should not.

Arrays come without a pool, whose blocks would lie within one piece of memory. What a recorded step
works in does come from one.

Usage: python -m benchmarks.gpu.sanitize [--seconds 200]
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gpu.processes import run_limited
from benchmarks.gpu.results import part_parser, results_of

CHECKS = ("kernels:float32", "recorded:float32")

_SUMMARY = re.compile(r"ERROR SUMMARY: (\d+) error")


def main() -> None:
    """Run both, each in half of the time."""
    options = part_parser("sanitize").parse_args()
    results = results_of(options, "sanitize")
    end = time.monotonic() + options.seconds - 3
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not Path(tool).is_file():
        results.absent("compute-sanitizer", "it is not installed")
        return
    for number, name in enumerate(CHECKS):
        seconds = (end - time.monotonic()) / (len(CHECKS) - number)
        command = [tool, "--tool", "memcheck", "--print-limit", "20"]
        command += [sys.executable, "-m", "benchmarks.gpu.smoke", "--one", name, "--no-pool"]
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            status = run_limited(command, seconds, log)
            text = log.read_text(encoding="utf-8", errors="replace")
        print(f"===== {name}: {status}\n{text[-20_000:]}", flush=True)
        if status.startswith("stopped"):
            results.absent(f"{name} under compute-sanitizer", f"{status}, before its end")
            continue
        results.check(f"{name} reads and writes its own memory", *verdict(text))


def verdict(text: str) -> tuple[bool, str]:
    """Whether a check ran to its end and nothing was found, by what was printed; and in words."""
    lines = [line for line in text.splitlines() if line.startswith("RESULT ")]
    if not lines or not json.loads(lines[-1].removeprefix("RESULT "))["ok"]:
        return False, "the check itself does not hold"
    errors = _SUMMARY.findall(text)
    if not errors:
        return False, "the tool says nothing of errors"
    return errors[-1] == "0", f"{errors[-1]} errors"


if __name__ == "__main__":
    main()
