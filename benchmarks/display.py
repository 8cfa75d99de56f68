"""What the progress line and the callbacks add to an epoch of the MNIST recipe.

Two trainers take an epoch each in turn: one bare, one with the progress line on a
pseudo-terminal and `EarlyStopping`, `CSVLogger` and `ModelCheckpoint`. Both evaluate the
validation samples. The time of a pair is compared, then the median is taken. A machine that
does other things makes the pairs differ by more than what is looked for; so the time spent in
the progress line and the callbacks is also added up, and compared with the rest of the epoch.

Usage: python -m benchmarks display [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nnfs_xp as nn
from benchmarks.machine import describe_run
from benchmarks.terminal import terminal
from nnfs_xp.recipes import RECIPES
from nnfs_xp.training.progress import Progress
from nnfs_xp.training.run import Run


class Inside:
    """Adds up the time spent in methods."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def watch(self, owner: type, name: str) -> None:
        """Time each call of this method from now on."""
        method: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any) -> Any:
            begin = time.perf_counter()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.perf_counter() - begin

        setattr(owner, name, timed)


def main() -> None:
    """Measure in turn and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    recipe = RECIPES["mnist"]
    plan = recipe.plan("mlp")
    X, y, X_test, y_test = recipe.load()

    def build() -> nn.Trainer:
        model = plan.build((recipe.n_features,), plan.hidden, 10, plan.dropout, 0)
        optimizer = nn.Adam(plan.learning_rate, decay=plan.decay)
        return nn.Trainer(model, nn.CategoricalCrossentropy(), optimizer, backend="numpy")

    trainers = build(), build()
    inside = Inside()
    for owner, name in (
        (Progress, "begin_epoch"),
        (Progress, "end_batch"),
        (Progress, "end_epoch"),
        (Run, "_call"),
    ):
        inside.watch(owner, name)
    with tempfile.TemporaryDirectory() as name, terminal() as shown:
        folder = Path(name)
        callbacks = [
            nn.EarlyStopping("val_loss", patience=10**6),
            nn.CSVLogger(folder / "history.csv"),
            nn.ModelCheckpoint(folder / "model.safetensors", save_best_only=False),
        ]

        def epoch(full: int) -> tuple[float, float, float]:
            begin = time.perf_counter(), time.process_time()
            inside.seconds = 0.0
            trainers[full].fit(
                X,
                y,
                batch_size=plan.batch_size,
                validation_data=(X_test, y_test),
                progress=bool(full),
                callbacks=callbacks if full else (),
            )
            seconds = time.perf_counter() - begin[0]
            share = inside.seconds / (seconds - inside.seconds)
            return seconds, time.process_time() - begin[1], share

        pairs = []
        for number in range(rounds + 1):  # the first is not counted
            order = (0, 1) if number % 2 else (1, 0)
            taken = {full: epoch(full) for full in order}
            pairs.append((taken[1], taken[0]))
    if not shown[0]:
        raise SystemExit("the progress line was not shown")
    print(f"{describe_run()}; {rounds} rounds")
    for which, what in enumerate(("wall clock", "processor time")):
        ratios = sorted(full[which] / bare[which] for full, bare in pairs[1:])
        bare = statistics.median(each[which] for _, each in pairs[1:])
        print(
            f"{what:14} bare epoch median {bare:5.2f} s; with progress and callbacks "
            f"{statistics.median(ratios):.3f} of it, lowest {ratios[0]:.3f}, "
            f"highest {ratios[-1]:.3f}"
        )
    shares = [[100 * each[full][2] for each in pairs[1:]] for full in (0, 1)]
    print(
        f"time spent in them: median {statistics.median(shares[0]):.2f} % of the rest of the "
        f"epoch, highest {max(shares[0]):.2f} %; without, {statistics.median(shares[1]):.2f} %"
    )


if __name__ == "__main__":
    main()
