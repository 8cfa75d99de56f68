"""Sums in one order, so that they have the same bits wherever they are made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class OrderedSum:
    """A sum of 2**k arrays as a binary tree adds them up: neighbours first.

    Any run of 2**j of them that starts at a multiple of it can be summed beforehand, and gives the
    same bits.
    """

    def __init__(self) -> None:
        self._sums: list[tuple[int, Any]] = []  # each of 2**level arrays

    def add(self, array: Any) -> None:
        """Add the next one, which nothing else changes."""
        level = 0
        while self._sums and self._sums[-1][0] == level:
            array = self._sums.pop()[1] + array
            level += 1
        self._sums.append((level, array))

    @property
    def total(self) -> Any:
        """The sum, once all have been added."""
        ((_, total),) = self._sums
        return total


def summed_in_order(arrays: Iterable[Any]) -> Any:
    """The sum of 2**k arrays: see `OrderedSum`."""
    total = OrderedSum()
    for array in arrays:
        total.add(array)
    return total.total
