"""Training and what it reports."""

from nnfs_xp.training.gradient_flow import GradientFlow
from nnfs_xp.training.history import History
from nnfs_xp.training.trainer import Trainer

__all__ = ["GradientFlow", "History", "Trainer"]
