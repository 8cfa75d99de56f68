"""How a process of several ends: told once, and none is waited for that never comes."""

from __future__ import annotations

import atexit
import logging
import sys
from collections.abc import Callable
from typing import Any

from nnfs_xp.distributed.launched import told_rank
from nnfs_xp.distributed.watch import WatchedGroup, is_told, told
from nnfs_xp.errors import DistributedError


def at_ends_of(group: WatchedGroup, end_job: Callable[[], None]) -> None:
    """See to it that the others know when this process ends, and how.

    Parameters
    ----------
    group : WatchedGroup
    end_job : callable ()
        Ends all processes; called at the end where they can never meet again.
    """

    def leave() -> None:
        if group.is_broken:
            end_job()
        group.close()

    atexit.register(leave)
    before: Any = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        group.fail(error)
        if is_told(error):
            return
        if isinstance(error, DistributedError):
            notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
            print(f"nnfs_xp: error: {error}{notes}", file=sys.stderr)  # noqa: T201 # the last word
        else:
            before(kind, error, trace)

    sys.excepthook = hook


def quiet(rank: int) -> None:
    """Have the log of this process leave out what rank 0 says, too: all but warnings."""
    if rank:
        logging.getLogger("nnfs_xp").addFilter(lambda record: record.levelno >= logging.WARNING)


def say_once(error: BaseException) -> None:
    """Have an error that all processes raise, before they are a group, told by rank 0 alone."""
    if told_rank() == 0:
        return
    told(error)
    before: Any = sys.excepthook

    def hook(kind: type[BaseException], found: BaseException, trace: Any) -> None:
        if not is_told(found):
            before(kind, found, trace)

    sys.excepthook = hook
