"""Finding the layer that first went bad, once, after the fact."""

from __future__ import annotations

import copy
from typing import Any, Protocol

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of
from nnfs_xp.errors import ArgumentError
from nnfs_xp.learning import Learner


class HasLearner(Protocol):
    """A trainer, or whatever else has a learner."""

    @property
    def learner(self) -> Learner: ...


def diagnose(trainer: HasLearner, X: Any, y: Any, sample_weight: Any = None) -> str:
    """Where a training step on these samples first meets NaN or infinity.

    A step is made on a copy of the model, and looked at array by array: the inputs, then each
    layer's parameters and output, the loss, then each layer's gradients from the last to the
    first.

    Parameters
    ----------
    trainer : Trainer
    X : array, shape (n, ...)
    y : array
        As `Trainer.fit` takes them, but not checked for NaN.
    sample_weight : array, shape (n,), optional
        As `Loss.calculate` takes it.

    Returns
    -------
    str
        For example ``"the output of layer 2 (Dense)"``, or ``"nothing: all values are finite"``.
    """
    learner = learner_of(trainer)
    backend = learner.backend
    with backend.active(), np.errstate(all="ignore"):
        x = backend.asarray(X, learner.model.dtype or "float32")
        if not _finite(x):
            return "the inputs"
        targets = [backend.asarray(y)]
        if sample_weight is not None:
            targets.append(backend.asarray(sample_weight, x.dtype))
        return _first_in_pass(copy.deepcopy(learner), x, targets)


def learner_of(trainer: HasLearner) -> Learner:
    """The trainer's learner.

    Raises
    ------
    ArgumentError
        It is no trainer.
    """
    learner = getattr(trainer, "learner", None)
    if not isinstance(learner, Learner):
        raise ArgumentError(f"`trainer` must be a Trainer; got {shown(repr(trainer))}.")
    return learner


def _first_in_pass(learner: Learner, x: Array, targets: list[Array]) -> str:
    loss = learner.fused_loss
    passes = learner.chain.trace(x, lambda output: loss.backward(output, *targets))
    layers = learner.links
    names = [f"layer {index} ({type(layer).__name__})" for index, layer in enumerate(layers)]
    for name, layer, each in zip(names, layers, passes, strict=True):
        for parameter, values in layer.parameters().items():
            if not _finite(values):
                return f"the {parameter} of {name}"
        if not _finite(each.output):
            return f"the output of {name}"
    if not _finite(loss.calculate(passes[-1].output, *targets)):
        return "the loss"
    for name, layer, each in reversed(list(zip(names, layers, passes, strict=True))):
        if not _finite(each.dvalues):
            return "the gradient of the loss"
        for parameter, gradient in layer.gradients().items():
            if not _finite(gradient):
                return f"the gradient of the {parameter} of {name}"
        if not _finite(each.dinputs):
            return f"the gradient of the inputs of {name}"
    learner.model.flat.sum_ties(with_penalties=True)
    learner.optimizer.step(learner.model)
    for name, layer in zip(names, layers, strict=True):
        for parameter, values in layer.parameters().items():
            if not _finite(values):
                return f"the step of the {parameter} of {name}"
    return "nothing: all values are finite"


def _finite(array: Any) -> bool:
    xp = backend_of(array).xp
    return bool(xp.all(xp.isfinite(array)))
