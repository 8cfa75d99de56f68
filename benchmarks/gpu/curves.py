"""Loss curves on MNIST, ours beside NumPy's: they differ by less than those of two seeds.

Usage: python -m benchmarks.gpu.curves [--seconds 120]
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

import nnfs_xp as nn
from benchmarks import mnist
from benchmarks.gpu.results import Goal, Setting, part_parser, results_of
from nnfs_xp.backend import to_numpy

STEPS, SEEDS, LAST = 1000, 3, 100
"""The mean of so many last steps is what is compared."""


def main() -> None:
    """Loss curves on MNIST, ours and NumPy's, of several seeds."""
    options = part_parser("curves").parse_args()
    results, setting = results_of(options, "curves"), Setting.here()
    folder = Path(os.environ.get("NNFS_XP_DATA", ".")) / "mnist"
    if not (folder / "train-images-idx3-ubyte.gz").is_file():
        results.absent("loss curves", "NNFS_XP_DATA does not name the folder that holds mnist/")
        return
    X, y, *_ = mnist.read()
    steps, seeds, last = (40, 2, 10) if setting.quick else (STEPS, SEEDS, LAST)
    found: dict[str, list[Any]] = {"ours": [], "NumPy": []}
    for seed in range(seeds):
        for name, backend in (("ours", setting.backend), ("NumPy", "numpy")):
            found[name].append(curve(X, y, backend, seed, steps))
        ours, its = (np.mean(found[name][-1][-last:]) for name in found)
        results.row(
            f"Loss on MNIST, mean of the last {last} of {steps} steps",
            seed=seed,
            ours=f"{ours:.6f}",
            NumPy=f"{its:.6f}",
            difference=f"{abs(ours - its):.1e}",
        )
    ends = {name: [np.mean(each[-last:]) for each in columns] for name, columns in found.items()}
    spread = max(ends["NumPy"]) - min(ends["NumPy"])
    apart = max(abs(a - b) for a, b in zip(ends["ours"], ends["NumPy"], strict=True))
    results.text(f"NumPy's seeds are {spread:.2e} apart, ours at most {apart:.2e} from NumPy's.")
    what = f"loss curves: difference from NumPy after {steps} steps, of the seeds' spread"
    results.goal(Goal(what, float(apart / spread), 1.0))
    middle = slice(0, steps // last * last)
    smooth = {
        name: np.array(columns)[:, middle].reshape(seeds, -1, last).mean(axis=2)
        for name, columns in found.items()
    }
    ratios = np.abs(smooth["ours"] - smooth["NumPy"]).max(axis=0) / np.ptp(smooth["NumPy"], axis=0)
    results.text(
        f"In means of {last} steps, the difference is at most {ratios.max():.2e} of the spread at "
        "that place."
    )


def curve(X: Any, y: Any, backend: str, seed: int, steps: int) -> Any:
    """The loss of each step; the seed draws the weights and the batches."""
    n, m, k, c = mnist.SIZES
    model = nn.Sequential(
        *(nn.Dense(n, m), nn.ReLU(), nn.Dense(m, k), nn.ReLU(), nn.Dense(k, c)), seed=seed
    )
    loss, optimizer = nn.SoftmaxCategoricalCrossentropy(), nn.Adam(mnist.LEARNING_RATE)
    trainer = nn.Trainer(model, loss, optimizer, metrics=(), backend=backend, seed=seed)
    place = trainer.backend.asarray
    generator = np.random.default_rng(seed)
    losses = []
    for _ in range(steps):
        rows = generator.integers(len(X), size=mnist.BATCH)
        losses.append(trainer.train_step(place(X[rows]), place(y[rows])))
    return np.array([to_numpy(loss) for loss in losses], dtype=np.float64)


if __name__ == "__main__":
    main()
