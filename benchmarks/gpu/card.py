"""The card, its driver and the versions: what the report begins with."""

from __future__ import annotations

import platform
import shutil
import subprocess
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import nnfs_xp as nn
from benchmarks.gpu.contestants import refusal, trainer_for
from benchmarks.gpu.results import Results, Setting
from benchmarks.gpu.works import GPU_WORKS
from benchmarks.machine import describe_run
from nnfs_xp.errors import BackendError

DISTRIBUTIONS = (
    "cupy",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "nvmath-python",
    "ml_dtypes",
    "torch",
    "triton",
    "jax",
    "jax-cuda12-plugin",
    "jax-cuda13-plugin",
    "numpy",
    "array-api-compat",
)


def run(results: Results, setting: Setting) -> None:
    """Write down what there is, or why it is not usable."""
    try:
        nn.get_backend(setting.backend)
    except BackendError as error:
        results.unusable(str(error).splitlines()[0])
        return
    results.fact("machine", describe_run())
    if setting.device == "cuda":
        describe_card(results)
        try:
            reason = refusal(trainer_for(GPU_WORKS["rehearsal"], setting.backend, "float32"))
        except Exception as error:  # the parts will say more
            reason = f"no trainer can be made: {type(error).__name__}: {error}"
        results.fact("graphs", "can be recorded" if reason is None else reason)
    results.fact("Python", platform.python_version())
    results.fact("nnfs_xp", nn.__version__)
    commit = commit_of(Path(__file__).parents[2])
    if commit:
        results.fact("commit", commit)
    for name in DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            results.fact(name, version(name))


def describe_card(results: Results) -> None:
    """What CUDA and the driver say."""
    cupy = import_module("cupy")
    runtime = cupy.cuda.runtime
    with suppress(Exception):  # a description is no reason to measure nothing
        properties = runtime.getDeviceProperties(runtime.getDevice())
        results.fact("card", properties["name"].decode())
        results.fact("multiprocessors", properties["multiProcessorCount"])
        results.fact("memory", f"{properties['totalGlobalMem'] / 2**30:.0f} GiB")
        results.fact("compute capability", f"{properties['major']}.{properties['minor']}")
    results.fact("driver", driver())
    with suppress(Exception):
        results.fact("CUDA of the driver", cuda_text(runtime.driverGetVersion()))
    with suppress(Exception):
        results.fact("CUDA runtime", cuda_text(runtime.runtimeGetVersion()))
    results.fact("cupy says", getattr(cupy, "__version__", "unknown"))


def cuda_text(number: int) -> str:
    """13.1 for 13010."""
    return f"{number // 1000}.{number % 1000 // 10}"


def driver() -> str:
    """The driver's version, from nvidia-smi or the kernel module."""
    command = shutil.which("nvidia-smi")
    if command is not None:
        with suppress(OSError, subprocess.SubprocessError):
            query = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
            done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30)
            return done.stdout.split()[0]
    with suppress(OSError):
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    return "unknown: neither nvidia-smi nor /proc/driver/nvidia says"


def commit_of(folder: Path) -> str:
    """The commit that is checked out, "and changes" if there are any; empty outside of Git."""
    git = shutil.which("git")
    if git is None:
        return ""
    texts = []
    for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "-uno")):
        try:
            done = subprocess.run(
                [git, "-C", str(folder), *words], capture_output=True, text=True, timeout=30
            )
        except (OSError, subprocess.SubprocessError):
            return ""
        if done.returncode:
            return ""
        texts.append(done.stdout.strip())
    return texts[0] + (" and changes" if texts[1] else "")
