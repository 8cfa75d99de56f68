"""The settings of a table's training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nnfs_xp._checks import check_count, check_range
from nnfs_xp.errors import ArgumentError

_MOST_BATCH, _LEAST_BATCH, _STEPS = 256, 16, 50
"""By default an epoch has about 50 steps, of at least 16 and at most 256 rows."""

_MOST_SEED = 2**32 - 1
"""The largest seed that scikit-learn takes."""


@dataclass(frozen=True)
class TableSettings:
    """All that determines a training on a table but the table and the backend.

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
        The share of the rows held out for the test where it has no table of its own.
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
        """Refuse what is out of range; return the settings in Python's own types."""
        if isinstance(self.hidden, str) or not isinstance(self.hidden, Iterable):
            raise ArgumentError(f"`hidden` must be a list of widths; got {self.hidden!r}.")
        checked = TableSettings(
            hidden=tuple(check_count("hidden", width) for width in self.hidden),
            epochs=check_count("epochs", self.epochs),
            batch_size=(
                None if self.batch_size is None else check_count("batch_size", self.batch_size)
            ),
            learning_rate=check_range("learning_rate", self.learning_rate, 0, open_low=True),
            dropout=check_range("dropout", self.dropout, 0, 1),
            patience=check_count("patience", self.patience),
            test_share=check_range("test_share", self.test_share, 0, open_low=True),
            seed=check_count("seed", self.seed, least=0),
        )
        if checked.test_share > 0.5:
            raise ArgumentError(f"`test_share` must be at most 0.5; got {self.test_share}.")
        if checked.seed > _MOST_SEED:
            raise ArgumentError(f"`seed` must be at most {_MOST_SEED}; got {self.seed}.")
        return checked

    def batch_size_for(self, n_rows: int) -> int:
        """The batch size for so many rows that are trained on."""
        if self.batch_size is None:
            return min(max(n_rows // _STEPS, _LEAST_BATCH), _MOST_BATCH, n_rows)
        return min(self.batch_size, n_rows)
