"""Whether a second thread pays for Adam's update beside a BLAS with threads of its own.

Usage: python -m benchmarks threads [ROUNDS]

Between matrix products, as in a training step, the update is made by the kernel on one thread; by
the kernel on two halves, one in a helper thread that waits for it; and by a loop that Numba runs in
parallel, with its layer ``workqueue``. For 670,000 parameters, those of 784-512-512-10, and for 8.4
million, those of eight layers of 1024.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numba
import numpy as np

from benchmarks.machine import describe_run
from nnfs_xp.kernels.numba import NumbaKernels, updates

NUMBERS = 1e-4, 0.9, 0.1, 0.999, 0.001, 1e-7
SIZES = 669_706, 8_396_800


class Helper:
    """A thread that does one job at a time."""

    def __init__(self) -> None:
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.job: Callable[[], None]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        """Do what comes."""
        while True:
            self.go.acquire()
            self.job()
            self.done.release()


def variants(size: int) -> dict[str, Callable[[], None]]:
    """The update, each way, over arrays of its own."""

    def state() -> list[Any]:
        arrays = [
            NumbaKernels().flat_zeros(np, size, np.float32, "cpu", place) for place in range(4)
        ]
        arrays[1] += np.random.default_rng(0).standard_normal(size).astype(np.float32)
        return arrays

    one, two, many = state(), state(), state()
    helper, half = Helper(), size // 2
    left, right = [array[:half] for array in two], [array[half:] for array in two]

    def on_two() -> None:
        helper.job = lambda: updates._adam(*right, *NUMBERS)
        helper.go.release()
        updates._adam(*left, *NUMBERS)
        helper.done.acquire()

    numba.config.THREADING_LAYER = "workqueue"
    parallel = numba.njit(parallel=True, error_model="numpy", fastmath={"contract"})(in_parallel)
    numbers = [np.float32(each) for each in NUMBERS]
    return {
        "one thread": lambda: updates._adam(*one, *NUMBERS),
        "helper thread": on_two,
        "Numba parallel": lambda: parallel(*many, *numbers),
    }


def in_parallel(
    values: Any,
    g: Any,
    m: Any,
    c: Any,
    rate: float,
    past_1: float,
    present_1: float,
    past_2: float,
    present_2: float,
    epsilon: float,
) -> None:
    """The kernel's loop, for Numba to share out."""
    for i in numba.prange(values.size):
        p = past_1 * m[i] + present_1 * g[i]
        a = past_2 * c[i] + present_2 * (g[i] * g[i])
        m[i] = p
        c[i] = a
        values[i] -= rate * p / (np.sqrt(a) + epsilon)


def main() -> None:
    """Measure in turn and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(f"{describe_run()}; {rounds} rounds\n")
    print("| parameters | batch | way | ms | of one thread |\n|---|---|---|---|---|")
    for size in SIZES:
        for batch in (32, 512):
            x, w = np.ones((batch, 784), np.float32), np.ones((784, 512), np.float32)
            ways = variants(size)
            times: dict[str, list[float]] = {name: [] for name in ways}
            for number in range(rounds + 3):
                for name, way in ways.items() if number % 2 else reversed(ways.items()):
                    for _ in range(2):  # the second counts: it finds its arrays in the cache
                        for _ in range(3):
                            w2 = x.T @ (x @ w)
                        begin = time.perf_counter()
                        way()
                        taken = time.perf_counter() - begin
                    assert w2.size
                    times[name].append(taken)
            for name, column in times.items():
                pairs = zip(column[3:], times["one thread"][3:], strict=True)
                ratio = median(a / b for a, b in pairs)
                print(
                    f"| {size:,} | {batch} | {name} | {1000 * median(column):.2f} | {ratio:.2f} |"
                )


if __name__ == "__main__":
    main()
