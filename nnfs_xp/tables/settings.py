"""The settings of a table's training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import ceil

from nnfs_xp._checks import check_count, check_range
from nnfs_xp.errors import ArgumentError

MOST_SEED = 2**32 - 1
"""The largest seed that scikit-learn takes."""

FEW_ROWS = 2500
"""Rows up to which five networks are trained."""

_BATCH_SIZES, _LARGEST_BATCH = ((1000, 64), (3000, 128), (100_000, 256)), 1024
"""Rows up to which a batch has so many, and how many it has for more."""

_STEPS = 6000
"""Steps of a network for which the number of epochs is chosen."""


@dataclass(frozen=True)
class TableSettings:
    """All that determines a training on a table but the table and the backend.

    Attributes
    ----------
    hidden : tuple of int
        The widths of the hidden layers.
    epochs : int, optional
        The most passes over the rows; by default as many as make about 6,000 steps, from 30 to
        256.
    batch_size : int, optional
        Rows in a step; by default from 32 for a few hundred rows to 256 for more than 4,000.
    learning_rate : float, optional
        Of Adam, at its peaks; by default 0.04 for classes, 0.2 for numbers.
    dropout : float
        Share of neurons silenced in training.
    ensemble : int
        Networks that share all but a scale of the inputs and the last layer, trained in one pass;
        their mean is the prediction.
    folds : int, optional
        Networks that are each trained without a part of the rows of its own, which tells it when
        to stop; their mean is the prediction. With one, 15 % of the rows are kept. By default 5
        for up to `FEW_ROWS` rows, else 1.
    patience : int, optional
        Epochs without a better score on the rows kept after which training ends; by default a
        quarter of all, for the rate rises and falls.
    interval : float, optional
        The share of the targets that the intervals of a regression shall hold.
    test_share : float
        The share of the rows held out for the test where it has no table of its own.
    seed : int
    """

    hidden: tuple[int, ...] = (256, 256, 256)
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    dropout: float = 0.15
    ensemble: int = 1
    folds: int | None = None
    patience: int | None = None
    interval: float | None = None
    test_share: float = 0.2
    seed: int = 0

    def check(self) -> TableSettings:
        """Refuse what is out of range; return the settings in Python's own types."""
        if isinstance(self.hidden, str) or not isinstance(self.hidden, Iterable):
            raise ArgumentError(f"`hidden` must be a list of widths; got {self.hidden!r}.")
        checked = TableSettings(
            hidden=tuple(check_count("hidden", width) for width in self.hidden),
            epochs=None if self.epochs is None else check_count("epochs", self.epochs),
            batch_size=(
                None if self.batch_size is None else check_count("batch_size", self.batch_size)
            ),
            learning_rate=(
                None
                if self.learning_rate is None
                else check_range("learning_rate", self.learning_rate, 0, open_low=True)
            ),
            dropout=check_range("dropout", self.dropout, 0, 1),
            ensemble=check_count("ensemble", self.ensemble),
            folds=None if self.folds is None else check_count("folds", self.folds),
            patience=None if self.patience is None else check_count("patience", self.patience),
            interval=(
                None
                if self.interval is None
                else check_range("interval", self.interval, 0, 1, open_low=True)
            ),
            test_share=check_range("test_share", self.test_share, 0, open_low=True),
            seed=check_count("seed", self.seed, least=0),
        )
        if checked.test_share > 0.5:
            raise ArgumentError(f"`test_share` must be at most 0.5; got {self.test_share}.")
        if checked.seed > MOST_SEED:
            raise ArgumentError(f"`seed` must be at most {MOST_SEED}; got {self.seed}.")
        return checked

    def plan(self, n_rows: int, *, classifies: bool) -> Plan:
        """The settings for so many rows, with a value for each that was not said."""
        largest = 256 if n_rows < 100_000 else 1024
        batch_size = self.batch_size or min(
            max(32, 2 ** (max(n_rows // 16, 1).bit_length())), largest
        )
        batch_size = min(batch_size, n_rows)
        epochs = self.epochs or min(max(_STEPS // ceil(n_rows / batch_size), 1), 256)
        chosen = {
            "batch_size": batch_size,
            "epochs": epochs,
            "learning_rate": self.learning_rate or (0.04 if classifies else 0.2),
            "patience": self.patience or max(epochs // 4, 5),
            "folds": min(self.folds or (5 if n_rows <= FEW_ROWS else 1), n_rows),
        }
        return Plan(**{**asdict(self), **chosen})


@dataclass(frozen=True)
class Plan(TableSettings):
    """The settings of a training as it was done: `TableSettings` with nothing left open."""

    epochs: int = 1
    batch_size: int = 1
    learning_rate: float = 0.01
    folds: int = 1
    patience: int = 1
