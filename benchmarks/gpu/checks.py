"""Whether the numbers are right: beside NumPy's and PyTorch's, recorded and not, at length."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import nnfs_xp as nn
from benchmarks import mnist
from benchmarks.contest import OURS
from benchmarks.gpu.contest import START, Peer, PeerError
from benchmarks.gpu.contestants import lacking, refusal, trainer_for
from benchmarks.gpu.results import Goal, Results, Setting
from benchmarks.gpu.works import GPU_WORKS
from nnfs_xp.backend import to_numpy

NEAR = 1e-5
"""How far results may be from NumPy's, relative to the largest of them."""

BATCHES = (32, 128, 1024)

PRECISIONS = ("float32", "tf32", "float16", "bfloat16")

STEPS, SEEDS, LAST = 1000, 3, 100
"""Of the loss curves; the mean of so many last steps is what is compared."""


def one_step(results: Results, setting: Setting) -> None:
    """One step of Adam on ours, NumPy and PyTorch, and in float64."""
    results.text(
        "784-512-512-10, one step of Adam from the same weights. Differences are the largest, "
        "relative to the largest value: of an array for gradients, of all of them for parameters. "
        "The last two columns are of what the step adds to the parameters. They have no goal: Adam "
        "divides a gradient by its own size, so that where it is near 0, rounding is all there is, "
        "in any float32; the rows beside float64 show it."
    )
    contestants = {
        "ours": (OURS, setting, "float32"),
        "NumPy": (OURS, Setting("numpy"), "float32"),
        "float64": (OURS, Setting("numpy"), "float64"),
        "PyTorch": ("torch_eager", setting, "float32"),
    }
    batches = (32,) if setting.quick else BATCHES
    found = {
        name: updates(results, batches, *contestant) for name, contestant in contestants.items()
    }
    for batch in batches:
        for one, other in (
            ("ours", "NumPy"),
            ("ours", "PyTorch"),
            ("PyTorch", "NumPy"),
            ("ours", "float64"),
            ("NumPy", "float64"),
            ("PyTorch", "float64"),
        ):
            if batch in found[one] and batch in found[other]:
                compare(results, batch, one, other, found[one][batch], found[other][batch])


def updates(
    results: Results, batches: Sequence[int], name: str, setting: Setting, precision: str
) -> dict[int, dict[str, Any]]:
    """What a process of its own computes, by batch size; where it fails, the reason is noted."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, Peer(name, setting, precision) as peer:
        path = Path(folder) / "update.npz"
        try:
            peer.answer(START)
            for batch in batches:
                peer.ask("update", "a", batch, path)
                with np.load(path) as file:
                    found[batch] = {key: file[key].astype(np.float64) for key in file.files}
        except PeerError as error:
            print(f"--- {name} on {setting.backend}\n{peer.log()}\n---", flush=True)
            what = f"one step of {name} on {setting.backend}"
            if name == OURS:
                results.check(what, good=False, detail=str(error))
            else:
                results.absent(what, error)
    return found


def compare(
    results: Results, batch: int, one: str, other: str, found: dict[str, Any], its: dict[str, Any]
) -> None:
    """A row of the table, and the goals where it is ours beside NumPy."""
    gradients = [key for key in its if key.startswith("gradient")]
    after, its_after = (
        np.concatenate([each[key].ravel() for key in each if key.startswith("parameter")])
        for each in (found, its)
    )
    weights = GPU_WORKS["a"].weights()
    before = np.concatenate(
        [part for w in weights for part in (w.ravel(), np.zeros(w.shape[1]))], dtype=np.float64
    )
    update, its_update = after - before, its_after - before
    norms = np.linalg.norm(update - its_update) / np.linalg.norm(its_update)
    apart = {
        "loss": relative(found["loss"], its["loss"]),
        "gradients": max(relative(found[key], its[key]) for key in gradients),
        "parameters": relative(after, its_after),
        "update": relative(update, its_update),
        "update, by norms": float(norms),
    }
    if (one, other) in (("ours", "NumPy"), ("ours", "PyTorch")):
        for what in ("loss", "gradients", "parameters"):
            title, at = f"difference from {other} after one step", f"{what}, batch {batch}"
            results.goal(Goal(title, apart[what], NEAR, at=at))
    cells = {what: f"{value:.1e}" for what, value in apart.items()}
    results.row("Differences after one step", batch=batch, what=f"{one} from {other}", **cells)


def relative(found: Any, expected: Any) -> float:
    """The largest difference over the largest value; NaN where one is not finite."""
    largest = float(np.max(np.abs(expected)))
    return float(np.max(np.abs(found - expected))) / (largest or 1.0)


def recorded(results: Results, setting: Setting) -> None:
    """Steps that are recorded as graphs beside the same steps made one operation at a time."""
    steps, count = (4, 300) if setting.quick else (50, 1000)
    for precision in PRECISIONS:
        reason = lacking(setting.backend, precision)
        if reason is not None:
            results.absent(f"steps in {precision}", reason)
            continue
        with results.attempt(f"steps run, {precision}"):
            compare_recorded(results, setting, precision, steps, count)


def compare_recorded(
    results: Results, setting: Setting, precision: str, steps: int, count: int
) -> None:
    """Some steps, then epochs of `fit` on so many samples, in one precision."""
    ends, reason = [], None
    for graph in (True, False):
        trainer = trainer_for(GPU_WORKS["a"], setting.backend, precision, graph=graph)
        losses = steps_of(trainer, steps)
        trainer.fit(*samples(count), epochs=2, batch_size=128, progress=False)
        values = [to_numpy(array).ravel() for array in trainer.model.parameters().values()]
        ends.append((losses, np.concatenate(values)))
        if graph:
            reason = refusal(trainer)
    (losses, found), (its_losses, its) = ends
    apart = max(relative(losses, its_losses), relative(found, its))
    results.row(
        "Recorded steps beside steps that are not",
        precision=precision,
        recorded="no" if reason else "yes",
        differences=f"{apart:.1e}",
        **{"first loss": f"{losses[0]:.6f}", f"loss {steps}": f"{losses[-1]:.6f}"},
    )
    if reason and setting.device == "cuda":
        results.check(f"steps are recorded, {precision}", good=False, detail=reason)
    elif reason:
        results.absent(f"recorded steps in {precision}", reason)
    else:
        same = np.array_equal(losses, its_losses) and np.array_equal(found, its)
        detail = "" if same else f"they differ by {apart:.1e}"
        results.check(f"recorded steps give the same bits, {precision}", same, detail)


def steps_of(trainer: nn.Trainer, count: int) -> Any:
    """The losses of so many steps, batch 128."""
    data = GPU_WORKS["a"].data(128)
    place = trainer.backend.asarray
    pairs = [(place(x), place(y)) for x, y in data]
    losses = [trainer.train_step(*pairs[n % len(pairs)]) for n in range(count)]
    return np.array([to_numpy(loss) for loss in losses], dtype=np.float64)


def samples(count: int) -> tuple[Any, Any]:
    """Inputs and labels without a sense."""
    generator = np.random.default_rng(3)
    return generator.random((count, 784), dtype=np.float32), generator.integers(10, size=count)


def curves(results: Results, setting: Setting) -> None:
    """Loss curves on MNIST, ours and NumPy's, of several seeds."""
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
