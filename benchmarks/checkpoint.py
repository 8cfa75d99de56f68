"""Time to keep a checkpoint of 10 million parameters with Adam, against writing as many bytes.

In pairs, in the same folder, each in turn first: capturing the training and writing it, and
writing one buffer of as many bytes, flushed to the disk and renamed, the folder flushed too.

Usage: python -m benchmarks checkpoint [ROUNDS] [FOLDER]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nnfs_xp as nn
from benchmarks.machine import describe_run
from nnfs_xp.training.state import capture


def seconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def write_plainly(path: Path, content: bytes) -> None:
    """Write, flush and rename, with nothing else done."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def main() -> None:
    """Measure in turn and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    model = nn.Sequential(nn.Dense(1000, 3000), nn.ReLU(), nn.Dense(3000, 2330), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    trainer = nn.Trainer(model, loss, nn.Adam(), backend="numpy")
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as name:
        folder = Path(name)
        checkpoints = nn.Checkpoints(folder, keep=1)

        def save() -> None:
            if checkpoints.save(1, 0, *capture(trainer.learner, trainer.course, [], {}, 0)) is None:
                raise SystemExit("no checkpoint could be written")

        save()
        size = checkpoints.files()[0].stat().st_size
        content = os.urandom(size)
        actions = [save, lambda: write_plainly(folder / "plain", content)]
        pairs = []
        for number in range(rounds + 1):  # the first is not counted
            order = (0, 1) if number % 2 else (1, 0)
            taken = {each: seconds(actions[each]) for each in order}
            pairs.append((taken[0], taken[1]))
    pairs = pairs[1:]
    ratios = sorted(ours / plain for ours, plain in pairs)
    print(f"{describe_run()}; {rounds} rounds")
    print(f"{model.flat.size:,} parameters with Adam's state: {size / 1e6:.0f} MB")
    for what, column in zip(("checkpoint", "plain write"), zip(*pairs, strict=True), strict=True):
        median = statistics.median(column)
        print(f"{what:12} median {1000 * median:6.0f} ms, {size / 1e6 / median:6.0f} MB/s")
    print(
        f"checkpoint / plain write: median {statistics.median(ratios):.2f}, "
        f"lowest {ratios[0]:.2f}, highest {ratios[-1]:.2f}"
    )


if __name__ == "__main__":
    main()
