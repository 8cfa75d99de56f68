"""Keeps the stand-in out of other runs: it is there only when asked for, with CUDA_ON_CPU=1."""

import contextlib
import os
import sys
from pathlib import Path

collect_ignore_glob = ["cupy", "cupyx", "nvmath", "signatures.py"]

if os.environ.get("CUDA_ON_CPU") != "1":
    collect_ignore_glob = ["*"]
    # pytest puts a conftest's folder on the path, and other tests would get the stand-in there.
    with contextlib.suppress(ValueError):
        sys.path.remove(str(Path(__file__).parent))
