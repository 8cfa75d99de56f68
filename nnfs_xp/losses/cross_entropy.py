"""Cross-entropy: for classes and for yes-or-no outputs, on probabilities and on logits."""

from __future__ import annotations

from math import prod

from nnfs_xp._typing import Array, DType, Namespace
from nnfs_xp.backend import backend_of
from nnfs_xp.errors import LabelError
from nnfs_xp.kernels import standard
from nnfs_xp.layers import Layer, Sigmoid, Softmax
from nnfs_xp.losses.base import Loss, check_pair
from nnfs_xp.losses.regression import match_outputs
from nnfs_xp.metrics import BinaryAccuracy, CategoricalAccuracy, Metric

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1, so that no logarithm is infinite."""


def _clip(xp: Namespace, y_pred: Array) -> Array:
    clipped: Array = xp.minimum(xp.maximum(y_pred, EPSILON), 1 - EPSILON)
    return clipped


class _Categorical(Loss):
    """What the two losses on classes share: the labels."""

    def prepare_targets(self, y_true: Array, n_outputs: int, dtype: DType) -> Array:
        xp = backend_of(y_true).xp
        if y_true.ndim == 2:
            _check_one_hot_shape(y_true, n_outputs)
            rows: Array = xp.astype(y_true, dtype, copy=False)
            is_binary = xp.all((rows == 0) | (rows == 1), axis=1)
            if not bool(xp.all(is_binary & (xp.sum(rows, axis=1) == 1))):
                raise LabelError("each one-hot row of `y_true` must hold one 1 and otherwise 0.")
            return rows
        _check_integers(xp, y_true)
        low, high = int(xp.min(y_true)), int(xp.max(y_true))
        if low < 0 or high >= n_outputs:
            raise LabelError(
                f"`y_true` must hold class indices from 0 to {n_outputs - 1}, one for each of the "
                f"model's outputs; got values from {low} to {high}."
            )
        labels: Array = xp.astype(y_true, xp.int64, copy=False)
        return labels

    def accuracy(self) -> Metric:
        return CategoricalAccuracy()

    def predictions(self, y_pred: Array) -> Array:
        labels: Array = backend_of(y_pred).xp.argmax(y_pred, axis=1)
        return labels


def _check_one_hot_shape(y_true: Array, n_outputs: int) -> None:
    if y_true.shape[1] != n_outputs:
        hint = " For class indices, flatten it to shape (batch,)." if y_true.shape[1] == 1 else ""
        raise LabelError(
            f"one-hot rows of `y_true` must have {n_outputs} columns, one for each output; "
            f"got shape {tuple(y_true.shape)}.{hint}"
        )


def _check_integers(xp: Namespace, y_true: Array) -> None:
    if y_true.ndim != 1:
        raise LabelError(
            "`y_true` must be class indices of shape (batch,) or one-hot rows of shape "
            f"(batch, classes); got shape {tuple(y_true.shape)}."
        )
    if not xp.isdtype(y_true.dtype, "integral"):
        raise LabelError(
            f"class indices must be integers; got {y_true.dtype}. Convert them, with "
            "astype(int) for example."
        )


def _one_hot(xp: Namespace, y_pred: Array, y_true: Array) -> Array:
    """The labels as one-hot rows like y_pred. A label that is no class becomes a row of NaN.

    To look for such labels and raise would have to wait for the device. So the loss and the
    gradient of that sample are NaN, which cannot pass unseen.
    """
    n, k = y_pred.shape
    if y_true.ndim == 2:
        _check_one_hot_shape(y_true, k)
    else:
        _check_integers(xp, y_true)
    if y_true.shape[0] != n:
        raise LabelError(
            f"`y_true` must have one label for each of the {n} samples; got {y_true.shape[0]}."
        )
    if y_true.ndim == 2:
        rows: Array = xp.astype(y_true, y_pred.dtype, copy=False)
        return rows
    labels = xp.astype(y_true, xp.int64, copy=False)[:, None]
    rows = xp.astype(labels == xp.arange(k, dtype=xp.int64, device=y_pred.device), y_pred.dtype)
    marked: Array = xp.where((labels >= 0) & (labels < k), rows, float("nan"))
    return marked


class CategoricalCrossentropy(_Categorical):
    """Cross-entropy of predicted probabilities with the true classes.

    Labels are class indices, integers of shape (batch,), or one-hot rows of shape
    (batch, classes). A model that ends in `Softmax` and is trained with this loss takes the
    gradients of both together.

    Raises
    ------
    LabelError
        The labels have the wrong length, shape or type. A label that is no class gives NaN
        here, since to look for it would wait for the device; `prepare_targets`, which
        `Trainer.fit` calls first, raises.

    Notes
    -----
    Forward: loss = -log(y_pred[label]) for each sample, in nats per sample; probabilities are
    clipped to [1e-7, 1 - 1e-7].

    Backward: dinputs = -y_true / y_pred / batch, with y_true one-hot and y_pred clipped.

    Source: *Neural Networks from Scratch*, chapters 5 and 9.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp = check_pair(y_pred, y_true).xp
        one_hot = _one_hot(xp, y_pred, y_true)
        losses: Array = -xp.sum(one_hot * xp.log(_clip(xp, y_pred)), axis=1)
        return losses

    def backward(self, y_pred: Array, y_true: Array) -> Array:
        xp = check_pair(y_pred, y_true).xp
        return -_one_hot(xp, y_pred, y_true) / _clip(xp, y_pred) / y_pred.shape[0]

    def fused_with(self, layer: Layer) -> Loss | None:
        return SoftmaxCategoricalCrossentropy() if type(layer) is Softmax else None

    def probabilities(self, y_pred: Array) -> Array:
        return y_pred


class SoftmaxCategoricalCrossentropy(_Categorical):
    """Softmax and cross-entropy in one: on logits, without a probability to divide by.

    Labels as for `CategoricalCrossentropy`, and the same errors.

    Notes
    -----
    Forward: loss = -log_softmax(y_pred)[label] for each sample, in nats per sample.

    Backward: dinputs = (softmax(y_pred) - y_true) / batch, with y_true one-hot.

    Source: *Neural Networks from Scratch*, chapter 9, the common derivative.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp = check_pair(y_pred, y_true).xp
        one_hot = _one_hot(xp, y_pred, y_true)
        losses: Array = -xp.sum(one_hot * standard.log_softmax(xp, y_pred), axis=1)
        return losses

    def backward(self, y_pred: Array, y_true: Array) -> Array:
        xp = check_pair(y_pred, y_true).xp
        return self.backward_from_probabilities(standard.softmax(xp, y_pred), y_true)

    def backward_from_probabilities(self, probabilities: Array, y_true: Array) -> Array:
        """The same gradient, given softmax(y_pred) instead of y_pred."""
        xp = check_pair(probabilities, y_true).xp
        dinputs = probabilities - _one_hot(xp, probabilities, y_true)
        dinputs /= probabilities.shape[0]
        return dinputs

    def probabilities(self, y_pred: Array) -> Array:
        return standard.softmax(backend_of(y_pred).xp, y_pred)


class _Binary(Loss):
    """What the two losses on yes-or-no outputs share: the labels."""

    def prepare_targets(self, y_true: Array, n_outputs: int, dtype: DType) -> Array:
        xp = backend_of(y_true).xp
        y_true = xp.astype(match_outputs(y_true, (y_true.shape[0], n_outputs)), dtype, copy=False)
        if not bool(xp.all((y_true == 0) | (y_true == 1))):
            raise LabelError("`y_true` must hold 0 and 1 only, one column for each output.")
        return y_true


class BinaryCrossentropy(_Binary):
    """Cross-entropy of independent yes-or-no outputs with the true answers, 0 or 1.

    `y_true` has the shape of `y_pred`, (batch, outputs), or (batch,) for one output. A model
    that ends in `Sigmoid` and is trained with this loss takes the gradients of both together.

    Raises
    ------
    LabelError
        `y_true` has another shape.

    Notes
    -----
    Forward: loss = the mean over the outputs of -(y_true log(y_pred) + (1 - y_true)
    log(1 - y_pred)), in nats per sample and output; probabilities are clipped to
    [1e-7, 1 - 1e-7].

    Backward: dinputs = -(y_true / y_pred - (1 - y_true) / (1 - y_pred)) / outputs / batch.

    Source: *Neural Networks from Scratch*, chapter 16.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp = check_pair(y_pred, y_true).xp
        y_true = xp.astype(match_outputs(y_true, y_pred.shape), y_pred.dtype, copy=False)
        y_pred = _clip(xp, y_pred)
        losses: Array = -xp.mean(
            y_true * xp.log(y_pred) + (1 - y_true) * xp.log(1 - y_pred), axis=1
        )
        return losses

    def backward(self, y_pred: Array, y_true: Array) -> Array:
        xp = check_pair(y_pred, y_true).xp
        y_true = xp.astype(match_outputs(y_true, y_pred.shape), y_pred.dtype, copy=False)
        y_pred = _clip(xp, y_pred)
        return ((1 - y_true) / (1 - y_pred) - y_true / y_pred) / prod(y_pred.shape)

    def fused_with(self, layer: Layer) -> Loss | None:
        return SigmoidBinaryCrossentropy() if type(layer) is Sigmoid else None

    def accuracy(self) -> Metric:
        return BinaryAccuracy(threshold=0.5)

    def probabilities(self, y_pred: Array) -> Array:
        return y_pred

    def predictions(self, y_pred: Array) -> Array:
        xp = backend_of(y_pred).xp
        labels: Array = xp.astype(y_pred > 0.5, xp.int64)
        return labels


class SigmoidBinaryCrossentropy(_Binary):
    """Sigmoid and binary cross-entropy in one: on logits, exact at both tails.

    Labels as for `BinaryCrossentropy`, and the same errors.

    Notes
    -----
    Forward: loss = the mean over the outputs of max(z, 0) - z y_true + log(1 + exp(-|z|)), with
    the logits z = y_pred; in nats per sample and output.

    Backward: dinputs = (sigmoid(y_pred) - y_true) / outputs / batch.

    Source: *Neural Networks from Scratch*, chapter 16, with the two derivatives multiplied.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp = check_pair(y_pred, y_true).xp
        y_true = xp.astype(match_outputs(y_true, y_pred.shape), y_pred.dtype, copy=False)
        terms = xp.maximum(y_pred, 0.0) - y_pred * y_true + xp.log1p(xp.exp(-xp.abs(y_pred)))
        losses: Array = xp.mean(terms, axis=1)
        return losses

    def backward(self, y_pred: Array, y_true: Array) -> Array:
        xp = check_pair(y_pred, y_true).xp
        y_true = xp.astype(match_outputs(y_true, y_pred.shape), y_pred.dtype, copy=False)
        return (standard.sigmoid(xp, y_pred) - y_true) / prod(y_pred.shape)

    def accuracy(self) -> Metric:
        return BinaryAccuracy(threshold=0.0)

    def probabilities(self, y_pred: Array) -> Array:
        return standard.sigmoid(backend_of(y_pred).xp, y_pred)

    def predictions(self, y_pred: Array) -> Array:
        xp = backend_of(y_pred).xp
        labels: Array = xp.astype(y_pred > 0, xp.int64)
        return labels
