"""Checks at the public edge. None reads an array's values, so none waits for the device."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from inspect import signature
from math import isfinite, nan, prod
from numbers import Real
from operator import index
from reprlib import Repr
from typing import Any

from nnfs_xp._typing import Array, DType, Namespace
from nnfs_xp.backend import Backend, backend_of
from nnfs_xp.errors import (
    ArgumentError,
    BackendError,
    DistributedError,
    DTypeError,
    LabelError,
    NnfsError,
    ShapeError,
)

_REPR = Repr()
_REPR.maxdict = _REPR.maxlist = _REPR.maxtuple = 16
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 100


class of_argument:  # noqa: N801 # a context manager, faster than a generator
    """Have errors say of which argument they speak, where their text names parts of it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, frames: Any) -> None:
        if not isinstance(error, (NnfsError, ValueError, TypeError)) or not error.args:
            return
        if isinstance(error, DistributedError):  # it speaks of all processes
            return
        if isinstance(error.args[0], str):
            error.args = (f"{self._name}: {error.args[0]}", *error.args[1:])


def check_batch(
    name: str,
    array: Array,
    backend: Backend | None = None,
    dtype: DType | None = None,
    n_features: int | None = None,
) -> Backend:
    """Refuse what is no batch of floating-point samples; return the backend of the batch.

    Parameters
    ----------
    name : str
        What messages call the array.
    array : array, expected to have shape (batch, ...), batch at least 1
    backend : Backend, optional
        The backend that the array must be on.
    dtype : data type, optional
        The data type that the array must have; by default any floating type.
    n_features : int, optional
        The last axis must then have so many.
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
    backend.check_active()
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
        if len(shape) < 2 or shape[-1] != n_features:
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
    axes = "batch, …" if len(shape) > 2 else "batch"
    raise ShapeError(f"`{name}` must have shape ({axes}, {n_features}); got {shape}.{hint}")


def check_pair(y_pred: Array, y_true: Array) -> Backend:
    """Refuse predictions not (batch, …, outputs), and targets elsewhere; return the backend."""
    backend = check_batch("y_pred", y_pred)
    if not backend.owns(y_true):
        raise BackendError(
            f"`y_pred` and `y_true` must be on one device; got {backend.name} and "
            f"{backend_of(y_true).name}. Move one with get_backend({backend.name!r}).asarray."
        )
    return backend


def check_target_dtype(y_pred: Array, y_true: Array, backend: Backend) -> None:
    """Refuse floating targets of another dtype than the predictions; integers pass."""
    if y_true.dtype != y_pred.dtype and backend.is_floating(y_true.dtype):
        raise DTypeError(
            f"`y_true` must have the dtype of the predictions, {y_pred.dtype}; "
            f"got {y_true.dtype}. Convert it first."
        )


def match_outputs(y_true: Array, shape: tuple[int, ...]) -> Array:
    """The targets in the shape (batch, …, outputs) of the predictions.

    For one output (batch, …) will do. Nothing else is broadcast: (batch,) against (batch, 1) would
    silently make (batch, batch).
    """
    if tuple(y_true.shape) == tuple(shape):
        return y_true
    if tuple(shape) == (*y_true.shape, 1):
        return y_true[..., None]
    raise LabelError(
        f"`y_true` must have the shape of the predictions, {tuple(shape)}; "
        f"got {tuple(y_true.shape)}."
    )


def match_targets(y_pred: Array, y_true: Array) -> tuple[Namespace, Array]:
    """The namespace, and the targets in the shape and dtype of the predictions."""
    backend = check_pair(y_pred, y_true)
    y_true = match_outputs(y_true, y_pred.shape)
    check_target_dtype(y_pred, y_true, backend)
    return backend.xp, backend.xp.astype(y_true, y_pred.dtype, copy=False)


@cache
def is_integral(xp: Namespace, dtype: DType) -> bool:
    """Whether it is a data type of whole numbers: kept, for it is asked in each step."""
    return bool(xp.isdtype(dtype, "integral"))


def check_labels(
    xp: Namespace, y_true: Array, n_classes: int, places: tuple[int, ...] | None = None
) -> None:
    """Refuse what is neither class indices nor rows of shares.

    Parameters
    ----------
    xp : namespace
    y_true : array, expected to have the shape of `places`, or that with the classes behind it
    n_classes : int
    places : tuple of int, optional
        The axes of the predictions before the last one: (batch,), or more. By default one axis.
    """
    shape = tuple(y_true.shape)
    n_axes = 1 if places is None else len(places)
    if y_true.ndim == n_axes + 1:
        if shape[-1] != n_classes:
            hint = " For class indices, flatten it to shape (batch,)." if shape[1:] == (1,) else ""
            raise LabelError(
                f"one-hot rows of `y_true` must have {n_classes} columns, one for each output; "
                f"got shape {shape}.{hint}"
            )
    elif y_true.ndim != n_axes:
        more = ", …" if n_axes > 1 else ""
        of_places = f"(batch{more})" if more else "(batch,)"
        wanted = "" if places is None or n_axes == 1 else f", here {places}"
        raise LabelError(
            f"`y_true` must be class indices of shape {of_places}{wanted}, or one-hot rows of "
            f"shape (batch{more}, classes); got shape {shape}."
        )
    elif not is_integral(xp, y_true.dtype):
        raise LabelError(
            f"class indices must be integers; got {y_true.dtype}. Convert them, with "
            "astype(int) for example."
        )
    if places is not None and shape[:n_axes] != places:
        if shape[:1] == places[:1]:
            raise LabelError(
                f"`y_true` must have a label for each place of the predictions, {tuple(places)}; "
                f"got shape {shape}."
            )
        raise LabelError(
            f"`y_true` must have one label for each of the {places[0]} samples; got {shape[0]}."
        )


def check_weights(sample_weight: Array, values: Array, places: tuple[int, ...]) -> Array:
    """The weights in a shape that spreads over `places`, checked.

    Parameters
    ----------
    sample_weight : array
        One for each sample, or one for each place: on the device and of the dtype of `values`.
    values : array
    places : tuple of int
        The axes before the features: (batch,), or more.
    """
    backend, n = backend_of(values), places[0]
    if not backend.owns(sample_weight):
        raise BackendError(
            f"`sample_weight` must be on {backend.name}; got {backend_of(sample_weight).name}. "
            f"Move it with get_backend({backend.name!r}).asarray."
        )
    shape = tuple(sample_weight.shape)
    if shape != (n,) and shape != places:
        more = "" if len(places) == 1 else f", or {tuple(places)}, one for each place in them"
        raise ShapeError(
            f"`sample_weight` must have shape ({n},), one weight for each sample{more}; "
            f"got {shape}."
        )
    if sample_weight.dtype != values.dtype:
        raise DTypeError(
            f"`sample_weight` must have the dtype of the predictions, {values.dtype}; "
            f"got {sample_weight.dtype}. Convert it first."
        )
    if len(shape) == len(places):
        return sample_weight
    spread: Array = backend.xp.reshape(sample_weight, (n,) + (1,) * (len(places) - 1))
    return spread


def check_dtype(dtype: str) -> str:
    """Refuse what names no data type that parameters can have; return the name."""
    if str(dtype) not in ("float32", "float64"):  # str, so that np.dtype("float32") passes
        raise ArgumentError(f"`dtype` must be 'float32' or 'float64'; got {quoted(dtype)}.")
    return str(dtype)


def check_count(name: str, value: object, *, least: int = 1) -> int:
    """Refuse what is no whole number of at least `least`."""
    try:
        count = least - 1 if isinstance(value, bool) else index(value)  # type: ignore[arg-type] # it raises
    except TypeError:
        count = least - 1
    if count < least:
        raise ArgumentError(
            f"`{name}` must be a whole number of at least {least}; got {quoted(value)}."
        )
    return count


def check_sample_shape(input_shape: Any) -> tuple[int | None, ...]:
    """Refuse what is no shape of one sample; return it.

    A number is the shape with this one axis, and None an axis of any length.
    """
    axes = input_shape if isinstance(input_shape, Iterable) else (input_shape,)
    shape = tuple(n if n is None else check_count("input_shape", n) for n in axes)
    if not shape:
        raise ArgumentError("`input_shape` must be the shape of one sample; got ().")
    if prod(n or 1 for n in shape) >= 2**63:  # more than indices reach
        raise ArgumentError(f"`input_shape` is of too many values; got {shape}.")
    return shape


def check_initializer(initializer: Any) -> Any:
    """Refuse what is neither a function nor None."""
    if initializer is not None and not _takes_two(initializer):
        raise ArgumentError(
            "`initializer` must be a function (generator, shape) or None, one of "
            f"nnfs_xp.initializers for example; got {quoted(initializer)}."
        )
    return initializer


def _takes_two(function: Any) -> bool:
    """Whether it can be called with two arguments, as far as that is known."""
    if not callable(function):
        return False
    try:
        signature(function).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # of a function that is not written in Python
        return True
    return True


def shown(value: object, most: int = 200) -> str:
    """A value from a file as a message can show it: on one line, printable, and not long."""
    text = str(value) if isinstance(value, (str, Exception)) else _REPR.repr(value)
    text = text if len(text) <= most else f"{text[:most]}…"
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def quoted(value: object) -> str:
    """A value as Python writes it, on one line and not long."""
    try:
        return shown(_REPR.repr(value))
    except ValueError:  # Python does not write whole numbers of thousands of digits
        return f"{type(value).__name__} of very many digits"


def pair_of(name: str, value: Any) -> tuple[Any, Any]:
    """Refuse what is no pair."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ArgumentError(f"`{name}` must be a pair; got {type(value).__name__}.")
    return value[0], value[1]


def check_range(
    name: str,
    value: float,
    low: float,
    high: float = float("inf"),
    *,
    open_low: bool = False,
    closed_high: bool = False,
) -> float:
    """Refuse what is no number in [low, high): without low with `open_low`, with high if closed."""
    number = _number(value)
    fits = low < number if open_low else low <= number
    if not (fits and (number <= high if closed_high else number < high)):
        bound = f"{'above' if open_low else 'at least'} {low:g}"
        highest = f" and {'at most' if closed_high else 'below'} {high:g}"
        bound += highest if high != float("inf") else " and finite"
        raise ArgumentError(f"`{name}` must be {bound}; got {quoted(value)}.")
    return number


def check_finite_number(name: str, value: object) -> float:
    """Refuse what is no finite number."""
    number = _number(value)
    if not isfinite(number):
        raise ArgumentError(f"`{name}` must be a finite number; got {quoted(value)}.")
    return number


def _number(value: Any) -> float:
    """The value as a float: a number, or a 0-d array of one; NaN for anything else."""
    dtype = str(getattr(value, "dtype", ""))
    if dtype:
        fits = getattr(value, "shape", None) == () and ("int" in dtype or "float" in dtype)
    else:
        fits = isinstance(value, Real) and not isinstance(value, bool)
    try:
        return float(value) if fits else nan
    except OverflowError:
        return nan


def check_bool(name: str, value: object) -> bool:
    """Refuse what is neither True nor False."""
    is_scalar = str(getattr(value, "dtype", "")) == "bool" and getattr(value, "shape", None) == ()
    if not (is_scalar or isinstance(value, bool)):
        raise ArgumentError(f"`{name}` must be True or False; got {quoted(value)}.")
    return bool(value)
