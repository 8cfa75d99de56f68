"""First values that fit the data: neurons whose outputs vary by 1, and that bend among the data."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import Any

from nnfs_xp._typing import Array
from nnfs_xp.backend import get_backend, to_numpy
from nnfs_xp.layers.base import Layer

_SHARES = 5
"""How many outputs a bias is made of."""

_LEAST = 1e-6
"""A standard deviation below this share of the largest output is rounding: the output is one."""


def initialize_neurons(
    layer: Layer,
    inputs: Array,
    generator: Any,
    shape: tuple[int, ...] | None = None,
    arranged: Callable[[Any], Any] = lambda weights: weights,
) -> Array:
    """Draw a layer's `weights` and `biases` by its outputs for these inputs; return the new output.

    Of frozen and tied parameters, the values stay.

    Parameters
    ----------
    layer : Layer
        With weights of shape (…, n_inputs, n_neurons) and biases of shape (1, n_neurons), if any;
        or both with members in front: (n_members, n_inputs, n_neurons) and (n_members, n_neurons).
    inputs : array
    generator : numpy.random.Generator
        On the host, so that one seed gives one network everywhere.
    shape : tuple of int, optional
        Of the weights as they are drawn, if the layer keeps them in another order.
    arranged : callable
        Brings what was drawn into that order.
    """
    xp = get_backend("numpy").xp
    own = [name for name in layer._shapes if name not in layer._ties and layer.trains(name)]
    parameters: Any = layer
    shape = layer._shapes["weights"] if shape is None else shape
    neurons = layer._shapes.get("biases", (1, shape[-1]))
    weights = generator.standard_normal(shape) / sqrt(shape[-2])
    if "weights" in own:
        parameters.weights = arranged(weights)
    if "biases" in own:
        parameters.biases[...] = 0.0
    outputs = xp.astype(to_numpy(layer.forward(inputs)), xp.float64)
    outputs = xp.reshape(outputs, (-1, *neurons))
    if "weights" in own:
        deviations = xp.std(outputs, axis=0)
        varies = deviations > _LEAST * xp.max(xp.abs(outputs), axis=0)
        deviations = xp.where(varies, deviations, 1.0)
        outputs = outputs / deviations
        drawn = xp.reshape(weights / deviations[..., None, :], shape)
        parameters.weights = arranged(drawn)
    if "biases" in own:
        shares = generator.exponential(size=(_SHARES, *neurons))
        rows = generator.integers(outputs.shape[0], size=(_SHARES, prod(neurons)))
        columns = xp.reshape(outputs, (outputs.shape[0], prod(neurons)))
        chosen = xp.reshape(xp.take_along_axis(columns, rows, axis=0), shares.shape)
        parameters.biases = -xp.sum(shares * chosen, axis=0) / xp.sum(shares, axis=0)
    return layer.forward(inputs)
