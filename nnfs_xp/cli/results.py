"""What the commands have in common: where results go, and what must not be written over."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from nnfs_xp.errors import ArgumentError, DataError, NnfsError
from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.runs import RESULTS
from nnfs_xp.training.progress import Shown

INTERRUPTED = 130

PROGRESS: dict[str, Shown] = {"auto": True, "lines": "lines", "off": False}
"""What the words of --progress mean."""


def given(options: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The options that were given, of those that are fields of a dataclass of settings."""
    values = {each.name: getattr(options, each.name, None) for each in fields(kind)}
    return {name: value for name, value in values.items() if value is not None}


@contextmanager
def beside_model(folder: Path) -> Iterator[None]:
    """Say, where a file cannot be written, that the model in the folder was."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"the model is in {folder}, but not all that goes with it: {error}."
        ) from error


@contextmanager
def drawing() -> Iterator[None]:
    """Go on where pictures cannot be drawn, and say so."""
    try:
        yield
    except (NnfsError, OSError) as error:
        print(f"not all pictures could be drawn: {error}", file=sys.stderr)


def check_output(options: argparse.Namespace, *more: Path) -> None:
    """Refuse to write the predictions over the files that they, and the model, are made from."""
    kept = [*options.files, *(options.folder / name for name in RESULTS), *more]
    if options.output is not None and options.output.resolve() in [p.resolve() for p in kept]:
        raise ArgumentError(f"--output {options.output} would overwrite what is still needed.")


def only_file(options: argparse.Namespace) -> Path:
    """The file to predict from, where there can be one only.

    Raises
    ------
    ArgumentError
        Several were named.
    """
    if len(options.files) > 1:
        raise ArgumentError(
            f"one file of samples at a time; got {len(options.files)}. Only of images there may be "
            "several."
        )
    file: Path = options.files[0]
    return file


def write_predictions(options: argparse.Namespace, rows: Iterable[Iterable[Any]]) -> None:
    """Write a table of predictions as CSV, to --output or to the screen."""
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(rows)
    text = table.getvalue()
    if options.output is None:
        if sys.stdout is None:
            raise DataError("the standard output is closed. Name a file by --output.")
        if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
            sys.stdout.reconfigure(encoding="utf-8", errors="strict")
        sys.stdout.writelines(text.splitlines(keepends=True))
    else:
        try:
            if options.output.exists() and not options.output.is_file():
                with options.output.open("wb") as file:  # a pipe, say
                    file.write(text.encode())
            else:
                write_atomically(options.output, text.encode())
        except OSError as error:
            raise DataError(f"cannot write {options.output}: {error.strerror}.") from error
