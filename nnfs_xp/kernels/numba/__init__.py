"""Kernels compiled by Numba: the functions of `nnfs_xp.kernels.standard`, each in one pass.

Arguments that they are not compiled for, such as arrays that are not contiguous, are handed to
`nnfs_xp.kernels.numpy`. They run on one thread: beside a BLAS whose threads go on waiting for work
on all cores for a while, a second one costs networks of usual sizes more than it gives, as
``python -m benchmarks threads`` shows.
"""

from nnfs_xp.kernels import standard
from nnfs_xp.kernels.numba.compilation import prepare
from nnfs_xp.kernels.numba.layers import (
    bias_relu,
    dense_backward_relu,
    dense_relu,
    relu_backward,
    relu_backward_biases,
)
from nnfs_xp.kernels.numba.losses import softmax_cross_entropy
from nnfs_xp.kernels.numba.norms import (
    batch_norm,
    batch_norm_backward,
    layer_norm,
    layer_norm_backward,
)
from nnfs_xp.kernels.numba.random import dropout, dropout_backward, random_bits
from nnfs_xp.kernels.numba.updates import (
    adagrad,
    adam,
    add_l2,
    amsgrad,
    average,
    lion,
    momentum,
    rmsprop,
    sgd,
)
from nnfs_xp.kernels.numpy import (
    dense,
    dense_backward,
    dense_gradients,
    flat_zeros,
    matmul_into,
    sum_squares,
)
from nnfs_xp.kernels.standard import gather_rows, narrow_into, put, shrink, widen

prepare("float32")  # here, so that no first step waits for it

__all__ = standard.among(globals())
