"""The numeric parts: their specification, and faster ones for some backends.

`nnfs_xp.kernels.standard.Kernels` names them all, written with the array API standard alone. A set
overrides those that it does better. A backend chooses its set once: see `for_numpy`, `for_cupy` and
`for_torch`.
"""

from __future__ import annotations

import logging
import os

from nnfs_xp.errors import BackendError
from nnfs_xp.kernels.numpy import NumPyKernels, keep_memory
from nnfs_xp.kernels.standard import Kernels, StandardKernels

_log = logging.getLogger("nnfs_xp")

ENVIRONMENT = "NNFS_XP_KERNELS"


def for_numpy(*, loads_numba: bool = True) -> Kernels:
    """The kernels for NumPy's arrays.

    They are compiled by Numba where it is installed, else written with NumPy. The environment
    variable ``NNFS_XP_KERNELS`` names another set: ``numba``, ``numpy`` or ``standard``.

    Parameters
    ----------
    loads_numba : bool
        False where Numba would take longer to load than it is worth; named in the variable, it is
        loaded all the same.

    Raises
    ------
    BackendError
        The variable names no set of kernels, or Numba, asked for by name, cannot be used.
    """
    wanted = _wanted()
    keep_memory()
    if wanted == "numba" or (loads_numba and not wanted):
        try:
            from nnfs_xp.kernels.numba import NumbaKernels

            return NumbaKernels()
        except Exception as error:  # Numba that does not fit NumPy raises ImportError and others
            missing = isinstance(error, ModuleNotFoundError) and error.name == "numba"
            reason = f"{type(error).__name__}: {error}"
            if missing:
                reason = "it is not installed; pip install 'nnfs-xp[numba]'"
            if wanted:
                raise BackendError(f"{ENVIRONMENT}=numba: {reason}") from error
            _log.log(
                logging.DEBUG if missing else logging.WARNING, "no kernels of Numba: %s", reason
            )
    if wanted == "standard":
        return StandardKernels()
    return NumPyKernels()


def for_cupy() -> Kernels:
    """The kernels for CuPy's arrays: in CUDA C++ and cuBLASLt.

    Where ``NNFS_XP_KERNELS`` is ``standard``, they are those of the specification.
    """
    if _wanted() == "standard":
        return StandardKernels()
    from nnfs_xp.kernels.cupy import CuPyKernels

    return CuPyKernels()


def for_torch() -> Kernels:
    """The kernels for PyTorch's tensors: its own convolutions, without its differentiation.

    Where ``NNFS_XP_KERNELS`` is ``standard``, they are those of the specification.
    """
    if _wanted() == "standard":
        return StandardKernels()
    from nnfs_xp.kernels.torch import TorchKernels

    return TorchKernels()


def _wanted() -> str:
    wanted = os.environ.get(ENVIRONMENT, "").strip()
    if wanted not in ("", "numba", "numpy", "standard"):
        raise BackendError(
            f"{ENVIRONMENT} must be 'numba', 'numpy', 'standard' or empty; got {wanted!r}."
        )
    return wanted
