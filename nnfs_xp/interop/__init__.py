"""Files, and models and arrays of other libraries."""

from nnfs_xp.interop.dlpack import from_dlpack
from nnfs_xp.interop.keras import from_keras, to_keras
from nnfs_xp.interop.model_file import load, save
from nnfs_xp.interop.onnx import export_onnx
from nnfs_xp.interop.torch import from_torch, load_torch_weights, save_torch_weights, to_torch

__all__ = [
    "export_onnx",
    "from_dlpack",
    "from_keras",
    "from_torch",
    "load",
    "load_torch_weights",
    "save",
    "save_torch_weights",
    "to_keras",
    "to_torch",
]
