"""Data sets: bundled, computed and downloaded; and batches from anywhere."""

from nnfs_xp.data.digits import load_digits
from nnfs_xp.data.generators import sine_data, spiral_data
from nnfs_xp.data.loops import Batches, batches
from nnfs_xp.data.mnist import FASHION_CLASSES, load_fashion_mnist, load_mnist
from nnfs_xp.data.npy_files import npy_batches
from nnfs_xp.data.parquet import parquet_batches
from nnfs_xp.data.processes import InProcesses
from nnfs_xp.data.scaled import Scaled
from nnfs_xp.data.splits import Split, hold_out
from nnfs_xp.data.transforms import OnHost, Random

__all__ = [
    "FASHION_CLASSES",
    "Batches",
    "InProcesses",
    "OnHost",
    "Random",
    "Scaled",
    "Split",
    "batches",
    "hold_out",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
    "npy_batches",
    "parquet_batches",
    "sine_data",
    "spiral_data",
]
