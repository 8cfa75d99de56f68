"""The losses: a number for each sample, and the gradient of their mean."""

from nnfs_xp.losses.base import Loss
from nnfs_xp.losses.cosine import CosineLoss
from nnfs_xp.losses.cross_entropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SigmoidBinaryCrossentropy,
    SoftmaxCategoricalCrossentropy,
)
from nnfs_xp.losses.focal import FocalLoss
from nnfs_xp.losses.hinge import CategoricalHinge, Hinge
from nnfs_xp.losses.poisson import Poisson
from nnfs_xp.losses.quantiles import PinballLoss
from nnfs_xp.losses.regression import Huber, MeanAbsoluteError, MeanSquaredError

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineLoss",
    "FocalLoss",
    "Hinge",
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "PinballLoss",
    "Poisson",
    "SigmoidBinaryCrossentropy",
    "SoftmaxCategoricalCrossentropy",
]
