"""What a step takes of the host: the time in which it is asked for, without waiting for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import cupy
import numpy as np

import nnfs_xp as nn
from benchmarks.gpu.contestants import refusal, trainer_for
from benchmarks.gpu.results import Goal, Results, Setting
from benchmarks.gpu.works import GPU_WORKS
from benchmarks.work import Work

BATCH = 128

MOST = 25.0
"""Microseconds of a step that is recorded."""

BLOCK, BLOCKS = 20, 20
"""Steps that are asked for without a wait between them, few enough for the device's queue, and
how often."""

STEPS, EPOCHS = 120, 4
"""Of `fit`; the first epoch, in which steps are recorded, does not count."""

Times = list[tuple[float, float]]
"""Microseconds of a step, by the clock and of the thread's processor time, in each block."""


Measure = Callable[[nn.Trainer, Work, bool], Times]

KERNELS = 30
"""Of the graph whose launch is timed: about as many as a step has."""

NOTHING = 'extern "C" __global__ void nothing(int n) {}'


def run(results: Results, setting: Setting) -> None:
    """Measure with graphs and without."""
    sizes = "-".join(map(str, work_of(setting).sizes))
    results.text(
        f"{sizes}, batch {BATCH}, float32; medians. By `train_step`: {BLOCK} steps after a wait "
        "for the device, none within. In `fit`: from the end of the first step of an epoch of "
        f"{STEPS} to that of the last, so without what an epoch begins and ends with."
    )
    for graph in (True, False):
        for what, measure in (("train_step", by_steps), ("fit", in_fit)):
            with results.attempt(f"{what} runs, {'to be recorded' if graph else 'as it is'}"):
                one(results, setting, what, measure, graph)
    with results.attempt("the calls that a step is made of run"):
        calls(results, setting)


def work_of(setting: Setting) -> Work:
    """What is trained."""
    return GPU_WORKS["rehearsal" if setting.quick else "a"]


def one(results: Results, setting: Setting, what: str, measure: Measure, graph: bool) -> None:
    """Measure in one way."""
    trainer = trainer_for(work_of(setting), setting.backend, "float32", graph=graph)
    times = measure(trainer, work_of(setting), setting.quick)
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


def calls(results: Results, setting: Setting) -> None:
    """What single calls take: the least that a step made of them can."""
    backend = nn.get_backend(setting.backend)
    small = backend.asarray(np.zeros(10, np.float32))
    kernel = cupy.RawKernel(NOTHING, "nothing")
    graph = backend.graph()

    def work() -> list[Any]:
        return [small * 2 for _ in range(KERNELS)]

    graph.rehearse(work)
    made = graph.record(work)
    for what, call in {
        f"launch of a graph of {len(made)} kernels": graph.launch,
        "launch of a kernel": lambda: kernel((1,), (1,), (np.int32(1),)),
        "x * 2 of ten numbers": lambda: small * 2,
    }.items():
        clock, own = of_call(call, backend, setting.quick)
        cells = {"µs": f"{clock:.1f}", "µs of the thread": f"{own:.1f}", "goal": ""}
        results.row("Host time of a step", what=what, **cells)


def of_call(call: Callable[[], Any], backend: Any, quick: bool) -> tuple[float, float]:
    """Microseconds of a call, with the device idle before each block of them."""
    block, blocks = (4, 3) if quick else (8, 30)
    for _ in range(4):
        call()
    times: Times = []
    for _ in range(blocks):
        backend.synchronize()
        begin = now()
        for _ in range(block):
            call()
        times.append(per_step(begin, now(), block))
    backend.synchronize()
    clock, own = (median(column) for column in zip(*times, strict=True))
    return clock, own


def by_steps(trainer: nn.Trainer, work: Work, quick: bool) -> Times:
    """Of `train_step`."""
    backend = trainer.backend
    data = [(backend.asarray(x), backend.asarray(y)) for x, y in work.data(BATCH)]
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


def in_fit(trainer: nn.Trainer, work: Work, quick: bool) -> Times:
    """Of the loop within `fit`."""
    steps, epochs = (8, 3) if quick else (STEPS, EPOCHS)
    generator = np.random.default_rng(0)
    X = generator.random((steps * BATCH, work.sizes[0]), dtype=np.float32)
    y = generator.integers(work.sizes[-1], size=steps * BATCH)
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
