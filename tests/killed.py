"""A training that can be killed at any moment: run by test_kills.py in processes of its own.

Usage: python tests/killed.py FOLDER, which holds the checkpoints, and in the end result.npz; or
under mpiexec, in several processes, whose numbers it holds then.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

import nnfs_xp as nn


def main() -> None:
    folder = Path(sys.argv[1])
    group = nn.distributed.group()
    (folder / f"process-{group.rank}").write_text(str(os.getpid()))
    X, y, X_test, y_test = nn.data.load_digits()
    model = nn.Sequential(
        nn.Dense(64, 32), nn.ReLU(), nn.Dropout(0.2), nn.Dense(32, 10), nn.Softmax(), seed=0
    )
    optimizer = nn.Adam(nn.ReduceOnPlateau(0.01, monitor="loss", patience=1), average_decay=0.9)
    parts = model, nn.CategoricalCrossentropy(), optimizer
    trainer = nn.Trainer(*parts, backend="numpy", seed=3, group=group)
    history = trainer.fit(
        X,
        y,
        epochs=6,
        batch_size=100,
        validation_data=(X_test, y_test),
        callbacks=[
            nn.EarlyStopping("val_accuracy", patience=4),
            nn.CSVLogger(folder / "history.csv"),
        ],
        checkpoint=nn.Checkpoints(folder / "checkpoints", every_steps=1),
        resume=True,
        progress=False,
    )
    if group.rank:
        return
    temporary = folder / "unfinished.npz"
    np.savez(temporary, weights=model.flat.values, **{k: np.array(v) for k, v in history.items()})
    temporary.replace(folder / "result.npz")


if __name__ == "__main__":
    main()
