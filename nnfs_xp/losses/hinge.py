"""Hinge losses: a score that is right by a margin of 1 costs nothing."""

from __future__ import annotations

from math import prod

from nnfs_xp import _checks
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.losses.targets import BinaryLoss, CategoricalLoss, dot_rows, where_counted


class Hinge(BinaryLoss):
    """Hinge loss of independent yes-or-no outputs, each a score: above 0 for yes.

    `y_true` holds 0 and 1 in the shape of `y_pred`, (batch, …, outputs), or (batch, …) for one
    output.

    Raises
    ------
    LabelError
        `y_true` has another shape.
    DTypeError
        `y_true` holds floats of another dtype than the predictions.

    Notes
    -----
    With the sides s = 2 y_true - 1, which are -1 and 1:

    Forward: loss = mean(max(0, 1 - s y_pred)) over the outputs, in units of the margin.

    Backward: dinputs = -s / outputs / rows where s y_pred < 1, else 0.

    Source: Cortes and Vapnik 1995, *Support-Vector Networks*.
    """

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        losses: Array = xp.mean(xp.maximum(1 - (2 * y_true - 1) * y_pred, 0.0), axis=-1)
        return losses

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp, y_true = _checks.match_targets(y_pred, y_true)
        s = 2 * y_true - 1
        dinputs = xp.where(s * y_pred < 1, -s, 0.0) / prod(y_pred.shape)
        return self.weigh(dinputs, sample_weight)


class CategoricalHinge(CategoricalLoss):
    """Hinge loss of scores for classes: the true one must lead the best other by 1.

    Labels are class indices, integers of shape (batch, …), or one-hot rows of shape
    (batch, …, classes): not shares of several. `ignore_index` and errors are those of
    `CategoricalCrossentropy`.

    Parameters
    ----------
    ignore_index : int, optional

    Notes
    -----
    With the best wrong class r, the first of equals:

    Forward: loss = max(0, 1 + y_pred[r] - y_pred[label]) for each sample, in units of the margin.

    Backward: dinputs = 1 / n at r and -1 / n at the label where the loss is above 0, else 0, with
    n the number of labels that count.

    PyTorch's `MultiMarginLoss` is another one: the mean over all wrong classes, not the worst.

    Source: Crammer and Singer 2001, *On the Algorithmic Implementation of Multiclass
    Kernel-based Vector Machines*, equation 2.
    """

    takes_shares = False

    def forward(self, y_pred: Array, y_true: Array) -> Array:
        xp, truths, rivals, counted = self._rivals(y_pred, y_true)
        margins = 1 + xp.max(rivals, axis=-1) - dot_rows(xp, truths, y_pred)
        return where_counted(xp, xp.maximum(margins, 0.0), counted)

    def backward(self, y_pred: Array, y_true: Array, sample_weight: Array | None = None) -> Array:
        xp, truths, rivals, counted = self._rivals(y_pred, y_true)
        margins = 1 + xp.max(rivals, axis=-1) - dot_rows(xp, truths, y_pred)
        classes = xp.arange(y_pred.shape[-1], dtype=xp.int64, device=y_pred.device)
        best = xp.astype(xp.argmax(rivals, axis=-1, keepdims=True) == classes, y_pred.dtype)
        active = xp.astype(margins > 0, y_pred.dtype)[..., None]
        dinputs = (best - truths) * active / self.count(y_pred, y_true)
        return self.weigh(where_counted(xp, dinputs, counted), sample_weight)

    def _rivals(self, y_pred: Array, y_true: Array) -> tuple[Namespace, Array, Array, Array | None]:
        """The labels as one-hot rows, the scores with -infinity for the true ones, what counts."""
        backend = _checks.check_pair(y_pred, y_true)
        truths, counted = self.shares_of(backend, y_pred, y_true)
        rivals: Array = backend.xp.where(truths != 0, -float("inf"), y_pred)
        return backend.xp, truths, rivals, counted
