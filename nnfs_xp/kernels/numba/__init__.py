"""Kernels compiled by Numba, each in one pass.

Arguments that they are not compiled for, such as arrays that are not contiguous, are handed to
`nnfs_xp.kernels.numpy`. They run on one thread, but for large products of matrices and Adam's
update, which a pool shares out: see `nnfs_xp.kernels.numba.products`.
"""

from nnfs_xp.kernels.numba.activations import ActivationKernels
from nnfs_xp.kernels.numba.compilation import prepare
from nnfs_xp.kernels.numba.convolution import ConvolutionKernels
from nnfs_xp.kernels.numba.embedding import EmbeddingKernels
from nnfs_xp.kernels.numba.layers import DenseKernels
from nnfs_xp.kernels.numba.losses import LossKernels
from nnfs_xp.kernels.numba.norms import NormKernels
from nnfs_xp.kernels.numba.program import Program
from nnfs_xp.kernels.numba.random import RandomKernels
from nnfs_xp.kernels.numba.rows import compiled_run
from nnfs_xp.kernels.numba.tabular import TabularKernels
from nnfs_xp.kernels.numba.updates import UpdateKernels
from nnfs_xp.kernels.numpy import Array


class NumbaKernels(
    ActivationKernels,
    ConvolutionKernels,
    DenseKernels,
    EmbeddingKernels,
    LossKernels,
    NormKernels,
    RandomKernels,
    TabularKernels,
    UpdateKernels,
):
    """What Numba's loops do better than NumPy."""

    def prepare(self, dtype: str) -> None:
        prepare(dtype)

    def program(
        self, given: tuple[Array, ...], read: tuple[Array, ...], dtype: str
    ) -> Program | None:
        return Program(given, read, dtype) if compiled_run(dtype) else None


prepare("float32")  # here, so that no first step waits for it
