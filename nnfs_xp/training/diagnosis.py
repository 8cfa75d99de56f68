"""Finding the layer that first went bad, once, after the fact."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of

if TYPE_CHECKING:
    from nnfs_xp.training.trainer import Trainer


def diagnose(trainer: Trainer, X: Any, y: Any, sample_weight: Any = None) -> str:
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
    backend = trainer.backend
    x = backend.asarray(X, trainer.model.dtype or "float32")
    if not _finite(x):
        return "the inputs"
    twin = copy.deepcopy(trainer)
    layers, loss = twin.chain, twin.fused_loss
    for index, layer in enumerate(layers):
        name = f"layer {index} ({type(layer).__name__})"
        for parameter, values in layer.parameters().items():
            if not _finite(values):
                return f"the {parameter} of {name}"
        x = layer.forward(x, training=True)
        if not _finite(x):
            return f"the output of {name}"
    targets = [backend.asarray(y)]
    if sample_weight is not None:
        targets.append(backend.asarray(sample_weight, x.dtype))
    if not _finite(loss.calculate(x, *targets)):
        return "the loss"
    dvalues = loss.backward(x, *targets)
    if not _finite(dvalues):
        return "the gradient of the loss"
    for index, layer in reversed(list(enumerate(layers))):
        name = f"layer {index} ({type(layer).__name__})"
        dvalues = layer.backward(dvalues)
        for parameter, gradient in layer.gradients().items():
            if not _finite(gradient):
                return f"the gradient of the {parameter} of {name}"
        if not _finite(dvalues):
            return f"the gradient of the inputs of {name}"
    twin.optimizer.step(twin.model)
    for index, layer in enumerate(layers):
        for parameter, values in layer.parameters().items():
            if not _finite(values):
                return f"the step of the {parameter} of layer {index} ({type(layer).__name__})"
    return "nothing: all values are finite"


def _finite(array: Array) -> bool:
    xp = backend_of(array).xp
    return bool(xp.all(xp.isfinite(array)))
