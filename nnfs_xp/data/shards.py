"""Batches of rows that lie in one place or in several, by number: in memory, in files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp import _checks
from nnfs_xp._checks import shown
from nnfs_xp.backend import host_generator, to_numpy
from nnfs_xp.errors import ArgumentError, DataError, DTypeError


class Shards(Sequence[tuple[Any, ...]]):
    """Batches of rows that lie in several places, none across two; a subclass gives `_open`.

    Shuffled, each epoch has the shards in a new order, and the rows of each.

    Parameters
    ----------
    sizes : sequence of int
        The rows of each shard.
    batch_size : int
    shuffle : bool
    seed : int
        Of the orders.
    """

    def __init__(
        self, sizes: Sequence[int], batch_size: int, *, shuffle: bool = False, seed: int = 0
    ) -> None:
        self.batch_size = _checks.check_count("batch_size", batch_size)
        self.shuffle = _checks.check_bool("shuffle", shuffle)
        host_generator(seed)  # refuses what is no seed
        self.seed = seed
        self._sizes = list(sizes)
        self._n_batches = [ceil(size / self.batch_size) for size in self._sizes]
        self._epoch = 0
        # What was last asked for by number: pairs of a key and a value, replaced as a whole, so
        # that threads do not disturb each other.
        self._last_places: tuple[int, list[tuple[int, slice]]] | None = None
        self._last_shard: tuple[tuple[int, int], Any, Any] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Have batches that are asked for by number be of the order of that epoch."""
        self._epoch = epoch

    def walk(self, epoch: int, first: int = 0) -> Iterator[tuple[Any, ...]]:
        """The batches of that epoch, from the one numbered `first` on."""
        shard, data, rows = -1, None, None
        for next_shard, part in self._places(epoch)[first:]:
            if next_shard != shard:
                shard, data = next_shard, self._open(next_shard)
                rows = self._order_of(shard, epoch)
            yield self._take(data, part if rows is None else rows[part])

    def _places(self, epoch: int) -> list[tuple[int, slice]]:
        """The shard and the rows of its order of each batch."""
        order = range(len(self._sizes))
        if self.shuffle:
            order = host_generator(self.seed, epoch).permutation(len(self._sizes)).tolist()
        size = self.batch_size
        return [
            (shard, slice(n * size, min((n + 1) * size, self._sizes[shard])))
            for shard in order
            for n in range(self._n_batches[shard])
        ]

    def _order_of(self, shard: int, epoch: int) -> np.ndarray[Any, Any] | None:
        if not self.shuffle:
            return None
        return host_generator(self.seed, epoch, 1 + shard).permutation(self._sizes[shard])

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}: {self.n_samples:,} samples in {len(self):,} batches of "
            f"{self.batch_size}{', shuffled' if self.shuffle else ''}>"
        )

    @property
    def n_samples(self) -> int:
        """The rows of all shards."""
        return sum(self._sizes)

    def __len__(self) -> int:
        return sum(self._n_batches)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        epoch, places, opened = self._epoch, self._last_places, self._last_shard
        if places is None or places[0] != epoch:
            places = self._last_places = epoch, self._places(epoch)
        shard, part = places[1][number]
        if opened is None or opened[0] != (epoch, shard):
            rows = self._order_of(shard, epoch)
            opened = self._last_shard = (epoch, shard), self._open(shard), rows
        _, data, rows = opened
        return self._take(data, part if rows is None else rows[part])

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_last_places": None, "_last_shard": None}

    def _open(self, shard: int) -> Any:
        """What the rows of that shard are taken from."""
        raise NotImplementedError

    def _take(self, data: Any, rows: Any) -> tuple[Any, ...]:
        """These rows of what `_open` gave, read: x, y, and weights if there are any."""
        return tuple(np.array(array[rows]) for array in data)


class ArrayBatches(Shards):
    """Batches of arrays, each shard a tuple of them."""

    def __init__(self, shards: Sequence[tuple[Any, ...]], batch_size: int, **order: Any) -> None:
        super().__init__([shard[0].shape[0] for shard in shards], batch_size, **order)
        self._shards = list(shards)

    def _open(self, shard: int) -> tuple[Any, ...]:
        return self._shards[shard]


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


class ParquetBatches(Shards):
    """Batches of Parquet files, a row group read at a time: see `parquet_batches`."""

    def __init__(
        self,
        paths: Sequence[Path],
        target: list[str] | str,
        features: Sequence[str] | None,
        sample_weight: str | None,
        batch_size: int | None,
        **order: Any,
    ) -> None:
        self._parquet = _pyarrow_parquet()
        self._paths = list(paths)
        groups: list[tuple[Path, int]] = []
        sizes: list[int] = []
        names: list[str] = []
        for path in self._paths:
            metadata, found = self._opened(path)
            names = names or found
            if len(set(found)) < len(found):
                raise DataError(f"{path} has two columns of one name.")
            if set(found) != set(names):
                raise DataError(f"{path} has other columns than {self._paths[0]}.")
            rows = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
            groups += [(path, n) for n, size in enumerate(rows) if size]
            sizes += [size for size in rows if size]
        if not groups:
            raise DataError(f"{self._paths[0]} holds no rows.")
        self._groups = groups
        self._target = target
        self._weight = sample_weight
        targets = [target] if isinstance(target, str) else list(target)
        others = [*targets, *([] if sample_weight is None else [sample_weight])]
        chosen = [name for name in names if name not in others] if features is None else features
        self._features = list(chosen)
        if unknown := [name for name in [*others, *self._features] if name not in names]:
            raise DataError(
                f"{self._paths[0]} has no column {unknown[0]!r}; there are {', '.join(names)}."
            )
        if not self._features:
            raise DataError(f"{self._paths[0]} has no column left as a feature.")
        super().__init__(sizes, max(sizes) if batch_size is None else batch_size, **order)

    def _opened(self, path: Path) -> tuple[Any, list[str]]:
        if not path.is_file():
            raise DataError(f"there is no file {path}.")
        try:
            file = self._parquet.ParquetFile(path)
            with file:
                return file.metadata, list(file.schema_arrow.names)
        except Exception as error:  # Arrow has errors of its own, none of them public
            raise DataError(f"{path} cannot be read as Parquet: {error}") from error

    def _open(self, shard: int) -> tuple[Any, ...]:
        path, group = self._groups[shard]
        names = [
            *self._features,
            *([self._target] if isinstance(self._target, str) else self._target),
        ]
        wanted = [*names, *([] if self._weight is None else [self._weight])]
        with self._parquet.ParquetFile(path) as file:
            table = file.read_row_group(group, columns=wanted)
        columns = {name: _column(table.column(name), name, path) for name in wanted}
        X = np.column_stack([columns[name] for name in self._features])
        if isinstance(self._target, str):
            y = columns[self._target]
        else:
            y = np.column_stack([columns[name] for name in self._target])
        return (X, y) if self._weight is None else (X, y, columns[self._weight])

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_parquet": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _parquet=_pyarrow_parquet())


def _names(name: str, values: Any) -> list[Any]:
    """Refuse what is no list of names, or an empty one."""
    if not isinstance(values, (list, tuple)) or not all(
        isinstance(each, (str, Path)) for each in values
    ):
        raise ArgumentError(f"`{name}` must be a list of names; got {shown(repr(values))}.")
    if not values:
        raise ArgumentError(f"`{name}` is an empty list.")
    return list(values)


def _column(column: Any, name: str, path: Path) -> np.ndarray[Any, Any]:
    if column.null_count:
        raise DataError(
            f"column {name!r} of {path} has gaps, {column.null_count:,} in one row group. Fill "
            "them, drop those rows, or leave the column out with `features`."
        )
    values = column.to_numpy()
    try:
        return to_numpy(values)
    except DTypeError:
        raise DataError(
            f"column {name!r} of {path} holds {column.type}, not numbers. Encode it first, or "
            "leave it out with `features`."
        ) from None


def _pyarrow_parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise ArgumentError("Parquet files need pyarrow; pip install 'nnfs-xp[tables]'") from None
    return parquet


def parquet_batches(
    path: str | Path | Sequence[str | Path],
    target: str | Sequence[str],
    *,
    features: Sequence[str] | None = None,
    sample_weight: str | None = None,
    batch_size: int | None = None,
    shuffle: bool = False,
    seed: int = 0,
) -> Shards:
    """Batches of Parquet files, of which one row group at a time is read, with pyarrow.

    Parameters
    ----------
    path : str or Path, or a sequence of these
        A file, a folder of files ``*.parquet``, or several files.
    target : str or sequence of str
        The column, or the columns, of the targets.
    features : sequence of str, optional
        The columns of the inputs; by default all others. All hold numbers.
    sample_weight : str, optional
        The column of the samples' weights.
    batch_size : int, optional
        By default a row group is a batch. No batch reaches over two row groups.
    shuffle : bool
        Whether each epoch has the row groups in a new order, and the rows of each.
    seed : int
        Of the orders.

    Returns
    -------
    sequence of batches
        For `Trainer.fit`, which can go on in the middle of an epoch with it, and `batches`.

    Raises
    ------
    DataError
        A file is missing or damaged, or lacks a column, or has other columns than the others.
    ArgumentError
        pyarrow is not installed.
    """
    given = [path] if isinstance(path, (str, Path)) else _names("path", path)
    paths = [Path(each) for each in given]
    if len(paths) == 1 and paths[0].is_dir():
        paths = sorted(paths[0].glob("*.parquet"))
        if not paths:
            raise DataError(f"{given[0]} holds no file *.parquet.")
    if not paths:
        raise DataError("there are no files to read.")
    names = target if isinstance(target, str) else _names("target", target)
    if features is not None:
        features = _names("features", features)
    return ParquetBatches(
        paths, names, features, sample_weight, batch_size, shuffle=shuffle, seed=seed
    )
