"""What is reported beside the loss, summed up on the device and read once."""

from nnfs_xp.metrics.accuracy import (
    BinaryAccuracy,
    CategoricalAccuracy,
    RegressionAccuracy,
    TopKAccuracy,
)
from nnfs_xp.metrics.base import Metric
from nnfs_xp.metrics.classes import F1, ConfusionMatrix, Precision, Recall
from nnfs_xp.metrics.ranking import ROCAUC
from nnfs_xp.metrics.regression import MAE, R2, RMSE

__all__ = [
    "F1",
    "MAE",
    "R2",
    "RMSE",
    "ROCAUC",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "ConfusionMatrix",
    "Metric",
    "Precision",
    "Recall",
    "RegressionAccuracy",
    "TopKAccuracy",
]
