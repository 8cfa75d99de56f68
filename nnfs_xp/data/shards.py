"""Batches of rows that lie in one place or in several, by number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any

import numpy as np

from nnfs_xp import _checks
from nnfs_xp.backend import host_generator


class Shards(Sequence[tuple[Any, ...]]):
    """Batches of rows that lie in several places, none across two; a subclass gives `_open`.

    Shuffled, each epoch has the shards in a new order, and the rows of each.

    Parameters
    ----------
    sizes : sequence of int
        The rows of each shard.
    batch_size : int
    shuffle : bool
    seed : int
        Of the orders.
    """

    def __init__(
        self, sizes: Sequence[int], batch_size: int, *, shuffle: bool = False, seed: int = 0
    ) -> None:
        self.batch_size = _checks.check_count("batch_size", batch_size)
        self.shuffle = _checks.check_bool("shuffle", shuffle)
        host_generator(seed)  # refuses what is no seed
        self.seed = seed
        self._sizes = list(sizes)
        self._n_batches = [ceil(size / self.batch_size) for size in self._sizes]
        self._epoch = 0
        # What was last asked for by number: pairs of a key and a value, replaced as a whole, so
        # that threads do not disturb each other.
        self._last_places: tuple[int, list[tuple[int, slice]]] | None = None
        self._last_shard: tuple[tuple[int, int], Any, Any] | None = None
        self._last_orders: tuple[int, list[tuple[int, slice]], dict[int, Any]] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Have batches that are asked for by number be of the order of that epoch."""
        self._epoch = epoch

    def walk(self, epoch: int, first: int = 0) -> Iterator[tuple[Any, ...]]:
        """The batches of that epoch, from the one numbered `first` on."""
        shard, data, rows = -1, None, None
        for next_shard, part in self._places(epoch)[first:]:
            if next_shard != shard:
                shard, data = next_shard, self._open(next_shard)
                rows = self._order_of(shard, epoch)
            yield self._take(data, part if rows is None else rows[part])

    def samples(self, epoch: int, number: int) -> np.ndarray[Any, Any]:
        """The numbers of the samples of a batch of that epoch, counted over all shards."""
        last = self._last_orders
        if last is None or last[0] != epoch:
            orders = {shard: self._order_of(shard, epoch) for shard in range(len(self._sizes))}
            last = self._last_orders = epoch, self._places(epoch), orders
        shard, part = last[1][number]
        order = last[2][shard]
        rows = np.arange(part.start, part.stop) if order is None else order[part]
        return rows + sum(self._sizes[:shard])

    def _places(self, epoch: int) -> list[tuple[int, slice]]:
        """The shard and the rows of its order of each batch."""
        order = range(len(self._sizes))
        if self.shuffle:
            order = host_generator(self.seed, epoch).permutation(len(self._sizes)).tolist()
        size = self.batch_size
        return [
            (shard, slice(n * size, min((n + 1) * size, self._sizes[shard])))
            for shard in order
            for n in range(self._n_batches[shard])
        ]

    def _order_of(self, shard: int, epoch: int) -> np.ndarray[Any, Any] | None:
        if not self.shuffle:
            return None
        return host_generator(self.seed, epoch, 1 + shard).permutation(self._sizes[shard])

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}: {self.n_samples:,} samples in {len(self):,} batches of "
            f"{self.batch_size}{', shuffled' if self.shuffle else ''}>"
        )

    @property
    def n_samples(self) -> int:
        """The rows of all shards."""
        return sum(self._sizes)

    def __len__(self) -> int:
        return sum(self._n_batches)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        epoch, places, opened = self._epoch, self._last_places, self._last_shard
        if places is None or places[0] != epoch:
            places = self._last_places = epoch, self._places(epoch)
        shard, part = places[1][number]
        if opened is None or opened[0] != (epoch, shard):
            rows = self._order_of(shard, epoch)
            opened = self._last_shard = (epoch, shard), self._open(shard), rows
        _, data, rows = opened
        return self._take(data, part if rows is None else rows[part])

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_last_places": None, "_last_shard": None, "_last_orders": None}

    def _open(self, shard: int) -> Any:
        """What the rows of that shard are taken from."""
        raise NotImplementedError

    def _take(self, data: Any, rows: Any) -> tuple[Any, ...]:
        """These rows of what `_open` gave, read: x, y, and weights if there are any."""
        return tuple(np.array(array[rows]) for array in data)


class ArrayBatches(Shards):
    """Batches of arrays, each shard a tuple of them."""

    def __init__(self, shards: Sequence[tuple[Any, ...]], batch_size: int, **order: Any) -> None:
        super().__init__([shard[0].shape[0] for shard in shards], batch_size, **order)
        self._shards = list(shards)

    def _open(self, shard: int) -> tuple[Any, ...]:
        return self._shards[shard]
