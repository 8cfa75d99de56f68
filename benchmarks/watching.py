"""Processor time of a training that is watched (`nn.Watch`), beside one that is not.

Usage: python -m benchmarks watching [--works a,b] [--batches 128,32] [--rounds 15] [--seconds 4]
[--share 0.005] [--epochs 4]

Two trainings of a work take turns, each a `fit` of about so many seconds, in that many epochs and
with as many steps; which goes first changes from round to round. A ratio is that of one round; the
median over the rounds is reported, with the lowest and the highest, and how many looks a fit had,
the one at its end included, which need not be earned.
The goal is at most 1.02. The works are those of ``python -m benchmarks steps``, on the CPU; both
trainings must have the same losses, to the last bit.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import nnfs_xp as nn
from benchmarks.machine import describe_run
from benchmarks.work import BETA_1, BETA_2, EPSILON, LEARNING_RATE, WORKS, Work

GOAL = 1.02


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks watching")
    parser.add_argument("--works", default="a,b")
    parser.add_argument("--batches", default="128,32")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--share", type=float, default=0.005)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    print(f"{describe_run()}; {options.rounds} rounds\n")
    columns = "work", "batch", "s a fit", "of unwatched", "from", "to", "looks", "goal"
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    pairs = zip(options.works.split(","), map(int, options.batches.split(",")), strict=True)
    for name, batch in pairs:
        found = measure(WORKS[name], batch, options)
        ratios = sorted(watched / bare for watched, bare in found["seconds"])
        middle = statistics.median(ratios)
        bare = statistics.median(each for _, each in found["seconds"])
        met = "met" if middle <= GOAL else "missed"
        print(
            f"| {name} | {batch} | {bare:.2f} | {middle:.4f} | {ratios[0]:.4f} | "
            f"{ratios[-1]:.4f} | {found['looks']} | {met} |",
            flush=True,
        )


def measure(work: Work, batch: int, options: argparse.Namespace) -> dict[str, Any]:
    """Processor seconds of a watched fit and of one that is not, by round; looks of a fit."""
    trainers = {watched: trainer_of(work) for watched in (False, True)}
    n_steps = steps_in(work, batch, options.seconds / options.epochs)
    generator = np.random.default_rng(1)
    X = generator.random((n_steps * batch, work.sizes[0]), dtype=np.float32)
    y: Any = generator.integers(work.sizes[-1], size=len(X))
    if not work.classes:
        y = generator.standard_normal((len(X), work.sizes[-1])).astype(np.float32)
    seconds, looks = [], 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "watch.jsonl"

        def fit(watched: bool) -> tuple[float, list[float]]:
            callbacks = [nn.Watch(folder, share=options.share)] if watched else []
            begin = time.process_time()
            history = trainers[watched].fit(
                X,
                y,
                epochs=options.epochs,
                batch_size=batch,
                callbacks=callbacks,
                progress=False,
            )
            return time.process_time() - begin, history["loss"]

        for number in range(options.rounds + 1):  # the first is not counted
            order = (False, True) if number % 2 else (True, False)
            found = {watched: fit(watched) for watched in order}
            if found[True][1] != found[False][1]:
                raise SystemExit("the watched training computes something else")
            if number:
                seconds.append((found[True][0], found[False][0]))
        looks = path.read_text().count('{"is":"look"') // (options.rounds + 1)
    return {"seconds": seconds, "looks": looks}


def trainer_of(work: Work) -> nn.Trainer:
    """A trainer of the work."""
    layers: list[nn.Layer] = []
    for weights in work.weights():
        layers += [nn.Dense(*weights.shape), nn.ReLU()]
        layers[-2].weights[...] = weights
    loss = nn.SoftmaxCategoricalCrossentropy() if work.classes else nn.MeanSquaredError()
    optimizer = nn.Adam(LEARNING_RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)
    return nn.Trainer(nn.Sequential(*layers[:-1]), loss, optimizer, (), backend="numpy")


def steps_in(work: Work, batch: int, seconds: float) -> int:
    """How many steps take about so long."""
    trainer = trainer_of(work)
    data = work.data(batch)
    count = 0
    for _ in range(2):  # the first round warms up
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < 0.5:
            trainer.train_step(*data[count % len(data)])
            count += 1
    return max(2, round(count * seconds / 0.5))


if __name__ == "__main__":
    main()
