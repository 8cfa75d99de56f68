"""The gradient of a table from which rows were looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Namespace

_PIECE = 2**14
"""Rows that are added to others at once, so that what is added takes little room."""

_LEAST = 1024
"""Rows of the table that are written at once where there are fewer codes."""


class EmbeddingKernels(Protocol):
    """What goes back through an embedding."""

    def embedding_gradient(
        self, xp: Namespace, codes: Array, dvalues: Array, dweights: Array
    ) -> None:
        """Write to row c of `dweights` the sum of those rows of dvalues whose code is c.

        Rows of codes that do not occur become 0. Besides writing them, it takes time and memory
        in proportion to dvalues, and no matrix of codes by rows of the table.

        Parameters
        ----------
        codes : array of int64, shape (n,)
            Rows of the table, at least one, each in range.
        dvalues : array, shape (n, n_dimensions)
        dweights : array, shape (n_values, n_dimensions)

        Notes
        -----
        The rows are sorted by their codes. Then each becomes the sum of itself and all behind it
        of the same code: at first of one row, and after each round of twice as many. So the first
        row of a code is the sum of them all (Hillis and Steele 1986, *Data Parallel Algorithms*).
        """
        n, n_values = codes.shape[0], dweights.shape[0]
        order = xp.argsort(codes)  # stable, so that all sets add in one order
        codes, sums = xp.take(codes, order, axis=0), xp.take(dvalues, order, axis=0)
        del order
        shift = 1
        while shift < n:
            for start in range(0, n - shift, _PIECE):  # what is behind a piece is as it was before
                stop = min(start + _PIECE, n - shift)
                behind = slice(start + shift, stop + shift)
                same = codes[start:stop] == codes[behind]
                sums[start:stop, :] += xp.where(same[:, None], sums[behind, :], 0.0)
            shift *= 2
        several = min(max(n, _LEAST), _PIECE)
        for start in range(0, n_values, several):
            stop = min(start + several, n_values)
            rows = xp.arange(start, stop, dtype=codes.dtype, device=codes.device)
            first = xp.minimum(xp.searchsorted(codes, rows), n - 1)
            found = xp.take(codes, first, axis=0) == rows
            total = xp.take(sums, first, axis=0)
            dweights[start:stop, :] = xp.where(found[:, None], total, 0.0)
