"""MNIST from the start of the process to a trained network: ten epochs, ours and PyTorch's.

Each script is run by ``python -m benchmarks.gpu.mnist_run NAME EPOCHS SEED BACKEND DEVICE`` and
answers with a line of JSON: the accuracy on the test images, and why steps were not recorded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.mnist import BATCH, LEARNING_RATE, SIZES

if TYPE_CHECKING:
    from benchmarks.gpu.results import Results, Setting

EPOCHS, ROUNDS = 10, 3
SHARE, ACCURACY, DECAY = 0.5, 0.98, 0.99

SCRIPTS = {
    "nnfs_xp": "`Trainer.fit`",
    "nnfs_xp+average": f"the same with `average_decay={DECAY}`",
    "torch": "a `DataLoader` with pinned memory, each batch copied to the device",
    "torch+device": "all images on the device, batches taken there by index",
}

_LIMIT = 90.0


def run(results: Results, setting: Setting) -> None:
    """Run each script in turn, in a new order each round."""
    from benchmarks.gpu.results import Goal

    folder = Path(os.environ.get("NNFS_XP_DATA", ".")) / "mnist"
    if not (folder / "train-images-idx3-ubyte.gz").is_file():
        results.absent("MNIST", "NNFS_XP_DATA does not name the folder that holds mnist/")
        return
    epochs, rounds = (1, 1) if setting.quick else (EPOCHS, ROUNDS)
    found: dict[str, list[tuple[float, float]]] = {}
    names = list(SCRIPTS)
    if setting.device == "cuda":
        with tempfile.TemporaryDirectory() as cache:
            first = one(results, "nnfs_xp", setting, epochs, 0, {"CUPY_CACHE_DIR": cache})
        if first is not None:
            results.text(f"The first run, with no kernel compiled before: {first[0]:.2f} s.")
    for number in range(rounds):
        for name in names if number % 2 else reversed(names):
            taken = one(results, name, setting, epochs, number, {})
            if taken is not None:
                found.setdefault(name, []).append(taken)
    times = {name: middle([seconds for seconds, _ in runs]) for name, runs in found.items()}
    table = f"784-512-512-10, batch {BATCH}, Adam, {epochs} epochs, from the start of the process"
    for name, runs in found.items():
        words = ""
        accuracies = [accuracy for _, accuracy in runs]
        if name.startswith("nnfs_xp"):
            goal = Goal(
                "accuracy on MNIST's test images", middle(accuracies), ACCURACY, True, at=name
            )
            words = results.goal(goal)
        ratio = times["nnfs_xp"] / times[name] if "nnfs_xp" in times else float("nan")
        if name.startswith("torch"):
            what = f"seconds of {epochs} epochs of MNIST, share of PyTorch's"
            words = results.goal(Goal(what, ratio, SHARE, at=f"beside {SCRIPTS[name]}"))
        results.row(
            table,
            script=name,
            how=SCRIPTS[name],
            **{
                "s, median": f"{times[name]:.2f}",
                "all": ", ".join(f"{seconds:.2f}" for seconds, _ in runs),
                "nnfs_xp takes of it": f"{ratio:.3f}",
                "accuracies": ", ".join(f"{accuracy:.4f}" for accuracy in accuracies),
                "goal": words,
            },
        )


def middle(values: list[float]) -> float:
    """The median."""
    from statistics import median

    return median(values)


def one(
    results: Results, name: str, setting: Setting, epochs: int, seed: int, more: dict[str, str]
) -> tuple[float, float] | None:
    """Seconds and accuracy of one run; None, with the reason noted, where it fails."""
    command = [sys.executable, "-m", "benchmarks.gpu.mnist_run", name, epochs, seed]
    begin = time.perf_counter()
    try:
        done = subprocess.run(
            [*map(str, command), setting.backend, setting.device],
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
            env={**os.environ, **more},
        )
    except subprocess.TimeoutExpired:
        results.absent(f"MNIST, {name}, seed {seed}", f"not ready in {_LIMIT:.0f} s")
        return None
    taken = time.perf_counter() - begin
    if done.returncode:
        print(f"--- {name}\n{done.stderr[-4000:]}\n---", flush=True)
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        results.absent(f"MNIST, {name}, seed {seed}", lines[-1][:300])
        return None
    accuracy, refused = json.loads(done.stdout.splitlines()[-1])
    if refused and not seed:
        results.text(f"{name}: steps were not recorded as graphs: {refused}.")
    return taken, float(accuracy)


def ours(
    epochs: int, seed: int, backend: str, average_decay: float | None = None
) -> tuple[float, str | None]:
    """Our script; with why steps were not recorded."""
    import nnfs_xp as nn

    X, y, X_test, y_test = nn.data.load_mnist()
    layers: list[nn.Layer] = []
    for n, m in pairwise(SIZES):
        layers += [nn.Dense(n, m), nn.ReLU()]
    model = nn.Sequential(*layers[:-1], seed=seed)
    optimizer = nn.Adam(LEARNING_RATE, average_decay=average_decay)
    loss = nn.SoftmaxCategoricalCrossentropy()
    trainer = nn.Trainer(model, loss, optimizer, backend=backend, seed=seed)
    trainer.fit(X, y, epochs=epochs, batch_size=BATCH, progress=False)
    accuracy: float = trainer.evaluate(X_test, y_test)["accuracy"]
    return accuracy, trainer.recorder.refused


def pytorch(epochs: int, seed: int, device: str, *, on_device: bool) -> float:
    """PyTorch's script."""
    from benchmarks.gpu.contestants import require_torch
    from benchmarks.mnist import read

    torch = require_torch(device)
    torch.manual_seed(seed)
    X, y, X_test, y_test = map(torch.from_numpy, read())
    layers: list[Any] = []
    for n, m in pairwise(SIZES):
        layers += [torch.nn.Linear(n, m), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1]).to(device)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)
    criterion = torch.nn.CrossEntropyLoss()
    if on_device:
        X, y = X.to(device), y.to(device)

        def batches() -> Iterator[Any]:
            for rows in torch.randperm(len(X), device=device).split(BATCH):
                yield X[rows], y[rows]
    else:
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(X, y),
            batch_size=BATCH,
            shuffle=True,
            pin_memory=device == "cuda",
        )

        def batches() -> Iterator[Any]:
            for inputs, labels in loader:
                yield inputs.to(device, non_blocking=True), labels.to(device, non_blocking=True)

    for _ in range(epochs):
        total = torch.zeros((), device=device)
        for inputs, labels in batches():
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(inputs)
    with torch.inference_mode():
        right = model(X_test.to(device)).argmax(dim=1) == y_test.to(device)
        return float(right.float().mean())


def main() -> None:
    """Run one script."""
    name, epochs, seed, backend, device = sys.argv[1:]
    if name.startswith("nnfs_xp"):
        decay = DECAY if name.endswith("+average") else None
        accuracy, refused = ours(int(epochs), int(seed), backend, decay)
    else:
        on_device = name.endswith("+device")
        accuracy, refused = pytorch(int(epochs), int(seed), device, on_device=on_device), None
    print(json.dumps([accuracy, refused]))


if __name__ == "__main__":
    main()
