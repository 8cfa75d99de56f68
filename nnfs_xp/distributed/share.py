"""What part of a batch one process works on, where several train together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of
from nnfs_xp.distributed.group import Group


@dataclass(frozen=True)
class Share:
    """The rows of a batch that one process works on, or one of its parts.

    Rows are samples. A process without any works on one that stands in for them, so that it comes
    to the same sums as the others, and counts as nothing there.

    Attributes
    ----------
    group : Group
    first : int
        How many rows of the batch come before these.
    n : int
        Rows that count.
    whole : int
        Rows of the batch of all processes.
    """

    group: Group
    first: int
    n: int
    whole: int

    @property
    def parts(self) -> list[tuple[slice, Share]]:
        """The parts of the batch that are worked on one by one: each with its rows among these."""
        group = self.group
        if group.shards is None:
            return [(slice(0, max(self.n, 1)), self)]
        each = group.shards // group.size
        parts = []
        for number in range(group.rank * each, (group.rank + 1) * each):
            part = group.part(self.whole, of=group.shards, rank=number)
            rows = slice(part.start - self.first, part.stop - self.first)
            share = Share(group, part.start, part.stop - part.start, self.whole)
            parts.append((rows, share))
        return parts

    def sum(self, own: Array) -> Array:
        """The sum of such arrays over the processes that work on the batch."""
        xp = backend_of(own).xp
        total: Array = xp.asarray(own, copy=True) if self.n else xp.zeros_like(own)
        self.group.add(total)
        return total

    def rows(self, rows: int) -> int:
        """How many rows there are in all processes, given those here: several to a sample."""
        return rows // max(self.n, 1) * self.whole

    def first_of(self, rows: int) -> int:
        """How many rows come before those here, given how many these are."""
        return rows // max(self.n, 1) * self.first

    def weight(self, counted: Any) -> tuple[Any, Any]:
        """How much a mean over so many losses counts in that of the batch, and their number there.

        Parameters
        ----------
        counted : int or 0-d array
            Of the rows here. An array where not all losses count: then it is summed over the
            processes.
        """
        if isinstance(counted, int):
            return self.n / self.whole, self.rows(counted)
        total = self.sum(counted)
        xp = backend_of(counted).xp
        own = counted if self.n else counted * 0.0
        return own / xp.maximum(total, 1.0), total
