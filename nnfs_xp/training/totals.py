"""Running sums of the loss and the metrics, on the device until they are read."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, to_numpy
from nnfs_xp.metrics import Metric


class Totals:
    """Adds up over the batches of an epoch."""

    def __init__(self, metrics: list[Metric], backend: Backend) -> None:
        self._metrics = metrics
        self._backend = backend
        self._count = 0
        self._sums: list[Array] = []

    def add(self, loss: Array, output: Array, y: Array) -> None:
        xp = self._backend.xp
        n = output.shape[0]
        terms = [loss * n, *(xp.sum(m.forward(output, y)) for m in self._metrics)]
        self._count += n
        if self._sums:
            self._sums = [total + term for total, term in zip(self._sums, terms, strict=True)]
        else:
            self._sums = terms

    def read(self) -> dict[str, float]:
        names = ["loss", *(metric.name for metric in self._metrics)]
        values = (float(total) / self._count for total in self._sums)  # type: ignore[arg-type] # 0-d
        return dict(zip(names, values, strict=True))

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        sums = {str(n): to_numpy(total) for n, total in enumerate(self._sums)}
        return {"count": np.asarray(self._count), **sums}

    def load_state(self, state: dict[str, np.ndarray[Any, Any]]) -> None:
        self._count = int(state["count"])
        self._sums = [self._backend.asarray(state[str(n)]) for n in range(len(state) - 1)]
