"""Rows a second and peak memory of a training on a Parquet file that is read in pieces.

Usage: python -m benchmarks large_table [--rows 10000000] [--hidden 64] [--epochs 1]
[--folder FOLDER]

The file is made in a temporary folder, by row groups of 100,000: 25 columns of floats, 3 of whole
numbers below 100, 2 of 8 categories each, and a target of two classes. Rows a second are those of
all epochs over all seconds, the reading for the sample included, and over those after it. Memory
is the largest resident set of the process.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from benchmarks.machine import describe_run
from nnfs_xp.tables import large, train_table

_GROUP = 100_000
_N_FLOATS, _N_WHOLE, _N_CATEGORIES = 25, 3, 2


def write(path: Path, n_rows: int) -> None:
    """Write the file, a row group at a time."""
    with pyarrow.parquet.ParquetWriter(path, _group(0, 1).schema) as writer:
        for number, start in enumerate(range(0, n_rows, _GROUP)):
            writer.write_table(_group(number, min(_GROUP, n_rows - start)))


def _group(number: int, n_rows: int) -> pa.Table:
    """Some rows; which class they are of follows from five columns and noise."""
    rng = np.random.default_rng(number)
    kinds = np.array([f"kind {i}" for i in range(8)])
    columns = {f"float {i}": rng.normal(size=n_rows) for i in range(_N_FLOATS)}
    columns |= {f"whole {i}": rng.integers(100, size=n_rows) for i in range(_N_WHOLE)}
    columns |= {f"category {i}": rng.choice(kinds, n_rows) for i in range(_N_CATEGORIES)}
    score = columns["float 0"] * columns["float 1"] + np.sin(3 * columns["float 2"])
    score += columns["whole 0"] / 50 - 1 + 2 * (columns["category 0"] == kinds[3])
    score += rng.normal(size=n_rows) / 2
    return pa.table(columns | {"target": np.where(score > 0, "yes", "no")})


def peak_memory() -> float:
    """The largest resident set of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Make the file, train, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks large_table")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--hidden", type=int, nargs="+", default=[64])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    options = parser.parse_args()
    large.MANY_ROWS = 0  # so that few rows are read in pieces, too
    print(f"{describe_run()}\n")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "rows.parquet"
        begin = time.perf_counter()
        write(path, options.rows)
        size, seconds = path.stat().st_size / 2**20, time.perf_counter() - begin
        print(f"wrote {options.rows:,} rows, {size:,.0f} MiB, in {seconds:.0f} s", flush=True)
        before, begin = peak_memory(), time.perf_counter()
        model = train_table(
            path, "target", hidden=options.hidden, epochs=options.epochs, backend="numpy"
        )
        seconds = time.perf_counter() - begin
    trained, settings = model.settings["seconds"], model.settings
    names = "rows", "hidden", "epochs", "seconds", "rows/s", "in epochs", "peak, MiB", "accuracy"
    print(f"| {' | '.join(names)} |\n{'|---' * len(names)}|")
    cells = (
        f"{options.rows:,}",
        "-".join(map(str, options.hidden)),
        settings["epochs_done"],
        f"{seconds:.0f}",
        f"{options.rows * options.epochs / seconds:,.0f}",
        f"{settings['trained_on'] * options.epochs / trained:,.0f}",
        f"{peak_memory():,.0f}",
        f"{model.report.figures['accuracy']:.4f}",  # type: ignore[union-attr] # training makes one
    )
    print(f"| {' | '.join(map(str, cells))} |")
    print(f"\nBefore the training the peak was {before:,.0f} MiB.")


if __name__ == "__main__":
    main()
