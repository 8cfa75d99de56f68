"""Kernels for CuPy, in CUDA C++ and cuBLASLt.

Each is one pass, or a product with what follows it. They never wait for the device, so that a
whole training step can be recorded as a CUDA graph. Arguments that there is no kernel for, such as
arrays that are not contiguous, go to the methods of the same names in the specification.
"""

from __future__ import annotations

from nnfs_xp.kernels.cupy import cublaslt
from nnfs_xp.kernels.cupy.activations import ActivationKernels
from nnfs_xp.kernels.cupy.convolution import ConvolutionKernels
from nnfs_xp.kernels.cupy.embedding import EmbeddingKernels
from nnfs_xp.kernels.cupy.layers import ReLUKernels
from nnfs_xp.kernels.cupy.losses import LossKernels
from nnfs_xp.kernels.cupy.norms import NormKernels
from nnfs_xp.kernels.cupy.pooling import PoolingKernels
from nnfs_xp.kernels.cupy.random import RandomKernels
from nnfs_xp.kernels.cupy.steps import StepKernels
from nnfs_xp.kernels.cupy.updates import UpdateKernels


class CuPyKernels(
    ActivationKernels,
    ConvolutionKernels,
    EmbeddingKernels,
    LossKernels,
    NormKernels,
    PoolingKernels,
    RandomKernels,
    ReLUKernels,
    StepKernels,
    UpdateKernels,
):
    """What CUDA C++ and cuBLASLt do better than the standard's expressions."""

    def records_products(self) -> bool:
        return cublaslt.library() is not None  # CuPy's own cuBLAS refuses to be recorded
