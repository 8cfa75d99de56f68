"""Data sets: bundled, computed and downloaded; and batches from anywhere."""

from nnfs_xp.data import augment as augment
from nnfs_xp.data.cifar10 import CIFAR10_CLASSES, load_cifar10
from nnfs_xp.data.digits import load_digits
from nnfs_xp.data.generators import sine_data, spiral_data
from nnfs_xp.data.image_batches import ImageFolder
from nnfs_xp.data.images import (
    Images,
    ImageSurvey,
    load_images,
    read_images,
    survey_images,
)
from nnfs_xp.data.loops import Batches, batches
from nnfs_xp.data.mnist import FASHION_CLASSES, load_fashion_mnist, load_mnist
from nnfs_xp.data.npy_files import npy_batches
from nnfs_xp.data.parquet import parquet_batches
from nnfs_xp.data.processes import InProcesses
from nnfs_xp.data.random import Random
from nnfs_xp.data.scaled import Scaled
from nnfs_xp.data.splits import Split, hold_out
from nnfs_xp.data.transforms import OnHost
from nnfs_xp.data.transforms import Transform as Transform

__all__ = [
    "CIFAR10_CLASSES",
    "FASHION_CLASSES",
    "Batches",
    "ImageFolder",
    "ImageSurvey",
    "Images",
    "InProcesses",
    "OnHost",
    "Random",
    "Scaled",
    "Split",
    "batches",
    "hold_out",
    "load_cifar10",
    "load_digits",
    "load_fashion_mnist",
    "load_images",
    "load_mnist",
    "npy_batches",
    "parquet_batches",
    "read_images",
    "sine_data",
    "spiral_data",
    "survey_images",
]
