"""What a training run reported."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path


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
        for name, value in row.items():
            if isinstance(value, int | float):
                self.setdefault(name, []).append(value)

    def to_csv(self, path: str | Path) -> None:
        """Write a table with a row for each epoch, the epoch's number first."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["epoch", *self])
            writer.writerows(
                [epoch, *values]
                for epoch, values in enumerate(zip(*self.values(), strict=True), start=1)
            )
