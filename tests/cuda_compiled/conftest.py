"""Tests of the CUDA code on a machine without a GPU: CuPy and the compiler have to be installed."""

import ctypes
import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path

_DRIVER = """
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
"""


def _pretend_a_driver():
    """Load an empty driver, so that nvmath loads cuBLASLt, whose descriptors need none."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "driver.c"), Path(folder, "libcuda.so.1")
        source.write_text(_DRIVER)
        command = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", library, source]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


# The stand-in for CuPy has no cupy_backends.
if any(importlib.util.find_spec(name) is None for name in ("cupy_backends", "nvmath")):
    collect_ignore_glob = ["test_*.py"]
elif shutil.which("nvidia-smi") is None:
    driver = _pretend_a_driver()
