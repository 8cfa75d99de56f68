"""Time and memory of a convolution of 3 x 3, forward and backward, beside PyTorch's.

Usage: python -m benchmarks convolution [--shapes 3x32x32-32,32x16x16-64,64x16x16-256] [--batch 64]
[--cores 1,2] [--peers nnfs_xp,torch,…] [--rounds 15] [--seconds 0.2]

A shape is channels x height x width - filters; of three channels the gradient of the inputs is not
asked for, as of a network's first layer. Peers: nnfs_xp, nnfs_xp@numpy (without Numba),
nnfs_xp_torch (on PyTorch's tensors), torch (its default layout) and torch_last (channels last).
Each runs in a process of its own; in every round each takes a turn. A ratio is that of our time to
the peer's in the same round, and the median over the rounds is reported. The memory is by how much
the process grew at most, in MB, once it has run a picture of 6 x 6 pixels; Linux tells it.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from contextlib import ExitStack
from statistics import median

from benchmarks.contest import AbsentError, Neighbour, Peer, take_turns
from benchmarks.machine import describe_run

SHAPES = "3x32x32-32", "32x16x16-64", "64x16x16-256"
PEERS = "nnfs_xp", "nnfs_xp@numpy", "nnfs_xp_torch", "torch", "torch_last"


class Convolving(Peer):
    """A peer that runs `benchmarks.convolution_work`."""

    worker = "benchmarks.convolution_work"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks convolution")
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--cores", default="1,2")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.2)
    options = parser.parse_args()
    unknown = sorted(set(options.peers.split(",")) - set(PEERS))
    if unknown:
        parser.error(f"there is no peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
    print(f"{describe_run()}; batch {options.batch}, {options.rounds} rounds\n")
    print("| cores | shape | peer | ms | of torch's | of torch_last's | MB |\n|" + "---|" * 7)
    for cores in options.cores.split(","):
        os.environ["NNFS_XP_BENCHMARK_CORES"] = cores
        if cores == "1":
            os.environ["OMP_NUM_THREADS"] = "1"
        else:
            os.environ.pop("OMP_NUM_THREADS", None)
        for shape in options.shapes.split(","):
            _contest(shape, cores, options)


def _contest(shape: str, cores: str, options: argparse.Namespace) -> None:
    with ExitStack() as stack:
        peers: list[Peer | Neighbour] = []
        counts: dict[str, int] = {}
        for name in options.peers.split(","):
            try:
                peer: Peer | Neighbour = stack.enter_context(Convolving(name))
            except AbsentError as error:
                print(f"without {name}: {error}", file=sys.stderr)
                continue
            peer.ask("build", shape, options.batch)
            peer.ask("run", 2)
            counts[name] = max(2, math.ceil(options.seconds / (peer.ask("run", 3) / 3)))
            peers.append(peer)

        def turn(peer: Peer | Neighbour) -> float:
            peer.ask("run", max(1, counts[peer.name] // 4))
            taken: float = peer.ask("run", counts[peer.name])
            return taken / counts[peer.name]

        times = take_turns(peers, options.rounds, turn)
        for peer in peers:
            ratios = []
            for other in ("torch", "torch_last"):
                pairs = zip(times[peer.name], times.get(other, ()), strict=False)
                found = [mine / its for mine, its in pairs]
                ratios.append(f"{median(found):.2f}" if found else "")
            milliseconds, memory = median(times[peer.name]) * 1e3, peer.ask("memory")
            memory = "" if memory is None else f"{memory:.0f}"
            cells = cores, shape, peer.name, f"{milliseconds:.3g}", *ratios, memory
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
