"""Batches of arrays in files of NumPy, which stay on the disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp.data.shards import ArrayBatches, Shards
from nnfs_xp.errors import DataError


class NpyBatches(ArrayBatches):
    """Batches of arrays in files, opened as memory maps: see `npy_batches`."""

    def __init__(self, paths: Sequence[tuple[Path, ...]], batch_size: int, **order: Any) -> None:
        self._paths = list(paths)
        super().__init__(_opened(self._paths), batch_size, **order)

    # Another process opens the files itself, and is not sent what is in them.
    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_shards": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _shards=_opened(state["_paths"]))


_PARTS = ("X", "y", "sample_weight")


def npy_batches(
    folder: str | Path, batch_size: int = 32, *, shuffle: bool = False, seed: int = 0
) -> Shards:
    """Batches of the arrays in a folder, which stay on the disk: for data larger than memory.

    The folder holds ``X.npy`` and ``y.npy``, and ``sample_weight.npy`` if samples have weights;
    or several of each, with the same number behind the name: ``X-000.npy`` and ``y-000.npy``,
    ``X-001.npy`` and ``y-001.npy``. They are opened as memory maps. Files of other names are left.

    Parameters
    ----------
    folder : str or Path
    batch_size : int
    shuffle : bool
        Whether each epoch has the files in a new order, and the rows of each.
    seed : int
        Of the orders.

    Returns
    -------
    sequence of batches
        For `Trainer.fit`, which can go on in the middle of an epoch with it, and `batches`.

    Raises
    ------
    DataError
        The folder or a file is missing, or no array of numbers, or X and y do not go together.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}.")
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*.npy")):
        match = re.fullmatch(r"(sample_weight|X|y)(|[-_.]?[0-9]+)", path.stem)
        if match:
            found.setdefault(match[2], {})[match[1]] = path
    if not found:
        raise DataError(f"{folder} holds no X.npy and y.npy, nor X-000.npy and y-000.npy.")
    wanted = [name for name in _PARTS if any(name in files for files in found.values())]
    shards = []
    for ending, files in found.items():
        if missing := [
            name for name in {"X": 0, "y": 0, **dict.fromkeys(wanted)} if name not in files
        ]:
            raise DataError(f"{folder} has no {missing[0]}{ending}.npy.")
        paths = tuple(files[name] for name in _PARTS if name in files)
        sizes = {_mapped(path).shape[0] for path in paths}
        if len(sizes) > 1:
            raise DataError(
                f"the arrays {', '.join(path.name for path in files.values())} in {folder} have "
                f"different lengths: {', '.join(map(str, sorted(sizes)))}."
            )
        shards.append(paths)
    return NpyBatches(shards, batch_size, shuffle=shuffle, seed=seed)


def _opened(paths: Sequence[tuple[Path, ...]]) -> list[tuple[Any, ...]]:
    return [tuple(map(_mapped, files)) for files in paths]


def _mapped(path: Path) -> np.ndarray[Any, Any]:
    try:
        array: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as an array: {error}.") from error
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        raise DataError(f"{path} is no array of numbers: dtype {array.dtype}, shape {array.shape}.")
    return array
