"""Files, and what other libraries read and write."""

from nnfs_xp.interop.model_file import load, save

__all__ = ["load", "save"]
