"""How time and memory grow with the size of the work, beside how they should.

Usage: python -m benchmarks growth [--only width,depth,batch,classes,samples,streamed,checkpoint]
[--rounds 5] [--quick] [--out build/benchmarks]

A training step by width, depth, batch and classes; an epoch by the number of samples, in arrays and
streamed; a checkpoint by the number of parameters. Each size has a process of its own, which
measures its memory first. Then the sizes of a curve are timed in turn, in every round in another
order. The exponent is the slope of the logarithm of the median over that of the size, by least
squares over the upper half of the sizes. Neighbours whose slope is far from the ideal are named.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

from benchmarks.growth_work import CURVES, SECONDS, Curve, work
from benchmarks.machine import describe_run

FAR = 0.35
"""A slope between neighbours that differs by more from the ideal is a kink."""

_REST = 0.15
"""Seconds before each turn, for the threads of the BLAS to fall asleep."""

_LOADED = [
    "benchmarks.growth_work",
    "nnfs_xp.kernels.numba",
    "array_api_compat.numpy",
    "safetensors",
]
"""Modules that all processes start with, as far as they are installed."""

_THREADS = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"


def slopes(sizes: Sequence[float], values: Sequence[float]) -> list[float]:
    """The exponent between each two neighbours."""
    points = pairwise(zip(sizes, values, strict=True))
    return [math.log(w / v) / math.log(m / n) for (n, v), (m, w) in points]


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float | None:
    """The exponent over the upper half of the sizes; None where there are not two."""
    if len(sizes) < 2:
        return None
    start = min(len(sizes) // 2, len(sizes) - 2)
    logarithms = [[math.log(each) for each in column[start:]] for column in (sizes, values)]
    return linear_regression(*logarithms).slope


def kinks(
    sizes: Sequence[int], values: Sequence[float], ideal: float
) -> list[tuple[int, int, float]]:
    """The neighbours between which the exponent is far from the ideal, and that exponent."""
    found = zip(pairwise(sizes), slopes(sizes, values), strict=True)
    return [(n, m, slope) for (n, m), slope in found if abs(slope - ideal) > FAR]


class LeftOutError(Exception):
    """A size that cannot be measured here; the message says why."""


class Sized:
    """The work of one size, in a process of its own."""

    def __init__(self, curve: Curve, size: int, folder: str) -> None:
        self.size = size
        context = get_context("forkserver")
        context.set_forkserver_preload(list(_LOADED))
        self._connection, other = context.Pipe()
        arguments = other, curve.name, size, folder
        self._process = context.Process(target=work, args=arguments, daemon=True)
        self._process.start()
        other.close()
        self.memory = self._answer()
        if isinstance(self.memory, str):
            self.close()
            raise LeftOutError(self.memory)
        self._count = 1

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join()

    def calibrate(self, seconds: float) -> None:
        """Choose how often a turn does the work, so that it takes that long at least."""
        while (taken := self._run(self._count)) < seconds:
            self._count = math.ceil(self._count * min(1.2 * seconds / taken, 100))

    def turn(self) -> float:
        """The seconds of the work, after a quarter of a turn that is not counted."""
        if self._count > 3:
            self._run(self._count // 4)
        return self._run(self._count) / self._count

    def _run(self, count: int) -> float:
        with suppress(ConnectionError):  # reading tells
            self._connection.send(count)
        seconds: float = self._answer()
        return seconds

    def _answer(self) -> Any:
        try:
            return self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            status = self._process.exitcode
        if status == -signal.SIGALRM:
            raise LeftOutError(f"its memory was not measured within {SECONDS} s")
        if status == -signal.SIGKILL:
            raise LeftOutError("it was killed, as happens where memory runs out")
        raise SystemExit(f"size {self.size} ended with the status {status}")


def measure(
    curve: Curve, sizes: Sequence[int], rounds: int, seconds: float, folder: str
) -> dict[str, Any]:
    """All figures of a curve."""
    works: list[Sized] = []
    why = None
    for size in sizes:
        try:
            sized = Sized(curve, size, folder)
            sized.calibrate(seconds)
        except LeftOutError as error:
            why = f"{size:,} and above are left out: {error}"
            break
        works.append(sized)
    times: dict[int, list[float]] = {each.size: [] for each in works}
    generator = random.Random(0)  # noqa: S311 # of orders
    for _ in range(rounds):
        for each in generator.sample(works, len(works)):
            time.sleep(min(_REST, seconds))
            times[each.size].append(each.turn())
    for each in works:
        each.close()
    rows = [{"size": e.size, "seconds": median(times[e.size]), **e.memory} for e in works]
    return {"curve": curve.name, "title": curve.title, "left_out": why, **fitted(curve, rows)}


def fitted(curve: Curve, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows, and the exponents of time and memory beside the ideal ones."""
    found: dict[str, Any] = {"rows": rows}
    sizes = [row["size"] for row in rows]
    for name, key, ideal in (
        ("time", "seconds", curve.time),
        ("memory", "allocated", curve.memory),
    ):
        values = [row[key] for row in rows]
        found[name] = {
            "ideal": ideal,
            "exponent": exponent(sizes, values),
            "slopes": slopes(sizes, values),
            "kinks": kinks(sizes, values, ideal),
        }
    return found


def table(found: dict[str, Any], unit: str) -> str:
    """A curve's figures."""
    columns = unit, "ms", "exponent", "MB", "exponent", "resident MB"
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    time_slopes, memory_slopes = (
        ["", *(f"{slope:.2f}" for slope in found[name]["slopes"])] for name in _FIGURES
    )
    for row, time_slope, memory_slope in zip(
        found["rows"], time_slopes, memory_slopes, strict=False
    ):
        resident = "" if row["resident"] is None else _rounded(row["resident"] / 1e6)
        ms, mb = _rounded(1000 * row["seconds"]), _rounded(row["allocated"] / 1e6)
        cells = f"{row['size']:,}", ms, time_slope, mb, memory_slope, resident
        lines.append(f"| {' | '.join(cells)} |")
    if found["left_out"]:
        lines += ["", found["left_out"]]
    return "\n".join(lines)


_FIGURES = "time", "memory"


def _rounded(value: float) -> str:
    """Three digits that count, or all of a larger number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def summary(curves: list[dict[str, Any]]) -> str:
    """The exponents of all curves beside the ideal, and the kinks."""
    columns = "curve", "figure", "ideal", "exponent", f"neighbours off by more than {FAR}"
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for found in curves:
        for name in _FIGURES:
            fit = found[name]
            slope = "" if fit["exponent"] is None else f"{fit['exponent']:.2f}"
            kinked = "; ".join(f"{n:,} to {m:,}: {each:.2f}" for n, m, each in fit["kinks"])
            cells = found["curve"], name, str(fit["ideal"]), slope, kinked
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(curves: list[dict[str, Any]], path: Path) -> None:
    """A picture: a panel for each curve, time and memory beside their ideal lines."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    curves = [found for found in curves if found["rows"]]
    if not curves:
        return
    n_columns = min(4, len(curves))
    n_rows = -(-len(curves) // n_columns)
    figure, axes = plt.subplots(
        n_rows, n_columns, figsize=(3.2 * n_columns, 3 * n_rows), squeeze=False
    )
    for axis in axes.flat[len(curves) :]:
        axis.remove()
    for axis, found in zip(axes.flat, curves, strict=False):
        sizes = [row["size"] for row in found["rows"]]
        for name, key, unit, scale in (
            ("time", "seconds", "ms", 1e3),
            ("memory", "allocated", "MB", 1e-6),
        ):
            values = [scale * row[key] for row in found["rows"]]
            (line,) = axis.plot(sizes, values, "o-", markersize=3, label=unit)
            ideal = [values[-1] * (size / sizes[-1]) ** found[name]["ideal"] for size in sizes]
            axis.plot(sizes, ideal, ":", color=line.get_color(), label=f"{unit}, ideal")
        axis.set(title=found["curve"], xscale="log", yscale="log")
        axis.minorticks_off()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.set_layout_engine("constrained")
    figure.savefig(path, dpi=110)


def chosen(text: str) -> list[Curve]:
    """The curves of these names; ``checkpoint`` is both of its curves.

    Raises
    ------
    ArgumentTypeError
        There is no curve of a name.
    """
    names = list(dict.fromkeys(curve.name.partition("-")[0] for curve in CURVES.values()))
    for name in text.split(","):
        if name not in names:
            raise argparse.ArgumentTypeError(
                f"no curve is called {name!r}; choose of {', '.join(names)}"
            )
    return [each for each in CURVES.values() if each.name.partition("-")[0] in text.split(",")]


def main() -> None:
    """Measure, print tables, and leave the figures and a picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks growth")
    parser.add_argument("--only", type=chosen, default=list(CURVES.values()))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    threads = [f", {name}={os.environ[name]}" for name in _THREADS if name in os.environ]
    title = f"{describe_run()}; {options.rounds} rounds{''.join(threads)}"
    print(title)
    curves = []
    with tempfile.TemporaryDirectory() as folder:
        for curve in options.only:
            sizes, seconds = (curve.few, 0.005) if options.quick else (curve.sizes, 0.1)
            found = measure(curve, sizes, options.rounds, seconds, folder)
            curves.append(found)
            content = {"machine": title, "curves": curves}
            (options.out / "growth.json").write_text(json.dumps(content, indent=1))
            print(f"\n**{curve.name}**: {curve.title}\n\n{table(found, curve.unit)}", flush=True)
    print(f"\nIn all:\n\n{summary(curves)}")
    draw(curves, options.out / "growth.png")


if __name__ == "__main__":
    main()
