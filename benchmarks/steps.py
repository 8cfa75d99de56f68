"""Time of training steps and forward passes, here and in the peers that are installed.

Usage: python -m benchmarks steps [--works a,b] [--batches 1,128] [--peers nnfs_xp,torch_eager]
[--kinds step,infer,predict] [--rounds 15] [--seconds 0.1] [--together] [--busy 0]
[--out build/benchmarks]

Works: (a) 784-512-512-10, (b) 64-32-10, (c) eight layers of 1024, (d) 32-64-64-1, a regression;
ReLU, Adam, float32. A step trains, infer is a forward pass, and predict is `Trainer.predict` beside
the peers' forward passes. Each peer runs in its own process, or with --together all in one; in
every round each takes a turn of so many seconds, a quarter as long for warming up before it. The
losses of the first steps are compared. A ratio is that of our time to the peer's in one round; the
median over the rounds is reported. With --busy 1 another process keeps a core busy all the while,
with 2 two do; a peer ``nnfs_xp@1`` is the library on one thread, ``nnfs_xp@2`` on two. Figures in
``--out`` from before stay, if they are not measured anew.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.contest import OURS, PEERS, Neighbour, Peer, compare, installed, take_turns
from benchmarks.machine import describe_run
from benchmarks.work import BATCHES, WORKS


def main() -> None:
    """Measure, print a table, and leave the figures and a picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks steps")
    parser.add_argument("--works", default=",".join(WORKS))
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)))
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--kinds", default="step,infer")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    options = parser.parse_args()
    names = list(dict.fromkeys([OURS, *options.peers.split(",")]))
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "steps.json"
    earlier = json.loads(path.read_text())["rows"] if path.exists() else []
    rows = {key_of(row): row for row in earlier}
    title = describe_run()
    beside = f", {options.busy} busy beside" if options.busy else ""
    print(f"{title}; {options.rounds} rounds{beside}\n")
    with ExitStack() as stack:
        stack.enter_context(busy(options.busy))
        peers = installed(names, stack, together=options.together)
        print(heading(kept := [peer.name for peer in peers]))
        for work in options.works.split(","):
            for batch in map(int, options.batches.split(",")):
                begin(peers, work, batch)
                for kind in options.kinds.split(","):
                    found = compare(measure(peers, kind, options.rounds, options.seconds))
                    row = {
                        "work": work,
                        "batch": batch,
                        "kind": kind,
                        "peers": found,
                        "rounds": options.rounds,
                        "together": options.together,
                        "busy": options.busy,
                        "machine": title,
                    }
                    rows[key_of(row)] = row
                    print(line(row, kept), flush=True)
                    content = {"rows": [rows[key] for key in sorted(rows)]}
                    path.write_text(json.dumps(content, indent=1))
    draw([rows[key] for key in sorted(rows)], options.out / "steps.png")


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What no two rows have in common."""
    return row["work"], row["batch"], row["kind"], row.get("busy", 0)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """While it lasts, so many processes compute without a pause."""
    command = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for each in others:
            each.kill()
            each.wait()


def begin(peers: list[Peer | Neighbour], work: str, batch: int) -> None:
    """Have all build the work, and see that all compute the same."""
    losses = {}
    for peer in peers:
        peer.ask("build", work, batch)
        losses[peer.name] = peer.ask("losses", 3)
    expected = losses[OURS]
    for name, found in losses.items():
        same = all(
            math.isclose(a, b, rel_tol=1e-2 if number else 1e-4)  # Adams add epsilon differently
            for number, (a, b) in enumerate(zip(found, expected, strict=True))
        )
        if name != "floor" and not same:
            raise SystemExit(f"{name} computes something else: {found}, not {expected}")


def measure(
    peers: list[Peer | Neighbour], kind: str, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Seconds for one call, by peer and round."""
    counts = {}
    for peer in peers:
        peer.ask(kind, 3)
        counts[peer.name] = max(2, math.ceil(seconds / (peer.ask(kind, 3) / 3)))

    def turn(peer: Peer | Neighbour) -> float:
        count = counts[peer.name]
        peer.ask(kind, max(1, count // 4))
        taken: float = peer.ask(kind, count)
        return taken / count

    return take_turns(peers, rounds, turn)


def heading(names: list[str]) -> str:
    """The first lines of the table."""
    columns = ["work", "batch", "", "ms", *(f"of {name}" for name in names if name != OURS)]
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def line(row: dict[str, Any], names: list[str]) -> str:
    """A line of the table."""
    found = row["peers"]
    own = 1000 * found[OURS]["median"]
    kind = row["kind"] + (f", {row['busy']} busy" if row.get("busy") else "")
    cells = [row["work"], str(row["batch"]), kind, f"{own:.3g}"]
    cells += [f"{found[name]['ratio']:.2f}" for name in names if name != OURS]
    return f"| {' | '.join(cells)} |"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """A picture of the ratios of the training steps, a panel for each work."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    steps = [row for row in rows if row["kind"] == "step" and not row.get("busy")]
    works = list(dict.fromkeys(row["work"] for row in steps))
    if not works:
        return
    figure, axes = plt.subplots(
        1, len(works), figsize=(3.4 * len(works), 3.6), sharey=True, squeeze=False
    )
    for axis, work in zip(axes[0], works, strict=True):
        of_work = [row for row in steps if row["work"] == work]
        batches = [str(row["batch"]) for row in of_work]
        for number, name in enumerate(PEERS):
            if name == OURS or any(name not in row["peers"] for row in of_work):
                continue
            ratios = [1 / row["peers"][name]["ratio"] for row in of_work]
            axis.plot(batches, ratios, "o-", label=name, color=f"C{number}", markersize=4)
        axis.axhline(1, color="black", linewidth=1)
        sizes = WORKS[work].sizes
        text = "-".join(map(str, sizes))
        if len(set(sizes)) == 1:
            text = f"{len(sizes) - 1} layers of {sizes[0]}"
        axis.set(title=text, xlabel="batch", yscale="log")
        axis.title.set_fontsize(9)
    axes[0, 0].set_ylabel("time of a step, nnfs_xp = 1")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    figure.set_layout_engine("constrained")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
