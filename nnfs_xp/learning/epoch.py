"""The data of an epoch in their order, a batch at a time."""

from __future__ import annotations

from typing import Any

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend


class Epoch:
    """The data of an epoch in their order, for steps that take them by themselves.

    Parameters
    ----------
    backend : Backend
    dtype : str
        Of the losses.
    data : tuple of arrays, each of n samples
    batch_size, n_steps : int

    Attributes
    ----------
    losses : array, shape (n_steps,)
        Of the steps of the present epoch.
    on_device : bool
        Whether all of the data are.
    """

    def __init__(
        self, backend: Backend, dtype: str, data: tuple[Any, ...], batch_size: int, n_steps: int
    ) -> None:
        self._backend = backend
        self._data = tuple(
            backend.by_rows(array) if backend.owns(array) else array for array in data
        )
        self.batch_size = batch_size
        self.n_samples: int = data[0].shape[0]
        self.on_device = all(backend.owns(array) for array in data)
        xp, device = backend.xp, backend.device
        self.losses: Array = xp.zeros(n_steps, dtype=backend.dtype(dtype), device=device)
        self._in_order = True
        self._order: Array = xp.arange(self.n_samples, dtype=xp.int64, device=device)

    def begin(self, order: Any) -> None:
        """Start an epoch with the samples in that order, or as they lie."""
        self.losses[...] = 0.0
        self._in_order = order is None
        if order is not None:
            self._order[...] = self._backend.asarray(order, "int64")

    def size_of(self, index: int) -> int:
        """How many samples the batch of a step has."""
        return min(self.batch_size, self.n_samples - index * self.batch_size)

    def gather(self, start: Any, n: int) -> tuple[Array, ...]:
        """The batch of n samples from that place in the order on."""
        xp, kernels = self._backend.xp, self._backend.kernels
        if self._in_order and not self._backend.can_record:
            return tuple(array[start : start + n, ...] for array in self._data)
        order, gather_rows = self._order, kernels.gather_rows
        return tuple([gather_rows(xp, array, order, start, n) for array in self._data])

    def put_loss(self, index: Any, loss: Array) -> None:
        """Note the loss of the step of that index."""
        self._backend.kernels.put(self._backend.xp, self.losses, index, loss)

    @property
    def arrays(self) -> tuple[Array, ...]:
        """What recorded steps use of it."""
        return *self._data, self.losses, self._order
