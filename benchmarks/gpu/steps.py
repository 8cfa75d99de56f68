"""Training steps of 784-512-512-10 beside PyTorch and JAX, at several batch sizes."""

from __future__ import annotations

from benchmarks.contest import OURS, compare
from benchmarks.gpu.contest import ROUNDS, SECONDS, Contest, difference
from benchmarks.gpu.contestants import lacking
from benchmarks.gpu.results import Goal, Results, Setting
from benchmarks.gpu.works import BATCHES

PEERS = (OURS, "torch_eager", "torch_compile", "jax_jit")

EAGER, SMALL, COMPILED = 0.35, 512, 0.8
"""The share of the peer's time that a step may take: of eager PyTorch's up to a batch size."""

NEAR = {"float32": (1e-4, 1e-2), "tf32": (5e-3, 5e-2)}
"""How far the losses of the first and of the next steps may be apart."""


def run(results: Results, setting: Setting, precision: str = "float32") -> None:
    """Compare at each batch size."""
    batches: tuple[int, ...] = BATCHES
    rounds, seconds = ROUNDS, SECONDS
    if setting.quick:
        batches, rounds, seconds = (32,), 3, 0.01
    reason = lacking(setting.backend, precision)
    if reason is not None:
        results.absent(f"steps in {precision}", reason)
        return
    left = list(batches)
    before = 0
    while left and len(left) != before:  # where ours fails at one size, all begin with the next
        before = len(left)
        with (
            results.attempt(f"{OURS} takes steps, {precision}"),
            Contest(PEERS, setting, precision, results) as contest,
        ):
            while left:
                at_batch(contest, results, precision, left.pop(0), rounds, seconds)


def run_tf32(results: Results, setting: Setting) -> None:
    """The same with products of TF32 in all."""
    run(results, setting, "tf32")


def at_batch(
    contest: Contest, results: Results, precision: str, batch: int, rounds: int, seconds: float
) -> None:
    """Compare at one batch size."""
    losses = contest.begin("a", batch)
    for reason in contest.each(lambda peer: peer.ask("refused"), "before timing").values():
        if reason:
            results.text(f"Batch {batch}: steps are not recorded as graphs: {reason}.")
    times = contest.time(f"at batch {batch}", rounds, seconds)
    found = compare(times)
    table = f"Steps, {precision}: median of {rounds} rounds of {1000 * seconds:.0f} ms"
    mine = found[OURS]["median"]
    for name, cells in found.items():
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
