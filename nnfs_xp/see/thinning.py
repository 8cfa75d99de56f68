"""Numbers and things over the steps of a run, thinned, however long it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

MOST_BUCKETS = 500
MOST_COLUMNS = 240


@dataclass(slots=True)
class _Bucket:
    """The extremes of the numbers at neighbouring places, and the first place without a number."""

    index: int
    revision: int
    low: float = inf
    low_at: int = 0
    high: float = -inf
    high_at: int = 0
    gap_at: int | None = None
    total: float = 0.0
    count: int = 0
    last: int = 0

    def put(self, at: int, values: Sequence[float | None]) -> None:
        numbers = [value for value in values if value is not None]
        self.last = at + len(values) - 1
        if len(numbers) < len(values) and self.gap_at is None:
            self.gap_at = at + values.index(None)
        if not numbers:
            return
        low, high = min(numbers), max(numbers)
        if low < self.low:
            self.low, self.low_at = low, at + values.index(low)
        if high > self.high:
            self.high, self.high_at = high, at + values.index(high)
        self.total += sum(numbers)
        self.count += len(numbers)

    def join(self, later: _Bucket) -> None:
        if later.low < self.low:
            self.low, self.low_at = later.low, later.low_at
        if later.high > self.high:
            self.high, self.high_at = later.high, later.high_at
        if self.gap_at is None:
            self.gap_at = later.gap_at
        self.total += later.total
        self.count += later.count
        self.last = later.last

    def cut(self, last: int) -> bool:
        """Forget what lies after `last`; whether anything is left."""
        kept = [(y, x) for x, y in self.points() if y is not None and x <= last]
        self.low, self.low_at = min(kept, default=(inf, 0))
        self.high, self.high_at = max(kept, default=(-inf, 0))
        if self.gap_at is not None and self.gap_at > last:
            self.gap_at = None
        # The numbers between are gone: the mean of the extremes stands in for theirs.
        self.total, self.count = sum(y for y, _ in kept), len(kept)
        self.last = min(self.last, last)
        return bool(kept) or self.gap_at is not None

    def points(self) -> list[tuple[int, float | None]]:
        points: dict[int, float | None] = {}
        if self.count:
            points = {self.low_at: self.low, self.high_at: self.high}
        if self.gap_at is not None:
            points[self.gap_at] = None
        return sorted(points.items())


class Series:
    """Numbers at growing places, thinned to at most 500 buckets of equal width.

    The least and the greatest number of each bucket are kept, at their places, so that no spike is
    lost. A bucket's width is a power of two and its first place a multiple of it: however the
    numbers came in, the buckets are the same.
    """

    def __init__(self) -> None:
        self._width = 1
        self._buckets: list[_Bucket] = []
        self._revision = self._whole = -1

    @property
    def last(self) -> int:
        """The last place; -1 before the first."""
        return self._buckets[-1].last if self._buckets else -1

    def put(self, at: int, values: Sequence[float | None], revision: int) -> None:
        """Add numbers at the places from `at` on; those at places that it has are left out.

        Parameters
        ----------
        at : int
        values : sequence of float or None
            None stands for what is not finite.
        revision : int
            The number of this change, to tell `news` by. It never falls.
        """
        values = values[max(0, self.last + 1 - at) :] if at <= self.last else values
        at = max(at, self.last + 1)
        start = 0
        while start < len(values):
            index = (at + start) // self._width
            stop = min(len(values), (index + 1) * self._width - at)
            if not self._buckets or self._buckets[-1].index != index:
                self._buckets.append(_Bucket(index, revision))
            bucket = self._buckets[-1]
            bucket.put(at + start, values[start:stop])
            bucket.revision = self._revision = revision
            start = stop
            while len(self._buckets) > MOST_BUCKETS:
                self._widen(revision)

    def replace(self, at: int, value: float | None, revision: int) -> None:
        """Add a number; one at the same place gives way.

        Parameters
        ----------
        at, value, revision
            As in `put`.
        """
        if at == self.last:
            self.cut(at - 1, revision)
        self.put(at, [value], revision)

    def cut(self, last: int, revision: int) -> None:
        """Forget the numbers at places after `last`.

        Parameters
        ----------
        last, revision : int
        """
        if self.last <= last:
            return
        while self._buckets and self._buckets[-1].index * self._width > last:
            self._buckets.pop()
        if self._buckets and not self._buckets[-1].cut(last):
            self._buckets.pop()
        self._revision = self._whole = revision

    def _widen(self, revision: int) -> None:
        self._width *= 2
        wide: list[_Bucket] = []
        for bucket in self._buckets:
            bucket.index //= 2
            if wide and wide[-1].index == bucket.index:
                wide[-1].join(bucket)
            else:
                wide.append(bucket)
        self._buckets = wide
        self._whole = revision

    def news(self, since: int, *, means: bool = False) -> dict[str, Any] | None:
        """What has changed after a revision.

        Parameters
        ----------
        since : int
        means : bool
            Also give the mean of each bucket.

        Returns
        -------
        dict or None
            Points ``x`` and ``y`` that take the place of those with x >= ``from``; means ``mean``
            at ``at`` likewise. None if nothing has changed.
        """
        if since >= self._revision:
            return None
        first = 0
        if since >= self._whole:
            first = len(self._buckets)
            while first and self._buckets[first - 1].revision > since:
                first -= 1
        fresh = self._buckets[first:]
        points = [point for bucket in fresh for point in bucket.points()]
        answer: dict[str, Any] = {
            "from": fresh[0].index * self._width if first and fresh else 0,
            "x": [x for x, _ in points],
            "y": [rounded(y) for _, y in points],
        }
        if means:
            full = [bucket for bucket in fresh if bucket.count]
            answer["at"] = [min((b.index + 1) * self._width - 1, b.last) for b in full]
            answer["mean"] = [rounded(b.total / b.count) for b in full]
        return answer


class Strip:
    """Things at growing places, of which at most 240 are kept: the last of each bucket."""

    def __init__(self) -> None:
        self._width = 1
        self._kept: list[tuple[int, int, list[Any]]] = []
        self._revision = self._whole = -1

    def put(self, at: int, thing: list[Any], revision: int) -> None:
        """Add a thing.

        Parameters
        ----------
        at : int
            Not before the last.
        thing : list
            Goes into the news behind its place.
        revision : int
        """
        if self._kept and at < self._kept[-1][0]:
            return
        if self._kept and self._kept[-1][0] // self._width == at // self._width:
            self._kept.pop()
        self._kept.append((at, revision, thing))
        while len(self._kept) > MOST_COLUMNS:
            self._width *= 2
            self._kept = list({entry[0] // self._width: entry for entry in self._kept}.values())
            self._whole = revision
        self._revision = revision

    def cut(self, last: int, revision: int) -> None:
        """Forget the things at places after `last`.

        Parameters
        ----------
        last, revision : int
        """
        kept = [entry for entry in self._kept if entry[0] <= last]
        if len(kept) < len(self._kept):
            self._kept = kept
            self._revision = self._whole = revision

    def news(self, since: int) -> dict[str, Any] | None:
        """What has changed after a revision.

        Parameters
        ----------
        since : int

        Returns
        -------
        dict or None
            Columns ``[place, *thing]`` that take the place of those with place >= ``from``.
        """
        if since >= self._revision:
            return None
        fresh = [e for e in self._kept if since < self._whole or e[1] > since]
        whole = len(fresh) == len(self._kept)
        start = 0 if whole else fresh[0][0] // self._width * self._width
        return {"from": start, "columns": [[at, *thing] for at, _, thing in fresh]}


def rounded(value: float | None) -> float | None:
    """Six digits, which is more than a picture shows; None for what JSON cannot hold.

    Parameters
    ----------
    value : float or None

    Returns
    -------
    float or None
    """
    if value is None or not -inf < value < inf:
        return None
    return float(f"{value:.6g}")
