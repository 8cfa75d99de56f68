"""What launches of kernels raise."""

from __future__ import annotations


class CUDADriverError(RuntimeError):
    """An error of CUDA's driver."""
