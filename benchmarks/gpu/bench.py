"""Contests, the most telling first: steps beside PyTorch and JAX, the host's time, a wide network.

What its time does not allow is not begun. `torch.compile` takes long to begin and has a part of its
own, which is run last.

Usage: python -m benchmarks.gpu.bench [--seconds 150] [--compiled]
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from benchmarks.gpu import host_time, steps, wide
from benchmarks.gpu.results import Results, Setting, part_parser, results_of

BATCHES, BATCHES_OF_REHEARSAL = (128, 32, 512, 2048), (32,)

_SPARE = 4.0
"""Seconds behind the last contest."""


class Entry(NamedTuple):
    """A contest.

    Attributes
    ----------
    title : str
    seconds : float
        What it needs on a bare machine; it may take twice as much where that is left.
    run : callable
        Takes the seconds that it may take.
    """

    title: str
    seconds: float
    run: Callable[[float], None]


def contests(results: Results, setting: Setting) -> Iterator[Entry]:
    """Those without compiled PyTorch, in their order."""
    batches = BATCHES_OF_REHEARSAL if setting.quick else BATCHES
    few = batches[:1] + batches[3:]

    def beside(peer: str, precision: str, batches: tuple[int, ...]) -> Callable[[float], None]:
        return partial(_steps, results, setting, precision, peer, batches)

    yield Entry("float32 beside eager PyTorch", 25, beside("torch_eager", "float32", batches))
    yield Entry("the host's time", 15, lambda _: host_time.run(results, setting))
    yield Entry("bfloat16 beside eager PyTorch", 25, beside("torch_eager", "bfloat16", few))
    yield Entry("a wide network", 30, partial(_wide, results, setting, ["torch_eager", "matmul"]))
    yield Entry("float32 beside JAX", 30, beside("jax_jit", "float32", few))
    yield Entry("TF32 beside eager PyTorch", 25, beside("torch_eager", "tf32", few))


def compiled_contests(results: Results, setting: Setting) -> Iterator[Entry]:
    """Those beside compiled PyTorch."""
    batches = BATCHES_OF_REHEARSAL if setting.quick else BATCHES[:1]
    run = partial(_steps, results, setting, "float32", "torch_compile", batches)
    yield Entry("float32 beside compiled PyTorch", 30, run)
    run = partial(_wide, results, setting, ["torch_compile"])
    yield Entry("a wide network beside compiled PyTorch", 40, run)


def _steps(
    results: Results,
    setting: Setting,
    precision: str,
    peer: str,
    batches: tuple[int, ...],
    seconds: float,
) -> None:
    rounds, turn = (2, 0.01) if setting.quick else (5, 0.05)
    steps.run(
        results,
        setting,
        precision,
        peers=[peer],
        batches=batches,
        rounds=rounds,
        turn=turn,
        seconds=seconds,
    )


def _wide(results: Results, setting: Setting, peers: list[str], seconds: float) -> None:
    turn = 0.01 if setting.quick else 0.1
    wide.run(results, setting, peers=peers, rounds=3, turn=turn, seconds=seconds)


def main() -> None:
    """Run what there is time for."""
    parser = part_parser("bench")
    parser.add_argument("--compiled", action="store_true", help="those beside compiled PyTorch")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("nnfs_xp").setLevel(logging.DEBUG)  # which algorithm each product has
    results = results_of(options, "compiled" if options.compiled else "bench")
    setting = Setting.here()
    end = time.monotonic() + options.seconds - _SPARE
    for entry in (compiled_contests if options.compiled else contests)(results, setting):
        begin = time.monotonic()
        left = end - begin
        if left < entry.seconds / 2:
            results.absent(entry.title, f"not begun: {max(left, 0):.0f} s were left")
            continue
        print(f"=== {entry.title}", flush=True)
        with results.attempt(f"{entry.title}: it runs"):
            entry.run(min(left, 2 * entry.seconds))
        print(f"=== {entry.title}: {time.monotonic() - begin:.1f} s", flush=True)


if __name__ == "__main__":
    main()
