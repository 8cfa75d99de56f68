"""What the commands have in common: where results go, and what must not be written over."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.runs import RESULTS

INTERRUPTED = 130


def incomplete(folder: Path, error: OSError) -> DataError:
    """The error for a folder with the model, but not all else that belongs in it."""
    return DataError(f"the model is in {folder}, but not all that goes with it: {error}.")


def check_output(options: argparse.Namespace, *more: Path) -> None:
    """Refuse to write the predictions over the files that they, and the model, are made from."""
    kept = [options.file, *(options.folder / name for name in RESULTS), *more]
    if options.output is not None and options.output.resolve() in [p.resolve() for p in kept]:
        raise ArgumentError(f"--output {options.output} would overwrite what is still needed.")


def write_predictions(options: argparse.Namespace, text: str) -> None:
    """Write a table of predictions to --output, or to the screen."""
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
