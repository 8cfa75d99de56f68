"""What a model makes of data: the loss and the metrics, and the outputs piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeAlias

import numpy as np

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import is_array, to_numpy
from nnfs_xp.data.batching import batches_of, own_copies
from nnfs_xp.data.reading import read_ahead
from nnfs_xp.data.scaled import Scaled
from nnfs_xp.data.sources import Source, is_source, numbered, parts_of
from nnfs_xp.data.sparse import is_sparse
from nnfs_xp.errors import ArgumentError
from nnfs_xp.learning import Learner, Recorder
from nnfs_xp.learning.memory import MemoryExplained
from nnfs_xp.learning.totals import Totals
from nnfs_xp.training.batch_preparation import BatchPreparer
from nnfs_xp.training.feeding import EVALUATION_BATCH
from nnfs_xp.training.preparation import check_shape, prepare_inputs

__all__ = ["EVALUATION_BATCH", "Views", "evaluate", "outputs"]

Views: TypeAlias = Sequence[Callable[[Array], Array]]
"""Functions of a batch of inputs, which give the same samples seen in another way."""


def evaluate(
    recorder: Recorder,
    totals: Totals,
    batches: Generator[tuple[Array, ...], None, None],
    views: Views = (),
) -> dict[str, Any]:
    """The loss, penalties included, and the metrics, on batches that are checked and placed.

    Parameters
    ----------
    recorder : Recorder
    totals : Totals
        Of nothing so far.
    batches : generator of tuples of arrays
        Inputs, targets, and weights if there are any; of one at least.
    views : sequence of callables
        See `outputs`.
    """
    learner, forward = recorder.learner, _seen(recorder, views)
    penalty = learner.model.regularization_loss()
    with closing(batches):
        for x, *targets in batches:
            output = forward(x)
            loss = learner.fused_loss.calculate(output, *targets)
            totals.add(loss if penalty is None else loss + penalty, output, *targets)
    return totals.over(learner.group).read()


def outputs(
    recorder: Recorder,
    X: Any,
    batch_size: int,
    interpret: Callable[[Array], Array],
    batch_axes: int | None = None,
    views: Views = (),
) -> np.ndarray[Any, Any]:
    """What the model's outputs for these samples stand for, as `interpret` says, on the host.

    Arrays in a list are batches where they have `batch_axes` axes: by default one more than the
    model's samples. With `views`, the model's outputs are the means of those for the samples as
    they are and for what each view makes of them.
    """
    learner, forward = recorder.learner, _seen(recorder, views)
    backend = learner.backend
    batch_size = _checks.check_count("batch_size", batch_size)
    with (
        backend.active(),
        MemoryExplained(recorder, batch_size),
        closing(_inputs(learner, X, batch_size, batch_axes)) as inputs,
    ):
        parts = [to_numpy(interpret(forward(x))) for x in inputs]
    return np.concatenate(parts)


def _seen(recorder: Recorder, views: Views) -> Callable[[Array], Array]:
    """What the chain puts out for a batch, on average over the views of it.

    Raises
    ------
    ArgumentError
        They are no functions; and from the result, a view gives no such batch.
    """
    if not isinstance(views, (list, tuple)) or not all(map(callable, views)):
        raise ArgumentError(f"`views` must be a list or a tuple of functions; got {views!r}.")
    if not views:
        return recorder.forward
    backend = recorder.learner.backend

    def forward(x: Array) -> Array:
        total = backend.xp.asarray(recorder.forward(x), copy=True)
        for view in views:
            seen = view(x)
            if not backend.owns(seen) or seen.dtype != x.dtype or seen.shape != x.shape:
                shape = tuple(getattr(seen, "shape", ()))
                raise ArgumentError(
                    f"a view must return an array of shape {tuple(x.shape)} and {x.dtype} on "
                    f"{backend.name}, as it was given; {view!r} returned {type(seen).__name__}"
                    f"{f' of shape {shape}' if shape else ''}."
                )
            total += recorder.forward(seen)
        mean: Array = total / (1 + len(views))
        return mean

    return forward


def _inputs(
    learner: Learner, X: Any, batch_size: int, batch_axes: int | None
) -> Generator[Array, None, None]:
    """The samples in batches on the device."""
    backend, model = learner.backend, learner.model
    if batch_axes is None and model.input_shape is not None:
        batch_axes = len(model.input_shape) + 1
    if _gives_batches(X, batch_axes):
        inputs = BatchPreparer(learner).inputs
        source = Source(X)

        def read() -> Iterator[tuple[Any, ...]]:
            found = numbered(source, 0, 0, lambda item, _: (inputs(parts_of(item)[0]),))
            return found if source.is_held else (own_copies(batch, backend) for batch in found)

        reader = read() if source.is_held else read_ahead(read, within=backend.as_here())
        yield from (batch[0] for batch in backend.streamed(reader))
        return
    if is_sparse(X):
        rows = prepare_inputs(X, model, backend)
        yield from (x for (x,) in batches_of((rows,), backend, batch_size))
        return
    if isinstance(X, Scaled):
        X = X.of_dtype(model.dtype)
    elif not is_array(X):
        X = to_numpy(X)
    check_shape(tuple(X.shape), model)
    for start in range(0, X.shape[0], batch_size):
        piece = X[start : min(start + batch_size, X.shape[0]), ...]
        yield backend.asarray(prepare_inputs(piece, model, backend))


def _gives_batches(X: Any, batch_axes: int | None) -> bool:
    """Whether these are batches: a list of arrays is one where each has the axes of a batch."""
    if isinstance(X, (list, tuple)) and len(X) and batch_axes is not None:
        axes = {len(getattr(each, "shape", ())) for each in X}
        if 0 not in axes:
            return axes == {batch_axes}
    return is_source(X)
