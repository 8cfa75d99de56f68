"""A stand-in for nvmath-python that runs on the CPU: its bindings of cuBLASLt. See `cupy`."""

from __future__ import annotations

from enum import IntEnum

from nvmath import bindings
from nvmath.bindings.cublas import ComputeType

__all__ = ["ComputeType", "CudaDataType", "bindings"]


class CudaDataType(IntEnum):
    CUDA_R_32F = 0
    CUDA_R_64F = 1
    CUDA_R_16F = 2
    CUDA_R_16BF = 14
