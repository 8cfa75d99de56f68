"""What is timed on a GPU: the work (a) of the CPU's benchmarks, and a wide one."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.cifar_network import CifarWork
from benchmarks.work import WORKS, Work


class Wide(Work):
    """A work whose batches are large: few of them take turns."""

    def data(self, batch: int) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """As `Work.data`, four batches."""
        generator = np.random.default_rng(1)
        return [
            (
                generator.random((batch, self.sizes[0]), dtype=np.float32),
                generator.integers(self.sizes[-1], size=batch),
            )
            for _ in range(4)
        ]


GPU_WORKS = {
    "a": WORKS["a"],
    "wide": Wide("wide", (4096,) * 5),
    "rehearsal": Wide("rehearsal", (64,) * 5),  # of the wide one, on a CPU
    "cifar": CifarWork("cifar", (3, 64, 256, 256, 10)),
    "small-cifar": CifarWork("small-cifar", (3, 8, 16, 16, 10)),  # of that one, on a CPU
}


def flops(work: Work, batch: int) -> float:
    """Floating-point operations of a step's products; the first layer's inputs get no gradient."""
    products = [n * m for n, m in zip(work.sizes, work.sizes[1:], strict=False)]
    return batch * (6.0 * sum(products) - 2.0 * products[0])
