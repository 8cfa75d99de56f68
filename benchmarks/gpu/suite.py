"""The project's tests on the GPU, by pytest in this process' place."""

from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec

from benchmarks.gpu.results import is_rehearsal, part_parser

TESTS = (
    "tests/cuda",
    *(f"tests/test_{name}.py" for name in ("contract", "training", "precision", "losses")),
    *(f"tests/test_{name}.py" for name in ("normalization", "random", "metrics", "weights")),
    *(f"tests/test_{name}.py" for name in ("backend", "checkpoints", "convolution", "pooling")),
)


def main() -> None:
    """Become pytest."""
    parser = part_parser("suite")
    parser.add_argument("--tests", nargs="*", default=TESTS, help="what pytest is given")
    parser.add_argument("--workers", type=int, default=8, help="of pytest-xdist")
    options = parser.parse_args()
    command = [sys.executable, "-m", "pytest", "-p", "benchmarks.gpu.live"]
    command += ["--live-out", str(options.out.resolve()), "--nnfs-backends", "cupy", "--kills", "1"]
    if not any(each.name == "nnfs_xp.testing" for each in entry_points(group="pytest11")):
        command += ["-p", "nnfs_xp.testing.plugin"]  # run from a checkout that is not installed
    if find_spec("xdist") is not None and options.workers > 1:
        workers = min(options.workers, os.cpu_count() or 1) if is_rehearsal() else options.workers
        command += ["-n", str(workers), "--dist", "worksteal", "--max-worker-restart", "40"]
    command += ["-q", "--tb=short", "-o", "faulthandler_timeout=60", "-p", "no:cacheprovider"]
    command += [
        "-p",
        "no:benchmark",
    ]  # pytest-benchmark warns beside xdist, and warnings are errors
    print(*command, *options.tests, flush=True)
    os.execv(sys.executable, [*command, *options.tests])  # noqa: S606 # the limit's signals reach it


if __name__ == "__main__":
    main()
