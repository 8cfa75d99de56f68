"""Sums of the processes of one machine, which read each other's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from nnfs_xp.distributed.ordered import summed_in_order

Array: TypeAlias = "np.ndarray[Any, Any]"
Meet: TypeAlias = Callable[[int], None]

LEAST, MOST_PROCESSES = 2**16, 4
"""Bytes from which on this is faster than MPI's own sum; processes up to which it is."""

PIECE = 2**19
"""Bytes that are summed at a time: what others wrote is still in the processor's caches."""


class SharedMemory:
    """Room that each process of a machine writes to, and all read.

    An array is summed piece by piece. Each process copies its piece to where all can read it, waits
    until all have, and adds up the pieces of all, in the order of the ranks; so all come to the
    same bits. Pieces go to two places by turns: whoever comes to the next one has read the last.

    Parameters
    ----------
    mpi : module
        ``mpi4py.MPI``.
    communicator : mpi4py.MPI.Comm
        Processes of one machine.
    """

    def __init__(self, mpi: Any, communicator: Any) -> None:
        size = communicator.Get_size()
        self._rank = communicator.Get_rank()
        self._window = mpi.Win.Allocate_shared(2 * PIECE, 1, comm=communicator)
        self._window.Lock_all()
        memories = [self._window.Shared_query(rank)[0] for rank in range(size)]
        rooms = [np.frombuffer(memory, np.uint8) for memory in memories]
        self._places = [(room[:PIECE], room[PIECE:]) for room in rooms]
        self._turn = 0

    def sum(self, flat: Array, meet: Meet, tree: bool) -> None:
        """Sum a flat array over the processes, in place.

        Parameters
        ----------
        flat : ndarray, shape (n,)
        meet : callable (bytes)
            Waits until all processes have come here with so many bytes.
        tree : bool
            Whether a binary tree gives the order: see `OrderedSum`.
        """
        step = PIECE // flat.itemsize
        for start in range(0, flat.size, step):
            piece = flat[start : start + step]
            theirs = self._next(piece.nbytes, piece.dtype)
            theirs[self._rank][...] = piece
            self._meet(meet, piece.nbytes)
            self._add(piece, theirs, tree)

    def sum_parts(self, flat: Array, parts: list[slice], meet: Meet) -> None:
        """Sum a flat array over the processes, in place: each process its part alone."""
        size = len(parts)
        step = PIECE // flat.itemsize // size
        for start in range(0, parts[0].stop, step):
            places = [_within(part, start, step) for part in parts]
            theirs = self._next(size * step * flat.itemsize, flat.dtype)
            for rank, place in enumerate(places):
                piece = flat[place]
                theirs[self._rank][rank * step : rank * step + piece.size] = piece
            self._meet(meet, step * flat.itemsize)
            own = flat[places[self._rank]]
            first = self._rank * step
            self._add(own, [each[first : first + own.size] for each in theirs], tree=False)

    def share_parts(self, flat: Array, parts: list[slice], meet: Meet) -> None:
        """Write each process' part of a flat array into those of the others."""
        step = PIECE // flat.itemsize
        for start in range(0, parts[0].stop, step):
            places = [_within(part, start, step) for part in parts]
            theirs = self._next(step * flat.itemsize, flat.dtype)
            own = flat[places[self._rank]]
            theirs[self._rank][: own.size] = own
            self._meet(meet, step * flat.itemsize)
            for rank, place in enumerate(places):
                if rank != self._rank:
                    piece = flat[place]
                    piece[...] = theirs[rank][: piece.size]

    def _next(self, n_bytes: int, dtype: Any) -> list[Array]:
        """The places of all processes for the next piece, for so many bytes."""
        self._turn ^= 1
        return [place[self._turn][:n_bytes].view(dtype) for place in self._places]

    def _meet(self, meet: Meet, n_bytes: int) -> None:
        """Wait until all have written their pieces."""
        self._window.Sync()
        meet(n_bytes)
        self._window.Sync()

    def _add(self, piece: Array, theirs: list[Array], tree: bool) -> None:
        """Write the sum of all to a piece, of which one of them is a copy."""
        with np.errstate(all="ignore"):  # what overflows is found where a loss is looked at
            if len(theirs) == 2:
                piece += theirs[1 - self._rank]
            elif tree:
                piece[...] = summed_in_order(theirs)
            else:
                np.add(theirs[0], theirs[1], out=piece)
                for other in theirs[2:]:
                    piece += other


def _within(part: slice, start: int, length: int) -> slice:
    """A piece of a part, from that place in it on."""
    return slice(min(part.start + start, part.stop), min(part.start + start + length, part.stop))
