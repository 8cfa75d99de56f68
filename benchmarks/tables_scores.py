"""The scores that `benchmarks.tables` prints, from the runs of its methods."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import mean, stdev
from typing import Any

from benchmarks.tables_data import TABLES

METHODS = ("nnfs_xp", "RealMLP", "MLP", "HistGradientBoosting")
RIVAL = "RealMLP"
"""Whose seconds the others' are divided by."""

Run = dict[str, Any]
"""One method on one table and seed."""
Runs = dict[str, list[Run]]
"""Those of a table, by method, each in the order of the seeds."""


def in_common(runs: Sequence[Run], tables: Sequence[str], seeds: int) -> dict[str, Runs]:
    """By table, the runs of those seeds that all methods with runs have."""
    chosen = [run for run in runs if run["table"] in tables and run["seed"] < seeds]
    names = {run["method"] for run in chosen}
    methods = [method for method in METHODS if method in names]
    by_key = {(run["table"], run["seed"], run["method"]): run for run in chosen}
    found: dict[str, Runs] = {}
    for table in tables:
        common = [
            seed
            for seed in range(seeds)
            if all((table, seed, method) in by_key for method in methods)
        ]
        if methods and common:
            found[table] = {
                method: [by_key[table, seed, method] for seed in common] for method in methods
            }
    return found


def in_words(run: Run) -> str:
    """A run in one line."""
    start = f"{run['table']}, seed {run['seed']}, {run['method']}: "
    if "error" in run:
        return f"{start}failed, {run['error']}"
    figures = ", ".join(f"{name} {value:.5g}" for name, value in run["figures"].items())
    return f"{start}{figures}; {run['seconds']['fit']:.1f} s"


def show(
    facts: dict[str, dict[str, Any]], known: Sequence[Run], tables: Sequence[str], seeds: int
) -> None:
    """Print the tables, the scores and the summary in Markdown."""
    found = in_common(known, tables, seeds)
    runs = [run for by_method in found.values() for each in by_method.values() for run in each]
    for machine in dict.fromkeys(run["machine"] for run in runs):
        print(machine)
    print()
    _print_row("table", "target", "rows", "columns", "categories", "gaps", "dates", head=True)
    for table in found:
        its = facts[table]
        kind = f"{its['classes']} classes" if its["classes"] else "a number"
        counts = (f"{its[name]:,}" for name in ("rows", "columns", "categories", "gaps", "dates"))
        _print_row(table, f"{its['target']}, {kind}", *counts)
    methods = list(next(iter(found.values()), {}))
    print(
        "\nMean and standard deviation over the seeds of accuracy or R², and mean seconds to fit:"
    )
    print()
    _print_row("table", "score", "seeds", *methods, head=True)
    for table, by_method in found.items():
        _print_row(table, *_score_cells(table, by_method))
    print()
    _print_summary(found, methods)
    for run in runs:
        if "error" in run:
            print(f"\n{in_words(run)}")
    if left_out := [table for table in tables if table not in found]:
        print(f"\nNo seed of all methods yet: {', '.join(left_out)}")


def _print_row(*cells: str, head: bool = False) -> None:
    print(f"| {' | '.join(cells)} |" + ("\n|" + "---|" * len(cells)) * head)


def _score_cells(table: str, by_method: Runs) -> Iterator[str]:
    """What is scored, the number of seeds, and each method's scores, the best in bold."""
    figure = "accuracy" if TABLES[table].classes else "r2"
    yield figure.replace("r2", "R²")
    yield str(len(next(iter(by_method.values()))))
    means = {method: mean_figure(runs, figure) for method, runs in by_method.items()}
    best = max((each for each in means.values() if each is not None), default=None)
    for method, runs in by_method.items():
        score = means[method]
        if score is None:
            yield "failed"
            continue
        values = [run["figures"][figure] for run in runs]
        text = f"{score:.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")
        seconds = mean(run["seconds"]["fit"] for run in runs)
        yield f"{f'**{text}**' if score == best else text}, {seconds:.1f} s"


def mean_figure(runs: Sequence[Run], figure: str) -> float | None:
    """The mean over the seeds; None where a run failed."""
    if any("error" in run for run in runs):
        return None
    return float(mean(run["figures"][figure] for run in runs))


def normalised(scores: dict[str, float | None], baseline: float) -> dict[str, float]:
    """Each method's way from the baseline to the best score, from 0 to 1.

    .. math:: (s - b) / (max(s) - b), no less than 0

    A failure has 0; where nobody is above the baseline, all have.
    """
    best = max((each for each in scores.values() if each is not None), default=baseline)
    if best <= baseline:
        return dict.fromkeys(scores, 0.0)
    return {
        method: 0.0 if score is None else max(0.0, (score - baseline) / (best - baseline))
        for method, score in scores.items()
    }


def mean_normalised(found: dict[str, Runs], figure: str) -> dict[str, float]:
    """Over the tables: by R² where the target is a number, else by the figure."""
    columns = []
    for table, by_method in found.items():
        name, baseline = "r2", 0.0
        if TABLES[table].classes:
            runs = [run for each in by_method.values() for run in each if "error" not in run]
            by_seed = {run["seed"]: run["baseline"] for run in runs}
            share = mean(by_seed.values()) if by_seed else 0.0
            name, baseline = figure, share if figure == "accuracy" else 0.5
        scores = {method: mean_figure(runs, name) for method, runs in by_method.items()}
        columns.append(normalised(scores, baseline))
    return {method: mean(column[method] for column in columns) for method in columns[0]}


def time_ratios(found: dict[str, Runs], method: str) -> tuple[float, float] | None:
    """Seconds to fit, divided by RealMLP's: geometric mean over runs, and of the totals."""
    pairs = [
        (mine["seconds"]["fit"], its["seconds"]["fit"])
        for runs in found.values()
        for mine, its in zip(runs[method], runs.get(RIVAL, ()), strict=False)
        if "error" not in mine and "error" not in its
    ]
    if not pairs:
        return None
    total, its_total = map(sum, zip(*pairs, strict=True))
    return math.exp(mean(math.log(mine / its) for mine, its in pairs)), total / its_total


def _print_summary(found: dict[str, Runs], methods: Sequence[str]) -> None:
    if not found:
        return
    by_score, by_area = (mean_normalised(found, figure) for figure in ("accuracy", "roc_auc"))
    print(f"Over all {len(found)}:\n")
    _print_row(
        "method",
        "mean normalised score",
        "with ROC AUC for accuracy",
        "s to fit, all runs",
        f"of {RIVAL}'s, geometric mean",
        "of totals",
        "s to predict, all runs",
        head=True,
    )
    for method in methods:
        runs = [run for each in found.values() for run in each[method] if "error" not in run]
        fit, predict = (sum(run["seconds"][name] for run in runs) for name in ("fit", "predict"))
        ratios = time_ratios(found, method)
        of_rival = [f"{ratio:.3f}" for ratio in ratios] if ratios else ["–", "–"]
        scores = f"{by_score[method]:.3f}", f"{by_area[method]:.3f}"
        _print_row(method, *scores, f"{fit:.1f}", *of_rival, f"{predict:.2f}")
