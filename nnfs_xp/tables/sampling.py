"""A random sample of the rows of a table that is read in pieces."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa

from nnfs_xp.backend import host_generator
from nnfs_xp.data.table_columns import Column
from nnfs_xp.data.table_files import RawTable

_MOST_VALUES, _ROWS_A_VALUE = 1000, 2
"""Different targets up to which the first rows of each are drawn; and how many are."""

_ALWAYS = -1.0
"""A key below all others."""


class Sample:
    """The rows with the smallest keys, each row having a random number as its key.

    The first two rows of each target are drawn whatever their keys, where there are at most 1,000
    different ones: so the sample shows all classes, and which of them have a single row.

    Parameters
    ----------
    most : int
        Rows to draw.
    seed : int
    """

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._seed = most, seed
        self._tables: list[RawTable] = []
        self._keys = np.empty(0)
        self._bound = 1.0
        self._n_pieces = 0
        self._seen: Counter[object] | None = Counter()

    def add(self, piece: RawTable, target: Column) -> None:
        """Draw from one more piece, whose targets these are."""
        keys = host_generator(self._seed, 2, self._n_pieces).random(piece.n_rows)
        keys[self._first_of_each(target)] = _ALWAYS
        drawn = np.flatnonzero(keys <= self._bound)
        self._tables.append(piece.take(drawn))
        self._keys = np.concatenate([self._keys, keys[drawn]])
        self._n_pieces += 1
        if len(self._keys) > 2 * self._most:  # seldom, since it copies
            self._keep_the_least()

    def table(self) -> RawTable:
        """The rows drawn, in their order."""
        self._keep_the_least()
        return self._tables[0]

    def _first_of_each(self, target: Column) -> list[int]:
        """The rows whose target has hardly been seen before."""
        times = Counter(target.filled.tolist())
        if self._seen is None or len(self._seen.keys() | times.keys()) > _MOST_VALUES:
            self._seen = None  # these are hardly classes
            return []
        rows: list[int] = []
        for value in times:
            wanted = _ROWS_A_VALUE - self._seen[value]
            if wanted > 0:
                found = np.flatnonzero(target.values == value)[:wanted].tolist()
                self._seen[value] += len(found)
                rows += found
        return rows

    def _keep_the_least(self) -> None:
        whole = replace(
            self._tables[0],
            columns=pa.concat_tables([each.columns for each in self._tables]),
            rows=np.concatenate([each.rows for each in self._tables]),
        )
        if len(self._keys) > self._most:
            self._bound = max(float(np.partition(self._keys, self._most - 1)[self._most - 1]), 0.0)
        kept = np.flatnonzero(self._keys <= self._bound)
        self._tables, self._keys = [whole.take(kept)], self._keys[kept]
