"""Four layers of 4096 at batch 8192 in bfloat16: beside PyTorch, and beside the card's own rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from benchmarks.contest import OURS
from benchmarks.gpu.contest import BUILD, Contest, difference
from benchmarks.gpu.contestants import lacking
from benchmarks.gpu.results import Goal, Results, Setting
from benchmarks.gpu.works import GPU_WORKS, flops

BATCH, SIDE = 8192, 8192

NEAR = 2e-2


def run(
    results: Results,
    setting: Setting,
    *,
    peers: Sequence[str],
    rounds: int = 3,
    turn: float = 0.1,
    seconds: float = math.inf,
) -> None:
    """Measure in turn: ours, and the peers, with `torch.autocast` where they are PyTorch.

    As here, its weights and its Adam then are float32.
    """
    name, batch, side = ("rehearsal", 32, 64) if setting.quick else ("wide", BATCH, SIDE)
    precision = "bfloat16"
    reason = lacking(setting.backend, precision)
    if reason is not None:
        results.absent(f"the wide network in {precision}", reason)
        return
    work, sides = GPU_WORKS[name], {"matmul": side}
    with Contest([OURS, *peers], setting, precision, results, seconds) as contest:
        contest.each(
            lambda peer: peer.ask("build", name, sides.get(peer.name, batch), limit=BUILD),
            "while building",
        )
        losses = contest.each(
            lambda peer: [] if peer.name == "matmul" else peer.ask("losses", 3, limit=BUILD),
            "in its first steps",
        )
        for reason in contest.each(lambda peer: peer.ask("refused"), "before timing").values():
            if reason:
                results.text(f"Steps are not recorded as graphs: {reason}.")
        times = contest.time("while timed", rounds, turn)
    rates = {}
    for peer, column in times.items():
        operations = 2.0 * side**3 if peer == "matmul" else flops(work, batch)
        rates[peer] = [operations / each for each in column]
    sizes = "-".join(map(str, work.sizes))
    table = f"{sizes}, batch {batch}, {precision}; the product is of {side} x {side}, bfloat16"
    for peer, column in rates.items():
        ratio = median(a / b for a, b in zip(rates[OURS], column, strict=True))
        goal = goal_of(peer, ratio)
        apart = 0.0 if peer == "matmul" else difference(losses[peer], losses[OURS])
        if not apart <= NEAR:
            detail = f"{losses[peer]}, not {losses[OURS]}"
            results.check(f"{peer} computes the same, {precision}", good=False, detail=detail)
        results.row(
            table,
            peer=peer,
            **{
                "ms": f"{1000 * median(times[peer]):.4g}",
                "TFLOP/s": f"{median(column) / 1e12:.4g}",
                "rate of nnfs_xp, of its": f"{ratio:.3f}",
                "goal": "" if goal is None else results.goal(goal),
                "losses differ by": "" if peer == "matmul" else f"{apart:.1e}",
            },
        )


def goal_of(peer: str, ratio: float) -> Goal | None:
    """The goal beside a peer, if there is one."""
    if peer == "torch_compile":
        return Goal("wide network: throughput, of torch_compile's", ratio, 0.95, at_least=True)
    if peer == "matmul":
        what = "wide network: rate, of the card's measured bfloat16 matrix rate"
        return Goal(what, ratio, 0.7, at_least=True)
    return None
