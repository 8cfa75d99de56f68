"""Cross-entropy: for classes and for yes-or-no outputs, on probabilities and on logits."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, TypeAlias

from nnfs_xp import _checks
from nnfs_xp._rows import as_before, as_rows
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.backend import backend_of
from nnfs_xp.kernels import standard
from nnfs_xp.layers import Layer, Sigmoid, Softmax
from nnfs_xp.losses.base import Loss
from nnfs_xp.losses.targets import BinaryLoss, CategoricalLoss, dot_rows, where_counted

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1, so that no logarithm is infinite."""


_Logarithms: TypeAlias = Callable[[Namespace, Array], Array]
"""What makes the logarithms of probabilities of a model's output."""


def _clip(xp: Namespace, y_pred: Array) -> Array:
    clipped: Array = xp.minimum(xp.maximum(y_pred, EPSILON), 1 - EPSILON)
    return clipped


class _Categorical(CategoricalLoss):
    """What the two losses on classes share: targets that may be smoothed."""

    def __init__(self, label_smoothing: float = 0.0, *, ignore_index: int | None = None) -> None:
        super().__init__(ignore_index)
        self.label_smoothing = _checks.check_range("label_smoothing", label_smoothing, 0, 1)

    def _shares(self, y_pred: Array, y_true: Array) -> tuple[Namespace, Array, Array | None]:
        backend = _checks.check_pair(y_pred, y_true)
        return backend.xp, *self.shares_of(backend, y_pred, y_true, self.label_smoothing)

    def _expected(
        self, y_pred: Array, y_true: Array, logarithms: _Logarithms, *, of_each: bool = False
    ) -> Array:
        """The sum of t times the logarithms over the classes, for each sample.

        `of_each` says that each logarithm is of one output alone.
        """
        if self.label_smoothing or y_true.ndim == y_pred.ndim:
            xp, t, counted = self._shares(y_pred, y_true)
            return where_counted(xp, dot_rows(xp, t, logarithms(xp, y_pred)), counted)
        backend = _checks.check_pair(y_pred, y_true)
        labels, counted = self.labels_of(backend, y_pred, y_true)
        xp, picked = backend.xp, backend.kernels.picked
        if of_each:
            found = logarithms(xp, picked(xp, y_pred, labels))
        else:
            found = picked(xp, logarithms(xp, y_pred), labels)
        return where_counted(xp, found, counted)


class CategoricalCrossentropy(_Categorical):
    """Cross-entropy of predicted probabilities with the true classes.

    Labels are class indices, integers of shape (batch, …), or rows of shape (batch, …, classes)
    that hold the share of each class: one-hot, or of several classes. A model that ends in
    `Softmax` and is trained with this loss takes the gradients of both together.

    Parameters
    ----------
    label_smoothing : float
        The share of each target, in [0, 1), that is spread evenly over all classes.
    ignore_index : int, optional
        A label that does not count, and is no class, for places without one: the mean is over the
        others.

    Raises
    ------
    LabelError
        The labels have the wrong length, shape or type. A label that is no class gives NaN
        here, since to find it would wait for the device; `prepare_targets`, which
        `Trainer.fit` calls first, raises.
    DTypeError
        One-hot rows are floats of another dtype than the predictions.
    ArgumentError
        `ignore_index` is a class.

    Notes
    -----
    Forward: loss = -sum(t log(y_pred)) over the classes for each sample, in nats per sample, with
    t = (1 - label_smoothing) y_true + label_smoothing / classes and y_true one-hot; without
    smoothing -log(y_pred[label]). Probabilities are clipped to [1e-7, 1 - 1e-7]. Where a label
    does not count, the loss is 0.

    Backward: dinputs = -t / y_pred / n, with y_pred clipped and n the number of labels that count.

    Source: *Neural Networks from Scratch*, chapters 5 and 9; smoothing: Szegedy et al. 2016,
    *Rethinking the Inception Architecture for Computer Vision*, section 7.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        return -self._expected(y_pred, y_true, lambda xp, y: xp.log(_clip(xp, y)), of_each=True)

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp, t, counted = self._shares(y_pred, y_true)
        dinputs = -t / _clip(xp, y_pred) / self.count(y_pred, y_true)
        return self.weigh(where_counted(xp, dinputs, counted), sample_weight)

    def fused_with(self, layer: Layer) -> Loss | None:
        fused = SoftmaxCategoricalCrossentropy(self.label_smoothing, ignore_index=self.ignore_index)
        return fused if type(layer) is Softmax else None

    def probabilities(self, y_pred: Array) -> Array:
        return y_pred


class SoftmaxCategoricalCrossentropy(_Categorical):
    """Softmax and cross-entropy in one: on logits, without a probability to divide by.

    Labels, `label_smoothing`, `ignore_index` and errors are those of `CategoricalCrossentropy`.
    Logits may be -infinity, for a class that is ruled out.

    Notes
    -----
    Forward: loss = -sum(t log_softmax(y_pred)) over the classes, in nats per sample, with the t of
    `CategoricalCrossentropy`; without smoothing -log_softmax(y_pred)[label].

    Backward: dinputs = (softmax(y_pred) - t) / n, with the n of `CategoricalCrossentropy`, and 0
    where a label does not count.

    Source: *Neural Networks from Scratch*, chapter 9, the common derivative.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        return -self._expected(y_pred, y_true, standard.log_softmax)

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp = _checks.check_pair(y_pred, y_true).xp
        dinputs = self.backward_from_probabilities(standard.softmax(xp, y_pred), y_true)
        return self.weigh(dinputs, sample_weight)

    def calculate_and_backward(
        self, y_pred: Array, y_true: Array, sample_weight: Array | None = None
    ) -> tuple[Array, Array]:
        if type(self) is not SoftmaxCategoricalCrossentropy:  # it may override both
            return super().calculate_and_backward(y_pred, y_true, sample_weight)
        backend = _checks.check_pair(y_pred, y_true)
        xp = backend.xp
        labels, counted = self.labels_of(backend, y_pred, y_true)
        rows, of_rows = y_pred, labels
        if y_pred.ndim > 2:
            rows = as_rows(xp, y_pred)
            shares = labels.ndim == y_pred.ndim
            of_rows = as_rows(xp, labels) if shares else xp.reshape(labels, (-1,))
        losses, dinputs = backend.kernels.softmax_cross_entropy(
            xp, rows, of_rows, self.label_smoothing
        )
        count: Any = losses.shape[0]
        if y_pred.ndim > 2:
            losses, dinputs = xp.reshape(losses, y_pred.shape[:-1]), as_before(xp, dinputs, y_pred)
        if counted is not None:
            count = self.count(y_pred, y_true)
            losses = where_counted(xp, losses, counted)
            dinputs = where_counted(xp, dinputs * (prod(losses.shape) / count), counted)
        return self._weighted(xp, losses, dinputs, sample_weight, count)

    def backward_from_probabilities(self, probabilities: Array, y_true: Array) -> Array:
        """The gradient that `backward` gives, from softmax(y_pred) instead of y_pred."""
        if self.label_smoothing or y_true.ndim == probabilities.ndim:
            xp, t, counted = self._shares(probabilities, y_true)
            dinputs = probabilities - t
        else:
            backend = _checks.check_pair(probabilities, y_true)
            labels, counted = self.labels_of(backend, probabilities, y_true)
            xp = backend.xp
            dinputs = backend.kernels.less_one_hot(xp, probabilities, labels)
        dinputs /= self.count(probabilities, y_true)
        return where_counted(xp, dinputs, counted)

    def probabilities(self, y_pred: Array) -> Array:
        return standard.softmax(backend_of(y_pred).xp, y_pred)


class _Binary(BinaryLoss):
    """What the two losses on yes-or-no outputs share: targets that may be smoothed."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = _checks.check_range("label_smoothing", label_smoothing, 0, 1)

    def _shares(self, y_pred: Array, y_true: Array) -> tuple[Namespace, Array]:
        xp, shares = _checks.match_targets(y_pred, y_true)
        if self.label_smoothing:
            shares = shares * (1 - self.label_smoothing) + self.label_smoothing / 2
        return xp, shares


class BinaryCrossentropy(_Binary):
    """Cross-entropy of independent yes-or-no outputs with the true answers, 0 or 1.

    `y_true` has the shape of `y_pred`, (batch, …, outputs), or (batch, …) for one output. A model
    that ends in `Sigmoid` and is trained with this loss takes the gradients of both together.

    Parameters
    ----------
    label_smoothing : float
        In [0, 1): the answers 0 and 1 become label_smoothing / 2 and 1 - label_smoothing / 2.

    Raises
    ------
    LabelError
        `y_true` has another shape.
    DTypeError
        `y_true` holds floats of another dtype than the predictions.

    Notes
    -----
    Forward: loss = the mean over the outputs of -(t log(y_pred) + (1 - t) log(1 - y_pred)), in
    nats per sample and output, with t = (1 - label_smoothing) y_true + label_smoothing / 2;
    probabilities are clipped to [1e-7, 1 - 1e-7].

    Backward: dinputs = -(t / y_pred - (1 - t) / (1 - y_pred)) / outputs / rows.

    Source: *Neural Networks from Scratch*, chapter 16.
    """

    threshold = 0.5

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, t = self._shares(y_pred, y_true)
        y_pred = _clip(xp, y_pred)
        losses: Array = -xp.mean(t * xp.log(y_pred) + (1 - t) * xp.log(1 - y_pred), axis=-1)
        return losses

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp, t = self._shares(y_pred, y_true)
        y_pred = _clip(xp, y_pred)
        dinputs = ((1 - t) / (1 - y_pred) - t / y_pred) / prod(y_pred.shape)
        return self.weigh(dinputs, sample_weight)

    def fused_with(self, layer: Layer) -> Loss | None:
        fused = SigmoidBinaryCrossentropy(self.label_smoothing)
        return fused if type(layer) is Sigmoid else None

    def probabilities(self, y_pred: Array) -> Array:
        return y_pred


class SigmoidBinaryCrossentropy(_Binary):
    """Sigmoid and binary cross-entropy in one: on logits, exact at both tails.

    `y_true`, `label_smoothing` and errors are those of `BinaryCrossentropy`. Logits may be
    infinite.

    Notes
    -----
    Forward: loss = the mean over the outputs of abs(z) w + log(1 + exp(-abs(z))), with the
    logits z = y_pred, the t of `BinaryCrossentropy`, and w the share of t on the other side,
    1 - t where z >= 0, else t; in nats per sample and output.

    Backward: dinputs = (sigmoid(y_pred) - t) / outputs / rows.

    Source: *Neural Networks from Scratch*, chapter 16, with the two derivatives multiplied.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, t = self._shares(y_pred, y_true)
        size = xp.abs(y_pred)
        wrong = xp.where(y_pred >= 0, 1 - t, t)
        terms = wrong * xp.where(wrong != 0, size, 0.0) + xp.log1p(xp.exp(-size))
        losses: Array = xp.mean(terms, axis=-1)
        return losses

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp, t = self._shares(y_pred, y_true)
        dinputs = (standard.sigmoid(xp, y_pred) - t) / prod(y_pred.shape)
        return self.weigh(dinputs, sample_weight)

    def calculate_and_backward(
        self, y_pred: Array, y_true: Array, sample_weight: Array | None = None
    ) -> tuple[Array, Array]:
        if type(self) is not SigmoidBinaryCrossentropy:  # it may override both
            return super().calculate_and_backward(y_pred, y_true, sample_weight)
        xp, t = self._shares(y_pred, y_true)
        losses, dinputs = backend_of(y_pred).kernels.sigmoid_cross_entropy(
            xp, as_rows(xp, y_pred), as_rows(xp, t)
        )
        return self._of_rows(xp, y_pred, losses, dinputs, sample_weight)

    def probabilities(self, y_pred: Array) -> Array:
        return standard.sigmoid(backend_of(y_pred).xp, y_pred)
