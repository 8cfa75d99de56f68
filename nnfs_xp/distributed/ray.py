"""Groups on Ray: the workers of a Ray Train run, which is begun anew where one of them is lost."""

from __future__ import annotations

import importlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from typing import Any
from weakref import WeakSet

import numpy as np

from nnfs_xp import _checks
from nnfs_xp.distributed.ending import quiet
from nnfs_xp.distributed.group import Group
from nnfs_xp.errors import BackendError, DistributedError, NnfsError

_REMEDY = "pip install 'nnfs-xp[ray]'"

LONGEST = 1e9
"""Seconds that gloo can be told to wait."""

groups_here: WeakSet[RayGroup] = WeakSet()
"""Those of this process."""


class LostError(DistributedError):
    """Another worker is gone: Ray begins anew, and no input is to blame."""


def imported(name: str, called: str) -> Any:
    """The module of that name; importlib is asked, for this module has the name of Ray's."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise BackendError(f"{called} is not installed; {_REMEDY}") from None


def is_worker() -> bool:
    """Whether this process is a worker of a Ray Train run. Ray is not imported to find out.

    Returns
    -------
    bool
    """
    return _context() is not None


def _context() -> Any:
    """What Ray Train tells its workers; None in another process."""
    train = sys.modules.get("ray.train")
    if train is None:
        return None
    try:
        context = train.get_context()
        context.get_world_size()
    except (AttributeError, RuntimeError, DeprecationWarning):  # the last one within Ray Tune
        return None
    return context


class RayGroup(Group):
    """The workers of a Ray Train run; PyTorch's gloo sums arrays on the host, NCCL those of CuPy.

    `run_on_ray` makes one and hands it to the function. In a run of one's own, by Ray's
    ``TorchTrainer``, call `nnfs_xp.distributed.group` in each worker.

    Where a worker dies, the others raise `DistributedError` at their next call; Ray ends them all,
    and begins anew. So it does where a worker raises an error. Nobody looks whether all make the
    same call, which would take as long as the call, some 0.1 ms: where they do not, workers wait
    until `timeout` has passed, or end.

    Parameters
    ----------
    timeout, shards
        See `Group`.

    Raises
    ------
    BackendError
        PyTorch is not installed.
    DistributedError
        This process is no worker of a Ray Train run, or PyTorch's processes are not connected.
    ArgumentError
        A setting is out of its range.
    """

    name = "ray"

    def __init__(self, *, timeout: float = 600.0, shards: int | None = None) -> None:
        if not is_worker():
            if find_spec("ray") is None:
                raise BackendError(f"Ray is not installed; {_REMEDY}")
            raise DistributedError(
                "this process is no worker of a Ray Train run. Start the training with "
                "`nnfs_xp.distributed.run_on_ray`."
            )
        context = _context()
        super().__init__(
            rank=context.get_world_rank(),
            size=context.get_world_size(),
            local_rank=context.get_local_rank(),
            timeout=timeout,
            shards=shards,
        )
        quiet(self.rank)
        self._processes: Any = None
        self._lost: DistributedError | None = None
        if self.size == 1:
            return
        self._torch = imported("torch", "PyTorch")
        self._dist = dist = imported("torch.distributed", "PyTorch")
        if not (dist.is_available() and dist.is_initialized()):
            raise DistributedError(
                "PyTorch's processes are not connected: start the training with "
                "`nnfs_xp.distributed.run_on_ray`, or with Ray's TorchTrainer."
            )
        with self._explained("group"):
            seconds = timedelta(seconds=min(self.timeout, LONGEST))
            self._processes = dist.new_group(backend="gloo", timeout=seconds)
        groups_here.add(self)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Errors of gloo as those of this library."""
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, NnfsError):
                raise
            text = str(error).partition("\n")[0]
            self._lost = LostError(
                f"rank {self.rank} of {self.size} waited in `{what}`, and another worker ended, "
                f"or did not come within {self.timeout:g} s, or made another call: "
                f"{_checks.shown(text)}"
            )
            raise self._lost from error

    def _collective(self, begin: Callable[..., Any], *what: Any) -> Callable[[], bool]:
        """What is done when it is waited for: gloo has threads of its own, and its own timeout."""

        def done() -> bool:
            begin(*what, group=self._processes)
            return True

        return done

    def _tensor(self, array: np.ndarray[Any, Any]) -> Any:
        """The same memory, for PyTorch."""
        return self._torch.from_numpy(array)

    def _start_sum(self, array: np.ndarray[Any, Any]) -> Callable[[], bool]:
        dist = self._dist
        return self._collective(dist.all_reduce, self._tensor(array), dist.ReduceOp.SUM)

    def _start_largest(self, array: np.ndarray[Any, Any]) -> Callable[[], bool]:
        dist = self._dist
        return self._collective(dist.all_reduce, self._tensor(array), dist.ReduceOp.MAX)

    def _start_gather(
        self, array: np.ndarray[Any, Any], found: np.ndarray[Any, Any]
    ) -> Callable[[], bool]:
        own = self._tensor(array if array.flags.writeable else array.copy())
        return self._collective(self._dist.all_gather, list(self._tensor(found)), own)

    def _start_broadcast(self, array: np.ndarray[Any, Any]) -> Callable[[], bool]:
        return self._collective(self._dist.broadcast, self._tensor(array), 0)

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        if self._lost is not None:
            raise self._lost
        begin = time.monotonic()
        with self._explained(what):
            while not done():
                if time.monotonic() - begin > self.timeout:
                    raise RuntimeError("Timed out")
                time.sleep(0.0005)

    def abort(self, reason: str) -> None:
        """Close the connections of this process: the others raise, and Ray begins anew."""
        why = f"rank {self.rank} of {self.size} ended this: {reason}"
        logging.getLogger("nnfs_xp").error(why)
        self._end(why)

    def _end(self, why: str) -> None:
        if self._lost is None:
            self._lost = DistributedError(why)
        if self._processes is not None:
            processes, self._processes = self._processes, None
            self._dist.destroy_process_group(processes)

    def close(self) -> None:
        """See `Group.close`. What connects the hosts stays until the worker ends.

        The others may still read what this process has sent.
        """
        super().close()
        if self._lost is None:
            self._lost = DistributedError(
                "the group was closed; nothing can be done in it any more."
            )
