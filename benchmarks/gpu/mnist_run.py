"""A script that trains on MNIST: the process is timed from its start to its end.

``python -m benchmarks.gpu.mnist_run NAME EPOCHS SEED BACKEND DEVICE SAMPLES`` answers with a line
of JSON: the accuracy on the test images, and why steps were not recorded. With 0 samples it takes
all of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from benchmarks.mnist import BATCH, LEARNING_RATE, SIZES

DECAY = 0.99

SCRIPTS = {
    "nnfs_xp": "`Trainer.fit`",
    "nnfs_xp+average": f"the same with `average_decay={DECAY}`",
    "torch+device": "all images on the device, batches taken there by index",
}


def ours(
    epochs: int, seed: int, backend: str, samples: int | None, average_decay: float | None = None
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
    trainer.fit(X[:samples], y[:samples], epochs=epochs, batch_size=BATCH, progress=False)
    accuracy: float = trainer.evaluate(X_test, y_test)["accuracy"]
    return accuracy, trainer.recorder.refused


def pytorch(epochs: int, seed: int, device: str, samples: int | None) -> float:
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
    X, y = X[:samples].to(device), y[:samples].to(device)

    def batches() -> Iterator[Any]:
        for rows in torch.randperm(len(X), device=device).split(BATCH):
            yield X[rows], y[rows]

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
    name, epochs, seed, backend, device, samples = sys.argv[1:]
    most = int(samples) or None
    if name.startswith("nnfs_xp"):
        decay = DECAY if name.endswith("+average") else None
        accuracy, refused = ours(int(epochs), int(seed), backend, most, decay)
    else:
        accuracy, refused = pytorch(int(epochs), int(seed), device, most), None
    print(json.dumps([accuracy, refused]))


if __name__ == "__main__":
    main()
