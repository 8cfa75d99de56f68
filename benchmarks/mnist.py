"""MNIST for the peers, and what all of them train on it."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (784, 512, 512, 10)
BATCH = 128
LEARNING_RATE = 1e-3
"""ReLU between the layers, cross-entropy, Adam; images from 0 to 1."""


def need() -> None:
    """End where the files are not to be found."""
    if not (Path(os.environ.get("NNFS_XP_DATA", ".")) / "mnist").is_dir():
        raise SystemExit("NNFS_XP_DATA must name the folder that holds mnist/, its .gz files in it")


def read() -> tuple[np.ndarray[Any, Any], ...]:
    """Images (n, 784), float32, and labels (n,), int64, for training and for testing."""
    folder = Path(os.environ["NNFS_XP_DATA"]) / "mnist"
    arrays: list[np.ndarray[Any, Any]] = []
    for part in ("train", "t10k"):
        with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
            pixels = np.frombuffer(file.read(), np.uint8, offset=16)
        arrays.append(np.divide(pixels.reshape(-1, 784), 255, dtype=np.float32))
        with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
            arrays.append(np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64))
    return tuple(arrays)
