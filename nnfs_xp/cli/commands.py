"""The commands: each works on a data set with a name, on a folder of images, or on a table.

`nnfs_xp.cli.tables` needs an extra, and is imported when there is a table; so is what serves pages.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeGuard

import nnfs_xp as nn
from nnfs_xp.cli import datasets, kept
from nnfs_xp.distributed import available_groups
from nnfs_xp.distributed.ending import say_once
from nnfs_xp.distributed.launched import told_size
from nnfs_xp.errors import ArgumentError
from nnfs_xp.image_folders import holds_images
from nnfs_xp.recipes import RECIPES
from nnfs_xp.runs import holds_table

_ENDINGS = (
    *(".csv", ".tsv", ".txt", ".parquet", ".pq", ".xlsx", ".json", ".jsonl", ".ndjson"),
    *(".gz", ".bz2", ".xz", ".zst", ".zip"),
)
_OF_TABLES = (
    *("target", "task", "test", "test_share", "separator", "missing"),
    *("drop", "numeric", "categorical", "dates", "text"),
    *("ensemble", "folds", "interval"),
)
"""The options of ``train`` that are for tables only."""

_OF_DATA_SETS = ("model", "precision", "ray", "shards", "watch", "port", "allow_host")
"""Those that are for data sets with a name, and for folders of images."""

_OF_IMAGES = ("size", "skip_damaged")
"""Those that are for folders of images only."""


def train(options: argparse.Namespace) -> int:
    """Train on a data set that the library knows, on a folder of images, or on a table."""
    name = options.dataset
    if _is_folder(name) and options.target is None:  # with a target it is one of Parquet files
        _refuse(options, _OF_TABLES, "a folder of images")
        options.dataset = str(Path(name).resolve())
        return datasets.train(options)
    if _is_folder(name) and holds_images(Path(name)):
        raise ArgumentError(f"--target is for tables; {name} has folders of images. Leave it out.")
    resumed = name is None and options.resume and options.out and holds_table(options.out)
    if resumed or (name is not None and name not in RECIPES and _names_file(name, options.target)):
        _refuse(options, (*_OF_DATA_SETS, *_OF_IMAGES), "a file")
        if told_size() > 1:
            error = ArgumentError(
                f"{told_size()} processes were started, and a file is trained on in one. Leave "
                "mpiexec or srun out."
            )
            say_once(error)
            raise error
        from nnfs_xp.cli import tables

        return tables.train(options)
    _refuse(options, _OF_TABLES, "a data set with a name")
    if not options.resume:
        _refuse(options, _OF_IMAGES, "a data set with a name")
    return datasets.train(options)


def _is_folder(name: str | None) -> TypeGuard[str]:
    return name is not None and name not in RECIPES and Path(name).is_dir()


def _names_file(name: str, target: str | None) -> bool:
    return target is not None or name.casefold().endswith(_ENDINGS) or Path(name).exists()


def _refuse(options: argparse.Namespace, names: tuple[str, ...], what: str) -> None:
    """Refuse options that do not go with the kind of data."""
    for name in names:
        given = getattr(options, name)
        if given is not None and given is not False:
            raise ArgumentError(f"--{name.replace('_', '-')} does not go with {what}.")


def evaluate(options: argparse.Namespace) -> int:
    """Test the model in a folder."""
    if holds_table(options.folder):
        from nnfs_xp.cli import tables

        return tables.evaluate(options)
    _refuse(options, ("separator",), "a data set with a name, or images")
    return kept.evaluate(options)


def predict(options: argparse.Namespace) -> int:
    """Predict with the model in a folder."""
    if holds_table(options.folder):
        from nnfs_xp.cli import tables

        return tables.predict(options)
    _refuse(options, ("separator",), "a data set with a name, or images")
    return kept.predict(options)


def backends(options: argparse.Namespace) -> int:
    """Print what can run here, alone and in several processes, and why the rest cannot."""
    del options
    for name, text in nn.available_backends().items():
        print(f"{name:18} {text}")
    print("\nto train in several processes:")
    for name, text in available_groups().items():
        print(f"{name:18} {text}")
    return 0


def figure(options: argparse.Namespace) -> int:
    """Write a figure of the chapter."""
    from nnfs_xp.cli import seeing

    return seeing.figure(options)


def play(options: argparse.Namespace) -> int:
    """Serve the page to play with."""
    from nnfs_xp.cli import seeing

    return seeing.play(options)


def watch(options: argparse.Namespace) -> int:
    """Serve the page that watches trainings."""
    from nnfs_xp.cli import seeing

    return seeing.watch(options)
