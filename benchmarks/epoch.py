"""Time of an epoch on MNIST at batch 128: `Trainer.fit` against the peers' usual loops.

Usage: python -m benchmarks epoch [--rounds 9] [--peers torch_eager,sklearn_mlp,book]

784-512-512-10, ReLU, Adam, float32. Ours displays its progress; PyTorch takes its batches from a
`DataLoader`. Each peer trains on in its own process, an epoch in each round; the test accuracy in
the end shows that each has learnt. The files are looked for in ``NNFS_XP_DATA``.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from benchmarks.contest import OURS, compare, installed, take_turns
from benchmarks.machine import describe_run
from benchmarks.mnist import need


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks epoch")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers", default="nnfs_xp@numpy,torch_eager,sklearn_mlp,book")
    options = parser.parse_args()
    need()
    print(f"{describe_run()}; {options.rounds} rounds\n")
    columns = "peer", "s an epoch", "from", "to", "nnfs_xp takes of it", "test accuracy"
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    with ExitStack() as stack:
        peers = installed([OURS, *options.peers.split(",")], stack)
        for peer in peers:
            peer.ask("train", 0)
            peer.ask("epoch")  # warms up
        times = take_turns(peers, options.rounds, lambda peer: peer.ask("epoch"))
        found = compare(times)
        for peer in peers:
            cells = found[peer.name]
            accuracy = peer.ask("accuracy")
            low, high = min(times[peer.name]), max(times[peer.name])
            print(
                f"| {peer.name} | {cells['median']:.2f} | {low:.2f} | {high:.2f} | "
                f"{cells['ratio']:.2f} | {accuracy:.4f} |"
            )


if __name__ == "__main__":
    main()
