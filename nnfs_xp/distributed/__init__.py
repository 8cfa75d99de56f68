"""Training in several processes: on one machine, on a cluster by MPI, in a cloud by Ray.

A group of processes is handed to `Trainer`. Alone it does nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nnfs_xp.distributed.discovery import available_groups, group
from nnfs_xp.distributed.group import Group
from nnfs_xp.distributed.share import Share
from nnfs_xp.errors import DistributedError

if TYPE_CHECKING:
    from nnfs_xp.distributed.mpi import MPIGroup
    from nnfs_xp.distributed.ray import RayGroup
    from nnfs_xp.distributed.ray_run import run_on_ray

__all__ = [
    "DistributedError",
    "Group",
    "MPIGroup",
    "RayGroup",
    "Share",
    "available_groups",
    "group",
    "run_on_ray",
]

_LATER = {"MPIGroup": "mpi", "RayGroup": "ray", "run_on_ray": "ray_run"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
