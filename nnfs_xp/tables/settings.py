"""The settings of a table's training."""

from __future__ import annotations

from dataclasses import dataclass

from nnfs_xp._checks import check_count, check_range
from nnfs_xp.errors import ArgumentError

_MOST_BATCH, _LEAST_BATCH, _STEPS = 256, 16, 50
"""By default an epoch has about 50 steps, of at least 16 and at most 256 rows."""


@dataclass(frozen=True)
class TableSettings:
    """What a training of a table is determined by, the table and the backend aside.

    Attributes
    ----------
    hidden : tuple of int
        The widths of the hidden layers.
    epochs : int
        The most passes over the rows.
    batch_size : int, optional
        Rows in a step; by default a 50th of those trained on, from 16 to 256.
    learning_rate : float
        Of Adam.
    dropout : float
        Share of neurons silenced in training.
    patience : int
        Epochs without a better validation score after which training ends.
    test_share : float
        Of the rows, held out for the test where there is no table of its own for it.
    seed : int
    """

    hidden: tuple[int, ...] = (256, 128)
    epochs: int = 200
    batch_size: int | None = None
    learning_rate: float = 0.001
    dropout: float = 0.1
    patience: int = 20
    test_share: float = 0.2
    seed: int = 0

    def check(self) -> TableSettings:
        """Refuse what is out of range."""
        for width in self.hidden:
            check_count("hidden", width)
        check_count("epochs", self.epochs)
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size)
        check_range("learning_rate", self.learning_rate, 0, open_low=True)
        check_range("dropout", self.dropout, 0, 1)
        check_count("patience", self.patience)
        check_count("seed", self.seed, least=0)
        check_range("test_share", self.test_share, 0, open_low=True)
        if self.test_share > 0.5:
            raise ArgumentError(f"`test_share` must be at most 0.5; got {self.test_share}.")
        return self

    def batch_size_for(self, n_rows: int) -> int:
        """The batch size for so many rows that are trained on."""
        if self.batch_size is None:
            return min(max(n_rows // _STEPS, _LEAST_BATCH), _MOST_BATCH, n_rows)
        return min(self.batch_size, n_rows)
