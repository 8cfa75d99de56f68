"""The specification: each shared numeric part, written with the array API standard alone.

`Kernels` names every kernel with its types, and its methods have the standard's expressions as
bodies. Each takes the namespace ``xp`` of its arrays first, and never reads a value back to the
host. It writes to no argument but those that its docstring names.

A set of kernels derives from `StandardKernels` and overrides what it does better:
`nnfs_xp.kernels.numpy.NumPyKernels`, `nnfs_xp.kernels.numba.NumbaKernels`,
`nnfs_xp.kernels.cupy.CuPyKernels` and `nnfs_xp.kernels.torch.TorchKernels` do. The functions here
are what kernels are made of, and what no set does better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from nnfs_xp.kernels.standard.activations import ActivationKernels
from nnfs_xp.kernels.standard.convolution import ConvolutionKernels
from nnfs_xp.kernels.standard.counts import DeviceCount, DeviceKeys
from nnfs_xp.kernels.standard.embedding import EmbeddingKernels
from nnfs_xp.kernels.standard.functions import (
    erf,
    log_softmax,
    sigmoid,
    sign,
    softmax,
    tanh_of_softplus,
)
from nnfs_xp.kernels.standard.group_norm import GroupNormKernels
from nnfs_xp.kernels.standard.layers import DenseKernels
from nnfs_xp.kernels.standard.losses import LossKernels, shares
from nnfs_xp.kernels.standard.norms import NormKernels
from nnfs_xp.kernels.standard.pooling import PoolingKernels
from nnfs_xp.kernels.standard.random import BITS, Keys, RandomKernels, hashed, stream_keys
from nnfs_xp.kernels.standard.steps import StepKernels
from nnfs_xp.kernels.standard.tabular import TabularKernels
from nnfs_xp.kernels.standard.updates import UpdateKernels
from nnfs_xp.kernels.standard.windows import Window

if TYPE_CHECKING:
    from nnfs_xp.kernels.threads import Threads

__all__ = [
    "BITS",
    "DeviceCount",
    "DeviceKeys",
    "Kernels",
    "Keys",
    "StandardKernels",
    "Window",
    "erf",
    "hashed",
    "log_softmax",
    "shares",
    "sigmoid",
    "sign",
    "softmax",
    "stream_keys",
    "tanh_of_softplus",
]


class Kernels(
    ActivationKernels,
    ConvolutionKernels,
    TabularKernels,
    DenseKernels,
    EmbeddingKernels,
    GroupNormKernels,
    LossKernels,
    NormKernels,
    PoolingKernels,
    RandomKernels,
    StepKernels,
    UpdateKernels,
    Protocol,
):
    """Every kernel, with its types; its body says what it computes."""

    def prepare(self, dtype: str) -> None:
        """Make the kernels ready for a data type: those of the standard always are."""
        del dtype

    @property
    def threads(self) -> Threads | None:
        """On how many threads the kernels work, where that can be told."""
        return None

    def program(self, given: tuple[Any, ...], read: tuple[Any, ...], dtype: str) -> Any:
        """A new `nnfs_xp.kernels.numba.program.Program`; None where kernels cannot be noted."""
        del given, read, dtype

    def records_products(self) -> bool:
        """Whether matrix products can be recorded in a CUDA graph."""
        return False


class StandardKernels(Kernels):
    """A set that takes every kernel from the specification."""
