"""What the commands have in common: where results go, and what must not be written over."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.runs import RESULTS

INTERRUPTED = 130


def incomplete(folder: Path, error: OSError) -> DataError:
    """The error where the model could be written and something else could not."""
    return DataError(f"the model is in {folder}, but not all that goes with it: {error}.")


def check_output(options: argparse.Namespace) -> None:
    """Refuse to write the predictions over what they are made from."""
    kept = [options.file, *(options.folder / name for name in RESULTS)]
    if options.output is not None and options.output.resolve() in [p.resolve() for p in kept]:
        raise ArgumentError(f"--output {options.output} would overwrite what is still needed.")


def write_predictions(options: argparse.Namespace, text: str) -> None:
    """Write a table of predictions to --output, or to the screen."""
    if options.output is None:
        sys.stdout.writelines(text.splitlines(keepends=True))
    else:
        try:
            write_atomically(options.output, text.encode())
        except OSError as error:
            raise DataError(f"cannot write {options.output}: {error.strerror}.") from error
