"""What each of two processes on one card does: run by `benchmarks.gpu.ranks`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

import nnfs_xp as nn
from benchmarks.gpu.results import is_rehearsal
from nnfs_xp.distributed import Group
from nnfs_xp.testing import fake_groups, in_threads

_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(391, 64)).astype("float32")  # a last batch of 7
Y = _RNG.integers(0, 10, 391)


def trained(group: Group | None, backend: str, **settings: Any) -> tuple[Any, int, str | None]:
    """The weights of a training, how many kinds of steps were recorded, and why not more."""
    model = nn.Sequential(
        *(nn.Dense(64, 128), nn.BatchNorm(128), nn.ReLU(), nn.Dropout(0.2), nn.Dense(128, 10)),
        seed=0,
    )
    loss, optimizer = nn.SoftmaxCategoricalCrossentropy(), nn.SGD(0.1, momentum=0.9)
    trainer = nn.Trainer(model, loss, optimizer, backend=backend, group=group, **settings)
    trainer.fit(X, Y, epochs=4, batch_size=64, progress=False)
    weights = np.array(nn.to_numpy(model.flat.values))
    return weights, trainer.recorder.recordings, trainer.recorder.refused


def found(group: Group) -> dict[str, tuple[bool, str]]:
    """What two processes come to beside what one comes to."""
    # In a rehearsal threads are on devices of their own; processes share the first.
    backend = f"cupy:{group.rank}" if is_rehearsal() else "cupy:0"
    alone, *_ = trained(None, backend)
    together, recordings, refused = trained(group, backend)
    parts, *_ = trained(group, backend, shard_optimizer=True)
    bits = group.gather(together.tobytes())
    group.close()
    off = float(np.linalg.norm(together - alone) / np.linalg.norm(alone))
    return {
        "weights are those of one process": (off <= 1e-6, f"relative L2 {off:.2e}"),
        "all have the same bits": (len(set(bits)) == 1, f"{len(bits)} processes"),
        "steps are recorded, sums in them": (recordings > 0, refused or f"{recordings} kinds"),
        "an optimizer in parts has the same bits": (bool((parts == together).all()), ""),
    }


def main() -> None:
    """Train, and have rank 0 tell."""
    if is_rehearsal():
        checks = in_threads(fake_groups(2), found)[0]
        rank = 0
    else:
        group = nn.distributed.group("mpi", timeout=30)
        rank, checks = group.rank, found(group)
    if rank == 0:
        print("RESULT", json.dumps(checks), flush=True)


if __name__ == "__main__":
    main()
