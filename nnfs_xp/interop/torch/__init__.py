"""PyTorch: modules from and to models, and files in its naming."""

from nnfs_xp.interop.torch.models import from_torch, to_torch
from nnfs_xp.interop.torch.weights import load_torch_weights, save_torch_weights

__all__ = ["from_torch", "load_torch_weights", "save_torch_weights", "to_torch"]
