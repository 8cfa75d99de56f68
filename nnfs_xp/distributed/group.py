"""Processes that train one model together: what they do as one."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Protocol
from weakref import WeakSet

import numpy as np

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, backend_of, get_backend, to_numpy
from nnfs_xp.distributed.ordered import summed_in_order
from nnfs_xp.errors import ArgumentError, DistributedError, NnfsError

_PIECE = 2**21
"""Bytes that are summed at a time on the host: pieces stay in the processors' caches."""


class Recording(Protocol):
    """What records steps: see `Recorder`."""

    def forget(self) -> None: ...
    def let_go(self) -> None: ...


class Group:
    """The processes that train together; this class alone is one process, which waits for nobody.

    Each process has a number, its rank. All of them call the same methods in the same order, for
    each call waits until all have come to it. Classes for several processes derive from this one,
    and give the four methods whose names begin with ``_start``, and ``_wait``.

    Parameters
    ----------
    rank, size, local_rank : int
        See the attributes.
    timeout : float
        Seconds that this process waits for the others at most, each time.
    shards : int, optional
        The number of parts that each batch is cut into, whatever the number of processes is: a
        power of two. Gradients of the parts are summed in one order, so that results have the same
        bits on 1, 2, 4, … processes, up to this number.

    Attributes
    ----------
    name : str
        Of the kind of group: ``"none"``, ``"mpi"``, ``"ray"``.
    rank : int
        The number of this process, from 0.
    size : int
        The number of processes.
    local_rank : int
        The number of this process among those on its machine.
    timeout : float
        As given.

    Raises
    ------
    ArgumentError
        The timeout is not above 0, or `shards` is no power of two, or the processes do not divide
        it.
    """

    name = "none"

    def __init__(
        self,
        *,
        rank: int = 0,
        size: int = 1,
        local_rank: int = 0,
        timeout: float = 600.0,
        shards: int | None = None,
    ) -> None:
        self.rank, self.size, self.local_rank = rank, size, local_rank
        self.timeout = _checks.check_range("timeout", timeout, 0, open_low=True)
        self.shards = shards
        self._recorders: WeakSet[Recording] = WeakSet()
        self._device_sums: Any = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: rank {self.rank} of {self.size}>"

    @property
    def shards(self) -> int | None:
        """The number of parts that each batch is cut into."""
        return self._shards

    @shards.setter
    def shards(self, shards: int | None) -> None:
        if shards is not None:
            shards = _checks.check_count("shards", shards)
            if shards & (shards - 1):
                raise ArgumentError(f"`shards` must be a power of two; got {shards}.")
            if shards % self.size:
                raise ArgumentError(
                    f"the number of processes, {self.size}, must divide `shards`, {shards}. Start "
                    "2, 4, 8, … of them, not more than shards."
                )
        self._shards = shards

    @property
    def is_alone(self) -> bool:
        """Whether a training has nothing to share: no other process, and no parts."""
        return self.size == 1 and self.shards is None

    def _start_sum(self, array: np.ndarray[Any, Any]) -> Callable[[], bool]:
        """Begin to sum a flat array over the processes, in place; return whether it is done."""
        raise NotImplementedError

    def _start_largest(self, array: np.ndarray[Any, Any]) -> Callable[[], bool]:
        """Begin to replace each number of a flat array by the largest of all processes."""
        raise NotImplementedError

    def _start_gather(
        self, array: np.ndarray[Any, Any], found: np.ndarray[Any, Any]
    ) -> Callable[[], bool]:
        """Begin to gather flat arrays of one length: ``found`` has a row for each rank."""
        raise NotImplementedError

    def _start_broadcast(self, array: np.ndarray[Any, Any]) -> Callable[[], bool]:
        """Begin to write rank 0's flat array into those of the others."""
        raise NotImplementedError

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        """Wait until what was begun is done.

        Raises
        ------
        DistributedError
            Another process failed or ended, or did not come in time.
        """
        raise NotImplementedError

    def _meet(self, what: str, size: int) -> None:
        """Wait until all have come to the same call, with as much, or refuse to go on."""

    def add(self, *arrays: Array) -> None:
        """Sum arrays over the processes, in place: all have the same bits in the end.

        Parameters
        ----------
        *arrays : array of any backend, contiguous
            Of one shape and data type in all processes, and of one backend. CuPy's are summed by
            NCCL, on the current stream, without waiting for the device.

        Raises
        ------
        DistributedError
            Another process failed, or called something else.
        """
        if self.size == 1 or not arrays:
            return
        device = None if isinstance(arrays[0], np.ndarray) else self._on_device(arrays[0])
        if device is not None:
            device.add(*arrays, in_order=self.shards is not None)
            return
        # Of other backends a copy: some share memory that is not to be written.
        hosts = [a if isinstance(a, np.ndarray) else np.array(to_numpy(a)) for a in arrays]
        flat = [host.reshape(-1) for host in hosts]
        if any(
            each.size and not np.may_share_memory(each, host)
            for each, host in zip(flat, hosts, strict=True)
        ):
            raise ArgumentError("an array must be contiguous to be summed in place.")
        self._meet("add", sum(each.nbytes for each in flat))
        for each in flat:
            self._add_host(each)
        for array, host in zip(arrays, hosts, strict=True):
            if array is not host:
                array[...] = backend_of(array).asarray(host)

    def _add_host(self, flat: np.ndarray[Any, Any]) -> None:
        step = max(1, _PIECE // flat.itemsize)
        for start in range(0, flat.size, step):
            piece = flat[start : start + step]
            if self.shards is None:
                self._wait(self._start_sum(piece), "add")
            else:
                found = np.empty((self.size, piece.size), piece.dtype)
                self._wait(self._start_gather(piece, found), "add")
                piece[...] = summed_in_order(found)

    def sums_beside(self, array: Array) -> bool:
        """Whether sums of such arrays go on beside other work on their device."""
        if self.size == 1 or self.shards is not None or isinstance(array, np.ndarray):
            return False
        return self._on_device(array) is not None

    def begin_add(self, array: Array) -> None:
        """Begin what `add` does, where `sums_beside`; `finish_adds` waits for it."""
        self._on_device(array).begin(array)

    def finish_adds(self) -> None:
        """Have the device's further work wait for the sums that were begun."""
        if self._device_sums is not None:
            self._device_sums.finish()

    def add_part(self, array: Array) -> slice:
        """Sum a flat array over the processes; each has the sums of one part of it.

        The rest of the array holds anything. The part is `flat_part` of its length.
        """
        place = self.flat_part(array.shape[0])
        if self.size == 1:
            return place
        device = None if isinstance(array, np.ndarray) else self._on_device(array)
        if device is None or self.shards is not None:
            self._add_part_host(array)
        else:
            device.add_part(array)
        return place

    def share_parts(self, array: Array) -> None:
        """Give each process' part of a flat array, `flat_part`, to all others, in place."""
        if self.size == 1:
            return
        device = None if isinstance(array, np.ndarray) else self._on_device(array)
        if device is not None:
            device.share_parts(array)
        else:
            self._share_parts_host(array)

    def _add_part_host(self, array: Array) -> None:
        self.add(array)  # so that the bits are those of `add`, however many they are

    def _share_parts_host(self, array: Array) -> None:
        place, length = self.flat_part(array.shape[0]), -(-array.shape[0] // self.size)
        own = np.zeros(length, to_numpy(array[:0]).dtype)
        own[: place.stop - place.start] = to_numpy(array[place])
        found = np.empty((self.size, length), own.dtype)
        self._meet("share_parts", own.nbytes)
        self._wait(self._start_gather(own, found), "share_parts")
        array[...] = backend_of(array).asarray(found.reshape(-1)[: array.shape[0]])

    def flat_part(self, size: int, rank: int | None = None) -> slice:
        """The part of a flat buffer of so many elements that is a process': by default this one's.

        All are of one length, but that the last ones may have less.
        """
        rank, length = self.rank if rank is None else rank, -(-size // self.size)
        return slice(min(rank * length, size), min((rank + 1) * length, size))

    def _on_device(self, array: Array) -> Any:
        """What sums arrays on their device; None where that goes by way of the host."""
        if backend_of(array).name.partition(":")[0] != "cupy":
            return None
        if self._device_sums is None:
            from nnfs_xp.distributed.nccl import DeviceSums

            self._device_sums = DeviceSums(self, backend_of(array).device.id)
        return self._device_sums

    def broadcast(self, value: Any) -> Any:
        """What rank 0 has, in all processes: any Python object, arrays of NumPy in it."""
        if self.size == 1:
            return value
        data = np.frombuffer(_packed(value) if self.rank == 0 else b"", np.uint8).copy()
        length = np.array([data.size], np.int64)
        self._meet("broadcast", 0)
        self._wait(self._start_broadcast(length), "broadcast")
        if self.rank:
            data = np.empty(int(length[0]), np.uint8)
        self._wait(self._start_broadcast(data), "broadcast")
        return value if self.rank == 0 else _unpacked(data)

    def on_rank_0(self, action: Callable[[], Any]) -> Any:
        """What an action of rank 0 returns, in all processes; or the error of this library.

        Raises
        ------
        NnfsError
            In all processes, where rank 0 raised it.
        """
        result, error = None, None
        if self.rank == 0:
            try:
                result = action()
            except NnfsError as raised:
                if self.size == 1:
                    raise
                error = raised
        result, told = self.broadcast((result, error))
        if told is not None:
            raise told if error is None else error
        return result

    def broadcast_into(self, array: np.ndarray[Any, Any]) -> None:
        """Write rank 0's array into those of the others: one of NumPy, contiguous."""
        if self.size > 1:
            self._meet("broadcast", array.nbytes)
            self._wait(self._start_broadcast(array.reshape(-1)), "broadcast")

    def gather(self, value: Any) -> list[Any]:
        """What each process has, in the order of their ranks: any Python object."""
        if self.size == 1:
            return [value]
        data = np.frombuffer(_packed(value), np.uint8)
        lengths = np.empty((self.size, 1), np.int64)
        self._meet("gather", 0)
        self._wait(self._start_gather(np.array([data.size], np.int64), lengths), "gather")
        own = np.zeros(int(lengths.max()), np.uint8)
        own[: data.size] = data
        found = np.empty((self.size, own.size), np.uint8)
        self._wait(self._start_gather(own, found), "gather")
        return [_unpacked(row[: int(n)]) for row, n in zip(found, lengths[:, 0], strict=True)]

    def agree(self, *numbers: float) -> tuple[float, ...]:
        """The largest of each number over the processes: so all decide alike.

        Yes is 1, and no is 0: what one process wants, all do.
        """
        if self.size == 1:
            return numbers
        largest = np.array(numbers, np.float64)
        self._meet("agree", largest.size)
        self._wait(self._start_largest(largest), "agree")
        return tuple(largest.tolist())

    def settle(self) -> None:
        """Wait until the device has done what it was asked to, or another process fails.

        Before its values are read: a device whose sums wait for a process that failed never ends.
        """
        if self._device_sums is not None:
            self._wait(self._device_sums.idle(), "settle")

    def compare(self, **facts: Any) -> None:
        """Refuse to go on where a process has other facts than rank 0.

        Raises
        ------
        DistributedError
            In all processes; it names the first rank that differs, and what differs.
        """
        if self.size == 1:
            return
        first, *others = self.gather({name: repr(value) for name, value in facts.items()})
        for rank, other in enumerate(others, 1):
            for name in first | other:
                if first.get(name) != other.get(name):
                    raise DistributedError(
                        f"rank {rank} of {self.size} has another {name.replace('_', ' ')} than "
                        f"rank 0: {_checks.shown(other.get(name, 'none'))}, not "
                        f"{_checks.shown(first.get(name, 'none'))}. All must be the same."
                    )

    def part(self, n: int, *, of: int | None = None, rank: int | None = None) -> slice:
        """The rows of a batch of n that this process works on: the first ranks have one more.

        Of a flat buffer, which is cut into parts of one length, see `flat_part`.

        Parameters
        ----------
        n : int
        of, rank : int, optional
            Ask for the part of that number, where the batch is cut into so many. By default there
            is a part for each process, and this one's is asked for.

        Returns
        -------
        slice
            Empty where there are more processes than rows.
        """
        parts = self.size if of is None else of
        number = self.rank if rank is None else rank
        if self.shards is not None and of is None:  # what its shards take
            each = self.shards // self.size
            begin = self.part(n, of=self.shards, rank=number * each).start
            end = self.part(n, of=self.shards, rank=(number + 1) * each - 1).stop
            return slice(begin, end)
        rows, more = divmod(n, parts)
        start = number * rows + min(number, more)
        return slice(start, start + rows + (number < more))

    def abort(self, reason: str) -> None:
        """Tell the others that this process cannot go on: they raise, with the reason."""

    def fail(self, error: BaseException) -> None:
        """Tell the others of an error that is about to be raised here; return when they know."""

    @contextmanager
    def together(self) -> Iterator[None]:
        """What the processes do together: where one fails, the others are told."""
        try:
            yield
        except BaseException as error:
            self.fail(error)
            raise

    def note_recorder(self, recorder: Recording) -> None:
        """Note who records steps with sums in them: they are to go before the connections do."""
        if self.size > 1:
            self._recorders.add(recorder)

    def close(self) -> None:
        """End the connections: nothing can be done in the group any more.

        Called again, it does nothing.
        """
        self._close_devices()

    def _close_devices(self, *, now: bool = False) -> None:
        for recorder in list(self._recorders):
            if now:
                recorder.let_go()
            else:
                recorder.forget()
        if self._device_sums is not None:
            self._device_sums.close(now=now)
            self._device_sums = None

    def __enter__(self) -> Group:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        if error is None:
            self.close()
        else:
            self.fail(error)

    # Processes are no part of a model: a copy of a trainer is in the same group.
    def __deepcopy__(self, memo: dict[int, Any]) -> Group:
        return self

    def __reduce__(self) -> Any:
        if type(self) is Group:
            return _alone, (self.timeout, self.shards)
        raise ArgumentError(f"{self!r} cannot be pickled: it is this process' place among others.")


ALONE = Group()
"""A process that trains alone."""


def local_backend(backend: str | Backend, group: Group) -> Backend:
    """The backend of that name; of several processes on one machine, each has a GPU of its own."""
    found = get_backend(backend)
    if group.size == 1 or backend not in ("auto", "cupy") or found.name != "cupy":
        return found
    n_devices = import_module("cupy").cuda.runtime.getDeviceCount()
    return get_backend(f"cupy:{group.local_rank % n_devices}")  # 1 where each sees its own alone


def _alone(timeout: float, shards: int | None) -> Group:
    return Group(timeout=timeout, shards=shards)


def _packed(value: Any) -> bytes:
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _unpacked(data: np.ndarray[Any, Any]) -> Any:
    return pickle.loads(data.tobytes())  # noqa: S301 # what another process of this training sent
