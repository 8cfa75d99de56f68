"""What the launcher of several processes tells this one in its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

_STARTED = ("PMI_SIZE", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE")
"""Environment variables of a process that MPI's launchers started."""

_RANKS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")


def is_started(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher of MPI started this process, alone or among others."""
    return any(name in environment for name in _STARTED)


def told_size(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes the launcher says that it started; 1 where it does not say."""
    names = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
    return max([1, *(int(n) for name in names if (n := environment.get(name, "")).isdecimal())])


def told_rank(environment: Mapping[str, str] = os.environ) -> int:
    """The rank that the launcher says this process has; 0 where it does not say."""
    found = (environment.get(name, "") for name in _RANKS)
    return next((int(rank) for rank in found if rank.isdecimal()), 0)
