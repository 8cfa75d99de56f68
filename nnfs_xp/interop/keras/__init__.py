"""Keras: models from and to those of this package."""

from nnfs_xp.interop.keras.classes import custom_objects
from nnfs_xp.interop.keras.models import from_keras, to_keras

__all__ = ["custom_objects", "from_keras", "to_keras"]
