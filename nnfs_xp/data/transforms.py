"""What is done to a batch before a training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from nnfs_xp._settings import plain
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, get_backend
from nnfs_xp.data.random import Random, Samples
from nnfs_xp.data.sources import told
from nnfs_xp.errors import ArgumentError, DataError, NnfsError

Transform: TypeAlias = "Callable[[tuple[Any, ...], Random], tuple[Any, ...]]"


class OnHost:
    """Has a transform run on the host, on NumPy arrays, in the thread that reads ahead.

    For what is better done there, because it takes a library that works on the host for example.
    Without it, a transform gets arrays on the trainer's device.

    Parameters
    ----------
    transform : callable (batch, random) -> batch
    """

    def __init__(self, transform: Transform) -> None:
        if not callable(transform):
            raise ArgumentError(f"`transform` must be a function; got {transform!r}.")
        self.transform = transform

    def __call__(self, batch: tuple[Any, ...], random: Random) -> tuple[Any, ...]:
        return self.transform(batch, random)

    def __repr__(self) -> str:
        return f"OnHost({getattr(self.transform, '__name__', self.transform)!s})"


class Applied:
    """A transform with all that it is applied with.

    Parameters
    ----------
    transform : callable (batch, random) -> batch
    backend : Backend
    seed : int
    dtype : str
        Of inputs, weights and targets that are floats.
    check_shape : callable (shape)
        Refuses inputs of a shape that the model cannot take.

    Raises
    ------
    ArgumentError
        It is no function.
    """

    def __init__(
        self,
        transform: Any,
        backend: Backend,
        seed: int,
        dtype: str,
        check_shape: Callable[[tuple[int, ...]], None] = lambda _: None,
    ) -> None:
        if not callable(transform):
            raise ArgumentError(
                "`transform` must be a function (batch, random) that returns a batch; got "
                f"{transform!r}."
            )
        self.on_host = isinstance(transform, OnHost)
        self._transform = transform
        self._backend = get_backend("numpy") if self.on_host else backend
        self._seed = seed
        self._dtype = dtype
        self._check_shape = check_shape

    def __call__(
        self,
        batch: tuple[Any, ...],
        count: int,
        epoch: int,
        samples: Samples,
    ) -> tuple[Any, ...]:
        """A copy of the batch transformed.

        Parameters
        ----------
        batch : tuple of arrays
        count : int
            How many batches the training had before.
        epoch : int
        samples : callable ()
            Gives the number of each sample in the data set, or None.

        Raises
        ------
        DataError
            The function raised, or returned no such batch.
        """
        own = tuple(self._own(part) for part in batch)  # which the function may write into
        random = Random(self._backend, self._seed, count, self._dtype, epoch=epoch, samples=samples)
        try:
            found = self._transform(own, random)
        except NnfsError:
            raise
        except Exception as error:
            raise DataError(f"`transform` failed: {told(error)}") from error
        if not isinstance(found, (tuple, list)) or len(found) != len(batch):
            got = (
                f"{len(found)} parts" if isinstance(found, (tuple, list)) else type(found).__name__
            )
            raise DataError(
                f"`transform` must return a tuple of {len(batch)} arrays, as the batch is; got "
                f"{got}."
            )
        x, *others = found
        x = self._floats(x)
        parts = x, *map(self._targets, others[:1]), *map(self._floats, others[1:])
        if any(part.ndim == 0 or part.shape[0] != x.shape[0] for part in parts):
            shapes = ", ".join(str(tuple(part.shape)) for part in parts)
            raise DataError(f"`transform` returned parts of different lengths: {shapes}.")
        try:
            self._check_shape(tuple(x.shape))
        except NnfsError as error:
            raise DataError(f"`transform` returned what the model cannot take: {error}") from None
        return parts

    def _own(self, part: Any) -> Array:
        own: Array = self._backend.xp.asarray(self._backend.asarray(part), copy=True)
        return own

    def _targets(self, y: Any) -> Array:
        y = self._backend.asarray(y)
        return self._floats(y) if self._backend.is_floating(y.dtype) else y

    def _floats(self, values: Any) -> Array:
        return self._backend.asarray(values, self._dtype)


def described(transform: Any) -> Any:
    """What must be the same of a transform where a training goes on, as JSON can hold it.

    An object with a method ``settings`` says so itself; of others it is the name.
    """
    inner = transform.transform if isinstance(transform, OnHost) else transform
    settings = getattr(inner, "settings", None)
    if not callable(settings):
        return plain(transform)
    return {"on_host": settings()} if inner is not transform else settings()
