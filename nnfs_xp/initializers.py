"""First values for weights, drawn on the host so that one seed is one network everywhere.

An initializer takes a `numpy.random.Generator` and a shape (n_inputs, n_neurons), and returns
an array of that shape. Write your own as a function of the two. That shape is also what a
convolution asks for, n_inputs being all numbers that a filter sees; one that wants the shape
(height, width, channels, filters) says so by `of_filters`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod, sqrt
from typing import Any, TypeAlias

from nnfs_xp import _checks
from nnfs_xp.backend import get_backend, to_numpy
from nnfs_xp.errors import ArgumentError, ShapeError

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


def of_filters(draw: Initializer) -> Initializer:
    """Have an initializer asked for filters in their own shape, and not as a matrix."""
    marked: Any = draw
    marked.takes_filters = True
    return draw


@of_filters
def dirac(generator: Any, shape: tuple[int, ...]) -> Any:
    """Filters that let channels through: filter k gives channel k, and those left over are 0.

    For a convolution of one group, with padding "same": the place that copies is the middle one,
    of an even size the one before the middle.

    Source: Zagoruyko and Komodakis 2017, *DiracNets*, section 3.
    """
    del generator
    filters = get_backend("numpy").xp.zeros(shape)
    _let_through(filters)
    return filters


def identity_first(rest: Initializer = he_normal) -> Initializer:
    """An initializer of filters: the first copy a channel each, as by `dirac`; others are drawn.

    Parameters
    ----------
    rest : callable (generator, shape) -> array
        Draws all filters; those that copy channels then take the place of the first.

    Notes
    -----
    Source: Jordan 2024, *94% on CIFAR-10 in 3.29 Seconds on a Single GPU*, section 3.2.
    """
    return of_filters(partial(_identity_first, _checks.check_initializer(rest)))


def whitening(images: Any, kernel_size: int = 2, epsilon: float = 5e-4) -> Initializer:
    """An initializer of filters that make patches of these images uncorrelated and of size 1.

    They are made for a first layer whose weights stay: see the example.

    Parameters
    ----------
    images : array of any backend, shape (n, height, width, channels)
        As the model gets them, standardised: some thousands.
    kernel_size : int
    epsilon : float
        Keeps directions in which patches hardly differ from being blown up.

    Raises
    ------
    ShapeError
        They are no images, or smaller than the patches; and from a layer, one whose filters are
        not 2 * kernel_size**2 * channels, or of another size.

    Notes
    -----
    With the eigenvalues s and the eigenvectors v of patches.T @ patches / n_patches, the filters
    are v / sqrt(s + epsilon), the largest s first, and then the same with the other sign.

    Source: Jordan 2024, *94% on CIFAR-10 in 3.29 Seconds on a Single GPU*, section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> import nnfs_xp as nn
    >>> images = np.random.default_rng(0).normal(size=(100, 8, 8, 3))
    >>> draw = nn.initializers.whitening(images)
    >>> layer = nn.Conv2D(3, 24, 2, initializer=draw, trainable=("biases",))
    """
    xp = get_backend("numpy").xp
    size = _checks.check_count("kernel_size", kernel_size)
    epsilon = _checks.check_range("epsilon", epsilon, 0)
    pictures = to_numpy(images)
    if pictures.ndim != 4 or min(pictures.shape) < 1 or min(pictures.shape[1:3]) < size:
        raise ShapeError(
            f"`images` must have shape (n, height, width, channels), height and width at least "
            f"{size}; got {tuple(pictures.shape)}."
        )
    n, height, width, channels = pictures.shape
    sums: Any = 0.0
    for start in range(0, n, _PIECE):
        piece = xp.astype(pictures[start : start + _PIECE, ...], xp.float64)
        taps = [
            piece[:, i : i + height - size + 1, j : j + width - size + 1, :]
            for i in range(size)
            for j in range(size)
        ]
        patches = xp.reshape(xp.concat(taps, axis=3), (-1, len(taps) * channels))
        sums = sums + patches.T @ patches
    if not xp.all(xp.isfinite(sums)):
        raise ArgumentError("`images` holds NaN or infinity.")
    s, v = xp.linalg.eigh(sums / (n * (height - size + 1) * (width - size + 1)))
    rows = xp.flip(v / xp.sqrt(xp.clip(s, 0.0, None) + epsilon), axis=1).T
    largest = xp.take_along_axis(rows, xp.argmax(xp.abs(rows), axis=1)[:, None], axis=1)
    rows = rows * xp.sign(largest)  # of which eigenvectors have either
    filters = xp.reshape(xp.concat([rows, -rows]).T, (size, size, channels, -1))
    return of_filters(partial(_whitened, filters))


_PIECE = 256
"""Images whose patches are looked at together."""


def _let_through(filters: Any) -> None:
    """Have the first filters copy a channel each."""
    *sizes, channels, n_filters = filters.shape
    for k in range(min(channels, n_filters)):
        filters[..., k] = 0.0
        filters[(*((size - 1) // 2 for size in sizes), k, k)] = 1.0


def _identity_first(rest: Initializer, generator: Any, shape: tuple[int, ...]) -> Any:
    host = get_backend("numpy")
    if not getattr(rest, "takes_filters", False):
        drawn = host.asarray(rest(generator, (prod(shape[:-1]), shape[-1])))
    else:
        drawn = host.asarray(rest(generator, shape))
    filters = host.xp.reshape(host.xp.asarray(drawn, copy=True), shape)
    _let_through(filters)
    return filters


def _whitened(filters: Any, generator: Any, shape: tuple[int, ...]) -> Any:
    del generator
    if tuple(shape) != filters.shape:
        raise ShapeError(
            f"`whitening` has filters of shape {filters.shape}, (height, width, channels, "
            f"filters); the layer wants {tuple(shape)}."
        )
    return filters


def _uniform(generator: Any, shape: tuple[int, ...], bound: float) -> Any:
    return generator.uniform(-bound, bound, shape)
