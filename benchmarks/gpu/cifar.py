"""A step of the network for CIFAR-10: ours recorded, PyTorch's channels last, and compiled.

Usage: python -m benchmarks.gpu.cifar [--seconds 90]
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from statistics import median

from benchmarks.contest import OURS
from benchmarks.gpu.contest import BUILD, Contest, difference
from benchmarks.gpu.contestants import lacking
from benchmarks.gpu.results import Results, Setting, part_parser, results_of

BATCH, BATCH_OF_REHEARSAL = 1024, 8

CONTESTS = (
    ("bfloat16", "torch_eager"),
    ("tf32", "torch_eager"),
    ("bfloat16", "torch_compile"),
    ("float32", "torch_eager"),
)
"""Precisions and peers, the most telling first."""

LEAST, SPARE = 10.0, 5.0
"""Seconds in which none is begun; by which it ends before the part does."""

NEAR = {"float32": 1e-3, "tf32": 2e-2, "bfloat16": 5e-2}
"""How far the losses of the first steps may be apart, relative to them."""


def run(
    results: Results,
    setting: Setting,
    precision: str,
    *,
    peers: Sequence[str],
    rounds: int = 5,
    turn: float = 0.1,
    seconds: float = math.inf,
) -> None:
    """Measure in turn: ours, and the peers, with `torch.autocast` in bfloat16."""
    reason = lacking(setting.backend, precision)
    if reason is not None:
        results.absent(f"the network for CIFAR-10 in {precision}", reason)
        return
    name, batch = ("small-cifar", BATCH_OF_REHEARSAL) if setting.quick else ("cifar", BATCH)
    with Contest([OURS, *peers], setting, precision, results, seconds) as contest:
        contest.each(lambda peer: peer.ask("build", name, batch, limit=BUILD), "while building")
        losses = contest.each(lambda peer: peer.ask("losses", 3, limit=BUILD), "in its first steps")
        for reason in contest.each(lambda peer: peer.ask("refused"), "before timing").values():
            if reason:
                results.text(f"Steps are not recorded as graphs: {reason}.")
        times = contest.time("while timed", rounds, turn)
        for peer, column in times.items():
            ratio = median(a / b for a, b in zip(times[OURS], column, strict=True))
            apart = difference(losses[peer], losses[OURS])
            if not apart <= NEAR[precision]:
                detail = f"{losses[peer]}, not {losses[OURS]}"
                results.check(f"{peer} computes the same, {precision}", good=False, detail=detail)
            results.row(
                f"The network for CIFAR-10 at batch {batch}",
                precision=precision,
                peer=peer,
                **{
                    "ms a step": f"{1000 * median(column):.4g}",
                    "pictures/s": f"{batch / median(column):.4g}",
                    "time of nnfs_xp, of its": f"{ratio:.3f}",
                    "losses differ by": f"{apart:.1e}",
                },
            )


def main() -> None:
    """Run what there is time for."""
    options = part_parser("cifar").parse_args()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("nnfs_xp").setLevel(logging.DEBUG)  # which algorithm each product has
    results, setting = results_of(options, "cifar"), Setting.here()
    end = time.monotonic() + options.seconds
    rounds, turn = (2, 0.01) if setting.quick else (5, 0.1)
    for precision, peer in CONTESTS:
        if setting.quick and peer == "torch_compile":
            continue
        left = end - time.monotonic()
        what = f"the network for CIFAR-10 in {precision} beside {peer}"
        if left < LEAST:
            results.absent(what, f"not begun: {max(left, 0):.0f} s were left")
            continue
        with results.attempt(f"{what}: it runs"):
            run(
                results,
                setting,
                precision,
                peers=[peer],
                rounds=rounds,
                turn=turn,
                seconds=left - SPARE,
            )


if __name__ == "__main__":
    main()
