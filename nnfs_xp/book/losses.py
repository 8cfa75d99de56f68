"""The book's losses, over those of the library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from nnfs_xp._checks import check_pair, check_weights
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of
from nnfs_xp.book._arrays import floating
from nnfs_xp.book.layers import Activation_Softmax, Layer_Dense
from nnfs_xp.errors import NotReadyError, ShapeError
from nnfs_xp.layers import Layer
from nnfs_xp.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    MeanAbsoluteError,
    MeanSquaredError,
    SoftmaxCategoricalCrossentropy,
)
from nnfs_xp.losses import Loss as _LibraryLoss


class Loss(_LibraryLoss):
    """Base class of the book's losses; derive from it to write one of your own.

    A loss gives two methods. ``forward(y_pred, y_true)`` returns the loss of each sample.
    ``backward(dvalues, y_true)`` sets ``self.dinputs`` to the gradient of their mean, given the
    predictions, which the book calls dvalues. Neither needs ``super().__init__()``.

    Attributes
    ----------
    dinputs : array, of the predictions' shape
        What `backward` has set.
    trainable_layers : sequence of Layer_Dense
        Those whose penalties count: see `remember_trainable_layers`.
    accumulated_sum, accumulated_count : float, int
        The sum of the samples' losses since the last `new_pass`, and how many there were.

    Notes
    -----
    Source: *Neural Networks from Scratch*, chapters 5, 14 and 19.
    """

    dinputs: Array
    trainable_layers: Sequence[Layer] = ()
    accumulated_sum = 0.0
    accumulated_count = 0

    def calculate(
        self,
        output: Any,
        y: Any,
        sample_weight: Array | None = None,
        *,
        include_regularization: bool = False,
    ) -> Any:
        """The mean loss; with `include_regularization`, the penalty of the layers beside it."""
        sample_losses = floating(self.forward(output, y))
        if sample_losses.ndim == 0:
            raise ShapeError(
                f"{type(self).__name__}.forward must return the loss of each sample; got a single "
                "number. Take the mean over the last axis: calculate takes that over the samples."
            )
        if sample_weight is not None:
            places = sample_losses.shape
            sample_losses = sample_losses * check_weights(sample_weight, sample_losses, places)
        total = backend_of(sample_losses).xp.sum(sample_losses)
        self.accumulated_sum += float(total)
        self.accumulated_count += sample_losses.shape[0]
        data_loss = total / prod(sample_losses.shape)
        return (data_loss, self.regularization_loss()) if include_regularization else data_loss

    def calculate_accumulated(self, *, include_regularization: bool = False) -> Any:
        """The mean loss since the last `new_pass`."""
        if not self.accumulated_count:
            raise NotReadyError("nothing was calculated since the last new_pass.")
        data_loss = self.accumulated_sum / self.accumulated_count
        return (data_loss, self.regularization_loss()) if include_regularization else data_loss

    def new_pass(self) -> None:
        """Start adding up anew."""
        self.accumulated_sum = 0.0
        self.accumulated_count = 0

    def remember_trainable_layers(self, trainable_layers: Iterable[Layer]) -> None:
        """Remember the layers whose penalties `regularization_loss` adds up."""
        self.trainable_layers = list(trainable_layers)

    def regularization_loss(self, layer: Layer_Dense | None = None) -> Any:
        """The penalty of one layer, as in chapter 14, or of all that are remembered."""
        layers = self.trainable_layers if layer is None else [layer]
        penalties = (each.regularization_loss() for each in layers)
        return sum(penalty for penalty in penalties if penalty is not None)


class _BookLoss(Loss):
    """Takes lists and any numbers, and keeps `dinputs`."""

    def forward(self, y_pred: Any, y_true: Any) -> Array:
        """The loss of each sample. Unlike the library's, it reads the labels' values."""
        y_pred, y_true = self._arrays(y_pred, y_true)
        check_pair(y_pred, y_true)
        y_true = self.prepare_targets(y_true, y_pred.shape[1], y_pred.dtype)
        return super().forward(y_pred, y_true)

    def backward(self, dvalues: Any, y_true: Any, sample_weight: Array | None = None) -> Array:
        """The gradient, given the predictions, which the book calls dvalues."""
        y_pred, y_true = self._arrays(dvalues, y_true)
        self.dinputs = super().backward(y_pred, y_true, sample_weight)
        return self.dinputs

    def _arrays(self, y_pred: Any, y_true: Any) -> tuple[Array, Array]:
        y_pred = floating(y_pred)
        backend = backend_of(y_pred)
        y_true = backend.asarray(y_true)
        if backend.is_floating(y_true.dtype):
            y_true = backend.asarray(y_true, y_pred.dtype)
        return y_pred, y_true


class Loss_CategoricalCrossentropy(_BookLoss, CategoricalCrossentropy):
    """`CategoricalCrossentropy`."""


class Loss_BinaryCrossentropy(_BookLoss, BinaryCrossentropy):
    """`BinaryCrossentropy`."""


class Loss_MeanSquaredError(_BookLoss, MeanSquaredError):
    """`MeanSquaredError`."""


class Loss_MeanAbsoluteError(_BookLoss, MeanAbsoluteError):
    """`MeanAbsoluteError`."""


class Activation_Softmax_Loss_CategoricalCrossentropy:
    """Softmax and cross-entropy with their common derivative, (y_pred - y_true) / samples.

    Attributes
    ----------
    activation : Activation_Softmax
    loss : Loss_CategoricalCrossentropy
    output : array, shape (samples, classes)
        The probabilities of the last `forward`.
    dinputs : array, shape (samples, classes)
        The gradient by the inputs of the softmax.

    Notes
    -----
    Source: *Neural Networks from Scratch*, chapter 9.
    """

    output: Array
    dinputs: Array

    def __init__(self) -> None:
        self.activation = Activation_Softmax()
        self.loss = Loss_CategoricalCrossentropy()

    def forward(self, inputs: Any, y_true: Any) -> Array:
        """The mean loss of the softmax of the inputs."""
        self.output = self.activation.forward(inputs)
        loss: Array = self.loss.calculate(self.output, y_true)
        return loss

    def backward(self, dvalues: Any, y_true: Any) -> Array:
        """The gradient by the softmax's inputs, given its output as dvalues."""
        probabilities, y_true = self.loss._arrays(dvalues, y_true)
        common = SoftmaxCategoricalCrossentropy(self.loss.label_smoothing)
        self.dinputs = common.backward_from_probabilities(probabilities, y_true)
        return self.dinputs
