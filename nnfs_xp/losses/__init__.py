"""The losses: a number for each sample, and the gradient of their mean."""

from nnfs_xp.losses.base import Loss
from nnfs_xp.losses.cross_entropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SigmoidBinaryCrossentropy,
    SoftmaxCategoricalCrossentropy,
)
from nnfs_xp.losses.regression import MeanAbsoluteError, MeanSquaredError

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SigmoidBinaryCrossentropy",
    "SoftmaxCategoricalCrossentropy",
]
