"""Two smoke checks under compute-sanitizer: what reads or writes where it should not.

Usage: python -m benchmarks.gpu.sanitize [--seconds 200]
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.gpu.results import ROOT, part_parser, results_of

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
        command += [sys.executable, "-m", "benchmarks.gpu.smoke", "--one", name]
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            results.absent(f"{name} under compute-sanitizer", f"not ready in {seconds:.0f} s")
            continue
        text = done.stdout + done.stderr
        print(f"===== {name}\n{text[-20_000:]}", flush=True)
        errors = _SUMMARY.findall(text)
        detail = f"{errors[-1]} errors" if errors else "it says nothing of errors"
        results.check(f"{name} reads and writes its own memory", errors[-1:] == ["0"], detail)


if __name__ == "__main__":
    main()
