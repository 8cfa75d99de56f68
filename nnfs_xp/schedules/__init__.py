"""Learning-rate schedules: the rate of each step, given the number of steps before it.

An optimizer takes one in place of a number: ``nn.Adam(nn.CosineDecay(1e-3, steps=10_000))``.
Lengths are in steps, of which an epoch has ceil(samples / batch_size).
"""

from nnfs_xp.schedules.base import Schedule
from nnfs_xp.schedules.curves import (
    CosineDecay,
    CosLog,
    ExponentialDecay,
    FlatCosine,
    InverseTimeDecay,
    OneCycle,
    StepDecay,
)
from nnfs_xp.schedules.plateau import ReduceOnPlateau
from nnfs_xp.schedules.warmup import Warmup

__all__ = [
    "CosLog",
    "CosineDecay",
    "ExponentialDecay",
    "FlatCosine",
    "InverseTimeDecay",
    "OneCycle",
    "ReduceOnPlateau",
    "Schedule",
    "StepDecay",
    "Warmup",
]
