"""What a step takes of the host: the time in which it is asked for, without waiting for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

import nnfs_xp as nn
from benchmarks.gpu.contestants import refusal, trainer_for
from benchmarks.gpu.results import Goal, Results, Setting
from benchmarks.gpu.works import GPU_WORKS

BATCH = 128

MOST = 25.0
"""Microseconds of a step that is recorded."""

BLOCK, BLOCKS = 20, 40
"""Steps that are asked for without a wait between them, few enough for the device's queue, and
how often."""

STEPS, EPOCHS = 120, 8
"""Of `fit`; the first epoch, in which steps are recorded, does not count."""

Times = list[tuple[float, float]]
"""Microseconds of a step, by the clock and of the thread's processor time, in each block."""


Measure = Callable[[nn.Trainer, bool], Times]


def run(results: Results, setting: Setting) -> None:
    """Measure with graphs and without."""
    results.text(
        f"784-512-512-10, batch {BATCH}, float32; medians. By `train_step`: {BLOCK} steps after a "
        "wait for the device, none within. In `fit`: from the end of the first step of an epoch of "
        f"{STEPS} to that of the last, so without what an epoch begins and ends with."
    )
    for graph in (True, False):
        for what, measure in (("train_step", by_steps), ("fit", in_fit)):
            with results.attempt(f"{what} runs, {'to be recorded' if graph else 'as it is'}"):
                one(results, setting, what, measure, graph)


def one(results: Results, setting: Setting, what: str, measure: Measure, graph: bool) -> None:
    """Measure in one way."""
    trainer = trainer_for(GPU_WORKS["a"], setting.backend, "float32", graph=graph)
    times = measure(trainer, setting.quick)
    reason = refusal(trainer) if graph else None
    clock, own = (median(column) for column in zip(*times, strict=True))
    word = ""
    if reason:
        results.absent(f"host time of {what}, recorded", reason)
    elif graph:
        word = results.goal(Goal("µs of host time a step, recorded", clock, MOST, at=what))
    state = "could not be recorded" if reason else "recorded" if graph else "not recorded"
    results.row(
        "Host time of a step",
        what=f"{what}, {state}",
        **{"µs": f"{clock:.1f}", "µs of the thread": f"{own:.1f}", "goal": word},
    )


def by_steps(trainer: nn.Trainer, quick: bool) -> Times:
    """Of `train_step`."""
    backend = trainer.backend
    data = [(backend.asarray(x), backend.asarray(y)) for x, y in GPU_WORKS["a"].data(BATCH)]
    block, blocks = (5, 3) if quick else (BLOCK, BLOCKS)
    for x, y in data[:8]:
        trainer.train_step(x, y)
    times: Times = []
    for _ in range(blocks):
        backend.synchronize()
        begin = now()
        for number in range(block):
            trainer.train_step(*data[number % len(data)])
        times.append(per_step(begin, now(), block))
    backend.synchronize()
    return times


def in_fit(trainer: nn.Trainer, quick: bool) -> Times:
    """Of the loop within `fit`."""
    steps, epochs = (8, 3) if quick else (STEPS, EPOCHS)
    generator = np.random.default_rng(0)
    X = generator.random((steps * BATCH, 784), dtype=np.float32)
    y = generator.integers(10, size=steps * BATCH)
    times: Times = []
    begin = now()

    def note(trainer: nn.Trainer) -> None:
        nonlocal begin
        if trainer.step == 1:
            begin = now()
        elif trainer.step == steps and trainer.epoch:
            times.append(per_step(begin, now(), steps - 1))

    note_it: Callable[[Any], None] = note
    callback = nn.LambdaCallback(on_step_end=note_it)
    trainer.fit(X, y, epochs=epochs, batch_size=BATCH, progress=False, callbacks=[callback])
    return times


def now() -> tuple[int, int]:
    """Nanoseconds by the clock and of the thread's processor time."""
    return time.perf_counter_ns(), time.thread_time_ns()


def per_step(begin: tuple[int, int], end: tuple[int, int], count: int) -> tuple[float, float]:
    """Microseconds of each."""
    clock, own = ((b - a) / 1000 / count for a, b in zip(begin, end, strict=True))
    return clock, own
