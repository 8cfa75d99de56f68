"""What a training run reported."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path

from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.interop.paths import path_of


def numbers_in(row: Mapping[str, object]) -> dict[str, float]:
    """The figures that are numbers: those that have a history."""
    return {name: float(value) for name, value in row.items() if isinstance(value, Real)}


def write_table(path: Path, names: Iterable[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file with a column for the epoch and one for each name; None is an empty cell.

    Raises
    ------
    OSError
        It cannot be written; an older file is as it was.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["epoch", *names])
    writer.writerows(rows)
    write_atomically(path, table.getvalue().encode())


class History(dict[str, list[float]]):
    """One list for each figure, one number in it for each epoch.

    Keys are ``loss``, the metrics' names, ``learning_rate`` at the epoch's end, and the loss and
    metrics with ``val_`` in front where there were validation data.
    """

    @property
    def epochs(self) -> int:
        """The number of epochs."""
        return len(next(iter(self.values()), []))

    def append(self, row: Mapping[str, object]) -> None:
        """Add the figures of one epoch; what is no number, a matrix say, is left out."""
        for name, value in numbers_in(row).items():
            self.setdefault(name, []).append(value)

    def to_csv(self, path: str | Path) -> None:
        """Write a table, as CSV, with a row for each epoch, the epoch's number first.

        Raises
        ------
        ArgumentError
            The path is none, or no file can have that name.
        OSError
            It cannot be written; an older file is as it was.
        """
        path = path_of(path)
        columns = zip(*self.values(), strict=True)
        rows = ([epoch, *values] for epoch, values in enumerate(columns, start=1))
        write_table(path, self, rows)
