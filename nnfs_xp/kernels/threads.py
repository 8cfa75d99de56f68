"""On how many threads the kernels of NumPy work: those of its BLAS, or those of a pool."""

from __future__ import annotations

import os
import threading
from functools import cache
from pathlib import Path
from typing import Any

SETTINGS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
)
"""Environment variables by which users, and what starts workers for them, say how many."""

LEAST_PRODUCT, LEAST_UPDATE = 2**22, 2**16
"""Multiplications in a product, and parameters that are updated, that are worth a second thread:
some 50 µs of work."""

MOST_ALONE = 2**18
"""Multiplications in a product that OpenBLAS makes on one thread, however many there are."""

_NEIGHBOURS = "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"
"""Environment variables in which MPI says how many of its processes share the machine."""


class Blas:
    """NumPy's BLAS, as threadpoolctl finds it.

    Attributes
    ----------
    library : ctypes.CDLL
    most : int
        The threads that it took when it was found.
    """

    def __init__(self, controller: Any) -> None:
        self._controller = controller
        self.library: Any = controller.dynlib
        # threadpoolctl lets only the thread that was the first to set OpenBLAS' number set it.
        names = [f"{p}openblas_set_num_threads{s}" for p in ("scipy_", "") for s in ("64_", "")]
        found = (getattr(self.library, name, None) for name in names)
        self._set: Any = next(filter(None, found), controller.set_num_threads)
        self.most: int = controller.get_num_threads()

    @property
    def number(self) -> int:
        """How many threads it works on."""
        number: int = self._controller.get_num_threads()
        return number

    @number.setter
    def number(self, number: int) -> None:
        self._set(number)


@cache
def numpys_blas() -> Blas | None:
    """NumPy's BLAS; None where it has none whose threads can be told, as on macOS."""
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    own = [each for each in found if {"numpy", "numpy.libs"} & {*Path(each.filepath).parts}]
    own = own or found  # SciPy may bring one of its own; Conda has one for all
    return Blas(own[0]) if own else None


class Threads:
    """The threads that a set of kernels works on; here those of the BLAS.

    Whoever works says so by `enter` and `leave`, from any thread. While several work at once, each
    has one thread. The last one to leave puts back what there was before the first.

    Parameters
    ----------
    blas : Blas

    Attributes
    ----------
    most : int
        How many there can be: the cores, shared with the other processes of an MPI job.
    number : int
        How many there are at the moment.
    are_told : bool
        Whether the environment says how many there are.
    keeps_bits : bool
        Whether results are the same, bit for bit, whatever the number is.
    """

    keeps_bits = False

    def __init__(self, blas: Blas) -> None:
        self.blas = blas
        processes = [int(n) for each in _NEIGHBOURS if (n := os.environ.get(each, "")).isdecimal()]
        self.most = max(1, blas.most // max(processes, default=1))
        self.are_told = any(os.environ.get(name) for name in SETTINGS)
        self.number = 1
        self._before = blas.most
        self._workers = 0
        self._lock = threading.Lock()

    @property
    def are_free(self) -> bool:
        """Whether their number is ours to choose: no user has."""
        if self.are_told or self.most == 1:
            return False
        return self._workers > 0 or self.blas.number == self.blas.most

    @property
    def is_alone(self) -> bool:
        """Whether one worker is at work."""
        return self._workers == 1

    def enter(self, number: int) -> None:
        """Begin to work, on so many threads if nobody else is at work."""
        with self._lock:
            self._workers += 1
            if self._workers == 1:
                self._before = self.blas.number
            self._put(number)

    def set(self, number: int) -> None:
        """Go on, on so many threads if nobody else is at work."""
        with self._lock:
            self._put(number)

    def leave(self) -> None:
        """End to work."""
        with self._lock:
            self._workers -= 1
            if not self._workers:
                self.release()
                self.blas.number = self._before

    def _put(self, number: int) -> None:
        self.number = number if self._workers == 1 else 1
        self.use()

    def use(self) -> None:
        """Have the kernels work on `number` threads."""
        self.blas.number = self.number

    def release(self) -> None:
        """Have the kernels work as they do when nobody says on how many threads."""


@cache
def threads_of_blas() -> Threads | None:
    """The threads of NumPy's BLAS, if it can be told of them."""
    blas = numpys_blas()
    return None if blas is None else Threads(blas)
