"""Groups of threads that stand in for processes: for tests of what trains in several."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from nnfs_xp import _checks
from nnfs_xp.distributed.group import Group
from nnfs_xp.distributed.watch import Message, WatchedGroup
from nnfs_xp.errors import DistributedError

Result = TypeVar("Result")


def fake_groups(n: int, *, timeout: float = 60.0, shards: int | None = None) -> list[Group]:
    """Groups of n threads of this process: one for each, which takes the place of a process.

    Sums, decisions, failures and time limits are as between processes. Sums are added up in the
    order of the ranks.

    Parameters
    ----------
    n : int
    timeout, shards
        See `nnfs_xp.distributed.Group`.

    Returns
    -------
    list of Group
        Hand each to one thread: see `in_threads`.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfs_xp.testing import fake_groups, in_threads
    >>> def total(group):
    ...     own = np.array([1.0 + group.rank])
    ...     group.add(own)
    ...     return own.tolist()
    >>> in_threads(fake_groups(3), total)
    [[6.0], [6.0], [6.0]]
    """
    n = _checks.check_count("n", n)
    board = _Board(n)
    return [
        FakeGroup(board, rank=rank, size=n, local_rank=rank, timeout=timeout, shards=shards)
        for rank in range(n)
    ]


def in_threads(groups: Sequence[Group], work: Callable[[Group], Result]) -> list[Result]:
    """Do the work in a thread for each group, all at once; what each returned, by rank.

    Raises
    ------
    BaseException
        What the first of the threads raised, by rank, once all have ended.
    """
    results: list[Any] = [None] * len(groups)
    errors: list[BaseException | None] = [None] * len(groups)

    def run(place: int) -> None:
        try:
            with groups[place].together():
                results[place] = work(groups[place])
        except BaseException as error:
            errors[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(groups))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = next((error for error in errors if error is not None), None)
    if first is not None:
        raise first
    return results


class _Call:
    """What the threads bring to one call, and whether all have."""

    def __init__(self, size: int) -> None:
        self.brought: list[Any] = [None] * size
        self.n = 0
        self.full = threading.Event()


class _Board:
    """Where the threads meet."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.lock = threading.Lock()
        self.calls: dict[int, _Call] = {}
        self.letters: list[list[Message]] = [[] for _ in range(size)]

    def bring(self, number: int, rank: int, what: Any) -> _Call:
        with self.lock:
            call = self.calls.setdefault(number, _Call(self.size))
            call.brought[rank] = what
            call.n += 1
            if call.n == self.size:
                call.full.set()
                del self.calls[number]  # those that wait have it
        return call


class FakeGroup(WatchedGroup):
    """The place of one thread among those that stand in for processes."""

    name = "fake"
    _spins = 0  # threads take turns, and would wait for the one that asks

    def __init__(self, board: _Board, **settings: Any) -> None:
        self.board = board
        self._begun = 0
        self._shares_device: bool | None = None
        super().__init__(_Letters(board, settings["rank"]), **settings)

    def _on_device(self, array: Any) -> Any:
        """What sums on devices; by way of the host where threads share one, which NCCL refuses."""
        if self._shares_device is None:
            places = self.gather(str(getattr(array, "device", "")))
            self._shares_device = len(set(places)) < self.size
        return None if self._shares_device else super()._on_device(array)

    def bring(self, what: Any, take: Callable[[list[Any]], None]) -> Callable[[], bool]:
        """Bring something to the next call; `take` is handed what all brought, once."""
        call = self.board.bring(self._begun, self.rank, what)
        self._begun += 1
        taken = False

        def done() -> bool:
            nonlocal taken
            if not call.full.wait(0.0005):
                return False
            if not taken:
                taken = True
                take(call.brought)
            return True

        return done

    def _start_sum(self, array: np.ndarray[Any, Any]) -> Callable[[], bool]:
        def take(brought: list[Any]) -> None:
            array[...] = sum(brought[1:], brought[0])

        return self.bring(array.copy(), take)

    def _start_largest(self, array: np.ndarray[Any, Any]) -> Callable[[], bool]:
        def take(brought: list[Any]) -> None:
            array[...] = np.max(brought, axis=0)

        return self.bring(array.copy(), take)

    def _start_gather(
        self, array: np.ndarray[Any, Any], found: np.ndarray[Any, Any]
    ) -> Callable[[], bool]:
        def take(brought: list[Any]) -> None:
            found[...] = brought

        return self.bring(array.copy(), take)

    def _start_broadcast(self, array: np.ndarray[Any, Any]) -> Callable[[], bool]:
        def take(brought: list[Any]) -> None:
            array[...] = brought[0]

        return self.bring(array.copy(), take)

    def _meet(self, what: str, size: int) -> None:
        calls: list[Any] = []
        self._wait(self.bring((what, size), calls.extend), what)
        rank = next((rank for rank, call in enumerate(calls) if call != calls[0]), None)
        if rank is not None:
            self.is_broken = True
            self._ended = DistributedError(
                f"rank {rank} of {self.size} makes another call than rank 0: {calls[rank]}, not "
                f"{calls[0]}. All must make the same calls, with arrays of one size."
            )
            raise self._ended


class _Letters:
    """Messages between the threads."""

    def __init__(self, board: _Board, rank: int) -> None:
        self._board = board
        self._rank = rank

    def send(self, rank: int, message: Message) -> None:
        self._board.letters[rank].append(message)

    def receive(self) -> list[Message]:
        mine = self._board.letters[self._rank]
        return [mine.pop(0) for _ in range(len(mine))]
