"""Time of ``import nnfs_xp`` against ``import numpy``, in pairs of fresh processes.

The package imports its parts when they are first used; so the time to import all of them is
measured too.

Usage: python -m benchmarks import_time [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.machine import describe_run

STATEMENTS = ("import numpy", "import nnfs_xp", "from nnfs_xp import *")


def seconds(statement: str) -> float:
    """How long the statement takes in a new process, the start of Python left out."""
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(run.stdout)


def main() -> None:
    """Measure in turn and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    for statement in STATEMENTS:  # fill the disk cache
        seconds(statement)
    times = [[seconds(statement) for statement in STATEMENTS] for _ in range(rounds)]
    print(f"{describe_run()}; {rounds} rounds")
    for statement, column in zip(STATEMENTS, zip(*times, strict=True), strict=True):
        ratios = [each / row[0] for each, row in zip(column, times, strict=True)]
        print(
            f"{statement:24} median {1000 * statistics.median(column):6.1f} ms, "
            f"{statistics.median(ratios):.2f} of import numpy"
        )


if __name__ == "__main__":
    main()
