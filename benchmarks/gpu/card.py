"""The card, its driver and the versions; or, in a line, why there is nothing to run on.

It begins with the standard library alone: what it looks for may be missing.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.gpu.results import ROOT, Results, is_rehearsal, part_parser, results_of

DISTRIBUTIONS = (
    *("cupy", "cupy-cuda12x", "cupy-cuda13x", "nvmath-python", "cuda-core", "cuda-bindings"),
    *("cuda-pathfinder", "nvidia-cublas", "nvidia-cuda-nvrtc", "ml_dtypes", "numpy", "numba"),
    *("array-api-compat", "torch", "triton", "jax", "jax-cuda12-plugin", "jax-cuda13-plugin"),
    *("pytest", "pytest-xdist", "hypothesis"),
)

NEEDED = {
    "numpy": "numpy",
    "array_api_compat": "array-api-compat",
    "nvmath": "nvmath-python",
    "platformdirs": "platformdirs",
    "ml_dtypes": "ml_dtypes",
    "safetensors": "safetensors",
    "tqdm": "tqdm",
}
"""Modules without which little could be shown, and the packages that they come in."""

BROUGHT = ("array-api-compat", "nvmath-python", "platformdirs")
"""Of these, the packages that `prepare` brings."""

LEAST, LEAST_OF_REHEARSAL = 6 * 2**30, 2**28
"""Bytes of the device's memory: several processes use it at once."""


def main() -> None:
    """Write down what there is, or why it is not usable."""
    parser = part_parser("card")
    parser.add_argument("--kit", type=Path, default=Path("build/gpu-kit"))
    options = parser.parse_args()
    results = results_of(options, "setup")
    reason = unusable()
    if reason is not None:
        results.unusable(reason)
        return
    describe(results, options.kit)


def unusable() -> str | None:
    """Why nothing can be run here, in one line."""
    if find_spec("cupy") is None:
        return "cupy is not installed: pip install 'nnfs-xp[cuda13]' (or [cuda12])"
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    others = [package for package in missing if package not in BROUGHT]
    if others:
        return f"{', '.join(others)} cannot be imported, and no kit brings it: install it here"
    if missing:
        return (
            f"{', '.join(missing)} cannot be imported: run `python -m benchmarks.gpu.prepare` "
            "first, where there is a network, and bring its folder along (--kit)"
        )
    from nnfs_xp.backend import get_backend
    from nnfs_xp.errors import BackendError

    try:
        backend = get_backend("cupy")
        backend.check_precision("bfloat16")
    except BackendError as error:
        return str(error).splitlines()[0]
    except Exception as error:  # a library that is broken in a way of its own
        text = str(error).strip().splitlines() or [""]
        return f"cupy is not usable: {type(error).__name__}: {text[0]}"
    memory = backend.memory()
    least = LEAST_OF_REHEARSAL if is_rehearsal() else LEAST
    if memory is not None and memory.free < least:
        return (
            f"{backend.name} has {memory.free >> 20} MiB of memory free, of "
            f"{memory.total >> 20}; this needs {least >> 20}: end what else uses it"
        )
    return None


def describe(results: Results, kit: Path) -> None:
    """The card, the driver, the versions and the commit."""
    runtime: Any = import_module("cupy").cuda.runtime
    with suppress(Exception):  # a description is no reason to measure nothing
        properties = runtime.getDeviceProperties(runtime.getDevice())
        memory = f"{properties['totalGlobalMem'] / 2**30:.0f} GiB"
        results.fact("card", f"{properties['name'].decode()}, {memory}")
        capability = f"{properties['major']}.{properties['minor']}"
        count = properties["multiProcessorCount"]
        results.fact("compute capability", f"{capability}, {count} multiprocessors")
    results.fact("driver", driver())
    with suppress(Exception):
        its = cuda_text(runtime.driverGetVersion()), cuda_text(runtime.runtimeGetVersion())
        results.fact("CUDA", f"{its[0]} of the driver, {its[1]} of the runtime")
    found = {"Python": platform.python_version()}
    for name in DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    results.fact("versions", ", ".join(f"{name} {its}" for name, its in found.items()))
    results.fact("cores", os.cpu_count())
    results.fact("commit", commit_of(ROOT, kit))


def cuda_text(number: int) -> str:
    """13.1 for 13010."""
    return f"{number // 1000}.{number % 1000 // 10}"


def driver() -> str:
    """The driver's version, from nvidia-smi or the kernel module."""
    command = shutil.which("nvidia-smi")
    if command is not None:
        with suppress(OSError, subprocess.SubprocessError, IndexError):
            query = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
            done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=15)
            return done.stdout.split()[0]
    with suppress(OSError, IndexError):
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    return "unknown: neither nvidia-smi nor /proc/driver/nvidia says"


def commit_of(folder: Path, kit: Path | None = None) -> str:
    """The commit that is checked out, and how many files differ; without Git, what the kit says."""
    git = shutil.which("git")
    texts = []
    for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "-uno")):
        with suppress(OSError, subprocess.SubprocessError):
            command = [git or "git", "-C", str(folder), *words]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=15)
            texts.append(done.stdout.strip())
    if len(texts) == 2:
        return f"{texts[0]}, {len(texts[1].splitlines())} files changed"
    file = None if kit is None else kit / "commit"
    return file.read_text(encoding="utf-8").strip() if file and file.is_file() else "unknown"


if __name__ == "__main__":
    main()
