"""Where arrays live: the array libraries behind one small class, their discovery and selection.

This room and the host-side rooms are the only ones that name array libraries; each library is
imported when it is asked for.
"""

from nnfs_xp.backend.base import Backend, Memory
from nnfs_xp.backend.discovery import (
    available_backends,
    backend_of,
    get_backend,
    register_backend,
    usable_backends,
)
from nnfs_xp.backend.generator import host_generator
from nnfs_xp.backend.registry import is_array, to_numpy
from nnfs_xp.backend.sparse import SparseArray, as_dense

__all__ = [
    "Backend",
    "Memory",
    "SparseArray",
    "as_dense",
    "available_backends",
    "backend_of",
    "get_backend",
    "host_generator",
    "is_array",
    "register_backend",
    "to_numpy",
    "usable_backends",
]
