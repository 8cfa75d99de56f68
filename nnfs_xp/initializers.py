"""First values for weights, drawn on the host so that one seed is one network everywhere.

An initializer takes a `numpy.random.Generator` and a shape (n_inputs, n_neurons), and returns
an array of that shape. Write your own as a function of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any, TypeAlias

from nnfs_xp.backend import get_backend

Initializer: TypeAlias = Callable[[Any, tuple[int, ...]], Any]


def by_what_follows(generator: Any, shape: tuple[int, ...]) -> Any:
    """Draw for the activation that follows; as `he_normal` for a layer on its own.

    A `Sequential` with a seed knows what follows: `he_normal` before `ReLU` and its kin,
    `lecun_normal` before `SELU`, else `glorot_uniform`. An activation names its
    own in `preferred_initializer`.
    """
    return he_normal(generator, shape)


def he_normal(generator: Any, shape: tuple[int, ...]) -> Any:
    """Normal with variance 2 / n_inputs, which keeps the variance through a ReLU.

    Source: He et al. 2015, *Delving Deep into Rectifiers*, equation 10.
    """
    return sqrt(2 / shape[0]) * generator.standard_normal(shape)


def he_uniform(generator: Any, shape: tuple[int, ...]) -> Any:
    """Uniform within ±sqrt(6 / n_inputs): the variance of `he_normal`."""
    return _uniform(generator, shape, sqrt(6 / shape[0]))


def glorot_normal(generator: Any, shape: tuple[int, ...]) -> Any:
    """Normal with variance 2 / (n_inputs + n_neurons).

    A compromise between keeping the variance on the way forward and on the way back.

    Source: Glorot and Bengio 2010, *Understanding the difficulty of training deep feedforward
    neural networks*, equation 12.
    """
    return sqrt(2 / (shape[0] + shape[-1])) * generator.standard_normal(shape)


def glorot_uniform(generator: Any, shape: tuple[int, ...]) -> Any:
    """Uniform within ±sqrt(6 / (n_inputs + n_neurons)): the variance of `glorot_normal`.

    Source: Glorot and Bengio 2010, *Understanding the difficulty of training deep feedforward
    neural networks*, equation 16.
    """
    return _uniform(generator, shape, sqrt(6 / (shape[0] + shape[-1])))


def lecun_normal(generator: Any, shape: tuple[int, ...]) -> Any:
    """Normal with variance 1 / n_inputs, as `SELU` needs it.

    Source: LeCun et al. 1998, *Efficient BackProp*, equation 16; Klambauer et al. 2017,
    *Self-Normalizing Neural Networks*, section 3.
    """
    return sqrt(1 / shape[0]) * generator.standard_normal(shape)


def lecun_uniform(generator: Any, shape: tuple[int, ...]) -> Any:
    """Uniform within ±sqrt(3 / n_inputs): the variance of `lecun_normal`."""
    return _uniform(generator, shape, sqrt(3 / shape[0]))


def orthogonal(generator: Any, shape: tuple[int, ...]) -> Any:
    """Orthonormal columns, or rows where there are fewer: lengths pass through unchanged.

    Q of the QR decomposition of a normal matrix, each column with the sign of R's diagonal,
    which makes Q uniform over the orthogonal matrices.

    Source: Saxe, McClelland and Ganguli 2014, *Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks*, section 3; the signs: Mezzadri 2007, *How to
    generate random matrices from the classical compact groups*, section 5.
    """
    xp = get_backend("numpy").xp
    wide = shape[0] < shape[1]
    q, r = xp.linalg.qr(generator.standard_normal(shape[::-1] if wide else shape))
    q = q * xp.where(xp.linalg.diagonal(r) < 0, -1.0, 1.0)
    return q.T if wide else q


def standard_normal(generator: Any, shape: tuple[int, ...]) -> Any:
    """Normal with variance 1: for the rows of an `Embedding`, which are inputs themselves."""
    return generator.standard_normal(shape)


def random_signs(generator: Any, shape: tuple[int, ...]) -> Any:
    """1 or -1, each as likely: for the factors by which members of an ensemble differ at first.

    Source: Wen, Tran and Ba 2020, *BatchEnsemble*, section 4.
    """
    return 2.0 * generator.integers(0, 2, shape) - 1


def book_normal(generator: Any, shape: tuple[int, ...]) -> Any:
    """0.01 times the standard normal, as in *Neural Networks from Scratch*, chapter 3."""
    return 0.01 * generator.standard_normal(shape)


def zeros(generator: Any, shape: tuple[int, ...]) -> Any:
    """All 0. Neurons that start alike stay alike: for a last layer, or weights to assign later."""
    del generator
    return get_backend("numpy").xp.zeros(shape)


def _uniform(generator: Any, shape: tuple[int, ...], bound: float) -> Any:
    return generator.uniform(-bound, bound, shape)
