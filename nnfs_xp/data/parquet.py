"""Batches of Parquet files, with pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.backend import to_numpy
from nnfs_xp.data.shards import Shards
from nnfs_xp.errors import ArgumentError, DataError, DTypeError


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
