"""First values for weights, drawn on the host so that one seed is one network everywhere.

An initializer takes a `numpy.random.Generator` and a shape (n_inputs, n_neurons), and returns
an array of that shape. Write your own as a function of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any, TypeAlias

Initializer: TypeAlias = Callable[[Any, tuple[int, ...]], Any]


def he_normal(generator: Any, shape: tuple[int, ...]) -> Any:
    """Normal with variance 2 / n_inputs, which keeps the variance through a ReLU.

    Source: He et al. 2015, *Delving Deep into Rectifiers*, equation 10.
    """
    return sqrt(2 / shape[0]) * generator.standard_normal(shape)


def glorot_uniform(generator: Any, shape: tuple[int, ...]) -> Any:
    """Uniform within ±sqrt(6 / (n_inputs + n_neurons)).

    Source: Glorot and Bengio 2010, *Understanding the difficulty of training deep feedforward
    neural networks*, equation 16.
    """
    bound = sqrt(6 / (shape[0] + shape[-1]))
    return generator.uniform(-bound, bound, shape)


def book_normal(generator: Any, shape: tuple[int, ...]) -> Any:
    """0.01 times the standard normal, as in *Neural Networks from Scratch*, chapter 3."""
    return 0.01 * generator.standard_normal(shape)
