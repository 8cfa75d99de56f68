"""The course of a training: epochs, history, callbacks, checkpoints."""

from nnfs_xp.training.callbacks import Callback, EarlyStopping, LambdaCallback
from nnfs_xp.training.checkpoints import Checkpoints
from nnfs_xp.training.data_dependent import initialize_from_data
from nnfs_xp.training.diagnosis import diagnose
from nnfs_xp.training.dropping import ScheduleDropout
from nnfs_xp.training.gradient_flow import GradientFlow
from nnfs_xp.training.history import History
from nnfs_xp.training.logs import CSVLogger, TensorBoard
from nnfs_xp.training.saliency import input_gradients
from nnfs_xp.training.saving import ModelCheckpoint, Timer
from nnfs_xp.training.trainer import Trainer
from nnfs_xp.training.watch import Watch

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoints",
    "EarlyStopping",
    "GradientFlow",
    "History",
    "LambdaCallback",
    "ModelCheckpoint",
    "ScheduleDropout",
    "TensorBoard",
    "Timer",
    "Trainer",
    "Watch",
    "diagnose",
    "initialize_from_data",
    "input_gradients",
]
