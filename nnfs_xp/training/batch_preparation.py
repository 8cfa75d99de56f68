"""Batches that a source gives, on their way into a model: each checked and cast when it comes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from nnfs_xp._checks import of_argument, shown
from nnfs_xp._finite import check_finite
from nnfs_xp.backend import get_backend, to_numpy
from nnfs_xp.data.rows import Rows
from nnfs_xp.data.sources import parts_of
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.layers import Layer
from nnfs_xp.learning import Learner
from nnfs_xp.training.preparation import check_lengths, prepare_inputs, prepare_targets
from nnfs_xp.training.weights import batch_weights


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
        del number
        with self._learner.backend.active():
            return self._prepared(item)

    def _prepared(self, item: Any) -> tuple[Any, ...]:
        learner = self._learner
        model, backend = learner.model, learner.backend
        x, y, *weights = parts_of(item, least=2)
        if self._n_parts and len(weights) + 2 != self._n_parts:
            raise DataError(
                f"it has {len(weights) + 2} parts, and those before it {self._n_parts}."
            )
        x = self.inputs(x)
        home = backend if backend.owns(y) else self._host
        with of_argument("y"):
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
        if n < self._least and (found := too_small(model, n, sample_shape)) is not None:
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
        if type(x) is np.ndarray and self._is_as_before(x):  # a masked array is another type
            check_finite("X", x, x)
            model.check_values(x)
            return x
        prepared = prepare_inputs(x, model, backend if backend.owns(x) else self._host)
        return to_numpy(prepared) if isinstance(prepared, Rows) else prepared

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


def too_small(model: Layer, n: int, sample_shape: Any) -> int | None:
    """How many samples a layer needs in training, where so many are too few for it.

    Of sequences, all places count.
    """
    for layer, taken in model.shapes_within(tuple(sample_shape)):
        if n * prod(axis or 1 for axis in taken[:-1]) < layer.smallest_batch:
            return layer.smallest_batch
    return None
