"""Which inputs matter: the gradient of a model's loss, or of one output, by its inputs."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of, to_numpy
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import Layer
from nnfs_xp.layers.stochastic import StochasticLayer
from nnfs_xp.training.diagnosis import HasLearner, learner_of
from nnfs_xp.training.evaluation import EVALUATION_BATCH
from nnfs_xp.training.preparation import check_lengths, prepare_inputs, prepare_targets


def input_gradients(
    trainer: HasLearner,
    X: Any,
    y: Any = None,
    *,
    output: int | None = None,
    batch_size: int = EVALUATION_BATCH,
) -> np.ndarray[Any, Any]:
    """The gradient of each sample's loss, or of one output, by the sample: a saliency map.

    The model works as it predicts: dropout drops nothing, and `BatchNorm` takes its running
    averages. It is a copy that does so: the model, its gradients and its random numbers are left
    as they are.

    Parameters
    ----------
    trainer : Trainer
    X : array of any backend, shape (n, ...)
    y : array of any backend, optional
        Targets, as `Trainer.fit` takes them: then it is the gradient of the sample's loss, or of
        the sum of the losses of its places, penalties left out.
    output : int, optional
        Then it is the gradient of the output of that number, or of its sum over the sample's
        places: of a class' score before the softmax, where the loss takes the softmax in, and of
        a yes-or-no output before the sigmoid. One of the two must be given.
    batch_size : int
        Samples that go through the model together.

    Returns
    -------
    ndarray, of the shape of X
        Zeros where an `Embedding` comes first: codes have no gradient.

    Raises
    ------
    ShapeError, DTypeError, LabelError, DataError, ArgumentError
        The data do not fit the model, or neither or both of `y` and `output` are given.
    NotReadyError
        A layer draws random numbers, and its class does not say how to silence it.

    Notes
    -----
    With `y` it is dL_i / dX_i for the loss L_i of sample i, and with `output` dz_i / dX_i for the
    output z_i: no sample's gradient depends on the others.

    Source: Simonyan, Vedaldi and Zisserman 2014, *Deep Inside Convolutional Networks*, section 3.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> X, y, X_test, y_test = nn.data.load_digits()
    >>> model = nn.Sequential(nn.Dense(64, 32), nn.ReLU(), nn.Dense(32, 10), nn.Softmax(), seed=0)
    >>> trainer = nn.Trainer(model, nn.CategoricalCrossentropy(), nn.Adam(0.003), backend="numpy")
    >>> history = trainer.fit(X, y, epochs=5, progress=False)
    >>> nn.input_gradients(trainer, X_test[:3], y_test[:3]).shape
    (3, 64)
    >>> nn.input_gradients(trainer, X_test[:3], output=8).shape
    (3, 64)
    """
    if (y is None) == (output is None):
        raise ArgumentError(
            "give `y`, for the gradient of the loss, or `output`, for that of an output: one of "
            "the two."
        )
    batch_size = _checks.check_count("batch_size", batch_size)
    learner = learner_of(trainer)
    backend, loss = learner.backend, learner.fused_loss
    with backend.active():
        # Without the optimizer, whose arrays are larger than the model.
        model, chain = copy.deepcopy((learner.model, learner.chain))
        X = prepare_inputs(X, model, backend)
        _work_as_in_inference(model)
        targets = None
        if y is not None:
            targets = backend.asarray(y)
            check_lengths(X, targets)
            one = chain.forward(backend.asarray(X[:1, ...]))
            shape = X.shape[0], *one.shape[1:]
            targets = prepare_targets(loss, targets, shape, one.dtype)
        parts = []
        for start in range(0, X.shape[0], batch_size):
            part = slice(start, min(start + batch_size, X.shape[0]))
            y_pred = chain.forward(backend.asarray(X[part, ...]), True)
            if targets is None:
                dvalues = _one_hot(y_pred, output)
            else:
                y_true = targets[part, ...]
                dvalues = loss.backward(y_pred, y_true) * loss.count(y_pred, y_true)
            parts.append(to_numpy(chain.backward(dvalues)))
    return np.concatenate(parts)


def _work_as_in_inference(model: Layer) -> None:
    """Have a training forward do what one of inference does, and `backward` go with it."""
    for _, layer in model.walk():
        if isinstance(layer, StochasticLayer):
            layer.silence()
        layer.trainable = False  # a frozen BatchNorm takes its running averages


def _one_hot(y_pred: Array, output: Any) -> Array:
    """1 for the output of that number and 0 for the others: the gradient of that output."""
    number, n_outputs = _checks.check_count("output", output, least=0), y_pred.shape[-1]
    if number >= n_outputs:
        raise ArgumentError(f"`output` must be below {n_outputs}, the outputs; got {output}.")
    dvalues: Array = backend_of(y_pred).xp.zeros_like(y_pred)
    dvalues[..., number] = 1.0
    return dvalues
