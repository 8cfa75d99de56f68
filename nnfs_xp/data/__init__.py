"""Data sets: bundled, computed and downloaded."""

from nnfs_xp.data.digits import load_digits
from nnfs_xp.data.generators import sine_data, spiral_data
from nnfs_xp.data.mnist import FASHION_CLASSES, load_fashion_mnist, load_mnist
from nnfs_xp.data.splits import Split, hold_out

__all__ = [
    "FASHION_CLASSES",
    "Split",
    "hold_out",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
    "sine_data",
    "spiral_data",
]
