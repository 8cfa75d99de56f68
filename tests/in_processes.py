"""A training in several processes that one of them disturbs: run by test_mpi.py under mpiexec.

Usage: mpiexec -n 2 python tests/in_processes.py HOW RESULTS, a folder that all write to.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

import nnfs_xp as nn

HOW, RESULTS = "", Path()  # as they are given
GROUP = nn.distributed.Group()  # the processes, once they are started
LIMIT = 3.0


def disturb() -> None:
    (RESULTS / "disturbed").write_text(repr(time.time()))
    if HOW == "raises":
        raise ZeroDivisionError("planted")
    if HOW == "exits":
        sys.exit(0)
    if HOW == "stalls":
        time.sleep(60)
    if HOW == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if HOW == "stops":
        os.kill(os.getpid(), signal.SIGTERM)
    if HOW == "aborts":
        GROUP.abort("out of paper")


class Disturbed(nn.ReLU):
    """Fails in the midst of a step, where the others do not expect it."""

    passes = 0

    def backward(self, dvalues):
        self.passes += 1
        if self.passes == 25 and GROUP.rank == 1:
            disturb()
        return super().backward(dvalues)


class Noted(nn.Callback):
    def on_epoch_end(self, trainer, figures):
        crc = np.bitwise_xor.reduce(trainer.model.flat.values.view(np.uint32))
        with (RESULTS / f"rank-{GROUP.rank}.txt").open("a") as file:
            print(trainer.epoch, crc, figures["loss"], file=file)


def main() -> None:
    global HOW, RESULTS, GROUP
    HOW, RESULTS = sys.argv[1], Path(sys.argv[2])
    GROUP = nn.distributed.group(timeout=LIMIT)
    X, y, *_ = nn.data.load_digits()
    if HOW == "other data":
        X[GROUP.rank] += 1
    model = nn.Sequential(
        *(nn.Dense(64, 32), nn.BatchNorm(32), Disturbed(), nn.Dropout(0.2), nn.Dense(32, 10)),
        seed=GROUP.rank,
    )
    trainer = nn.Trainer(
        model, nn.SoftmaxCategoricalCrossentropy(), nn.SGD(0.1), backend="numpy", group=GROUP
    )
    if HOW == "bad for all":
        X[3] = np.nan
    trainer.fit(
        *(X, y),
        epochs=4,
        batch_size=100,
        callbacks=[Noted()],
        checkpoint=nn.Checkpoints(RESULTS / "checkpoints", every_steps=5),
        resume=True,
    )
    if GROUP.rank == 0:
        np.save(RESULTS / "weights.npy", model.flat.values)
    if HOW == "closes":
        GROUP.close()


if __name__ == "__main__":
    main()
