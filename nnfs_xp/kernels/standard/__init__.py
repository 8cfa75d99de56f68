"""The specification: each shared numeric part, written with the array API standard alone.

Every function takes the namespace ``xp`` of its arrays first, and never reads a value back to
the host. It writes to no argument but those that its docstring names.

The sets of faster kernels beside it, `nnfs_xp.kernels.numpy`, `nnfs_xp.kernels.numba` and
`nnfs_xp.kernels.cupy`, have the same functions, with the same arguments.
"""

from collections.abc import Iterable

from nnfs_xp.kernels.standard.counts import DeviceCount
from nnfs_xp.kernels.standard.functions import erf, log_softmax, sigmoid, sign, softmax
from nnfs_xp.kernels.standard.layers import (
    bias_relu,
    dense,
    dense_backward,
    dense_backward_relu,
    dense_gradients,
    dense_relu,
    matmul_into,
    relu_backward,
    relu_backward_biases,
)
from nnfs_xp.kernels.standard.losses import softmax_cross_entropy
from nnfs_xp.kernels.standard.norms import (
    batch_norm,
    batch_norm_backward,
    layer_norm,
    layer_norm_backward,
)
from nnfs_xp.kernels.standard.random import (
    BITS,
    dropout,
    dropout_backward,
    random_bits,
    stream_keys,
)
from nnfs_xp.kernels.standard.steps import gather_rows, narrow_into, put, widen
from nnfs_xp.kernels.standard.updates import (
    adagrad,
    adam,
    add_l2,
    amsgrad,
    average,
    flat_zeros,
    lion,
    momentum,
    rmsprop,
    sgd,
    shrink,
    sum_squares,
)

__all__ = [
    "BITS",
    "DeviceCount",
    "adagrad",
    "adam",
    "add_l2",
    "amsgrad",
    "average",
    "batch_norm",
    "batch_norm_backward",
    "bias_relu",
    "dense",
    "dense_backward",
    "dense_backward_relu",
    "dense_gradients",
    "dense_relu",
    "dropout",
    "dropout_backward",
    "erf",
    "flat_zeros",
    "gather_rows",
    "layer_norm",
    "layer_norm_backward",
    "lion",
    "log_softmax",
    "matmul_into",
    "momentum",
    "narrow_into",
    "prepare",
    "put",
    "random_bits",
    "relu_backward",
    "relu_backward_biases",
    "rmsprop",
    "sgd",
    "shrink",
    "sigmoid",
    "sign",
    "softmax",
    "softmax_cross_entropy",
    "stream_keys",
    "sum_squares",
    "widen",
]


def prepare(dtype: str) -> None:
    """Make the kernels ready for a data type: those of the standard always are."""
    del dtype


def among(names: Iterable[str]) -> list[str]:
    """The functions of the specification that a set of kernels has, among all its names."""
    return [name for name in __all__ if name in set(names)]
