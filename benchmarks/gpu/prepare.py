"""What is prepared where there is a network, for a GPU machine that has none: wheels and MNIST.

Usage: python -m benchmarks.gpu.prepare [--data $NNFS_XP_DATA] [--kit build/gpu-kit]

The project's files and the kit are what has to be brought there; it says how large they are.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.gpu.card import commit_of
from benchmarks.gpu.results import ROOT

WHEELS = (
    *("nvmath-python==1.0.0", "array-api-compat==1.16.0", "array-api-strict==2.6.1"),
    "platformdirs",
)
"""What the GPU machine is taken to lack."""

MORE = ("cuda-core==1.2.2", "cuda-bindings==13.5.0", "cuda-pathfinder==1.9.1")
"""Taken where nvmath does not work with those that are there."""

MPI = ("mpi4py==4.1.2", "mpich==5.0.2")
"""What starts two processes there."""

MNIST = tuple(
    f"{part}-{what}-ubyte.gz"
    for part in ("train", "t10k")
    for what in ("images-idx3", "labels-idx1")
)

PYTHON, GLIBCS = "3.12", ("2_28", "2_27", "2_24", "2_17")

MOST = 60 * 2**20
"""Bytes that are brought there."""


def main() -> None:
    """Fill the kit, and end with the status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.prepare")
    data = os.environ.get("NNFS_XP_DATA")
    parser.add_argument("--data", type=Path, default=data, help="the folder with mnist/ in it")
    parser.add_argument("--kit", type=Path, default=Path("build/gpu-kit"))
    options = parser.parse_args()
    raise SystemExit(prepare(options.kit, options.data))


def prepare(kit: Path, data: Path | None) -> int:
    """Fill the kit; gives the status."""
    for name, requirements in (("wheels", WHEELS), ("wheels-more", MORE), ("wheels-mpi", MPI)):
        reason = download(kit / name, requirements)
        if reason is not None:
            print(f"{name} cannot be downloaded: {reason}", file=sys.stderr)
            return 1
    print(copy_mnist(kit, data))
    text = f"unknown; the kit was prepared at {commit_of(ROOT)}\n"
    (kit / "commit").write_text(text, encoding="utf-8")
    own, carried = size_of_project(), size_of(path for path in kit.rglob("*") if path.is_file())
    print(f"{mebibytes(own)} of the project, {mebibytes(carried)} of the kit")
    if own + carried > MOST:
        print(f"together more than {mebibytes(MOST)}: too much to bring there", file=sys.stderr)
        return 1
    print(f"on the GPU machine, in this folder: python3 -m benchmarks.gpu_check --kit {kit}")
    return 0


def download(folder: Path, requirements: tuple[str, ...]) -> str | None:
    """Fill a folder with wheels for the GPU machine; why that failed, if it did."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    platforms = [f"manylinux_{version}_x86_64" for version in GLIBCS]
    platforms += ["manylinux2014_x86_64", "manylinux1_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(folder)]
    command += ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp"]
    for platform in platforms:
        command += ["--platform", platform]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["pip gives no reason"])[-1]
    return None


def copy_mnist(kit: Path, data: Path | None) -> str:
    """Copy the four files; gives what there is to say of it."""
    target = kit / "data" / "mnist"
    shutil.rmtree(target, ignore_errors=True)
    missing = [name for name in MNIST if data is None or not (data / "mnist" / name).is_file()]
    if data is None or missing:
        where = "--data and NNFS_XP_DATA name no folder" if data is None else f"{data}/mnist lacks"
        return f"MNIST is left out: {' '.join([where, *(missing if data else [])])}"
    target.mkdir(parents=True)
    for name in MNIST:
        shutil.copyfile(data / "mnist" / name, target / name)
    return "MNIST is in the kit"


def size_of_project() -> int:
    """Bytes of the files that Git knows or does not ignore."""
    git = shutil.which("git") or "git"
    listing = [git, "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(listing, capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise SystemExit(f"the project's files are not known: {error}") from None
    paths = (ROOT / name for name in done.stdout.split("\0") if name)
    return size_of(path for path in paths if path.is_file())


def size_of(paths: Iterable[Path]) -> int:
    """Bytes of these files."""
    return sum(path.stat().st_size for path in paths)


def mebibytes(count: int) -> str:
    """The count with its unit."""
    return f"{count / 2**20:.1f} MiB"


if __name__ == "__main__":
    main()
