"""What a model makes of data: the loss and the metrics, and the outputs piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import is_array, to_numpy
from nnfs_xp.data.batching import batches
from nnfs_xp.data.sparse import SparseRows, is_sparse
from nnfs_xp.learning import Learner, Recorder
from nnfs_xp.learning.memory import MemoryExplained
from nnfs_xp.learning.totals import Totals
from nnfs_xp.training.preparation import check_shape, prepare_inputs

EVALUATION_BATCH = 1024


def evaluate(
    learner: Learner, totals: Totals, data: tuple[Any, ...], batch_size: int = EVALUATION_BATCH
) -> dict[str, Any]:
    """The loss, penalties included, and the metrics, on data that are checked and placed.

    Parameters
    ----------
    learner : Learner
    totals : Totals
        Of nothing so far.
    data : tuple of arrays
        Inputs, targets, and weights if there are any.
    batch_size : int
    """
    penalty = learner.model.regularization_loss()
    for x, *targets in batches(data, learner.backend, batch_size):
        output = learner.chain.forward(x)
        loss = learner.fused_loss.calculate(output, *targets)
        totals.add(loss if penalty is None else loss + penalty, output, *targets)
    return totals.read()


def outputs(
    recorder: Recorder, X: Any, batch_size: int, interpret: Callable[[Array], Array]
) -> np.ndarray[Any, Any]:
    """What the model's outputs for these samples stand for, as `interpret` says, on the host."""
    learner = recorder.learner
    backend = learner.backend
    batch_size = _checks.check_count("batch_size", batch_size)
    if is_sparse(X):
        X = SparseRows(X)
    elif not is_array(X):
        X = to_numpy(X)
    check_shape(tuple(X.shape), learner.model)
    parts = []
    with backend.active(), MemoryExplained(recorder, batch_size):
        for start in range(0, X.shape[0], batch_size):
            piece = X[start : min(start + batch_size, X.shape[0]), ...]
            x = backend.asarray(prepare_inputs(piece, learner.model, backend))
            parts.append(to_numpy(interpret(learner.chain.forward(x))))
    return np.concatenate(parts)
