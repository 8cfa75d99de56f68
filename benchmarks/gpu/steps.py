"""Training steps of 784-512-512-10 beside a peer's, at several batch sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.contest import OURS, compare
from benchmarks.gpu.contest import Contest, difference
from benchmarks.gpu.contestants import lacking
from benchmarks.gpu.results import Goal, Results, Setting
from benchmarks.gpu.works import GPU_WORKS

EAGER, SMALL, COMPILED = 0.35, 512, 0.8
"""The share of the peer's time that a step may take: of eager PyTorch's up to a batch size."""

NEAR = {"float32": (1e-4, 1e-2), "tf32": (5e-3, 5e-2), "bfloat16": (2e-2, 1e-1)}
"""How far the losses of the first and of the next steps may be apart."""


def run(
    results: Results,
    setting: Setting,
    precision: str,
    *,
    peers: Sequence[str],
    batches: Sequence[int],
    rounds: int = 5,
    turn: float = 0.05,
    seconds: float = math.inf,
) -> None:
    """Compare at each batch size.

    Parameters
    ----------
    results : Results
    setting : Setting
    precision : str
    peers : sequence of str
        Beside ours.
    batches : sequence of int
    rounds : int
    turn : float
        Seconds of each turn in a round.
    seconds : float
        How long all of it may take.
    """
    reason = lacking(setting.backend, precision)
    if reason is not None:
        results.absent(f"steps in {precision}", reason)
        return
    left, work = list(batches), "rehearsal" if setting.quick else "a"
    before = 0
    while left and len(left) != before:  # where ours fails at one size, all begin with the next
        before = len(left)
        with (
            results.attempt(f"{OURS} takes steps, {precision}"),
            Contest([OURS, *peers], setting, precision, results, seconds) as contest,
        ):
            while left:
                at_batch(contest, results, work, precision, left.pop(0), rounds, turn)


def at_batch(
    contest: Contest,
    results: Results,
    work: str,
    precision: str,
    batch: int,
    rounds: int,
    turn: float,
) -> None:
    """Compare at one batch size."""
    losses = contest.begin(work, batch)
    for reason in contest.each(lambda peer: peer.ask("refused"), "before timing").values():
        if reason:
            results.text(f"Batch {batch}: steps are not recorded as graphs: {reason}.")
    times = contest.time(f"at batch {batch}", rounds, turn)
    found = compare(times)
    sizes = "-".join(map(str, GPU_WORKS[work].sizes))
    table = f"Steps of {sizes}, {precision}: median of {rounds} rounds of {1000 * turn:.0f} ms"
    mine = found[OURS]["median"]
    for name, cells in found.items():
        if name == OURS and len(found) > 1:
            continue  # its time stands beside each peer's
        apart = difference(losses[name], losses[OURS])
        first, later = NEAR[precision]
        same = difference(losses[name][:1], losses[OURS][:1]) <= first and apart <= later
        if not same:
            what = f"{name} computes the same, {precision}, batch {batch}"
            results.check(what, good=False, detail=f"{losses[name]}, not {losses[OURS]}")
        word = ""
        if name != OURS:
            goal = goal_of(name, cells["ratio"], precision, batch)
            word = results.goal(goal) if goal is not None else ""
        results.row(
            table,
            batch=batch,
            peer=name,
            **{
                "ms": f"{1000 * cells['median']:.4g}",
                "from": f"{1000 * min(times[name]):.4g}",
                "to": f"{1000 * max(times[name]):.4g}",
                "nnfs_xp ms": f"{1000 * mine:.4g}",
                "nnfs_xp takes of it": f"{cells['ratio']:.3f}",
                "goal": word,
                "losses differ by": f"{apart:.1e}",
            },
        )


def goal_of(peer: str, ratio: float, precision: str, batch: int) -> Goal | None:
    """The goal beside a peer, if there is one at this batch size."""
    most = EAGER if peer == "torch_eager" else COMPILED
    if peer == "torch_eager" and batch > SMALL:
        return None
    where = f", batch up to {SMALL}" if peer == "torch_eager" else ""
    return Goal(f"share of {peer}'s step, {precision}{where}", ratio, most, at=f"batch {batch}")
