"""What processes that train together decide as one: callbacks that fail, folders that all see."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any, NoReturn

from nnfs_xp.distributed import Group
from nnfs_xp.errors import CheckpointError, DistributedError
from nnfs_xp.interop.paths import shown_path
from nnfs_xp.training.callbacks import Callback, Training


class Accord:
    """Calls callbacks, and keeps what they raise until all processes know of it.

    Parameters
    ----------
    group : Group
    callbacks : sequence of Callback
        Those that this process calls.
    """

    def __init__(self, group: Group, callbacks: Sequence[Callback]) -> None:
        self._group = group
        self.callbacks = callbacks
        self._error: Exception | None = None

    @property
    def failed(self) -> bool:
        """Whether a callback of this process raised."""
        return self._error is not None

    def call(self, hook: str, training: Training, *arguments: Any) -> None:
        """Call a hook of each, also where one before it raised."""
        for callback in self.callbacks:
            try:
                getattr(callback, hook)(training, *arguments)
            except Exception as error:
                self._error = self._error or error

    def raise_failure(self) -> NoReturn:
        """Raise what a callback raised; in the other processes, who failed and how.

        Raises
        ------
        Exception
        """
        error, self._error = self._error, None
        told = None
        if error is not None:
            text = f"{type(error).__name__}: {error}"
            told = text, "".join(traceback.format_exception(error))
        found = self._group.gather(told)
        if error is not None:
            raise error
        rank, (text, trace) = next((n, each) for n, each in enumerate(found) if each is not None)
        failure = DistributedError(f"rank {rank} of {self._group.size} failed: {text}")
        failure.add_note(trace)
        raise failure


def check_seen_by_all(group: Group, folder: Path) -> None:
    """Refuse a folder, which rank 0 has made, that another process does not see.

    Raises
    ------
    CheckpointError
        In all processes.
    """
    if group.size == 1:
        return
    mark = folder / f".{token_hex(8)}.tmp"  # which `Checkpoints.open` clears away after a kill
    try:
        if group.rank == 0:
            mark.touch()
        name = group.broadcast(mark.name)
        sees = group.gather((folder / name).exists())
    finally:
        if group.rank == 0:
            mark.unlink(missing_ok=True)
    if not all(sees):
        blind = ", ".join(str(rank) for rank, seen in enumerate(sees) if not seen)
        raise CheckpointError(
            f"rank 0 keeps checkpoints in {shown_path(folder)}, which rank {blind} does not see: a "
            "training that goes on elsewhere would not find them. Name a folder that all "
            "machines share."
        )
