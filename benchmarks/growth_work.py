"""What `benchmarks.growth` measures: one size of a curve, in a process of its own."""

from __future__ import annotations

import gc
import resource
import signal
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import nnfs_xp as nn
from benchmarks.sources import new_trainer
from nnfs_xp.training.state import capture

SECONDS = 60
"""A size whose memory is not measured by then is left out."""

_BATCH = 128
_EPOCH_WIDTHS = 16, 32, 4
_EPOCH_BATCH = 1024
_DIFFERENT = 4
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

Action = Callable[[], object]


@dataclass(frozen=True)
class Curve:
    """A piece of work whose size grows.

    Attributes
    ----------
    name : str
    title, unit : str
        What is measured, and what is counted by the sizes.
    sizes, few : tuple of int
        Those of a full and of a quick run.
    begin : callable
        Takes the size, builds what is needed, gives the work that is timed.
    time, memory : int
        The ideal exponents.
    counts_building : bool
        Whether the memory that `begin` takes is a part of the figure.
    """

    name: str
    title: str
    unit: str
    sizes: tuple[int, ...]
    few: tuple[int, ...]
    begin: Callable[[int], Action]
    time: int = 1
    memory: int = 1
    counts_building: bool = True


def samples(n: int, widths: tuple[int, ...]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Inputs (n, features), float32, and labels (n,), int64; nothing else takes memory."""
    generator = np.random.default_rng(0)
    X = generator.standard_normal((n, widths[0]), dtype=np.float32)
    return X, generator.integers(widths[-1], size=n)


def step(widths: tuple[int, ...], batch: int = _BATCH) -> Action:
    """A training step of a network of these widths; not the first one."""
    trainer = new_trainer(widths)
    x, y = samples(batch, widths)
    trainer.train_step(x, y)  # makes the arrays of the optimizer
    return lambda: trainer.train_step(x, y)


def epoch_on_arrays(n: int) -> Action:
    """A `fit` of one epoch on so many samples in memory, in a new order each time."""
    trainer = new_trainer(_EPOCH_WIDTHS)
    X, y = samples(n, _EPOCH_WIDTHS)
    return lambda: trainer.fit(X, y, batch_size=_EPOCH_BATCH, progress=False)


class Stream:
    """A sequence of batches of so many samples in all, which are views of a few batches."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._batches = [samples(_EPOCH_BATCH, _EPOCH_WIDTHS)] * _DIFFERENT

    def __len__(self) -> int:
        return -(-self._n // _EPOCH_BATCH)

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        rest = self._n - number * _EPOCH_BATCH
        return tuple(part[:rest] for part in self._batches[number % _DIFFERENT])


def epoch_on_stream(n: int) -> Action:
    """A `fit` of one epoch on so many samples, which a sequence gives batch by batch."""
    trainer = new_trainer(_EPOCH_WIDTHS)
    stream = Stream(n)
    return lambda: trainer.fit(stream, progress=False)


def _trained(n: int) -> tuple[nn.Trainer, str, Action]:
    """A trainer of n parameters, the folder of its checkpoint, and how it goes on from there."""
    trainer = new_trainer((99, n // 100))
    X, y = samples(1, (99, n // 100))
    folder = tempfile.mkdtemp()

    def go_on() -> None:
        trainer.fit(X, y, epochs=1, checkpoint=folder, resume=True, progress=False)

    go_on()  # finds no checkpoint: trains for an epoch and makes one
    return trainer, folder, go_on


def write_checkpoint(n: int) -> Action:
    """Write a checkpoint of n parameters and of Adam's two averages of each to the disk."""
    trainer, folder, _ = _trained(n)
    checkpoints = nn.Checkpoints(folder, keep=1)

    def write() -> None:
        if checkpoints.save(1, 0, *capture(trainer.learner, trainer.course, [], {}, 0)) is None:
            raise OSError("no checkpoint could be written")

    return write


def read_checkpoint(n: int) -> Action:
    """Take up a checkpoint of n parameters by a `fit` that finds nothing left to do."""
    _, _, go_on = _trained(n)
    return go_on


_COUNTS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
_PARAMETERS = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)

CURVES = {
    curve.name: curve
    for curve in (
        Curve(
            *("width", "a training step of three layers, batch 128", "inputs and neurons a layer"),
            *((64, 128, 256, 512, 1024, 2048, 4096), (16, 64), lambda w: step((w,) * 4)),
            time=2,
            memory=2,
        ),
        Curve(
            *("depth", "a training step of layers of 256, batch 128", "layers"),
            *((1, 2, 4, 8, 16, 32, 64), (1, 4), lambda d: step((256,) * (d + 1))),
        ),
        Curve(
            *("batch", "a training step of 256-256-256-10", "batch"),
            *((1, 4, 16, 64, 256, 1024, 4096, 16_384), (1, 256)),
            lambda n: step((256, 256, 256, 10), n),
        ),
        Curve(
            *("classes", "a training step of 32-32-k, batch 128", "classes"),
            *((10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000), (10, 1000)),
            lambda k: step((32, 32, k)),
        ),
        Curve(
            *("samples", "an epoch of 16-32-4 on arrays, batch 1,024", "samples"),
            *(_COUNTS, (1_000, 10_000), epoch_on_arrays),
        ),
        Curve(
            *("streamed", "an epoch of 16-32-4 on a stream, batch 1,024", "samples"),
            *(_COUNTS, (1_000, 10_000), epoch_on_stream),
            memory=0,
        ),
        Curve(
            *("checkpoint-write", "writing a checkpoint", "parameters"),
            *(_PARAMETERS, (10_000, 100_000), write_checkpoint),
            memory=0,
            counts_building=False,
        ),
        Curve(
            *("checkpoint-read", "reading a checkpoint", "parameters"),
            *(_PARAMETERS, (10_000, 100_000), read_checkpoint),
            counts_building=False,
        ),
    )
}


def measure_memory(curve: Curve, size: int) -> tuple[dict[str, int | None], Action]:
    """The most bytes that the work takes, measured in two ways; and the work.

    ``allocated`` is what Python and NumPy ask for. ``resident`` is by how much the memory of the
    process grows, by the kernel's account; None where the system gives none.
    """
    begin = curve.begin
    if not curve.counts_building:
        built = begin(size)
        begin = lambda _: built  # noqa: E731 # one line says it
    resident = None
    with suppress(OSError):
        _CLEAR.write_text("5")  # the peak starts anew
        before = _status("VmRSS")
        begin(size)()
        resident = max(_status("VmHWM") - before, 0)
    gc.collect()
    tracemalloc.start()
    action = begin(size)
    action()
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"allocated": allocated, "resident": resident}, action


def _status(name: str) -> int:
    """Bytes from the kernel's account of this process."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{_STATUS} has no {name}")


def _forbid_more_than_there_is() -> None:
    """Have a size that the machine has no room for raise an error, before memory runs out."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                room = _status("VmSize") + int(0.9 * 1024 * int(line.split()[1]))
                resource.setrlimit(resource.RLIMIT_AS, (room, room))


def work(connection: Connection, name: str, size: int, folder: str) -> None:
    """Answer the memory or why there is none, then the seconds of as many runs as are asked for.

    Parameters
    ----------
    connection : Connection
    name : str
        Of the curve.
    size : int
    folder : str
        Where checkpoints are written.
    """
    tempfile.tempdir = folder
    curve = CURVES[name]
    curve.begin(curve.few[0])()  # loads the kernels, and what is imported late
    gc.collect()
    _forbid_more_than_there_is()
    signal.alarm(SECONDS)  # ends the process
    try:
        figures, action = measure_memory(curve, size)
    except MemoryError:
        connection.send("it does not fit in memory")
        return
    signal.alarm(0)
    connection.send(figures)
    with suppress(EOFError):  # the end
        while True:
            count = connection.recv()
            begin = time.perf_counter()
            for _ in range(count):
                action()
            connection.send(time.perf_counter() - begin)
