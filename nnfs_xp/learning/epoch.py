"""The batches of an epoch, in the groups that steps are made on, and the losses that they leave."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from math import ceil
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, to_numpy
from nnfs_xp.data.batching import batches_of, own_copies
from nnfs_xp.data.reading import read_ahead
from nnfs_xp.data.rows import Rows
from nnfs_xp.data.sources import Source, numbered
from nnfs_xp.data.transforms import Applied
from nnfs_xp.distributed import Group, Share
from nnfs_xp.distributed.group import ALONE
from nnfs_xp.learning.sharing import own_rows, share_of

_ROOM = 1024
"""Losses that there is room for at first, where nothing tells how many there will be."""


class Batch(NamedTuple):
    """A batch of an epoch.

    Attributes
    ----------
    arrays : tuple of arrays or None
        On the device. None where the step takes them from the epoch's data by itself.
    start : int
        Then, from this place in the order on.
    n : int
        Samples.
    share : Share or None
        Which of a batch they are, where several processes train on it.
    """

    arrays: tuple[Array, ...] | None
    start: int
    n: int
    share: Share | None = None

    @property
    def counts(self) -> bool:
        """Whether the samples count, and do not stand in for none."""
        return self.share is None or self.share.n > 0

    @property
    def whole(self) -> int:
        """The samples of the batch of all processes."""
        return self.n if self.share is None else self.share.whole


class Epoch:
    """What the steps of an epoch are made on; a subclass gives `_batches`.

    Parameters
    ----------
    backend : Backend
    dtype : str
        Of the losses.
    accumulate : int
        Batches that make a step.
    n_batches : int, optional
        Those of an epoch, where that is known.
    group : Group
        The processes that share each batch.

    Attributes
    ----------
    losses : array
        Of the batches of the present epoch.
    n_batches : int or None
    n_samples : int or None
        Of an epoch, where that is known.
    seeks : bool
        Whether a walk may begin in the middle of an epoch.
    transforms : bool
        Whether batches are changed on their way.
    is_watched : bool
        Whether a user's code runs between two steps, which may change a setting.
    interrupted : callable
        Whether to wait no longer for a batch that is read.
    """

    seeks = True
    transforms = False
    n_samples: int | None = None

    def __init__(
        self, backend: Backend, dtype: str, accumulate: int, n_batches: int | None, group: Group
    ) -> None:
        self.backend = backend
        self.group = group
        self.accumulate = accumulate
        self.interrupted: Callable[[], bool] = lambda: False
        self.n_batches = n_batches
        xp = backend.xp
        self.losses: Array = xp.zeros(
            n_batches or _ROOM, dtype=backend.dtype(dtype), device=backend.device
        )

    @property
    def is_watched(self) -> bool:
        return self.transforms

    @property
    def n_steps(self) -> int | None:
        """The steps of an epoch, where that is known."""
        return None if self.n_batches is None else ceil(self.n_batches / self.accumulate)

    def walk(self, number: int, first: int, count: int) -> Generator[tuple[Batch, ...], None, None]:
        """The batches of an epoch, those of one step together.

        Parameters
        ----------
        number : int
            Of the epoch.
        first : int
            How many steps to leave out at the start.
        count : int
            How many batches the training had before.
        """
        self.losses[...] = 0.0
        found = self._batches(number, first * self.accumulate, count)
        while group := tuple(islice(found, self.accumulate)):
            yield group

    def _batches(self, number: int, first: int, count: int) -> Iterator[Batch]:
        raise NotImplementedError

    def gather(self, start: Any, n: int) -> tuple[Array, ...]:
        """The batch of n samples from that place in the order on, where data are on the device."""
        raise NotImplementedError

    def arrays_of(self, batch: Batch) -> tuple[Array, ...]:
        """The arrays of a batch, wherever they are."""
        return self.gather(batch.start, batch.n) if batch.arrays is None else batch.arrays

    def close(self) -> None:
        """Let go of what was opened."""

    def lasting(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        """What a transform gave, in arrays of its own where other batches come before its turn."""
        if self.accumulate == 1:
            return arrays
        return tuple(self.backend.xp.asarray(array, copy=True) for array in arrays)

    def own(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        """The rows of a batch that are this process'."""
        if self.group.size == 1:
            return arrays
        rows = own_rows(self.group, arrays[0].shape[0])
        return tuple(array[rows, ...] for array in arrays)

    def make_room(self, index: int) -> bool:
        """Make room for the loss of the batch of that index; return whether there was none."""
        room = self.losses.shape[0]
        if index < room:
            return False
        more = self.backend.xp.zeros_like(self.losses)
        self.losses = self.backend.xp.concat([self.losses, more])
        return True

    def put_loss(self, index: Any, loss: Array) -> None:
        """Note the loss of the batch of that index."""
        self.backend.kernels.put(self.backend.xp, self.losses, index, loss)

    @property
    def arrays(self) -> tuple[Array, ...]:
        """What recorded steps use of it."""
        return (self.losses,)


class ArrayEpoch(Epoch):
    """An epoch on arrays of all samples, on the device or, where they do not fit, on the host.

    Parameters
    ----------
    backend, dtype, accumulate
        As for `Epoch`.
    data : tuple of arrays, each of n samples
    batch_size : int
    order : callable (epoch) -> ndarray of int or None
        In which the samples of an epoch are taken: None for as they lie.
    transform : Applied, optional
    """

    def __init__(
        self,
        backend: Backend,
        dtype: str,
        accumulate: int,
        data: tuple[Any, ...],
        batch_size: int,
        order: Callable[[int], Any],
        transform: Applied | None = None,
        group: Group = ALONE,
    ) -> None:
        self.n_samples: int = data[0].shape[0]
        super().__init__(backend, dtype, accumulate, ceil(self.n_samples / batch_size), group)
        on_host = transform is not None and transform.on_host
        self._data = tuple(
            _on_host(array) if on_host else backend.by_rows(array) if backend.owns(array) else array
            for array in data
        )
        self.batch_size = batch_size
        self._wholes: deque[int] = deque()  # samples of batches that were transformed ahead
        self._transform = transform
        self.transforms = transform is not None
        self._works_on_host = on_host
        self._on_device = not on_host and all(backend.owns(array) for array in data)
        self._order_of = order
        self._in_order = True
        xp = backend.xp
        self._order: Array = xp.arange(self.n_samples, dtype=xp.int64, device=backend.device)

    def _batches(self, number: int, first: int, count: int) -> Iterator[Batch]:
        order = self._order_of(number)
        given = None if self._on_device else self._given(order, number, first, count)
        if self._on_device:
            self._in_order = order is None
            if order is not None:
                self._order[...] = self.backend.asarray(order, "int64")
        transform = None if self._works_on_host else self._transform
        alone = self.group.is_alone
        for index, part in self._parts(first):
            whole = part.stop - part.start
            arrays = None if given is None else next(given)
            if transform is not None:  # of all rows: it may work across them
                arrays = self.gather(part.start, whole) if arrays is None else arrays
                samples = partial(samples_in, order, part)
                found = transform(arrays, count + index - first, number, samples)
                whole, arrays = found[0].shape[0], self.lasting(self.own(found))
            elif self._works_on_host:
                whole = self._wholes.popleft()
            if alone:
                yield Batch(arrays, part.start, whole)
                continue
            rows = own_rows(self.group, whole)
            start, n = part.start + rows.start, rows.stop - rows.start
            yield Batch(arrays, start, n, share_of(self.group, whole))

    def _parts(self, first: int) -> Iterator[tuple[int, slice]]:
        """The batches from one on: the number of each, and its places in the order."""
        size = self.batch_size
        for index, start in enumerate(range(first * size, self.n_samples, size), first):
            yield index, slice(start, min(start + size, self.n_samples))

    def _given(
        self, order: Any, number: int, first: int, count: int
    ) -> Iterator[tuple[Array, ...]]:
        """The batches on the device, of data that are not."""
        backend, held = self.backend, self.accumulate
        if not self._works_on_host:
            if self._transform is None:
                rows_of = partial(own_rows, self.group)
            else:
                rows_of = partial(slice, 0)
            return batches_of(self._data, backend, self.batch_size, order, first, held, rows_of)

        wholes = self._wholes = deque()

        def read() -> Iterator[tuple[Any, ...]]:
            for index, part in self._parts(first):
                rows = part if order is None else order[part]
                batch = tuple(array[rows] for array in self._data)
                assert self._transform is not None
                samples = partial(samples_in, order, part)
                batch = self._transform(batch, count + index - first, number, samples)
                wholes.append(batch[0].shape[0])
                yield own_copies(self.own(batch), backend)

        reader = read_ahead(read, interrupted=self.interrupted, within=backend.as_here())
        return backend.streamed(reader, held)

    def gather(self, start: Any, n: int) -> tuple[Array, ...]:
        xp, kernels = self.backend.xp, self.backend.kernels
        if self._in_order and not self.backend.can_record:
            return tuple(array[start : start + n, ...] for array in self._data)
        order, gather_rows = self._order, kernels.gather_rows
        return tuple([gather_rows(xp, array, order, start, n) for array in self._data])

    @property
    def arrays(self) -> tuple[Array, ...]:
        return *self._data, self.losses, self._order


def samples_in(order: np.ndarray[Any, Any] | None, part: slice) -> np.ndarray[Any, Any]:
    """The numbers of the samples at these places of the order; without one, as they lie."""
    return np.arange(part.start, part.stop) if order is None else order[part]


def _on_host(array: Any) -> Any:
    return array if isinstance(array, (np.ndarray, Rows)) else to_numpy(array)


_Reader: TypeAlias = Generator[tuple[Any, ...], None, None]


_QUICK = 2e-4
"""Seconds: where a batch takes less to fetch, a thread would cost more than it hides."""


class SourceEpoch(Epoch):
    """An epoch on batches from anywhere, read ahead by a thread where they take time to fetch.

    Parameters
    ----------
    backend, dtype, accumulate
        As for `Epoch`.
    source : Source
    prepare : callable (item, number) -> tuple of arrays
        Makes a batch of what the source gives, checked: in that thread.
    transform : Applied, optional

    Attributes
    ----------
    first_whole : tuple of arrays
        In a group, the first batch of the last walk, of all processes.
    """

    def __init__(
        self,
        backend: Backend,
        dtype: str,
        accumulate: int,
        source: Source,
        prepare: Callable[[Any, int], tuple[Any, ...]],
        transform: Applied | None = None,
        group: Group = ALONE,
    ) -> None:
        super().__init__(backend, dtype, accumulate, source.length, group)
        self._wholes: deque[int] = deque()  # samples of the batches that were read and not given
        self.first_whole: tuple[Any, ...] = ()
        self.seeks = source.seeks
        self._is_kept = False
        self._transform = transform
        self.transforms = transform is not None
        self._works_on_host = transform is not None and transform.on_host
        if source.is_held:  # all can be checked beforehand, and kept if that takes no more room
            prepared = numbered(source, 0, 0, prepare)
            if source.is_ready(dtype):
                source, self._is_kept = Source(list(prepared)), True
            else:
                deque(prepared, maxlen=0)
        self._source = source
        self._prepare = _as_it_is if self._is_kept else prepare
        self._opened: tuple[Any, _Reader] | None = None

    def all_targets(self, first: Any) -> Any:
        """The targets of all batches, where these are held and alike; else those of the first."""
        backend, prepare = self.backend, self._prepare
        if not self._source.is_held:
            return first
        found = [backend.asarray(y) for _, y, *_ in numbered(self._source, 0, 0, prepare)]
        if len({(y.shape[1:], y.dtype) for y in found}) > 1:
            return first
        return backend.xp.concat(found)

    @property
    def is_watched(self) -> bool:
        return self.transforms or not self._source.is_held

    def peek(self, number: int, count: int) -> tuple[Any, ...]:
        """The first batch of an epoch, on the host; its walk begins with it."""
        self.close()
        place = number, 0, count
        reader = self._read(*place)
        self._opened = place, reader
        self._first = next(reader)
        return self._first

    def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[1].close()

    def _read(self, number: int, first: int, count: int) -> _Reader:
        # The first walk tells whether the next ones need the thread.
        slow = self._source.seconds is None or self._source.seconds >= _QUICK
        ahead = self._works_on_host or (slow and not self._is_kept)
        # The device may be at work on a batch when the next one is asked for.
        waits = ahead or self.accumulate > 1 or self.backend.memory() is not None
        copies = waits and (self._works_on_host or not self._source.is_held)

        wholes = self._wholes = deque()
        on_device = self._transform is not None and not self._works_on_host

        def read() -> _Reader:
            found: Iterable[Any] = numbered(self._source, number, first, self._prepare)
            for index, batch in enumerate(found):
                if self._transform is not None and self._works_on_host:
                    samples = partial(self._source.samples, number, first + index)
                    batch = self._transform(batch, count + index, number, samples)
                if not index and self.group.size > 1:
                    self.first_whole = own_copies(batch, self.backend)
                wholes.append(batch[0].shape[0])
                batch = batch if on_device else self.own(batch)
                yield own_copies(batch, self.backend) if copies else batch

        if not ahead:
            return read()
        within = self.backend.as_here()
        return read_ahead(read, interrupted=lambda: self.interrupted(), within=within)

    def _batches(self, number: int, first: int, count: int) -> Iterator[Batch]:
        place = number, first, count
        if self._opened is not None and self._opened[0] == place:
            reader = self._opened[1]
            begun: Iterable[Any] = chain((self._first,), reader)
        else:
            self.close()
            begun = reader = self._read(*place)
        self._opened = None, reader
        self.n_batches = self._source.length
        transform = None if self._works_on_host else self._transform
        wholes, index = self._wholes, first
        for arrays in self.backend.streamed(begun, self.accumulate):
            whole = wholes.popleft()
            if transform is not None:
                samples = partial(self._source.samples, number, index)
                found = transform(arrays, count + index - first, number, samples)
                whole, arrays = found[0].shape[0], self.lasting(self.own(found))
            yield Batch(arrays, 0, arrays[0].shape[0], share_of(self.group, whole))
            index += 1
        self.close()


def _as_it_is(item: Any, number: int) -> Any:
    del number
    return item
