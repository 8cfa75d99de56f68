"""Where a step's batch comes from, and where its loss goes, so that a step can be recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Namespace


class StepKernels(Protocol):
    """What a step reads and leaves behind."""

    def gather_rows(self, xp: Namespace, array: Array, order: Array, start: int, n: int) -> Array:
        """Rows order[start], …, order[start + n - 1]. `start` may be a `DeviceCount`."""
        rows: Array = xp.take(array, order[start : start + n], axis=0)
        return rows

    def put(self, xp: Namespace, values: Array, index: int, value: Array) -> None:
        """Write a value, a 0-d array, to values[index]. `index` may be a `DeviceCount`."""
        same = value.dtype == values.dtype
        values[index, ...] = value if same else xp.astype(value, values.dtype)

    def widen(self, xp: Namespace, narrow: Array, wide: Array, factor: Array) -> None:
        """Write narrow * factor to `wide`, of a wider type; `factor` is 0-d, of that type."""
        wide[...] = xp.astype(narrow, wide.dtype)
        wide *= factor

    def narrow_into(self, xp: Namespace, wide: Array, narrow: Array) -> None:
        """Write `wide` to `narrow`, rounded to its narrower type."""
        narrow[...] = xp.astype(wide, narrow.dtype)
