"""Batches on the device, for a training loop of one's own."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._finite import cast, check_held
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, get_backend, to_numpy
from nnfs_xp.data.batching import own_copies
from nnfs_xp.data.reading import read_ahead
from nnfs_xp.data.shards import ArrayBatches
from nnfs_xp.data.sources import Source, is_source, numbered, parts_of
from nnfs_xp.data.transforms import Applied
from nnfs_xp.errors import ArgumentError, DataError, LabelError, ShapeError


class Batches:
    """Batches on a device, read ahead by a thread: see `batches`.

    Each walk is the next epoch. It is a source of batches too, for `Trainer.fit` for example.
    """

    def __init__(
        self, source: Source, backend: Backend, dtype: str, transform: Applied | None, ahead: int
    ) -> None:
        self._source = source
        self._backend = backend
        self._dtype = dtype
        self._transform = transform
        self._ahead = ahead
        self._epoch = 0
        self._count = 0

    def __repr__(self) -> str:
        length = "batches" if self._source.length is None else f"{self._source.length:,} batches"
        return f"<Batches: {length} on {self._backend.name}>"

    def set_epoch(self, epoch: int) -> None:
        """Have the next walk be that epoch."""
        self._epoch = _checks.check_count("epoch", epoch, least=0)

    def __len__(self) -> int:
        if self._source.length is None:
            raise TypeError("the source of batches does not tell how many it has.")
        return self._source.length

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        epoch, self._epoch = self._epoch, self._epoch + 1
        count = self._count
        on_host = self._transform is not None and self._transform.on_host

        def read() -> Generator[tuple[Any, ...], None, None]:
            for index, batch in enumerate(numbered(self._source, epoch, 0, self._prepared)):
                if self._transform is not None and on_host:
                    samples = partial(self._source.samples, epoch, index)
                    batch = self._transform(batch, count + index, epoch, samples)
                yield own_copies(batch, self._backend)

        ahead, within = self._ahead, self._backend.as_here()
        reading = read_ahead(read, ahead, within=within) if ahead else read()
        with closing(reading) as reader:
            arriving = self._backend.streamed(reader)
            for index in itertools.count():
                with self._backend.active():  # and not while the caller works on the batch
                    batch = next(arriving, None)
                    if batch is None:
                        return
                    if self._transform is not None and not on_host:
                        samples = partial(self._source.samples, epoch, index)
                        batch = self._transform(batch, count + index, epoch, samples)
                self._count += 1
                yield batch

    def _prepared(self, item: Any, number: int) -> tuple[Any, ...]:
        """The batch, its inputs, its weights and targets that are floats cast."""
        del number
        x, *targets = parts_of(item)
        parts = self._cast("X", x), *(self._cast("y", part) for part in targets)
        if not all(part.ndim for part in parts):
            raise DataError("it has a part that is a number, where an array of samples is needed.")
        if len({part.shape[0] for part in parts}) > 1:
            shapes = ", ".join(str(tuple(part.shape)) for part in parts)
            raise DataError(f"its parts have different lengths: {shapes}.")
        return parts

    def _cast(self, name: str, given: Any) -> Any:
        """The part on the host, or on the device if it is there; inputs and floats cast."""
        backend = self._backend if self._backend.owns(given) else get_backend("numpy")
        part = backend.asarray(given)
        if name != "X" and not backend.is_floating(part.dtype):
            return part
        found = cast(backend, part, self._dtype)
        check_held(name, found, part)
        return found


def batches(
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int = 0,
    backend: str | Backend = "auto",
    dtype: str = "float32",
    transform: Any = None,
    ahead: int = 2,
) -> Batches:
    """Batches on the device, to walk in a training loop of one's own, as often as needed.

    Parameters
    ----------
    X : array-like of shape (n, …), or source of batches
        A source, as `Trainer.fit` takes one, gives tuples (x,), (x, y) or (x, y, sample_weight);
        then the rest but `backend`, `dtype`, `transform` and `ahead` is left out.
    y, sample_weight : array-like of n samples, optional
    batch_size : int
    shuffle : bool
        Whether each walk takes the samples in a new order.
    seed : int
        Of the orders, and of what the transform draws.
    backend : str or Backend
        Where the batches are to be.
    dtype : {"float32", "float64"}
        Of the inputs, and of weights and targets that are floats.
    transform : callable (batch, random) -> batch, optional
        As for `Trainer.fit`: of batches with y.
    ahead : int
        How many batches a thread fetches ahead; 0 for none, and no thread.

    Returns
    -------
    Batches
        An iterable of tuples of arrays. Its length is the number of batches, where it is known.
        On a CUDA device a batch is overwritten by one of the next ones: copy what is to be kept.

    Raises
    ------
    ArgumentError
        A source is one that can be walked once only.
    DataError
        While walking: the source failed, gave nothing, or what is no batch.
    LabelError
        X and y have different lengths.

    Examples
    --------
    >>> import numpy as np
    >>> import nnfs_xp as nn
    >>> X, y = nn.data.spiral_data(samples=50, classes=3, seed=0)
    >>> walk = nn.data.batches(X, y, batch_size=64, shuffle=True, backend="numpy")
    >>> [x.shape for x, labels in walk]
    [(64, 2), (64, 2), (22, 2)]
    """
    place = get_backend(backend)
    dtype = _checks.check_dtype(dtype)
    ahead = _checks.check_count("ahead", ahead, least=0)
    applied = None if transform is None else Applied(transform, place, seed, dtype)
    if y is None and is_source(X):
        if sample_weight is not None:
            raise ArgumentError("`sample_weight` does not go with a source, whose batches hold it.")
        return Batches(Source(X), place, dtype, applied, ahead)
    arrays = tuple(to_numpy(each) for each in (X, y, sample_weight) if each is not None)
    if any(array.ndim == 0 for array in arrays):
        raise ShapeError("`X`, `y` and `sample_weight` must have an axis of samples.")
    if len({array.shape[0] for array in arrays}) > 1:
        raise LabelError(
            "`X`, `y` and `sample_weight` must have as many samples; got shapes "
            f"{', '.join(str(array.shape) for array in arrays)}."
        )
    source = ArrayBatches([arrays], batch_size, shuffle=shuffle, seed=seed)
    return Batches(Source(source), place, dtype, applied, ahead)
