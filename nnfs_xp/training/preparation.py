"""Data on their way into a model: checked once, cast, and moved to the device if they fit there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from nnfs_xp._checks import of_argument
from nnfs_xp._finite import check_finite
from nnfs_xp._typing import Array, DType
from nnfs_xp.backend import Backend, as_dense, backend_of, to_numpy
from nnfs_xp.data.batching import batches_of, place
from nnfs_xp.data.rows import Rows
from nnfs_xp.data.scaled import Scaled
from nnfs_xp.errors import DataError, LabelError, ShapeError
from nnfs_xp.layers import Layer
from nnfs_xp.layers.base import shapes_agree
from nnfs_xp.learning import Learner
from nnfs_xp.learning.totals import Totals
from nnfs_xp.losses import Loss
from nnfs_xp.training.weights import prepare_weights

_PIECE = 2**20
"""Elements of samples that are no arrays that are looked at together."""

_MANY = 2**22
"""Whole numbers that are kept as they are until a batch is taken: as floats they take 16 MB."""


def prepare(
    learner: Learner,
    totals: Totals,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    class_weight: Any = None,
) -> tuple[Any, ...]:
    """The data as batches are taken from them: inputs, targets, and weights if there are any.

    Raises
    ------
    NnfsError
        They are unfit for the model, the loss or the metrics.
    """
    model, backend, loss = learner.model, learner.backend, learner.fused_loss
    if _stays_narrow(X):
        X = Scaled(X, dtype=model.dtype or "float32")
    X = prepare_inputs(X, model, backend)
    with of_argument("y"):
        y = backend.asarray(y)
    check_lengths(X, y)
    output = learner.chain.forward(backend.asarray(X[:1, ...]))
    n_outputs = output.shape[-1]
    y = prepare_targets(loss, y, (X.shape[0], *output.shape[1:]), output.dtype)
    with _naming_y():
        totals.try_out(output, y[:1, ...])
    counted = loss.counted(y, (y.shape[0], *output.shape[1:-1]))
    if counted is not None and not bool(backend.xp.any(counted)):
        label = getattr(loss, "ignore_index", "left out")
        raise LabelError(f"every label of `y` is {label}, and does not count; nothing would.")
    weights = prepare_weights(
        y,
        n_outputs,
        sample_weight,
        class_weight,
        has_classes=learner.loss.has_classes,
        n_axes=output.ndim - 1,
        counted=None if counted is None else to_numpy(counted),
    )
    if weights is None:
        return X, y
    return X, y, backend.asarray(weights, model.dtype or "float32")


def _stays_narrow(X: Any) -> bool:
    """Whether these are many whole numbers that take less room than floats."""
    kept = type(X) is np.ndarray and X.dtype.kind in "bui" and X.dtype.itemsize < 4
    return kept and X.size >= _MANY


def prepare_targets(loss: Loss, y: Array, shape: tuple[int, ...], dtype: DType) -> Array:
    """The targets as training takes them: rows for the loss to check, then in their shape again.

    Parameters
    ----------
    loss : Loss
    y : array
    shape : tuple of int
        Of the model's output, for as many samples.
    dtype : data type
        Of the model, on the backend of the targets.

    Raises
    ------
    LabelError
        They have not the axes of the model's output, or are none for the loss.
    """
    n_outputs = shape[-1]
    with np.errstate(over="ignore"), _naming_y():  # what a cast makes infinite is refused
        if len(shape) == 2:
            return loss.prepare_targets(y, n_outputs, dtype)
        places = shape[:-1]
        whole = (*places, loss.n_targets or n_outputs)
        if tuple(y.shape) not in (places, whole):
            raise LabelError(
                f"`y` must have shape {places}, a target for each place, or {whole}; got "
                f"{tuple(y.shape)}."
            )
        xp = backend_of(y).xp
        rows = xp.reshape(y, (-1, *y.shape[len(places) :]))
        rows = loss.prepare_targets(rows, n_outputs, dtype)
    prepared: Array = xp.reshape(rows, (*places, *rows.shape[1:]))
    return prepared


@contextmanager
def _naming_y() -> Iterator[None]:
    """Let errors call the targets `y`, as the user's argument is, not as that of the losses."""
    try:
        yield
    except (LabelError, DataError) as error:
        error.args = tuple(
            each.replace("`y_true`", "`y`") if isinstance(each, str) else each
            for each in error.args
        )
        raise


def prepare_inputs(X: Any, model: Layer, backend: Backend) -> Any:
    """The inputs on the device, or as a NumPy array if they do not fit there, or as `Rows`.

    Raises
    ------
    ShapeError, DTypeError, DataError
        They are unfit for the model.
    """
    given = X
    with of_argument("X"):
        X = place(X, backend, model.dtype or "float32")
    check_shape(tuple(X.shape), model)
    if isinstance(X, Rows):
        stored = X.stored
        if stored.size:
            check_finite("X", stored, X.uncast)
        if _reads_values(model):
            for (x,) in batches_of((X,), backend, max(1, _PIECE // prod(X.shape[1:]))):
                model.check_values(as_dense(x))
        return X
    check_finite("X", X, given)
    model.check_values(X)
    return X


def _reads_values(model: Layer) -> bool:
    """Whether a layer refuses some values, codes out of range for example."""
    layers = (layer for _, layer in model.walk() if not layer.children)
    return any(type(layer).check_values is not Layer.check_values for layer in layers)


def check_shape(shape: tuple[int, ...], model: Layer) -> None:
    """Refuse the shape of inputs that the model cannot take."""
    expected = model.input_shape
    if len(shape) < 2:
        raise ShapeError(
            f"`X` must have shape (samples, features); got {shape}. For one sample, use "
            "X.reshape(1, -1); for one feature, X.reshape(-1, 1)."
        )
    if 0 in shape:
        raise ShapeError(f"`X` is empty: shape {shape}. At least 1 sample is needed.")
    if expected is None:
        return
    if shapes_agree(expected, shape[1:]):
        return
    wanted = ", ".join("any" if axis is None else str(axis) for axis in expected)
    hint = " Did you mean to transpose?" if shape[:1] == expected else ""
    if len(shape) == 2 or model.says_input_shape:
        raise ShapeError(f"`X` must have shape (samples, {wanted}); got {shape}.{hint}")
    try:
        model.output_shape(shape[1:])
    except ShapeError as error:
        raise ShapeError(
            f"`X` must have shape (samples, {wanted}), or one that the layers can take with more "
            f"axes before the last; got {shape}: {error}"
        ) from None


def check_lengths(X: Any, y: Any) -> None:
    """Refuse targets that are not one for each sample."""
    if y.ndim == 0 or y.shape[0] != X.shape[0]:
        raise LabelError(
            f"`y` must have one entry for each of the {X.shape[0]} samples; "
            f"got shape {tuple(y.shape)}."
        )
