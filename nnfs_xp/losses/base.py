"""What every loss is: a number for each sample, their mean, and the gradient of the mean."""

from __future__ import annotations

from math import prod
from typing import Any

from nnfs_xp import _checks
from nnfs_xp._rows import as_before, one_hot
from nnfs_xp._settings import repr_of
from nnfs_xp._typing import Array, DType, Namespace
from nnfs_xp.backend import backend_of
from nnfs_xp.errors import ArgumentError, NnfsError
from nnfs_xp.layers.base import Layer
from nnfs_xp.metrics import Metric


class Loss:
    """Base class of the losses; derive from it to write one of your own.

    A loss gives `forward` and `backward`; the rest has defaults that suffice for training with
    ``metrics=()``. `probabilities` and `predictions` say what a model's output means under the
    loss; `accuracy` is the metric of that name for it.

    Predictions have any shape: outputs lie on the last axis, and everything before it is rows, of
    which each has a loss, and counts the same in their mean.

    Attributes
    ----------
    has_classes : bool
        Whether the targets name classes, so that weights of classes have a meaning.
    """

    has_classes: bool = False
    n_targets: int | None = None
    """How many numbers a row's target has, where that is not as many as there are outputs."""

    __repr__ = repr_of

    @property
    def ignores_some(self) -> bool:
        """Whether some targets do not count: see `counted`."""
        return type(self).counted is not Loss.counted

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        """The loss of each sample, shape (batch, …), unweighted: a number for each place."""
        raise NotImplementedError

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        """The gradient of `calculate`'s mean by y_pred, of y_pred's shape.

        A loss that does not use the weights itself ends with
        ``return self.weigh(dinputs, sample_weight)``.

        Parameters
        ----------
        y_pred : array, shape (batch, …, outputs)
        y_true : array
        sample_weight : array, shape (batch,) or (batch, …), optional
            On y_pred's device, of its dtype. Each row of the gradient is multiplied by its
            sample's weight, or its own, and still divided by the number of rows.
        """
        raise NotImplementedError

    def calculate(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        """The mean of the samples' losses, a 0-d array on their device.

        Parameters
        ----------
        y_pred : array, shape (batch, …, outputs)
        y_true : array
        sample_weight : array, shape (batch,) or (batch, …), optional
            On y_pred's device, of its dtype.

        Notes
        -----
        mean = sum(sample_weight * losses) / rows: a weighted average where the weights have the
        mean 1, as `Trainer.fit` makes them over the whole data set.
        """
        losses = self.forward(y_pred, y_true)
        return self._mean(losses, sample_weight, self.count(y_pred, y_true))

    def count(self, y_pred: Array, y_true: Array) -> Any:
        """What the sum of the losses is divided by: `n_counted`, but 1 where that is 0."""
        n = self.n_counted(y_pred, y_true)
        return n if isinstance(n, int) else backend_of(y_pred).xp.maximum(n, 1.0)

    def n_counted(self, y_pred: Array, y_true: Array) -> Any:
        """How many losses there are: a number, or a 0-d array where not all count."""
        places = y_pred.shape[:-1]
        counted = self.counted(y_true, places)
        if counted is None:
            return prod(places)
        xp = backend_of(y_pred).xp
        return xp.sum(xp.astype(counted, y_pred.dtype))

    @staticmethod
    def _mean(losses: Array, sample_weight: Array | None, count: Any) -> Array:
        """The weighted mean of the losses, so many of which count."""
        if sample_weight is not None:
            losses = losses * _checks.check_weights(sample_weight, losses, losses.shape)
        backend = backend_of(losses)
        return backend.kernels.mean_loss(backend.xp, losses, count)

    def counted(self, y_true: Array, places: tuple[int, ...]) -> Array | None:
        """Which targets count, booleans of shape (batch, …); None where all do.

        Parameters
        ----------
        y_true : array
        places : tuple of int
            The axes of the predictions before the last one.
        """
        del y_true, places
        return None

    def calculate_and_backward(
        self, y_pred: Array, y_true: Array, sample_weight: Array | None = None
    ) -> tuple[Array, Array]:
        """What `calculate` and `backward` give, for losses that have both in one pass."""
        weights = () if sample_weight is None else (sample_weight,)
        return self.calculate(y_pred, y_true, *weights), self.backward(y_pred, y_true, *weights)

    @classmethod
    def _of_rows(
        cls,
        xp: Namespace,
        y_pred: Array,
        losses: Array,
        dinputs: Array,
        sample_weight: Array | None,
    ) -> tuple[Array, Array]:
        """What `calculate_and_backward` gives, of a kernel's losses and gradient of all rows."""
        if y_pred.ndim > 2:
            losses, dinputs = xp.reshape(losses, y_pred.shape[:-1]), as_before(xp, dinputs, y_pred)
        return cls._weighted(xp, losses, dinputs, sample_weight, prod(losses.shape))

    @staticmethod
    def _weighted(
        xp: Namespace, losses: Array, dinputs: Array, sample_weight: Array | None, count: Any
    ) -> tuple[Array, Array]:
        """The mean of the losses, so many of which count, and the gradient, both weighted."""
        kernels = backend_of(losses).kernels
        if sample_weight is not None:
            weights = _checks.check_weights(sample_weight, losses, losses.shape)
            losses, dinputs = kernels.weighted(xp, losses, dinputs, weights)
        return kernels.mean_loss(xp, losses, count), dinputs

    @staticmethod
    def weigh(dinputs: Array, sample_weight: Array | None) -> Array:
        """Multiply each row of the gradient by its sample's weight, if there are weights."""
        if sample_weight is None:
            return dinputs
        return (
            dinputs * _checks.check_weights(sample_weight, dinputs, dinputs.shape[:-1])[..., None]
        )

    def prepare_targets(self, y_true: Array, n_outputs: int, dtype: DType) -> Array:
        """The targets as training takes them, or an error where they do not fit the model.

        It reads the values, and so waits for the device: once before training, not in a step.
        By default it only casts floating targets to the model's dtype. Targets of samples that are
        no rows come as rows: all places of all samples one below the other.

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
        del n_outputs
        backend = backend_of(y_true)
        return backend.asarray(y_true, dtype) if backend.is_floating(y_true.dtype) else y_true

    def fused_with(self, layer: Layer) -> Loss | None:
        """The loss that does this layer's work too, where it is a model's last one; else None."""
        del layer
        return None

    def accuracy(self) -> Metric:
        """The metric called accuracy under this loss.

        Raises
        ------
        ArgumentError
            The loss has no accuracy.
        """
        raise ArgumentError(
            f"{type(self).__name__} has no accuracy; give metrics=() or metrics that fit it."
        )

    def probabilities(self, y_pred: Array) -> Array:
        """The probabilities that a model's output stands for, shape (batch, …, outputs).

        Raises
        ------
        NnfsError
            The output stands for no probability: it is a value or a score.
        """
        del y_pred
        raise NnfsError(f"{type(self).__name__} has no probabilities: its outputs are no logits.")

    @property
    def has_probabilities(self) -> bool:
        """Whether a model's output stands for probabilities."""
        return type(self).probabilities is not Loss.probabilities

    def predictions(self, y_pred: Array) -> Array:
        """The class labels, or values, that a model's output stands for."""
        return y_pred

    def decisions(self, y_pred: Array) -> Array:
        """What `predictions` says, in the shape of y_pred and of its dtype, for metrics.

        That is 0 and 1 for each output, of classes a single 1; and else values.
        """
        if not self.has_classes or y_pred.shape[-1] == 1:
            return self.predictions(y_pred)
        xp = backend_of(y_pred).xp
        rows = one_hot(xp, xp.argmax(y_pred, axis=-1), y_pred.shape[-1])
        decided: Array = xp.astype(rows, y_pred.dtype)
        return decided

    def class_scores(self, y_pred: Array) -> Array:
        """Scores of classes, the highest of which is the one predicted; of one output, 0 and 1.

        Raises
        ------
        ArgumentError
            The outputs tell no single class.
        """
        return y_pred if self.has_classes and y_pred.shape[-1] > 1 else self.decisions(y_pred)

    def as_seen(self, y_pred: Array, kind: str) -> Array:
        """What a metric sees of a model's output, by its kind: see `Metric.sees`."""
        if kind == "classes":
            return self.class_scores(y_pred)
        if kind == "predictions" or not (self.has_probabilities or self.has_classes):
            return self.decisions(y_pred)
        return self.probabilities(y_pred) if self.has_probabilities else y_pred
