"""Checks at the public edge. None reads an array's values, so none waits for the device."""

from __future__ import annotations

from operator import index
from reprlib import Repr
from typing import Any

from nnfs_xp._typing import Array, DType
from nnfs_xp.backend import Backend, backend_of
from nnfs_xp.errors import ArgumentError, BackendError, DTypeError, ShapeError

_REPR = Repr()
_REPR.maxdict = _REPR.maxlist = _REPR.maxtuple = 16
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 100


def check_batch(
    name: str,
    array: Array,
    backend: Backend | None = None,
    dtype: DType | None = None,
    n_features: int | None = None,
) -> Backend:
    """Refuse what is no batch of floating-point samples; return the backend of what is.

    Parameters
    ----------
    name : str
        What the caller calls the array.
    array : array, expected to have shape (batch, ...), batch at least 1
    backend : Backend, optional
        Where it must live.
    dtype : data type, optional
        What it must hold; by default any floating type.
    n_features : int, optional
        The shape must then be (batch, n_features).
    """
    if backend is None:
        backend = backend_of(array)
    elif not backend.owns(array):
        other = backend_of(array)
        if other == backend:
            raise BackendError(
                f"`{name}` is a tensor whose gradients PyTorch tracks. Hand over its detach()."
            )
        raise BackendError(
            f"`{name}` must be on {backend.name}; got an array on {other.name}. "
            f"Move it with get_backend({backend.name!r}).asarray({name}), or move the layer "
            f"with .to({other.name!r})."
        )
    if dtype is None:
        if not backend.is_floating(array.dtype):
            raise DTypeError(
                f"`{name}` must have a floating dtype; got {array.dtype}. Convert it first."
            )
    elif array.dtype != dtype:
        raise DTypeError(
            f"`{name}` must have dtype {dtype}; got {array.dtype}. Convert it, or build the "
            "layer with dtype='float64'."
        )
    shape = array.shape
    if n_features is not None:
        if len(shape) != 2 or shape[1] != n_features:
            _refuse_features(name, tuple(shape), n_features)
    elif len(shape) < 2:
        raise ShapeError(
            f"`{name}` must have shape (batch, features); got {tuple(shape)}. "
            "For one sample, add the batch axis: shape (1, features)."
        )
    if 0 in shape:
        raise ShapeError(f"`{name}` is empty: shape {tuple(shape)}. At least 1 sample is needed.")
    return backend


def _refuse_features(name: str, shape: tuple[int, ...], n_features: int) -> None:
    hint = ""
    if shape == (n_features,):
        hint = f" For one sample, add the batch axis: shape (1, {n_features})."
    elif len(shape) == 2 and shape[0] == n_features:
        hint = " Did you mean to transpose?"
    raise ShapeError(f"`{name}` must have shape (batch, {n_features}); got {shape}.{hint}")


def check_dtype(dtype: str) -> str:
    """Refuse what names no data type that parameters can have; return the name."""
    if str(dtype) not in ("float32", "float64"):  # so np.dtype("float32") will do
        raise ArgumentError(f"`dtype` must be 'float32' or 'float64'; got {dtype!r}.")
    return str(dtype)


def check_count(name: str, value: object, *, least: int = 1) -> int:
    """Refuse what is no whole number of at least `least`."""
    try:
        count = least - 1 if isinstance(value, bool) else index(value)  # type: ignore[arg-type] # it raises
    except TypeError:
        count = least - 1
    if count < least:
        raise ArgumentError(f"`{name}` must be a whole number of at least {least}; got {value!r}.")
    return count


def shown(value: object, most: int = 200) -> str:
    """What came from a file, for a message: on one line, printable, and not long."""
    text = str(value) if isinstance(value, (str, Exception)) else _REPR.repr(value)
    text = text if len(text) <= most else f"{text[:most]}…"
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def pair_of(name: str, value: Any) -> tuple[Any, Any]:
    """Refuse what is no pair."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ArgumentError(f"`{name}` must be a pair; got {type(value).__name__}.")
    return value[0], value[1]


def check_range(
    name: str, value: float, low: float, high: float = float("inf"), *, open_low: bool = False
) -> float:
    """Refuse a number outside [low, high), or (low, high) with `open_low`."""
    try:
        number = float(value)
        inside = (low < number if open_low else low <= number) and number < high
    except (TypeError, ValueError, OverflowError):
        inside = False
    if not inside:
        bound = f"{'above' if open_low else 'at least'} {low:g}"
        bound += f" and below {high:g}" if high != float("inf") else " and finite"
        raise ArgumentError(f"`{name}` must be {bound}; got {value!r}.")
    return number
