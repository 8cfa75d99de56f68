"""What `fit` and `evaluate` are given, made into the batches of an epoch: arrays, or a source."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp._finite import check_finite
from nnfs_xp._settings import plain
from nnfs_xp._typing import Array
from nnfs_xp.backend import get_backend, host_generator, to_numpy
from nnfs_xp.data.batching import batches_of
from nnfs_xp.data.sources import Source, is_source, parts_of
from nnfs_xp.data.sparse import SparseRows
from nnfs_xp.data.transforms import Applied
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.layers import Layer
from nnfs_xp.learning import Learner
from nnfs_xp.learning.epoch import ArrayEpoch, Epoch, SourceEpoch
from nnfs_xp.learning.totals import Totals
from nnfs_xp.training.preparation import (
    check_lengths,
    prepare,
    prepare_inputs,
    prepare_targets,
)
from nnfs_xp.training.weights import batch_weights

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
    description : dict
        What must be the same where a training goes on.
    y_axes : int
        Axes of the targets as they were given.
    batch_size : int or None
        None where that is the source's own.
    """

    epoch: Epoch
    first: tuple[Any, ...]
    description: dict[str, Any]
    y_axes: int
    batch_size: int | None = None

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
    y = learner.backend.asarray(y)
    prepared = prepare(learner, totals, X, y, weights, class_weight)
    n_samples = prepared[0].shape[0]

    def order(epoch: int) -> np.ndarray[Any, Any] | None:
        return host_generator(learner.seed, epoch).permutation(n_samples) if shuffle else None

    dtype = learner.model.dtype or "float32"
    epoch = ArrayEpoch(learner.backend, dtype, accumulate, prepared, batch_size, order, applied)
    rest = min(n_samples % batch_size or batch_size, n_samples)
    if (found := _too_small(learner.model, rest, prepared[0].shape[1:])) is not None:
        raise ArgumentError(
            f"with {n_samples} samples and `batch_size` {batch_size}, a batch would have {rest}; "
            f"a layer of the model needs {found} at least."
        )
    description = {
        "batch_size": batch_size,
        "shuffle": shuffle,
        "samples": n_samples,
        "weighted": len(prepared) > 2,
        "transform": plain(transform),
    }
    return Fed(epoch, prepared, description, y.ndim, batch_size)


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
    )
    first = _tried_out(learner, totals, fed, epoch, learner.count)
    description = {
        "batch_size": None,
        "shuffle": None,
        "samples": None,
        "weighted": len(first) > 2,
        "transform": plain(transform),
    }
    return Fed(fed, first, description, preparer.y_axes)


def _applied(transform: Any, learner: Learner) -> Applied | None:
    if transform is None:
        return None
    return Applied(transform, learner.backend, learner.seed, learner.model.dtype or "float32")


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
    """

    batches: Callable[[int], Generator[tuple[Array, ...], None, None]]
    targets: Array
    n_samples: int | None
    close: Callable[[], None] = lambda: None


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
        return Evaluated(lambda _: batches_of(data, backend, batch_size), data[1], n)
    dtype = learner.model.dtype or "float32"
    preparer = BatchPreparer(learner, trains=False)
    epoch = SourceEpoch(backend, dtype, 1, Source(X), preparer)
    first = _tried_out(learner, totals, epoch, number, 0)

    def walk(number: int) -> Generator[tuple[Array, ...], None, None]:
        for group in epoch.walk(number, 0, 0):
            yield epoch.arrays_of(group[0])

    return Evaluated(walk, backend.asarray(first[1]), None, epoch.close)


class BatchPreparer:
    """Checks the batches that a source gives, and casts them: in any thread.

    It does so on the host. Arrays that are on the trainer's device already stay there, and looking
    at their values waits for it.

    Parameters
    ----------
    learner : Learner
    class_weight : mapping or array, optional
    trains : bool
        Whether layers that need several samples in training must have them.

    Attributes
    ----------
    y_axes : int
        Axes of the targets as they were given.
    """

    y_axes = 0

    def __init__(self, learner: Learner, *, class_weight: Any = None, trains: bool = True) -> None:
        if isinstance(class_weight, str):
            raise ArgumentError(
                f"`class_weight` {shown(repr(class_weight))} needs the labels of all samples, "
                "which a source of batches does not tell beforehand. Give a weight for each class."
            )
        self._learner = learner
        self._class_weight = class_weight
        self._host = get_backend("numpy")
        self._dtype = learner.model.dtype or "float32"
        layers = [layer for _, layer in learner.model.walk()]
        self._least = max(layer.smallest_batch for layer in layers) if trains else 1
        self._sample_shape: tuple[int, ...] = ()
        self._output_shape: tuple[int, ...] = ()
        self._n_parts = 0

    def __call__(self, item: Any, number: int) -> tuple[Any, ...]:
        with self._learner.backend.active():
            return self._prepared(item, number)

    def _prepared(self, item: Any, number: int) -> tuple[Any, ...]:
        learner = self._learner
        model, backend = learner.model, learner.backend
        x, y, *weights = parts_of(item, least=2)
        if number and self._n_parts and len(weights) + 2 != self._n_parts:
            raise DataError(
                f"it has {len(weights) + 2} parts, and those before it {self._n_parts}."
            )
        x = self.inputs(x)
        home = backend if backend.owns(y) else self._host
        y = home.asarray(y)
        check_lengths(x, y)
        if not self._n_parts:
            output = learner.chain.forward(backend.asarray(x[:1, ...]))
            self._output_shape = tuple(output.shape[1:])
            self._sample_shape = tuple(x.shape[1:])
            self.y_axes = y.ndim
            self._n_parts = len(weights) + 2
        n, sample_shape = x.shape[0], x.shape[1:]
        shape = (n, *self._output_of(sample_shape))
        if n < self._least and (found := _too_small(model, n, sample_shape)) is not None:
            raise DataError(f"it has {n} samples; a layer of the model needs {found} at least.")
        y = prepare_targets(learner.fused_loss, y, shape, home.dtype(self._dtype))
        if self._class_weight is None and not weights:
            return x, y
        counted = learner.fused_loss.counted(y, shape[:-1])
        found_weights = batch_weights(
            y,
            shape[-1],
            weights[0] if weights else None,
            self._class_weight,
            has_classes=learner.loss.has_classes,
            n_axes=len(shape) - 1,
            counted=None if counted is None else to_numpy(counted),
        )
        return x, y, found_weights.astype(self._dtype)

    def inputs(self, x: Any) -> Any:
        """The inputs of a batch, checked."""
        backend, model = self._learner.backend, self._learner.model
        if isinstance(x, np.ndarray) and self._is_as_before(x):
            check_finite("X", x, x)
            model.check_values(x)
            return x
        prepared = prepare_inputs(x, model, backend if backend.owns(x) else self._host)
        return prepared[:] if isinstance(prepared, SparseRows) else prepared

    def _is_as_before(self, x: np.ndarray[Any, Any]) -> bool:
        """Whether it is of the data type, and of the shape of the first batch's samples."""
        known = bool(self._n_parts) and x.dtype == self._dtype
        return known and x.shape[1:] == self._sample_shape and len(x) > 0

    def _output_of(self, sample_shape: Any) -> tuple[int, ...]:
        """The shape of one sample's output."""
        if tuple(sample_shape) == self._sample_shape:
            return self._output_shape
        model = self._learner.model
        if tuple(model.output_shape(self._sample_shape)) != self._output_shape:
            return self._output_shape  # a layer that does not say what it makes of shapes
        return tuple(n or 1 for n in model.output_shape(tuple(sample_shape)))


def _too_small(model: Layer, n: int, sample_shape: Any) -> int | None:
    """How many samples a layer needs in training, where so many are too few for it.

    Of sequences, all places count.
    """
    for layer, taken in model.shapes_within(tuple(sample_shape)):
        if n * prod(axis or 1 for axis in taken[:-1]) < layer.smallest_batch:
            return layer.smallest_batch
    return None
