"""What can be said of a training on a table: how to train, and what the columns are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from nnfs_xp._checks import check_count, check_range, shown
from nnfs_xp.data.table_columns import Kind, Reading
from nnfs_xp.errors import ArgumentError

MOST_SEED = 2**32 - 1
"""The largest seed that scikit-learn takes."""

_FOLDED = 50_000
"""Rows up to which there are five networks."""

_BATCH_SIZES, _LARGEST_BATCH = ((1000, 64), (3000, 128), (100_000, 256)), 1024
"""Rows up to which a batch has so many, and how many it has for more."""

_EPOCHS, _STEPS = 64, 16_000
"""Epochs of a training, or as many as make so many steps, if that is fewer."""

_LAST_CYCLE = 0.55
"""The share of the epochs that the longest rise and fall of the rate takes, and a little more."""


@dataclass(frozen=True)
class TableSettings:
    """All that determines a training on a table but the table and the backend.

    Attributes
    ----------
    hidden : tuple of int
        The widths of the hidden layers.
    epochs : int, optional
        The most passes over the rows; by default 64, or as many as make 16,000 steps.
    batch_size : int, optional
        Rows in a step; by default 64 for up to 1,000 rows, 128 for up to 3,000, 256 for up to
        100,000, else 1024.
    learning_rate : float, optional
        Of Adam, at its peaks; by default 0.02 for classes, 0.1 for numbers.
    dropout : float
        Share of neurons silenced in training.
    ensemble : int
        Networks that share all but a scale of the inputs and the last layer, trained in one pass;
        their mean is the prediction.
    folds : int, optional
        Networks that are each trained without a part of the rows of its own, which tells it when
        to stop; their mean is the prediction. With one, 15 % of the rows are kept. By default 5
        for up to 50,000 rows, else 1.
    patience : int, optional
        Epochs without a better score on the rows kept after which training ends; by default 55 %
        of all, for the rate rises and falls, and the last fall is the best.
    interval : float, optional
        The share of the targets that the intervals of a regression shall hold.
    test_share : float
        The share of the rows held out for the test where it has no table of its own.
    seed : int
    """

    hidden: tuple[int, ...] = (128, 128, 128)
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
            epochs=_if_said(check_count, "epochs", self.epochs),
            batch_size=_if_said(check_count, "batch_size", self.batch_size),
            learning_rate=_if_said(
                check_range, "learning_rate", self.learning_rate, 0, open_low=True
            ),
            dropout=check_range("dropout", self.dropout, 0, 1),
            ensemble=check_count("ensemble", self.ensemble),
            folds=_if_said(check_count, "folds", self.folds),
            patience=_if_said(check_count, "patience", self.patience),
            interval=_if_said(check_range, "interval", self.interval, 0, 1, open_low=True),
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
        usual = next((size for rows, size in _BATCH_SIZES if n_rows <= rows), _LARGEST_BATCH)
        batch_size = min(self.batch_size or usual, n_rows)
        epochs = self.epochs or min(max(_STEPS // ceil(n_rows / batch_size), 1), _EPOCHS)
        chosen = {
            "batch_size": batch_size,
            "epochs": epochs,
            "learning_rate": self.learning_rate or (0.02 if classifies else 0.1),
            "patience": self.patience or max(int(_LAST_CYCLE * epochs), 1),
            "folds": min(self.folds or (5 if n_rows <= _FOLDED else 1), n_rows),
        }
        return Plan(**{**asdict(self), **chosen})


def _if_said(
    check: Callable[..., Any], name: str, value: Any, *limits: float, **options: Any
) -> Any:
    return None if value is None else check(name, value, *limits, **options)


@dataclass(frozen=True)
class Plan(TableSettings):
    """The settings of a training as it was done: `TableSettings` with nothing left open."""

    epochs: int = 1
    batch_size: int = 1
    learning_rate: float = 0.01
    folds: int = 1
    patience: int = 1


@dataclass(frozen=True)
class Wishes:
    """What is said of a table's columns.

    Attributes
    ----------
    task : {"auto", "classification", "regression"}
        By default a classification of text, of truth values, and of at most 20 different whole
        numbers with at least 3 rows each on average; else a regression.
    numeric, categorical, dates, text : sequence of str
        Columns of that kind, whatever their cells tell.
    drop : sequence of str
        Columns to leave out.
    missing : sequence of str
        What stands for a missing value besides an empty cell and the usual texts: ``"-9999"``.
    """

    task: str = "auto"
    numeric: Sequence[str] = ()
    categorical: Sequence[str] = ()
    dates: Sequence[str] = ()
    text: Sequence[str] = ()
    drop: Sequence[str] = ()
    missing: Sequence[str] = ()

    def check(self) -> None:
        """Refuse what is no list of texts, a single text above all.

        Raises
        ------
        ArgumentError
            It names the first that is none.
        """
        for what, texts in vars(self).items():
            is_list = isinstance(texts, Iterable) and not isinstance(texts, str)
            if what != "task" and not (is_list and all(isinstance(text, str) for text in texts)):
                raise ArgumentError(
                    f"`{what}` must be a list of texts; got {shown(repr(texts), 60)}."
                )

    @property
    def kinds(self) -> dict[Kind, Sequence[str]]:
        """The columns that are said to be of each kind."""
        return {
            "number": self.numeric,
            "category": self.categorical,
            "date": self.dates,
            "text": self.text,
        }

    @property
    def reading(self) -> Reading:
        """How cells are to be read."""
        return Reading(missing=frozenset(self.missing), day_first=frozenset(self.dates))


NO_WISHES = Wishes()
