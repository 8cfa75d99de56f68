"""The course of a training: epochs, history, callbacks, checkpoints."""

from nnfs_xp.training.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    TensorBoard,
)
from nnfs_xp.training.checkpoints import Checkpoints
from nnfs_xp.training.diagnosis import diagnose
from nnfs_xp.training.gradient_flow import GradientFlow
from nnfs_xp.training.history import History
from nnfs_xp.training.trainer import Trainer

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoints",
    "EarlyStopping",
    "GradientFlow",
    "History",
    "LambdaCallback",
    "ModelCheckpoint",
    "TensorBoard",
    "Trainer",
    "diagnose",
]
