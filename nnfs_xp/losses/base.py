"""What every loss is: a number for each sample, their mean, and the gradient of the mean."""

from __future__ import annotations

from nnfs_xp import _checks
from nnfs_xp._typing import Array, DType
from nnfs_xp.backend import Backend, backend_of
from nnfs_xp.errors import BackendError, NnfsError
from nnfs_xp.layers.base import Layer
from nnfs_xp.metrics import Metric


class Loss:
    """Base class of the losses; derive from it to write one of your own.

    A loss gives `forward` and `backward`. What a model's output means under it is said by
    `probabilities` and `predictions`; `accuracy` is the metric of that name that fits.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        """The loss of each sample, shape (batch,)."""
        raise NotImplementedError

    def backward(self, y_pred: Array, y_true: Array) -> Array:
        """The gradient of the mean loss by y_pred, of y_pred's shape."""
        raise NotImplementedError

    def calculate(self, y_pred: Array, y_true: Array) -> Array:
        """The mean of the samples' losses, a 0-d array on their device."""
        losses = self.forward(y_pred, y_true)
        mean: Array = backend_of(losses).xp.mean(losses)
        return mean

    def prepare_targets(self, y_true: Array, n_outputs: int, dtype: DType) -> Array:
        """The targets as training takes them, or an error where they do not fit the model.

        Reads the values, and so waits for the device: once before training, not in a step.

        Parameters
        ----------
        y_true : array
        n_outputs : int
            Of the model.
        dtype : data type
            Of the model, on the backend of `y_true`.

        Raises
        ------
        LabelError
            The targets have the wrong shape, type or values.
        DataError
            The targets hold NaN or infinity.
        """
        raise NotImplementedError

    def fused_with(self, layer: Layer) -> Loss | None:
        """The loss that takes this layer in, if it is a model's last one; None if none does."""
        del layer
        return None

    def accuracy(self) -> Metric:
        """The metric called accuracy under this loss."""
        raise NotImplementedError

    def probabilities(self, y_pred: Array) -> Array:
        """The probabilities that a model's output stands for, shape (batch, outputs)."""
        del y_pred
        raise NnfsError(f"{type(self).__name__} has no probabilities: it is a regression's loss.")

    def predictions(self, y_pred: Array) -> Array:
        """The class labels, or values, that a model's output stands for."""
        return y_pred


def check_pair(y_pred: Array, y_true: Array) -> Backend:
    """Refuse predictions that are no batch, and targets on another device; return the backend."""
    backend = _checks.check_batch("y_pred", y_pred)
    if not backend.owns(y_true):
        raise BackendError(
            f"`y_pred` and `y_true` must be on one device; got {backend.name} and "
            f"{backend_of(y_true).name}. Move one with get_backend({backend.name!r}).asarray."
        )
    return backend
