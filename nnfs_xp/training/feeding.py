"""What `fit` and `evaluate` are given, made into the batches of an epoch: arrays, or a source."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nnfs_xp._checks import of_argument
from nnfs_xp._typing import Array
from nnfs_xp.backend import host_generator
from nnfs_xp.data.batching import batches_of
from nnfs_xp.data.sources import Source, is_source
from nnfs_xp.data.transforms import Applied, described
from nnfs_xp.errors import ArgumentError
from nnfs_xp.learning import Learner
from nnfs_xp.learning.epoch import ArrayEpoch, Epoch, SourceEpoch
from nnfs_xp.learning.sharing import too_few
from nnfs_xp.learning.totals import Totals
from nnfs_xp.training.batch_preparation import BatchPreparer, too_small
from nnfs_xp.training.preparation import check_shape, prepare

EVALUATION_BATCH = 1024


def gives_batches(X: Any, y: Any, *weights: Any) -> bool:
    """Whether X is a source of batches, which hold targets and weights too.

    Raises
    ------
    ArgumentError
        There are targets or weights beside such a source, or none beside arrays.
    """
    if y is None:
        if not is_source(X):
            if isinstance(X, (list, tuple)) and len(X) and isinstance(X[0], tuple) and X[0]:
                raise ArgumentError(
                    f"`X` is a list of batches that begin with a {type(X[0][0]).__name__}, where "
                    "arrays are needed. Make arrays of their parts, or give `X` and `y`."
                )
            kind = "None" if X is None else f"a {type(X).__name__}"
            raise ArgumentError(
                f"`y` is missing, and `X` is {kind}. Give the targets; or, in place of both, what "
                "gives batches (x, y): a list of them, a generator function, a loader."
            )
        if any(each is not None for each in weights):
            raise ArgumentError(
                "`sample_weight` does not go with a source of batches. Give each batch as a tuple "
                "(x, y, sample_weight)."
            )
        return True
    if is_source(X) and not isinstance(X, (list, tuple)):
        raise ArgumentError(
            f"`X` gives batches, being a {type(X).__name__}, which hold their targets too. Leave "
            "`y` out."
        )
    return False


def unpacked(name: str, data: Any) -> tuple[Any, ...]:
    """Data of which one argument holds all: X, y and weights, or a source and None.

    Raises
    ------
    ArgumentError
        They are neither.
    """
    if isinstance(data, (tuple, list)) and len(data) in (2, 3) and not is_source(data):
        return tuple(data)
    if is_source(data):
        return data, None
    parts = f"a {type(data).__name__}"
    if isinstance(data, (tuple, list)):
        parts += f" of {len(data)}"
    raise ArgumentError(
        f"`{name}` must be (X, y), (X, y, sample_weight), or something that gives batches; got "
        f"{parts}."
    )


@dataclass
class Fed:
    """The data of a training, and what is to be known of them.

    Attributes
    ----------
    epoch : Epoch
    first : tuple of arrays
        All samples, or the first batch: inputs, targets, and weights if there are any.
    targets : array
        All of them where they are there, or those of the first batch.
    description : dict
        What must be the same where a training goes on.
    y_axes : int
        Axes of the targets as they were given.
    batch_size : int or None
        None where that is the source's own.
    whole : tuple of arrays
        What all processes of a group must have alike: all samples, or the first batch.
    """

    epoch: Epoch
    first: tuple[Any, ...]
    targets: Any
    description: dict[str, Any]
    y_axes: int
    batch_size: int | None = None
    whole: tuple[Any, ...] = ()

    @property
    def step_samples(self) -> int | None:
        """The samples of a step, where that is known."""
        return None if self.batch_size is None else self.batch_size * self.epoch.accumulate


def feed_arrays(
    learner: Learner,
    totals: Totals,
    data: tuple[Any, ...],
    *,
    batch_size: int,
    shuffle: bool,
    class_weight: Any = None,
    transform: Any = None,
    accumulate: int = 1,
) -> Fed:
    """A training on arrays: X, y and weights, or None for these."""
    applied = _applied(transform, learner)
    X, y, weights = data
    with of_argument("y"):
        y = learner.backend.asarray(y)
    prepared = prepare(learner, totals, X, y, weights, class_weight)
    n_samples = prepared[0].shape[0]

    def order(epoch: int) -> np.ndarray[Any, Any] | None:
        return host_generator(learner.seed, epoch).permutation(n_samples) if shuffle else None

    dtype = learner.model.dtype or "float32"
    group = learner.group
    if min(batch_size, n_samples) < group.size:
        raise ArgumentError(too_few(min(batch_size, n_samples), group))
    epoch = ArrayEpoch(
        learner.backend, dtype, accumulate, prepared, batch_size, order, applied, group
    )
    rest = min(n_samples % batch_size or batch_size, n_samples)
    if (found := too_small(learner.model, rest, prepared[0].shape[1:])) is not None:
        raise ArgumentError(
            f"with {n_samples} samples and `batch_size` {batch_size}, a batch would have {rest}; "
            f"a layer of the model needs {found} at least."
        )
    description = {
        "batch_size": batch_size,
        "shuffle": shuffle,
        "samples": n_samples,
        "weighted": len(prepared) > 2,
        "transform": described(transform),
    }
    return Fed(epoch, prepared, prepared[1], description, y.ndim, batch_size, prepared)


def feed_source(
    learner: Learner,
    totals: Totals,
    data: Any,
    *,
    epoch: int,
    class_weight: Any = None,
    transform: Any = None,
    accumulate: int = 1,
) -> Fed:
    """A training on batches from anywhere; the first one, of that epoch, is fetched at once."""
    preparer = BatchPreparer(learner, class_weight=class_weight)
    applied = _applied(transform, learner)
    fed = SourceEpoch(
        learner.backend,
        learner.model.dtype or "float32",
        accumulate,
        Source(data),
        preparer,
        applied,
        learner.group,
    )
    first = _tried_out(learner, totals, fed, epoch, learner.count)
    whole = fed.first_whole or first
    if whole[0].shape[0] < learner.group.size:
        fed.close()
        raise ArgumentError(too_few(whole[0].shape[0], learner.group))
    description = {
        "batch_size": None,
        "shuffle": None,
        "samples": None,
        "weighted": len(first) > 2,
        "transform": described(transform),
    }
    return Fed(fed, first, fed.all_targets(whole[1]), description, preparer.y_axes, whole=whole)


def _applied(transform: Any, learner: Learner) -> Applied | None:
    if transform is None:
        return None
    model = learner.model
    check = partial(check_shape, model=model)
    return Applied(transform, learner.backend, learner.seed, model.dtype or "float32", check)


def _tried_out(
    learner: Learner, totals: Totals, epoch: SourceEpoch, number: int, done: int
) -> tuple[Any, ...]:
    """The first batch of an epoch; the metrics take one sample of it, to see that they fit."""
    backend = learner.backend
    try:
        batch = epoch.peek(number, done)
        output = learner.chain.forward(backend.asarray(batch[0][:1, ...]))
        totals.try_out(output, backend.asarray(batch[1][:1, ...]))
    except BaseException:
        epoch.close()
        raise
    return batch


@dataclass
class Evaluated:
    """Data to evaluate a model on.

    Attributes
    ----------
    batches : callable (epoch) -> generator of tuples of arrays
        The batches on the device, as they are after that epoch.
    close : callable ()
        Lets go of what was opened.
    targets : array
        All of them, or those of the first batch.
    n_samples : int or None
        None where it is not known.
    epoch : SourceEpoch or None
        What reads the batches of a source.
    arrays : tuple of arrays
        All samples, where there is no source.
    """

    batches: Callable[[int], Generator[tuple[Array, ...], None, None]]
    targets: Array
    n_samples: int | None
    close: Callable[[], None] = lambda: None
    epoch: SourceEpoch | None = None
    arrays: tuple[Any, ...] = ()

    @property
    def whole(self) -> tuple[Any, ...]:
        """What all processes of a group must have alike: all samples, or the first batch."""
        return self.arrays if self.epoch is None else self.epoch.first_whole


def evaluation_of(
    learner: Learner,
    totals: Totals,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    batch_size: int = EVALUATION_BATCH,
    number: int = 0,
) -> Evaluated:
    """Arrays, or a source of batches, to evaluate the model on, first after that epoch."""
    backend = learner.backend
    if not gives_batches(X, y, sample_weight):
        data = prepare(learner, totals, X, y, sample_weight)
        n = data[0].shape[0]
        part = learner.group.part
        own = partial(batches_of, data, backend, batch_size, rows_of=part)
        return Evaluated(lambda _: own(), data[1], n, arrays=data)
    dtype = learner.model.dtype or "float32"
    preparer = BatchPreparer(learner, trains=False)
    epoch = SourceEpoch(backend, dtype, 1, Source(X), preparer, group=learner.group)
    first = _tried_out(learner, totals, epoch, number, 0)

    def walk(number: int) -> Generator[tuple[Array, ...], None, None]:
        for (batch,) in epoch.walk(number, 0, 0):
            if batch.counts:
                yield epoch.arrays_of(batch)

    targets = backend.asarray((epoch.first_whole or first)[1])
    return Evaluated(walk, targets, None, epoch.close, epoch)
