"""Two processes that share one card: the sums of NCCL, in recorded steps, beside one process.

NCCL lets processes share a card from 2.30 on. MPI comes with the kit. Where there is the stand-in
for CuPy, threads take the place of the processes.

Usage: python -m benchmarks.gpu.ranks [--seconds 40] [--kit build/gpu-kit]
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.gpu.processes import run_limited
from benchmarks.gpu.results import Results, is_rehearsal, part_parser, results_of

LEAST = 23000
"""The version of NCCL, as it tells it."""

_SPARE = 3.0


def main() -> None:
    """Train in two processes and in one, and compare."""
    parser = part_parser("ranks")
    parser.add_argument("--kit", type=Path, default=Path("build/gpu-kit"), help="with wheels-mpi")
    options = parser.parse_args()
    results = results_of(options, "ranks")
    reason = missing()
    if reason is not None:
        results.absent("two processes on one card", reason)
        return
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "benchmarks.gpu.ranks_run"]
        environment = dict(os.environ)
        if not is_rehearsal():
            prefix = Path(folder) / "mpi"
            more = with_mpi(options.kit / "wheels-mpi", prefix)
            if more is None:
                results.absent("two processes on one card", "the kit has no MPI")
                return
            environment |= {**more, "NCCL_MULTI_RANK_GPU_ENABLE": "1"}
            command = ["mpiexec", "-n", "2", *command]
        status = run_limited(command, options.seconds - _SPARE, log, environment)
        text = log.read_text(encoding="utf-8", errors="replace")
    print(f"===== {status}\n{text[-20_000:]}", flush=True)
    report(results, status, text)


def missing() -> str | None:
    """Why two processes cannot share the card, if they cannot."""
    try:
        nccl = importlib.import_module("cupy.cuda.nccl")
        version = int(nccl.get_version())
    except Exception as error:
        return f"CuPy finds no NCCL: {type(error).__name__}: {error}"
    if version < LEAST:
        return f"NCCL is {version}, and lets processes share a card from {LEAST} on"
    return None


def with_mpi(wheels: Path, prefix: Path) -> Mapping[str, str] | None:
    """Install MPI's wheels under a prefix; the environment that finds them, or None."""
    found = sorted(map(str, wheels.glob("*.whl")))
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
    subprocess.run([*command, "--prefix", str(prefix), *found], check=False)
    what = {"PYTHONPATH": "mpi4py/", "LD_LIBRARY_PATH": "libmpi.so.12", "PATH": "mpiexec"}
    paths = {name: next(prefix.rglob(each), None) for name, each in what.items()}
    if None in paths.values():
        return None
    return {
        name: os.pathsep.join(filter(None, [str(path.parent), os.environ.get(name, "")]))
        for name, path in paths.items()
        if path is not None
    }


def report(results: Results, status: str, text: str) -> None:
    """Write down what the processes found."""
    lines = [line for line in text.splitlines() if line.startswith("RESULT ")]
    if not lines:
        results.check("two processes on one card", good=False, detail=status)
        return
    for name, (good, detail) in json.loads(lines[-1].removeprefix("RESULT ")).items():
        results.check(f"two processes: {name}", good, detail)


if __name__ == "__main__":
    main()
