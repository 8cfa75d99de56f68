"""Augmentation: transforms that show a network each picture a little different in each epoch.

Each is given to `Trainer.fit` as ``transform``, several as one `Compose`. What they draw follows
from the trainer's seed and the number of the batch, and is the same on every backend.
"""

from nnfs_xp.data.augment.base import Augmentation, Compose, Move
from nnfs_xp.data.augment.mixing import CutMix, Mixup
from nnfs_xp.data.augment.moves import Crop, Flip, Shift
from nnfs_xp.data.augment.pixels import Cutout, Normalize
from nnfs_xp.data.augment.rotation import Rotation
from nnfs_xp.data.augment.views import mirrored, shifted

__all__ = [
    "Augmentation",
    "Compose",
    "Crop",
    "CutMix",
    "Cutout",
    "Flip",
    "Mixup",
    "Move",
    "Normalize",
    "Rotation",
    "Shift",
    "mirrored",
    "shifted",
]
