"""Keeps the stand-in out of other runs: it is there only when asked for, with CUDA_ON_CPU=1."""

import contextlib
import os
import sys
from pathlib import Path

collect_ignore_glob = ["cupy", "cupyx", "nvmath", "signatures.py"]

if os.environ.get("CUDA_ON_CPU") != "1":
    collect_ignore_glob = ["*"]

# pytest puts a conftest's folder on the path, and other tests would find the stand-in there.
_FOLDER = Path(__file__).resolve().parent
_asked_for = os.environ.get("PYTHONPATH", "").split(os.pathsep)
if _FOLDER not in {Path(each).resolve() for each in _asked_for if each}:
    with contextlib.suppress(ValueError):
        sys.path.remove(str(_FOLDER))
