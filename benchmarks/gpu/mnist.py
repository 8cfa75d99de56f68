"""MNIST from the start of the process to a trained network: ten epochs, ours and PyTorch's.

Usage: python -m benchmarks.gpu.mnist [--seconds 60]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.gpu.mnist_run import SCRIPTS
from benchmarks.gpu.results import ROOT, Goal, Results, Setting, part_parser, results_of
from benchmarks.mnist import BATCH

EPOCHS, SHARE, ACCURACY = 10, 0.5, 0.98

SAMPLES_OF_REHEARSAL = 1280

RUNS = (("nnfs_xp", 0), ("nnfs_xp", 1), ("torch+device", 0), ("nnfs_xp+average", 0))
"""Scripts, with their seeds; the first compiles what the others find."""

_LEAST, _SPARE = 6.0, 3.0
"""Seconds under which none is begun, and those behind the last."""


class Run(NamedTuple):
    """What a script found."""

    name: str
    seed: int
    seconds: float
    accuracy: float


def main() -> None:
    """Run each script that there is time for."""
    options = part_parser("mnist").parse_args()
    end = time.monotonic() + options.seconds - _SPARE
    results, setting = results_of(options, "mnist"), Setting.here()
    folder = Path(os.environ.get("NNFS_XP_DATA", ".")) / "mnist"
    if not (folder / "train-images-idx3-ubyte.gz").is_file():
        results.absent("MNIST", "NNFS_XP_DATA does not name the folder that holds mnist/")
        return
    epochs, samples = (1, SAMPLES_OF_REHEARSAL) if setting.quick else (EPOCHS, 0)
    found = []
    for name, seed in RUNS:
        left = end - time.monotonic()
        if left < _LEAST:
            title = f"MNIST, {name}, seed {seed}"
            results.absent(title, f"not begun: {max(left, 0):.0f} s were left")
            continue
        run = _run(results, name, seed, setting, epochs, samples, left)
        if run is not None:
            found.append(run)
            _tell(results, run, epochs, samples)
    ours = [run.seconds for run in found if run.name == "nnfs_xp"]
    theirs = [run.seconds for run in found if run.name.startswith("torch")]
    if ours and theirs:
        share = median(ours) / median(theirs)
        what = f"seconds of {epochs} epochs of MNIST, share of PyTorch's"
        results.goal(Goal(what, share, SHARE, at="images on the device"))


def _run(
    results: Results,
    name: str,
    seed: int,
    setting: Setting,
    epochs: int,
    samples: int,
    seconds: float,
) -> Run | None:
    """One run; None, with the reason noted, where it fails."""
    title = f"MNIST, {name}, seed {seed}"
    command = [sys.executable, "-m", "benchmarks.gpu.mnist_run", name, epochs, seed]
    command += [setting.backend, setting.device, samples]
    begin = time.perf_counter()
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        results.absent(title, f"not ready in {seconds:.0f} s")
        return None
    taken = time.perf_counter() - begin
    print(f"--- {title}\n{done.stderr[-4000:]}\n---", flush=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:300]
        if name.startswith("nnfs_xp"):
            results.check(f"{title}: it runs", good=False, detail=last)
        else:
            results.absent(title, last)
        return None
    accuracy, refused = json.loads(done.stdout.splitlines()[-1])
    if refused:
        results.text(f"{title}: steps were not recorded as graphs: {refused}.")
    return Run(name, seed, taken, float(accuracy))


def _tell(results: Results, run: Run, epochs: int, samples: int) -> None:
    """A row, and the goal."""
    word = ""
    if run.name.startswith("nnfs_xp"):
        at = f"{run.name}, seed {run.seed}"
        what = "accuracy on MNIST's test images"
        word = results.goal(Goal(what, run.accuracy, ACCURACY, at_least=True, at=at))
    of = f" of {samples} images" if samples else ""
    results.row(
        f"784-512-512-10, batch {BATCH}, Adam, {epochs} epochs{of}, from the start of the process",
        script=f"{run.name}, seed {run.seed}: {SCRIPTS[run.name]}",
        s=f"{run.seconds:.2f}",
        accuracy=f"{run.accuracy:.4f}",
        goal=word,
    )


if __name__ == "__main__":
    main()
