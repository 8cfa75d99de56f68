"""Waiting for other processes, with an ear for those that fail, end, or do not come."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from nnfs_xp._checks import shown
from nnfs_xp.distributed.group import Group
from nnfs_xp.errors import DistributedError, NnfsError

_SPINS = 200
"""So often is asked without a pause whether all have come; then others may use the processor."""

_LISTEN = 0.002
"""Seconds from one look for messages to the next."""

_GENTLE = 0.05
"""After so many seconds of waiting, the processor is left to others in between."""

_ANSWER = 1.0
"""Seconds that a process that failed waits to hear from the others."""

_yield: Any = getattr(os, "sched_yield", lambda: time.sleep(0))
"""Leaves the processor to a process that waits for it, if any does."""

_TOLD = "_nnfs_xp_told_by_rank_0"
_MOST = 2000
"""Characters of a reason: so long a message arrives without the other process' doing anything."""


class Message(NamedTuple):
    """What a process tells the others beside their common calls.

    Attributes
    ----------
    rank : int
        Whose it is.
    kind : {"failed", "left", "waits"}
        It raised an error, it came to its end, or it waits for the others.
    calls : int
        How many calls it had made with them, to their end.
    broken : bool
        Whether it gave one up.
    text : str
        The error, or what it waits in.
    trace : str
        Where the error came from.
    """

    rank: int
    kind: str
    calls: int
    broken: bool
    text: str
    trace: str = ""


class Post(Protocol):
    """How messages travel."""

    def send(self, rank: int, message: Message) -> None:
        """Send it; return at once."""

    def receive(self) -> list[Message]:
        """Those that have come since the last time."""


class WatchedGroup(Group):
    """Several processes that tell each other when one fails; subclasses start sums, and the post.

    Parameters
    ----------
    post : Post
    **settings
        Those of `Group`.

    Attributes
    ----------
    is_broken : bool
        Whether a process went its own way, so that the others can never meet it again.
    """

    _spins = _SPINS

    def __init__(self, post: Post, **settings: Any) -> None:
        super().__init__(**settings)
        self._post = post
        self._calls = 0
        self._gone: dict[int, Message] = {}  # failed or left
        self._waiting: dict[int, Message] = {}
        self._ended: DistributedError | None = None
        self.is_broken = False
        self._closed = False

    def _others(self) -> list[int]:
        return [rank for rank in range(self.size) if rank != self.rank]

    def _tell(self, kind: str, text: str, trace: str = "") -> None:
        state = self._calls, self.is_broken
        message = Message(self.rank, kind, *state, shown(text, _MOST), trace[-2 * _MOST :])
        for rank in self._others():
            self._post.send(rank, message)

    def _listen(self) -> None:
        for message in self._post.receive():
            if message.kind == "waits":
                self._waiting[message.rank] = message
            else:
                self._gone.setdefault(message.rank, message)

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        if self._closed:
            raise DistributedError("the group was closed; nothing can be done in it any more.")
        if self._ended is not None:
            raise self._ended
        try:
            self._wait_until(done, what)
            self._calls += 1
        except BaseException as error:
            self.is_broken = True  # what was begun never ends
            self._close_devices(now=True)  # so that the device waits no longer either
            if isinstance(error, DistributedError):
                self._ended = error
            raise

    def _wait_until(self, done: Callable[[], bool], what: str) -> None:
        for _ in range(self._spins):
            if done():
                return
        begin = time.monotonic()
        heard, told = begin, False
        while not done():
            now = time.monotonic()
            if now - heard >= _LISTEN:
                heard = now
                self._listen()
                if self._is_vain and not done():
                    raise self._why()
            if now - begin > min(1.0, self.timeout / 2) and not told:
                told = True
                self._tell("waits", what)
            if now - begin > self.timeout:
                raise DistributedError(self._late(what))
            if now - begin > _GENTLE:
                time.sleep(0.0005)
            else:
                _yield()

    @property
    def _is_vain(self) -> bool:
        """Whether a process never comes to the call at hand; one that left may have made it."""
        return any(each.calls <= self._calls for each in self._gone.values())

    def _why(self) -> DistributedError:
        """The error where there is nobody to wait for."""
        failed = [each for each in self._gone.values() if each.kind == "failed"]
        first = min(failed or self._gone.values(), key=lambda each: (each.broken, each.rank))
        if first.kind == "left":
            return DistributedError(
                f"rank {first.rank} of {self.size} came to its end while the others still train. "
                "All must make the same calls."
            )
        error = DistributedError(f"rank {first.rank} of {self.size} failed: {first.text}")
        if first.trace:
            error.add_note(first.trace)
        return error

    def _late(self, what: str) -> str:
        here = {rank for rank, each in self._waiting.items() if each.calls >= self._calls}
        late = [rank for rank in self._others() if rank not in here] or self._others()
        names = "rank" if len(late) == 1 else "ranks"
        return (
            f"{names} {', '.join(map(str, late))} of {self.size} did not come to `{what}` within "
            f"{self.timeout:g} s, where rank {self.rank} waits. Is it stuck, or does it make other "
            "calls?"
        )

    def abort(self, reason: str) -> None:
        self._tell("failed", reason)
        self.is_broken = True
        self._ended = DistributedError(f"rank {self.rank} of {self.size} ended this: {reason}")

    def fail(self, error: BaseException) -> None:
        if self._closed or self.size == 1 or hasattr(error, _TOLD):
            return
        setattr(error, _TOLD, False)
        ours = isinstance(error, DistributedError) and error is self._ended
        text = str(error) if ours else f"{type(error).__name__}: {error}".rstrip(": ")
        expected = isinstance(error, (NnfsError, KeyboardInterrupt, SystemExit))
        trace = "" if expected else "".join(traceback.format_exception(error))
        self._tell("failed", text, trace)
        # Who waited for the others knows already that one of them does not answer.
        deadline = time.monotonic() + (_ANSWER / 2 if ours else _ANSWER)
        while len(self._gone) < self.size - 1 and time.monotonic() < deadline:
            self._listen()
            time.sleep(0.001)
        if len(self._gone) < self.size - 1:
            self.is_broken = True  # somebody goes on, and will wait for this process
        elif not self.is_broken and all(
            each.kind == "failed" and not each.broken and each.calls == self._calls
            for each in self._gone.values()
        ):
            self._gone.clear()  # all failed at one place: they may go on from there
        else:
            self.is_broken = True
        if self.is_broken:
            self._close_devices(now=True)
        if self.is_broken and not self.rank and isinstance(error, SystemExit):
            sys.stderr.write(f"nnfs_xp: error: rank 0 of {self.size} failed: {text}\n")
        heard = 0 in self._gone and self._gone[0].kind == "failed"  # who left says nothing more
        knows = self.rank == 0 or heard or not self.is_broken
        if self.rank and knows:
            told(error)

    def close(self) -> None:
        if self._closed:
            return
        self._close_devices(now=self.is_broken)
        self._closed = True
        if not self.is_broken:
            self._tell("left", "")


def told(error: BaseException) -> None:
    """Note that rank 0 says it."""
    setattr(error, _TOLD, True)


def is_told(error: BaseException) -> bool:
    """Whether rank 0 says it, so that this process need not."""
    return bool(getattr(error, _TOLD, False))
