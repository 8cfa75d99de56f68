"""Tables learnt by `nnfs_xp.tables`, RealMLP, scikit-learn's MLP and gradient boosting.

Usage: python -m benchmarks tables [--quick] [--only NAME,...] [--seeds 5] [--again METHOD,...]
       [--threads 2] [--results build/benchmarks/tables.json]

Thirteen public tables (`benchmarks.tables_data`), fixed before any result, are split 80 to 20 by
each seed, classes in equal shares. All methods get the same raw columns and their own defaults:

- nnfs_xp: `TableClassifier` or `TableRegressor`, on NumPy.
- RealMLP: pytabkit's `RealMLP_TD`, on the CPU. It takes neither missing numbers nor dates. So gaps
  get the median and a column that tells where they were, texts become categories, a missing one a
  category of its own, and dates go through skrub's `DatetimeEncoder`, with the day of the week.
- MLP: scikit-learn's, behind `skrub.tabular_pipeline`; targets that are numbers are standardised.
- HistGradientBoosting: `skrub.tabular_pipeline("classifier")` or ``("regressor")``, with a seed.

Each table and seed has a process of its own with two threads, or as many as ``--threads`` says.
There the methods take turns, the first one changing with the seed, each after a small table that
is not counted. A run is kept in the results as soon as it is there, and not repeated: a benchmark
that was stopped goes on. ``--again`` forgets the runs of a method on what is chosen. ``--quick``:
four tables, one seed.

A score is accuracy or R². The normalised score of a method on a table is 0 for always the most
frequent class, or R² 0, and 1 for the best method, from means over the seeds. A method that failed
has 0. Only seeds that all methods have are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.tables_data import QUICK, TABLES
from benchmarks.tables_scores import METHODS, Run, in_words, show

_THREADS = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"


class Results:
    """What is known so far, kept in a file.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    facts : dict
        What each table holds.
    runs : list of dict
        One for each table, seed and method.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        known = json.loads(path.read_text()) if path.exists() else {"facts": {}, "runs": []}
        self.facts: dict[str, dict[str, Any]] = known["facts"]
        self.runs: list[Run] = known["runs"]

    def save(self) -> None:
        """Write all of it beside the file, then put it in its place."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_name(f"{self._path.name}.new")
        beside.write_text(json.dumps({"facts": self.facts, "runs": self.runs}, indent=1))
        beside.replace(self._path)

    def forget(self, methods: Sequence[str], tables: Sequence[str], seeds: int) -> None:
        """Drop the runs of the methods on these tables and seeds."""

        def drops(run: Run) -> bool:
            chosen = run["method"] in methods and run["table"] in tables
            return chosen and run["seed"] < seeds

        self.runs = [run for run in self.runs if not drops(run)]

    def of(self, table: str, seed: int) -> dict[str, Run]:
        """The runs of a table and a seed, by method."""
        found = [run for run in self.runs if (run["table"], run["seed"]) == (table, seed)]
        return {run["method"]: run for run in found}


def main() -> None:
    """Learn what is not yet in the results, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks tables")
    parser.add_argument("--quick", action="store_true", help="four small tables, one seed")
    parser.add_argument("--only", help="names of tables")
    parser.add_argument("--seeds", type=int, help="how many: 5")
    parser.add_argument("--again", default="", help="methods whose runs are repeated")
    parser.add_argument("--results", type=Path, default=Path("build/benchmarks/tables.json"))
    parser.add_argument("--threads", type=int, default=2, help="2; 1 beside other work")
    options = parser.parse_args()
    tables = options.only.split(",") if options.only else list(QUICK if options.quick else TABLES)
    seeds = (1 if options.quick else 5) if options.seeds is None else options.seeds
    again = options.again.split(",") if options.again else []
    for given, known in ((tables, TABLES), (again, METHODS)):
        if unknown := [name for name in given if name not in known]:
            parser.error(f"there is no {unknown[0]}; there are {', '.join(known)}")
    results = Results(options.results)
    results.forget(again, tables, seeds)
    complete(results, tables, seeds, partial(ask, threads=options.threads))
    show(results.facts, results.runs, tables, seeds)


def ask(
    table: str, seed: int, methods: Sequence[str], threads: int = 2
) -> Iterator[dict[str, Any]]:
    """The answers of a process that learns the table with the methods."""
    words = "-m", "benchmarks.tables_work", table, str(seed), *methods
    with subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **dict.fromkeys(_THREADS, str(threads))},
    ) as process:
        assert process.stdout is not None
        try:
            yield from map(json.loads, process.stdout)
        except BaseException:  # of who asked, or Ctrl+C: nobody waits for the rest
            process.kill()
            raise
    if process.returncode:
        raise SystemExit(f"{table}, seed {seed}: ended; python {' '.join(words)} shows why")


def complete(
    results: Results,
    tables: Sequence[str],
    seeds: int,
    asked: Callable[[str, int, Sequence[str]], Iterator[dict[str, Any]]] = ask,
) -> None:
    """Ask for the runs that are missing, and keep each at once."""
    absent: set[str] = set()
    for seed in range(seeds):
        first = seed % len(METHODS)
        order = METHODS[first:] + METHODS[:first]
        for table in tables:
            known = {*results.of(table, seed), *absent}
            if not (missing := [method for method in order if method not in known]):
                continue
            for answer in asked(table, seed, missing):
                if "absent" in answer:
                    print(f"without {answer['absent']}: {answer['why']}", file=sys.stderr)
                    absent.add(answer["absent"])
                elif "facts" in answer:
                    results.facts[table] = answer["facts"]
                else:
                    results.runs.append(answer["run"])
                    results.save()
                    print(in_words(answer["run"]), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
