"""Checks that the models and weights of all other libraries go through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError, DTypeError, NnfsError, ShapeError
from nnfs_xp.layers import Embedding

_MOST_CODES = 2**24


@contextmanager
def at(place: str, theirs: object) -> Iterator[None]:
    """Begin the message of an error with the place and the class of a layer of another library."""
    try:
        yield
    except NnfsError as error:
        raise type(error)(f"{place}, a {type(theirs).__name__}: {error}") from None


class Wanted(NamedTuple):
    """How layers are to be built.

    Attributes
    ----------
    dtype : str
        That of their parameters.
    add_parameters : bool
        Whether parameters that the other library leaves out, and layers here always have, are
        added where they change nothing.
    """

    dtype: str
    add_parameters: bool


def expect(theirs: object, **settings: tuple[Any, ...]) -> None:
    """Refuse settings of another library's layer that have none of these values.

    Raises
    ------
    ArgumentError
    """
    for name, allowed in settings.items():
        value = getattr(theirs, name)
        if not any(value is each or value == each for each in allowed):
            choice = " or ".join(map(repr, allowed))
            raise ArgumentError(f"its `{name}` must be {choice}; got {shown(repr(value))}.")


def expect_parameter(present: bool, name: str, wanted: Wanted) -> None:
    """Refuse a layer without a parameter that the layer here always has, unless it may be added.

    Raises
    ------
    ArgumentError
    """
    if not present and not wanted.add_parameters:
        raise ArgumentError(
            f"it has no `{name}`, which the layer here always has and trains. "
            "add_parameters=True adds it, so that it changes nothing until it is trained."
        )


def fitting(where: str, value: Any, shape: tuple[int, ...], dtype: str | None) -> Any:
    """The value as a NumPy array, if it has the shape, and a data type that loses nothing.

    Raises
    ------
    ShapeError, DTypeError
        The message says where.
    """
    try:
        array = to_numpy(value)
    except NnfsError as error:
        raise DTypeError(f"{where} is unusable: {error}") from error
    if array.shape != shape:
        hint = " Did you mean to transpose?" if array.shape == shape[::-1] else ""
        raise ShapeError(f"{where} must have shape {shape}; got {array.shape}.{hint}")
    if not np.can_cast(array.dtype, str(dtype), "safe"):
        raise DTypeError(
            f"{where} is {array.dtype}, which a model of {dtype} cannot hold. Build the model with "
            "dtype='float64', or convert the weights first."
        )
    return array


def check_codes(layer: Embedding, dtype: str) -> None:
    """Refuse an embedding whose codes are to go through a data type that cannot tell them apart.

    Raises
    ------
    ArgumentError
    """
    if dtype == "float32" and layer.n_values > _MOST_CODES:
        raise ArgumentError(
            f"float32 tells {_MOST_CODES:,} codes apart; the Embedding has {layer.n_values:,}. "
            "Use float64, or in ONNX input_dtype='int64'."
        )
