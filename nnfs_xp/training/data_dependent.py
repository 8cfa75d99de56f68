"""First values for a model's parameters that fit the data."""

from __future__ import annotations

from typing import Any

from nnfs_xp._checks import of_argument
from nnfs_xp.backend import as_dense, get_backend, host_generator
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import Layer
from nnfs_xp.training.preparation import prepare_inputs

_MOST_ROWS = 4096
"""Samples that the values are made to fit."""


def initialize_from_data(model: Layer, inputs: Any, *, seed: int | None = 0) -> None:
    """Draw the weights and biases of all dense layers anew, so that they fit the data.

    Layer by layer, each neuron's output is given a standard deviation of 1 over the data, and a
    bias that puts its 0, where an activation bends, among the data. Layers of other kinds keep
    their parameters, and so do frozen and tied ones.

    Parameters
    ----------
    model : Layer
        A `Sequential`, mostly. The layers in `Residual` and `Concatenate` have part in it.
    inputs : array of any backend, shape (n, …)
        Samples as `Trainer.fit` takes them, of which the first 4,096 are used.
    seed : int, optional
        None for values that differ from run to run.

    Raises
    ------
    ShapeError, DTypeError, DataError
        The samples do not fit the model.
    ArgumentError
        It is no model, or has layers within a layer that does not say how it runs them: see
        `Layer.initialize_from`.

    Notes
    -----
    For each dense layer, given its inputs x, of n rows, that the layers before it now make:

    weights w with elements ~ N(0, 1) become w / s, with s the standard deviation of x @ w over the
    rows, for each neuron (``std``); a neuron whose output is the same in all rows has
    w / sqrt(n_inputs) instead;

    its bias is b = -sum(c_k z_k) over k = 1, …, 5, with z_k the neuron's output x @ w of a row
    drawn at random, and c_k = e_k / sum(e) of e_k ~ Exp(1): a random convex combination
    (``he+5``).

    Source: Holzmüller, Grinsztajn and Steinwart 2024, *Better by Default: Strong Pre-Tuned MLPs and
    Boosted Trees on Tabular Data*, appendix on RealMLP; the biases: Steinwart 2019, *A Sober Look
    at Neural Network Initializations*.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> X, y, X_test, y_test = nn.data.load_digits()
    >>> model = nn.Sequential(nn.Dense(64, 32), nn.ReLU(), nn.Dense(32, 10), seed=0)
    >>> nn.initialize_from_data(model, X, seed=0)
    >>> output = model.layers[0].forward(X[:4096])
    >>> bool((abs(output.std(axis=0) - 1) < 1e-3).all())
    True
    """
    if not isinstance(model, Layer):
        kind = type(model).__name__
        raise ArgumentError(f"`model` must be a Sequential or another layer; got {kind}.")
    generator = host_generator(seed)
    backend = model.backend or get_backend("numpy")
    first = inputs[:_MOST_ROWS] if hasattr(inputs, "shape") else inputs
    with backend.active(), of_argument("inputs"):
        X = prepare_inputs(first, model, backend)
        X = X[: min(_MOST_ROWS, X.shape[0]), ...]
        model.initialize_from(backend.asarray(as_dense(X)), generator)
