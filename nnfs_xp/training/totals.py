"""Running sums of the loss and the metrics, on the device until they are read."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, to_numpy
from nnfs_xp.errors import CheckpointError
from nnfs_xp.metrics import Metric


class Totals:
    """Adds up over the batches of an epoch.

    Attributes
    ----------
    count : int
        The samples so far.
    """

    def __init__(self, metrics: list[Metric], backend: Backend) -> None:
        self._metrics = metrics
        self._backend = backend
        self.count = 0
        self._sums: list[Array] = []

    def add(self, loss: Array, output: Array, y: Array) -> None:
        xp = self._backend.xp
        n = output.shape[0]
        terms = [loss * n, *(xp.sum(m.forward(output, y)) for m in self._metrics)]
        self.count += n
        if self._sums:
            self._sums = [total + term for total, term in zip(self._sums, terms, strict=True)]
        else:
            self._sums = terms

    def read(self) -> dict[str, float]:
        names = ["loss", *(metric.name for metric in self._metrics)]
        values = (float(total) / self.count for total in self._sums)  # type: ignore[arg-type] # 0-d
        return dict(zip(names, values, strict=True))

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        sums = {str(n): to_numpy(total) for n, total in enumerate(self._sums)}
        return {"count": np.asarray(self.count), **sums}

    def load_state(self, state: dict[str, np.ndarray[Any, Any]]) -> None:
        """Take up what `state` gave.

        Raises
        ------
        CheckpointError
            It cannot have given that, and nothing was changed.
        """
        count, wanted = state.get("count"), 1 + len(self._metrics)
        sums = [state[str(n)] for n in range(wanted) if str(n) in state]
        if (
            count is None
            or (count.shape, count.dtype.kind) != ((), "i")
            or any((term.shape, term.dtype.kind) != ((), "f") for term in sums)
            or not np.isfinite(sums[:1]).all()
            or not len(sums) == len(state) - 1 == (wanted if count > 0 else 0)
        ):
            raise CheckpointError("its totals are no sums of the loss and the metrics.")
        self.count = int(count)
        self._sums = [self._backend.asarray(term) for term in sums]
