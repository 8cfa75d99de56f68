"""The network of a table: RealMLP, as layers of this library."""

from __future__ import annotations

from math import sqrt
from typing import Any

from nnfs_xp.initializers import random_signs
from nnfs_xp.layers import (
    SELU,
    Columns,
    Concatenate,
    Dense,
    Dropout,
    Layer,
    MemberDense,
    Mish,
    ParametricActivation,
    PeriodicEmbedding,
    Repeat,
    Scale,
    Sequential,
)

_EMBEDDED = 4
"""Numbers that stand for one number behind the periodic embedding."""


def table_network(
    n_numbers: int,
    n_others: int,
    n_outputs: int,
    *,
    hidden: tuple[int, ...],
    dropout: float,
    ensemble: int = 1,
    classifies: bool,
    seed: int,
) -> Sequential:
    """A network for rows of a table, with first values that the data have yet to give.

    Numbers go through a periodic embedding. All inputs are scaled one by one. Hidden layers bend
    by SELU where they classify, by Mish else, as far as they learn to. Rates and decay follow the
    kind of parameter: a weight matrix of n inputs learns at 1 / sqrt(n) of the rate, which is
    what the neural tangent parametrization comes to under Adam.

    Parameters
    ----------
    n_numbers, n_others : int
        Inputs that are numbers, which come first, and the others.
    n_outputs : int
    hidden, dropout, ensemble
        See `TableSettings`.
    classifies : bool
    seed : int

    Returns
    -------
    Sequential
        Takes rows (batch, n_numbers + n_others), gives (batch, n_outputs), or
        (batch, ensemble, n_outputs) for an ensemble.

    Notes
    -----
    Source: Holzmüller, Grinsztajn and Steinwart 2024, *Better by Default*, section 3 and table
    A.1; for ensembles Gorishniy, Kotelnikov and Babenko 2025, *TabM*, section 3.
    """
    width = _EMBEDDED * n_numbers + n_others
    layers: list[Layer] = []
    if n_numbers:
        embedding: Layer = PeriodicEmbedding(
            n_numbers, n_dimensions=_EMBEDDED, learning_rate_scale=0.1, weight_decay=0.1
        )
        if n_others:
            numbers = Sequential(Columns(0, n_numbers), embedding)
            embedding = Concatenate(numbers, Columns(n_numbers, n_numbers + n_others))
        layers.append(embedding)
    if ensemble > 1:
        layers += [Repeat(ensemble), Scale((ensemble, width), initializer=random_signs)]
    layers.append(Scale(width, learning_rate_scale=6.0, weight_decay=6.0))
    for n_inputs, n_neurons in zip((width, *hidden), hidden, strict=False):
        layers += [
            Dense(n_inputs, n_neurons, **_options(n_inputs)),
            ParametricActivation(
                SELU() if classifies else Mish(),
                n_neurons,
                learning_rate_scale=0.1,
            ),
            Dropout(dropout),
        ]
    n_last = hidden[-1] if hidden else width
    if ensemble > 1:
        layers.append(MemberDense(ensemble, n_last, n_outputs, **_options(n_last)))
    else:
        layers.append(Dense(n_last, n_outputs, **_options(n_last)))
    return Sequential(*layers, seed=seed, input_shape=(n_numbers + n_others,))


def _options(n_inputs: int) -> dict[str, Any]:
    """Rates and decay of a dense layer: under Adam those of weights / sqrt(n_inputs)."""
    root = sqrt(n_inputs)
    return {
        "learning_rate_scale": {"weights": 1 / root, "biases": 0.1},
        "weight_decay": {"weights": root},
    }
