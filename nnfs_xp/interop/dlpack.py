"""Arrays of other libraries in the same memory, by DLPack: no copy, or an error.

Source: the array API standard 2024.12, "Data interchange mechanisms".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, get_backend
from nnfs_xp.errors import BackendError, DTypeError, NnfsError

_CPU, _CUDA, _CUDA_HOST, _ROCM_HOST, _CUDA_MANAGED = 1, 2, 3, 11, 13
_ON_HOST = (_CPU, _CUDA_HOST, _ROCM_HOST, _CUDA_MANAGED)
"""The kinds of memory, by DLPack's numbers, that the CPU reaches."""

_KINDS = {_CPU: "the CPU", _CUDA: "CUDA GPU", 8: "Metal GPU", 10: "ROCm GPU"}


def from_dlpack(array: Any, backend: str | Backend = "auto") -> Array:
    """Make any library's array an array of a backend, in the same memory, without a copy.

    Parameters
    ----------
    array : object with ``__dlpack__``
        Of NumPy, PyTorch, JAX, CuPy or another library.
    backend : str or Backend
        ``"auto"`` is that of `get_backend` if it reaches the memory, else NumPy for memory of
        the CPU, CuPy for that of a CUDA GPU.

    Returns
    -------
    array
        What is written to the one is read in the other. JAX's arrays cannot be written to: they
        become read-only NumPy arrays.

    Raises
    ------
    BackendError
        The memory is on a device that the backend does not reach, or laid out as the
        backend's arrays cannot be (read-only or backwards, for PyTorch): `Backend.asarray` copies.
    DTypeError
        The object is no array, or the backend has no such data type.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfs_xp.interop.dlpack import from_dlpack
    >>> theirs = np.zeros(3)
    >>> ours = from_dlpack(theirs, "numpy")
    >>> ours[0] = 7.0
    >>> float(theirs[0])
    7.0
    """
    if not hasattr(array, "__dlpack__") or not hasattr(array, "__dlpack_device__"):
        raise DTypeError(
            f"expected an array with __dlpack__; got {type(array).__name__}. "
            "get_backend(...).asarray takes lists, numbers and anything that NumPy does."
        )
    _check_meaning(array)
    where = _place(array)
    target = _automatic(where) if backend == "auto" else get_backend(backend)
    if not _reaches(target, where):
        raise BackendError(
            f"{target.name} does not reach the memory of this {type(array).__name__}, which is on "
            f"{_KINDS.get(where[0], f'a device of kind {where[0]}')}, number {where[1]}. Name the "
            f"backend of that device, or copy: get_backend({target.name!r}).asarray(array)."
        )
    if target.name.partition(":")[0] == "torch":
        _check_for_torch(array, where, target)
    shared = _taken(array, target)
    if not target.xp.isdtype(shared.dtype, ("bool", "integral", "real floating")):
        raise DTypeError(f"expected real numbers; got {shared.dtype}.")
    return shared


def _check_meaning(array: Any) -> None:
    """Refuse arrays whose values are not those in the memory: DLPack hands over that alone."""
    if isinstance(array, np.ma.MaskedArray):
        raise BackendError("a masked array would lose its mask. Hand over its filled(...).")
    is_negated = getattr(array, "is_neg", None)  # a tensor of PyTorch has it
    if callable(is_negated) and is_negated():
        raise BackendError(
            "this tensor is negated without having changed its memory. Hand over its resolve_neg()."
        )


def _taken(array: Any, target: Backend) -> Array:
    plain = type(array) is np.ndarray and array.dtype.isnative and array.dtype.kind in "biuf"
    if plain and target.name == "numpy":
        own: Array = array
        return own  # by DLPack it would be read-only before NumPy 2.2
    try:
        with target.active():
            shared: Array = target.xp.from_dlpack(array)
    except Exception as error:  # whatever a library raises for what it cannot share
        if getattr(array, "requires_grad", False):
            raise BackendError(
                "this is a tensor whose gradients PyTorch tracks. Hand over its detach()."
            ) from None
        text = shown(error).rstrip(".")
        kind = DTypeError if "dtype" in text or "byte order" in text else BackendError
        raise kind(
            f"{target.name} cannot take over this {type(array).__name__} of "
            f"{getattr(array, 'dtype', 'unknown type')}: {text}."
        ) from error
    return shared


def _place(array: Any) -> tuple[int, int]:
    """DLPack's numbers for the kind of memory and for the device."""
    try:
        kind, number = map(int, array.__dlpack_device__())
    except Exception as error:  # whatever a library raises for what it cannot share
        raise BackendError(
            f"this {type(array).__name__} cannot be shared: {shown(error)}."
        ) from error
    return kind, number


def _reaches(backend: Backend, where: tuple[int, int]) -> bool:
    own = _place(backend.xp.empty(0, device=backend.device))
    if own[0] == _CPU:
        return where[0] in _ON_HOST
    return own == where or (own[0] == _CUDA and where == (_CUDA_MANAGED, own[1]))


def _automatic(where: tuple[int, int]) -> Backend:
    chosen = get_backend("auto")
    if _reaches(chosen, where):
        return chosen
    if where[0] == _CUDA:
        try:
            return get_backend(f"cupy:{where[1]}" if where[1] else "cupy")
        except NnfsError as error:
            raise BackendError(f"the array is on a CUDA GPU, and {error}") from None
    return get_backend("numpy")


def _check_for_torch(array: Any, where: tuple[int, int], target: Backend) -> None:
    """Refuse memory of the CPU, known to NumPy, that is read-only or runs backwards.

    PyTorch would write to read-only memory, and end the process at a negative stride.
    """
    if where[0] not in _ON_HOST or isinstance(array, target.array_type):
        return
    view = _taken(array, get_backend("numpy"))
    if not view.flags.writeable:  # type: ignore[attr-defined] # an ndarray
        lacks = "is read-only, and PyTorch's tensors never are"
    elif any(stride < 0 for stride in view.strides):  # type: ignore[attr-defined] # an ndarray
        lacks = "runs backwards through its memory, and PyTorch's tensors never do"
    else:
        return
    raise BackendError(
        f"this {type(array).__name__} {lacks}. Copy: get_backend({target.name!r}).asarray(array)."
    )
