"""The optimizers: one pass over the flat buffers each."""

from nnfs_xp.optimizers.adaptive import Adagrad, Adam, AdamW, Lion, RMSprop
from nnfs_xp.optimizers.base import Optimizer
from nnfs_xp.optimizers.lookahead import Lookahead
from nnfs_xp.optimizers.muon import Muon
from nnfs_xp.optimizers.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Lion", "Lookahead", "Muon", "Optimizer", "RMSprop"]
