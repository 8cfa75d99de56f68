"""Peak memory of an epoch on MNIST, and the size of what is installed.

Usage: python -m benchmarks footprint [--peers torch_eager,sklearn_mlp,book]

Memory is the largest resident set of a process that reads MNIST and trains one epoch, as in the
benchmark `epoch`. Sizes are those of the files of a distribution and of all that it requires,
extras and bytecode left out.
"""

from __future__ import annotations

import argparse
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nnfs_xp
from benchmarks.contest import OURS, AbsentError, Peer
from benchmarks.machine import describe_run
from benchmarks.mnist import need

DISTRIBUTIONS = ("nnfs-xp", "numba", "torch", "jax", "scikit-learn", "thinc")


def required(name: str, known: set[str]) -> set[str]:
    """The distribution and what it requires, directly or not, as far as it is installed."""
    name = canonicalize_name(name)
    if name in known:
        return known
    try:
        requirements = distribution(name).requires or []
    except PackageNotFoundError:  # for another platform, say
        return known
    known.add(name)
    for each in map(Requirement, requirements):
        if each.marker is None or each.marker.evaluate({"extra": ""}):
            required(each.name, known)
    return known


def size(name: str) -> int:
    """The bytes of the distribution's files."""
    if name == "nnfs-xp":  # also where it is installed to be edited
        files = [path for path in Path(nnfs_xp.__file__).parent.rglob("*") if path.is_file()]
    else:
        found = distribution(name)
        files = [Path(str(found.locate_file(path))) for path in found.files or []]
    kept = (path for path in files if "__pycache__" not in path.parts and path.exists())
    return sum(path.stat().st_size for path in kept)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks footprint")
    parser.add_argument("--peers", default="nnfs_xp@numpy,torch_eager,sklearn_mlp,book")
    options = parser.parse_args()
    need()
    print(f"{describe_run()}\n")
    print("| process | peak memory, MB | nnfs_xp takes of it |\n|---|---|---|")
    own = 0.0
    for name in [OURS, *options.peers.split(",")]:
        try:
            with Peer(name) as peer:
                peer.ask("train", 0)
                peer.ask("epoch")
                peak = peer.ask("memory")
        except AbsentError:
            continue
        own = own or peak
        print(f"| {name} | {peak:.0f} | {own / peak:.2f} |")
    print("\n| distribution | with what it requires, MB |\n|---|---|")
    for name in DISTRIBUTIONS:
        names = required(name, set())
        if names:
            print(f"| {name} | {sum(map(size, names)) / 1e6:.0f} |")


if __name__ == "__main__":
    main()
