"""Time from the start of the process to a test accuracy of 98 % on MNIST.

Usage: python -m benchmarks goal [--rounds 5] [--peers torch_eager]

The network, batch size and optimizer of the benchmark `epoch`; the test images are looked at after
each epoch. Imports, reading the files and compiling count. Each round has another seed. Then the
same with a running average of the weights, ``average_decay=0.99`` here and ``AveragedModel`` there.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
from statistics import median

from benchmarks.contest import OURS
from benchmarks.machine import describe_run
from benchmarks.mnist import need

GOAL, MOST, DECAY = 0.98, 30, 0.99

AVERAGED = f"{OURS}+average"


def reach(peer: str, seed: int) -> int:
    """The epochs that it takes."""
    name, _, averaged = peer.partition("+")
    make = importlib.import_module(f"benchmarks.peers.{name}").Training
    training = make(seed, DECAY) if averaged else make(seed)
    for epoch in range(1, MOST + 1):
        training.epoch()
        if training.accuracy() >= GOAL:
            return epoch
    raise SystemExit(f"{peer} has not reached {GOAL} after {MOST} epochs")


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks goal")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default=f"torch_eager,{AVERAGED},torch_eager+average")
    parser.add_argument("--reach", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    need()
    if options.reach:
        print(reach(options.reach, options.seed))
        return
    peers = [OURS, *options.peers.split(",")]
    times: dict[str, list[float]] = {peer: [] for peer in peers}
    epochs: dict[str, list[int]] = {peer: [] for peer in peers}
    for number in range(options.rounds):
        for peer in peers if number % 2 else reversed(peers):
            command = [sys.executable, "-m", "benchmarks.goal", "--reach", peer]
            begin = time.perf_counter()
            run = subprocess.run(
                [*command, "--seed", str(number)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            times[peer].append(time.perf_counter() - begin)
            epochs[peer].append(int(run.stdout))
    print(f"{describe_run()}; {options.rounds} rounds\n")
    print("| script | s to 98 %, median | from | to | epochs |\n|---|---|---|---|---|")
    for peer in peers:
        column = times[peer]
        cells = [peer, *(f"{each:.1f}" for each in (median(column), min(column), max(column)))]
        print(f"| {' | '.join(cells)} | {', '.join(map(str, epochs[peer]))} |")


if __name__ == "__main__":
    main()
