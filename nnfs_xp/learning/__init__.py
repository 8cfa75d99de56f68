"""Learning: what one training step is, and the chain of layers that it runs."""

from nnfs_xp.layers.chain import Chain, Pass
from nnfs_xp.learning.half_precision import HalfPrecisionLearner, new_learner
from nnfs_xp.learning.learner import Learner
from nnfs_xp.learning.precision import PRECISIONS
from nnfs_xp.learning.recorded_step import is_recordable
from nnfs_xp.learning.recording import Recorder

__all__ = [
    "PRECISIONS",
    "Chain",
    "HalfPrecisionLearner",
    "Learner",
    "Pass",
    "Recorder",
    "is_recordable",
    "new_learner",
]
