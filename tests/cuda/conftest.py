"""Tests of what only a CUDA device, or the stand-in for one, can run."""

from nnfs_xp.backend import usable_backends

if "cupy" not in usable_backends():
    collect_ignore_glob = ["test_*.py"]
