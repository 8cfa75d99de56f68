"""Kernels for CuPy: the functions of `nnfs_xp.kernels.standard` in CUDA C++ and cuBLASLt.

Each is one pass, or a product with what follows it. They never wait for the device, so that a
whole training step can be recorded as a CUDA graph. Arguments that there is no kernel for, such as
arrays that are not contiguous, go to the functions of the same names in the specification.
"""

from __future__ import annotations

from nnfs_xp.kernels import standard
from nnfs_xp.kernels.cupy import cublaslt
from nnfs_xp.kernels.cupy.layers import bias_relu, relu_backward, relu_backward_biases
from nnfs_xp.kernels.cupy.losses import softmax_cross_entropy
from nnfs_xp.kernels.cupy.norms import (
    batch_norm,
    batch_norm_backward,
    layer_norm,
    layer_norm_backward,
)
from nnfs_xp.kernels.cupy.products import (
    dense,
    dense_backward,
    dense_backward_relu,
    dense_gradients,
    dense_relu,
    matmul_into,
)
from nnfs_xp.kernels.cupy.random import dropout, dropout_backward, random_bits
from nnfs_xp.kernels.cupy.steps import gather_rows, narrow_into, put, widen
from nnfs_xp.kernels.cupy.updates import (
    adagrad,
    adam,
    amsgrad,
    average,
    flat_zeros,
    lion,
    momentum,
    rmsprop,
    sgd,
    shrink,
)
from nnfs_xp.kernels.standard import add_l2, prepare, sum_squares


def records_products() -> bool:
    """Whether matrix products can be recorded in a graph, for which cuBLASLt is needed."""
    return cublaslt.library() is not None


__all__ = standard.among(globals())
