"""Training in several processes of this machine: parts of a step, scaling, sums, a group of one.

Usage: python -m benchmarks distributed [--processes 1,2] [--nets 784-512-512-10,...] [--batch 128]
[--sizes 4096,...] [--rounds 7] [--repeats 3] [--seconds 0.2] [--quick] [--mpiexec mpiexec]
[--timeout 1800] [--out build/benchmarks]

       python -m benchmarks distributed model [OPTIONS]

Starts itself under mpiexec, each process on one thread, once for each repeat. All numbers of
processes are measured in one such job: in every round each takes a turn, and the processes that are
not of it sleep; every other round goes the other way round. A ratio is that of two turns of one
round. Figures are medians over all rounds, with the lowest and the highest.

Strong scaling shares one batch, weak scaling gives each process as many samples as one alone. A
step ends as in `fit`: the processes agree whether to go on. The alpha-beta model is fitted to the
lowest times of sums of every other size, and tells those of the others. With `model` it tells what
sums over many GPUs should take: nothing is measured then.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import nnfs_xp as nn
from benchmarks import scaling_model
from benchmarks.distributed_work import (
    AGREED,
    PARTS,
    Figures,
    key,
    shares,
    sizes_of,
    sizes_of_sums,
    take_part,
)
from benchmarks.machine import describe_run
from benchmarks.scaling_model import table
from nnfs_xp.distributed.shared_memory import PIECE

NETS = "784-512-512-10", "784-2048-2048-2048-10"
SIZES = tuple(2**n for n in range(12, 26, 2))
"""Bytes of the sums that the model is fitted to and compared with, in turn."""

_FEW = {
    "nets": ("16-8-4",),
    "batch": 8,
    "sizes": (64, 256, 1024),
    "rounds": 2,
    "repeats": 1,
    "seconds": 0.0005,
}
"""The settings of a quick run, where no others are given."""

_REMEDY = "pip install 'nnfs-xp[mpi]'"
_THREADS = ("OMP", "OPENBLAS", "MKL", "NUMBA")


def launcher(named: str | None) -> list[str]:
    """The command that starts the processes.

    Raises
    ------
    SystemExit
        mpi4py, or mpiexec, or the named command is missing.
    """
    if importlib.util.find_spec("mpi4py") is None:
        raise SystemExit(f"mpi4py is not installed; {_REMEDY}")
    if named is not None:
        command = shlex.split(named)
        if not command or shutil.which(command[0]) is None:
            raise SystemExit(f"there is no command {named!r} to start the processes with")
        return command
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("mpiexec")
    if found is None:
        raise SystemExit(f"there is no mpiexec beside {sys.executable}, nor on PATH; {_REMEDY}")
    return [found]


def run_job(options: argparse.Namespace) -> Figures:
    """Start the processes, wait for them, and read what they found.

    Raises
    ------
    SystemExit
        They failed, or took too long.
    """
    counts = ",".join(map(str, options.processes))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        command = [*launcher(options.mpiexec), "-n", str(max(options.processes))]
        command += [sys.executable, "-m", "benchmarks", "distributed", *sys.argv[1:]]
        command += ["--processes", counts, "--into", str(path)]
        threads = {f"{name}_NUM_THREADS": "1" for name in _THREADS}
        job = subprocess.Popen(command, env={**os.environ, **threads})
        try:
            status = job.wait(options.timeout)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"the processes did not end within {options.timeout:g} s") from None
        finally:
            if job.poll() is None:
                _end(job)
        if status:
            raise SystemExit(f"the processes ended with the status {status}")
        figures: Figures = json.loads(path.read_text())
        return figures


def _end(job: subprocess.Popen[bytes]) -> None:
    """End mpiexec, which ends the others."""
    job.terminate()
    try:
        job.wait(10)
    except subprocess.TimeoutExpired:
        job.kill()
        job.wait()


def shown(values: Sequence[float]) -> str:
    """The median, the lowest and the highest of seconds, in ms."""
    middle, low, high = (
        f"{1000 * each:.3g}" for each in (median(values), min(values), max(values))
    )
    return f"{middle} ({low}–{high})"


def shown_ratios(values: Sequence[float]) -> str:
    """The median, the lowest and the highest of numbers around 1."""
    return f"{median(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def parts_table(figures: Figures, options: argparse.Namespace) -> str:
    """What the parts of a step take."""
    rows = []
    for net in options.nets:
        for n, batch in shares(options.processes, options.batch):
            parts = [figures[key(name, net, n, batch)] for name in PARTS]
            whole = figures[key("step", net, n, batch)]
            cells = [shown(each) for each in (*parts, whole)]
            added = f"{1000 * sum(map(median, parts)):.3g}"
            rows.append([net, str(n), str(batch), *cells[:-1], added, cells[-1]])
    names = [f"{name}, ms" for name in PARTS]
    return table(["net", "processes", "batch", *names, "added up", "step, ms"], rows)


def scaling_table(figures: Figures, options: argparse.Namespace) -> str:
    """How many times the samples of one process several take in a second."""
    rows = []
    for net in options.nets:
        one = figures[key("step", net, 1, options.batch)]
        for kind in ("strong", "weak"):
            for n in options.processes:
                more = n if kind == "weak" else 1
                own = figures[key("step", net, n, more * options.batch)]
                speeds = [more * a / b for a, b in zip(one, own, strict=True)]
                cells = [str(more * options.batch), shown(own), shown_ratios(speeds), str(n)]
                rows.append([net, kind, str(n), *cells, f"{median(speeds) / n:.2f}"])
    columns = "net", "scaling", "processes", "batch", "step, ms", "times the samples", "ideal"
    return table([*columns, "ratio"], rows)


def sums_table(figures: Figures, options: argparse.Namespace) -> str:
    """What sums alone take, beside adding two such arrays within a process."""
    rows = []
    for n in options.processes:
        if n == 1:
            continue
        agreed = figures[key("agree", n)]
        rows.append([f"`agree` on {len(AGREED)}", str(n), f"{1000 * min(agreed):.3g}"])
        rows[-1] += [shown(agreed), "", ""]
        for n_bytes in sizes_of_sums(options):
            own, here = (figures[key(name, n_bytes, n)] for name in ("add", "here"))
            cells = [f"{1000 * min(own):.3g}", shown(own), f"{1000 * median(here):.3g}"]
            ratio = f"{median(own) / median(here):.2f}"
            rows.append([f"`add` of {n_bytes:,} bytes", str(n), *cells, ratio])
    columns = "what", "processes", "lowest, ms", "median, ms", "ideal, ms", "ratio"
    return table(columns, rows)


def alone_table(figures: Figures, options: argparse.Namespace) -> str:
    """What a step takes without a group and in a group of one."""
    rows = []
    for net in options.nets:
        without, alone = (figures[key(name, net)] for name in ("without", "alone"))
        ratios = [b / a for a, b in zip(without, alone, strict=True)]
        same = "yes" if all(figures[key("same bits", net)]) else "NO"
        lowest = f"{min(alone) / min(without):.3f}"
        rows.append([net, shown(without), shown(alone), shown_ratios(ratios), lowest, "1", same])
    columns = "net", "no group, ms", "group of one, ms", "ratio", "of the lowest", "ideal"
    return table([*columns, "same bits"], rows)


def report(figures: Figures, options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """The tables, each with its title."""
    yield "Parts of a step (the sum waits for the slower process)", parts_table(figures, options)
    yield "Scaling", scaling_table(figures, options)
    yield "A group of one, in `fit`", alone_table(figures, options)
    several = [n for n in options.processes if n > 1]
    if not several:
        return
    yield (
        "Sums alone (ideal: the processes each add two such arrays)",
        sums_table(figures, options),
    )
    for n in several:
        sums = {size: min(figures[key("add", size, n)]) for size in sizes_of_sums(options)}
        chosen = options.sizes[::2]
        title = f"The alpha-beta model beside the lowest times of {n} processes"
        yield title, scaling_model.comparison(sums, chosen, n, piece=PIECE)


def _numbers(text: str) -> tuple[int, ...]:
    found = tuple(sorted({int(each) for each in text.split(",")}))
    if found[0] < 1:
        raise argparse.ArgumentTypeError(f"numbers must be 1 or more; got {found[0]}")
    return found


def _processes(text: str) -> tuple[int, ...]:
    return tuple(sorted({1, *_numbers(text)}))  # what the others are compared with


def _sizes(text: str) -> tuple[int, ...]:
    found = _numbers(text)
    if len(found) < 3:
        raise argparse.ArgumentTypeError("it takes three sizes to fit two and leave one out")
    return found


def _nets(text: str) -> tuple[str, ...]:
    nets = tuple(dict.fromkeys(text.split(",")))
    for net in nets:
        if len(sizes_of(net)) < 2:
            raise argparse.ArgumentTypeError(f"a net is written as 784-512-10; got {net!r}")
    return nets


def _options() -> argparse.Namespace:
    cores = _cores()
    default = sorted({1, cores, *(2**n for n in range(cores.bit_length()))})
    parser = argparse.ArgumentParser(prog="python -m benchmarks distributed")
    parser.add_argument("--processes", type=_processes, default=tuple(default))
    parser.add_argument("--nets", type=_nets, default=NETS)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--sizes", type=_sizes, default=SIZES)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--shard-optimizer", action="store_true", help="each updates a part")
    parser.add_argument("--mpiexec", help="the command that starts the processes")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds of each repeat")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)  # for the processes
    if parser.parse_args().quick:
        parser.set_defaults(**_FEW)
    options = parser.parse_args()
    if options.batch < max(options.processes):
        parser.error(f"a batch of {options.batch} is too small for {max(options.processes)}")
    return options


def _cores() -> int:
    """Those that this process may use."""
    has = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if has else os.cpu_count() or 1


def main() -> None:
    """Measure, print tables, and leave the figures; or be one of the processes that do."""
    if sys.argv[1:2] == ["model"]:
        sys.argv.pop(1)
        scaling_model.main()
        return
    options = _options()
    if options.into is not None:
        figures = take_part(options)
        if figures:
            options.into.write_text(json.dumps(figures))
        return
    launcher(options.mpiexec)
    options.out.mkdir(parents=True, exist_ok=True)
    mpi = nn.distributed.available_groups()["mpi"].partition(":")[0]
    load = f"; load {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    counts = f"{options.repeats} × {options.rounds} rounds"
    title = f"{describe_run()}; {mpi}; {counts}{load}"
    print(title, flush=True)
    if max(options.processes) > _cores():
        print("There are more processes than cores: they take turns, and cannot scale.")
    figures = {}
    for number in range(options.repeats):
        for name, values in run_job(options).items():
            figures.setdefault(name, []).extend(values)
        content = {"machine": title, "repeats": number + 1, "figures": figures}
        (options.out / "distributed.json").write_text(json.dumps(content, indent=1))
    for what, text in report(figures, options):
        print(f"\n**{what}**\n\n{text}")
    if not all(all(figures[key("same bits", net)]) for net in options.nets):
        raise SystemExit("a group of one has other bits than no group")


if __name__ == "__main__":
    main()
