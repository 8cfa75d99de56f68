"""Tables larger than memory: read in pieces, first to draw a sample, then in each epoch anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nnfs_xp.data.packed_files import ZIP, content_of
from nnfs_xp.data.table_cells import to_number
from nnfs_xp.data.table_columns import Column, Kind, Reading, Values, read_column
from nnfs_xp.data.table_files import RawTable, count_rows, open_in_pieces, open_table
from nnfs_xp.errors import DataError
from nnfs_xp.tables.sampling import Sample
from nnfs_xp.tables.settings import TableSettings
from nnfs_xp.training.progress import Progress, Shown

MANY_ROWS = 1_000_000
"""Rows of a Parquet file beyond which it is read in pieces."""

MANY_BYTES, MANY_PACKED_BYTES = 256 * 2**20, 64 * 2**20
"""Bytes of a text file, as it is and packed, beyond which it is read in pieces."""

SAMPLE = 100_000
"""Rows from which all is learnt but the weights, and that the model is tested on."""

MOST_TESTED = 20_000
PIECE_ROWS, _PIECE_CELLS = 100_000, 4_000_000
"""The most rows and cells of a piece."""


def is_large(data: Any) -> bool:
    """Whether it is a file that is read in pieces: Parquet of many rows, or much text."""
    if not isinstance(data, str | Path):
        return False
    path = Path(data)
    with content_of(path) as content:
        start, suffix, is_packed = content.start, content.suffix, content.is_packed
    if start.startswith(b"PAR1") and not is_packed:
        return count_rows(path) > MANY_ROWS
    if start.startswith((b"PAR1", b"ARROW1", b"{", b"[", *ZIP)) or suffix.startswith(".json"):
        return False  # what is in them can only be read as a whole
    return path.stat().st_size > (MANY_PACKED_BYTES if is_packed else MANY_BYTES)


@dataclass(frozen=True)
class LargeTable:
    """A file that is read in pieces, and what the first reading told of it.

    Attributes
    ----------
    path : Path
    separator : str or None
        See `open_table`.
    piece_rows : int
        The most rows of a piece.
    sample : RawTable
        Rows drawn at random: see `Sample`.
    sizes, ends : ndarray of int, shape (pieces,)
        The rows of each piece, and the number of its last row.
    n_targets : dict of str to ndarray of int, shape (pieces,)
        The rows that have a target, by the kind of column that this is found to be.
    """

    path: Path
    separator: str | None
    piece_rows: int
    sample: RawTable
    sizes: Values
    ends: Values
    n_targets: dict[Kind, Values]

    @property
    def n_rows(self) -> int:
        """The rows of the file."""
        return int(self.sizes.sum())

    def settings(self, settings: TableSettings) -> TableSettings:
        """The settings of its training: one network, and not too many rows to test."""
        share = min(settings.test_share, MOST_TESTED / self.sample.n_rows)
        return replace(settings, folds=1, test_share=share)

    def pieces(self) -> Iterator[RawTable]:
        """The rows of the file, a piece at a time."""
        pieces = open_in_pieces(self.path, separator=self.separator, rows=self.piece_rows)
        for piece, size in zip_longest(pieces, self.sizes):
            if piece is None or piece.n_rows != size:
                raise DataError(f"{self.path} has changed since it was first read. Train anew.")
            yield piece


def open_or_sample(
    data: Any, target: str, *, separator: str | None = None, **options: Any
) -> tuple[RawTable, LargeTable | None]:
    """All rows of a table; or where its file is large a sample, and the large table.

    Parameters
    ----------
    data
        See `open_table`.
    target : str
    separator, **options
        See `survey`.
    """
    if not is_large(data):
        return open_table(data, separator=separator), None
    large = survey(Path(data), target, separator=separator, **options)
    return large.sample, large


def survey(
    path: Path,
    target: str,
    *,
    separator: str | None = None,
    missing: frozenset[str] = frozenset(),
    seed: int = 0,
    progress: Shown = False,
    check: Callable[[RawTable], None] | None = None,
) -> LargeTable:
    """Read a file in pieces for the first time, and draw a sample of its rows.

    Parameters
    ----------
    path : Path
    target : str
        The column to predict.
    separator : str, optional
        See `open_table`.
    missing : frozenset of str
        See `Reading`.
    seed : int
    progress : bool or "lines"
        See `Trainer.fit`.
    check : callable (table), optional
        Called with the first rows, before the others are read.
    """
    head = next(open_in_pieces(path, separator=separator, rows=100))
    head.check_has([target], "which is to be predicted")
    if check is not None:
        check(head)
    rows = max(min(PIECE_ROWS, _PIECE_CELLS // len(head.names)), 1)
    drawn, sizes, ends = Sample(SAMPLE, seed), list[int](), list[int]()
    n_targets: dict[Kind, list[int]] = {"number": [], "category": []}
    n_rows = None if head.is_text else count_rows(path)
    with Progress(1, None, n_rows, shown=progress, name="reading") as bar:
        bar.begin_epoch(1)
        for piece in open_in_pieces(path, separator=separator, rows=rows):
            column = _target_column(piece, target, Reading(missing))
            drawn.add(piece, column)
            sizes.append(piece.n_rows)
            ends.append(int(piece.rows[-1]))
            for kind, counts in n_targets.items():
                counts.append(_n_filled(column, kind))
            bar.end_batch(piece.n_rows, dict)
        bar.end_epoch({})
    counted = {kind: np.array(counts) for kind, counts in n_targets.items()}
    sample = drawn.table()
    sample = replace(sample, label=f"{sample.label} (sample of {sample.n_rows} rows)")
    return LargeTable(path, separator, rows, sample, np.array(sizes), np.array(ends), counted)


def _target_column(piece: RawTable, name: str, reading: Reading) -> Column:
    """The target as categories, or numbers where these have decimals: either may be meant."""
    has_decimals = pa.types.is_floating(piece.columns.column(name).type)
    return read_column(piece, name, "number" if has_decimals else "category", reading)


def _n_filled(column: Column, kind: Kind) -> int:
    """How many cells have a value, if the column is to be of that kind."""
    times = Counter(column.filled.tolist())
    if column.kind == kind or column.kind == "number":
        return times.total()
    return sum(n for text, n in times.items() if not isnan(to_number(text) or 0.0))
