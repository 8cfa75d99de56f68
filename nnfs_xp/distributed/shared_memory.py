"""Sums of the processes of one machine, which read each other's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnfs_xp.distributed.ordered import summed_in_order

LEAST, MOST_PROCESSES = 2**16, 4
"""Bytes from which on this is faster than MPI's own sum; processes up to which it is."""

_PIECE = 2**19
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
        self._window = mpi.Win.Allocate_shared(2 * _PIECE, 1, comm=communicator)
        self._window.Lock_all()
        memories = [self._window.Shared_query(rank)[0] for rank in range(size)]
        rooms = [np.frombuffer(memory, np.uint8) for memory in memories]
        self._places = [(room[:_PIECE], room[_PIECE:]) for room in rooms]
        self._turn = 0

    def sum(self, flat: np.ndarray[Any, Any], meet: Callable[[int], None], tree: bool) -> None:
        """Sum a flat array over the processes, in place.

        Parameters
        ----------
        flat : ndarray, shape (n,)
        meet : callable (bytes)
            Waits until all processes have come here with so many bytes.
        tree : bool
            Whether a binary tree gives the order: see `OrderedSum`.
        """
        step = _PIECE // flat.itemsize
        for start in range(0, flat.size, step):
            piece = flat[start : start + step]
            self._turn ^= 1
            theirs = [place[self._turn][: piece.nbytes].view(piece.dtype) for place in self._places]
            theirs[self._rank][...] = piece
            self._window.Sync()
            meet(piece.nbytes)
            self._window.Sync()
            with np.errstate(all="ignore"):  # what overflows is found where a loss is looked at
                self._add(piece, theirs, tree)

    def _add(
        self, piece: np.ndarray[Any, Any], theirs: list[np.ndarray[Any, Any]], tree: bool
    ) -> None:
        if len(theirs) == 2:
            piece += theirs[1 - self._rank]
        elif tree:
            piece[...] = summed_in_order(theirs)
        else:
            np.add(theirs[0], theirs[1], out=piece)
            for other in theirs[2:]:
                piece += other
