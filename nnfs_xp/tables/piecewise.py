"""Batches of a table that is read in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer

from nnfs_xp.backend import host_generator
from nnfs_xp.data.table_columns import Values
from nnfs_xp.tables.encoding import encode
from nnfs_xp.tables.features import Features
from nnfs_xp.tables.large import LargeTable
from nnfs_xp.tables.target import Target

_AT_ONCE = 16_384
"""Rows whose inputs are made together; a column of categories may become 100 inputs."""


@dataclass(frozen=True, repr=False)
class TableBatches(Sequence[tuple[Values, Values]]):
    """Batches of the rows of a large table, some left out; a source for `Trainer.fit`.

    An epoch goes through the pieces as they lie in the file, and through the rows of each in a
    random order of its own.

    Attributes
    ----------
    table : LargeTable
    target : Target
    features : Features
    columns : ColumnTransformer
        Fitted: makes the network's inputs.
    learnt : callable (y) -> ndarray
        Makes what the network learns of targets as `Target.read` gives them.
    kept : ndarray of int
        The numbers of rows with a target that are not trained on.
    batch_size, seed : int
    """

    table: LargeTable
    target: Target
    features: Features
    columns: ColumnTransformer
    learnt: Callable[[Values], Values]
    kept: Values
    batch_size: int
    seed: int

    @cached_property
    def sizes(self) -> Values:
        """The rows of each piece that are trained on, shape (pieces,)."""
        piece_of_kept = np.searchsorted(self.table.ends, self.kept)
        n_kept = np.bincount(piece_of_kept, minlength=len(self.table.ends))
        return np.asarray(self.table.n_targets[self.target.kind] - n_kept)

    @property
    def n_samples(self) -> int:
        """The rows that are trained on."""
        return int(self.sizes.sum())

    def __len__(self) -> int:
        return ceil(self.n_samples / self.batch_size)

    def __getitem__(self, number: Any) -> Any:
        """The batch of that number in the first epoch; `walk` is for many."""
        return next(self.walk(0, range(len(self))[number]))

    def walk(self, epoch: int, first: int = 0) -> Iterator[tuple[Values, Values]]:
        """The batches of that epoch, from the one numbered `first` on."""
        size = self.batch_size
        rest: tuple[Values, Values] | None = None
        for X, y in self._parts(epoch, first * size):
            if rest is not None:
                X, y = (np.concatenate(pair) for pair in zip(rest, (X, y), strict=True))
            whole = len(y) // size * size
            for start in range(0, whole, size):
                yield X[start : start + size], y[start : start + size]
            rest = X[whole:], y[whole:]
        if rest is not None and len(rest[1]):
            yield rest

    def _parts(self, epoch: int, skipped: int) -> Iterator[tuple[Values, Values]]:
        """The inputs and targets of some rows at a time, without so many at the start."""
        for number, piece in enumerate(self.table.pieces()):
            if skipped >= self.sizes[number]:
                skipped -= int(self.sizes[number])
                continue
            rows, y = self.target.read_some(piece)
            trained = np.flatnonzero(~np.isin(np.asarray(piece.rows)[rows], self.kept))
            generator = host_generator(self.seed, 3, epoch, number)
            order = trained[generator.permutation(len(trained))][skipped:]
            skipped = 0
            frame = self.features.read(piece, rows[order])
            for start in range(0, len(order), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                yield encode(self.columns, frame.iloc[part]), self.learnt(y[order[part]])
