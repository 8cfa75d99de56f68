"""Test accuracy that ``nnfs-xp train`` reaches with its defaults, over several seeds.

Usage: python -m benchmarks accuracy [digits|spiral|mnist|fashion-mnist] [SEEDS]
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import describe_run
from nnfs_xp.cli import main as nnfs_xp


def main() -> None:
    """Train with each seed and print."""
    dataset = sys.argv[1] if len(sys.argv) > 1 else "digits"
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    runs = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            status = nnfs_xp(["train", dataset, "--seed", str(seed), "--out", folder])
            if status:
                raise SystemExit(status)
            runs.append(json.loads((Path(folder) / "run.json").read_text()))
    accuracies = [run["test"]["accuracy"] for run in runs]
    print(f"{describe_run()}")
    print(
        f"{dataset}, {runs[0]['epochs']} epochs, {seeds} seeds: test accuracy "
        f"median {statistics.median(accuracies):.4f}, lowest {min(accuracies):.4f}, highest "
        f"{max(accuracies):.4f}; training takes {statistics.median(r['seconds'] for r in runs)} s"
    )


if __name__ == "__main__":
    main()
